"""The proof of a wallet, and what the venue's answers to it mean."""

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
from eth_abi.abi import encode
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_keys.datatypes import PrivateKey
from eth_utils.crypto import keccak

from common.errors import DependencyMissing, FeedRefused
from common.runtime.credentials import Secret
from common.venue.reader_key import (
    CREATE,
    DERIVE,
    STATEMENT,
    ReaderKey,
    Wallet,
    new_wallet,
    obtain,
    proof_headers,
    said,
    wallet_of,
)

PRIVATE_KEY = Secret("0x" + "4c0883a69102937d" * 4)
NOW_S = 1_800_000_000
GIVEN = {"apiKey": "a-key", "secret": "a-secret", "passphrase": "a-phrase"}


@pytest.fixture
def wallet() -> Wallet:
    return wallet_of(PRIVATE_KEY)


# --- the proof ---------------------------------------------------------------------------------------


def test_the_signature_is_that_of_the_official_clients(shared_data: Path) -> None:
    vectors = json.loads((shared_data / "frames/trading/auth_l1_l2.json").read_text())["l1_clob_auth"]
    assert vectors
    for vector in vectors:
        signer = wallet_of(Secret(vector["private_key"]))
        headers = proof_headers(
            signer, vector["timestamp"], nonce=vector["nonce"], chain_id=vector["chain_id"]
        )
        assert headers == {
            "POLY_ADDRESS": vector["address"],
            "POLY_SIGNATURE": vector["signature"],
            "POLY_TIMESTAMP": str(vector["timestamp"]),
            "POLY_NONCE": str(vector["nonce"]),
        }


def test_the_signature_is_the_one_worked_out_by_hand(wallet: Wallet) -> None:
    """EIP-712 from its own text: two hashed structures behind a prefix, signed as they are."""
    domain_type = b"EIP712Domain(string name,string version,uint256 chainId)"
    auth_type = b"ClobAuth(address address,string timestamp,uint256 nonce,string message)"
    domain = keccak(
        encode(
            ["bytes32", "bytes32", "bytes32", "uint256"],
            [keccak(domain_type), keccak(b"ClobAuthDomain"), keccak(b"1"), 137],
        )
    )
    message = keccak(
        encode(
            ["bytes32", "address", "bytes32", "uint256", "bytes32"],
            [keccak(auth_type), wallet.address, keccak(str(NOW_S).encode()), 4, keccak(STATEMENT.encode())],
        )
    )
    signature = PrivateKey(bytes.fromhex(PRIVATE_KEY.reveal()[2:])).sign_msg_hash(
        keccak(b"\x19\x01" + domain + message)
    )
    by_hand = bytearray(signature.to_bytes())
    by_hand[-1] += 27
    assert proof_headers(wallet, NOW_S, nonce=4)["POLY_SIGNATURE"] == "0x" + by_hand.hex()


def test_the_signature_leads_back_to_the_wallet(wallet: Wallet) -> None:
    headers = proof_headers(wallet, NOW_S)
    message = encode_typed_data(
        {"name": "ClobAuthDomain", "version": "1", "chainId": 137},
        {
            "ClobAuth": [
                {"name": name, "type": kind}
                for name, kind in (
                    ("address", "address"),
                    ("timestamp", "string"),
                    ("nonce", "uint256"),
                    ("message", "string"),
                )
            ]
        },
        {"address": wallet.address, "timestamp": str(NOW_S), "nonce": 0, "message": STATEMENT},
    )
    assert Account.recover_message(message, signature=headers["POLY_SIGNATURE"]) == wallet.address


def test_every_new_wallet_is_another() -> None:
    first, second = new_wallet(), new_wallet()
    assert first.address != second.address
    assert wallet_of(first.private_key) == first
    assert len(first.private_key.reveal()) == 66


def test_secrets_do_not_show(wallet: Wallet) -> None:
    key = ReaderKey(Secret("a-key"), Secret("a-secret"), Secret("a-phrase"))
    shown = f"{wallet} {wallet!r} {key} {key!r}"
    assert PRIVATE_KEY.reveal()[2:] not in shown
    assert not any(secret in shown for secret in GIVEN.values())


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "eth_account", None)
    with pytest.raises(DependencyMissing, match="bin/setup"):
        new_wallet()


# --- the requests ------------------------------------------------------------------------------------

Answer = tuple[int, str]


