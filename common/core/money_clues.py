"""What explains a difference between the wallet and the books: the fact, or the two, that make exactly it.

A clue says how cash and one token of the wallet would differ if it were true; a token that was read and is
right refutes every clue that moves it. Names facts, never decides that one is true.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

import msgspec

from common.core.order_state import (
    Books,
)
from common.core.portfolio import worth_usd6
from common.messages import Fill, PositionState
from common.units import size6_text, usd6_text

UNMINED = ("matched", "retrying")
"""The venue has matched these, and as far as we were told the chain has not moved anything yet."""
PAIRED = 200
"""Newest clues that are tried two by two: among all of a year's some pair fits any sum by chance."""
_LATER = "look again in a minute"
_BOOKED = "the running redeemer and executor book it once it is final"
_TRADES = "compare it with the venue's trades"


class Clue(msgspec.Struct, frozen=True):
    """One thing that may have happened otherwise than it is booked."""

    text: str
    usd6: int
    """What the wallet then holds more than expected."""
    token: str
    shares6: int
    """What the wallet then holds more of this token than expected."""
    fact: str
    """Trade or position; two clues of one fact contradict each other."""
    kind: Literal["trade", "payout"] = "trade"
    cure: str = _TRADES


class Explanation(msgspec.Struct, frozen=True):
    """The clues that make a difference, and what they leave of it."""

    clues: tuple[Clue, ...]
    rest_usd6: int
    alike: int = 0
    """How many other single clues fit as well as the last."""

    @property
    def text(self) -> str:
        """One sentence with the cure; empty when there was nothing to explain."""
        said = [clue.text for clue in self.clues]
        cures = [clue.cure for clue in self.clues]
        if self.alike:
            said[-1] += f" (or one of {self.alike} alike)"
        if self.rest_usd6:
            way = "to" if self.rest_usd6 > 0 else "from"
            amount = usd6_text(abs(self.rest_usd6), places=6)
            said.append(
                f"no booked fact explains it: a transfer {way} the wallet of {amount} $ from outside?"
            )
            cures.append("look at the wallet's transfers")
        return "; ".join([", and ".join(said), *dict.fromkeys(cures)]) if said else ""


def explain(books: Books, off_usd6: int, shares_off: Mapping[str, int]) -> Explanation:
    """What makes the wallet's cash differ by so much; ``shares_off`` has every token that was read."""
    certain = token_clues(books, shares_off)
    possible = [clue for clue in _clues(books) if not clue.shares6 or clue.token not in shares_off]
    for told in dict.fromkeys((certain, ())):
        rest = off_usd6 - sum(clue.usd6 for clue in told)
        if not rest:
            return Explanation(told, 0)
        fits = [clue for clue in possible if clue.usd6 == rest] if off_usd6 else []
        if fits:
            return Explanation((*told, fits[-1]), 0, len(fits) - 1)
        pair = _pair(possible[-PAIRED:], rest) if off_usd6 else ()
        if pair:
            return Explanation((*told, *pair), 0)
    return Explanation(certain, off_usd6 - sum(clue.usd6 for clue in certain))


def token_clues(books: Books, shares_off: Mapping[str, int]) -> tuple[Clue, ...]:
    """For each token that differs, what makes exactly that; none where nothing does."""
    wanted = {token: off for token, off in shares_off.items() if off}
    if not wanted:
        return ()
    found: dict[str, Clue] = {}
    for position in books.positions.values():
        off = wanted.get(position.token, 0)
        # What is too little to pay anything was not redeemed.
        if off < 0 and is_owed(position) and worth_usd6(position, -off):
            found[position.token] = _payout(position, -off)
    for clue in (*_mined_together(books), *_clues(books)):
        if clue.shares6 and wanted.get(clue.token) == clue.shares6:
            found.setdefault(clue.token, clue)
    return tuple(found.values())


def is_owed(position: PositionState) -> bool:
    """Won, and as far as is booked not paid out."""
    return position.settled and position.payout_usd6 > 0 and not position.redeemed


def spent_usd6(fill: Fill) -> int:
    """What a fill takes out of the wallet; less than nothing for a sale."""
    return fill.fee_usd6 - fill.cost_usd6 if fill.side == "sell" else fill.cost_usd6 + fill.fee_usd6


