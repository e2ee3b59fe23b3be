"""The venue's relayer on loopback: takes signed actions of wallets and pays for them on a node of its own.

Speaks the real one's dialect, checks every signature, nonce and call itself, and misbehaves on request. Looks
at nothing but the chain and what it was sent.
"""

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple, get_args

import msgspec
from aiohttp import web
from eth_abi.abi import encode

from common.errors import DependencyMissing
from common.sim.evm.fault_queue import FaultQueue
from common.sim.evm.loopback import Loopback, cut
from common.sim.evm.relayer_actions import (
    RELAY_HUB,
    Action,
    ActionRefused,
    RelayedKind,
    read_action,
    selector,
)
from common.sim.evm.relayer_auth import Customers, customer
from common.sim.evm.relayer_faults import (
    LateAnswer,
    Life,
    LoseAnswer,
    Refuse,
    RelayerControl,
    RelayerFault,
    StaleNonce,
)
from common.sim.evm.relayer_records import Lives, Record
from common.sim.evm.rpc_client import RpcClient, RpcRefused
from common.sim.trading.contracts import COLLATERAL, CONDITIONAL_TOKENS, POSITION_MANAGER

RELAY = "0x7ae1Ae7000000000000000000000000000000001"
"""Where the relayer's transactions come from; the deposit wallets' factory has to know it as operator."""
ALLOWED = (
    COLLATERAL,
    CONDITIONAL_TOKENS,
    POSITION_MANAGER,
    "0xAdA100Db00Ca00073811820692005400218FcE1f",
    "0xadA2005600Dec949baf300f4C6120000bDB6eAab",
    "0x12121212006e4CD160D18e3f00711DA5c3372600",
)
"""What wallets may call through it."""
_COIN_WEI = 10**21
_MOST_LISTED = 100


class RelayedWallet(NamedTuple):
    """A wallet that is deployed, and whose it is."""

    kind: RelayedKind
    owner: str
    address: str


