"""The account at the live venue, through the official client: records, trades, balances, cancellations.

The only module that imports the client. It is used for what may be slow; orders go their own way. Nothing
here deploys, approves or places anything, and an answer that is not complete is Unread, never "nothing".
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount
from polymarket._internal.actions.auth import create_or_derive_api_key
from polymarket._internal.environment import PRODUCTION_CONFIG, create_environment
from polymarket._internal.l1_auth import sign_api_key_auth
from polymarket.clients._transport import AsyncTransport
from polymarket.clients.async_secure import AsyncSecureClient, _make_l2_header_resolver
from polymarket.environments import Environment
from polymarket.errors import PolymarketError, RequestRejectedError, UserInputError
from polymarket.models.clob.api_key import ApiKeyCreds

from common.core.account_frames import IsOurs, foreign_trade, read_json, read_order, read_trades
from common.core.order_events import ForeignSeen
from common.core.venue_facts import Absent, Found, OrderNews, Reading, Unread, VenueTrade
from common.errors import DependencyMissing, FeedRefused, FrameRefused
from common.runtime.config import Config
from common.runtime.config_sections import Venue
from common.runtime.credentials import Secret
from common.units import SECOND
from common.venue.clob.l2_auth import ApiKey
from common.venue.port import Activity
from common.venue.signing.wallet import SIGNATURE_TYPES

CALL_S = 10.0
READING_S = 25.0
"""A reading of many pages ends by then: who asked has to be able to ask again within a minute."""
CLOCKS_APART_S = 60
"""Trades are asked for from so long before: their stamps are whole seconds of the venue's clock."""
MOST_PAGES = 50
END_CURSOR = "LTE="
USER_AGENT = "laggard/0.1"
_REFUSES_US = (400, 401, 403)


