"""The reading commands: each is answered, by whoever knows or by saying who does not answer, and fits."""

import time

import msgspec
import pytest

from commands_stage import ANN, WINDOW, account_state, held, stage
from common.chat import programs, reading, watching
from common.chat.answers import config_text
from common.core.remote.commands import COMMANDS
from common.core.remote.letters import MAX_TEXT
from common.messages import (
    AccountReport,
    AccountState,
    Gate,
    OraclesReport,
    OrderState,
    PositionState,
    PostureState,
    RouteReport,
    StatusReport,
    Verdict,
    WalletReport,
    WhyReport,
    WindowView,
)
from common.runtime.config import Config
from common.runtime.supervisor import ProcessRow
from common.units import SECOND

NOW = 1_800_000_100 * SECOND
POSTURE = PostureState(posture="paused", reason="storm", who="telegram:7", since_ns=NOW)


def view(number: int = 0) -> WindowView:
    return WindowView(
        window=f"{WINDOW}{number or ''}",
        asset="btc",
        start_ns=NOW - 100 * SECOND,
        end_ns=NOW + 800 * SECOND,
        strike_e18=str(84_000 * 10**18),
        strike_source="chainlink",
        strike_disputes=0,
        reference_e18=str(84_100 * 10**18),
        reference_family="chainlink",
        move_ppm=1190,
        up_bid4=5800,
        up_ask4=6000,
        down_bid4=None,
        down_ask4=4200,
        tradable=True,
        reason="",
        predicted=None,
        outcome=None,
    )


def verdict(number: int = 0) -> Verdict:
    return Verdict(
        window=f"{WINDOW}{number or ''}",
        asset="btc",
        decision="no_trade",
        gates=(Gate("move", "0.05 %", "> 0.07 %", False), Gate("time left", "800 s", "> 300 s", True)),
        number=3,
    )


def order(number: int, **more: object) -> OrderState:
    made = OrderState(
        order_id=str(number),
        intent_id="i",
        window=WINDOW,
        asset="btc",
        token="1",
        outcome="up",
        limit4=6100,
        stake_usd6=5_000_000,
        status="filled",
        reason="",
        filled_size6=8_000_000,
        cost_usd6=4_800_000,
        fee_usd6=10_000,
        created_ns=NOW + number,
        updated_ns=NOW + number,
    )
    return msgspec.structs.replace(made, **more)


def report(count: int = 2, **account: object) -> AccountReport:
    positions = tuple(
        msgspec.structs.replace(held(8_000_000), window=f"{WINDOW}{number}") for number in range(count)
    )
    won = PositionState(
        window="won", asset="btc", token="2", outcome="down", size6=9_000_000, cost_usd6=4_000_000,
        fee_usd6=0, end_ns=1, settled=True, official="down", payout_usd6=9_000_000, pnl_usd6=5_000_000,
    )  # fmt: skip
    state: AccountState = msgspec.structs.replace(account_state(), **account)
    return AccountReport(
        account=state,
        posture=POSTURE,
        positions=(*positions, won),
        orders=tuple(order(number) for number in range(count)),
    )


def status_of(role: str, **more: object) -> StatusReport:
    made = StatusReport(
        role=role, pid=1, boot="b", state="ready", detail="", uptime_ms=1, published=1, sources=(),
        ages_ms={"btc": 300}, counters={}, facts={},
    )  # fmt: skip
    return msgspec.structs.replace(made, **more)


@pytest.mark.parametrize("away", [False, True])
async def test_every_reading_command_is_answered_soon(away: bool) -> None:
    names = [command.name for command in COMMANDS if command.risk == "reads"]
    async with stage(executor_away=away) as st:
        for some in (names[:10], names[10:]):
            before = len(st.texts())
            began = time.monotonic()
            for name in some:
                st.double.say(ANN, f"/{name} executor" if name == "logs" else f"/{name}")
            expected = before + len(some)
            await st.until(lambda expected=expected: len(st.texts()) >= expected)  # type: ignore[misc]
            assert time.monotonic() - began < 8
        await st.idle()
        assert not any("Something went wrong" in text or "busy" in text for text in st.texts())
        # positions, orders, trades, pnl, balance and risk
        assert st.texts().count(reading.NO_EXECUTOR) == (6 if away else 0)
        assert st.executor.done == []


def test_status_is_one_screen() -> None:
    text = reading.status_text(
        report(),
        [view()],
        {
            "oracle-rtds": status_of("oracle-rtds"),
            "books": status_of("books", ages_ms={"t": 12_000}),
            "recorder": status_of("recorder", state="degraded", detail="disk full"),
            "redeemer": None,
            "oracle-chainlink": status_of("oracle-chainlink", state="disabled"),
        },
        NOW,
    )
    assert text.splitlines() == [
        "paused: storm (telegram:7, 08:01:40 UTC)",
        "paper: cash 1000.00 $, today 0.00 $, in all 0.00 $",
        "2 open positions for 0.00 $, 0 orders of unknown fate",
        "1 windows run, 1 tradable, 800 s left",
        "inputs: rtds 0.3 s, books 12.0 s!",
        "not well: recorder: degraded disk full",
        "not well: redeemer: does not answer",
    ]


