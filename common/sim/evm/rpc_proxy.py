"""A chain endpoint with faults: passes JSON-RPC on to a node, except where a fault says otherwise.

Keeps what each method was asked and every transaction that was sent, byte for byte. Enters nothing into the
chain of its own accord.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec
from aiohttp import web

from common.errors import DependencyMissing
from common.sim.evm.fault_queue import FaultQueue
from common.sim.evm.lagging import Lagging
from common.sim.evm.loopback import Loopback, cut, silence
from common.sim.evm.pool_rules import POOL_RULES, Pool
from common.sim.evm.raw_transaction import RawTransaction, read_raw
from common.sim.evm.rpc_client import RpcClient, RpcRefused
from common.sim.evm.rpc_faults import (
    HoldSends,
    HttpAnswer,
    Lag,
    LateReply,
    LoseReply,
    NoFinalized,
    PoolRules,
    RpcControl,
    RpcFailure,
    RpcFault,
    WrongChain,
)

SEND = "eth_sendRawTransaction"
_MOST_BYTES = 4 << 20


class RpcProxy:
    """One faulty endpoint in front of a node; open it, and close it when done."""

    def __init__(
        self, node_url: str, faults: Iterable[RpcFault] = (), rules: PoolRules | None = POOL_RULES
    ) -> None:
        """``rules`` of None leaves the node's own, which are laxer than the chain's."""
        self.url = ""
        self.asked: Counter[str] = Counter()
        """How often each method was asked for, answered or not."""
        self.sent: list[RawTransaction] = []
        """Every transaction a client sent here, in its order, repeats included."""
        self.held: list[RawTransaction] = []
        """Those kept back now."""
        self._known: set[str] = set()
        self._node = RpcClient(node_url)
        self._pool = Pool(self._node, rules)
        self._faults: FaultQueue[RpcFault] = FaultQueue(faults)
        app = web.Application(client_max_size=_MOST_BYTES)
        app.add_routes(
            [
                web.post("/", self._post),
                web.post("/control", self._control),
                web.get("/control", self._told),
            ]
        )
        self._server = Loopback(app, "faulty chain endpoint")

    async def open(self, port: int = 0) -> str:
        """Listen on loopback and give the address to ask."""
        self.url = await self._server.open(port)
        return self.url

    async def close(self) -> None:
        """Stop listening; the node goes on."""
        await self._server.close()
        await self._node.close()

    def set_faults(self, *faults: RpcFault) -> None:
        """Only these from now on, counted anew; what is kept back stays so."""
        self._faults.replace(faults)

    async def release(self) -> None:
        """Forward what was kept back; what the node refuses by now is lost."""
        held, self.held = self.held, []
        for each in held:
            try:
                await self._node.call(SEND, "0x" + each.raw.hex())
            except RpcRefused:
                continue

    def drop(self) -> None:
        """Forget what was kept back, as a node that drops it from its pool."""
        for each in self.held:
            self._pool.forget(each)
        self.held.clear()

    async def _post(self, request: web.Request) -> web.StreamResponse:
        try:
            ask = json.loads(await request.read())
        except ValueError:
            return _failed(None, -32700, "parse error")
        if not isinstance(ask, dict) or not isinstance(ask.get("method"), str):
            return _failed(None, -32600, "invalid request: batches are not served")
        method, number = str(ask["method"]), ask.get("id")
        self.asked[method] += 1
        if method == SEND:
            self._keep(ask)

        def hit(fault: RpcFault) -> bool:
            return fault.method in ("", method)

        odd = self._faults.take(HttpAnswer, hit)
        if odd is not None:
            return _odd(odd)
        lost = self._faults.take(LoseReply, hit)
        if lost is not None and not lost.forwarded:
            return await _lose(request, lost)
        failure = self._faults.take(RpcFailure, hit)
        if failure is not None and not failure.forwarded:
            return _failed(number, failure.code, failure.message)
        late = self._faults.take(LateReply, hit)
        try:
            answer = _answered(number, await self._result(method, list(ask.get("params") or [])))
        except RpcRefused as error:
            answer = _failed(number, error.code, error.text, error.data)
        except DependencyMissing as error:
            answer = web.Response(status=502, text=str(error))
        if late is not None:
            await asyncio.sleep(late.delay_ms / 1000)
        if lost is not None:
            return await _lose(request, lost)
        return answer if failure is None else _failed(number, failure.code, failure.message)

    def _keep(self, ask: dict[str, Any]) -> None:
        try:
            self.sent.append(read_raw(bytes.fromhex(ask["params"][0].removeprefix("0x"))))
        except (ValueError, KeyError, IndexError, AttributeError, TypeError):
            return  # The node says what is wrong with it.

    async def _result(self, method: str, params: list[Any]) -> Any:
        if method == SEND:
            return await self._send(params)
        wrong = self._faults.take(WrongChain) if method in ("eth_chainId", "net_version") else None
        if wrong is not None:
            return hex(wrong.chain_id) if method == "eth_chainId" else str(wrong.chain_id)
        if "finalized" in params and self._faults.take(NoFinalized) is not None:
            raise RpcRefused(method, {"code": -32000, "message": "finalized block not found"})
        if method == "eth_getTransactionByHash":
            pending = next((each for each in self.held if params == [each.tx_hash]), None)
            if pending is not None and pending.tx_hash in self._known:
                return _pending(pending)
        lag = self._faults.take(Lag, lambda fault: fault.method in ("", method))
        if lag is not None:
            return await Lagging(self._node, lag.blocks).result(method, params)
        return await self._node.call(method, *params)

    async def _send(self, params: list[Any]) -> Any:
        try:
            transaction = read_raw(bytes.fromhex(params[0].removeprefix("0x")))
        except (ValueError, IndexError, AttributeError):
            return await self._node.call(SEND, *params)
        if any(each.tx_hash == transaction.tx_hash for each in self.held):
            raise RpcRefused(SEND, {"code": -32000, "message": "already known"})
        await self._pool.check(transaction)
        hold = self._faults.take(HoldSends)
        if hold is not None:
            self.held.append(transaction)
            if hold.known:
                self._known.add(transaction.tx_hash)
                self._pool.entered(transaction)
            return transaction.tx_hash
        told = await self._pool.send(transaction)
        # One that replaces what was kept back takes its place for good.
        same = [
            each for each in self.held if (each.sender, each.nonce) == (transaction.sender, transaction.nonce)
        ]
        self.held = [each for each in self.held if each not in same]
        return told

    async def _control(self, request: web.Request) -> web.Response:
        try:
            told = msgspec.json.decode(await request.read(), type=RpcControl)
        except (msgspec.ValidationError, msgspec.DecodeError) as error:
            return web.Response(status=400, text=f"no such control: {error}")
        if told.faults is not None:
            self.set_faults(*told.faults)
        if told.drop:
            self.drop()
        if told.release:
            await self.release()
        return await self._told(request)

    async def _told(self, _request: web.Request) -> web.Response:
        sent = [{"hash": each.tx_hash, "raw": "0x" + each.raw.hex()} for each in self.sent]
        held = [each.tx_hash for each in self.held]
        return web.json_response({"asked": dict(self.asked), "sent": sent, "held": held})


async def _lose(request: web.Request, fault: LoseReply) -> web.Response:
    if fault.form == "silent":
        await silence()
    return cut(request)


def _odd(fault: HttpAnswer) -> web.Response:
    headers = {} if fault.retry_after_s is None else {"Retry-After": str(fault.retry_after_s)}
    return web.Response(
        status=fault.status, text=fault.body, content_type=fault.content_type, headers=headers
    )


def _pending(transaction: RawTransaction) -> dict[str, Any]:
    return {
        "hash": transaction.tx_hash,
        "from": transaction.sender,
        "nonce": hex(transaction.nonce),
        "maxFeePerGas": hex(transaction.max_fee_wei),
        "maxPriorityFeePerGas": hex(transaction.tip_wei),
        "blockNumber": None,
        "blockHash": None,
        "transactionIndex": None,
    }


def _answered(number: Any, result: Any) -> web.Response:
    return web.json_response({"jsonrpc": "2.0", "id": number, "result": result})


def _failed(number: Any, code: int, text: str, data: Any = None) -> web.Response:
    error = {"code": code, "message": text} | ({} if data is None else {"data": data})
    return web.json_response({"jsonrpc": "2.0", "id": number, "error": error})
