"""Redeeming by the simulated relayer: whose signature counts, how far an action is, and how it fails."""

import asyncio
import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import aiohttp
import pytest
from eth_account import Account as Key
from eth_account.messages import encode_typed_data
from polymarket import AsyncSecureClient, RelayerApiKey
from polymarket._internal.actions.relayer.calls import TransactionCall
from polymarket._internal.environment import PRODUCTION_CONFIG, create_environment
from polymarket.environments import Environment

from common.sim.trading.contracts import (
    ADAPTER,
    COLLATERAL,
    CONDITIONAL_TOKENS,
    DEPOSIT_FACTORY,
    ROUTER,
)
from redeem_stage import (
    NEW_UP,
    RELAYER_KEY,
    WALLET,
    HandClock,
    give,
    held,
    money,
    read,
    receipt_of,
    redeem_v1,
    redeem_v2,
    resolve,
    rpc,
    scene_of,
)
from stage import LIMIT_S
from trading_stage import PRIVATE, SESSION_PRIVATE, SIGNER, UP, USD6, WALLETS, Floor

AUTH = {"RELAYER_API_KEY": RELAYER_KEY, "RELAYER_API_KEY_ADDRESS": SIGNER}
PARAMS = f"/relayer/v1/account/transactions/params?address={SIGNER}&type=WALLET"
Calls = Sequence[tuple[str, bytes]]


def body_of(calls: Calls, nonce: int = 0, **changes: Any) -> dict[str, Any]:
    """A submit, its batch signed with eth-account; ``private``, ``deadline``, ``signed_calls`` spoil it."""
    deadline = changes.get("deadline", int(time.time()) + 600)
    wallet = WALLETS["deposit"]
    signed_calls: Calls = changes.get("signed_calls", calls)
    typed = {
        "domain": {"name": "DepositWallet", "version": "1", "chainId": 137, "verifyingContract": wallet},
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
            "Batch": [
                {"name": "wallet", "type": "address"},
                {"name": "nonce", "type": "uint256"},
                {"name": "deadline", "type": "uint256"},
                {"name": "calls", "type": "Call[]"},
            ],
            "Call": [
                {"name": "target", "type": "address"},
                {"name": "value", "type": "uint256"},
                {"name": "data", "type": "bytes"},
            ],
        },
        "primaryType": "Batch",
        "message": {
            "wallet": wallet,
            "nonce": nonce,
            "deadline": deadline,
            "calls": [{"target": to, "value": 0, "data": data} for to, data in signed_calls],
        },
    }
    key = Key.from_key(changes.get("private", PRIVATE))
    signature = key.sign_message(encode_typed_data(full_message=typed)).signature
    return {
        "type": "WALLET",
        "from": SIGNER,
        "to": DEPOSIT_FACTORY,
        "nonce": str(nonce),
        "signature": "0x" + signature.hex(),
        "metadata": "redeem",
        "depositWalletParams": {
            "depositWallet": wallet,
            "deadline": str(deadline),
            "calls": [{"target": to, "value": "0", "data": "0x" + data.hex()} for to, data in calls],
        },
    }


async def submit(venue: Floor, body: Any, headers: dict[str, str] = AUTH) -> tuple[int, Any]:
    address = venue.venue.base + "/relayer/submit"
    async with venue.venue.session.post(address, json=body, headers=headers) as answer:
        return answer.status, await answer.json()


async def asked(venue: Floor, path: str) -> Any:
    status, body = await venue.venue.get(path, headers=AUTH)
    assert status == 200, body
    return body


async def action(venue: Floor, action_id: str) -> dict[str, Any]:
    return dict(await asked(venue, f"/relayer/v1/account/transactions/{action_id}"))


async def ended(venue: Floor, action_id: str) -> tuple[dict[str, Any], list[str]]:
    """The action once it has ended, and the states it went through."""
    states: list[str] = []
    async with asyncio.timeout(LIMIT_S):
        while True:
            told = await action(venue, action_id)
            if told["state"] not in states:
                states.append(told["state"])
            if told["state"] in ("STATE_CONFIRMED", "STATE_FAILED"):
                return told, states
            await asyncio.sleep(0.005)


