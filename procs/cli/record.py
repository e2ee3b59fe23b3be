"""``laggard record``: the feeds and the recorder alone, for as long as wanted. Needs no key, trades nothing.

Runs a supervisord of its own with two of the groups of supervisord.conf; what it starts, it ends.
"""

import contextlib
import os
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from types import FrameType

import click

from common.errors import DependencyMissing
from common.messages import StatusReport
from common.runtime.endpoints import ROLES
from common.runtime.lock import hold_role
from common.runtime.paths import Paths, make_paths
from common.runtime.paths import prepare as prepare_paths
from common.store import tape
from procs.cli.asking import Place
from procs.cli.configuration import load_config
from procs.cli.show import duration, print_json, progress
from procs.cli.stack import (
    Stack,
    own_stack,
    prepare,
    stop_supervisor,
    supervisor_command,
    supervisor_environment,
    supervisor_pid,
)
from procs.cli.survey import Survey, survey

GROUPS = ("feeds", "aux")
START_LIMIT_S = 15.0
ANSWER_LIMIT_S = 25.0
STOP_LIMIT_S = 45.0
LOOK_S = 1.0
TELL_S = 10.0
_SECTION = re.compile(r"^\[([^]]+)\]\s*$", re.MULTILINE)
_SHARED = ("unix_http_server", "rpcinterface:supervisor", "supervisorctl", "supervisord")
_KINDS = {"tick": "ticks", "book": "books", "market": "markets"}


@click.command()
@click.option(
    "--seconds", type=click.FloatRange(min=1), help="End by itself after this long; otherwise with Ctrl-C."
)
@click.option(
    "--state",
    "state_dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep tapes and sockets there instead of in the configured directory.",
)
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="TOML file; otherwise LAGGARD_CONFIG or the user's configuration directory.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout at the end.")
def record(seconds: float | None, state_dir: Path | None, config_file: Path | None, as_json: bool) -> int:
    """Record prices and books until stopped, then say what was recorded.

    A running bot records by itself. Exit 1 when nothing but signs of life came in.
    """
    config = load_config(config_file)
    if state_dir is None:
        paths = make_paths(config.paths.state_dir, config.paths.run_dir)
    else:
        paths = make_paths(str(state_dir), str(state_dir / "run"))
    prepare_paths(paths)
    _refuse_if_taken(paths)
    stack = _stack(paths)
    bus = paths.tape_dir / "bus"
    known = set(tape.segments(bus))
    with _running(stack, paths, config_file) as pid:
        progress(f"recording to {paths.tape_dir}; " + (f"{seconds:g} s" if seconds else "Ctrl-C ends it"))
        spent_s, last = _follow(Place(stack, pid, paths.run_dir), seconds)
        progress("ending")
    found = _counted(bus, known)
    lost = last.counters.get("dropped", 0) + last.counters.get("holes", 0) if last else 0
    summary = {"seconds": round(spent_s, 1), **found, "lost": lost}
    if as_json:
        print_json("record", directory=str(paths.tape_dir), **summary)
    else:
        told = ", ".join(f"{found[name]} {name}" for name in ("ticks", "books", "markets"))
        click.echo(f"{summary['records']} records: {told}; {lost} lost; in {paths.tape_dir}")
        click.echo("laggard tape verify reports the gaps, laggard tape export --parquet makes data of it")
    return 0 if found["ticks"] or found["books"] else 1


def only(conf: str, groups: tuple[str, ...]) -> str:
    """A supervisord.conf with these groups and their programs alone; everything else stays as it is."""
    pieces = _SECTION.split(conf)
    sections = dict(zip(pieces[1::2], pieces[2::2], strict=True))
    programs = [
        f"program:{name.strip()}"
        for group in groups
        for name in re.findall(r"^programs=(.*)$", sections[f"group:{group}"], re.MULTILINE)[0].split(",")
    ]
    kept = (*_SHARED, *programs, *(f"group:{group}" for group in groups))
    return "".join(f"[{name}]{sections[name]}" for name in kept)


def _stack(paths: Paths) -> Stack:
    home = paths.state_dir / "record"
    home.mkdir(mode=0o700, exist_ok=True)
    stack = Stack(home / "supervisord.conf")
    stack.conf.write_text(only(own_stack().conf.read_text(), GROUPS))
    prepare(stack)
    return stack


def _refuse_if_taken(paths: Paths) -> None:
    for role in ROLES:
        try:
            with hold_role(paths.run_dir, role):
                pass
        except DependencyMissing as error:
            raise DependencyMissing(
                f"{error}; a running bot records by itself, see laggard tape ls"
            ) from None


