"""The pool of a node as the chain's own software keeps it: floors, replacements, and its words.

The test node takes any higher bid and has words of its own. Sends what it was given, unchanged.
"""

from common.sim.evm.raw_transaction import RawTransaction
from common.sim.evm.rpc_client import RpcClient, RpcRefused
from common.sim.evm.rpc_faults import PoolRules

POOL_RULES = PoolRules()
_SEND = "eth_sendRawTransaction"
_WORDS = {"transaction already imported": "already known"}
"""The test node's words, and geth's for the same."""
_CODE = -32000


class Pool:
    """What waits to be mined, as far as it came through here."""

    def __init__(self, node: RpcClient, rules: PoolRules | None) -> None:
        self._node = node
        self._rules = rules
        self._waiting: dict[tuple[str, int], RawTransaction] = {}

    async def check(self, transaction: RawTransaction) -> None:
        """Raise RpcRefused for what the chain's nodes would not take."""
        if self._rules is None:
            return
        if transaction.tip_wei < self._rules.least_tip_wei:
            raise _refused(
                f"transaction underpriced: gas tip cap {transaction.tip_wei}, "
                f"minimum needed {self._rules.least_tip_wei}"
            )
        earlier = self._waiting.get((transaction.sender, transaction.nonce))
        if earlier is None or earlier.tx_hash == transaction.tx_hash or await self._is_mined(earlier):
            return
        needed = 100 + self._rules.bump_percent
        if (
            transaction.max_fee_wei * 100 < earlier.max_fee_wei * needed
            or transaction.tip_wei * 100 < earlier.tip_wei * needed
        ):
            raise _refused("replacement transaction underpriced")

    async def send(self, transaction: RawTransaction) -> str:
        """The node's answer to these bytes, its refusals in geth's words."""
        try:
            told = await self._node.call(_SEND, "0x" + transaction.raw.hex())
        except RpcRefused as error:
            word = next((word for own, word in _WORDS.items() if own in error.text.lower()), "")
            if self._rules is None or not word:
                raise
            raise _refused(word) from None
        self.entered(transaction)
        return str(told)

    def entered(self, transaction: RawTransaction) -> None:
        """It waits now, in the place of any with the same nonce."""
        self._waiting[transaction.sender, transaction.nonce] = transaction

    def forget(self, transaction: RawTransaction) -> None:
        """It does not wait any more."""
        if self._waiting.get((transaction.sender, transaction.nonce)) == transaction:
            del self._waiting[transaction.sender, transaction.nonce]

    async def _is_mined(self, transaction: RawTransaction) -> bool:
        used = int(await self._node.call("eth_getTransactionCount", transaction.sender, "latest"), 16)
        return used > transaction.nonce


def _refused(text: str) -> RpcRefused:
    return RpcRefused(_SEND, {"code": _CODE, "message": text})
