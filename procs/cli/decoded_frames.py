"""What recorded frames say, in fields and in words, or the named reason why one is refused. Prints nothing.

Owns the reader of each source; how frames lie in a file is told by ``recorded_lines``.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

import msgspec

from common.errors import FrameRefused
from common.feeds.market import clob_market, market_events
from common.feeds.market.gamma import NOT_AT_CLOB, market_from_gamma, markets_in
from common.feeds.oracle import chainlink, chainlink_report, polybolt_frames, rtds
from common.feeds.oracle.price_fields import Control
from common.feeds.oracle.route import Item
from common.messages import MarketState, Tick
from common.units import MILLISECOND, SECOND, price4_text, price18_text, size6_text
from procs.cli.recorded_lines import Recorded, Source, recorded_frames


class Told(NamedTuple):
    """One thing a frame said: its kind, its fields, and the same for people."""

    kind: str
    message: dict[str, object]
    text: str


class Row(NamedTuple):
    """What came of one frame, or of one message in it."""

    line: int
    kind: str
    text: str
    fields: dict[str, object]


def rows(source: Source, text: str, counts: Counter[str]) -> Iterator[Row]:
    """What came of every frame of the text, in its order; counts lines, frames and kinds on the way."""
    lines: set[int] = set()
    for recorded in recorded_frames(source, text):
        lines.add(recorded.line)
        counts["lines"] = len(lines)
        if recorded.frame is None:
            counts["other source"] += 1
            continue
        counts["frames"] += 1
        try:
            told = _READERS[source](recorded)
        except FrameRefused as refusal:
            counts[f"refused: {refusal.reason}"] += 1
            fields: dict[str, object] = {"reason": refusal.reason, "detail": refusal.detail}
            yield Row(recorded.line, "refused", f"refused: {refusal}", fields)
            continue
        for one in told:
            counts[one.kind] += 1
            yield Row(recorded.line, one.kind, f"{one.kind} {one.text}".rstrip(), {"message": one.message})


def _rtds(recorded: Recorded) -> list[Told]:
    return _prices(rtds.parse_frame(recorded.frame or "", recorded.recv_ns), recorded.recv_ns)


def _polybolt(recorded: Recorded) -> list[Told]:
    return _prices(polybolt_frames.parse_frame(recorded.frame or "", recorded.recv_ns), recorded.recv_ns)


def _prices(items: Sequence[Item], recv_ns: int | None) -> list[Told]:
    return [
        Told(item.kind, _plain(item), item.text)
        if isinstance(item, Control)
        else Told("tick", _plain(item), _tick_text(item, recv_ns))
        for item in items
    ]


def _clob_market(recorded: Recorded) -> list[Told]:
    return [_market_event(event) for event in clob_market.parse_frame(recorded.frame or "")]


def _gamma(recorded: Recorded) -> list[Told]:
    if not (recorded.frame or "").strip():
        return [Told("empty", {}, "")]
    try:
        payload = json.loads(recorded.frame or "", parse_float=Decimal)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise FrameRefused("not-json", str(error)[:120]) from None
    states = [market_from_gamma(market, event=event, clob=None) for market, event in markets_in(payload)]
    return [
        Told("market", _plain(state), _market_text(state)) for state in map(_judged_by_gamma_alone, states)
    ]


def _judged_by_gamma_alone(state: MarketState) -> MarketState:
    """A file of Gamma's answers holds no order-book terms: their absence says nothing of the market."""
    return msgspec.structs.replace(state, refusals=tuple(why for why in state.refusals if why != NOT_AT_CLOB))


def _chainlink(recorded: Recorded) -> list[Told]:
    report = chainlink_report.parse_frame(recorded.frame or "", recorded.recv_ns)
    if isinstance(report, Control):
        return [Told(report.kind, _plain(report), report.text)]
    series = next((one.key for one, feed_id in chainlink.FEEDS.items() if feed_id == report.feed_id), None)
    # Beyond 64 bits: decimal text.
    wide = {"native_fee", "link_fee", "price18", "bid18", "ask18"}
    message = {
        name: str(value) if name in wide and value is not None else value
        for name, value in _plain(report).items()
    }
    return [Told("report", {"series": series, **message}, _report_text(report, series, recorded.recv_ns))]


_READERS: dict[Source, Callable[[Recorded], list[Told]]] = {
    "rtds": _rtds,
    "clob-market": _clob_market,
    "gamma": _gamma,
    "chainlink": _chainlink,
    "polybolt": _polybolt,
}


