"""Everything the simulated venue refuses, in the venue's words; one spoilt order for each guard."""

import asyncio
import dataclasses
import json
import time
from typing import Any

import pytest
from eth_account import Account as Key
from polymarket import AsyncSecureClient
from polymarket._internal.actions.orders.typed_data import build_order_signature, build_order_typed_data
from polymarket._internal.actions.orders.types import UnsignedOrder
from polymarket._internal.wallet import wrap_deposit_wallet_session_signer_signature

from common.sim.script import BookSet, Listed, Resolved, TickSizeChanged
from common.sim.settings import SimAccount
from common.sim.trading.contracts import EXCHANGES, NEG_RISK_EXCHANGE
from stage import spec
from trading_stage import (
    ACCOUNTS,
    MARKET,
    PRIVATE,
    SESSION,
    SESSION_PRIVATE,
    SIGNER,
    UP,
    USD6,
    WALLETS,
    Floor,
    payload,
    played,
    signed_headers,
)

STRANGER = "0x" + "5b" * 32
KINDS = {"eoa": 0, "proxy": 1, "safe": 2, "deposit": 3}


def unsigned(kind: str = "deposit", **changes: Any) -> UnsignedOrder:
    wallet = WALLETS[kind]
    fields: dict[str, Any] = {
        "chain_id": 137,
        "builder": "0x" + "0" * 64,
        "exchange_address": EXCHANGES["v1"].address,
        "expiration": 0,
        "maker": wallet,
        "maker_amount": 5_000_000,
        "metadata": "0x" + "0" * 64,
        "order_type": "FAK",
        "salt": 4711,
        "side": "BUY",
        "signature_type": KINDS[kind],
        "signer": wallet if kind == "deposit" else SIGNER,
        "taker_amount": 10_000_000,
        "timestamp": 1_800_000_000_000,
        "token_id": UP,
    }
    return UnsignedOrder(**(fields | changes))


def wire(
    signing: UnsignedOrder, api_key: str, private: str = PRIVATE, version: str = "2", **spoilt: Any
) -> dict[str, Any]:
    """The request for an order, signed by the official client's own functions, then spoilt."""
    typed = build_order_typed_data(signing, protocol_version=version)
    inner = "0x" + Key.from_key(private).sign_typed_data(full_message=typed).signature.hex()
    signature = build_order_signature(signing, inner, protocol_version=version)
    if private == SESSION_PRIVATE:
        signature = wrap_deposit_wallet_session_signer_signature(SESSION, signature)
    body = {
        "deferExec": False,
        "order": {
            "builder": signing.builder,
            "expiration": "0",
            "maker": signing.maker,
            "makerAmount": str(signing.maker_amount),
            "metadata": signing.metadata,
            "salt": signing.salt,
            "side": signing.side,
            "signature": signature,
            "signatureType": signing.signature_type,
            "signer": signing.signer,
            "takerAmount": str(signing.taker_amount),
            "timestamp": str(signing.timestamp),
            "tokenId": signing.token_id,
        },
        "orderType": signing.order_type,
        "owner": api_key,
    }
    body["order"] |= {name: value for name, value in spoilt.items() if name in body["order"]}
    return body | {name: value for name, value in spoilt.items() if name not in body["order"]}


async def answered(venue: Floor, body: Any, private: str = PRIVATE) -> tuple[int, str]:
    client = await venue.trader(private=private)
    if callable(body):
        body = body(client.credentials.key)
    status, told, _ = await venue.send(client, body)
    return status, told.get("error") or told["status"]


def one_order(body: Any, private: str = PRIVATE, **settings: Any) -> tuple[int, str]:
    async def scene(venue: Floor) -> tuple[int, str]:
        answer = await answered(venue, body, private)
        truth = await venue.truth()
        if answer[0] != 200:
            assert truth["orders"] == []
            assert [account["venue"] for account in truth["accounts"]] == [
                account["chain"] for account in truth["accounts"]
            ]
        return answer

    return played(scene, **settings)


@pytest.mark.parametrize("kind", KINDS)
def test_the_orders_that_are_spoilt_below_are_good(kind: str) -> None:
    assert one_order(lambda key: wire(unsigned(kind), key)) == (200, "matched")


def test_the_session_orders_that_are_spoilt_below_are_good() -> None:
    assert one_order(lambda key: wire(unsigned(), key, SESSION_PRIVATE), SESSION_PRIVATE) == (200, "matched")


