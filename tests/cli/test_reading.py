"""Reading commands against processes that answer on real sockets."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
import zmq.asyncio

from common.messages import (
    AccountReport,
    AccountState,
    Answer,
    Command,
    Gate,
    PositionState,
    PostureState,
    ReadAccount,
    Request,
    Verdict,
    Why,
    WhyReport,
)
from common.runtime.clock import SystemClock
from common.runtime.lock import hold_role
from common.runtime.responder import Responder
from procs.cli import watch
from procs.cli.main import laggard, run

WINDOW = "btc-updown-15m-1800000000"


@contextmanager
def answering(run_dir: Path, role: str, command: type, answer: Answer) -> Iterator[None]:
    """A process of this role in a thread of its own."""
    ready = threading.Event()
    stop: list[Callable[[], object]] = []

    def reply(_command: Command, _request: Request) -> Answer:
        return answer

    async def serve() -> None:
        ctx = zmq.asyncio.Context()
        responder = Responder(ctx, run_dir, role, SystemClock())
        responder.on(command, reply)
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
        yield
    finally:
        stop[0]()
        thread.join(5)


@pytest.fixture
def run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LAGGARD_RUN_DIR", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "nothing"))
    return tmp_path


def account(difference: int = 0) -> AccountReport:
    return AccountReport(
        account=AccountState(
            mode="paper",
            cash_usd6=990_480_000,
            open_cost_usd6=9_520_000,
            realized_pnl_usd6=-1_250_000,
            day="2027-01-15",
            day_pnl_usd6=-1_250_000,
            fees_usd6=310_000,
            orders=2,
            fills=3,
            duplicate_orders=0,
            ledger_difference_usd6=difference,
        ),
        posture=PostureState(posture="trading", reason="start", who="operator", since_ns=0),
        positions=(
            PositionState(
                window=WINDOW,
                asset="btc",
                token="t",
                outcome="up",
                size6=17_000_000,
                cost_usd6=9_520_000,
                fee_usd6=310_000,
                end_ns=0,
                settled=False,
            ),
        ),
        orders=(),
    )


def test_pnl_for_people_and_for_programs(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with answering(run_dir, "executor", ReadAccount, account()):
        assert run(laggard, ["pnl"]) == 0
        assert "-1.25" in capsys.readouterr().out
        assert run(laggard, ["pnl", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["schema"], shown["account"]["cash_usd6"]) == (1, 990_480_000)


def test_pnl_fails_when_the_books_do_not_add_up(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with answering(run_dir, "executor", ReadAccount, account(difference=1)):
        assert run(laggard, ["pnl", "--json"]) == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out)["account"]["ledger_difference_usd6"] == 1
    assert "differ by 1" in captured.err


def test_positions(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with answering(run_dir, "executor", ReadAccount, account()):
        assert run(laggard, ["positions"]) == 0
        out = capsys.readouterr().out
        assert WINDOW in out and "17.00" in out and "open" in out
        assert run(laggard, ["positions", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["positions"][0]["size6"] == 17_000_000


def test_what_a_stand_in_earned_is_never_shown_without_its_label(
    run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = account()
    (position,) = plain.positions
    proxy = msgspec.structs.replace(position, basis="proxy, not settlement", settled=True, pnl_usd6=4_200_000)
    with answering(run_dir, "executor", ReadAccount, msgspec.structs.replace(plain, positions=(proxy,))):
        assert run(laggard, ["positions"]) == 0
        assert "proxy, not settlement" in capsys.readouterr().out
        assert run(laggard, ["pnl"]) == 0
        assert "1 of these positions were judged by a proxy, not settlement: profit 4.20" in (
            capsys.readouterr().out
        )
        assert run(laggard, ["positions", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["positions"][0]["basis"] == "proxy, not settlement"
    with answering(run_dir, "executor", ReadAccount, plain):
        assert run(laggard, ["pnl"]) == 0
        assert "proxy" not in capsys.readouterr().out


def test_why_shows_each_gate(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = WhyReport(
        verdicts=(
            Verdict(
                window=WINDOW,
                asset="btc",
                decision="no_trade",
                gates=(Gate("move", "0.0312 %", "> 0.0700 %", False), Gate("book", "live", "live", True)),
                number=4,
            ),
        ),
        views=(),
    )
    with answering(run_dir, "strategist", Why, report):
        assert run(laggard, ["why", WINDOW]) == 0
        out = capsys.readouterr().out
        assert "0.0312 %" in out and "> 0.0700 %" in out and "no trade (verdict 4)" in out
        assert run(laggard, ["why", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["verdicts"][0]["gates"][0] == {
        "name": "move",
        "value": "0.0312 %",
        "threshold": "> 0.0700 %",
        "passed": False,
    }


def test_why_of_an_unknown_window(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with answering(run_dir, "strategist", Why, WhyReport(verdicts=(), views=())):
        assert run(laggard, ["why", WINDOW]) == 1
    assert "no window" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["pnl", "positions", "why"])
def test_nobody_answers(command: str, run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(laggard, [command]) == 4
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "laggard up" in captured.err


@pytest.mark.parametrize("line", [["watch"], ["watch", "--json"], ["watch", "--seconds", "600"]])
def test_watch_ends_at_once_when_nothing_runs(
    run_dir: Path, line: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(laggard, line) == 4
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "nothing runs here" in captured.err


def test_watch_says_what_it_does_not_hear(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(watch, "PLAIN_EVERY_S", 0.2)
    with hold_role(run_dir, "recorder"):
        assert run(laggard, ["watch", "--seconds", "1"]) == 0
    assert "not heard: oracle-chainlink, " in capsys.readouterr().out


def test_watch_without_a_word_ends_with_one_object(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with hold_role(run_dir, "recorder"):
        assert run(laggard, ["watch", "--json", "--seconds", "1"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["schema"], shown["windows"], shown["account"]) == (1, [], None)