def _market_event(event: market_events.MarketEvent) -> Told:
    message = _plain(event)
    match event:
        case market_events.Quiet():
            return Told(event.kind, message, event.text)
        case market_events.BookSnapshot():
            bid, ask = max(event.bids, default=None), min(event.asks, default=None)
            text = (
                f"{_token(event.token)} bid {_level(bid)} ask {_level(ask)}, "
                f"{len(event.bids)}+{len(event.asks)} levels, tick {_price(event.tick4)}, "
                f"last {_price(event.last_trade4)}, {event.version}, {_time(event.at_ns)}"
            )
            return Told("book", message, text)
        case market_events.PriceChanges():
            parts = [
                f"{_token(change.token)} {change.side} {_price(change.price4)} = {size6_text(change.size6)}"
                for change in event.changes
            ]
            return Told("price_change", message, f"{'; '.join(parts)}, {_time(event.at_ns)}")
        case market_events.LastTrade():
            text = f"{_token(event.token)} {event.side} {size6_text(event.size6)} at {_price(event.price4)}"
            return Told("last_trade_price", message, f"{text}, {_time(event.at_ns)}")
        case market_events.BestBidAsk():
            text = f"{_token(event.token)} bid {_price(event.best_bid4)} ask {_price(event.best_ask4)}"
            return Told("best_bid_ask", message, f"{text}, {_time(event.at_ns)}")
        case market_events.TickSizeChange():
            text = f"{_token(event.token)} {_price(event.old_tick4)} to {_price(event.new_tick4)}"
            return Told("tick_size_change", message, f"{text}, {_time(event.at_ns)}")
        case market_events.NewMarket():
            return Told("new_market", message, f"{event.slug} {event.market[:12]}")
        case market_events.MarketResolved():
            text = f"{event.market[:12]} {event.outcome or 'neither up nor down'}"
            return Told("market_resolved", message, text)


def _tick_text(tick: Tick, recv_ns: int | None) -> str:
    ages = [f"relayed after {_seconds(tick.relay_ns - tick.observed_ns)}"] if tick.relay_ns else []
    if recv_ns is not None:
        ages.append(f"received after {_seconds(recv_ns - tick.observed_ns)}")
    note = " backfill" if tick.backfill else ""
    value = price18_text(tick.value, places=18).rstrip("0").rstrip(".")
    return f"{tick.asset} {tick.kind} {value} of {_time(tick.observed_ns)}, {', '.join(ages)}{note}"


def _report_text(report: chainlink_report.Report, series: str | None, recv_ns: int | None) -> str:
    quotes = [
        f"{name} {_whole_price(value)}"
        for name, value in (("bid", report.bid18), ("ask", report.ask18))
        if value is not None
    ]
    price = f"{series or report.feed_id} v{report.schema} {_whole_price(report.price18)}"
    age = "" if recv_ns is None else f", received after {_seconds(recv_ns - report.observed_ns)}"
    return f"{', '.join((price, *quotes))}, of {_time(report.observed_ns)}{age}"


def _whole_price(value18: int) -> str:
    return price18_text(value18, places=18).rstrip("0").rstrip(".")


def _market_text(state: MarketState) -> str:
    rule = f"twap over {state.lookback_s} s" if state.rule == "twap" else state.rule
    ended = f", outcome {state.outcome or 'unknown'}" if state.closed else ""
    why = f"; refused: {'; '.join(state.refusals)}" if state.refusals else ""
    known = 0 < state.start_ns < state.end_ns
    length_s = (state.end_ns - state.start_ns) // SECOND
    span = f"{_time(state.start_ns)} for {length_s} s" if known else "times unknown"
    return f"{state.window or 'without a name'} {state.version}, {rule}, {span}{ended}{why}"


def _plain(struct: msgspec.Struct) -> dict[str, object]:
    fields: dict[str, object] = msgspec.to_builtins(struct)
    return fields


def _token(token: str) -> str:
    return token if len(token) <= 10 else f"…{token[-6:]}"


def _price(price4: int | None) -> str:
    return "-" if price4 is None else price4_text(price4)


def _level(level: tuple[int, int] | None) -> str:
    return "-" if level is None else f"{price4_text(level[0])} x {size6_text(level[1])}"


def _seconds(ns: int) -> str:
    return f"{ns // MILLISECOND / 1000:.2f} s"


def _time(at_ns: int) -> str:
    """UTC to the millisecond; an instant no calendar has is given as it stands."""
    try:
        moment = datetime.fromtimestamp(at_ns // SECOND, UTC)
    except (ValueError, OverflowError, OSError):
        return f"{at_ns} ns"
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{at_ns // MILLISECOND % 1000:03d}Z"