class Relayer:
    """One relayer in front of a node; open it, and close it when done."""

    def __init__(
        self,
        node_url: str,
        customers: Customers,
        wallets: Iterable[RelayedWallet] = (),
        *,
        relay: str = RELAY,
        faults: Iterable[RelayerFault] = (),
    ) -> None:
        """``relay`` is unlocked on the node and given coin when the relayer opens."""
        self.url = ""
        self.asked: Counter[str] = Counter()
        """How often each path was asked for, answered or not."""
        self.submitted: list[bytes] = []
        """Every body that was submitted, taken in or not."""
        self.records: list[Record] = []
        """Every action that was taken in, oldest first."""
        self._wallets = {(each.kind, each.owner.lower()): each.address for each in wallets}
        self._customers = customers
        self._relay = relay
        self._node = RpcClient(node_url)
        self._lives = Lives(self._node, relay)
        self._faults: FaultQueue[RelayerFault] = FaultQueue(faults)
        self._allowed = {each.lower() for each in ALLOWED}
        self._one_at_a_time = asyncio.Lock()
        app = web.Application(middlewares=[self._misbehave])
        app.add_routes(
            [
                web.post("/submit", self._submit),
                web.get("/v1/account/transactions/params", self._params),
                web.get("/v1/account/transactions/{id}", self._transaction),
                web.get("/relay-payload", self._relay_payload),
                web.get("/nonce", self._nonce),
                web.get("/deployed", self._deployed),
                web.get("/transaction", self._transaction_list),
                web.get("/transactions", self._transactions),
                web.post("/control", self._control),
                web.get("/control", self._told),
            ]
        )
        self._server = Loopback(app, "relayer")

    async def open(self, port: int = 0) -> str:
        """Listen on loopback and give the base address."""
        await self._node.call("anvil_impersonateAccount", self._relay)
        await self._node.call("anvil_setBalance", self._relay, hex(_COIN_WEI))
        self.url = await self._server.open(port)
        return self.url

    async def close(self) -> None:
        """Stop listening; the node goes on."""
        await self._server.close()
        await self._node.close()

    def add_wallet(self, wallet: RelayedWallet) -> None:
        """Know one more wallet."""
        self._wallets[wallet.kind, wallet.owner.lower()] = wallet.address

    def set_faults(self, *faults: RelayerFault) -> None:
        """Only these from now on, counted anew; the lives that began go on as they are."""
        self._faults.replace(faults)

    def allow(self, *contracts: str) -> None:
        """Let wallets call these contracts too."""
        self._allowed |= {each.lower() for each in contracts}

    async def release(self) -> None:
        """Carry out every action that was held back."""
        for record in self.records:
            if record.waits:
                await self._lives.release(record)

    @web.middleware
    async def _misbehave(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        path = request.path
        if path == "/control":
            return await handler(request)
        self.asked[path] += 1

        def hit(fault: Refuse | LoseAnswer | LateAnswer) -> bool:
            return path.startswith(fault.path)

        if path == "/submit":
            self.submitted.append(await request.read())
        refuse = self._faults.take(Refuse, hit)
        if refuse is not None:
            if refuse.page:
                return web.Response(status=refuse.status, text=refuse.text, content_type="text/html")
            return _refused(refuse.status, refuse.text)
        lose, late = self._faults.take(LoseAnswer, hit), self._faults.take(LateAnswer, hit)
        if lose is not None and not lose.done:
            return cut(request)
        answer = await self._served(request, handler)
        if late is not None:
            await asyncio.sleep(late.delay_ms / 1000)
        return answer if lose is None else cut(request)

    async def _served(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        closed = ("/submit", "/transactions", "/v1/account/")
        if request.path.startswith(closed) and not await self._customer(request):
            return _refused(401, "invalid authorization")
        try:
            return await handler(request)
        except ActionRefused as refusal:
            return _refused(400, str(refusal))
        except (DependencyMissing, RpcRefused) as error:
            return _refused(500, f"the chain could not be asked: {error}")

    async def _customer(self, request: web.Request) -> str:
        """Whose request it is; empty for nobody's."""
        body = await request.read()
        return customer(self._customers, request.headers, request.method, request.path, body)

    async def _submit(self, request: web.Request) -> web.Response:
        action = read_action(await request.read(), self._relay)
        async with self._one_at_a_time:
            await self._check(action)
            life = self._faults.take(Life)
            key = await self._customer(request)
            record = Record(str(uuid.uuid4()), key, action, time.time_ns(), life)
            self.records.append(record)
            await self._lives.begin(record)
        return web.json_response({"transactionID": record.transaction_id, "state": record.state})

    async def _check(self, action: Action) -> None:
        """Raise ActionRefused for what the real one would not take in."""
        if action.wallet != self._wallets.get((action.kind, action.owner), "").lower():
            raise ActionRefused(
                f"wallet {action.wallet} is not a deployed {action.kind} wallet of {action.owner}"
            )
        if action.signed_by != action.owner:
            raise ActionRefused("invalid signature")
        for call in action.calls:
            if call.to not in self._allowed:
                raise ActionRefused(f"call blocked: {call.to} {call.data[:4].hex()} is not permitted")
        for record in self.records:
            if record.action.wallet == action.wallet and await self._lives.is_open(record):
                raise ActionRefused(f"wallet busy: {action.wallet} already has an active action")
        nonce = await self._chain_nonce(action.kind, action.owner)
        if action.nonce != nonce:
            raise ActionRefused(f"batch nonce {action.nonce} does not match on-chain nonce {nonce}")
        block = await self._node.call("eth_getBlockByNumber", "latest", False)
        if action.deadline_s and action.deadline_s < int(block["timestamp"], 16):
            raise ActionRefused("batch deadline has passed")

    async def _chain_nonce(self, kind: str, owner: str) -> int:
        known = next((each for each in get_args(RelayedKind) if each == kind), None)
        wallet = self._wallets.get((known, owner.lower())) if known is not None else None
        if wallet is None:
            raise ActionRefused(f"{owner} has no deployed wallet of type {kind}")
        to, data = wallet, selector("nonce()")
        if known == "PROXY":
            to, data = RELAY_HUB, selector("getNonce(address)") + encode(["address"], [owner])
        return int(await self._node.call("eth_call", {"to": to, "data": "0x" + data.hex()}, "latest"), 16)

    async def _nonce_told(self, request: web.Request, kind: str = "") -> str:
        nonce = await self._chain_nonce(
            kind or request.query.get("type", ""), request.query.get("address", "")
        )
        stale = self._faults.take(StaleNonce)
        return str(nonce if stale is None else max(nonce - stale.by, 0))

    async def _params(self, request: web.Request) -> web.Response:
        nonce = await self._nonce_told(request)
        return web.json_response({"address": request.query["address"], "nonce": nonce})

    async def _relay_payload(self, request: web.Request) -> web.Response:
        nonce = await self._nonce_told(request, "PROXY")
        return web.json_response({"address": self._relay, "nonce": nonce})

    async def _nonce(self, request: web.Request) -> web.Response:
        return web.json_response({"nonce": await self._nonce_told(request)})

    async def _deployed(self, request: web.Request) -> web.Response:
        code = await self._node.call("eth_getCode", request.query.get("address", ""), "latest")
        return web.json_response({"deployed": code != "0x"})

    async def _transaction(self, request: web.Request) -> web.Response:
        record = self._found(request.match_info["id"], await self._customer(request))
        if record is None:
            return _refused(404, "transaction not found")
        await self._lives.step(record)
        return web.json_response(
            {
                "transaction_id": record.transaction_id,
                "transaction_hash": record.told_hash,
                "state": record.state,
                "error_msg": _error_told(record),
            }
        )

    async def _transaction_list(self, request: web.Request) -> web.Response:
        record = self._found(request.query.get("id", ""))
        if record is None:
            return _refused(404, "transaction not found")
        await self._lives.step(record)
        return web.json_response([_older_form(record)])

    async def _transactions(self, request: web.Request) -> web.Response:
        key = await self._customer(request)
        own = [record for record in self.records if record.customer == key]
        own = own[: -_MOST_LISTED - 1 : -1]
        for record in own:
            await self._lives.step(record)
        return web.json_response([_older_form(record) for record in own])

    def _found(self, transaction_id: str, key: str = "") -> Record | None:
        for record in self.records:
            if record.transaction_id == transaction_id and key in ("", record.customer):
                return record
        return None

    async def _control(self, request: web.Request) -> web.Response:
        try:
            told = msgspec.json.decode(await request.read(), type=RelayerControl)
        except (msgspec.ValidationError, msgspec.DecodeError) as error:
            return web.Response(status=400, text=f"no such control: {error}")
        if told.faults is not None:
            self.set_faults(*told.faults)
        self.allow(*told.allow)
        if told.release:
            await self.release()
        return await self._told(request)

    async def _told(self, _request: web.Request) -> web.Response:
        records = [_older_form(record) for record in self.records]
        return web.json_response({"asked": dict(self.asked), "records": records})


def _refused(status: int, text: str) -> web.Response:
    return web.json_response({"error": text}, status=status)


def _error_told(record: Record) -> str:
    return record.error if record.state in ("STATE_FAILED", "STATE_INVALID") else ""


def _older_form(record: Record) -> dict[str, Any]:
    told = record.action.told
    return {
        "transactionID": record.transaction_id,
        "transactionHash": record.told_hash,
        "from": told["from"],
        "to": told["to"],
        "proxyAddress": record.action.wallet,
        "data": told.get("data", ""),
        "nonce": told["nonce"],
        "value": told.get("value", ""),
        "signature": told["signature"],
        "state": record.state,
        "type": record.action.kind,
        "metadata": told.get("metadata", ""),
        "owner": record.customer,
        "createdAt": _stamp(record.created_ns),
        "errorMsg": _error_told(record),
    }


def _stamp(at_ns: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_ns // 10**9))
