import msgspec

import window_bodies as made
from common.core.remote.digest import DAY_NS, HOUR_NS, Span, Tally, forget, new_span, take, text_of
from common.messages import AccountState, Heartbeat, PostureState
from common.units import SECOND

HOUR = made.START_S // 3600 * 3600 * SECOND
ACCOUNT = AccountState(
    mode="paper", cash_usd6=1_004_123_456, open_cost_usd6=0, realized_pnl_usd6=0, day="2026-09-21",
    day_pnl_usd6=-3_210_000, fees_usd6=0, orders=0, fills=0, duplicate_orders=0, ledger_difference_usd6=0,
)  # fmt: skip
TRADING = PostureState(posture="trading", reason="", who="", since_ns=1)


def tally(*bodies: object) -> Tally:
    made_of = Tally()
    for body in bodies:
        take(made_of, body, 0)
    return made_of


def beats(into: Tally, role: str, state: str, from_ds: int, to_ds: int) -> None:
    for at in range(from_ds, to_ds + 1, 2):
        take(
            into,
            Heartbeat(role=role, pid=1, state=state, detail="", ages_ms={}, counters={}),  # type: ignore[arg-type]
            at * SECOND // 10,
        )


def test_an_hour_says_trades_results_fees_posture_and_gaps() -> None:
    lost = msgspec.structs.replace(made.SETTLED, outcome="down", pnl_usd6=-10_000_000)
    other = msgspec.structs.replace(made.position(), window="eth-updown-15m-1790000100", condition_id="0xcd")
    text = text_of(
        tally(made.FILLED, made.SETTLED, lost, other, ACCOUNT, TRADING),
        Span(HOUR, HOUR + HOUR_NS, gaps=2, lost=7, raised=1, open_alarms=("fatal.books",), short_holds=3),
    )
    assert text.splitlines() == [
        "14:00-15:00 UTC, paper, trading",
        "trades 1, fees 0.12 $",
        "settled 2: won 1, lost 1, profit -2.88 $",
        "day -3.21 $, cash 1004.12 $, 1 open",
        "all processes well",
        "alarms 1, gaps 2, messages lost 7, short holds 3",
        "open: fatal.books",
    ]


def test_only_what_belongs_to_the_span_counts_and_a_day_says_its_date() -> None:
    known = tally(made.FILLED, made.SETTLED, ACCOUNT, TRADING)
    text = text_of(known, Span(HOUR - HOUR_NS, HOUR))
    assert "trades 0" in text and "settled" not in text
    day = HOUR // DAY_NS * DAY_NS
    assert text_of(known, Span(day, day + DAY_NS)).startswith("Day 2026-09-21 UTC, paper, trading\ntrades 1")


def test_a_day_that_has_just_ended_is_not_told_with_the_result_of_the_next() -> None:
    day = HOUR // DAY_NS * DAY_NS
    next_day = msgspec.structs.replace(ACCOUNT, day="2026-09-22", day_pnl_usd6=0)
    text = text_of(tally(made.FILLED, made.SETTLED, next_day, TRADING), Span(day, day + DAY_NS))
    assert "profit +7.11 $" in text
    assert "day 0.00" not in text and "cash 1004.12 $, 0 open" in text


def test_a_posture_that_stands_and_a_ledger_that_is_off_are_said() -> None:
    halted = PostureState(posture="halted", reason="403", who="executor", since_ns=HOUR)
    off = msgspec.structs.replace(ACCOUNT, ledger_difference_usd6=1)
    text = text_of(tally(off, halted), Span(HOUR, HOUR + HOUR_NS))
    assert "halted for 1 h 0 min: 403" in text and "THE LEDGER IS OFF BY 1 " in text
    assert "posture unknown" in text_of(Tally(), Span(HOUR, HOUR + HOUR_NS))


def test_who_was_not_always_well_is_named_with_how_much_of_the_time() -> None:
    known = Tally()
    beats(known, "books", "ready", 0, 1000)
    beats(known, "oracle-rtds", "ready", 0, 500)
    beats(known, "oracle-rtds", "degraded", 502, 1000)
    beats(known, "strategist", "ready", 0, 400)
    beats(known, "strategist", "ready", 600, 1000)  # silent between
    beats(known, "oracle-polybolt", "disabled", 0, 1000)
    text = text_of(known, Span(HOUR, HOUR + HOUR_NS))
    (line,) = [each for each in text.splitlines() if each.startswith("not always well")]
    assert line == "not always well: oracle-rtds 50.2 %, strategist 80.0 %"
    new_span(known)
    beats(known, "strategist", "ready", 1002, 1100)
    assert "strategist" not in text_of(known, Span(HOUR, HOUR + HOUR_NS))


def test_what_is_long_past_is_forgotten_what_is_open_is_not() -> None:
    old = msgspec.structs.replace(made.position(), window="w-old")
    known = tally(made.FILLED, made.SETTLED, old)
    forget(known, HOUR + 5 * DAY_NS)
    assert not known.orders and [each.window for each in known.positions.values()] == ["w-old"]
