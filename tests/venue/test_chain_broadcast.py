"""What a broadcast means, in the words of every kind of node, and that bytes go out once to everyone."""

import asyncio
import itertools
import json
from typing import Any

import pytest
from eth_utils.crypto import keccak

from common.runtime.clock import ManualClock
from common.venue.chain.broadcast import Broadcast, Told, broadcast, verdict
from common.venue.chain.endpoints import Endpoints
from tests.venue.rpc_stage import chain, endpoint, response, result
from tests.venue.test_chain_endpoints import DOWN, error

RAW = b"\x02signed"
HASH = "0x" + keccak(RAW).hex()
KEY = "s3cretk3y-0123456789"


def says(code: int, message: str, data: Any = None) -> Any:
    def say(_path: str, ask: Any) -> Any:
        if ask["method"] == "eth_chainId":
            return result("0x89", ask)
        told = error(code, message, ask)
        if data is not None:
            told["error"]["data"] = data
        return told

    return say


async def sent(*urls: str, request_s: float | None = None) -> Broadcast:
    return await broadcast(Endpoints(urls, 137, clock=ManualClock(), request_s=request_s), RAW, HASH)


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        (-32000, "already known", "accepted"),
        (-32003, "transaction already imported", "accepted"),
        (-32010, "AlreadyKnown", "accepted"),
        (-32000, "known transaction: 0xab", "accepted"),
        (-32000, "existing tx with same hash", "accepted"),
        (-32000, "nonce too low: next nonce 5, tx nonce 4", "nonce-used"),
        (-32003, "nonce too low", "nonce-used"),
        (-32010, "OldNonce, Current nonce: 5, nonce of rejected tx: 4.", "nonce-used"),
        (-32001, "Nonce too low", "nonce-used"),
        (-32010, "Transaction nonce is too low. Try incrementing the nonce.", "nonce-used"),
        (-32000, "replacement transaction underpriced", "underpriced"),
        (-32000, "INTERNAL_ERROR: could not replace existing tx", "underpriced"),
        (-32010, "ReplacementNotAllowed", "underpriced"),
        (-32010, "FeeTooLowToCompete", "underpriced"),
        (-32000, "transaction underpriced: gas tip cap 1, minimum needed 25000000000", "underpriced"),
        (-32000, "insufficient funds for gas * price + value: balance 0, tx cost 7, overshot 7", "no-coin"),
        (-32003, "Insufficient funds for gas * price + value", "no-coin"),
        (-32010, "InsufficientFunds, Account balance: 0, cumulative cost: 7", "no-coin"),
        (-32004, "Upfront cost exceeds account balance", "no-coin"),
        (-32000, "intrinsic gas too low", "refused"),
        (-32602, "failed to decode signed transaction", "refused"),
        (-32601, "the method does not exist", "refused"),
        (-32603, "something inside", "unknown"),
        (-32603, "nonce too low", "nonce-used"),
        (-32000, "request timed out", "unknown"),
        (-32005, "limit exceeded", "unknown"),
    ],
)  # fmt: skip
async def test_every_node_s_words(code: int, message: str, kind: str) -> None:
    async with endpoint(says(code, message)) as one:
        told = await sent(one.url)
        assert told.kind == kind
        assert f"127.0.0.1:{one.port}" in told.text


async def test_the_same_bytes_go_once_to_everyone_also_beyond_the_second() -> None:
    async with endpoint(chain(HASH)) as one, endpoint(chain(HASH.upper().replace("X", "x"))) as two:
        async with endpoint(chain(DOWN)) as three:
            told = await sent(one.url, two.url, three.url)
            assert told.kind == "accepted"
            for each in (one, two, three):
                asked = [ask["params"] for _, ask in each.heard if ask["method"] == "eth_sendRawTransaction"]
                assert asked == [["0x" + RAW.hex()]]


