"""The relayer's client: what it sends, what it makes of every answer, and of none."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from polymarket._internal.actions.relayer.auth import build_builder_key_headers
from polymarket.auth import BuilderApiKey

from common.core.redemption.attempts import RelayerWord
from common.errors import ConfigError, DependencyMissing
from common.runtime.clock import ManualClock
from common.runtime.credentials import Secret, write_credentials
from common.venue.redeeming import relayer_api
from common.venue.redeeming.actions import RelayInfo
from common.venue.redeeming.relayer_api import Declined, RelayerApi, Submitted, Unclear
from common.venue.redeeming.relayer_key import BuilderKey, RelayerKey, read_relayer_key
from common.venue.redeeming.relayer_replies import (
    Listed,
    read_list,
    read_nonce,
    read_relay,
    read_verdict,
    read_word,
)
from tests.venue.rpc_stage import Endpoint, Say, endpoint, response

OWNER = "0x" + "1f" * 20
SECRET = "c2VjcmV0LXNlY3JldC1zZWNyZXQ_"
KEY = RelayerKey(Secret("key-of-nobody"), OWNER)
BUILDER = BuilderKey(Secret("builder-of-nobody"), Secret(SECRET), Secret("phrase-of-nobody"))
CLOCK = ManualClock(wall=1_800_000_000 * 10**9)
BODY = b'{"type":"SAFE","nonce":"7","signature":"0xAB","data":"0x0C"}'
HASH = "0x" + "Ab" * 32
ID = "0190b317-a1d3"


@asynccontextmanager
async def relayer(say: Say, **options: Any) -> AsyncIterator[tuple[Endpoint, RelayerApi]]:
    async with endpoint(say) as stage:
        api = RelayerApi(stage.url + "/", options.pop("key", KEY), CLOCK, **options)
        try:
            yield stage, api
        finally:
            api.close()


def answers(value: Any, status: str = "200 OK", *headers: str) -> Say:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return lambda _path, _ask: response(raw, status, *headers)


def fields(head: bytes) -> dict[str, str]:
    lines = head.decode().split("\r\n")[1:]
    return {name: value for name, _, value in (line.partition(": ") for line in lines) if value}


async def test_an_action_is_posted_as_it_is_under_the_relayers_key() -> None:
    async with relayer(answers({"transactionID": ID, "state": "STATE_NEW", "new": 1})) as (stage, api):
        assert await api.submit(BODY) == Submitted(ID)
    assert stage.heard == [("/submit", json.loads(BODY))]
    told = fields(stage.heads[0])
    assert stage.heads[0].startswith(b"POST /submit HTTP/1.1\r\n")
    assert told["Content-Length"] == str(len(BODY))
    assert told["Content-Type"] == "application/json"
    assert (told["RELAYER_API_KEY"], told["RELAYER_API_KEY_ADDRESS"]) == ("key-of-nobody", OWNER)


async def test_a_builder_signs_each_request_as_the_official_client(monkeypatch: pytest.MonkeyPatch) -> None:
    async with relayer(answers({"transactionID": ID}), key=BUILDER) as (stage, api):
        await api.submit(BODY)
    async with relayer(answers({"nonce": "1"}), key=BUILDER) as (reads, api):
        await api.nonce(OWNER, "safe")
    official = BuilderApiKey(key="builder-of-nobody", secret=SECRET, passphrase="phrase-of-nobody")
    monkeypatch.setattr("time.time", lambda: 1_800_000_000)
    sent = build_builder_key_headers(creds=official, method="POST", path="/submit", body=BODY.decode())
    assert fields(stage.heads[0]) | sent == fields(stage.heads[0])
    path = "/v1/account/transactions/params"
    read = build_builder_key_headers(creds=official, method="GET", path=path)
    assert fields(reads.heads[0]) | read == fields(reads.heads[0])


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"", "200 OK"),
        (b"{}", "200 OK"),
        (b'{"transactionID": ""}', "200 OK"),
        (b'{"transactionID": 7}', "200 OK"),
        (b"<html>maintenance</html>", "200 OK"),
        (b"[]", "200 OK"),
        (b'{"error": "internal"}', "500 Internal Server Error"),
        (b"<html>502</html>", "502 Bad Gateway"),
        (b'{"error": "call blocked: not permitted"}', "503 Service Unavailable"),
        (b"<html>forbidden</html>", "403 Forbidden"),
        (b"", "400 Bad Request"),
        (b'{"error": "request timeout"}', "408 Request Timeout"),
        (b"", "302 Found"),
    ],
)
async def test_an_answer_that_cannot_be_read_is_no_failure(raw: bytes, status: str) -> None:
    async with relayer(answers(raw, status, "Location: /elsewhere")) as (stage, api):
        assert isinstance(await api.submit(BODY), Unclear)
    assert len(stage.heard) == 1


@pytest.mark.parametrize(
    "cut",
    [b"", b"HTTP/1.1 200 OK\r\n", b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"transactionID": "x"}'],
)
async def test_an_answer_that_breaks_off_is_no_failure_and_nothing_is_repeated(cut: bytes) -> None:
    async with relayer(lambda _path, _ask: cut) as (stage, api):
        assert isinstance(await api.submit(BODY), Unclear)
    assert len(stage.heard) == 1


async def test_an_answer_that_does_not_come_is_no_failure() -> None:
    never = asyncio.Event()

    async def silent(_path: str, _ask: Any) -> bytes:
        await never.wait()
        return b""

    async with relayer(silent, read_s=0.1) as (stage, api):
        assert isinstance(await api.submit(BODY), Unclear)
        assert len(stage.heard) == 1
        with pytest.raises(DependencyMissing, match="does not answer: ReadTimeout"):
            await api.word(ID)
        never.set()


async def test_more_than_anybody_reads_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relayer_api, "MAX_BYTES", 5_000)
    async with relayer(answers(b" " * 20_000)) as (_, api):
        told = await api.submit(BODY)
    assert isinstance(told, Unclear)
    assert "more than 5000 bytes" in told.text


async def test_an_answer_that_drips_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relayer_api, "WHOLE_S", -1.0)
    async with relayer(answers({"transactionID": ID})) as (_, api):
        told = await api.submit(BODY)
    assert isinstance(told, Unclear)
    assert "still sending" in told.text


async def test_only_without_a_connection_it_was_not_sent() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    api = RelayerApi(f"http://127.0.0.1:{port}", KEY, CLOCK)
    told = await api.submit(BODY)
    with pytest.raises(DependencyMissing, match=f"127.0.0.1:{port} does not answer: ConnectionError"):
        await api.recent()
    api.close()
    assert isinstance(told, Declined)
    assert told.kind == "not-sent"


def refused(status: int, text: str, retry_after: str | None = None) -> Declined:
    told = read_verdict(status, json.dumps({"error": text}).encode(), retry_after)
    assert isinstance(told, Declined)
    assert told.text == f"HTTP {status}: {text}"
    return told


@pytest.mark.parametrize(
    ("status", "text", "kind", "chain_nonce"),
    [
        (400, "wallet busy: 0x1 already has an active action", "busy", None),
        (400, "wallet has in-flight action", "busy", None),
        (400, "batch nonce 4 does not match on-chain nonce 6", "nonce", 6),
        (400, "Batch Nonce 4 does not match on-chain nonce 0", "nonce", 0),
        (400, "invalid nonce", "nonce", None),
        (400, "call blocked: 0x2 01020304 is not permitted", "blocked", None),
        (403, "call blocked: 0x2 01020304 is not permitted", "blocked", None),
        (401, "invalid authorization", "unauthorised", None),
        (403, "no such key", "unauthorised", None),
        (400, "invalid signature", "invalid", None),
        (400, "batch deadline has passed", "invalid", None),
        (422, "an announcement", "invalid", None),
    ],
)
def test_a_refusal_is_told_by_its_kind(status: int, text: str, kind: str, chain_nonce: int | None) -> None:
    told = refused(status, text)
    assert (told.kind, told.chain_nonce, told.wait_s) == (kind, chain_nonce, 0.0)


def test_a_refusal_may_be_plain_text() -> None:
    told = read_verdict(401, b"  invalid\x07\n authorization ")
    assert told == Declined("unauthorised", "HTTP 401: invalid authorization")


@pytest.mark.parametrize(
    ("text", "retry_after", "wait_s"),
    [
        ("quota exceeded: 0 units remaining, resets in 37 seconds", None, 37.0),
        ("quota exceeded: 0 units remaining, resets in 37 seconds", "5", 37.0),
        ("slow down", "5", 5.0),
        ("slow down", None, 60.0),
        ("slow down", "Wed, 21 Oct 2026 07:28:00 GMT", 60.0),
        ("slow down", "nan", 60.0),
        ("slow down", "0", 1.0),
        ("resets in 999999999 seconds", None, 86_400.0),
    ],
)
def test_a_quota_says_how_long(text: str, retry_after: str | None, wait_s: float) -> None:
    told = refused(429, text, retry_after)
    assert (told.kind, told.wait_s) == ("quota", wait_s)


async def test_retry_after_is_heard() -> None:
    async with relayer(answers({"error": "slow"}, "429 Too Many Requests", "Retry-After: 9")) as (_, api):
        assert await api.submit(BODY) == Declined("quota", "HTTP 429: slow", wait_s=9.0)


@given(status=st.integers(100, 599), body=st.binary(max_size=80))
def test_no_answer_is_too_strange(status: int, body: bytes) -> None:
    told = read_verdict(status, body)
    assert isinstance(told, Submitted) is False
    if isinstance(told, Declined):
        assert 400 <= status < 500


NEWER = {"transaction_id": ID, "transaction_hash": HASH, "state": "STATE_MINED", "error_msg": None, "more": 1}
OLDER = {
    "transactionID": ID,
    "transactionHash": "",
    "state": "STATE_FAILED",
    "errorMsg": "no\n luck",
    "to": 1,
}


async def test_a_word_in_the_newer_dialect() -> None:
    async with relayer(answers(NEWER)) as (stage, api):
        assert await api.word(ID) == RelayerWord(ID, "mined", HASH.lower())
    assert stage.heard == [(f"/v1/account/transactions/{ID}", None)]


async def test_a_word_in_the_older_dialect() -> None:
    def say(path: str, _ask: Any) -> Any:
        if path.startswith("/v1"):
            return response(b"404 page not found", "404 Not Found")
        return [{**OLDER, "transactionID": "another"}, OLDER]

    async with relayer(say) as (stage, api):
        assert await api.word(ID) == RelayerWord(ID, "failed", error="no luck")
    assert [path for path, _ in stage.heard][1] == f"/transaction?id={ID}"


@pytest.mark.parametrize("older", [response(b'{"error": "none"}', "404 Not Found"), response(b"[]")])
async def test_an_action_nobody_knows(older: bytes) -> None:
    def say(path: str, _ask: Any) -> bytes:
        return response(b"{}", "404 Not Found") if path.startswith("/v1") else older

    async with relayer(say) as (_, api):
        assert await api.word(ID) is None


async def test_an_id_stays_in_its_place() -> None:
    async with relayer(answers({**NEWER, "transaction_id": "../x?y"})) as (stage, api):
        await api.word("../x?y")
    assert stage.heard[0][0] == "/v1/account/transactions/..%2Fx%3Fy"


@pytest.mark.parametrize("state", ["new", "executed", "mined", "confirmed", "failed", "invalid"])
def test_every_state_is_known(state: str) -> None:
    word = read_word({**NEWER, "state": f"STATE_{state.upper()}"}, ID)
    assert word is not None
    assert word.state == state


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"transaction_id": "another"}, "spoke of 'another'"),
        ({"transaction_id": ""}, "without its id"),
        ({"state": "STATE_WON"}, "'STATE_WON' of .* no state known"),
        ({"state": 7}, "no state known"),
        ({"state": ["STATE_NEW"]}, "no state known"),
        ({"transaction_hash": "0x12"}, "no transaction hash"),
        ({"transaction_hash": 12}, "no transaction hash"),
    ],
)
def test_a_word_that_cannot_be_understood(wrong: dict[str, Any], why: str) -> None:
    with pytest.raises(DependencyMissing, match=why):
        read_word({**NEWER, **wrong}, ID)


LISTED = {**OLDER, "nonce": "7", "data": "0x0c", "signature": "0xab", "state": "STATE_NEW"}


async def test_an_action_whose_answer_was_lost_is_found_in_the_list() -> None:
    others = [{**LISTED, "nonce": ""}, {**LISTED, "nonce": 6}, {**LISTED, "signature": "0xcd"}]
    async with relayer(answers([*others, LISTED])) as (stage, api):
        listed = await api.recent()
    assert stage.heard == [("/transactions", None)]
    assert [each.is_of(BODY) for each in listed] == [False, False, True]
    assert listed[-1] == Listed(RelayerWord(ID, "new", error="no luck"), 7, "0x0c", "0xab")
    assert listed[-1].transaction_id == ID


def test_an_action_is_ours_by_its_data_where_no_signature_is_shown() -> None:
    def ours(**shown: Any) -> bool:
        (listed,) = read_list([{**LISTED, "signature": "", **shown}])
        return listed.is_of(BODY)

    assert ours()
    assert not ours(data="0x0d")
    assert not ours(nonce="8")
    assert not ours(data="")
    # A batch is posted without data: no data is not the same data.
    (bare,) = read_list([{**LISTED, "signature": None, "data": None}])
    assert not bare.is_of(b'{"type":"WALLET","nonce":"7","signature":"0xab"}')


@pytest.mark.parametrize(
    "wrong", [{}, "no", [{"nonce": "x", **NEWER}], [{"nonce": "1"}], [{**LISTED, "nonce": True}]]
)
def test_what_is_no_list_of_actions(wrong: Any) -> None:
    with pytest.raises(DependencyMissing):
        read_list(wrong)


async def test_nonces_and_relays() -> None:
    async with relayer(answers({"address": OWNER, "nonce": "31"})) as (stage, api):
        assert await api.nonce(OWNER, "safe") == 31
        assert await api.nonce(OWNER, "deposit") == 31
        assert await api.relay_info(OWNER) == RelayInfo(OWNER, 31)
        for kind in ("eoa", "proxy"):
            with pytest.raises(ConfigError, match=f"of the kind {kind}"):
                await api.nonce(OWNER, kind)  # type: ignore[arg-type]
    params = "/v1/account/transactions/params"
    assert [path for path, _ in stage.heard] == [
        f"{params}?address={OWNER}&type=SAFE",
        f"{params}?address={OWNER}&type=WALLET",
        f"/relay-payload?address={OWNER}&type=PROXY",
    ]


async def test_the_older_way_to_a_nonce() -> None:
    def say(path: str, _ask: Any) -> Any:
        return response(b"", "404 Not Found") if path.startswith("/v1") else {"nonce": "31"}

    async with relayer(say) as (stage, api):
        assert await api.nonce(OWNER, "safe") == 31
    assert stage.heard[1][0] == f"/nonce?address={OWNER}&type=SAFE"


@pytest.mark.parametrize("nonce", [None, "", "-1", "0x1", "1.0", 1.0, True, "٣", [], "9" * 79])
def test_only_a_number_is_a_nonce(nonce: Any) -> None:
    with pytest.raises(DependencyMissing, match="which is no number"):
        read_nonce({"nonce": nonce})


@pytest.mark.parametrize("address", [None, "", "0x12", 7, "0x" + "0" * 40])
def test_only_somebody_carries_a_request(address: Any) -> None:
    with pytest.raises(DependencyMissing, match="names no address"):
        read_relay({"address": address, "nonce": "1"})


@pytest.mark.parametrize(
    ("raw", "status", "why"),
    [
        (b'{"error": "down"}', "500 Internal Server Error", "HTTP 500: down"),
        (b"<html>", "502 Bad Gateway", "HTTP 502: nothing that can be read"),
        (b"<html>", "200 OK", "HTTP 200: nothing that can be read"),
        (b'{"error": "invalid authorization"}', "401 Unauthorized", "HTTP 401: invalid authorization"),
    ],
)
async def test_a_read_without_an_answer_says_why(raw: bytes, status: str, why: str) -> None:
    async with relayer(answers(raw, status)) as (_, api):
        for read in (api.word(ID), api.recent(), api.nonce(OWNER, "safe"), api.relay_info(OWNER)):
            with pytest.raises(DependencyMissing, match=why):
                await read


@pytest.mark.parametrize("key", [KEY, BUILDER])
async def test_a_refusal_that_quotes_the_key_does_not_show_it(key: RelayerKey | BuilderKey) -> None:
    secrets = ["key-of-nobody"] if key is KEY else ["builder-of-nobody", SECRET, "phrase-of-nobody"]
    quoting = answers({"error": f"no such key: {' '.join(secrets)}"}, "401 Unauthorized")
    async with relayer(quoting, key=key) as (_, api):
        told = await api.submit(BODY)
        with pytest.raises(DependencyMissing) as read:
            await api.recent()
    hidden = " ".join("***" for _ in secrets)
    assert told == Declined("unauthorised", f"HTTP 401: no such key: {hidden}")
    assert not any(secret in str(read.value) for secret in secrets)


async def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    async with endpoint(answers({"error": "a proxy"}, "401 Unauthorized")) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        async with relayer(answers({"transactionID": ID})) as (_, api):
            assert await api.submit(BODY) == Submitted(ID)
    assert proxy.heard == []


def test_keys_are_shown_to_nobody() -> None:
    shown = f"{KEY!r} {BUILDER!r} {KEY} {BUILDER} {RelayerApi('http://u:pw@host/x', KEY, CLOCK)!r}"
    for secret in ("key-of-nobody", "builder-of-nobody", "phrase-of-nobody", SECRET, "pw"):
        assert secret not in shown


def test_a_key_is_read_by_its_fields(tmp_path: Path) -> None:
    def read(**fields: str) -> RelayerKey | BuilderKey | None:
        file = tmp_path / f"{len(list(tmp_path.iterdir()))}.json"
        write_credentials(file, fields)
        return read_relayer_key(file)

    assert read_relayer_key(tmp_path / "none.json") is None
    assert read(key="key-of-nobody", address=OWNER) == KEY
    assert read(key="builder-of-nobody", secret=SECRET, passphrase="phrase-of-nobody") == BUILDER
    with pytest.raises(ConfigError, match="lack key"):
        read(address=OWNER)
    with pytest.raises(ConfigError, match="give key and address of a relayer key, or") as told:
        read(key="hidden-key", secret=SECRET)
    assert "hidden-key" not in str(told.value)
    with pytest.raises(ConfigError, match=r"the address in .* is none"):
        read(key="k", address="0x1")
    with pytest.raises(ConfigError, match="base64") as bad:
        read(key="k", secret="hidden secret!", passphrase="p")
    assert "hidden" not in str(bad.value)
    open_file = tmp_path / "open.json"
    write_credentials(open_file, {"key": "k", "address": OWNER})
    open_file.chmod(0o644)
    with pytest.raises(ConfigError, match="others can read"):
        read_relayer_key(open_file)
