"""What of a dataset can be traded again: its windows, their books as messages, and what had to be assumed.

Windows that cannot be judged or filled are counted by their reason. Owns what stands in for a settling stream
that was not recorded, for the engine and for the grids alike. Makes no events.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, cast

import polars as pl

from common.core.reference import SETTLING_FAMILY
from common.messages import FeeSchedule, MarketState, Outcome, SeriesKind
from common.research.backtesting.quotes import Quotes, by_token, unsized
from common.research.data.dataset import Dataset
from common.units import SECOND, SIZE6_ONE

SETTLING_KINDS = ("spot", "twap30", "twap60")
_OUTCOMES: tuple[Outcome, ...] = ("up", "down")
_BREAK_NS = 90 * SECOND
"""Ticks further apart than this are two recordings."""

Span = tuple[str, int, int]
"""Asset, opening and end of a window (ns)."""


class StandIns(NamedTuple):
    """What judges windows during which nothing of the settling stream was recorded: proxies."""

    windows: frozenset[str] = frozenset()
    kinds: tuple[str, ...] = ()
    """The exchange series recorded during any of these windows, by name."""


class Assumptions(NamedTuple):
    """What stands in for what was not recorded; whatever uses one of them is counted and told."""

    size6: int = 100 * SIZE6_ONE
    """Shares at a best ask whose size is unknown; 0: such a book cannot be filled."""
    taker_delay_ns: int = SECOND // 2
    """Where the market's own is unknown: the longest the venue is known to have had."""


class Story(NamedTuple):
    """What of a dataset can be traded again."""

    markets: Mapping[str, MarketState]
    """By window, as they were while open: no outcome."""
    outcomes: Mapping[str, Outcome]
    eras: Mapping[str, str]
    books: pl.DataFrame
    """Of these windows, in order of receipt."""
    quotes: Mapping[str, Quotes]
    """The same by token: what an order can meet."""
    assumed6: int
    """Shares at a best price of unknown size."""
    proxied: frozenset[str]
    """Windows during which nothing of the settling stream was recorded: only a proxy can judge them."""
    configured: tuple[str, ...]
    """Price families of the configuration."""
    families: tuple[str, ...]
    """What judges windows, best first: as configured, and the proxies for those that need one."""
    left_out: Mapping[str, int]
    """Windows that cannot be traded again, by reason."""
    notes: tuple[str, ...]
    """What was assumed, for people."""
    ticks: pl.DataFrame
    opens: Mapping[str, int]
    """Opening prices (1e-8 $) of windows for whose opening second no settling tick was recorded."""


def tell(data: Dataset, assume: Assumptions, families: tuple[str, ...] = ("chainlink",)) -> Story:
    """Choose the windows that can be traded again and shape what the engine and the executor will see.

    ``families`` are those of the configuration; proxies are added only for windows without the real thing.
    """
    left_out: Counter[str] = Counter()
    markets: dict[str, MarketState] = {}
    outcomes: dict[str, Outcome] = {}
    eras: dict[str, str] = {}
    opens: dict[str, int] = {}
    guessed_delay = 0
    in_books = set(data.books["window"].unique().to_list())
    in_history = set(data.history["window"].unique().to_list())
    spans = _spans(data.ticks)
    lookback_s = _lookback_s(data.ticks)
    for row in data.markets.iter_rows(named=True):
        window = row["window"]
        reason = _unfit(row, in_books, in_history, spans)
        if reason:
            left_out[reason] += 1
            continue
        guessed_delay += row["taker_delay_ns"] is None
        markets[window] = market_of(row, assume, lookback_s)
        outcomes[window] = row["outcome"]
        eras[window] = row["era"]
        if row["strike_e8"] is not None:
            opens[window] = row["strike_e8"]
    for window in _with_settling_open(data.ticks, markets.values()):
        opens.pop(window, None)
    kept = data.books.filter(pl.col("window").is_in(list(markets)))
    books = kept.sort("at_ns", maintain_order=True)
    sizeless, derived = unsized(books), books.filter(pl.col("derived")).height
    notes = [
        *([f"{sizeless} books without sizes: {_assumed(assume)}"] if sizeless else []),
        *([f"{derived} asks derived from the other side's bid"] if derived else []),
        *(
            [f"{guessed_delay} windows of unknown taker delay: {assume.taker_delay_ns / SECOND:g} s assumed"]
            if guessed_delay
            else []
        ),
        *([f"{len(opens)} strikes taken from the market table"] if opens else []),
    ]
    told = {window: (one.asset, one.start_ns, one.end_ns) for window, one in markets.items()}
    judges = stand_ins(data.ticks, told)
    return Story(
        markets=markets,
        outcomes=outcomes,
        eras=eras,
        books=books,
        quotes=by_token(books, markets, assume.size6),
        assumed6=assume.size6,
        proxied=judges.windows,
        configured=families,
        families=(*families, *(kind for kind in judges.kinds if kind not in families)),
        left_out=left_out,
        notes=tuple(notes),
        ticks=data.ticks,
        opens=opens,
    )


