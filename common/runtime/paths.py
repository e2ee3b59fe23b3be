"""Where laggard keeps its things: state, sockets and locks, logs and tapes. Makes private directories."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from common.errors import DependencyMissing
from common.runtime.endpoints import ROLES, answer_endpoint


@dataclass(frozen=True, slots=True)
class Paths:
    """Absolute places on disk."""

    state_dir: Path
    run_dir: Path
    named_credentials_dir: Path | None = None
    """Where credentials are when the configuration says so."""

    def credentials_file(self, route: str) -> Path:
        """Where the credentials of a route are."""
        directory = self.named_credentials_dir or default_config_file().parent / "credentials"
        return directory / f"{route}.json"

    def journal_file(self, mode: str) -> Path:
        """The executor's journal: one for each mode, so that play and real money never share a file."""
        return self.state_dir / ("journal.sqlite" if mode == "paper" else f"journal-{mode}.sqlite")

    @property
    def redemptions_file(self) -> Path:
        """The redeemer's journal."""
        return self.state_dir / "redemptions.sqlite"

    @property
    def commands_file(self) -> Path:
        """What people asked for from afar, and what became of it."""
        return self.state_dir / "commands.sqlite"

    @property
    def outbox_file(self) -> Path:
        """What is to be told over Telegram, and what was."""
        return self.state_dir / "outbox.sqlite"

    @property
    def tape_dir(self) -> Path:
        """Recorded frames and bus messages."""
        return self.state_dir / "tapes"


def default_config_file() -> Path:
    """The configuration file that is read when none is named."""
    import platformdirs

    return Path(platformdirs.user_config_dir("laggard")) / "config.toml"


def make_paths(state_dir: str | None, run_dir: str | None, credentials_dir: str | None = None) -> Paths:
    """Absolute places; what is not given follows the XDG directories."""
    state = Path(state_dir or _default_state_dir()).expanduser().absolute()
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    default_run = Path(runtime) / "laggard" if runtime else state / "run"
    return Paths(
        state,
        Path(run_dir).expanduser().absolute() if run_dir else default_run,
        Path(credentials_dir).expanduser().absolute() if credentials_dir else None,
    )


def _default_state_dir() -> str:
    import platformdirs

    return platformdirs.user_state_dir("laggard")


def prepare(paths: Paths) -> None:
    """Make the directories, private to this user; raises DependencyMissing with one line when that fails."""
    for directory in (paths.state_dir, paths.run_dir, paths.tape_dir):
        private_directory(directory)
    for role in ROLES:
        answer_endpoint(paths.run_dir, role)


def private_directory(directory: Path) -> None:
    """Make one directory with mode 0700, or tighten it; refuses somebody else's and unwritable ones."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        facts = directory.stat()
    except OSError as error:
        raise DependencyMissing(
            f"cannot use the directory {directory}: {error.strerror}; make it or name another"
        ) from error
    if not stat.S_ISDIR(facts.st_mode):
        raise DependencyMissing(f"{directory} is not a directory; move it away or name another")
    if facts.st_uid != os.geteuid():
        raise DependencyMissing(
            f"{directory} belongs to user {facts.st_uid}, not to you ({os.geteuid()}); name another"
        )
    if facts.st_mode & stat.S_ISVTX:
        # Tightening /tmp, which root may do, would break the host.
        raise DependencyMissing(f"{directory} is shared by all users; name a directory of its own inside it")
    if facts.st_mode & 0o777 != 0o700:
        try:
            directory.chmod(0o700)
        except OSError as error:
            raise DependencyMissing(f"cannot make {directory} private (0700): {error.strerror}") from error
    if not os.access(directory, os.W_OK | os.X_OK):
        raise DependencyMissing(f"cannot write to {directory}; make it writable for you or name another")