BAD_SIGNATURE = (400, "invalid signature")
WRONG_VERSION = (400, "order_version_mismatch")
WRONG_SIGNER = (400, "the order signer address has to be the address of the API KEY")
WRONG_MAKER = (400, "maker address not allowed, please use the deposit wallet flow")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"private": STRANGER}, BAD_SIGNATURE),
        ({"version": "1"}, WRONG_VERSION),
        ({"version": "3"}, WRONG_VERSION),
        ({"exchange_address": EXCHANGES["v2"].address, "version": "3"}, WRONG_VERSION),
        ({"exchange_address": NEG_RISK_EXCHANGE}, BAD_SIGNATURE),
        ({"chain_id": 80_002}, BAD_SIGNATURE),
        ({"takerAmount": "10000100"}, BAD_SIGNATURE),
        ({"salt": 4712}, BAD_SIGNATURE),
        ({"signature": "0x" + "00" * 65}, BAD_SIGNATURE),
        ({"signature": "0x1234"}, BAD_SIGNATURE),
        ({"signer": Key.from_key(STRANGER).address}, WRONG_SIGNER),
        ({"maker": "0x" + "11" * 20}, WRONG_MAKER),
        ({"signatureType": 1}, BAD_SIGNATURE),
        ({"signatureType": 3}, BAD_SIGNATURE),
        ({"owner": "somebody"}, (400, "the order owner has to be the owner of the API KEY")),
    ],
    ids=str,
)
def test_a_signature_must_fit_in_every_respect(
    kind: str, changes: dict[str, Any], refusal: tuple[int, str]
) -> None:
    if changes.get("signatureType") == KINDS[kind]:
        changes = {"signatureType": (KINDS[kind] + 1) % 4}
    signing = {name: changes[name] for name in ("exchange_address", "chain_id") if name in changes}
    rest = {name: value for name, value in changes.items() if name not in signing}
    assert one_order(lambda key: wire(unsigned(kind, **signing), key, **rest)) == refusal


def test_a_wallet_takes_only_its_own_type_of_signature() -> None:
    for kind, other in (("eoa", 1), ("proxy", 2), ("safe", 1)):
        order = unsigned(kind, signature_type=other)
        assert one_order(lambda key, order=order: wire(order, key)) == BAD_SIGNATURE


def test_another_wallets_money_cannot_be_spent() -> None:
    """A stranger with an API key of their own names our wallet as the maker."""
    for kind in KINDS:

        async def scene(venue: Floor, kind: str = kind) -> tuple[int, str]:
            client = await AsyncSecureClient.create(
                private_key=STRANGER,
                wallet=Key.from_key(STRANGER).address,
                environment=(await venue.trader())._ctx.environment,
            )
            venue.clients.append(client)
            status, told, _ = await venue.send(client, wire(unsigned(kind), client.credentials.key, STRANGER))
            return status, told["error"]

        assert played(scene) == WRONG_SIGNER


def without_envelope(body: dict[str, Any]) -> dict[str, Any]:
    """The nested signature of a session key as if it were the owner's."""
    inner = bytes.fromhex(body["order"]["signature"][2:])[128:][:317]
    return body | {"order": body["order"] | {"signature": "0x" + inner.hex()}}


def another_name(body: dict[str, Any]) -> dict[str, Any]:
    """The envelope names another session key than the one that signed."""
    raw = bytearray(bytes.fromhex(body["order"]["signature"][2:]))
    raw[31] ^= 1
    return body | {"order": body["order"] | {"signature": "0x" + raw.hex()}}


def broken_envelope(body: dict[str, Any]) -> dict[str, Any]:
    raw = bytearray(bytes.fromhex(body["order"]["signature"][2:]))
    raw[95] = 0xFF
    return body | {"order": body["order"] | {"signature": "0x" + raw.hex()}}


def other_context(body: dict[str, Any]) -> dict[str, Any]:
    """The word that is always zero is not."""
    raw = bytearray(bytes.fromhex(body["order"]["signature"][2:]))
    raw[63] = 1
    return body | {"order": body["order"] | {"signature": "0x" + raw.hex()}}


def longer_name(body: dict[str, Any]) -> dict[str, Any]:
    """More than an address before the session key's."""
    raw = bytearray(bytes.fromhex(body["order"]["signature"][2:]))
    raw[0] = 1
    return body | {"order": body["order"] | {"signature": "0x" + raw.hex()}}


