"""The proof of the money: the books against themselves, the chain and the venue, to the last base unit.

Every line says what is expected, what was found and what shows it; what explains a difference comes from
``money_clues``. Pure; asks nobody.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping

import msgspec

from common.core.account import cash_usd6, ledger_difference
from common.core.ledger import CASH, Payment
from common.core.money_clues import UNMINED, Clue, explain, gained6, is_owed, spent_usd6, token_clues
from common.core.order_state import (
    Books,
)
from common.core.portfolio import worth_usd6
from common.messages import Fill, PositionState
from common.units import size6_text, usd6_text

REDEEMED_READ = 20
"""Newest redeemed positions whose tokens are looked at again; of older ones the cash line tells enough."""
PAYMENTS_SHOWN = 20
"""Newest payments with a line of their own; an older one has it only when it is wrong."""

Sums = dict[str, dict[str, int]]
"""By order or position, then by what is summed."""
_OF_A_POSITION = ("shares", "cost", "fee", "sold shares", "result of sales")


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
    """What explains a difference and what to do about it; empty without one."""
    unexplained: int = 0
    """What no single fact, and no two, account for."""


class Proof(msgspec.Struct, frozen=True):
    """All comparisons that could be made."""

    lines: tuple[ProofLine, ...]

    @property
    def ok(self) -> bool:
        """Every line is zero."""
        return not any(line.off for line in self.lines)

    @property
    def wrong(self) -> tuple[ProofLine, ...]:
        """Lines that do not add up; the one to act on comes last."""
        off = [line for line in self.lines if line.off]
        inside = [line for line in off if line.name.startswith("books")]
        # Wrong books make everything outside look wrong; otherwise the first line is the nearest to money.
        first = inside[-1:] or off[:1]
        return tuple(line for line in off if line not in first) + tuple(first)

    @property
    def difference_usd6(self) -> int:
        """The sum of all that is unexplained, a share counting as the dollar it can become."""
        return sum(abs(line.unexplained) for line in self.lines)


def prove(books: Books, wallet: WalletFacts | None = None) -> Proof:
    """Every line of the proof; without a wallet only the books are proven."""
    lines = [*_order_lines(books), *_position_lines(books), *_payment_lines(books), _ledger_line(books)]
    if wallet is not None:
        lines += _wallet_lines(books, wallet)
    return Proof(tuple(lines))


def tokens_to_read(books: Books) -> tuple[str, ...]:
    """Tokens whose balance on the chain says something: held, won and not paid out, or redeemed of late.

    What lost is worth nothing and stays in the wallet uncounted.
    """
    redeemed = [one.position.token for one in books.settlements if one.position.redeemed]
    held = [each.token for each in books.positions.values() if not each.settled or is_owed(each)]
    return tuple(sorted({*held, *redeemed[-REDEEMED_READ:]}))


def _order_lines(books: Books) -> Iterator[ProofLine]:
    states = [order.state for order in books.orders.values()]
    booked: Sums = {
        state.order_id: {"shares": state.filled_size6, "cost": state.cost_usd6, "fee": state.fee_usd6}
        for state in states
    }
    fills = [(fill.order_id, fill) for fill in books.fills]
    yield from _compared("order", _summed(fills), booked, fills)


def _position_lines(books: Books) -> Iterator[ProofLine]:
    fills = [(f"{fill.window} {fill.outcome}", fill) for fill in books.fills]
    expected = _held(fills)
    booked: Sums = {}
    for held in books.positions.values():
        name = f"{held.window} {held.outcome}"
        booked[name] = {"shares": held.size6, "cost": held.cost_usd6, "fee": held.fee_usd6}
        booked[name] |= {"payout": held.payout_usd6, "profit": held.pnl_usd6}
        booked[name] |= {"sold shares": held.sold6, "result of sales": held.realized_usd6}
        if held.settled:
            sums = expected.setdefault(name, dict.fromkeys(_OF_A_POSITION, 0))
            payout = worth_usd6(held, sums["shares"])
            profit = payout + sums["result of sales"] - sums["cost"] - sums["fee"]
            sums |= {"payout": payout, "profit": profit}
    yield from _compared("position", expected, booked, fills)


def _summed(fills: list[tuple[str, Fill]]) -> Sums:
    """What the fills make of each; failed ones count for nothing."""
    sums: Sums = {}
    for key, fill in fills:
        own = sums.setdefault(key, {"shares": 0, "cost": 0, "fee": 0})
        if fill.status != "failed":
            own["shares"] += fill.size6
            own["cost"] += fill.cost_usd6
            own["fee"] += fill.fee_usd6
    return sums


def _held(fills: list[tuple[str, Fill]]) -> Sums:
    """What the fills leave of each position: a sale takes shares out, and what they had cost."""
    sums: Sums = {}
    for key, fill in fills:
        own = sums.setdefault(key, dict.fromkeys(_OF_A_POSITION, 0))
        if fill.status == "failed":
            continue
        own["shares"] += gained6(fill)
        own["fee"] += fill.fee_usd6
        if fill.side == "buy":
            own["cost"] += fill.cost_usd6
            continue
        own["cost"] -= fill.released_usd6
        own["sold shares"] += fill.size6
        own["result of sales"] += fill.cost_usd6 - fill.released_usd6
    return sums


def _compared(kind: str, expected: Sums, booked: Sums, fills: list[tuple[str, Fill]]) -> Iterator[ProofLine]:
    """A line for each sum that is wrong; one for all of them when none is."""
    trades: defaultdict[str, list[str]] = defaultdict(list)
    for key, fill in fills:
        trades[key].append(fill.trade_id)
    right = True
    for key in booked | expected:
        should, has = expected.get(key, {}), booked.get(key, {})
        for what in has | should:
            want, found = should.get(what, 0), has.get(what, 0)
            if want != found:
                right = False
                text = f"the {kind} is not the sum of its trades: stop trading and keep the journal as it is"
                evidence = f"trades {', '.join(trades[key])}" if trades[key] else "there is no trade of it"
                yield _line(f"books {kind} {key} {what}", want, found, evidence, text)
    if right:
        spent = sum(sums["cost"] + sums["fee"] for sums in booked.values())
        yield _line(f"books {kind}s", spent, spent, f"{len(booked)} are the sums of {len(fills)} trades")


def _payment_lines(books: Books) -> Iterator[ProofLine]:
    """What came in for burnt tokens against what was booked of it, newest last; each with its transaction."""
    booked: defaultdict[str, int] = defaultdict(int)
    outside: defaultdict[str, int] = defaultdict(int)
    for entry in books.entries:
        if entry.kind in ("redeemed", "found"):
            cash = sum(line.amount_usd6 for line in entry.lines if line.account == CASH)
            booked[entry.evidence] += cash
            outside[entry.evidence] += cash if entry.kind == "found" else 0
    text = "the ledger does not have what came in: stop trading and keep the journal as it is"
    oldest_shown = len(books.payments) - PAYMENTS_SHOWN
    for place, payment in enumerate(books.payments.values()):
        name, evidence = f"books redeemed {payment.name}", payment.evidence
        found = booked[evidence]
        if place >= oldest_shown or found != payment.paid_usd6:
            shown_by = evidence + _origin(payment, outside[evidence])
            yield _line(name, payment.paid_usd6, found, shown_by, text)


def _origin(payment: Payment, outside_usd6: int) -> str:
    """What a person should know of a payment beyond its transaction."""
    said = ["redeemed by somebody else"] if payment.elsewhere else []
    for amount, what in (
        (outside_usd6, "for shares that are not in the books"),
        (payment.surplus_usd6 if outside_usd6 < payment.paid_usd6 else 0, "more than the tokens are worth"),
    ):
        said += [f"{usd6_text(amount, places=6)} $ {what}"] if amount else []
    return "".join(f"; {each}" for each in said)


def _ledger_line(books: Books) -> ProofLine:
    off, text = ledger_difference(books)
    evidence = (
        f"{len(books.entries)} entries, {len(books.fills)} trades, {len(books.settlements)} settlements"
    )
    evidence += f", {len(books.payments)} payments" if books.payments else ""
    text += ": stop trading and keep the journal as it is" if text else ""
    return _line("books ledger", 0, off, evidence, text)


def _wallet_lines(books: Books, wallet: WalletFacts) -> Iterator[ProofLine]:
    waiting: defaultdict[str, int] = defaultdict(int)
    for fill in books.fills:
        if fill.status in UNMINED:
            waiting[fill.token] += gained6(fill)
    shares = [
        (position, _shares_due(position, waiting[position.token]))
        for position in books.positions.values()
        if position.token in wallet.shares6 and not _is_worthless(position)
    ]
    shares_off = {held.token: wallet.shares6[held.token] - due for held, due in shares}
    clues = token_clues(books, shares_off)
    on_the_way = sum(spent_usd6(fill) for fill in books.fills if fill.status in UNMINED)
    cash = cash_usd6(books)
    if wallet.chain_usd6 is not None:
        told = explain(books, wallet.chain_usd6 - cash - on_the_way, shares_off)
        clues = told.clues
        evidence = "collateral of the wallet on the chain"
        if on_the_way:
            evidence += f"; {usd6_text(on_the_way, places=6)} $ are matched and not yet mined"
        yield _line("cash", cash + on_the_way, wallet.chain_usd6, evidence, told.text, told.rest_usd6)
    if wallet.venue_usd6 is not None:
        yield _venue_line(wallet.venue_usd6, wallet.chain_usd6, cash, on_the_way)
    by_token = {clue.token: clue for clue in clues if clue.shares6}
    for held, due in shares:
        yield _share_line(held, due, wallet.shares6[held.token], by_token.get(held.token))


def _venue_line(found: int, chain_usd6: int | None, cash: int, on_the_way: int) -> ProofLine:
    """The venue's copy follows the match or the chain, and lags behind both for a moment."""
    evidence = "balance by the venue's word"
    expected = cash + on_the_way if chain_usd6 is None else chain_usd6
    if found in (cash, cash + on_the_way):
        expected = found
    text = "the venue's copy of the balance lags behind the chain: look again in a minute"
    return _line("venue", expected, found, evidence, text)


def _shares_due(position: PositionState, unmined6: int) -> int:
    return 0 if position.redeemed else position.size6 - unmined6


def _is_worthless(position: PositionState) -> bool:
    return position.settled and not position.payout_usd6


def _share_line(position: PositionState, due: int, found: int, clue: Clue | None) -> ProofLine:
    name = f"shares {position.window} {position.outcome}"
    evidence = f"token {position.token} on the chain"
    if clue is not None and clue.shares6 == found - due:
        return _line(name, due, found, evidence, f"{clue.text}; {clue.cure}", 0)
    if is_owed(position) and found < due:
        missing = size6_text(due - found)
        text = f"{missing} shares are gone and no payout came for them: look at the wallet's transfers"
    else:
        text = f"we count {size6_text(due)} shares: compare its trades with the venue's"
    return _line(name, due, found, evidence, text)


def _line(
    name: str, expected: int, found: int, evidence: str, text: str = "", unexplained: int | None = None
) -> ProofLine:
    off = found - expected
    if not off:
        return ProofLine(name, expected, found, 0, evidence)
    return ProofLine(name, expected, found, off, evidence, text, off if unexplained is None else unexplained)
