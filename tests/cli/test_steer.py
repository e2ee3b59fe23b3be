"""Steering: who is asked, what is sent, and that an answer which does not come is never taken for yes."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import pytest
import zmq.asyncio

from common.messages import (
    Accepted,
    AccountReport,
    AccountState,
    Answer,
    CancelAll,
    Command,
    Flatten,
    OrderState,
    PositionState,
    PostureState,
    ReadAccount,
    Refused,
    Request,
    SetPosture,
)
from common.runtime.clock import SystemClock
from common.runtime.lock import hold_role
from common.runtime.responder import Responder
from common.venue.recovery import MARKER, leave_marker
from procs.cli import steer
from procs.cli.kill_switch import SIGNATURE
from procs.cli.main import laggard, run

WINDOW = "btc-updown-15m-1800000000"
ACCOUNT = AccountReport(
    account=AccountState(
        mode="paper",
        cash_usd6=990_000_000,
        open_cost_usd6=9_520_000,
        realized_pnl_usd6=0,
        day="2027-01-15",
        day_pnl_usd6=0,
        fees_usd6=0,
        orders=1,
        fills=1,
        duplicate_orders=0,
        ledger_difference_usd6=0,
    ),
    posture=PostureState(posture="paused", reason="lunch", who="cli:somebody", since_ns=3_661_000_000_000),
    positions=(
        PositionState(
            window=WINDOW,
            asset="btc",
            token="t",
            outcome="up",
            size6=17_000_000,
            cost_usd6=9_520_000,
            fee_usd6=0,
            end_ns=0,
            settled=False,
        ),
    ),
    orders=(
        OrderState(
            order_id="0x1",
            intent_id="i",
            window=WINDOW,
            asset="btc",
            token="t",
            outcome="up",
            limit4=5600,
            stake_usd6=10_000_000,
            status="working",
            reason="",
            filled_size6=0,
            cost_usd6=0,
            fee_usd6=0,
            created_ns=0,
            updated_ns=0,
            unknown="no answer within 10 s",
        ),
    ),
)


class Executor:
    """Answers on the executor's socket in a thread of its own and remembers what it was told."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, Command]] = []
        self.answer: Answer = Accepted(text="so be it")
        self.report = ACCOUNT
        self.later: list[AccountReport] = []
        """What ReadAccount shows after the first time."""
        self.deaf_for = 0
        """So many commands are carried out without their answer ever leaving."""

    def steered(self, command: Command, request: Request) -> Answer:
        self.heard.append((request.id, command))
        if self.deaf_for:
            self.deaf_for -= 1
            time.sleep(steer.ANSWER_LIMIT_S + 0.1)
        return self.answer

    def read(self, _command: Command, _request: Request) -> Answer:
        report, self.report = self.report, (self.later.pop(0) if self.later else self.report)
        return report


@contextmanager
def running(run_dir: Path, executor: Executor) -> Iterator[None]:
    ready = threading.Event()
    stop: list[Callable[[], object]] = []

    async def serve() -> None:
        ctx = zmq.asyncio.Context()
        responder = Responder(ctx, run_dir, "executor", SystemClock())
        for kind in (SetPosture, CancelAll, Flatten):
            responder.on(kind, executor.steered)
        responder.on(ReadAccount, executor.read)
        loop = asyncio.get_running_loop()
        over = asyncio.Event()
        stop.append(lambda: loop.call_soon_threadsafe(over.set))
        ready.set()
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(responder.run())
            await over.wait()
            task.cancel()
        ctx.destroy(linger=0)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(5)
        with hold_role(run_dir, "executor"):
            yield
    finally:
        stop[0]()
        thread.join(5)


@pytest.fixture
def state_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    monkeypatch.setenv("LAGGARD_RUN_DIR", str(tmp_path))
    monkeypatch.setenv("LAGGARD_STATE_DIR", str(state))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "nothing"))
    monkeypatch.setattr(steer, "ANSWER_LIMIT_S", 0.2)
    return state


@pytest.fixture
def mute(state_dir: Path, tmp_path: Path) -> Iterator[None]:
    """An executor that lives and answers nobody."""
    with hold_role(tmp_path, "executor"):
        yield


@pytest.fixture
def executor(state_dir: Path, tmp_path: Path) -> Iterator[Executor]:
    made = Executor()
    with running(tmp_path, made):
        yield made


@pytest.mark.parametrize(
    ("verb", "sent"),
    [
        ("pause", SetPosture(posture="paused", reason="why not", who="")),
        ("noentry", SetPosture(posture="no-new-orders", reason="why not", who="")),
        ("halt", SetPosture(posture="halted", reason="why not", who="")),
        ("resume", SetPosture(posture="trading", reason="why not", who="")),
        ("flatten", Flatten(reason="why not", who="")),
        ("cancelall", CancelAll(who="")),
    ],
)
def test_what_is_said_reaches_the_executor_once(
    executor: Executor, verb: str, sent: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    more = [] if verb == "cancelall" else ["--reason", "why not"]
    more += ["--yes"] if verb in ("resume", "flatten") else []
    assert run(laggard, [verb, *more]) == 0
    ((_, heard),) = executor.heard
    assert isinstance(heard, SetPosture | Flatten | CancelAll)
    assert heard.who.startswith("cli:")
    assert msgspec.structs.replace(heard, who="") == sent
    assert "so be it" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["resume", "flatten"])
def test_what_adds_risk_or_sells_is_never_done_unasked(
    executor: Executor, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(laggard, [verb]) == 2
    assert "--yes" in capsys.readouterr().err
    assert executor.heard == []


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, answer: bool) -> None:
    monkeypatch.setattr("procs.cli.steer.sys.stdin.isatty", lambda: True, raising=False)

    def confirm(_text: str, **_options: object) -> bool:
        return answer

    monkeypatch.setattr("procs.cli.steer.click.confirm", confirm)