@pytest.mark.parametrize(
    "spoil", [without_envelope, another_name, broken_envelope, other_context, longer_name]
)
def test_a_session_signature_must_be_in_its_envelope(spoil: Any) -> None:
    async def scene(venue: Floor) -> tuple[int, str]:
        return await answered(
            venue, lambda key: spoil(wire(unsigned(), key, SESSION_PRIVATE)), SESSION_PRIVATE
        )

    assert played(scene) == BAD_SIGNATURE


def test_an_owner_does_not_sign_as_a_session_key() -> None:
    async def scene(venue: Floor) -> tuple[int, str]:
        client = await venue.trader()
        body = wire(unsigned(), client.credentials.key)
        wrapped = wrap_deposit_wallet_session_signer_signature(SIGNER, body["order"]["signature"])
        body["order"]["signature"] = wrapped
        status, told, _ = await venue.send(client, body)
        return status, told["error"]

    assert played(scene) == BAD_SIGNATURE


def test_a_deposit_wallet_does_not_take_its_owners_plain_signature() -> None:
    order = unsigned()
    plain = build_order_typed_data(dataclasses.replace(order, signature_type=0))
    plain["message"]["signatureType"] = 3
    inner = "0x" + Key.from_key(PRIVATE).sign_typed_data(full_message=plain).signature.hex()
    assert one_order(lambda key: wire(order, key, signature=inner)) == BAD_SIGNATURE


@pytest.mark.parametrize("cut", [65, 97, 129, -2], ids=str)
def test_the_trailer_of_a_nested_signature_must_be_whole(cut: int) -> None:
    def spoilt(key: str) -> dict[str, Any]:
        body = wire(unsigned(), key)
        raw = bytearray(bytes.fromhex(body["order"]["signature"][2:]))
        raw[cut] ^= 1
        body["order"]["signature"] = "0x" + raw.hex()
        return body

    assert one_order(spoilt) == BAD_SIGNATURE


def test_a_revoked_session_key_trades_no_more() -> None:
    accounts = (SimAccount(signer=SIGNER, address=WALLETS["deposit"]),)
    answer = one_order(lambda key: wire(unsigned(), key, SESSION_PRIVATE), SESSION_PRIVATE, accounts=accounts)
    assert answer == WRONG_SIGNER


TOO_POOR = "not enough balance / allowance: the balance is not enough ->"
TOO_FINE = (
    "invalid amounts, the market buy orders maker amount supports a max accuracy of 2 decimals, "
    "taker amount a max of 4 decimals"
)


@pytest.mark.parametrize(
    ("amounts", "text"),
    [
        ((997_500, 2_000_000), "invalid amount for a marketable BUY order ($0.9975), min size: 1"),
        ((999_999, 2_000_000), "invalid amount for a marketable BUY order ($0.999999), min size: 1"),
        (
            (5_001_000, 10_002_000),
            TOO_FINE,
        ),
        (
            (5_000_000, 10_000_010),
            TOO_FINE,
        ),
    ],
    ids=str,
)
def test_amounts_have_their_decimals_and_their_least(amounts: tuple[int, int], text: str) -> None:
    order = unsigned(maker_amount=amounts[0], taker_amount=amounts[1])
    assert one_order(lambda key: wire(order, key)) == (400, text)


@pytest.mark.parametrize("taker6", [9_950_200, 4_900_000, 5_000_000, 600_000_000])
def test_a_price_off_the_grid_is_refused(taker6: int) -> None:
    order = unsigned(taker_amount=taker6)
    status, text = one_order(lambda key: wire(order, key))
    assert status == 400
    assert "is invalid. Price (" in text
    assert text.endswith("breaks minimum tick size rule: 0.01")


def test_a_finer_grid_takes_finer_amounts() -> None:
    async def scene(venue: Floor) -> tuple[int, str]:
        venue.venue.happen(TickSizeChanged(MARKET.slug, "0.001"))
        return await answered(
            venue, lambda key: wire(unsigned(maker_amount=5_000_000, taker_amount=9_090_900), key)
        )

    # 0.5500... of the coarse grid, and 0.505 with five decimals of the fine one
    assert played(scene) == (200, "matched")
    fine = unsigned(maker_amount=5_000_000, taker_amount=9_900_990)

    async def finer(venue: Floor) -> tuple[int, str]:
        venue.venue.happen(TickSizeChanged(MARKET.slug, "0.001"))
        return await answered(venue, lambda key: wire(fine, key))

    assert played(finer) == (200, "matched")
    assert one_order(lambda key: wire(fine, key))[0] == 400


