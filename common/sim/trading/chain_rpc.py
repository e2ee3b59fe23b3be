"""The chain as a JSON-RPC endpoint tells it: reads of contracts, blocks, transactions and events.

Balances are those of mined trades and redemptions. What a method answers is decided elsewhere; here it is
found, worded and made to fail on request.
"""

import json
from typing import Any

from aiohttp import web

from common.sim.faults import FaultBoard
from common.sim.trading.abi_words import CallReverted
from common.sim.trading.chain import Chain
from common.sim.trading.chain_blocks import LEAST_TIP_WEI, block_hash
from common.sim.trading.chain_calls import ChainCalls
from common.sim.trading.chain_logs import wanted_logs
from common.sim.trading.chain_transactions import Call, NotTaken, told_receipt, told_transaction
from common.sim.trading.contracts import CHAIN_ID
from common.sim.trading.raw_transaction import opened
from common.sim.trading.redeeming import CALLS

_CODE = "0x60806040"
_MOST_BACK = 128
"""How many blocks back the state is known."""


class _RpcError(Exception):
    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class ChainRpc:
    """The handler of ``POST /chain``."""

    def __init__(self, chain: Chain, calls: ChainCalls, board: FaultBoard) -> None:
        self._chain = chain
        self._calls = calls
        self._board = board

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
        self._chain.advance()
        if isinstance(asked, list):
            return web.json_response([self._answered(one) for one in asked])
        answer = self._answered(asked)
        if fault is not None and fault.loses_answers and _is_send(asked):
            return web.Response(status=502, text="upstream closed the connection")
        return web.json_response(answer)

    def _answered(self, asked: Any) -> dict[str, Any]:
        if not isinstance(asked, dict):
            return _failed(None, -32600, "invalid request")
        number = asked.get("id")
        try:
            result = self._result(str(asked.get("method")), asked.get("params") or [])
        except _RpcError as error:
            return _failed(number, error.code, error.text)
        except CallReverted as error:
            text = f"execution reverted: {error.text}" if error.text else "execution reverted"
            return _failed(number, 3, text, "0x" + error.data.hex() if error.data else "")
        except NotTaken as error:
            return _failed(number, -32000, str(error))
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):
            return _failed(number, -32602, "invalid params")
        return {"jsonrpc": "2.0", "id": number, "result": result}

    def _result(self, method: str, params: Any) -> Any:
        fault, chain = self._board.chain(), self._chain
        match method:
            case "eth_chainId":
                return hex(CHAIN_ID if fault is None or fault.chain_id is None else fault.chain_id)
            case "eth_blockNumber":
                return hex(chain.blocks.head)
            case "eth_getCode":
                return _CODE if chain.has_code(params[0].lower()) else "0x"
            case "eth_getBalance":
                return hex(chain.coin_wei(params[0], self._state_at(params[1:])))
            case "eth_getTransactionCount":
                if params[1:] == ["pending"]:
                    return hex(chain.waiting_nonce(params[0].lower()))
                return hex(chain.nonce(params[0], self._state_at(params[1:])))
            case "eth_call":
                return self._call(params[0], self._state_at(params[1:]))
            case "eth_estimateGas":
                return self._estimate(params[0])
            case "eth_gasPrice":
                return hex(chain.base_fee_wei + LEAST_TIP_WEI)
            case "eth_maxPriorityFeePerGas":
                return hex(LEAST_TIP_WEI)
            case "eth_sendRawTransaction":
                return self._send(params[0])
        return self._history(method, params)

    def _history(self, method: str, params: Any) -> Any:
        """What has happened: blocks, transactions and events."""
        match method:
            case "eth_getBlockByNumber":
                try:
                    number = self._chain.blocks.named(params[0])
                except ValueError:
                    return None
                return self._block(number, whole=bool(params[1]))
            case "eth_getBlockByHash":
                blocks = self._chain.blocks
                recent = range(blocks.head, max(blocks.head - _MOST_BACK, 0), -1)
                number = next((each for each in recent if block_hash(each) == params[0]), -1)
                return None if number < 0 else self._block(number, whole=bool(params[1]))
            case "eth_getTransactionByHash":
                found = self._chain.by_hash.get(params[0].lower())
                return None if found is None or found.refused else told_transaction(found)
            case "eth_getTransactionReceipt":
                found = self._chain.by_hash.get(params[0].lower())
                return None if found is None else told_receipt(found)
            case "eth_getLogs":
                return wanted_logs(self._chain, params[0])
        raise _RpcError(-32601, f"the method {method} does not exist/is not available")

    def _state_at(self, rest: list[Any]) -> int:
        """The block a question is about; raises _RpcError for one whose state nobody has."""
        try:
            number = self._chain.blocks.named(rest[0] if rest else None)
        except ValueError:
            raise _RpcError(-32000, "header not found") from None
        if number < self._chain.blocks.head - _MOST_BACK:
            raise _RpcError(-32000, f"missing trie node: the state of block {number} is not available")
        return number

    def _call(self, asked: dict[str, Any], block: int) -> str:
        sender, to, data = _asked(asked)
        if not self._chain.has_code(to):
            return "0x"  # A call to nothing succeeds with nothing, on the real chain too.
        if (to, data[:4].hex()) in CALLS:
            self._chain.try_out((Call(sender, to, data),))
            return "0x"
        return self._calls.result(to, data, block)

    def _estimate(self, asked: dict[str, Any]) -> str:
        sender, to, data = _asked(asked)
        gas = self._chain.try_out((Call(sender, to, data),))
        price_wei = int(asked.get("maxFeePerGas") or asked.get("gasPrice") or "0x0", 16)
        if gas * price_wei > self._chain.coin_wei(sender):
            raise _RpcError(-32000, "insufficient funds for gas * price + value")
        return hex(gas)

    def _send(self, raw: str) -> str:
        try:
            transaction = opened(bytes.fromhex(raw.removeprefix("0x")))
        except ValueError as error:
            raise NotTaken(str(error)) from None
        self._chain.send(transaction)
        return transaction.tx_hash

    def _block(self, number: int, *, whole: bool) -> dict[str, Any]:
        inside = [each for each in self._chain.mined if each.block == number]
        block = self._chain.blocks.told(number, self._chain.base_fee_wei, [each.tx_hash for each in inside])
        return block | {"transactions": [told_transaction(each) for each in inside]} if whole else block


def _asked(asked: dict[str, Any]) -> tuple[str, str, bytes]:
    data = asked.get("data") or asked["input"]
    sender = asked.get("from") or "0x" + "00" * 20
    return sender.lower(), asked["to"].lower(), bytes.fromhex(data.removeprefix("0x"))


def _is_send(asked: Any) -> bool:
    return isinstance(asked, dict) and asked.get("method") == "eth_sendRawTransaction"


def _failed(number: Any, code: int, text: str, data: str = "") -> dict[str, Any]:
    error: dict[str, Any] = {"code": code, "message": text}
    if data:
        error["data"] = data
    return {"jsonrpc": "2.0", "id": number, "error": error}
