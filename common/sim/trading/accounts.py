"""The venue's customers: whose key trades for which wallet, and what their API keys are.

Fixed for a run; balances are the account book's business.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from common.sim.settings import SimAccount
from common.sim.trading.contracts import SIGNATURE_TYPES, WalletKind


@dataclass(frozen=True, slots=True)
class Account:
    """One wallet with money; addresses are in lower case."""

    signer: str
    """The key that owns it."""
    kind: WalletKind
    address: str
    """The wallet that holds the money."""
    allowance_usd6: int
    session_signers: tuple[str, ...] = ()

    @property
    def signature_type(self) -> int:
        return SIGNATURE_TYPES[self.kind]

    def lets(self, signer: str) -> bool:
        """Whether this key may trade for it."""
        return signer.lower() in (self.signer, *self.session_signers)


class Accounts:
    """All accounts, found by wallet or by key."""

    def __init__(self, told: Iterable[SimAccount], key_owners: Mapping[str, str]) -> None:
        """``key_owners``: API key to the address of the key that made it; grows while the venue runs."""
        self.all = tuple(_account(each) for each in told)
        self._key_owners = key_owners
        self._by_address = {account.address: account for account in self.all}

    def of_wallet(self, address: str) -> Account | None:
        return self._by_address.get(address.lower())

    def of_signer(self, signer: str, signature_type: int) -> Account | None:
        """The account of this type that the key trades for."""
        for account in self.all:
            if account.signature_type == signature_type and account.lets(signer):
                return account
        return None

    def key_owner(self, api_key: str) -> str | None:
        """The address (lower case) an API key belongs to."""
        owner = self._key_owners.get(api_key)
        return None if owner is None else owner.lower()

    def keys_of(self, signer: str) -> list[str]:
        return [key for key, owner in self._key_owners.items() if owner.lower() == signer.lower()]


def _account(told: SimAccount) -> Account:
    return Account(
        told.signer.lower(),
        told.kind,
        (told.address or told.signer).lower(),
        told.allowance_usd6,
        tuple(each.lower() for each in told.session_signers),
    )