def test_money_and_allowance_must_be_enough_for_the_amount_and_its_fee() -> None:
    account = SimAccount(signer=SIGNER, address=WALLETS["deposit"], usd6=5_174_999)
    answer = one_order(lambda key: wire(unsigned(), key), accounts=(account,))
    assert answer == (400, f"{TOO_POOR} balance: 5174999, order amount: 5175000")
    enough = SimAccount(signer=SIGNER, address=WALLETS["deposit"], usd6=5_175_000)
    assert one_order(lambda key: wire(unsigned(), key), accounts=(enough,)) == (200, "matched")
    allowed = SimAccount(signer=SIGNER, address=WALLETS["deposit"], usd6=USD6, allowance_usd6=5_174_999)
    status, text = one_order(lambda key: wire(unsigned(), key), accounts=(allowed,))
    assert status == 400
    assert text.endswith("allowance: 5174999, order amount: 5175000")
    assert EXCHANGES["v1"].address in text


def test_orders_that_wait_hold_their_money_back() -> None:
    async def scene(venue: Floor) -> tuple[int, str]:
        client = await venue.trader()
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(venue.send(client, wire(unsigned(salt=1), client.credentials.key)))
            await venue.until(lambda truth: bool(truth["orders"]))
            status, told, _ = await venue.send(client, wire(unsigned(salt=2), client.credentials.key))
        assert first.result()[0] == 200
        return status, told["error"]

    account = SimAccount(signer=SIGNER, address=WALLETS["deposit"], usd6=10_000_000)
    answer = played(scene, accounts=(account,), taker_delay_ms=200)
    held_back = "balance: 10000000, sum of matched orders: 5175000, order amount: 5175000"
    assert answer == (400, f"{TOO_POOR} {held_back}")


def test_an_order_that_gets_dearer_does_not_spend_what_another_one_waits_with() -> None:
    """At a lower price the fee of the same dollars is higher than was held back for it."""

    async def scene(venue: Floor) -> list[int]:
        client = await venue.trader()
        async with asyncio.TaskGroup() as tasks:
            for salt in (1, 2):
                tasks.create_task(venue.send(client, wire(unsigned(salt=salt), client.credentials.key)))
            await venue.until(lambda truth: len(truth["orders"]) == 2)
            venue.ask(("0.1", "1000"))
        orders = (await venue.truth())["orders"]
        return [sum(t["cost_usd6"] + t["fee_usd6"] for t in order["trades"]) for order in orders]

    account = SimAccount(signer=SIGNER, address=WALLETS["deposit"], usd6=10_350_000)
    spent = played(scene, accounts=(account,), taker_delay_ms=200)
    assert len(spent) == 2
    assert all(5_174_900 < each <= 5_175_000 for each in spent), spent


def test_markets_that_are_not_there_or_not_open_take_nothing() -> None:
    unknown = one_order(lambda key: wire(unsigned(token_id="7" * 70), key))
    assert unknown == (400, f"the orderbook {'7' * 70} does not exist")

    async def resolved(venue: Floor) -> tuple[int, str]:
        venue.venue.happen(Resolved(MARKET.slug, "Up"))
        return await answered(venue, lambda key: wire(unsigned(), key))

    assert played(resolved) == (400, f"the orderbook {UP} does not exist")

    async def closed(venue: Floor) -> tuple[int, str]:
        other = spec(
            slug="other",
            condition_id="0x" + "cd" * 32,
            token_up="8" * 70,
            token_down="9" * 70,
            accepting=False,
        )
        venue.venue.happen(Listed(other), BookSet("8" * 70, (), (("0.5", "10"),)))
        return await answered(venue, lambda key: wire(unsigned(token_id="8" * 70), key))

    assert played(closed) == (400, "the market is not yet ready to process new orders")


def test_a_market_of_protocol_v2_is_signed_for_its_own_exchange() -> None:
    token = str((1 << 248) + 1)
    market = spec(
        slug="v2", condition_id="0x01" + "cd" * 30 + "00", token_up=token, token_down="9" * 70, version="v2"
    )
    order = unsigned(token_id=token, exchange_address=EXCHANGES["v2"].address)

    async def scene(venue: Floor, version: str) -> tuple[int, str]:
        venue.venue.happen(Listed(market), BookSet(token, (), (("0.5", "100"),)))
        return await answered(venue, lambda key: wire(order, key, version=version))

    assert played(lambda venue: scene(venue, "3")) == (200, "matched")
    assert played(lambda venue: scene(venue, "2")) == WRONG_VERSION


