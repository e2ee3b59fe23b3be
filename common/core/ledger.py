"""Double-entry book-keeping in 1e-6 $, and its proof against an independent sum.

An entry whose lines do not sum to zero cannot exist. Debits are positive: ``cash``, ``redeemable``, ``fees``
and ``positions:<window>:<outcome>`` grow with them, ``capital`` and ``pnl`` are negative when they are in our
favour. ``pnl`` is before fees; ``fees`` is all that was ever paid. ``redeemable`` is what real money won and
is not yet in the wallet. Never stores anything.

A payment that came for burnt tokens is booked by one entry ``redeemed`` for all positions it paid, and one
``found`` for what it paid beyond them: shares that somebody bought by hand. So one log is booked once.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from common.core.portfolio import worth_usd6
from common.errors import InvariantBroken
from common.messages import Fill, Outcome, PositionState

EntryKind = Literal["opening", "bought", "sold", "unbooked", "settled", "redeemed", "found"]
Origin = tuple[EntryKind, str]
"""What an entry says it comes from: its kind and its evidence."""

CASH = "cash"
REDEEMABLE = "redeemable"
FEES = "fees"
PNL = "pnl"
CAPITAL = "capital"


class Line(msgspec.Struct, frozen=True):
    """A signed amount on one account."""

    account: str
    amount_usd6: int


class Entry(msgspec.Struct, frozen=True):
    """One event of the account; ``evidence`` names the fact it rests on, such as a venue trade id.

    Raises InvariantBroken, also when read back from storage, unless its lines sum to zero.
    """

    number: int
    at_ns: int
    kind: EntryKind
    lines: tuple[Line, ...]
    evidence: str
    memo: str = ""

    def __post_init__(self) -> None:
        off = sum(line.amount_usd6 for line in self.lines)
        if off:
            raise InvariantBroken(
                f"ledger entry {self.number} ({self.kind}, {self.evidence}) is out of balance by {off} "
                "millionths of a dollar: compare it with its evidence before going on"
            )


class Payment(msgspec.Struct, frozen=True):
    """Money that came into the wallet for tokens of one condition, as the chain shows it."""

    evidence: str
    """``<transaction hash>:<log index>`` of the transfer."""
    condition_id: str
    window: str
    """Empty where nobody told whose condition it is."""
    paid_usd6: int
    """What arrived, surplus included."""
    surplus_usd6: int
    """What arrived beyond the worth of the tokens."""
    tokens: tuple[tuple[str, int], ...]
    """(token, 1e-6 shares) that left the wallet."""
    elsewhere: bool = False
    """Somebody else's transaction did it."""

    @property
    def name(self) -> str:
        """The window, or the condition of one that is not ours."""
        return self.window or self.condition_id


class Difference(msgspec.Struct, frozen=True):
    """How the ledger departs from the facts; ``usd6`` is 0 exactly when it does not.

    ``usd6`` is how far the named account of the named entry is off (ledger minus facts). ``entry_number`` is
    None when the entry is missing; ``evidence`` then names the fact nothing was booked for.
    """

    usd6: int
    account: str = ""
    entry_number: int | None = None
    evidence: str = ""


def position_account(window: str, outcome: Outcome) -> str:
    """The account that holds what one window's token cost."""
    return f"positions:{window}:{outcome}"


def opening(number: int, at_ns: int, bankroll_usd6: int) -> Entry:
    """The money the account starts with."""
    lines = (Line(CASH, bankroll_usd6), Line(CAPITAL, -bankroll_usd6))
    return Entry(number, at_ns, "opening", lines, evidence="bankroll")


def bought(number: int, fill: Fill) -> Entry:
    """A fill: cash becomes position and fee."""
    lines = (
        Line(position_account(fill.window, fill.outcome), fill.cost_usd6),
        Line(FEES, fill.fee_usd6),
        Line(CASH, -fill.cost_usd6 - fill.fee_usd6),
    )
    return Entry(number, fill.at_ns, "bought", lines, evidence=fill.trade_id, memo=fill.order_id)


def sold(number: int, fill: Fill) -> Entry:
    """A sale: what its shares had cost leaves the position, what it brought beyond that is a result."""
    lines = (
        Line(CASH, fill.cost_usd6 - fill.fee_usd6),
        Line(FEES, fill.fee_usd6),
        Line(position_account(fill.window, fill.outcome), -fill.released_usd6),
        Line(PNL, fill.released_usd6 - fill.cost_usd6),
    )
    return Entry(number, fill.at_ns, "sold", lines, evidence=fill.trade_id, memo=fill.order_id)


def traded(number: int, fill: Fill) -> Entry:
    """A fill of either side."""
    return sold(number, fill) if fill.side == "sell" else bought(number, fill)


def unbooked(number: int, at_ns: int, fill: Fill) -> Entry:
    """A fill that failed on the chain: everything it changed is taken back."""
    lines = tuple(Line(line.account, -line.amount_usd6) for line in traded(number, fill).lines)
    return Entry(number, at_ns, "unbooked", lines, evidence=fill.trade_id, memo=fill.order_id)


