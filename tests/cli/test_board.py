"""The board folds messages into the newest state and tells news once."""

import io

import msgspec
from rich.console import Console

from common.messages import (
    AccountState,
    Envelope,
    Gate,
    Heartbeat,
    MarketState,
    OrderState,
    PositionState,
    Published,
    Verdict,
    WindowView,
)
from procs.cli.board import Board, plain_lines, render, take
from procs.cli.tally import Tally, count, settled_windows

SECOND = 1_000_000_000
NOW_NS = 1_800_000_000 * SECOND
WINDOW = "btc-updown-1m-1800000000"


def envelope(body: Published, seq: int = 1, boot: str = "b") -> Envelope:
    return Envelope(
        schema=1,
        source="strategist",
        boot=boot,
        seq=seq,
        topic="x",
        ts_event_ns=0,
        ts_recv_ns=NOW_NS,
        mono_ns=0,
        cause="",
        body=body,
    )


def view(outcome: str | None = None) -> WindowView:
    return WindowView(
        window=WINDOW,
        asset="btc",
        start_ns=NOW_NS - 10 * SECOND,
        end_ns=NOW_NS + 50 * SECOND,
        strike_e18=str(96_000 * 10**18),
        strike_source="rtds",
        strike_disputes=0,
        reference_e18=str(96_100 * 10**18),
        reference_family="chainlink",
        move_ppm=1041,
        up_bid4=5400,
        up_ask4=5600,
        down_bid4=4400,
        down_ask4=4600,
        tradable=True,
        reason="",
        predicted="up",
        outcome=outcome,  # type: ignore[arg-type]
    )


def verdict(decision: str, number: int = 1) -> Verdict:
    return Verdict(
        window=WINDOW,
        asset="btc",
        decision=decision,  # type: ignore[arg-type]
        gates=(Gate("ask", "0.70", "< 0.62", False),),
        number=number,
    )


def order(status: str) -> OrderState:
    return OrderState(
        order_id="o1",
        intent_id="i1",
        window=WINDOW,
        asset="btc",
        token="t",
        outcome="up",
        limit4=6100,
        stake_usd6=10_000_000,
        status=status,  # type: ignore[arg-type]
        reason="",
        filled_size6=17_000_000 if status == "filled" else 0,
        cost_usd6=9_520_000,
        fee_usd6=0,
        created_ns=NOW_NS,
        updated_ns=NOW_NS,
    )


def position(settled: bool) -> PositionState:
    return PositionState(
        window=WINDOW,
        asset="btc",
        token="t",
        outcome="up",
        size6=17_000_000,
        cost_usd6=9_520_000,
        fee_usd6=0,
        end_ns=NOW_NS,
        settled=settled,
        official="up" if settled else None,
        pnl_usd6=7_480_000 if settled else 0,
    )


def market(**changes: object) -> MarketState:
    fields: dict[str, object] = {
        "window": WINDOW,
        "asset": "btc",
        "condition_id": "0x",
        "version": "v1",
        "token_up": "u",
        "token_down": "d",
        "rule": "spot",
        "lookback_s": 0,
        "start_ns": 0,
        "end_ns": 1,
        "fee": None,
        "taker_delay_ns": None,
        "tick4": 100,
        "min_size6": 5_000_000,
        "accepting": True,
    }
    return MarketState(**{**fields, **changes})  # type: ignore[arg-type]


def test_state_sent_again_is_no_news() -> None:
    board = Board()
    assert take(board, envelope(order("working"))) is not None
    assert take(board, envelope(order("working"), 2)) is None
    line = take(board, envelope(order("filled"), 3))
    assert line is not None and "filled: 17.00 shares for 9.52" in line


def test_settlement_is_told_once() -> None:
    board = Board()
    assert take(board, envelope(position(False))) is None
    line = take(board, envelope(position(True)))
    assert line is not None and "profit 7.48" in line
    assert take(board, envelope(position(True))) is None


def test_a_refusal_to_trade_is_no_news_but_a_decision_is() -> None:
    board = Board()
    assert take(board, envelope(verdict("no_trade"))) is None
    line = take(board, envelope(verdict("buy_up", 2)))
    assert line is not None and "decided buy up" in line


def test_the_whole_board_can_be_drawn() -> None:
    board = Board()
    beat = Heartbeat(role="books", pid=1, state="ready", detail="", ages_ms={"book": 1500}, counters={})
    account = AccountState(
        mode="paper",
        cash_usd6=1_000_000_000,
        open_cost_usd6=0,
        realized_pnl_usd6=7_480_000,
        day="2027-01-15",
        day_pnl_usd6=0,
        fees_usd6=0,
        orders=1,
        fills=1,
        duplicate_orders=0,
        ledger_difference_usd6=0,
    )
    bodies: list[Published] = [view(), verdict("no_trade"), order("filled"), position(False), beat, account]
    for body in bodies:
        take(board, envelope(body))
    out = io.StringIO()
    Console(file=out, width=200, no_color=True).print(render(board, NOW_NS, 0))
    drawn = out.getvalue()
    for expected in (
        WINDOW,
        "50 s",
        "96000",
        "+0.104",
        "0.54/0.56",
        "no: ask",
        "up 17.0",
        "book 1.5 s",
        "7.48",
    ):
        assert expected in drawn
    assert any(WINDOW in line for line in plain_lines(board, NOW_NS))


def test_the_tally_counts_each_fact_once() -> None:
    tally = Tally()
    bodies: list[Published] = [verdict("buy_up"), verdict("buy_up"), order("working"), order("filled")]
    for seq, body in enumerate(bodies):
        count(tally, envelope(body, seq))
    assert (len(tally.verdicts), len(tally.orders), tally.decisions) == (1, 1, {WINDOW})


def test_a_window_is_settled_by_its_outcome_or_by_its_position() -> None:
    tally = Tally()
    count(tally, envelope(market()))
    assert settled_windows(tally) == set()
    count(tally, envelope(market(outcome="up")))
    count(tally, envelope(position(True)))
    assert settled_windows(tally) == {WINDOW}


def test_a_window_counts_as_refused_while_its_last_view_says_so() -> None:
    tally = Tally()
    refused = msgspec.structs.replace(view(), refused=True, reason="unknown rule; no fee")
    count(tally, envelope(refused))
    assert tally.refused == {WINDOW: "unknown rule; no fee"}
    count(tally, envelope(view()))
    assert tally.refused == {}
