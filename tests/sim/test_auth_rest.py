"""The simulated venue gives keys to whoever proves to control a wallet, and to nobody else."""

import asyncio
from typing import Any

import pytest

from common.runtime.credentials import Secret
from common.sim.market.auth_rest import MOST_SECONDS_OFF, made_up_key, prove
from common.venue.reader_key import Wallet, proof_headers, wallet_of
from stage import START_S, Stage, stage

WALLET = wallet_of(Secret("0x" + "3a" * 32))
OTHER = wallet_of(Secret("0x" + "5b" * 32))


def headers(wallet: Wallet = WALLET, at_s: int = START_S, nonce: int = 0, **more: str) -> dict[str, str]:
    return proof_headers(wallet, at_s, nonce=nonce) | {"User-Agent": "laggard-test"} | more


async def ask(venue: Stage, method: str, path: str, sent: dict[str, str]) -> tuple[int, Any]:
    async with venue.session.request(method, f"{venue.base}/clob/auth/{path}", headers=sent) as answer:
        return answer.status, await answer.json()


def asked(*requests: tuple[str, str, dict[str, str]]) -> tuple[list[tuple[int, Any]], dict[str, Any]]:
    async def scene() -> tuple[list[tuple[int, Any]], dict[str, Any]]:
        async with stage(now_ns=lambda: START_S * 10**9) as venue:
            answers = [await ask(venue, *request) for request in requests]
            return answers, venue.venue.api_keys

    return asyncio.run(scene())


def test_a_key_is_made_once_and_told_again() -> None:
    answers, api_keys = asked(
        ("GET", "derive-api-key", headers()),
        ("POST", "api-key", headers()),
        ("POST", "api-key", headers()),
        ("GET", "derive-api-key", headers()),
        ("POST", "api-key", headers(nonce=1)),
    )
    assert [status for status, _ in answers] == [400, 200, 400, 200, 200]
    made, told, other = answers[1][1], answers[3][1], answers[4][1]
    assert set(made) == {"apiKey", "secret", "passphrase"}
    assert made == told
    assert made["apiKey"] != other["apiKey"]
    assert api_keys == {key["apiKey"]: (key["secret"], key["passphrase"]) for key in (made, other)}


def test_keys_are_the_same_in_every_run() -> None:
    first, second = (asked(("POST", "api-key", headers()))[0] for _ in range(2))
    assert first == second


BAD = {
    "somebody else's address": headers(POLY_ADDRESS=OTHER.address),
    "another time": headers(POLY_TIMESTAMP=str(START_S + 1)),
    "another number": headers(POLY_NONCE="1"),
    "an old proof": headers(at_s=START_S - MOST_SECONDS_OFF - 1),
    "a proof of the future": headers(at_s=START_S + MOST_SECONDS_OFF + 1),
    "another chain": headers(POLY_SIGNATURE=proof_headers(WALLET, START_S, chain_id=80002)["POLY_SIGNATURE"]),
    "no signature": headers(POLY_SIGNATURE="0x"),
    "odd characters": headers(POLY_NONCE="x"),
    "no proof": {"User-Agent": "laggard-test"},
}


@pytest.mark.parametrize("method_path", [("POST", "api-key"), ("GET", "derive-api-key")])
@pytest.mark.parametrize("why", BAD)
def test_without_a_proof_there_is_no_key(why: str, method_path: tuple[str, str]) -> None:
    answers, api_keys = asked((*method_path, BAD[why]))
    assert answers == [(401, {"error": "Invalid L1 Request headers"})]
    assert api_keys == {}


def test_a_proof_is_good_for_a_minute() -> None:
    for off in (-MOST_SECONDS_OFF, MOST_SECONDS_OFF):
        proof = prove(headers(at_s=START_S + off), START_S)
        assert proof is not None
        assert proof.address == WALLET.address
        assert len(made_up_key(proof)[0]) == 36


def test_the_edge_refuses_default_python_clients() -> None:
    async def scene() -> int:
        async with stage() as venue:
            sent = headers() | {"User-Agent": "python-requests/2.32"}
            async with venue.session.post(f"{venue.base}/clob/auth/api-key", headers=sent) as answer:
                return answer.status

    assert asyncio.run(scene()) == 403