class AccountClient:
    """One account's reads and cancellations; make it with ``connect``."""

    def __init__(
        self,
        client: AsyncSecureClient,
        api_key: ApiKey,
        signature_type: int,
        hidden: list[Secret],
        on_refused: Callable[[], None],
    ) -> None:
        """``hidden`` is in no text; ``on_refused`` is told of each request whose credentials are refused."""
        self.api_key = api_key
        self._client = client
        self._signature_type = signature_type
        self._hidden = hidden
        self._on_refused = on_refused

    async def renew(self) -> None:
        """Ask for API credentials anew, by the key, and use them from now on; ``api_key`` holds them.

        Requests under way end with the old ones. Raises FeedRefused and DependencyMissing as ``connect``
        does, and then the old ones stay.
        """
        context = self._client._ctx  # noqa: SLF001
        chain_id = context.environment_config.chain_id
        made = await _made_credentials(context.clob, context.signer, chain_id, self._hidden)
        api_key = _api_key(self._client.signer, made, self._hidden)
        # The client takes credentials only once; everything of ours that is signed goes through this.
        context.secure_clob._header_resolver = _make_l2_header_resolver(context.signer, made)  # noqa: SLF001
        self.api_key = api_key

    async def close(self) -> None:
        """Close every connection of the client."""
        await self._client.close()

    async def look_up(self, order_id: str, token_id: str, since_ns: int) -> Reading:
        """One order's record, the open orders and its trades; Absent only when all three were answered.

        The token is not needed: it is part of what the id is the digest of.
        """
        try:
            async with asyncio.timeout(READING_S):
                news = await self._record(order_id)
                resting = await self._pages("/data/orders", {"id": order_id})
                # Last: what was matched while the others were read is in it.
                trades, _ = await self._trades(since_ns, lambda one: one == order_id)
            named = [raw for raw in resting if str(raw.get("id")).lower() == order_id]
            if news is None and named:
                news = read_order(named[0])
        except (_Incomplete, FrameRefused) as problem:
            return Unread(str(problem))
        except TimeoutError:
            return Unread(f"the venue did not tell all of the order within {READING_S:g} s")
        return Found(news, trades) if news is not None or trades else Absent()

    async def trades_since(self, after_ns: int, own: Sequence[str]) -> Activity | Unread:
        """All trades of the account matched since then, in full."""
        try:
            async with asyncio.timeout(READING_S):
                return Activity(*await self._trades(after_ns, frozenset(own).__contains__))
        except (_Incomplete, FrameRefused) as problem:
            return Unread(str(problem))
        except TimeoutError:
            return Unread(f"the venue did not tell all trades within {READING_S:g} s")

    async def cancel(self, order_id: str) -> None:
        """Ask to take an order back; whether it worked is for ``look_up`` to say."""
        with suppress(_Incomplete):
            await self._asked("cancel", self._client.cancel_order(order_id=order_id))

    async def refresh_balance(self) -> None:
        """Make the venue look at the chain again: it works from a copy; raises DependencyMissing."""
        try:
            await self._get_bytes("/balance-allowance/update", self._collateral())
        except _Incomplete as problem:
            raise DependencyMissing(f"the venue does not look at the chain again: {problem}") from None

    async def balance(self) -> tuple[int, dict[str, int]]:
        """Collateral by the venue's newest word, and what each contract may take of it (both 1e-6 $).

        Raises DependencyMissing.
        """
        await self.refresh_balance()
        try:
            raw = await self._get("/balance-allowance", self._collateral())
            allowances = raw.get("allowances") or {}
            return _units(raw["balance"]), {name.lower(): _units(each) for name, each in allowances.items()}
        except (_Incomplete, FrameRefused, LookupError, ValueError, AttributeError) as problem:
            raise DependencyMissing(f"the venue does not tell the balance: {problem}") from None

    async def closed_only(self) -> bool:
        """Whether the venue lets this account close positions only; raises DependencyMissing."""
        try:
            raw = await self._get("/auth/ban-status/closed-only", {})
        except (_Incomplete, FrameRefused) as problem:
            raise DependencyMissing(f"the venue does not tell the account's standing: {problem}") from None
        told = raw.get("closed_only") if isinstance(raw, dict) else None
        if not isinstance(told, bool):
            raise DependencyMissing("the venue does not tell the account's standing: no closed_only")
        return told

    def _collateral(self) -> dict[str, Any]:
        return {"asset_type": "COLLATERAL", "signature_type": self._signature_type}

    async def _record(self, order_id: str) -> OrderNews | None:
        path = f"/data/order/{order_id}"
        try:
            raw = await self._get(path, {})
        except _Incomplete as problem:
            # A 400 may be any failure: the venue makes the status of its text.
            if problem.status == 404 or (problem.status == 400 and "not found" in str(problem).lower()):
                return None
            raise
        if raw is None:
            return None  # so it answers, by its users' reports, for orders that have ended
        if not isinstance(raw, dict) or str(raw.get("id")).lower() != order_id:
            raise _Incomplete(f"{path}: the answer is not the order's record")
        return read_order(raw)

    async def _trades(
        self, since_ns: int, is_ours: IsOurs
    ) -> tuple[tuple[VenueTrade, ...], tuple[ForeignSeen, ...]]:
        """Our trades, and those of orders nobody here knows.

        Not filtered by token: a taker of the other token may have filled an order of ours that rested.
        """
        after = str(max(0, since_ns // SECOND - CLOCKS_APART_S))
        rows = await self._pages("/data/trades", {"maker_address": self._client.wallet, "after": after})
        read = [(read_trades(raw, is_ours), raw) for raw in rows]
        return (
            tuple(trade for trades, _ in read for trade in trades),
            tuple(foreign_trade(raw) for trades, raw in read if not trades),
        )

    async def _pages(self, path: str, params: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Every item of a list; a page that is missing or malformed makes the whole incomplete."""
        items: list[dict[str, Any]] = []
        cursor, known = "", {""}
        for _ in range(MOST_PAGES):
            raw = await self._get(path, {**params, **({"next_cursor": cursor} if cursor else {})})
            page = raw.get("data") if isinstance(raw, dict) else None
            if not isinstance(page, list) or not all(isinstance(item, dict) for item in page):
                raise _Incomplete(f"{path}: the answer is no page of a list")
            items += page
            # A page that says nothing of it may be anything; null is an end to the official client too.
            cursor = raw.get("next_cursor", "")
            if cursor in (END_CURSOR, None):
                return items
            if not isinstance(cursor, str) or cursor in known:
                raise _Incomplete(f"{path}: the page does not say what follows it")
            known.add(cursor)
        raise _Incomplete(f"{path}: more than {MOST_PAGES} pages")

    async def _get(self, path: str, params: Mapping[str, Any]) -> Any:
        return read_json(await self._get_bytes(path, params))

    async def _get_bytes(self, path: str, params: Mapping[str, Any]) -> bytes:
        # The client's own signed transport, but neither its models nor its reader of JSON: the models refuse
        # records the venue does write, one odd trade must not hide the others, and the reader makes floats.
        transport = self._client._ctx.secure_clob  # noqa: SLF001
        raw: bytes = await self._asked(path, transport.get_bytes(path, params=dict(params)))
        return raw

    async def _asked(self, what: str, call: Any) -> Any:
        """What the client gives for one request; raises _Incomplete for whatever it raises."""
        try:
            async with asyncio.timeout(CALL_S):
                return await call
        except RequestRejectedError as error:
            advice = ""
            if error.status == 401:
                advice = _REFUSED_KEY
                self._on_refused()
            raise _Incomplete(
                f"{what}: HTTP {error.status}: {self._said(error)}{advice}", error.status
            ) from None
        except TimeoutError:
            raise _Incomplete(f"{what}: no answer within {CALL_S:g} s") from None
        except Exception as error:  # noqa: BLE001 - a slip of the client is no reason to end the executor
            raise _Incomplete(f"{what}: {self._said(error)}") from None

    def _said(self, error: BaseException) -> str:
        return _shown(error, self._hidden)


_REFUSED_KEY = "; check this host's clock, then delete clob.json where there is one, and start again"


class _Incomplete(Exception):
    """A read that did not come back whole; ``status`` is the HTTP status of a refusal, 0 without one."""

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status


async def connect(
    config: Config,
    private_key: Secret,
    wallet: str,
    credentials: Mapping[str, Secret] | None,
    *,
    on_refused: Callable[[], None] = lambda: None,
) -> AccountClient:
    """Bind the client to the venue the configuration names; without credentials it asks for them.

    Reads nothing of the chain and of wallets, and keeps the loop free meanwhile. Raises FeedRefused when the
    venue refuses the key or the client the credentials, DependencyMissing when the venue cannot be reached.
    """
    hidden = [private_key, *(credentials or {}).values()]
    try:
        if credentials:
            known = ApiKeyCreds(
                key=credentials["api_key"].reveal(),
                secret=credentials["secret"].reveal(),
                passphrase=credentials["passphrase"].reveal(),
            )
        else:
            known = await _first_credentials(config.venue, private_key, hidden)
        # In a thread: each of the client's eleven services reads all certificates anew.
        client = await asyncio.to_thread(_made_client, private_key, wallet, _environment(config.venue), known)
    except PolymarketError as error:
        raise FeedRefused(
            f"the key or wallet.address is malformed: {_shown(error, hidden)}; correct it"
        ) from None
    # The client has no setting for it; who asks for help at the venue is found by it.
    client._ctx.secure_clob._client.headers["User-Agent"] = USER_AGENT  # noqa: SLF001
    try:
        api_key = _api_key(client.signer, known, hidden)
    except FeedRefused:
        await client.close()
        raise
    return AccountClient(client, api_key, SIGNATURE_TYPES[config.wallet.kind], hidden, on_refused)


def _made_client(
    private_key: Secret, wallet: str, environment: Environment, credentials: ApiKeyCreds
) -> AsyncSecureClient:
    # Not ``create``: that one asks the relayer and deploys a wallet where it finds none. This one asks nobody
    # anything when it is given wallet and credentials, so that it needs no loop but to be awaited.
    return asyncio.run(
        AsyncSecureClient._create(  # noqa: SLF001
            private_key=private_key.reveal(),
            wallet=wallet,
            environment=environment,
            credentials=credentials,
            validate_credentials=False,
        )
    )


async def _first_credentials(venue: Venue, private_key: Secret, hidden: Sequence[Secret]) -> ApiKeyCreds:
    try:
        signer: LocalAccount = Account.from_key(private_key.reveal())
    except (ValueError, TypeError) as error:
        raise UserInputError(str(error)) from None
    transport = await asyncio.to_thread(AsyncTransport, base_url=venue.clob_url)
    try:
        return await _made_credentials(transport, signer, venue.chain_id, hidden)
    finally:
        await transport.close()


async def _made_credentials(
    transport: AsyncTransport, signer: LocalAccount, chain_id: int, hidden: Sequence[Secret]
) -> ApiKeyCreds:
    """Credentials the venue makes for this key, or tells again when it has made them before."""
    signature = sign_api_key_auth(signer, chain_id=chain_id, timestamp=int(time.time()), nonce=0)
    try:
        async with asyncio.timeout(2 * CALL_S):
            return await create_or_derive_api_key(transport, signature)
    except RequestRejectedError as error:
        said = _shown(error, hidden)
        if error.status not in _REFUSES_US:
            raise DependencyMissing(f"the venue gives no API credentials now: {said}") from None
        raise FeedRefused(
            f"the venue refuses this key: {said}; check the key, this host's clock and its region"
        ) from None
    except (PolymarketError, TimeoutError) as error:
        raise DependencyMissing(
            f"the venue cannot be reached for the account: {_shown(error, hidden)}"
        ) from None


def _api_key(address: str, known: ApiKeyCreds, hidden: list[Secret]) -> ApiKey:
    """The credentials as ours, from now on in no text; raises FeedRefused when they are malformed."""
    secrets = Secret(known.key), Secret(known.secret), Secret(known.passphrase)
    hidden += secrets
    try:
        return ApiKey(address, *secrets)
    except ValueError:
        raise FeedRefused(
            "the API credentials are malformed: their secret is no base64; copy clob.json anew, or delete it "
            "so that new ones are made"
        ) from None


def _environment(venue: Venue) -> Environment:
    # The client offers no public way to name another venue; its environment is made by the same private
    # helpers it makes its own with. Pinned to one version, and the acceptance suite runs on it.
    return create_environment(
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


def _units(value: object) -> int:
    """Base units as the venue writes them; raises ValueError for anything but a whole number."""
    text = str(value) if isinstance(value, int) else value
    if not isinstance(text, str) or not text.isascii() or not text.isdigit() or len(text) > 78:
        raise ValueError(f"{str(value)[:40]!r} is no whole number of base units")
    return int(text)


def _shown(error: BaseException, hidden: Sequence[Secret]) -> str:
    """The text of an error on one line, without any of these secrets."""
    text = str(error)
    for secret in hidden:
        for form in (secret.reveal(), secret.reveal().removeprefix("0x")):
            text = text.replace(form, "***") if form else text
    line = " ".join("".join(mark if mark.isprintable() else " " for mark in text).split())
    return line[:200] or type(error).__name__
