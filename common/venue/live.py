"""The account at the live venue, through the official client: records, trades, balances, cancellations.

The only module that imports the client. It is used for what may be slow; orders go their own way. Nothing
here deploys, approves or places anything, and an answer that is not complete is Unread, never "nothing".
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from polymarket._internal.environment import PRODUCTION_CONFIG, create_environment
from polymarket.clients.async_secure import AsyncSecureClient
from polymarket.errors import PolymarketError, RequestRejectedError
from polymarket.models.clob.api_key import ApiKeyCreds

from common.core.account_frames import IsOurs, concerns, read_order, read_trade
from common.core.venue_facts import Absent, Found, OrderNews, Reading, Unread, VenueTrade
from common.errors import DependencyMissing, FeedRefused, FrameRefused
from common.runtime.config import Config
from common.runtime.credentials import Secret
from common.units import SECOND
from common.venue.clob.l2_auth import ApiKey
from common.venue.port import Activity
from common.venue.signing.wallet import SIGNATURE_TYPES

CALL_S = 10.0
CLOCKS_APART_S = 60
"""Trades are asked for from so long before: their stamps are whole seconds of the venue's clock."""
MOST_PAGES = 50
END_CURSOR = "LTE="
_UNKNOWN_ORDER = (400, 404)


class AccountClient:
    """One account's reads and cancellations; make it with ``connect``."""

    def __init__(self, client: AsyncSecureClient, api_key: ApiKey, signature_type: int) -> None:
        self.api_key = api_key
        self._client = client
        self._signature_type = signature_type

    async def close(self) -> None:
        """Close every connection of the client."""
        await self._client.close()

    async def look_up(self, order_id: str, token_id: str, since_ns: int) -> Reading:
        """One order's record, the open orders and its trades; Absent only when all three were answered."""
        try:
            news = await self._record(order_id)
            resting = await self._pages("/data/orders", {"id": order_id})
            trades = await self._trades(since_ns, lambda one: one == order_id)
        except (_Incomplete, FrameRefused) as problem:
            return Unread(str(problem))
        open_one = next((raw for raw in resting if raw.get("id") == order_id), None)
        try:
            news = news or (read_order(open_one) if open_one is not None else None)
        except FrameRefused as refusal:
            return Unread(str(refusal))
        found = tuple(trade for trade, _ in trades if trade is not None)
        return Found(news, found) if news is not None or found else Absent()

    async def trades_since(self, after_ns: int, own: Sequence[str]) -> Activity | Unread:
        """All trades of the account matched since then, in full."""
        ids = frozenset(own)
        try:
            trades = await self._trades(after_ns, ids.__contains__)
        except (_Incomplete, FrameRefused) as problem:
            return Unread(str(problem))
        return Activity(
            tuple(trade for trade, _ in trades if trade is not None),
            tuple(what for trade, what in trades if trade is None),
        )

    async def cancel(self, order_id: str) -> None:
        """Ask to take an order back; whether it worked is for ``look_up`` to say."""
        try:
            async with asyncio.timeout(CALL_S):
                await self._client.cancel_order(order_id=order_id)
        except (PolymarketError, TimeoutError):
            return

    async def balance(self) -> tuple[int, dict[str, int]]:
        """Collateral by the venue's word, and what each contract may take of it; raises DependencyMissing."""
        params = {"asset_type": "COLLATERAL", "signature_type": self._signature_type}
        try:
            # The venue works from a copy of the chain's state: ask it to look again first.
            await self._get("/balance-allowance/update", params, answers=False)
            raw = await self._get("/balance-allowance", params)
            allowances = raw.get("allowances") or {}
            return int(raw["balance"]), {name.lower(): int(value) for name, value in allowances.items()}
        except (_Incomplete, LookupError, TypeError, ValueError, AttributeError) as problem:
            raise DependencyMissing(f"the venue does not tell the balance: {problem}") from None

    async def closed_only(self) -> bool:
        """Whether the venue lets this account close positions only; raises DependencyMissing."""
        try:
            raw = await self._get("/auth/ban-status/closed-only", {})
        except _Incomplete as problem:
            raise DependencyMissing(f"the venue does not tell the account's standing: {problem}") from None
        told = raw.get("closed_only") if isinstance(raw, dict) else None
        if not isinstance(told, bool):
            raise DependencyMissing("the venue does not tell the account's standing: no closed_only")
        return told

    async def _record(self, order_id: str) -> OrderNews | None:
        try:
            raw = await self._get(f"/data/order/{order_id}", {})
        except _Incomplete as problem:
            if problem.status in _UNKNOWN_ORDER:
                return None
            raise
        return read_order(raw) if isinstance(raw, dict) and raw.get("id") else None

    async def _trades(self, since_ns: int, is_ours: IsOurs) -> list[tuple[VenueTrade | None, str]]:
        after = str(max(0, since_ns // SECOND - CLOCKS_APART_S))
        found = await self._pages("/data/trades", {"maker_address": self._client.wallet, "after": after})
        return [(read_trade(raw, is_ours), concerns(raw)) for raw in found]

    async def _pages(self, path: str, params: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Every item of a list; a page that is missing or malformed makes the whole incomplete."""
        items: list[dict[str, Any]] = []
        cursor = ""
        for _ in range(MOST_PAGES):
            raw = await self._get(path, {**params, **({"next_cursor": cursor} if cursor else {})})
            page = raw.get("data") if isinstance(raw, dict) else None
            if not isinstance(page, list) or not all(isinstance(item, dict) for item in page):
                raise _Incomplete(f"{path}: the answer is no page of a list")
            items += page
            cursor = raw.get("next_cursor") or END_CURSOR
            if cursor == END_CURSOR:
                return items
        raise _Incomplete(f"{path}: more than {MOST_PAGES} pages")

    async def _get(self, path: str, params: Mapping[str, Any], *, answers: bool = True) -> Any:
        # The client's own signed transport, but not its models: they refuse records the venue does write,
        # and one odd trade must not hide the others.
        transport = self._client._ctx.secure_clob  # noqa: SLF001
        try:
            async with asyncio.timeout(CALL_S):
                read = transport.get_json if answers else transport.get_bytes
                return await read(path, params=dict(params))
        except RequestRejectedError as error:
            raise _Incomplete(f"{path}: {_said(error)}", error.status) from None
        except PolymarketError as error:
            raise _Incomplete(f"{path}: {_said(error)}") from None
        except TimeoutError:
            raise _Incomplete(f"{path}: no answer within {CALL_S:g} s") from None


class _Incomplete(Exception):
    """A read that did not come back whole; ``status`` is the HTTP status of a refusal, 0 without one."""

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status


async def connect(
    config: Config, private_key: Secret, wallet: str, credentials: Mapping[str, Secret] | None
) -> AccountClient:
    """Bind the client to the venue the configuration names; without credentials it asks for them.

    Raises FeedRefused when the venue refuses the key, DependencyMissing when it cannot be reached.
    """
    venue = config.venue
    # The client offers no public way to name another venue; its environment is made by the same private
    # helpers it makes its own with. Pinned to one version, and the acceptance suite runs on it.
    environment = create_environment(
        name="configured",
        config=replace(
            PRODUCTION_CONFIG,
            chain_id=venue.chain_id,
            clob_url=venue.clob_url,
            gamma_url=venue.gamma_url,
            data_url=venue.data_url,
            clob_market_ws_url=venue.clob_ws_url,
            clob_user_ws_url=venue.clob_user_ws_url,
            rpc_url=venue.chain_rpc_urls[0],
        ),
    )
    given = credentials and ApiKeyCreds(
        key=credentials["api_key"].reveal(),
        secret=credentials["secret"].reveal(),
        passphrase=credentials["passphrase"].reveal(),
    )
    try:
        async with asyncio.timeout(2 * CALL_S):
            # Not ``create``: that one deploys a wallet where it finds none.
            client = await AsyncSecureClient._create(  # noqa: SLF001
                private_key=private_key.reveal(),
                wallet=wallet,
                environment=environment,
                credentials=given or None,
                validate_credentials=False,
            )
    except RequestRejectedError as error:
        raise FeedRefused(
            f"the venue refuses this key: {_said(error)}; check the key, this host's clock and its region"
        ) from None
    except (PolymarketError, TimeoutError) as error:
        raise DependencyMissing(f"the venue cannot be reached for the account: {_said(error)}") from None
    known = client.credentials
    api_key = ApiKey(client.signer, Secret(known.key), Secret(known.secret), Secret(known.passphrase))
    return AccountClient(client, api_key, SIGNATURE_TYPES[config.wallet.kind])


def _said(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text[:200]