class Asked:
    """What a stand-in for the venue was asked, and where it is."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.bodies: list[bytes] = []
        self.url = ""


@contextmanager
def venue(**answers: Answer) -> Iterator[Asked]:
    """A server that answers POST and GET as told and notes every request."""
    asked = Asked()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            asked.requests.append((self.command, self.path))
            asked.headers.append({name.upper(): value for name, value in self.headers.items()})
            asked.bodies.append(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
            status, body = answers[self.command]
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def log_message(self, *_arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        asked.url = f"http://127.0.0.1:{server.server_port}/clob/"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield asked
        finally:
            server.shutdown()
            thread.join(5)


def ask(asked: Asked, wallet: Wallet) -> ReaderKey:
    with requests.Session() as session:
        session.trust_env = False
        session.headers["User-Agent"] = "laggard-test"
        return obtain(session, asked.url, wallet, NOW_S)


def test_a_key_is_asked_for_once(wallet: Wallet) -> None:
    with venue(POST=(200, json.dumps(GIVEN))) as asked:
        key = ask(asked, wallet)
    assert asked.requests == [("POST", f"/clob{CREATE}")]
    assert asked.bodies == [b""]
    assert asked.headers[0]["USER-AGENT"] == "laggard-test"
    assert {name: asked.headers[0][name] for name in proof_headers(wallet, NOW_S)} == proof_headers(
        wallet, NOW_S
    )
    assert (key.api_key.reveal(), key.secret.reveal(), key.passphrase.reveal()) == (*GIVEN.values(),)


@pytest.mark.parametrize("status", [400, 401, 403, 409])
def test_a_key_that_exists_is_told_again(wallet: Wallet, status: int) -> None:
    with venue(POST=(status, "{}"), GET=(200, json.dumps(GIVEN))) as asked:
        assert ask(asked, wallet).secret.reveal() == "a-secret"
    assert asked.requests == [("POST", f"/clob{CREATE}"), ("GET", f"/clob{DERIVE}")]


def test_a_refusal_is_told_in_the_words_of_the_venue(wallet: Wallet) -> None:
    with venue(POST=(400, '{"error":"no new keys"}'), GET=(401, '{"error":"none here"}')) as asked:
        with pytest.raises(FeedRefused) as refused:
            ask(asked, wallet)
    text = str(refused.value)
    assert "the venue refused" in text
    assert "HTTP 400 no new keys" in text
    assert "HTTP 401 none here" in text
    assert "\n" not in text
    assert len(asked.requests) == 2


def test_too_many_requests_are_not_followed_by_another(wallet: Wallet) -> None:
    with venue(POST=(429, "slow down")) as asked:
        with pytest.raises(FeedRefused, match=r"too many requests \(slow down\)"):
            ask(asked, wallet)
    assert len(asked.requests) == 1


@pytest.mark.parametrize("status", [500, 503, 302])
def test_a_venue_in_trouble_is_not_asked_again(wallet: Wallet, status: int) -> None:
    """The key may have been made all the same: only a person decides to ask once more."""
    with venue(POST=(status, "trouble"), GET=(200, json.dumps(GIVEN))) as asked:
        with pytest.raises(DependencyMissing, match=f"HTTP {status} trouble; try again later"):
            ask(asked, wallet)
    assert len(asked.requests) == 1


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "[]",
        "7",
        '"text"',
        json.dumps(GIVEN | {"secret": ""}),
        json.dumps(GIVEN | {"passphrase": None}),
        json.dumps({"apiKey": "a-key"}),
        json.dumps(GIVEN | {"secret": "s" * (1 << 17)}),
    ],
)
def test_what_is_no_key_is_said_to_be_none(wallet: Wallet, body: str) -> None:
    with venue(POST=(200, body)) as asked:
        with pytest.raises(DependencyMissing, match="did not answer with credentials"):
            ask(asked, wallet)


def test_a_venue_that_cannot_be_reached_is_one_line(wallet: Wallet, free_port: int) -> None:
    asked = Asked()
    asked.url = f"http://user:pass@127.0.0.1:{free_port}"
    with pytest.raises(DependencyMissing) as missing:
        ask(asked, wallet)
    text = str(missing.value)
    assert text.startswith(f"cannot reach 127.0.0.1:{free_port}: ")
    assert "pass" not in text
    assert "\n" not in text
    assert missing.value.exit_code == 69


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (b'{"error":"Could not create api key"}', "Could not create api key"),
        (b'{"message":"later"}', "later"),
        (b'{"secret":"x"}', ""),
        (b'{"error":{"secret":"x"}}', ""),
        (b"<html>\n<b>403</b>\x1b[31m", "<html> <b>403</b> [31m"),
        (b'{"error":"bad key 0x4c0883a69102937d6231471b5dbb6204"}', "bad key ***"),
        (b'{"error":"bad secret QUJDREVGR0hJSktMTU5PUFFSU1Q="}', "bad secret ***"),
        (b"\xff", "\ufffd"),
        (b"no " * 200, ("no " * 200)[:160]),
    ],
)
def test_what_the_venue_says_is_one_short_line_without_secrets(body: bytes, line: str) -> None:
    assert said(body) == line
