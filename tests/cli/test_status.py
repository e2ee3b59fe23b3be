"""``laggard status``: what executor, strategist, sentinel and chat say, and which code it ends with."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from common.errors import CallTimedOut
from common.messages import (
    AccountReport,
    AccountState,
    Command,
    PostureState,
    ReadAccount,
    ReadOracles,
    StatusReport,
    Why,
    WhyReport,
    WindowView,
)
from common.runtime.supervisor import ProcessRow
from common.units import SECOND
from procs.cli import status as status_command
from procs.cli.asking import Outcome, Place
from procs.cli.main import laggard, run
from procs.cli.stack import Stack
from procs.cli.status_lines import clock_line, standing_alerts, window_clock
from procs.cli.survey import Seen, Survey

KEPT_KEYS = {"schema", "kind", "running", "supervisor_pid", "processes", "oracles"}
ACCOUNT = AccountReport(
    account=AccountState(
        mode="paper",
        cash_usd6=990_480_000,
        open_cost_usd6=0,
        realized_pnl_usd6=0,
        day="2027-01-15",
        day_pnl_usd6=-1_250_000,
        fees_usd6=0,
        orders=0,
        fills=0,
        duplicate_orders=0,
        ledger_difference_usd6=0,
        redeemable_usd6=0,
    ),
    posture=PostureState(posture="paused", reason="[lunch]", who="telegram:77", since_ns=43_200 * SECOND),
    positions=(),
    orders=(),
)


def report(role: str, state: str = "ready", detail: str = "", **facts: str) -> StatusReport:
    return msgspec.convert(
        {
            "t": "status",
            "role": role,
            "pid": 7,
            "boot": "b",
            "state": state,
            "detail": detail,
            "uptime_ms": 1,
            "published": 1,
            "sources": (),
            "ages_ms": {},
            "counters": {},
            "facts": facts,
        },
        StatusReport,
    )


def seen(role: str, answer: StatusReport | None) -> Seen:
    row = ProcessRow(role, "core", "RUNNING", 7, 0, "")
    return Seen(row, answer, "" if answer is not None else "does not answer")


def view(start_s: int, end_s: int, *, tradable: bool = True) -> WindowView:
    return WindowView(
        window=f"btc-{start_s}",
        asset="btc",
        start_ns=start_s * SECOND,
        end_ns=end_s * SECOND,
        strike_e18=None,
        strike_source="",
        strike_disputes=0,
        reference_e18=None,
        reference_family="",
        move_ppm=None,
        up_bid4=None,
        up_ask4=None,
        down_bid4=None,
        down_ask4=None,
        tradable=tradable,
        reason="",
        predicted=None,
        outcome=None,
    )


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[type, Outcome]:
    """A running stack: what each question is answered with may be changed."""
    answers: dict[type, Outcome] = {
        ReadAccount: ACCOUNT,
        ReadOracles: CallTimedOut("late"),
        Why: WhyReport(verdicts=(), views=(view(0, 1), view(4_000_000_000, 4_000_000_900))),
    }
    found = Survey(
        1,
        (
            seen("executor", report("executor")),
            seen("telegram", report("telegram", "degraded", "Unauthorized: the token is wrong")),
            seen(
                "sentinel",
                report(
                    "sentinel",
                    **{
                        "alert.crash-loop": "2026-11-26T12:00:00Z critical books died 6 times",
                        "alert.old": "said by an older sentinel",
                        "restarts.books": "6",
                    },
                ),
            ),
        ),
    )

    def ask(_run_dir: Path, questions: dict[str, Command]) -> dict[str, Outcome]:
        return {role: answers[type(question)] for role, question in questions.items()}

    monkeypatch.setattr(status_command, "ask", ask)
    monkeypatch.setattr(status_command, "survey", lambda _place: found)
    monkeypatch.setattr(
        status_command, "find_place", lambda: Place(Stack(tmp_path / "supervisord.conf"), 1, tmp_path)
    )
    return answers


def shown(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_for_people(house: dict[type, Outcome], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(laggard, ["status"]) == 0
    out = capsys.readouterr().out
    for line in (
        "posture   paused by telegram:77 since 12:00:00 UTC ([lunch])",
        "account   paper: cash 990.48 $, today -1.25 $, 0 positions for 0.00 $, 0 orders under way",
        "telegram  degraded: Unauthorized: the token is wrong",
        "alert     12:00:00 UTC critical crash-loop: books died 6 times",
        "alert     warning old: said by an older sentinel",
    ):
        assert line in out.splitlines(), out


def test_for_programs(house: dict[type, Outcome], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(laggard, ["status", "--json"]) == 0
    found = shown(capsys)
    assert found.keys() >= KEPT_KEYS | {"posture", "account", "windows", "telegram", "alerts"}
    assert found["posture"]["who"] == "telegram:77"
    assert found["account"]["cash_usd6"] == 990_480_000
    assert found["telegram"]["state"] == "degraded"
    assert found["alerts"][0] == {
        "code": "crash-loop",
        "at": "2026-11-26T12:00:00Z",
        "level": "critical",
        "text": "books died 6 times",
    }
    assert found["windows"] == {
        "open": 0,
        "tradable": 0,
        "ends_ns": None,
        "next_ns": 4_000_000_000 * SECOND,
    }


def test_what_nobody_answers_is_null_and_said(
    house: dict[type, Outcome], capsys: pytest.CaptureFixture[str]
) -> None:
    house[ReadAccount] = house[Why] = CallTimedOut("late")
    assert run(laggard, ["status", "--json"]) == 0
    found = shown(capsys)
    assert found["posture"] is found["account"] is found["windows"] is None
    assert run(laggard, ["status"]) == 0
    assert "posture   unknown" in capsys.readouterr().out


@pytest.mark.parametrize(("role", "state"), [("books", "degraded"), ("oracle-rtds", "degraded")])
def test_what_runs_but_cannot_trade_is_not_well(
    house: dict[type, Outcome],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    role: str,
    state: str,
) -> None:
    found = Survey(1, (seen(role, report(role, state, "cannot hear")),))
    monkeypatch.setattr(status_command, "survey", lambda _place: found)
    assert run(laggard, ["status", "--json"]) == 3
    assert shown(capsys)["troubles"] == list(found.troubles)
    assert run(laggard, ["status"]) == 3
    assert f"trouble   {found.troubles[0]}" in capsys.readouterr().out


def test_a_program_that_is_given_up_shows_the_last_error_of_its_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "executor.log"
    words = (
        '{"ts":"2026-11-26T12:00:00.000Z","level":"error","event":"ended","problem":"journal is damaged"}',
        '{"ts":"2026-11-26T12:00:01.000Z","level":"info","event":"closed"}',
    )
    log.write_text("\n".join(words) + "\n")
    found = Survey(1, (Seen(ProcessRow("executor", "core", "FATAL", 0, 0, ""), None, "Exited too quickly"),))
    status_command.print_survey(found, tmp_path)
    assert 'Exited too quickly; 12:00:00.000 error    ended problem="journal is damaged"' in (
        " ".join(capsys.readouterr().out.split("\n"))
    )
    log.write_text("Traceback (most recent call last):\nImportError: no such thing\n")
    status_command.print_survey(found, tmp_path)
    assert "Exited too quickly; ImportError: no such thing" in capsys.readouterr().out


def test_nothing_runs(
    house: dict[type, Outcome], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(status_command, "survey", lambda _place: Survey(None, ()))
    assert run(laggard, ["status", "--json"]) == 4
    assert shown(capsys)["running"] is False


def test_the_clock_of_the_windows() -> None:
    views = [view(0, 900), view(0, 900, tradable=False), view(900, 1800), view(-900, 0)]
    clock = window_clock(views, 450 * SECOND)
    assert (clock.open, clock.tradable, clock.ends_ns, clock.next_ns) == (2, 1, 900 * SECOND, 900 * SECOND)
    assert clock_line(clock, 450 * SECOND) == "2 open, 1 tradable, until 00:15:00 UTC (7 min left)"
    # A window belongs to its first instant and not to its last.
    assert window_clock(views, 0).open == 2
    assert window_clock(views, 900 * SECOND).open == 1
    assert clock_line(window_clock([], 0), 0) == "none open"


def test_only_alerts_are_alerts() -> None:
    assert standing_alerts(None) == []
    assert standing_alerts(report("sentinel", posture="trading", **{"restarts.books": "1"})) == []