def settled(
    number: int, at_ns: int, position: PositionState, payout_account: str = CASH, shown_by: str = ""
) -> Entry:
    """A settled position: its cost becomes payout and result; raises InvariantBroken when it is open.

    ``shown_by`` is where the result was read; empty: it is the venue's word.
    """
    account = position_account(position.window, position.outcome)
    if not position.settled:
        raise InvariantBroken(f"{account} cannot be booked as settled: it is open")
    lines = (
        Line(payout_account, position.payout_usd6),
        Line(account, -position.cost_usd6),
        Line(PNL, position.cost_usd6 - position.payout_usd6),
    )
    split = f" {position.numerator}/{position.denominator}" if position.official == "split" else ""
    memo = f"official outcome {position.official}{split}" + (f", {shown_by}" if shown_by else "")
    return Entry(number, at_ns, "settled", lines, evidence=account, memo=memo)


def redeemed(number: int, at_ns: int, payment: Payment, payout_usd6: int) -> Entry:
    """Payouts that reached the wallet, of all positions one payment paid; its surplus is a gain."""
    lines = (
        Line(CASH, payout_usd6 + payment.surplus_usd6),
        Line(REDEEMABLE, -payout_usd6),
        Line(PNL, -payment.surplus_usd6),
    )
    memo = f"{payment.name} redeemed{' by somebody else' if payment.elsewhere else ''}"
    return Entry(number, at_ns, "redeemed", lines, evidence=payment.evidence, memo=memo)


def found(number: int, at_ns: int, payment: Payment, amount_usd6: int) -> Entry:
    """What a payment brought for shares that are in no position: money from outside."""
    lines = (Line(CASH, amount_usd6), Line(CAPITAL, -amount_usd6))
    memo = f"shares of {payment.name} that are not in the books"
    return Entry(number, at_ns, "found", lines, evidence=payment.evidence, memo=memo)


def balances(entries: Iterable[Entry]) -> dict[str, int]:
    """The balance of every account that was ever booked on."""
    sums: defaultdict[str, int] = defaultdict(int)
    for entry in entries:
        for line in entry.lines:
            sums[line.account] += line.amount_usd6
    return dict(sums)


def difference(
    entries: Iterable[Entry],
    fills: Iterable[Fill],
    settlements: Iterable[PositionState],
    bankroll_usd6: int,
    *,
    payments: Mapping[str, Payment] | None = None,
    live: bool = False,
) -> Difference:
    """Compare the ledger, entry by entry in its order, with what the facts say; names the first that is off.

    The facts are the bankroll, every fill once, the official outcome of every settled position, and every
    payment. Cost and payout of a settlement are summed anew from the fills: a position that was added up
    wrongly shows as well. With real money a payout is owed (``redeemable``) until it is redeemed.
    """
    expected = _facts(fills, settlements, payments or {}, bankroll_usd6, REDEEMABLE if live else CASH)
    for entry in entries:
        facts = expected.pop((entry.kind, entry.evidence), {})
        booked = balances([entry])
        for account in booked | facts:
            off = booked.get(account, 0) - facts.get(account, 0)
            if off:
                return Difference(off, account, entry.number, entry.evidence)
    for (_, evidence), facts in expected.items():
        for account, amount in facts.items():
            if amount:
                return Difference(-amount, account, None, evidence)
    return Difference(0)


def _facts(
    fills: Iterable[Fill],
    settlements: Iterable[PositionState],
    payments: Mapping[str, Payment],
    bankroll_usd6: int,
    payout_account: str,
) -> dict[Origin, dict[str, int]]:
    """What must have been booked, by origin, in the order of the facts."""
    expected: dict[Origin, dict[str, int]] = {
        ("opening", "bankroll"): {CASH: bankroll_usd6, CAPITAL: -bankroll_usd6}
    }
    shares: defaultdict[str, int] = defaultdict(int)
    costs: defaultdict[str, int] = defaultdict(int)
    due: defaultdict[str, int] = defaultdict(int)
    for fill in fills:
        account = position_account(fill.window, fill.outcome)
        sells, fee = fill.side == "sell", fill.fee_usd6
        size6, cost = (-fill.size6, -fill.released_usd6) if sells else (fill.size6, fill.cost_usd6)
        paid = {account: cost, FEES: fee, CASH: -cost - fee}
        if sells:
            paid |= {CASH: fill.cost_usd6 - fee, PNL: -cost - fill.cost_usd6}
        expected["sold" if sells else "bought", fill.trade_id] = paid
        if fill.status == "failed":
            expected["unbooked", fill.trade_id] = {name: -amount for name, amount in paid.items()}
            continue
        shares[account] += size6
        costs[account] += cost
    for position in settlements:
        account = position_account(position.window, position.outcome)
        payout, cost = worth_usd6(position, shares[account]), costs[account]
        expected["settled", account] = {account: -cost, payout_account: payout, PNL: cost - payout}
        if position.redeemed in payments:
            due[position.redeemed] += payout
        elif position.redeemed:
            # Booked before there were payments, each position by itself.
            expected["redeemed", account] = {CASH: payout, REDEEMABLE: -payout}
    for evidence, payment in payments.items():
        outside = payment.paid_usd6
        if evidence in due:
            ours, surplus = due[evidence], payment.surplus_usd6
            expected["redeemed", evidence] = {CASH: ours + surplus, REDEEMABLE: -ours, PNL: -surplus}
            outside -= ours + surplus
        expected["found", evidence] = {CASH: outside, CAPITAL: -outside}
    return expected
