"""Reads of the contracts the trader looks at: selector and words in, words out.

ERC-20 of the collateral, ERC-1155 of the outcome tokens, payouts of resolved markets, nonces of wallets, the
wallet factory's beacon. Everything else reverts, as it would on the chain.
"""

from common.sim.token_ids import collection_of, position_of
from common.sim.trading.abi_words import WORD, CallReverted, address, array, hexed, ledger_version, words_of
from common.sim.trading.account_book import COLLATERAL_ASSET
from common.sim.trading.chain import Chain
from common.sim.trading.contracts import (
    BINARY_MODULE,
    COLLATERAL,
    DEPOSIT_BEACON,
    DEPOSIT_FACTORY,
    POSITION_MANAGER,
    SPENDERS,
)
from common.sim.trading.exchange import Exchange
from common.sim.world import Market, World

_OUTCOMES = ("Up", "Down")
_WHOLE = 1_000_000
"""What the two results of the newer ledger sum to."""
_NOT_RESOLVED = "28acd6be"
_HASHED_BITS = (2**64 - 1) << 40
"""Zero in every token of the newer ledger, and hardly ever in one of the older, which is a hash."""


class ChainCalls:
    """What ``eth_call`` returns."""

    def __init__(self, exchange: Exchange, world: World, chain: Chain) -> None:
        self._exchange = exchange
        self._world = world
        self._chain = chain

    def result(self, to: str, data: bytes, block: int) -> str:
        """The answer of a contract (address in lower case) at a block, as hex; raises CallReverted."""
        selector, words = data[:4].hex(), words_of(data[4:])
        if to == COLLATERAL.lower():
            return self._collateral(selector, words, block)
        if ledger_version(to):
            return self._tokens(to, selector, words, block)
        if to == BINARY_MODULE.lower() and selector == "e4939c77":  # getResult(bytes31)
            market = self._resolved(words[0], "v2")
            return (
                hexed(WORD, 0) if market is None else hexed(WORD, 2, *(_WHOLE * won for won in _won(market)))
            )
        if to == DEPOSIT_FACTORY.lower() and selector == "49493a4d":  # beacon()
            return hexed(int(DEPOSIT_BEACON, 16))
        account = self._exchange.accounts.of_wallet(to)
        if account is not None and account.kind in ("deposit", "safe") and selector == "affed0e0":  # nonce()
            return hexed(self._chain.nonce(to, block))
        raise CallReverted

    def _collateral(self, selector: str, words: list[int], block: int) -> str:
        match selector:
            case "70a08231":  # balanceOf(address)
                return hexed(self._chain.balance(address(words[0]), COLLATERAL_ASSET, block))
            case "dd62ed3e":  # allowance(address,address)
                account = self._exchange.accounts.of_wallet(address(words[0]))
                allowed = address(words[1]) in (spender.lower() for spender in SPENDERS)
                return hexed(account.allowance_usd6 if account is not None and allowed else 0)
            case "313ce567":  # decimals()
                return hexed(6)
        raise CallReverted

    def _tokens(self, contract: str, selector: str, words: list[int], block: int) -> str:
        version = ledger_version(contract)
        match selector:
            case "00fdd58e":  # balanceOf(address,uint256)
                return hexed(self._balance(version, words[0], words[1], block))
            case "4e1273f4":  # balanceOfBatch(address[],uint256[])
                owners, ids = (array(words, place) for place in words[:2])
                if len(owners) != len(ids):
                    raise CallReverted
                held = [
                    self._balance(version, owner, token, block)
                    for owner, token in zip(owners, ids, strict=True)
                ]
                return hexed(WORD, len(held), *held)
            case "e985e9c5":  # isApprovedForAll(address,address)
                place = (address(words[0]), contract, address(words[1]))
                return hexed(int(self._chain.approved(place)))
        return self._payouts(contract, selector, words)

    def _payouts(self, contract: str, selector: str, words: list[int]) -> str:
        if contract == POSITION_MANAGER.lower():
            if selector == "4c619e4c":  # getPayout(uint256,uint256)
                return self._payout(words[0], words[1])
            raise CallReverted
        match selector:
            case "dd34de67":  # payoutDenominator(bytes32)
                return hexed(0 if self._resolved(words[0], "v1") is None else 1)
            case "0504c814":  # payoutNumerators(bytes32,uint256)
                market = self._resolved(words[0], "v1")
                if market is None or words[1] > 1:
                    raise CallReverted
                return hexed(_won(market)[words[1]])
            case "856296f7":  # getCollectionId(bytes32,bytes32,uint256)
                if words[0]:
                    raise CallReverted("not simulated: a collection with a parent")
                return hexed(collection_of(words[1], words[2]))
            case "39dd7530":  # getPositionId(address,bytes32)
                return hexed(position_of(words[0], words[1]))
        raise CallReverted

    def _balance(self, version: str, owner: int, token: int, block: int) -> int:
        if version != ("v1" if token & _HASHED_BITS else "v2"):
            return 0
        return self._chain.balance(address(owner), str(token), block)

    def _payout(self, position: int, amount: int) -> str:
        market = self._world.by_token.get(str(position))
        if market is None or market.spec.version != "v2" or market.outcome is None:
            raise CallReverted(selector=_NOT_RESOLVED)
        return hexed(amount * _won(market)[market.tokens.index(str(position))])

    def _market(self, condition: int, version: str) -> Market | None:
        market = self._world.by_condition.get(f"0x{condition:064x}")
        return market if market is not None and market.spec.version == version else None

    def _resolved(self, condition: int, version: str) -> Market | None:
        market = self._market(condition, version)
        return market if market is not None and market.outcome is not None else None


def _won(market: Market) -> list[int]:
    """1 for the outcome that pays, 0 for the other."""
    return [int(name == market.outcome) for name in _OUTCOMES]