def test_a_person_sees_what_is_decided_on_before_being_asked(
    executor: Executor, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    on_a_terminal(monkeypatch, answer=False)
    assert run(laggard, ["resume"]) == 1
    err = capsys.readouterr().err
    assert "paused by cli:somebody since 01:01:01 UTC (lunch)" in err
    assert f"{WINDOW} up: 17.00 shares" in err
    assert "no answer within 10 s" in err
    assert err.splitlines()[-1] == "nothing was done"
    assert executor.heard == []


def test_a_yes_counts_for_what_was_shown_only(
    executor: Executor, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    on_a_terminal(monkeypatch, answer=True)
    halted = PostureState(posture="halted", reason="fire", who="executor", since_ns=1)
    executor.later.append(msgspec.structs.replace(ACCOUNT, posture=halted))
    assert run(laggard, ["resume"]) == 1
    assert "changed while you were asked" in capsys.readouterr().err
    assert executor.heard == []
    executor.report = ACCOUNT
    assert run(laggard, ["resume"]) == 0
    assert len(executor.heard) == 1


def test_an_answer_that_was_lost_is_asked_for_under_the_same_id(
    executor: Executor, capsys: pytest.CaptureFixture[str]
) -> None:
    executor.deaf_for = 1
    assert run(laggard, ["pause"]) == 0
    assert len({number for number, _ in executor.heard}) == 1
    captured = capsys.readouterr()
    assert "asking again" in captured.err
    assert run(laggard, ["pause", "--quiet"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("verb", ["pause", "noentry", "cancelall", "resume", "flatten"])
def test_with_nothing_running_nothing_was_done_and_is_said_at_once(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("common.runtime.calls.call", None)  # nobody is asked
    yes = ["--yes"] if verb in ("resume", "flatten") else []
    assert run(laggard, [verb, *yes, "--json"]) == 4
    shown = json.loads(capsys.readouterr().out)
    assert (shown["outcome"], shown["text"]) == ("not running", steer.NOBODY)
    assert run(laggard, [verb, *yes]) == 4
    assert "laggard up" in capsys.readouterr().err
    assert not (state_dir / MARKER).exists()


def test_nobody_is_asked_for_a_yes_when_nothing_runs(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    on_a_terminal(monkeypatch, answer=True)
    assert run(laggard, ["flatten"]) == 4
    assert "nothing runs here" in capsys.readouterr().err


def test_a_halt_with_nothing_running_is_certain(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("common.runtime.calls.call", None)
    assert run(laggard, ["halt", "--reason", "fire"]) == 0
    assert "the next start begins halted" in capsys.readouterr().out
    assert "fire" in (state_dir / MARKER).read_text()


def test_a_halt_that_can_neither_be_told_nor_noted_says_so(
    state_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state_dir.rmdir()
    assert run(laggard, ["halt"]) == 4
    assert "could not be written" in capsys.readouterr().err


def test_an_executor_that_started_while_the_note_was_left_is_asked(
    state_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have looked for the note before that was there."""
    late = Executor()
    with ExitStack() as house:

        def leave(_reason: str) -> bool:
            house.enter_context(running(tmp_path, late))
            return True

        monkeypatch.setattr("procs.cli.kill_switch.leave_kill_switch", leave)
        assert run(laggard, ["halt"]) == 0
    assert [type(command) for _, command in late.heard] == [SetPosture]


@pytest.mark.usefixtures("mute")
@pytest.mark.parametrize("verb", ["pause", "noentry", "cancelall"])
def test_no_answer_is_unknown_and_not_done(
    state_dir: Path, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(laggard, [verb, "--json"]) == 1
    shown = json.loads(capsys.readouterr().out)
    assert (shown["schema"], shown["kind"], shown["verb"], shown["outcome"]) == (1, "steer", verb, "unknown")
    assert "laggard status" in shown["text"]
    assert not (state_dir / MARKER).exists()


def test_a_refusal_is_told_with_its_code(executor: Executor, capsys: pytest.CaptureFixture[str]) -> None:
    executor.answer = Refused(code="journal", text="the disk is full")
    assert run(laggard, ["flatten", "--yes", "--json"]) == 1
    shown = json.loads(capsys.readouterr().out)
    assert (shown["outcome"], shown["code"], shown["text"]) == ("refused", "journal", "the disk is full")


@pytest.mark.usefixtures("mute")
def test_a_halt_nobody_answers_holds_from_the_next_start(
    state_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(laggard, ["halt", "--reason", "fire"]) == 1
    assert "next start begins halted" in capsys.readouterr().err
    assert "fire" in (state_dir / MARKER).read_text()


@pytest.mark.usefixtures("mute")
def test_a_halt_that_cannot_be_noted_says_so(state_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state_dir.rmdir()
    assert run(laggard, ["halt"]) == 1
    assert "could not be written either" in capsys.readouterr().err


@pytest.mark.usefixtures("mute")
def test_the_executors_own_note_is_kept(state_dir: Path) -> None:
    leave_marker(state_dir, "the books do not add up")
    assert run(laggard, ["halt"]) == 1
    assert (state_dir / MARKER).read_text() == "the books do not add up"


@pytest.mark.parametrize("note", [f"{SIGNATURE}fire", "the books do not add up"])
def test_a_note_left_since_the_executor_answered_a_resume_stays(
    executor: Executor, state_dir: Path, note: str
) -> None:
    """The executor lifts what there is before it answers; what is there now is newer, and a halt."""
    leave_marker(state_dir, note)
    assert run(laggard, ["resume", "--yes"]) == 0
    assert (state_dir / MARKER).read_text() == note