def test_a_signed_batch_is_mined_and_confirmed_and_pays() -> None:
    clock = HandClock()

    async def scene(venue: Floor) -> None:
        give(venue, WALLET, UP, 7_000_000)
        give(venue, WALLET, NEW_UP, 3_000_000)
        resolve(venue)
        assert await asked(venue, PARAMS) == {"address": WALLET, "nonce": "0"}
        status, told = await submit(venue, body_of([(ADAPTER, redeem_v1()), (ROUTER, redeem_v2(3_000_000))]))
        assert (status, told["state"], set(told)) == (200, "STATE_NEW", {"transactionID", "state"})
        action_id = told["transactionID"]
        told = await action(venue, action_id)
        assert (told["state"], told["transaction_hash"]) == ("STATE_NEW", "")
        for blocks, state in ((1, "STATE_MINED"), (1, "STATE_MINED"), (1, "STATE_CONFIRMED")):
            clock.pass_blocks(blocks)
            last = await action(venue, action_id)
            assert last["state"] == state
        receipt = await receipt_of(venue, last["transaction_hash"])
        final = await rpc(venue, "eth_getBlockByNumber", "finalized", False)
        assert int(receipt["blockNumber"], 16) <= int(final["number"], 16)
        assert receipt["status"] == "0x1" and receipt["from"] != SIGNER.lower()
        assert await money(venue, WALLET) == USD6 + 10_000_000
        assert await held(venue, WALLET, UP) == await held(venue, WALLET, NEW_UP) == 0
        assert await read(venue, WALLETS["deposit"], "nonce()") == 1
        before = hex(int(receipt["blockNumber"], 16) - 1)
        assert await read(venue, WALLETS["deposit"], "nonce()", at=before) == 0
        assert (await asked(venue, PARAMS))["nonce"] == "1"
        (recent,) = await asked(venue, "/relayer/transactions")
        assert [recent] == await asked(venue, f"/relayer/transaction?id={action_id}")
        fields = "transactionID", "transactionHash", "state", "nonce", "proxyAddress", "metadata"
        assert [recent[each] for each in fields] == [
            action_id,
            last["transaction_hash"],
            "STATE_CONFIRMED",
            "0",
            WALLET,
            "redeem",
        ]
        status, told = await submit(venue, body_of([(ADAPTER, redeem_v1())]))
        assert (status, told) == (400, {"error": "batch nonce 0 does not match on-chain nonce 1"})

    scene_of(scene, now_ns=clock.now_ns)


def test_the_official_client_redeems_here() -> None:
    def fast(base: str) -> Environment:
        config = dataclasses.replace(
            PRODUCTION_CONFIG,
            clob_url=f"{base}/clob",
            relayer_url=f"{base}/relayer",
            rpc_url=f"{base}/chain",
            relayer_poll_frequency_ms=10,
        )
        return create_environment(name="simulated", config=config)

    async def scene(venue: Floor) -> None:
        give(venue, WALLET, UP, 7_000_000)
        resolve(venue)
        client = await AsyncSecureClient.create(
            private_key=PRIVATE,
            wallet=WALLETS["deposit"],
            environment=fast(venue.venue.base),
            api_key=RelayerApiKey(key=RELAYER_KEY, address=SIGNER),
        )
        venue.clients.append(client)
        call: Any = TransactionCall(to=ADAPTER, data="0x" + redeem_v1().hex())  # type: ignore[arg-type]
        handle = await client.execute_transaction(calls=[call])
        async with asyncio.timeout(LIMIT_S):
            outcome = await handle.wait()
        assert (await receipt_of(venue, outcome.transaction_hash))["status"] == "0x1"
        assert await money(venue, WALLET) == USD6 + 7_000_000

    scene_of(scene)


GOOD = [(ADAPTER, redeem_v1())]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (body_of(GOOD, private=SESSION_PRIVATE), "invalid signature"),
        (body_of(GOOD, signed_calls=[(ROUTER, redeem_v1())]), "invalid signature"),
        (body_of(GOOD) | {"signature": "0x00"}, "invalid signature"),
        (body_of(GOOD, deadline=1_600_000_000), "deadline 1600000000 is expired or too far away"),
        (body_of([]), "calls must not be empty"),
        (
            body_of([(COLLATERAL, bytes.fromhex("a9059cbb"))]),
            f"call blocked: {COLLATERAL.lower()} a9059cbb not permitted",
        ),
        (body_of(GOOD) | {"from": "0x" + "99" * 20}, "from or to is not of this key"),
        (body_of(GOOD) | {"to": ADAPTER}, "from or to is not of this key"),
        (body_of(GOOD, 3), "batch nonce 3 does not match on-chain nonce 0"),
        (body_of(GOOD) | {"type": "SAFE"}, "not simulated: type SAFE"),
        ({"type": "WALLET"}, "bad request: invalid payload"),
    ],
)
def test_what_the_relayer_does_not_take(body: dict[str, Any], text: str) -> None:
    async def scene(venue: Floor) -> None:
        resolve(venue)
        assert await submit(venue, body) == (400, {"error": text})
        assert await asked(venue, "/relayer/transactions") == []

    scene_of(scene)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"RELAYER_API_KEY": RELAYER_KEY},
        AUTH | {"RELAYER_API_KEY": "x"},
        AUTH | {"RELAYER_API_KEY_ADDRESS": WALLET},
    ],
)
def test_nobody_is_let_in_without_the_key_and_its_address(headers: dict[str, str]) -> None:
    async def scene(venue: Floor) -> None:
        assert (await submit(venue, body_of(GOOD), headers))[0] == 401
        for path in (PARAMS, "/relayer/transactions", "/relayer/v1/account/transactions/x"):
            assert (await venue.venue.get(path, headers=headers))[0] == 401

    scene_of(scene)


