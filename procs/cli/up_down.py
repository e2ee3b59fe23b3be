"""``laggard up`` and ``laggard down``: start and stop supervisord and with it every process.

Both may be repeated. Whatever is in the way is told in one line before anything starts.
"""

import os
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from common.errors import ConfigError, DependencyMissing
from common.runtime.endpoints import ROLES
from common.runtime.lock import hold_role
from common.runtime.paths import Paths, make_paths
from common.runtime.paths import prepare as prepare_paths
from procs.cli.asking import Place
from procs.cli.configuration import load_config
from procs.cli.show import progress
from procs.cli.stack import (
    Meeting,
    Stack,
    mute_supervisor_pid,
    own_stack,
    prepare,
    read_meeting,
    stop_supervisor,
    supervisor_command,
    supervisor_environment,
    supervisor_pid,
    write_meeting,
)
from procs.cli.status import print_survey
from procs.cli.survey import Survey, survey

if TYPE_CHECKING:
    from common.runtime.config import Config

ANSWER_LIMIT_S = 25.0
STOP_LIMIT_S = 75.0
"""The executor may take 30 s, each other group 8 s."""


@click.command()
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="TOML file; otherwise LAGGARD_CONFIG or the user's configuration directory.",
)
@click.option("--live", is_flag=True, help="Trade with real money; needs a key and a clean laggard check.")
@click.option("--foreground", is_flag=True, help="Become supervisord, for systemd and containers.")
def up(config_file: Path | None, live: bool, foreground: bool) -> int:
    """Start all processes and wait until they answer; nothing happens when they already run."""
    from common.runtime.trading_key import SECRET_VARIABLES, close_doors, hand_over, take_back

    if any(os.environ.get(name) for name in SECRET_VARIABLES):
        close_doors()
    stack = own_stack()
    config = load_config(config_file)
    if config.mode == "live" and not live:
        raise ConfigError(['the configuration says mode = "live": start real money with laggard up --live'])
    if live and config.mode != "live":
        # Said twice: once where it stays and every command reads it, and once when it begins.
        raise ConfigError(['--live needs mode = "live" and [wallet] in the configuration; see laggard check'])
    paths = make_paths(config.paths.state_dir, config.paths.run_dir)
    if live:
        _ask_for_evidence(config, paths)
    running = supervisor_pid(stack)
    if running is None:
        if config.telegram.required:
            _ask_telegram(config)
        prepare(stack)
        prepare_paths(paths)
        _refuse_if_taken(stack, paths)
        hand_over(os.environ, config, paths)
        try:
            if foreground:
                _become(stack, paths, config_file)
            running = _start(stack, paths, config_file)
        except BaseException:
            take_back(paths)
            raise
    else:
        meeting = read_meeting(stack)
        if meeting is not None and meeting.kind == "demo":
            raise DependencyMissing(
                f"the demo (supervisord pid {running}) runs from here; end it with laggard down first"
            )
        if foreground:
            raise DependencyMissing(
                f"it runs already (supervisord pid {running}); laggard down stops it first"
            )
        progress(f"already running (supervisord pid {running})")
        if meeting is not None and Path(meeting.run_dir) != paths.run_dir:
            raise DependencyMissing(
                f"it runs with another run directory ({meeting.run_dir}); laggard down stops it first"
            )
    found = _wait_until_answering(Place(stack, running, paths.run_dir))
    print_survey(found, stack.log_dir)
    if found.exit_code:
        progress(f"not everything runs; the logs are in {stack.log_dir}")
    elif found.troubles:
        progress(f"everything runs, not everything is well: {', '.join(found.troubles)}; see laggard status")
    return found.exit_code


@click.command()
def down() -> int:
    """Stop all processes and supervisord, and wait for their end; nothing happens when none runs."""
    stack = own_stack()
    pid = supervisor_pid(stack) or mute_supervisor_pid(stack)
    if pid is None:
        _forget(stack)
        progress("not running")
        return 0
    if not stop_supervisor(stack, pid, STOP_LIMIT_S):
        raise DependencyMissing(
            f"supervisord (pid {pid}) did not end within {STOP_LIMIT_S:.0f} s; "
            f"see {stack.log_dir}, then kill {pid}"
        )
    _forget(stack)
    progress("stopped")
    return 0


def _forget(stack: Stack) -> None:
    """Leave nothing of what was handed over; where the state is, a kill switch has to find later too."""
    from common.runtime.trading_key import take_back

    meeting = read_meeting(stack)
    if meeting is not None:
        take_back(make_paths(meeting.state_dir, meeting.run_dir))


def _ask_for_evidence(config: "Config", paths: Paths) -> None:
    """Say by what real money may move; raises ConfigError when it may not."""
    from common.research.falsification.verdict import evidence

    found = evidence(config, paths.state_dir)
    if found.by == "nothing":
        raise ConfigError([f"no real money without evidence: {found.text}; {found.fix}"])
    progress(f"evidence: {found.text}")


def _ask_telegram(config: "Config") -> None:
    """Let Telegram refuse token or chat before anything starts; raises what says how to mend it."""
    from common.chat.verification import verify

    progress(f"Telegram knows @{verify(config)} and its chats")


def _refuse_if_taken(stack: Stack, paths: Paths) -> None:
    mute = mute_supervisor_pid(stack)
    if mute is not None:
        raise DependencyMissing(
            f"supervisord (pid {mute}) runs from here but does not answer on {stack.socket}; "
            f"kill {mute} first"
        )
    for role in ROLES:
        with hold_role(paths.run_dir, role):
            pass


def _start(stack: Stack, paths: Paths, config_file: Path | None) -> int:
    outcome = subprocess.run(
        supervisor_command(stack),
        env=supervisor_environment(os.environ, _extra(config_file)),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    deadline = time.monotonic() + 10
    while outcome.returncode == 0 and time.monotonic() < deadline:
        pid = supervisor_pid(stack)
        if pid is not None:
            _meet(stack, paths, config_file)
            return pid
        time.sleep(0.05)
    reason = (outcome.stderr or outcome.stdout).strip().splitlines()
    said = reason[-1] if reason else f"it ended with {outcome.returncode}"
    raise DependencyMissing(f"supervisord did not start: {said}; see {stack.log_dir / 'supervisord.log'}")


def _become(stack: Stack, paths: Paths, config_file: Path | None) -> NoReturn:
    """Go on as supervisord in the foreground: whoever started this is its parent, and sees its end."""
    _meet(stack, paths, config_file)
    command = supervisor_command(stack, "--nodaemon")
    os.execve(command[0], command, supervisor_environment(os.environ, _extra(config_file)))  # noqa: S606


def _meet(stack: Stack, paths: Paths, config_file: Path | None) -> None:
    file = str(config_file.resolve()) if config_file is not None else os.environ.get("LAGGARD_CONFIG", "")
    write_meeting(stack, Meeting(str(paths.run_dir), str(paths.state_dir), file, "up"))


def _extra(config_file: Path | None) -> dict[str, str]:
    return {"LAGGARD_CONFIG": str(config_file.resolve())} if config_file is not None else {}


def _wait_until_answering(place: Place) -> Survey:
    deadline = time.monotonic() + ANSWER_LIMIT_S
    told = ""
    while True:
        found = survey(place)
        missing = [one.row.name for one in found.seen if not one.well]
        if not missing or time.monotonic() > deadline:
            return found
        if told != (told := f"waiting for {', '.join(missing)}"):
            progress(told)
        if any(one.row.state == "FATAL" for one in found.seen):
            return found
        time.sleep(0.2)
