"""Tables as the bus would have told them: envelopes for the engine, in the order in which they were known.

A strike comes as a tick stamped at the opening second: the recorded one, else the table's opening price.
Nothing is told before it could have been known; of one instant markets come first, then books, then ticks.
"""

import heapq
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec
import polars as pl

from common.core.moment import Moment
from common.messages import SCHEMA, Envelope, Heartbeat, MarketState, Published, Tick
from common.research.backtesting.quotes import in_order
from common.research.backtesting.story import SETTLING_KINDS, Story, settling_kind
from common.research.replaying.replay import Heard
from common.units import SECOND

E18_PER_E8 = 10**10
LEAD_NS = 60 * SECOND
"""How long before its opening a window's market and prices are told."""
OPEN_KNOWN_AFTER_NS = 2_310_000_000
"""A tick comes within this of its stamp in 99 % (8 June 2026): from then a table's opening price counts."""
RESOLVED_AFTER_NS = 60 * SECOND
"""The venue tells the outcome about so long after the end (55 s in the median, October 2026)."""
TABLE_ROUTE = "table"
"""The route of an opening price that was taken from the market table."""
_KEEP_NS = 30 * 60 * SECOND


def stream(story: Story, progress: Callable[[float], None] | None = None) -> Iterator[Heard]:
    """Everything the engine hears, in the order in which it was known; the monotonic clock is the wall's.

    Per window: its market, the ticks and books from a minute before its opening to its end, a heartbeat each
    second, its outcome a minute after the end. Ticks outside of every window are not told. ``progress`` is
    told the share of windows that are over, now and then.
    """
    numbers = _Numbers()
    ends = sorted(market.end_ns for market in story.markets.values())
    parts: list[Iterator[tuple[int, int, str, str, int, Published]]] = [
        _markets(story),
        _ticks(story),
        _opens(story),
        _books(story),
        _heartbeats(story),
    ]
    for count, (at_ns, _, source, topic, event_ns, body) in enumerate(
        heapq.merge(*parts, key=lambda one: one[:2])
    ):
        yield Heard(numbers.envelope(source, topic, body, at_ns, event_ns), Moment(at_ns, at_ns))
        if progress is not None and count % 2_000 == 0:
            progress(bisect_left(ends, at_ns) / len(ends))


class _Numbers:
    """Numbers messages per source, as publishers do."""

    def __init__(self) -> None:
        self._last: Counter[str] = Counter()

    def envelope(self, source: str, topic: str, body: Published, at_ns: int, event_ns: int) -> Envelope:
        self._last[source] += 1
        return Envelope(
            schema=SCHEMA,
            source=source,
            boot="recorded",
            seq=self._last[source],
            topic=topic,
            ts_event_ns=event_ns,
            ts_recv_ns=at_ns,
            mono_ns=at_ns,
            cause="",
            body=body,
        )


_Told = tuple[int, int, str, str, int, Published]
"""Instant, rank within it, source, topic, the origin's own stamp, message."""


def _markets(story: Story) -> Iterator[_Told]:
    told: list[_Told] = []
    for window, market in story.markets.items():
        topic = f"market.{window}"
        told.append((market.start_ns - LEAD_NS, 0, "books", topic, 0, market))
        ended = msgspec.structs.replace(market, accepting=False, closed=True, outcome=story.outcomes[window])
        told.append((market.end_ns + RESOLVED_AFTER_NS, 0, "books", topic, 0, ended))
    yield from sorted(told, key=lambda one: (one[0], one[3]))


def _ticks(story: Story) -> Iterator[_Told]:
    """Prices around windows; a proxy that is not configured only around windows that have nothing else."""
    around = _Spans(_open_spans(story.markets.values()))
    proxied = _Spans(_open_spans(story.markets[window] for window in story.proxied))
    assets = sorted({one.asset for one in story.markets.values()})
    rows = story.ticks.filter(pl.col("asset").is_in(assets)).sort("at_ns", maintain_order=True)
    for asset, kind, route, observed_ns, at_ns, price_e8 in rows.iter_rows():
        settles = kind in SETTLING_KINDS
        spans = around if settles or kind in story.configured else proxied
        if not spans.hold(asset, at_ns):
            continue
        tick = Tick(
            asset=asset, kind=kind, route=route, observed_ns=observed_ns, e18=str(price_e8 * E18_PER_E8)
        )
        source = f"oracle-{route}" if settles else "oracle-exchange"
        yield at_ns, 2, source, f"tick.{asset}.{kind}.{route}", observed_ns, tick


class _Spans:
    """Spans of time by asset, asked for in rising order of time."""

    def __init__(self, spans: Mapping[str, list[tuple[int, int]]]) -> None:
        self._spans = spans
        self._at = dict.fromkeys(spans, 0)

    def hold(self, asset: str, at_ns: int) -> bool:
        """Whether one of the asset's spans holds this instant."""
        spans = self._spans.get(asset, [])
        index = self._at.get(asset, 0)
        while index < len(spans) and spans[index][1] < at_ns:
            index += 1
        self._at[asset] = index
        return index < len(spans) and spans[index][0] <= at_ns


def _open_spans(markets: Iterable[MarketState]) -> dict[str, list[tuple[int, int]]]:
    """By asset when prices are told: joined spans from a minute before each opening to a minute after."""
    spans: dict[str, list[tuple[int, int]]] = {}
    for market in sorted(markets, key=lambda one: one.start_ns):
        begin, end = market.start_ns - LEAD_NS, market.end_ns + LEAD_NS
        _join(spans.setdefault(market.asset, []), begin, end)
    return spans


def _join(spans: list[tuple[int, int]], begin: int, end: int) -> None:
    """Add a span that begins no earlier than the last one."""
    if spans and begin <= spans[-1][1]:
        spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
    else:
        spans.append((begin, end))


def _opens(story: Story) -> Iterator[_Told]:
    told: list[_Told] = []
    for window, price_e8 in story.opens.items():
        market = story.markets[window]
        kind = settling_kind(market)
        tick = Tick(
            asset=market.asset,
            kind=kind,
            route=TABLE_ROUTE,
            observed_ns=market.start_ns,
            e18=str(price_e8 * E18_PER_E8),
        )
        topic = f"tick.{market.asset}.{kind}.{TABLE_ROUTE}"
        at_ns = market.start_ns + OPEN_KNOWN_AFTER_NS
        told.append((at_ns, 1, f"oracle-{TABLE_ROUTE}", topic, market.start_ns, tick))
    yield from sorted(told, key=lambda one: (one[0], one[3]))


def _books(story: Story) -> Iterator[_Told]:
    for at_ns, book in in_order(story.books, story.markets, story.assumed6):
        yield at_ns, 1, "books", f"book.{book.token}", book.venue_ns, book


def _heartbeats(story: Story) -> Iterator[_Told]:
    """One each second while a window is open, and one when old windows may be forgotten."""
    beat = Heartbeat(role="books", pid=0, state="ready", detail="", ages_ms={}, counters={})
    joined: list[tuple[int, int]] = []
    for begin, end in sorted(
        span for spans in _open_spans(story.markets.values()).values() for span in spans
    ):
        _join(joined, begin, end)
    for begin, end in joined:
        for at_ns in range(-(-begin // SECOND) * SECOND, end, SECOND):
            yield at_ns, 3, "books", "health.books", 0, beat
        yield end + _KEEP_NS, 3, "books", "health.books", 0, beat