@pytest.mark.parametrize(
    "spoilt",
    [
        "not json",
        "[]",
        {"order": {}},
        {"salt": "4711"},
        {"salt": 1 << 53},
        {"makerAmount": 5_000_000},
        {"makerAmount": "-5"},
        {"takerAmount": "1e7"},
        {"maker": "somebody"},
        {"signature": "0x123"},
        {"side": "buy"},
        {"signatureType": 4},
        {"signatureType": True},
        {"orderType": "IOC"},
    ],
    ids=str,
)
def test_malformed_orders_are_refused(spoilt: Any) -> None:
    def body(key: str) -> Any:
        return spoilt if isinstance(spoilt, str) else wire(unsigned(), key, **spoilt)

    assert one_order(body) == (400, "Invalid order payload")


def test_an_order_of_the_retired_protocol_is_named() -> None:
    def body(key: str) -> Any:
        made = wire(unsigned(), key)
        made["order"]["nonce"] = "0"
        return made

    assert one_order(body) == WRONG_VERSION


@pytest.mark.parametrize("spoilt", [{"order_type": "GTC"}, {"order_type": "GTC", "side": "SELL"}], ids=str)
def test_what_is_not_simulated_says_so(spoilt: dict[str, Any]) -> None:
    status, text = one_order(lambda key: wire(unsigned(**spoilt), key))
    assert (status, text[:13]) == (400, "not simulated")


UNAUTHORIZED = (401, {"error": "Unauthorized/Invalid api key"})


def test_requests_prove_who_sends_them() -> None:
    async def scene(venue: Floor) -> None:
        client, order = await venue.trader(), unsigned()
        body = wire(order, client.credentials.key)
        spoilt = [
            {"POLY_SIGNATURE": "AAAA"},
            {"POLY_SIGNATURE": "\u00e9"},
            {"POLY_API_KEY": "somebody"},
            {"POLY_PASSPHRASE": "wrong"},
            {"POLY_ADDRESS": WALLETS["deposit"]},
            {"POLY_TIMESTAMP": str(int(time.time()) - 1)},
            {"POLY_TIMESTAMP": "x"},
            signed_headers(client, "POST", "/order", None),
            signed_headers(client, "GET", "/order", _text(body)),
            signed_headers(client, "POST", "/clob/order", _text(body)),
            signed_headers(client, "POST", "/order", _text(body), int(time.time()) - 62),
            signed_headers(client, "POST", "/order", _text(body), int(time.time()) + 62),
        ]
        for headers in spoilt:
            assert (await venue.send(client, _text(body), **headers))[:2] == UNAUTHORIZED, headers
        for path in (
            "/data/orders",
            "/data/trades",
            "/data/order/0x1",
            "/balance-allowance",
            "/balance-allowance/update",
            "/auth/api-keys",
            "/auth/ban-status/closed-only",
            "/v1/user/rate-limit-tier",
            "/notifications",
        ):
            answer = await venue.send(client, None, "GET", path, POLY_SIGNATURE="AAAA")
            assert answer[:2] == UNAUTHORIZED, path
        for path in ("/order", "/orders", "/cancel-all", "/cancel-market-orders"):
            answer = await venue.send(client, {}, "DELETE", path, POLY_SIGNATURE="AAAA")
            assert answer[:2] == UNAUTHORIZED, path
        assert (await venue.truth())["orders"] == []
        edge = signed_headers(client, "POST", "/order", _text(body), int(time.time()) - 55)
        assert (await venue.send(client, _text(body), **edge))[0] == 200

    played(scene, accounts=ACCOUNTS)


def test_the_signed_path_has_no_query() -> None:
    async def scene(venue: Floor) -> None:
        client = await venue.trader()
        headers = signed_headers(client, "GET", "/data/trades", None)
        address = f"{venue.venue.base}/clob/data/trades?market=0x1"
        async with venue.venue.session.get(address, headers=headers) as answer:
            assert answer.status == 200

    played(scene)


def test_what_the_client_posts_is_what_is_spoilt_here() -> None:
    async def scene(venue: Floor) -> None:
        client = await venue.trader()
        order = await venue.signed(client)
        ours = wire(
            unsigned(salt=order.salt, timestamp=order.timestamp, taker_amount=order.taker_amount),
            client.credentials.key,
        )
        assert payload(order, client.credentials.key) == ours

    played(scene)


def _text(body: Any) -> str:
    return json.dumps(body)
