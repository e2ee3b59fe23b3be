"""``laggard service``: laggard as a systemd service of this checkout. Writes or removes one file.

The units are in ``procs/service``; here only their places are filled in. Starts nothing.
"""

import contextlib
import os
import pwd
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import click

from common.errors import ConfigError, DependencyMissing
from common.runtime.paths import default_config_file, make_paths, private_directory
from procs.cli.configuration import load_config
from procs.cli.stack import ROOT, own_stack, prepare

NAME = "laggard.service"
FORMER_STATE = Path("/var/lib/laggard")
"""Where a service kept a state of its own, apart from that of `laggard up`."""
SYSTEM_DIR = Path("/etc/systemd/system")
FIRST_LINE = "# Written by `laggard service install"
TEMPLATES = Path(__file__).resolve().parents[1] / "service"
_ODD = re.compile(r"[\x00-\x1f\"'\\$]")

Decorator = Callable[[Callable[..., int]], Callable[..., int]]


class Facts(NamedTuple):
    """What a unit says of this place."""

    user: str
    config_file: Path
    credentials_dir: Path
    state_dir: Path
    """Where `laggard up` of that user has it: journal and postures must not be two of each."""
    live: bool


def _options(command: Callable[..., int]) -> Callable[..., int]:
    made: list[Decorator] = [
        click.option("--user", "of_user", is_flag=True, help="A service of your own, without root."),
        click.option("--run-as", metavar="NAME", help="Whose processes they are; otherwise who called sudo."),
        click.option("--live", is_flag=True, help="Start with laggard up --live."),
        click.option(
            "--config",
            "config_file",
            type=click.Path(path_type=Path, dir_okay=False),
            help="TOML file; otherwise LAGGARD_CONFIG or the user's configuration directory.",
        ),
    ]
    for option in reversed(made):
        command = option(command)
    return command


@click.group()
def service() -> None:
    """Install laggard as a systemd service."""


@service.command()
@_options
def show(of_user: bool, run_as: str | None, live: bool, config_file: Path | None) -> int:
    """Print the unit that install would write."""
    click.echo(unit(facts(of_user, run_as, live, config_file), of_user=of_user), nl=False)
    return 0


@service.command()
@_options
def install(of_user: bool, run_as: str | None, live: bool, config_file: Path | None) -> int:
    """Write the unit; a file of somebody else is left as it is. Tells how to start it."""
    found = facts(of_user, run_as, live, config_file)
    file = place(of_user)
    if file.exists() and not file.read_text(errors="replace").startswith(FIRST_LINE):
        click.echo(f"{file} is not laggard's; nothing was changed. Move it aside yourself", err=True)
        return 1
    if not of_user and FORMER_STATE.exists() and found.state_dir != FORMER_STATE:
        raise DependencyMissing(
            f"{FORMER_STATE} holds journal and postures of a service installed by an earlier version, and "
            f"this one would begin without them: move it to {found.state_dir}, owned by {found.user}, or "
            "name it in paths.state_dir; where it is of no more use, move it aside"
        )
    text = unit(found, of_user=of_user)
    stack = own_stack()
    try:
        if not of_user:
            _give(stack.home, found.user)
        with acting_as(found.user):
            prepare(stack)
            private_directory(found.state_dir)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    except OSError as error:
        way = "run it with sudo, or say --user" if not of_user else "mend that"
        raise DependencyMissing(f"cannot write {error.filename or file}: {error.strerror}; {way}") from None
    click.echo(f"unit    {file}")
    click.echo(f"state   {found.state_dir}")
    if found.user == "root" and not of_user:
        click.echo("it will run as root; better make a user for it and say --run-as NAME", err=True)
    scope = " --user" if of_user else ""
    click.echo(f"Next: systemctl{scope} daemon-reload, then systemctl{scope} enable --now laggard")
    if of_user:
        click.echo(f"It ends with your last session unless you say: loginctl enable-linger {found.user}")
    return 0


@service.command()
@click.option("--user", "of_user", is_flag=True, help="The service of your own.")
def uninstall(of_user: bool) -> int:
    """Remove the unit; journal, tapes and configuration stay."""
    file = place(of_user)
    scope = " --user" if of_user else ""
    if not os.path.lexists(file):
        click.echo(f"there is no {file}", err=True)
        return 0
    if not file.read_text(errors="replace").startswith(FIRST_LINE):
        click.echo(f"{file} is not laggard's; nothing was changed", err=True)
        return 1
    enabled = [link for link in file.parent.glob("*.wants/laggard.service") if os.path.lexists(link)]
    if enabled:
        click.echo(f"it is still enabled: systemctl{scope} disable --now laggard, then again", err=True)
        return 1
    try:
        file.unlink()
    except OSError as error:
        raise DependencyMissing(f"cannot remove {file}: {error.strerror}; run it with sudo") from None
    click.echo(f"removed {file}; then: systemctl{scope} daemon-reload")
    return 0


