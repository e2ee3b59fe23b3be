"""Reads of the contracts the trader looks at: selector and words in, words out.

ERC-20 of the collateral, ERC-1155 of the outcome tokens, payouts of resolved markets, the wallet factory's
beacon. Everything else reverts, as it would on the chain.
"""

from common.sim.trading.account_book import COLLATERAL_ASSET
from common.sim.trading.contracts import (
    COLLATERAL,
    CONDITIONAL_TOKENS,
    DEPOSIT_BEACON,
    DEPOSIT_FACTORY,
    POSITION_MANAGER,
    SPENDERS,
)
from common.sim.trading.exchange import Exchange
from common.sim.world import World

_WORD = 32


class CallReverted(Exception):
    """The contract has no such function, or does not answer it now."""


class ChainCalls:
    """What ``eth_call`` returns."""

    def __init__(self, exchange: Exchange, world: World) -> None:
        self._exchange = exchange
        self._world = world

    def result(self, to: str, data: bytes) -> str:
        """The answer of a contract (address in lower case) as hex; raises CallReverted."""
        selector, words = data[:4].hex(), _words(data[4:])
        if to == COLLATERAL.lower():
            return self._collateral(selector, words)
        if to in (CONDITIONAL_TOKENS.lower(), POSITION_MANAGER.lower()):
            return self._tokens(selector, words)
        if to == DEPOSIT_FACTORY.lower() and selector == "49493a4d":  # beacon()
            return _hex(int(DEPOSIT_BEACON, 16))
        raise CallReverted

    def _collateral(self, selector: str, words: list[int]) -> str:
        match selector:
            case "70a08231":  # balanceOf(address)
                return _hex(self._balance(words[0], COLLATERAL_ASSET))
            case "dd62ed3e":  # allowance(address,address)
                account = self._exchange.accounts.of_wallet(_address(words[0]))
                allowed = _address(words[1]) in (spender.lower() for spender in SPENDERS)
                return _hex(account.allowance_usd6 if account is not None and allowed else 0)
            case "313ce567":  # decimals()
                return _hex(6)
        raise CallReverted

    def _tokens(self, selector: str, words: list[int]) -> str:
        match selector:
            case "00fdd58e":  # balanceOf(address,uint256)
                return _hex(self._balance(words[0], str(words[1])))
            case "4e1273f4":  # balanceOfBatch(address[],uint256[])
                owners, ids = (_array(words, place // _WORD) for place in words[:2])
                if len(owners) != len(ids):
                    raise CallReverted
                balances = [
                    self._balance(owner, str(token)) for owner, token in zip(owners, ids, strict=True)
                ]
                return _hex(_WORD, len(balances), *balances)
            case "e985e9c5":  # isApprovedForAll(address,address)
                return _hex(1 if self._exchange.accounts.of_wallet(_address(words[0])) is not None else 0)
            case "dd34de67":  # payoutDenominator(bytes32)
                return _hex(0 if self._outcome(words[0]) is None else 1)
            case "0504c814":  # payoutNumerators(bytes32,uint256)
                outcome = self._outcome(words[0])
                if outcome is None or words[1] > 1:
                    raise CallReverted
                return _hex(1 if outcome == ("Up", "Down")[words[1]] else 0)
        raise CallReverted

    def _balance(self, owner: int, asset: str) -> int:
        return self._exchange.chain_book.balance(_address(owner), asset)

    def _outcome(self, condition: int) -> str | None:
        market = self._world.by_condition.get(f"0x{condition:064x}")
        return None if market is None else market.outcome


def _words(data: bytes) -> list[int]:
    if len(data) % _WORD:
        raise CallReverted
    return [int.from_bytes(data[start : start + _WORD]) for start in range(0, len(data), _WORD)]


def _array(words: list[int], start: int) -> list[int]:
    return words[start + 1 : start + 1 + words[start]]


def _address(word: int) -> str:
    return f"0x{word:040x}"


def _hex(*words: int) -> str:
    return "0x" + "".join(f"{word:064x}" for word in words)