def test_a_batch_that_would_fail_uses_no_nonce_and_moves_nothing() -> None:
    async def scene(venue: Floor) -> None:
        give(venue, WALLET, UP, 7_000_000)
        resolve(venue)
        calls = [(ADAPTER, redeem_v1()), (ROUTER, redeem_v2(1))]
        _, told = await submit(venue, body_of(calls))
        last, states = await ended(venue, told["transactionID"])
        assert states[-1] == "STATE_FAILED" and last["transaction_hash"] == ""
        assert last["error_msg"].startswith("execution reverted: 0x")
        assert await held(venue, WALLET, UP) == 7_000_000
        assert await read(venue, WALLETS["deposit"], "nonce()") == 0
        _, told = await submit(venue, body_of([(ADAPTER, redeem_v1())]))
        assert (await ended(venue, told["transactionID"]))[0]["state"] == "STATE_CONFIRMED"
        assert await money(venue, WALLET) == USD6 + 7_000_000

    scene_of(scene)


def test_a_call_sees_what_the_one_before_it_did() -> None:
    async def scene(venue: Floor) -> None:
        give(venue, WALLET, UP, 7_000_000)
        give(venue, WALLET, NEW_UP, 3_000_000)
        resolve(venue)
        twice = [(ROUTER, redeem_v2(3_000_000))] * 2
        _, told = await submit(venue, body_of(twice))
        assert (await ended(venue, told["transactionID"]))[0]["state"] == "STATE_FAILED"
        _, told = await submit(venue, body_of([(ADAPTER, redeem_v1())] * 2))
        assert (await ended(venue, told["transactionID"]))[0]["state"] == "STATE_CONFIRMED"
        assert await money(venue, WALLET) == USD6 + 7_000_000

    scene_of(scene)


def test_one_action_of_a_wallet_at_a_time() -> None:
    async def scene(venue: Floor) -> None:
        resolve(venue)
        await venue.venue.faults({"kind": "chain", "stuck": True})
        _, told = await submit(venue, body_of(GOOD))
        status, second = await submit(venue, body_of(GOOD))
        assert (status, second["error"]) == (400, f"wallet busy: {WALLET} has an active action")
        await venue.venue.faults()
        assert (await ended(venue, told["transactionID"]))[0]["state"] == "STATE_CONFIRMED"

    scene_of(scene)


def test_the_relayer_fails_on_request() -> None:
    async def scene(venue: Floor) -> None:
        give(venue, WALLET, UP, 7_000_000)
        resolve(venue)

        async def refused(form: str) -> tuple[int, str]:
            await venue.venue.faults({"kind": "relayer", "form": form})
            status, told = await submit(venue, body_of(GOOD))
            return status, told["error"].partition(":")[0]

        assert await refused("quota") == (429, "quota exceeded")
        assert await refused("busy") == (400, "wallet busy")
        assert await refused("down") == (503, "service unavailable")
        await venue.venue.faults({"kind": "relayer", "form": "never"})
        _, never = await submit(venue, body_of(GOOD))
        await venue.venue.faults({"kind": "relayer", "form": "failed"})
        _, failed = await submit(venue, body_of(GOOD))
        assert (await action(venue, failed["transactionID"]))["state"] == "STATE_FAILED"
        await venue.venue.faults({"kind": "relayer", "form": "lost"})
        with pytest.raises(aiohttp.ClientError):
            await submit(venue, body_of(GOOD))
        await venue.venue.faults({"kind": "relayer", "form": "hashless"})
        lost = (await asked(venue, "/relayer/transactions"))[0]["transactionID"]
        assert lost not in (never["transactionID"], failed["transactionID"])
        last, _ = await ended(venue, lost)
        assert (last["state"], last["transaction_hash"]) == ("STATE_CONFIRMED", "")
        await venue.venue.faults({"kind": "relayer", "form": "stale"})
        assert (await asked(venue, PARAMS))["nonce"] == "0"
        await venue.venue.faults()
        assert (await asked(venue, PARAMS))["nonce"] == "1"
        assert (await action(venue, lost))["transaction_hash"] != ""
        assert (await action(venue, never["transactionID"]))["state"] == "STATE_NEW"
        assert await money(venue, WALLET) == USD6 + 7_000_000
        assert await read(venue, CONDITIONAL_TOKENS, "balanceOf(address,uint256)", WALLET, int(UP)) == 0

    scene_of(scene)
