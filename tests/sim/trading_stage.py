"""The simulated venue with customers, the official client to trade with, and good orders to spoil."""

import asyncio
import dataclasses
import json
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest
from eth_account import Account as Key
from polymarket import AsyncSecureClient
from polymarket._internal.environment import (
    PRODUCTION_CONFIG,
    create_environment,
)
from polymarket._internal.hmac import build_hmac_signature
from polymarket._internal.wallet import (
    derive_beacon_deposit_wallet_address,
    derive_proxy_wallet_address,
    derive_safe_wallet_address,
)
from polymarket.environments import Environment

from common.sim.naming import made_up_ids
from common.sim.script import BookSet, Listed
from common.sim.settings import SimAccount
from stage import LIMIT_S, Stage, spec, stage

PRIVATE = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
SESSION_PRIVATE = "0x" + "7c" * 32
SIGNER = Key.from_key(PRIVATE).address
SESSION = Key.from_key(SESSION_PRIVATE).address
_DERIVATION = PRODUCTION_CONFIG.wallet_derivation
WALLETS = {
    "eoa": SIGNER,
    "proxy": derive_proxy_wallet_address(SIGNER, _DERIVATION),
    "safe": derive_safe_wallet_address(SIGNER, _DERIVATION),
    "deposit": derive_beacon_deposit_wallet_address(SIGNER, _DERIVATION),
}
USD6 = 100_000_000
ACCOUNTS = tuple(
    SimAccount(
        signer=SIGNER,
        kind=kind,
        address="" if kind == "eoa" else wallet,
        usd6=USD6,
        session_signers=(SESSION,) if kind == "deposit" else (),
    )
    for kind, wallet in WALLETS.items()
)
CONDITION, UP, DOWN = made_up_ids("trading")
MARKET = spec(condition_id=CONDITION, token_up=UP, token_down=DOWN)
_NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
ASKS = (("0.6", "10"), ("0.52", "30"), ("0.5", "8"))


def environment(base: str) -> Environment:
    config = dataclasses.replace(
        PRODUCTION_CONFIG,
        clob_url=f"{base}/clob",
        clob_user_ws_url=base.replace("http", "ws") + "/ws/user",
        relayer_url=f"{base}/relayer",
        rpc_url=f"{base}/chain",
    )
    return create_environment(name="simulated", config=config)


class Floor:
    """The venue under test, one client of it, and the venue's own truth."""

    def __init__(self, venue: Stage) -> None:
        self.venue = venue
        self.clients: list[AsyncSecureClient] = []

    def ask(self, *asks: tuple[str, str], token: str = UP) -> None:
        self.venue.happen(BookSet(token, (("0.4", "10"),), asks))

    async def trader(self, kind: str = "deposit", private: str = PRIVATE) -> AsyncSecureClient:
        client = await AsyncSecureClient.create(
            private_key=private, wallet=WALLETS[kind], environment=environment(self.venue.base)
        )
        self.clients.append(client)
        return client

    async def signed(
        self, client: AsyncSecureClient, amount: str = "5", cap: str = "0.55", **more: Any
    ) -> Any:
        return await client.create_market_order(
            asset_id=more.pop("token", UP),
            side="BUY",
            amount=Decimal(amount),
            max_price=Decimal(cap),
            **more,
        )

    async def bought(self, client: AsyncSecureClient, amount: str = "5", cap: str = "0.55") -> Any:
        return await client.post_order(await self.signed(client, amount, cap))

    async def truth(self) -> dict[str, Any]:
        status, body = await self.venue.get("/control/account")
        assert status == 200
        return dict(body)

    async def holdings(self, kind: str = "deposit", view: str = "venue") -> tuple[int, dict[str, int]]:
        accounts = (await self.truth())["accounts"]
        (account,) = [each for each in accounts if each["address"] == WALLETS[kind].lower()]
        return account[view]["usd6"], account[view]["tokens"]

    async def send(
        self,
        client: AsyncSecureClient,
        body: Any,
        method: str = "POST",
        path: str = "/order",
        **changes: Any,
    ) -> tuple[int, Any, dict[str, str]]:
        """One signed request of ours, body and headers as given."""
        text = None if body is None else body if isinstance(body, str) else json.dumps(body)
        headers = signed_headers(client, method, path, text) | changes
        async with asyncio.timeout(LIMIT_S):
            async with self.venue.session.request(
                method, f"{self.venue.base}/clob{path}", data=text, headers=headers
            ) as answer:
                raw = await answer.text()
                try:
                    told = json.loads(raw)
                except ValueError:
                    told = raw
                return answer.status, told, dict(answer.headers)

    async def until(self, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The venue's truth once it is as wished, with a limit."""
        async with asyncio.timeout(LIMIT_S):
            while not fits(truth := await self.truth()):
                await asyncio.sleep(0.005)
            return truth


def signed_headers(
    client: AsyncSecureClient, method: str, path: str, body: str | None, at_s: int | None = None
) -> dict[str, str]:
    stamp = int(time.time()) if at_s is None else at_s
    key = client.credentials
    return {
        "POLY_ADDRESS": str(client._ctx.signer.address),
        "POLY_API_KEY": key.key,
        "POLY_PASSPHRASE": key.passphrase,
        "POLY_TIMESTAMP": str(stamp),
        "POLY_SIGNATURE": build_hmac_signature(
            secret=key.secret, timestamp=stamp, method=method, path=path, body=body
        ),
        "Content-Type": "application/json",
    }


def payload(order: Any, owner: str) -> dict[str, Any]:
    """What the official client posts for an order."""
    from polymarket._internal.actions.orders.post import build_post_order_request

    return build_post_order_request(order, owner_api_key=owner)[1]


def played(scene: Callable[[Floor], Awaitable[Any]], **settings: Any) -> Any:
    """Play a scene at a venue of these settings."""

    async def play() -> Any:
        async with floor(**settings) as opened:
            return await scene(opened)

    return asyncio.run(play())


@asynccontextmanager
async def floor(**settings: Any) -> AsyncIterator[Floor]:
    fields: dict[str, Any] = {
        "accounts": ACCOUNTS,
        "taker_delay_ms": 10,
        "mined_after_ms": 20,
        "confirmed_after_ms": 20,
    }
    with pytest.MonkeyPatch.context() as patch:
        # The client reads all certificates anew for each of its eleven services; loopback needs none.
        patch.setattr("httpx._transports.default.create_ssl_context", lambda **_: _NO_CERTIFICATES)
        async with _floor(**(fields | settings)) as opened:
            yield opened


@asynccontextmanager
async def _floor(**settings: Any) -> AsyncIterator[Floor]:
    async with stage(**settings) as venue:
        venue.happen(Listed(MARKET), BookSet(UP, (("0.4", "10"),), ASKS), BookSet(DOWN, (), ()))
        opened = Floor(venue)
        try:
            yield opened
        finally:
            for client in opened.clients:
                await client.close()