UNCLEAR = {
    "503": DOWN,
    "429": response(b'{"id":1,"error":{"code":-32000,"message":"intrinsic gas too low"}}', "429 Slow"),
    "page": response(b"<html>busy</html>"),
    "reset": b"",
    "other id": response(b'{"id":7,"result":"' + HASH.encode() + b'"}'),
    "no hash": response(b'{"id":1,"result":true}'),
    "both": response(
        json.dumps({"id": 1, "result": HASH, "error": {"code": 1, "message": "already known"}}).encode()
    ),
}


@pytest.mark.parametrize("raw", UNCLEAR.values(), ids=UNCLEAR)
async def test_what_is_not_intelligible_may_have_been_taken(raw: bytes) -> None:
    async with endpoint(chain(raw)) as one, endpoint(says(-32000, "intrinsic gas too low")) as two:
        assert (await sent(one.url)).kind == "unknown"
        assert (await sent(two.url, one.url)).kind == "unknown", "a refusal elsewhere proves nothing"


async def test_one_that_takes_the_bytes_and_hangs_is_unknown_in_time() -> None:
    over = asyncio.Event()

    async def say(_path: str, ask: Any) -> Any:
        if ask["method"] == "eth_chainId":
            return result("0x89", ask)
        await over.wait()
        return b""

    async with endpoint(say) as one, endpoint(says(-32000, "intrinsic gas too low")) as two:
        async with asyncio.timeout(5):
            told = await sent(one.url, two.url, request_s=0.5)
        over.set()
        assert told.kind == "unknown"
        assert "ReadTimeout" in told.text


async def test_one_that_never_heard_the_bytes_leaves_a_refusal_definite(free_port: int) -> None:
    dead = f"http://127.0.0.1:{free_port}"
    async with endpoint(says(-32000, "intrinsic gas too low")) as one:
        async with endpoint(chain(HASH, chain_id="0x1")) as foreign:
            assert (await sent(dead, foreign.url, one.url)).kind == "refused"
            assert "eth_sendRawTransaction" not in foreign.methods()
    assert (await sent(dead)).kind == "unknown"


async def test_another_hash_is_no_yes() -> None:
    async with endpoint(chain("0x" + "11" * 32)) as one:
        told = await sent(one.url)
        assert told.kind == "unknown"
        assert "not its hash" in told.text


async def test_bytes_of_another_hash_are_never_sent() -> None:
    async with endpoint(chain(HASH)) as one:
        with pytest.raises(ValueError, match="nothing was sent"):
            await broadcast(Endpoints([one.url], 137), RAW + b"x", HASH)
        assert one.heard == []


async def test_one_that_is_set_aside_is_not_sent_to() -> None:
    async with endpoint(chain(DOWN)) as one:
        endpoints = Endpoints([one.url], 137, clock=ManualClock())
        assert (await broadcast(endpoints, RAW, HASH)).kind == "unknown"
        again = await broadcast(endpoints, RAW, HASH)
        assert again.kind == "unknown"
        assert "asked again in" in again.text
        assert one.methods().count("eth_sendRawTransaction") == 1


async def test_no_key_is_shown() -> None:
    async with endpoint(says(-32000, f"bad {KEY}")) as one:
        told = await sent(f"{one.url}/v2/{KEY}")
        assert told.kind == "refused"
        assert KEY not in told.text


def test_what_two_say_together() -> None:
    order = ["accepted", "nonce-used", "underpriced", "no-coin", "unknown", "refused"]
    for one, two in itertools.product(order, repeat=2):
        told = verdict([Told(one, "a"), Told(two, "b")])  # type: ignore[arg-type]
        assert told == (min(one, two, key=order.index), "a; b")
    away = Told("unknown", "away", reached=False)
    assert verdict([away, Told("refused", "no")]).kind == "refused"
    assert verdict([away, Told("unknown", "?"), Told("refused", "no")]).kind == "unknown"
    assert verdict([]).kind == "unknown"
