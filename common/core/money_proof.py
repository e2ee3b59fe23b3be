"""The proof of the money: the books against themselves, the chain and the venue, to the last base unit.

Every line says what is expected, what was found and what shows it. A difference is named by the one or two
facts that explain it exactly, where there are such. Pure; asks nobody.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping

import msgspec

from common.core.account import broken_sums, cash_usd6, ledger_difference
from common.core.order_state import Books
from common.messages import Fill, PositionState
from common.units import size6_text, usd6_text

UNMINED = ("matched", "retrying")
"""The venue has matched these, the chain has not moved anything yet."""
_MOST_FACTS = 400
"""Newest facts a difference is explained with: pairs of all of a year's would take minutes."""


class WalletFacts(msgspec.Struct, frozen=True):
    """What was read outside; None where it could not be, or was not, asked."""

    chain_usd6: int | None = None
    venue_usd6: int | None = None
    shares6: Mapping[str, int] = {}
    """By token, as the chain has them."""


class ProofLine(msgspec.Struct, frozen=True):
    """One comparison; ``off`` is what was found minus what was expected, in 1e-6 dollars or shares."""

    name: str
    expected: int
    found: int
    off: int
    evidence: str
    text: str = ""
    """What explains a difference; empty without one."""


def prove(books: Books, wallet: WalletFacts | None = None) -> tuple[ProofLine, ...]:
    """Every line of the proof; all of them must be off by 0. Without a wallet only the books are proven."""
    lines = [_books_line(books)]
    if wallet is not None:
        lines += _cash_lines(books, wallet)
        lines += _share_lines(books, wallet)
    return tuple(lines)


def tokens_to_read(books: Books) -> tuple[str, ...]:
    """Tokens whose balance on the chain says something: held, or won and not paid out."""
    return tuple(
        sorted(
            {p.token for p in books.positions.values() if not p.settled or (p.payout_usd6 and not p.redeemed)}
        )
    )


def _books_line(books: Books) -> ProofLine:
    off, _ = ledger_difference(books)
    text = broken_sums(books)
    evidence = f"{len(books.entries)} ledger entries, {len(books.fills)} fills, {len(books.orders)} orders"
    # A sum that is broken before the ledger is reached has no amount of its own.
    return ProofLine("books", 0, off, off or (1 if text else 0), evidence, text)


def _cash_lines(books: Books, wallet: WalletFacts) -> Iterator[ProofLine]:
    cash = cash_usd6(books)
    waiting = sum(f.cost_usd6 + f.fee_usd6 for f in books.fills if f.status in UNMINED)
    if wallet.chain_usd6 is not None:
        expected = cash + waiting
        off = wallet.chain_usd6 - expected
        evidence = "collateral of the wallet on the chain"
        if waiting:
            evidence += f"; {usd6_text(waiting, places=6)} $ are matched and not yet mined"
        yield ProofLine("cash", expected, wallet.chain_usd6, off, evidence, _explained(books, off))
    if wallet.venue_usd6 is not None:
        # The venue's copy follows the match or the chain, and lags behind both for a moment.
        known = {cash, cash + waiting} | ({wallet.chain_usd6} if wallet.chain_usd6 is not None else set())
        off = 0 if wallet.venue_usd6 in known else wallet.venue_usd6 - cash
        text = f"{_explained(books, off)}; or the venue's copy is late: look again in a minute" if off else ""
        yield ProofLine("venue", cash, wallet.venue_usd6, off, "balance by the venue's word", text)


def _share_lines(books: Books, wallet: WalletFacts) -> Iterator[ProofLine]:
    waiting: defaultdict[tuple[str, str], int] = defaultdict(int)
    for fill in books.fills:
        if fill.status in UNMINED:
            waiting[fill.window, fill.outcome] += fill.size6
    for position in books.positions.values():
        if position.token not in wallet.shares6:
            continue
        expected = position.size6 - waiting[position.window, position.outcome]
        found = wallet.shares6[position.token]
        name = f"shares {position.window} {position.outcome}"
        evidence = f"token {position.token} on the chain"
        yield ProofLine(name, expected, found, found - expected, evidence, _shares_explained(position, found))


def _shares_explained(position: PositionState, found: int) -> str:
    if found == position.size6:
        return ""
    if position.settled and not found:
        payout = usd6_text(position.payout_usd6, places=6)
        return f"redeemed, and its {payout} $ are not booked yet: the running executor books it"
    return f"we count {size6_text(position.size6)} shares: compare its trades with the venue's"


def _explained(books: Books, off: int) -> str:
    """The facts that sum up to a difference exactly; a transfer from outside when none do."""
    if not off:
        return ""
    facts = list(_facts(books))[-_MOST_FACTS:]
    for name, amount in facts:
        if amount == off:
            return name
    amounts: dict[int, str] = {}
    for name, amount in facts:
        if off - amount in amounts:
            return f"{amounts[off - amount]}, and {name}"
        amounts.setdefault(amount, name)
    way = "to" if off > 0 else "from"
    return f"no booked fact explains it: a transfer {way} the wallet of {usd6_text(abs(off), places=6)} $?"


def _facts(books: Books) -> Iterator[tuple[str, int]]:
    """Everything that moves money, and by how much the wallet is off when it is missing or doubled."""
    for position in books.positions.values():
        if position.payout_usd6 and not position.redeemed:
            yield f"{position.window} {position.outcome} was paid out and is not booked", position.payout_usd6
    for fill in books.fills:
        yield from _fill_facts(fill)


def _fill_facts(fill: Fill) -> Iterator[tuple[str, int]]:
    spent = fill.cost_usd6 + fill.fee_usd6
    if fill.status == "failed":
        yield f"trade {fill.trade_id} was taken for failed and happened", -spent
        return
    yield f"trade {fill.trade_id} did not happen", spent
    yield f"trade {fill.trade_id} happened twice", -spent
    if fill.fee_usd6:
        yield f"trade {fill.trade_id} cost no fee", fill.fee_usd6