def test_a_ledger_that_is_off_is_not_hidden() -> None:
    off = report(ledger_difference_usd6=1)
    assert "THE LEDGER IS OFF" in reading.status_text(off, [], {}, NOW)
    assert "THE LEDGER IS OFF" in reading.pnl_text(off)


def test_orders_of_unknown_fate_come_first() -> None:
    base = report()
    some = msgspec.structs.replace(base, orders=(order(1, unknown="no answer"), order(2), order(3)))
    lines = reading.orders_text(some).splitlines()
    assert "UNKNOWN (no answer)" in lines[0]
    assert len(lines) == 3


def test_money_is_told_with_its_unit() -> None:
    assert reading.trades_text(report(), 1) == f"08:01:40 {WINDOW} up: 8 for 4.80 $ + fee 0.01 $"
    live = report(mode="live", redeemable_usd6=9_000_000)
    text = reading.balance_text(live, WalletReport(balance_usd6=1_000_500_000))
    assert "the venue says 1000.50 $" in text
    assert "won, not yet redeemed 9.00 $" in text
    assert "could not be asked" in reading.balance_text(live, None)
    assert "won: 9.00 $" in reading.positions_text(live).replace(" down", "")


def test_risk_shows_what_is_used() -> None:
    text = reading.risk_text(report(day_pnl_usd6=-20_000_000), Config().risk_limits())
    assert "loss today 20.00 $ of 150.00 $" in text
    assert "positions 2 of 16" in text
    assert "btc 10.00 $" in text


def test_windows_and_gates() -> None:
    why = WhyReport(verdicts=(verdict(),), views=(view(),))
    assert watching.windows_text(why, NOW).splitlines() == [
        f"{WINDOW} 800 s left",
        "strike 84000.00, price 84100.00 +0.119 %",
        "up 0.58/0.6, down -/0.42",
        "no trade: move",
    ]
    assert "- move: 0.05 % (> 0.07 %)" in watching.why_text(why, WINDOW)
    assert "knows no window x" in watching.why_text(WhyReport(verdicts=(), views=()), "x")


def test_feeds_and_processes() -> None:
    route = RouteReport("rtds", 1, "ready", "", ("spot/btc",))
    assert watching.feeds_text(OraclesReport(routes=(route,), audits=())) == "1. rtds: ready"
    rows = [
        ProcessRow("books", "feeds", "RUNNING", 5, 1, "pid 5"),
        ProcessRow("venue", "sim", "STOPPED", 0, 0, "Not started"),
    ]
    assert watching.procs_text(rows, {"books": status_of("books")}).splitlines() == [
        "books: running, ready",
    ]
    running = [rows[0], ProcessRow("venue", "sim", "RUNNING", 6, 1, "pid 6, uptime 0:00:05")]
    assert watching.procs_text(running, {}).splitlines()[1] == "venue: running, pid 6, uptime 0:00:05"


@pytest.mark.parametrize(
    "text",
    [
        reading.positions_text(report(400)),
        reading.orders_text(report(400)),
        reading.trades_text(report(400), 400),
        reading.status_text(report(400), [view()] * 300, {f"r{n}": None for n in range(900)}, NOW),
        watching.windows_text(WhyReport(verdicts=(), views=tuple(view(n) for n in range(1, 400))), NOW),
        watching.why_text(WhyReport(verdicts=(), views=tuple(view(n) for n in range(1, 400))), ""),
        reading.joined(["x" * 300] * 100, ""),
        reading.joined(["x" * 30_000], ""),
        watching.help_text(),
    ],
)
def test_every_text_fits_one_message(text: str) -> None:
    assert 0 < len(text) <= MAX_TEXT


def test_of_a_log_the_end_is_kept_and_of_all_else_the_beginning() -> None:
    lines = [f"line {number} {'x' * 80}" for number in range(100)]
    assert "line 99" in reading.joined(lines, "")
    assert "line 0 " not in reading.joined(lines, "")
    assert reading.fit("\n".join(lines)).startswith("line 0 ")
    assert "more lines" in reading.fit("\n".join(lines))


def test_an_address_is_shown_without_what_may_be_a_key() -> None:
    config = Config.model_validate(
        {
            "venue": {
                "chain_rpc_urls": ["https://u:CANARY@a.example:8/v2/CANARY?k=CANARY", "https://b.example"]
            },
            "telegram": {"chat_id": 5},
        }
    )
    text = config_text(config, "")
    assert "CANARY" not in text
    assert "https://a.example:8, https://b.example" in text
    assert "telegram.chat_id = 5" in text
    assert "risk.max_positions = 16" in config_text(config, "risk")
    assert "There is no section nothing" in config_text(config, "nothing")


def test_log_lines_are_read_for_people_and_masked() -> None:
    token = "123456789:AAbbCCddEEffGGhhIIjjKKllMMnnOOppQQr"
    line = (
        '{"role": "books", "boot": "x", "event": "state", "level": "warning", "ts": "2026-11-26T10:11:12Z", '
        f'"detail": "{token}", "api_key": "CANARY"}}'
    )
    assert programs._plain(line, "books") == "10:11:12 books warning state detail=*** api_key=***"
    assert token not in programs._plain(f"Traceback {token}")