def stand_ins(ticks: pl.DataFrame, windows: Mapping[str, Span]) -> StandIns:
    """Which of these windows only a proxy can judge, and by what."""
    settles = pl.col("kind").is_in(SETTLING_KINDS)
    settling = _spans(ticks.filter(settles))
    alone = {window: span for window, span in windows.items() if not _covered(settling, span)}
    kinds = []
    for (kind,), frame in ticks.filter(~settles).group_by(["kind"]):
        spans = _spans(frame)
        if any(_covered(spans, span) for span in alone.values()):
            kinds.append(str(kind))
    return StandIns(frozenset(alone), tuple(sorted(kinds)))


def judges_told(judged: Mapping[str, int]) -> str:
    """How many windows each family judged, in words, each proxy labelled."""
    told = (
        f"{count} windows judged by {name}{'' if name == SETTLING_FAMILY else ' (proxy, not settlement)'}"
        for name, count in judged.items()
    )
    return ", ".join(told)


def _covered(spans: Mapping[str, Iterable[tuple[int, int]]], window: Span) -> bool:
    """Whether any span of its asset reaches into the window: more than the second of its opening."""
    asset, start_ns, end_ns = window
    return any(begin < end_ns and end > start_ns + SECOND for begin, end in spans.get(asset, ()))


def _lookback_s(ticks: pl.DataFrame) -> int:
    """The look-back of TWAP windows, which no market table holds: of the series that was recorded."""
    kinds = set(ticks["kind"].unique().to_list())
    return 30 if "twap30" in kinds and "twap60" not in kinds else 60


def _assumed(assume: Assumptions) -> str:
    if not assume.size6:
        return "orders that meet one are not filled"
    return f"{assume.size6 / SIZE6_ONE:g} shares assumed at the best ask"


def _spans(ticks: pl.DataFrame) -> dict[str, list[tuple[int, int]]]:
    """By asset the spans that its ticks cover."""
    spans: dict[str, list[tuple[int, int]]] = {}
    for (asset,), frame in ticks.group_by(["asset"], maintain_order=True):
        times = frame["at_ns"].sort()
        breaks = (times.diff() > _BREAK_NS).fill_null(value=True)
        starts = times.filter(breaks).to_list()
        ends = times.filter(breaks.shift(-1).fill_null(value=True)).to_list()
        spans[str(asset)] = list(zip(starts, ends, strict=True))
    return spans


def _unfit(
    row: Mapping[str, Any],
    in_books: set[str],
    in_history: set[str],
    spans: Mapping[str, list[tuple[int, int]]],
) -> str:
    """Why a window cannot be traded again; empty when it can."""
    if row["window"] not in in_books:
        return (
            "sampled prices only, nothing to fill at" if row["window"] in in_history else "no book recorded"
        )
    if row["outcome"] not in _OUTCOMES:
        return "outcome not known"
    if row["fee_rate_ppm"] is None:
        return "fee not known"
    covered = _covered(spans, (row["asset"], row["start_ns"], row["end_ns"]))
    return "" if covered else "no price of the asset recorded"


def market_of(row: Mapping[str, Any], assume: Assumptions, lookback_s: int) -> MarketState:
    """A row of the market table as the venue's half of a passport, while the window is open."""
    window, era = row["window"], row["era"] or ""
    delay = row["taker_delay_ns"]
    rate = row["fee_rate_ppm"]
    twap = era.endswith("twap")
    return MarketState(
        window=window,
        asset=row["asset"],
        condition_id=window,
        version="recorded",
        token_up=token_of(row, "up"),
        token_down=token_of(row, "down"),
        rule="twap" if twap else "spot",
        lookback_s=lookback_s if twap else 0,
        start_ns=row["start_ns"],
        end_ns=row["end_ns"],
        fee=FeeSchedule(rate, row["fee_exponent"] or 1) if rate else None,
        taker_delay_ns=assume.taker_delay_ns if delay is None else delay,
        tick4=row["tick4"] or 100,
        min_size6=row["min_size6"] or 5 * SIZE6_ONE,
        accepting=True,
    )


def token_of(row: Mapping[str, Any], outcome: Outcome) -> str:
    """The recorded token id, else one made of window and side: a recording without ids has one anyway."""
    return str(row[f"token_{outcome}"] or f"{row['window']}:{outcome}")


def _with_settling_open(ticks: pl.DataFrame, markets: Iterable[MarketState]) -> list[str]:
    listed = list(markets)
    settling = pl.col("kind").is_in(SETTLING_KINDS)
    opening = pl.col("observed_ns").is_in([one.start_ns for one in listed])
    stamped = set(ticks.filter(settling & opening).select("asset", "kind", "observed_ns").iter_rows())
    return [one.window for one in listed if (one.asset, settling_kind(one), one.start_ns) in stamped]


def settling_kind(market: MarketState) -> SeriesKind:
    """The series that settles a recorded market."""
    return cast("SeriesKind", f"twap{market.lookback_s}" if market.rule == "twap" else "spot")