@contextlib.contextmanager
def _running(stack: Stack, paths: Paths, config_file: Path | None) -> Iterator[int]:
    """A supervisord that lives as long as this block; a request to end becomes KeyboardInterrupt."""
    from common.runtime.shell import die_with_parent

    extra = {"LAGGARD_STATE_DIR": str(paths.state_dir), "LAGGARD_RUN_DIR": str(paths.run_dir)}
    if config_file is not None:
        extra["LAGGARD_CONFIG"] = str(config_file.resolve())
    # Nothing here trades: whatever the configuration says of real money, these processes see paper.
    extra["LAGGARD_MODE"] = "paper"
    said = paths.state_dir / "record" / "supervisord.stderr"
    before = signal.signal(signal.SIGTERM, _interrupt)
    with said.open("wb") as stderr:
        process = subprocess.Popen(
            supervisor_command(stack, "--nodaemon"),
            env=supervisor_environment(os.environ, extra),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
            # However this command dies, supervisord is told to end.
            preexec_fn=partial(die_with_parent, signal.SIGTERM, os.getpid()),  # noqa: PLW1509 - one thread here
        )
    try:
        _wait_until_up(stack, process, said)
        yield process.pid
    finally:
        if process.poll() is None and not stop_supervisor(stack, process.pid, STOP_LIMIT_S):
            process.kill()
        process.wait()
        signal.signal(signal.SIGTERM, before)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _wait_until_up(stack: Stack, process: "subprocess.Popen[bytes]", said: Path) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while supervisor_pid(stack) != process.pid:
        if process.poll() is not None or time.monotonic() > deadline:
            lines = said.read_text(errors="replace").strip().splitlines()
            reason = lines[-1] if lines else f"it ended with {process.returncode}"
            raise DependencyMissing(f"supervisord did not start: {reason}; see {stack.log_dir}")
        time.sleep(0.05)


def _wait_until_answering(place: Place) -> None:
    """The time that was asked for begins when everybody is there, or has had long enough to be."""
    deadline = time.monotonic() + ANSWER_LIMIT_S
    while time.monotonic() < deadline:
        seen = survey(place).seen
        if seen and all(one.report is not None for one in seen):
            return
        time.sleep(0.2)


def _follow(place: Place, seconds: float | None) -> tuple[float, StatusReport | None]:
    """Tell how it goes until it is over; returns how long it took and the recorder's last figures."""
    last: StatusReport | None = None
    began = time.monotonic()
    told, tell_at = frozenset[str](), began
    with contextlib.suppress(KeyboardInterrupt):
        _wait_until_answering(place)
        began = time.monotonic()
        while seconds is None or time.monotonic() - began < seconds:
            found = survey(place)
            last = _recorder(found) or last
            trouble = _trouble(found)
            if trouble.keys() != told or time.monotonic() >= tell_at:
                told, tell_at = frozenset(trouble), time.monotonic() + TELL_S
                _tell(time.monotonic() - began, last, trouble)
            wait_s = LOOK_S if seconds is None else began + seconds - time.monotonic()
            time.sleep(min(LOOK_S, max(0.0, wait_s)))
        last = _recorder(survey(place)) or last
    return time.monotonic() - began, last


def _tell(spent_s: float, last: StatusReport | None, trouble: Mapping[str, str]) -> None:
    counters = last.counters if last else {}
    reasons = "".join(f"; {name}: {text}" for name, text in trouble.items())
    figures = f"{counters.get('records', 0)} records, {counters.get('bytes', 0) / 1e6:.1f} MB"
    progress(f"{duration(int(spent_s * 1000))}: {figures}{reasons}")


def _recorder(found: Survey) -> StatusReport | None:
    return next((one.report for one in found.seen if one.row.name == "recorder"), None)


def _trouble(found: Survey) -> dict[str, str]:
    """What does not go well, and the first reason; a route without credentials is no trouble."""
    told = {}
    for one in found.seen:
        if one.report is None:
            told[one.row.name] = one.silence or one.row.state.lower()
        elif one.report.state == "degraded":
            told[one.row.name] = one.report.detail.partition(";")[0]
    return told


def _counted(bus: Path, known: set[int]) -> dict[str, int]:
    """What the new segments hold."""
    counts: Counter[str] = Counter()
    segments = [number for number in tape.segments(bus) if number not in known]
    for number in segments:
        for one in tape.read_segment(bus, number):
            counts["records"] += 1
            kind = _KINDS.get(one.topic.partition(".")[0])
            if kind is not None:
                counts[kind] += 1
    return {
        "segments": len(segments),
        "records": counts["records"],
        **{k: counts[k] for k in _KINDS.values()},
    }
