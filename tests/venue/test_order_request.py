"""What is posted is byte for byte what the official client posts for the same order."""

import json
import secrets
import socketserver
import ssl
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from polymarket import SecureClient
from polymarket._internal.environment import PRODUCTION_CONFIG, create_environment
from polymarket.models.clob.api_key import ApiKeyCreds

from common.core.order_amounts import Amounts, buy_amounts, sell_amounts
from common.runtime.credentials import Secret
from common.units import PRICE4_ONE, price4_exact, price4_text, size6_text, usd6_exact
from common.venue.clob.l2_auth import ApiKey
from common.venue.clob.order_request import (
    SALT_LIMIT,
    Account,
    OrderHead,
    SignedOrder,
    sign_buy,
    sign_order_of,
)
from common.venue.signing.order_signature import Signer
from common.venue.signing.wallet import WalletKind, wallets_of

KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
OWN = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
STRANGE = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
"""A wallet this key does not own."""
V1_TOKEN = "71321045679252212594626385532706912750332728571942532289631379312455583992563"
V2_TOKEN = str(int("01" + "5a" * 18 + "00" * 8 + "12" * 4 + "01", 16))
"""The official client takes an id with these 64 bits zero for a position of the second protocol."""
CONDITION = "0x" + "cd" * 32
OWNER, SECRET, PASSPHRASE = "0f9ac3b2-1d2c-4f4b-8f4f-7f6f0f5f4f3f", "A" * 43 + "=", "open sesame"
SIGNER = Signer(Secret(KEY))
API_KEY = ApiKey(OWN, Secret(OWNER), Secret(SECRET), Secret(PASSPHRASE))
FIVE = Amounts(5_000_000, 10_416_600)


class Venue(socketserver.ThreadingTCPServer):
    """Answers what the official client asks before an order, and keeps what it posts."""

    daemon_threads = True
    tick = "0.01"
    heads: list[str]
    bodies: list[bytes]

    def answer(self, target: str) -> object:
        if target.startswith("/markets-by-token/"):
            return {"condition_id": CONDITION}
        if target.startswith("/clob-markets/"):
            return {"mts": float(self.tick), "t": [{"t": V1_TOKEN}, {"t": V2_TOKEN}]}
        return {
            "success": True,
            "orderID": "0x" + "0" * 64,
            "status": "delayed",
            "errorMsg": "",
            "makingAmount": "",
            "takingAmount": "",
        }


class Desk(socketserver.StreamRequestHandler):
    server: Venue

    def handle(self) -> None:
        while line := self.rfile.readline():
            head = line
            while (line := self.rfile.readline()) != b"\r\n":
                head += line
            text = head.decode()
            length = int(fields(text).get("content-length", "0"))
            body = self.rfile.read(length)
            if text.startswith("POST"):
                self.server.heads.append(text)
                self.server.bodies.append(body)
            answer = json.dumps(self.server.answer(text.split(" ")[1])).encode()
            self.wfile.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                % (len(answer), answer)
            )


def fields(head: str) -> dict[str, str]:
    """The header fields, their names in small letters."""
    lines = [line.split(": ", 1) for line in head.split("\r\n")[1:] if line]
    return {name.lower(): value for name, value in lines}


@pytest.fixture(scope="module")
def venue() -> Iterator[Venue]:
    with Venue(("127.0.0.1", 0), Desk) as server:
        server.heads, server.bodies = [], []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        with pytest.MonkeyPatch.context() as patch:
            # The official client reads all certificates of the system for each of its eight connections.
            patch.setattr(ssl, "create_default_context", cache(ssl.create_default_context))
            yield server
        server.shutdown()
        thread.join()


def official_client(venue: Venue, wallet: str) -> SecureClient:
    url = f"http://127.0.0.1:{venue.server_address[1]}"
    return SecureClient._create(
        private_key=KEY,
        wallet=wallet,
        environment=create_environment(
            name="loopback", config=replace(PRODUCTION_CONFIG, clob_url=url, gamma_url=url, data_url=url)
        ),
        credentials=ApiKeyCreds(key=OWNER, secret=SECRET, passphrase=PASSPHRASE),
        validate_credentials=False,
    )