def place(of_user: bool) -> Path:
    """Where the unit belongs."""
    if not of_user:
        return SYSTEM_DIR / NAME
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd" / "user" / NAME


def facts(of_user: bool, run_as: str | None, live: bool, config_file: Path | None) -> Facts:
    """What the unit will say; raises ConfigError when this cannot be a service."""
    user = (
        run_as or (os.environ.get("SUDO_USER") if not of_user else None) or pwd.getpwuid(os.getuid()).pw_name
    )
    try:
        home = Path(pwd.getpwnam(user).pw_dir)
    except KeyError:
        raise ConfigError([f"--run-as: there is no user {user}; make one, or name another"]) from None
    named = config_file or (Path(os.environ["LAGGARD_CONFIG"]) if os.environ.get("LAGGARD_CONFIG") else None)
    own = user == pwd.getpwuid(os.getuid()).pw_name
    if named is None:
        named = default_config_file() if own else home / ".config" / "laggard" / "config.toml"
    file = named.expanduser().absolute()
    config = load_config(file) if file.exists() else load_config(None, {"LAGGARD_CONFIG": os.devnull})
    if live != (config.mode == "live"):
        raise ConfigError(
            [f'mode = "{config.mode}" in {file}; real money needs mode = "live" and --live, both']
        )
    credentials = config.paths.credentials_dir or str(file.parent / "credentials")
    state = config.paths.state_dir or (None if own else "~/.local/state/laggard")
    paths = make_paths(_at_home(state, home), None, _at_home(credentials, home))
    return Facts(user, file, paths.credentials_file("any").parent, paths.state_dir, live)


def unit(found: Facts, *, of_user: bool) -> str:
    """The unit's text; raises ConfigError for a path that systemd could not read."""
    text = (TEMPLATES / ("laggard-user.service" if of_user else NAME)).read_text()
    # A configuration that is not there yet must not be named: every process would refuse to start.
    named = found.config_file if found.config_file.exists() else None
    values = {
        "@ROOT@": escaped(ROOT),
        "@README@": escaped((ROOT / "README.md").as_uri()),
        "@RUN@": quoted(own_stack().home),
        "@STATE@": quoted(found.state_dir),
        "@STATE_VARIABLE@": quoted(f"LAGGARD_STATE_DIR={found.state_dir}"),
        "@PYTHON@": quoted(sys.executable),
        "@USER@": found.user,
        "Environment=@CONFIG@\n": f"Environment={quoted(f'LAGGARD_CONFIG={named}')}\n" if named else "",
        "@CREDENTIALS@": quoted(f"LAGGARD_PATHS__CREDENTIALS_DIR={found.credentials_dir}"),
        "@LIVE@": " --live" if found.live else "",
    }
    for name, value in values.items():
        text = text.replace(name, value)
    return text


def quoted(value: object) -> str:
    """A value as one word of a unit file."""
    return f'"{escaped(value)}"'


def escaped(value: object) -> str:
    """A value that means itself in a unit file; raises ConfigError where nothing can make it so."""
    text = str(value)
    if _ODD.search(text):
        raise ConfigError([f"{text!r} has a character that a unit file cannot carry; use another path"])
    return text.replace("%", "%%")


@contextlib.contextmanager
def acting_as(user: str) -> Iterator[None]:
    """Be that user for a while, if root: what is made is the user's, and no link leads root astray."""
    owner = pwd.getpwnam(user)
    if os.getuid() != 0 or owner.pw_uid == 0:
        yield
        return
    os.setresgid(owner.pw_gid, owner.pw_gid, 0)
    os.setresuid(owner.pw_uid, owner.pw_uid, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)


def _give(directory: Path, user: str) -> None:
    """Let the service's user own what supervisord writes to, also where the checkout is somebody else's."""
    owner = pwd.getpwnam(user)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in [directory, *directory.rglob("*")]:
        os.chown(path, owner.pw_uid, owner.pw_gid, follow_symlinks=False)


def _at_home(place: str | None, home: Path) -> str | None:
    """A path of the configuration as its user means it, whoever installs."""
    return f"{home}{place[1:]}" if place is not None and place.startswith("~/") else place
