"""What an endpoint says whose newest block is some blocks old. Never makes anything up."""

from typing import Any

from common.sim.evm.rpc_client import RpcClient, RpcRefused

_AT_BLOCK = {
    "eth_call": 1,
    "eth_estimateGas": 1,
    "eth_getBalance": 1,
    "eth_getCode": 1,
    "eth_getTransactionCount": 1,
    "eth_getStorageAt": 2,
    "eth_getBlockByNumber": 0,
}
"""Which parameter names the block."""


class Lagging:
    """A node seen through an endpoint that is ``blocks`` behind."""

    def __init__(self, node: RpcClient, blocks: int) -> None:
        self._node = node
        self._blocks = blocks

    async def result(self, method: str, params: list[Any]) -> Any:
        """The answer as it was when this endpoint's newest block was the newest."""
        newest = max(int(await self._node.call("eth_blockNumber"), 16) - self._blocks, 0)
        if method == "eth_blockNumber":
            return hex(newest)
        if method in _AT_BLOCK:
            return await self._at_block(method, params, newest)
        if method == "eth_getLogs" and isinstance(params[0], dict):
            asked = params[0] | {"toBlock": self._named(params[0].get("toBlock", "latest"), newest)}
            return await self._node.call(method, asked)
        found = await self._node.call(method, *params)
        if not isinstance(found, dict) or found.get("blockNumber") is None:
            return found
        if int(found["blockNumber"], 16) <= newest:
            return found
        if method == "eth_getTransactionByHash":
            return found | {"blockNumber": None, "blockHash": None, "transactionIndex": None}
        return None

    async def _at_block(self, method: str, params: list[Any], newest: int) -> Any:
        place = _AT_BLOCK[method]
        asked = params[place] if len(params) > place else "latest"
        if asked == "finalized":
            block = await self._node.call("eth_getBlockByNumber", "finalized", False)
            asked = hex(max(int(block["number"], 16) - self._blocks, 0))
        named = self._named(asked, newest)
        if named != asked and asked not in ("latest", "pending", "safe"):
            if method == "eth_getBlockByNumber":
                return None
            raise RpcRefused(method, {"code": -32000, "message": "header not found"})
        return await self._node.call(method, *params[:place], named, *params[place + 1 :])

    def _named(self, asked: Any, newest: int) -> Any:
        """The block by its number, none beyond the newest."""
        if asked in ("latest", "pending", "safe"):
            return hex(newest)
        if isinstance(asked, str) and asked.startswith("0x") and len(asked) < 66:
            return hex(min(int(asked, 16), newest))
        return asked