ACCOUNTS: dict[str, tuple[WalletKind, str, bool]] = {
    "eoa": ("eoa", wallets_of(OWN).eoa, False),
    "proxy": ("proxy", wallets_of(OWN).proxy, False),
    "safe": ("safe", wallets_of(OWN).safe, False),
    "deposit": ("deposit", wallets_of(OWN).deposit, False),
    "older deposit": ("deposit", wallets_of(OWN).deposit_older, False),
    "session key": ("deposit", STRANGE, True),
}


@pytest.mark.parametrize("name", ACCOUNTS)
def test_the_official_clients_whole_way_ends_in_the_same_request(venue: Venue, name: str) -> None:
    kind, wallet, session = ACCOUNTS[name]
    account = Account(SIGNER, kind, wallet.lower(), session, 137)
    head = OrderHead(f"http://127.0.0.1:{venue.server_address[1]}", API_KEY, "laggard/0.1")
    for tick, limit, stake, version, token in (
        ("0.1", "0.5", "3", "v1", V1_TOKEN),
        ("0.01", "0.48", "5", "v1", V1_TOKEN),
        ("0.005", "0.515", "17.239", "v2", V2_TOKEN),
        ("0.0025", "0.9975", "250", "v1", V1_TOKEN),
        ("0.001", "0.971", "5", "v2", V2_TOKEN),
        ("0.0001", "0.0123", "1.5", "v1", V1_TOKEN),
    ):
        venue.tick = tick
        with official_client(venue, wallet) as client:
            signed = client.create_market_order(token_id=token, side="BUY", amount=stake, max_price=limit)
            client.post_order(signed)
        amounts = buy_amounts(usd6_exact(stake), price4_exact(limit), price4_exact(tick))
        ours = sign_buy(
            account, OWNER, token, version, amounts, salt=signed.salt, timestamp_ms=signed.timestamp
        )
        assert ours.body == venue.bodies[-1]
        theirs = fields(venue.heads[-1])
        made = head.made(ours.body, int(theirs["poly_timestamp"])).decode()
        assert made.split("\r\n")[0] == venue.heads[-1].split("\r\n")[0]
        known = fields(made)
        for field in ("host", "content-type", "content-length", *(f for f in theirs if f.startswith("poly"))):
            assert known[field] == theirs[field], field


