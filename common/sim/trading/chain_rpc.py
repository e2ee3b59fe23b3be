"""The chain as a JSON-RPC endpoint sees it: code, balances, allowances and the outcomes of markets.

Balances are those of mined trades. Answers reads only; there is no way to send a transaction.
"""

import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

from common.sim.faults import FaultBoard
from common.sim.trading.chain_calls import CallReverted, ChainCalls
from common.sim.trading.contracts import CHAIN_ID, KNOWN_CONTRACTS
from common.sim.trading.exchange import Exchange
from common.sim.world import World
from common.units import SECOND

_CODE = "0x60806040"
_FIRST_BLOCK = 80_000_000
_BLOCK_S = 2
_GAS_COIN_WEI = 10**18


class _RpcError(Exception):
    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class ChainRpc:
    """The handler of ``POST /chain``."""

    def __init__(
        self, exchange: Exchange, world: World, board: FaultBoard, now_ns: Callable[[], int]
    ) -> None:
        self._exchange = exchange
        self._board = board
        self._now_ns = now_ns
        self._calls = ChainCalls(exchange, world)

    def routes(self) -> list[web.RouteDef]:
        """The one path."""
        return [web.post("/chain", self._post)]

    async def _post(self, request: web.Request) -> web.Response:
        fault = self._board.chain()
        if fault is not None and fault.down:
            return web.Response(status=503, text="no backend is available")
        try:
            asked = json.loads(await request.read())
        except ValueError:
            return web.json_response(_failed(None, -32700, "parse error"))
        if isinstance(asked, list):
            return web.json_response([self._answered(one) for one in asked])
        return web.json_response(self._answered(asked))

    def _answered(self, asked: Any) -> dict[str, Any]:
        if not isinstance(asked, dict):
            return _failed(None, -32600, "invalid request")
        number = asked.get("id")
        try:
            result = self._result(asked.get("method"), asked.get("params") or [])
        except _RpcError as error:
            return _failed(number, error.code, error.text)
        except CallReverted:
            return _failed(number, 3, "execution reverted")
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):
            return _failed(number, -32602, "invalid params")
        return {"jsonrpc": "2.0", "id": number, "result": result}

    def _result(self, method: Any, params: Any) -> str:
        fault = self._board.chain()
        match method:
            case "eth_chainId":
                return hex(CHAIN_ID if fault is None or fault.chain_id is None else fault.chain_id)
            case "eth_blockNumber":
                return hex(_FIRST_BLOCK + self._now_ns() // (_BLOCK_S * SECOND) % 10_000_000)
            case "eth_getCode":
                return self._code(params[0].lower())
            case "eth_getBalance":
                account = self._exchange.accounts.of_wallet(params[0])
                return hex(_GAS_COIN_WEI if account is not None and account.kind == "eoa" else 0)
            case "eth_call":
                to = params[0]["to"].lower()
                data = params[0].get("data") or params[0]["input"]
                if self._code(to) == "0x":
                    return "0x"  # A call to nothing succeeds with nothing, on the real chain too.
                return self._calls.result(to, bytes.fromhex(data.removeprefix("0x")))
        raise _RpcError(-32601, f"the method {method} does not exist/is not available")

    def _code(self, address: str) -> str:
        fault = self._board.chain()
        if fault is not None and address in (missing.lower() for missing in fault.code_missing):
            return "0x"
        account = self._exchange.accounts.of_wallet(address)
        is_wallet = account is not None and account.kind != "eoa"
        known = is_wallet or address in (contract.lower() for contract in KNOWN_CONTRACTS)
        return _CODE if known else "0x"


def _failed(number: Any, code: int, text: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": text}}
