"""The why-no-trade ledger: the gates that refused each window, and what the refused trade would have earned.

Reads what the strategist published, and the books and outcomes beside it. A refused trade is filled here at
the asks of that moment, which is kinder than any venue: it shows what a gate costs or saves, not a profit.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import msgspec

from common.core.matching import walk
from common.messages import BookState, Envelope, FeeSchedule, MarketState, OrderState, Outcome, Verdict
from common.research.backtesting.results import SEED
from common.research.data.tape_gaps import NO_GAPS, Gaps, Numbering, holes
from common.research.intervals import Interval, bootstrap_mean, wilson
from common.research.replaying.replay import STRATEGIST, find_tape
from common.store.tape import Record, Tear, read
from common.units import PRICE4_ONE

MOVE = "move"
HEARD = frozenset({STRATEGIST, "books", "executor"})

_decoder = msgspec.msgpack.Decoder(Envelope)


class Refused(NamedTuple):
    """One verdict that was no trade."""

    at_ns: int
    failed: tuple[str, ...]
    """Names of the gates that did not pass, in their order."""
    side: Outcome | None
    """The side in the move's direction then; None where there was none."""
    asks: tuple[tuple[int, int], ...]
    """What was offered of that side then, best first."""


class WindowLedger(NamedTuple):
    """Why there was no trade in one window, and what came of it."""

    window: str
    asset: str
    start_ns: int
    traded: bool
    verdicts: int
    final: Refused | None
    """The last verdict before the end that was no trade."""
    closest: Refused | None
    """The one with the fewest gates against it; of equals the last one before the end."""
    outcome: Outcome | None
    net_usd6: int | None
    """What the closest one would have earned; None where that cannot be said."""
    paid_usd6: int
    """What it would have cost, fee included."""


class GateLedger(NamedTuple):
    """One gate over all windows it refused at their closest moment."""

    gate: str
    windows: int
    alone: int
    """Windows in which nothing else stood against the trade."""
    judged: int
    """Windows of these whose trade can be weighed: a side, an ask, an outcome."""
    won: Interval
    """Share of those that would have won."""
    net_usd6: int
    return_per_stake: Interval
    """Mean net result for each dollar that would have been paid."""


class Ledger(NamedTuple):
    """The whole account of what was not done."""

    windows: tuple[WindowLedger, ...]
    gates: tuple[GateLedger, ...]
    final_gates: Mapping[str, int]
    """How many windows each gate refused in their last verdict."""
    without_verdict: tuple[str, ...]
    """Windows the strategist never judged; there must be none."""
    gaps: Gaps = NO_GAPS
    """What the tape lacks: a verdict, a book or an outcome may have been there."""


@dataclass(slots=True)
class _Seen:
    """What was heard of one window so far."""

    market: MarketState | None = None
    verdicts: int = 0
    traded: bool = False
    final: Refused | None = None
    closest: Refused | None = None
    numbers: set[tuple[int, str]] = field(default_factory=set)


def ledger(directory: Path, stake_usd6: int) -> Ledger:
    """The ledger of a tape, each refused trade weighed with ``stake_usd6`` before its fee.

    Raises DependencyMissing where there is no tape.
    """
    tears: list[Tear] = []
    numbering = Numbering()
    found = made(numbering.listen(read(find_tape(directory), tears.append)), stake_usd6)
    return found._replace(gaps=Gaps(tuple(tears), holes(numbering.numbers())))


def made(records: Iterable[Record], stake_usd6: int) -> Ledger:
    """The ledger of these records."""
    seen: dict[str, _Seen] = {}
    books: dict[str, BookState] = {}
    for at_ns, envelope in _told(records):
        body = envelope.body
        if isinstance(body, BookState):
            books[body.token] = body
        elif isinstance(body, MarketState):
            _market(seen.setdefault(body.window, _Seen()), body)
        elif isinstance(body, OrderState):
            seen.setdefault(body.window, _Seen()).traded |= body.filled_size6 > 0
        elif isinstance(body, Verdict):
            _verdict(seen.setdefault(body.window, _Seen()), body, envelope.cause, at_ns, books)
    windows = tuple(
        _window(name, held, held.market, stake_usd6)
        for name, held in sorted(seen.items())
        if held.market is not None
    )
    judged = [one for one in windows if one.verdicts]
    finals = Counter(gate for one in judged if one.final and not one.traded for gate in one.final.failed)
    return Ledger(
        windows,
        tuple(_gates(judged)),
        dict(finals.most_common()),
        tuple(one.window for one in windows if not one.verdicts),
    )