@pytest.mark.parametrize("name", ACCOUNTS)
def test_a_sale_is_byte_for_byte_the_official_clients(venue: Venue, name: str) -> None:
    kind, wallet, session = ACCOUNTS[name]
    account = Account(SIGNER, kind, wallet.lower(), session, 137)
    head = OrderHead(f"http://127.0.0.1:{venue.server_address[1]}", API_KEY, "laggard/0.1")
    chance = secrets.SystemRandom()
    for tick, version, token in (
        ("0.1", "v1", V1_TOKEN),
        ("0.01", "v1", V1_TOKEN),
        ("0.005", "v2", V2_TOKEN),
        ("0.0025", "v1", V1_TOKEN),
        ("0.001", "v2", V2_TOKEN),
        ("0.0001", "v1", V1_TOKEN),
    ):
        venue.tick = tick
        tick4 = price4_exact(tick)
        limit4 = tick4 * chance.randint(1, PRICE4_ONE // tick4 - 1)
        size6 = chance.randint(1_000_000, 5_000_000_000)
        with official_client(venue, wallet) as client:
            signed = client.create_market_order(
                token_id=token, side="SELL", shares=size6_text(size6), min_price=price4_text(limit4)
            )
            client.post_order(signed)
        ours = sign_order_of(
            "sell",
            account,
            OWNER,
            token,
            version,
            sell_amounts(size6, limit4, tick4),
            salt=signed.salt,
            timestamp_ms=signed.timestamp,
        )
        assert ours.body == venue.bodies[-1], (tick, limit4, size6)
        assert order_of(ours)["side"] == "SELL"
        made = head.made(ours.body, int(fields(venue.heads[-1])["poly_timestamp"])).decode()
        assert fields(made)["poly_signature"] == fields(venue.heads[-1])["poly_signature"]


def test_a_buy_and_a_sale_of_the_same_amounts_are_two_orders() -> None:
    account = Account(SIGNER, "eoa", OWN, session=False, chain_id=137)
    buy, sale = (
        sign_order_of(side, account, OWNER, V1_TOKEN, "v1", FIVE, salt=7, timestamp_ms=9)
        for side in ("buy", "sell")
    )
    assert buy.order_id != sale.order_id
    assert buy == sign_buy(account, OWNER, V1_TOKEN, "v1", FIVE, salt=7, timestamp_ms=9)


def test_a_buy_is_signed_for_the_exchange_of_its_markets_version() -> None:
    account = Account(SIGNER, "eoa", OWN, session=False, chain_id=137)

    def signed(version: str) -> SignedOrder:
        return sign_buy(account, OWNER, V1_TOKEN, version, FIVE, salt=7, timestamp_ms=9)

    assert signed("v1").order_id != signed("v2").order_id
    assert signed("v1") == signed("v1")
    of_one, of_other = (json.loads(signed(version).body) for version in ("v1", "v2"))
    assert of_one["order"].pop("signature") != of_other["order"].pop("signature")
    assert of_one == of_other
    with pytest.raises(KeyError):
        signed("v3")


def test_a_deposit_wallet_signs_as_itself() -> None:
    account = Account(SIGNER, "deposit", wallets_of(OWN).deposit, session=False, chain_id=137)
    order = order_of(sign_buy(account, OWNER, V1_TOKEN, "v1", Amounts(1, 2), salt=7, timestamp_ms=9))
    assert order["maker"] == order["signer"] == account.address
    assert len(order["signature"]) == 2 + 2 * 317


def test_a_salt_that_would_lose_digits_or_is_zero_is_refused() -> None:
    account = Account(SIGNER, "eoa", OWN, session=False, chain_id=137)
    for salt in (1, SALT_LIMIT - 1, 1 + secrets.randbelow(SALT_LIMIT - 1)):
        signed = sign_buy(account, OWNER, V1_TOKEN, "v1", FIVE, salt=salt, timestamp_ms=9)
        assert int(float(order_of(signed)["salt"])) == salt
    for salt in (0, -1, SALT_LIMIT, SALT_LIMIT + 1):
        with pytest.raises(ValueError, match="salt"):
            sign_buy(account, OWNER, V1_TOKEN, "v1", FIVE, salt=salt, timestamp_ms=9)


def test_the_head_is_signed_over_the_venues_path_and_the_exact_body() -> None:
    head = OrderHead("https://user@venue.test:444/clob/", API_KEY, "laggard/0.1").made(b"{}", 1_000)
    assert head.endswith(b"\r\n\r\n")
    assert head.count(b"\r\n\r\n") == 1
    assert head.startswith(b"POST /clob/order HTTP/1.1\r\n")
    known = fields(head.decode())
    assert known["host"] == "venue.test:444"
    assert known["user-agent"] == "laggard/0.1"
    assert known["content-length"] == "2"
    assert known["poly_signature"] == API_KEY.signature("1000", "POST", "/order", b"{}")
    signed = API_KEY.headers(1_000, "POST", "/order", b"{}")
    assert {name: known[name.lower()] for name in signed} == signed


def test_neither_key_nor_credentials_are_shown() -> None:
    account = Account(SIGNER, "eoa", OWN, session=False, chain_id=137)
    head = OrderHead("https://venue.test", API_KEY, "laggard/0.1")
    for shown in (repr(account), str(account), repr(head), str(head)):
        assert not any(hidden in shown for hidden in (KEY[2:], OWNER, SECRET, PASSPHRASE))


def order_of(signed: SignedOrder) -> dict[str, Any]:
    order = json.loads(signed.body)["order"]
    assert isinstance(order, dict)
    return order
