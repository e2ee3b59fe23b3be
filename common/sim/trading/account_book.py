"""Who holds how much of what: a double-entry book in base units, kept for the venue and for the chain.

Every entry takes from one holder exactly what it gives to another, so the sum over all holders never changes.
Knows no order and no wire format.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

COLLATERAL_ASSET = "pUSD"
"""Every other asset is named by its token id."""
COUNTERPARTIES = "counterparties"
FEES = "fees"
OUTSIDE = "outside"
"""Where deposits come from."""


class Entry(NamedTuple):
    """``amount6`` of an asset goes from one holder to another."""

    giver: str
    taker: str
    asset: str
    amount6: int


class AccountBook:
    """Balances by holder and asset; holders that are no account may owe, an account never does."""

    def __init__(self, accounts: Iterable[str] = ()) -> None:
        self._accounts = frozenset(accounts)
        self._held: defaultdict[tuple[str, str], int] = defaultdict(int)

    def post(self, entries: Iterable[Entry]) -> None:
        """Carry out all entries, or none; raises ValueError when an account would owe."""
        after: defaultdict[tuple[str, str], int] = defaultdict(int)
        for giver, taker, asset, amount6 in entries:
            if amount6 < 0:
                raise ValueError(f"an entry of {amount6} {asset} is a hidden entry the other way")
            after[giver, asset] -= amount6
            after[taker, asset] += amount6
        for (holder, asset), change in after.items():
            if holder in self._accounts and change < 0 and self._held[holder, asset] + change < 0:
                raise ValueError(f"{holder} would owe {asset}: {self._held[holder, asset] + change}")
        for place, change in after.items():
            self._held[place] += change

    def balance(self, holder: str, asset: str = COLLATERAL_ASSET) -> int:
        return self._held.get((holder, asset), 0)

    def tokens(self, holder: str) -> dict[str, int]:
        """Every token balance that is not zero."""
        return {
            asset: amount
            for (who, asset), amount in self._held.items()
            if who == holder and asset != COLLATERAL_ASSET and amount
        }

    def sums(self) -> dict[str, int]:
        """By asset, the sum over all holders: always zero, because what came in is owed by the outside."""
        totals: defaultdict[str, int] = defaultdict(int)
        for (_, asset), amount in self._held.items():
            totals[asset] += amount
        return dict(totals)


def reversed_entries(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """The entries that undo these."""
    return tuple(Entry(taker, giver, asset, amount6) for giver, taker, asset, amount6 in entries)