def gained6(fill: Fill) -> int:
    """The shares a fill brings into the wallet; less than nothing for a sale."""
    return -fill.size6 if fill.side == "sell" else fill.size6


def _pair(clues: Iterable[Clue], rest: int) -> tuple[Clue, ...]:
    seen: defaultdict[int, list[Clue]] = defaultdict(list)
    for clue in clues:
        for other in seen[rest - clue.usd6]:
            if _go_together(clue, other):
                return other, clue
        seen[clue.usd6].append(clue)
    return ()


def _go_together(one: Clue, other: Clue) -> bool:
    if one.fact == other.fact:
        return False
    # A trade that is missing set against one that is doubled makes any small amount, and is never the reason.
    return (one.usd6 > 0) == (other.usd6 > 0) or "payout" in (one.kind, other.kind)


def _clues(books: Books) -> Iterator[Clue]:
    """Everything that moves money, payouts last: they are the likeliest."""
    for fill in books.fills:
        held = books.positions.get((fill.window, fill.outcome))
        yield from _fill_clues(fill, held if held is not None and held.redeemed else None)
    for position in books.positions.values():
        if is_owed(position):
            yield _payout(position, position.size6)
        elif position.redeemed:
            name = f"{position.window} {position.outcome}"
            yield Clue(
                text=f"{name} is booked as redeemed ({position.redeemed}) and was not paid out",
                usd6=-position.payout_usd6,
                token=position.token,
                shares6=position.size6,
                fact=name,
                kind="payout",
                cure="look at the wallet's transfers",
            )


def _payout(position: PositionState, gone6: int) -> Clue:
    name, paid_usd6 = f"{position.window} {position.outcome}", worth_usd6(position, gone6)
    part = "" if gone6 == position.size6 else f"{size6_text(gone6)} shares of "
    return Clue(
        text=f"{part}{name} was redeemed and is not booked yet ({usd6_text(paid_usd6, places=6)} $)",
        usd6=paid_usd6,
        token=position.token,
        shares6=-gone6,
        fact=name,
        kind="payout",
        cure=_BOOKED,
    )


def _fill_clues(fill: Fill, redeemed: PositionState | None) -> Iterator[Clue]:
    name, spent = f"trade {fill.trade_id}", spent_usd6(fill)
    left6, net = gained6(fill), spent
    if redeemed is not None:
        # Shares that were redeemed have become money; those that were not there for it would have.
        worth = worth_usd6(redeemed, fill.size6)
        left6, net = 0, spent + worth if fill.side == "sell" else spent - worth
    if fill.status in UNMINED:
        text = f"{name} is on the chain already and its news is not here yet"
        yield Clue(text, -spent, fill.token, gained6(fill), fill.trade_id, cure=_LATER)
        return
    if fill.status == "failed":
        yield Clue(f"{name} was taken for failed and happened", -net, fill.token, left6, fill.trade_id)
        return
    yield Clue(f"{name} did not happen", net, fill.token, -left6, fill.trade_id)
    yield Clue(f"{name} happened twice", -net, fill.token, left6, fill.trade_id)
    if fill.fee_usd6:
        yield Clue(f"{name} cost no fee", fill.fee_usd6, fill.token, 0, fill.trade_id)
        yield Clue(f"{name} cost its fee twice", -fill.fee_usd6, fill.token, 0, fill.trade_id)


def _mined_together(books: Books) -> Iterator[Clue]:
    """All trades of a token that wait for the chain, as one."""
    together: defaultdict[str, list[Fill]] = defaultdict(list)
    for fill in books.fills:
        if fill.status in UNMINED:
            together[fill.token].append(fill)
    for token, fills in together.items():
        if len(fills) > 1:
            names = ", ".join(fill.trade_id for fill in fills)
            yield Clue(
                text=f"trades {names} are on the chain already and their news is not here yet",
                usd6=-sum(spent_usd6(fill) for fill in fills),
                token=token,
                shares6=sum(gained6(fill) for fill in fills),
                fact=names,
                cure=_LATER,
            )
