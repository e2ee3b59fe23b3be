"""The relayer's HTTP dialect: submit, nonces and the state of actions, for holders of a relayer API key.

Source: the venue's relayer API; the official client reads the snake-case answers, older ones are camel-case.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from common.sim.faults import FaultBoard
from common.sim.trading.accounts import Account, Accounts
from common.sim.trading.batch_signature import BatchCall
from common.sim.trading.contracts import DEPOSIT_FACTORY
from common.sim.trading.relayer import Action, Batch, Refusal, Relayer
from common.units import SECOND

_SIGNATURE_TYPES = {"WALLET": 3, "SAFE": 2, "PROXY": 1}
_MOST_TOLD = 100
Handler = Callable[[web.Request, str], Awaitable[web.Response]]


class RelayerRest:
    """The handlers of ``/relayer``."""

    def __init__(
        self, relayer: Relayer, keys: Mapping[str, str], accounts: Accounts, board: FaultBoard
    ) -> None:
        """``keys``: API key to the address that owns it."""
        self._relayer = relayer
        self._keys = keys
        self._accounts = accounts
        self._board = board

    def routes(self) -> list[web.RouteDef]:
        """Every path but that of deployed wallets, which the account side has."""
        return [
            web.post("/relayer/submit", self._proven(self._submit)),
            web.get("/relayer/v1/account/transactions/params", self._proven(self._params)),
            web.get("/relayer/v1/account/transactions/{action_id}", self._proven(self._action)),
            web.get("/relayer/transactions", self._proven(self._recent)),
            web.get("/relayer/transaction", self._proven(self._older_action)),
        ]

    def _proven(self, handler: Handler) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            fault = self._board.relayer()
            if fault is not None and fault.form == "down":
                return _json({"error": "service unavailable"}, 503)
            address = request.headers.get("RELAYER_API_KEY_ADDRESS", "").lower()
            owner = self._keys.get(request.headers.get("RELAYER_API_KEY", ""))
            if owner is None or owner.lower() != address:
                return _json({"error": "invalid authorization"}, 401)
            return await handler(request, address)

        return handle

    async def _submit(self, request: web.Request, owner: str) -> web.Response:
        try:
            body = json.loads(await request.read())
            if body["type"] != "WALLET":
                return _json({"error": f"not simulated: type {body['type']}"}, 400)
            batch = _batch(body)
        except (ValueError, KeyError, TypeError, AttributeError):
            return _json({"error": "bad request: invalid payload"}, 400)
        if batch.owner != owner or body["to"].lower() != DEPOSIT_FACTORY.lower():
            return _json({"error": "from or to is not of this key"}, 400)
        try:
            action = self._relayer.submit(batch)
        except Refusal as refusal:
            return _json({"error": refusal.text}, refusal.status)
        fault = self._board.relayer()
        if fault is not None and fault.form == "lost" and request.transport is not None:
            request.transport.abort()
        return _json({"transactionID": action.action_id, "state": "STATE_NEW"})

    async def _params(self, request: web.Request, owner: str) -> web.Response:
        account = self._account(request)
        if account is None:
            return _json({"error": "no such wallet"}, 400)
        return _json({"address": account.address, "nonce": str(self._relayer.nonce(account))})

    async def _action(self, request: web.Request, owner: str) -> web.Response:
        action = self._relayer.actions.get(request.match_info["action_id"])
        if action is None or action.batch.owner != owner:
            return _json({"error": "transaction not found"}, 404)
        transaction = action.transaction
        return _json(
            {
                "transaction_id": action.action_id,
                "transaction_hash": self._relayer.tx_hash(action),
                "state": self._relayer.state(action),
                "error_msg": action.error or (transaction.refused if transaction is not None else "") or None,
                "nonce": str(action.batch.nonce),
                "type": "WALLET",
                "created_at": _iso(action.at_ns),
            }
        )

    async def _older_action(self, request: web.Request, owner: str) -> web.Response:
        action = self._relayer.actions.get(request.query.get("id", ""))
        if action is None or action.batch.owner != owner:
            return _json({"error": "transaction not found"}, 404)
        return _json([self._older(action)])

    async def _recent(self, request: web.Request, owner: str) -> web.Response:
        own = [each for each in self._relayer.actions.values() if each.batch.owner == owner]
        return _json([self._older(each) for each in reversed(own[-_MOST_TOLD:])])

    def _older(self, action: Action) -> dict[str, Any]:
        batch = action.batch
        return {
            "transactionID": action.action_id,
            "transactionHash": self._relayer.tx_hash(action),
            "from": batch.owner,
            "to": DEPOSIT_FACTORY.lower(),
            "proxyAddress": batch.wallet,
            "data": "",
            "nonce": str(batch.nonce),
            "value": "",
            "signature": "0x" + batch.signature.hex(),
            "state": self._relayer.state(action),
            "type": "WALLET",
            "owner": batch.owner,
            "metadata": batch.metadata,
            "createdAt": _iso(action.at_ns),
            "updatedAt": _iso(action.at_ns),
        }

    def _account(self, request: web.Request) -> Account | None:
        kind = _SIGNATURE_TYPES.get(request.query.get("type", ""))
        return None if kind is None else self._accounts.of_signer(request.query.get("address", ""), kind)


def _batch(body: dict[str, Any]) -> Batch:
    params = body["depositWalletParams"]
    return Batch(
        owner=body["from"].lower(),
        wallet=params["depositWallet"].lower(),
        nonce=int(body["nonce"]),
        deadline_s=int(params["deadline"]),
        calls=tuple(
            BatchCall(
                call["target"].lower(), int(call["value"]), bytes.fromhex(call["data"].removeprefix("0x"))
            )
            for call in params["calls"]
        ),
        signature=bytes.fromhex(body["signature"].removeprefix("0x")),
        metadata=str(body.get("metadata", "")),
    )


def _iso(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns / SECOND, UTC).isoformat().replace("+00:00", "Z")


def _json(body: Any, status: int = 200) -> web.Response:
    return web.json_response(body, status=status)