def _told(records: Iterable[Record]) -> Iterator[tuple[int, Envelope]]:
    for record in records:
        if record.kind == "raw" or record.source not in HEARD:
            continue
        try:
            yield record.wall_ns, _decoder.decode(record.data)
        except msgspec.DecodeError:
            continue  # of another version; ``laggard tape verify`` counts those


def _market(held: _Seen, market: MarketState) -> None:
    if market.outcome is None and held.market is not None and held.market.outcome is not None:
        market = msgspec.structs.replace(market, outcome=held.market.outcome)
    held.market = market


def _verdict(held: _Seen, verdict: Verdict, cause: str, at_ns: int, books: Mapping[str, BookState]) -> None:
    """Take in one verdict once, however often it was repeated."""
    if (verdict.number, cause) in held.numbers:
        return
    held.numbers.add((verdict.number, cause))
    held.verdicts += 1
    market = held.market
    if verdict.decision != "no_trade" or market is None or at_ns >= market.end_ns:
        return
    side = side_of(verdict)
    token = market.token_up if side == "up" else market.token_down
    book = books.get(token) if side is not None else None
    failed = tuple(gate.name for gate in verdict.gates if not gate.passed)
    refused = Refused(at_ns, failed, side, book.asks if book is not None else ())
    held.final = refused
    if at_ns >= market.start_ns and (held.closest is None or _distance(refused) <= _distance(held.closest)):
        held.closest = refused


def _distance(refused: Refused) -> tuple[bool, int]:
    """How far it was from a trade: one without a side is further away than any with one."""
    return refused.side is None, len(refused.failed)


def side_of(verdict: Verdict) -> Outcome | None:
    """The side in the direction of the move that a verdict shows; None where it shows none."""
    shown = next((gate.value for gate in verdict.gates if gate.name == MOVE), "")
    number = shown.removesuffix(" %")
    try:
        move = float(number)
    except ValueError:
        return None  # a sentence: there was no reference
    return "up" if move > 0 else "down" if move < 0 else None


def _window(name: str, held: _Seen, market: MarketState, stake_usd6: int) -> WindowLedger:
    net, paid = _net(held.closest, market, stake_usd6) if not held.traded else (None, 0)
    return WindowLedger(
        name,
        market.asset,
        market.start_ns,
        held.traded,
        held.verdicts,
        held.final,
        held.closest,
        market.outcome,
        net,
        paid,
    )


def _net(refused: Refused | None, market: MarketState, stake_usd6: int) -> tuple[int | None, int]:
    """What the trade would have earned after its fee, and what it would have cost."""
    if refused is None or refused.side is None or market.outcome is None:
        return None, 0
    return settled(refused.asks, market.fee, stake_usd6, won=market.outcome == refused.side)


def settled(
    asks: tuple[tuple[int, int], ...], fee: FeeSchedule | None, stake_usd6: int, *, won: bool
) -> tuple[int | None, int]:
    """Net result and cost (1e-6 $, fee included) of buying for a stake from these asks; None: no asks."""
    fills = walk(asks, PRICE4_ONE - 1, stake_usd6, fee).fills
    if not fills:
        return None, 0
    paid = sum(one.cost_usd6 + one.fee_usd6 for one in fills)
    return (sum(one.size6 for one in fills) if won else 0) - paid, paid


def _gates(windows: Iterable[WindowLedger]) -> Iterator[GateLedger]:
    """The gates by how many windows they refused."""
    by_gate: dict[str, list[WindowLedger]] = {}
    for one in windows:
        if one.closest is not None and not one.traded:
            for gate in one.closest.failed:
                by_gate.setdefault(gate, []).append(one)
    for gate, refused in sorted(by_gate.items(), key=lambda item: (-len(item[1]), item[0])):
        weighed = [(one, one.net_usd6) for one in refused if one.net_usd6 is not None]
        wins = sum(one.closest is not None and one.closest.side == one.outcome for one, _ in weighed)
        yield GateLedger(
            gate,
            len(refused),
            sum(one.closest is not None and len(one.closest.failed) == 1 for one in refused),
            len(weighed),
            wilson(wins, len(weighed)),
            sum(net for _, net in weighed),
            bootstrap_mean(
                [net / one.paid_usd6 for one, net in weighed],
                SEED,
                groups=[one.start_ns for one, _ in weighed],
            ),
        )
