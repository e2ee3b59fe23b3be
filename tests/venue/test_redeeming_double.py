"""Our actions at the simulated relayer, which checks every signature by itself; the chain is a few words."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from common.core.redemption.attempts import RelayerWord
from common.runtime.clock import SystemClock
from common.runtime.credentials import Secret
from common.sim.evm.relayer import RELAY, RelayedWallet, Relayer
from common.sim.evm.relayer_auth import BuilderCredentials, Customers
from common.sim.evm.relayer_faults import (
    BAD_GATEWAY,
    BUSY,
    IN_FLIGHT,
    PRECHECK,
    UNAUTHORISED,
    LateAnswer,
    LoseAnswer,
    RelayerFault,
    quota,
)
from common.venue.clob.order_request import Account
from common.venue.redeeming.actions import RELAYER_TYPES, RelayInfo, relayed_action
from common.venue.redeeming.calldata import Call, RedeemContracts
from common.venue.redeeming.relayer_api import Declined, RelayerApi, Submitted, Unclear
from common.venue.redeeming.relayer_key import BuilderKey, RelayerKey
from common.venue.signing.order_signature import Signer
from common.venue.signing.wallet import WalletKind, wallets_of

CONTRACTS = RedeemContracts()
SIGNER = Signer(Secret("0x" + "4c0883a69102937d" * 4))
CALLS = [Call(CONTRACTS.adapter, b"\x01\x02\x03\x04one"), Call(CONTRACTS.router, b"\x01\x02\x03\x04two")]
KEY = RelayerKey(Secret("key-of-nobody"), SIGNER.address)
BUILDER = BuilderCredentials("builder", "c2VjcmV0LXNlY3JldC1zZWNyZXQ_", "phrase")
NONCE = 7
HASH = "0x" + "ab" * 32
FAR_S = 4_000_000_000
KINDS: tuple[WalletKind, ...] = ("safe", "proxy", "deposit")


async def node_word(request: web.Request) -> web.Response:
    """A chain on which every wallet's nonce is the same and everything sent is mined at once."""
    ask = await request.json()
    value: Any = {
        "eth_call": f"0x{NONCE:064x}",
        "eth_getBlockByNumber": {"timestamp": "0x1"},
        "eth_sendTransaction": HASH,
        "eth_getTransactionReceipt": {"status": "0x1"},
    }.get(ask["method"])
    return web.json_response({"jsonrpc": "2.0", "id": ask["id"], "result": value})


@asynccontextmanager
async def relayer(
    *faults: RelayerFault, key: RelayerKey | BuilderKey = KEY, read_s: float = 5.0
) -> AsyncIterator[tuple[Relayer, RelayerApi]]:
    app = web.Application()
    app.router.add_post("/", node_word)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    owned = wallets_of(SIGNER.address)._asdict()
    wallets = [
        RelayedWallet(RELAYER_TYPES[kind], SIGNER.address, owned[kind])  # type: ignore[arg-type]
        for kind in KINDS
    ]
    customers = Customers({"key-of-nobody": SIGNER.address}, (BUILDER,))
    host, port = runner.addresses[0][:2]
    double = Relayer(f"http://{host}:{port}", customers, wallets, faults=faults)
    api = RelayerApi(await double.open(), key, SystemClock(), read_s=read_s)
    try:
        yield double, api
    finally:
        api.close()
        await double.close()
        await runner.cleanup()


def body(kind: WalletKind = "safe", *, nonce: int = NONCE, calls: list[Call] | None = None) -> bytes:
    account = Account(SIGNER, kind, wallets_of(SIGNER.address)._asdict()[kind], False, 137)
    return relayed_action(
        account,
        calls or CALLS,
        CONTRACTS,
        nonce=nonce,
        deadline_s=FAR_S,
        relay=RelayInfo(RELAY, nonce),
        gas_limit=300_000,
    ).body


async def followed(api: RelayerApi, transaction_id: str) -> list[RelayerWord]:
    """Every word about an action until its last."""
    words: list[RelayerWord] = []
    while not words or words[-1].state not in {"confirmed", "failed", "invalid"}:
        word = await api.word(transaction_id)
        assert word is not None
        words.append(word)
    return words


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("calls", [CALLS, CALLS[:1]])
async def test_every_wallets_action_is_taken_and_followed_to_its_end(
    kind: WalletKind, calls: list[Call]
) -> None:
    posted = body(kind, calls=calls)
    async with relayer() as (double, api):
        told = await api.submit(posted)
        assert isinstance(told, Submitted)
        assert double.submitted == [posted]
        words = await followed(api, told.transaction_id)
        assert words[-1] == RelayerWord(told.transaction_id, "confirmed", HASH)
        assert RelayerWord(told.transaction_id, "mined", HASH) in words
        assert [each.is_of(posted) for each in await api.recent()] == [True]
        assert await api.word("another") is None


async def test_what_the_relayer_tells_before_signing() -> None:
    async with relayer() as (_, api):
        assert await api.nonce(SIGNER.address, "safe") == NONCE
        assert await api.nonce(SIGNER.address, "deposit") == NONCE
        assert await api.relay_info(SIGNER.address) == RelayInfo(RELAY, NONCE)


async def test_a_builder_is_let_in() -> None:
    key = BuilderKey(Secret(BUILDER.key), Secret(BUILDER.secret), Secret(BUILDER.passphrase))
    async with relayer(key=key) as (_, api):
        told = await api.submit(body())
        assert isinstance(told, Submitted)
        assert len(await api.recent()) == 1
    async with relayer(key=RelayerKey(Secret("no-key"), SIGNER.address)) as (_, api):
        refused = await api.submit(body())
        assert isinstance(refused, Declined)
        assert refused.kind == "unauthorised"


@pytest.mark.parametrize(
    ("fault", "kind", "wait_s"),
    [
        (quota(37), "quota", 37.0),
        (BUSY, "busy", 0.0),
        (IN_FLIGHT, "busy", 0.0),
        (UNAUTHORISED, "unauthorised", 0.0),
    ],
)
async def test_refusals(fault: RelayerFault, kind: str, wait_s: float) -> None:
    async with relayer(fault) as (double, api):
        told = await api.submit(body())
        assert isinstance(told, Declined)
        assert (told.kind, told.wait_s) == (kind, wait_s)
        assert double.records == []


async def test_another_nonce_and_another_call() -> None:
    async with relayer() as (_, api):
        told = await api.submit(body(nonce=NONCE - 1))
        assert isinstance(told, Declined)
        assert (told.kind, told.chain_nonce) == ("nonce", NONCE)
        told = await api.submit(body(calls=[Call("0x" + "0c" * 20, b"\x01\x02\x03\x04")]))
        assert isinstance(told, Declined)
        assert told.kind == "blocked"


@pytest.mark.parametrize(
    ("fault", "taken"),
    [
        (LoseAnswer(), True),
        (LoseAnswer(done=False), False),
        (LateAnswer(delay_ms=800), True),
        (BAD_GATEWAY, False),
    ],
)
async def test_after_an_unclear_answer_the_list_tells(fault: RelayerFault, taken: bool) -> None:
    async with relayer(fault, read_s=0.4) as (double, api):
        assert isinstance(await api.submit(body()), Unclear)
        assert len(double.submitted) == 1
        listed = await api.recent()
        assert [each.is_of(body()) for each in listed] == ([True] if taken else [])
        assert not any(each.is_of(body("deposit")) for each in listed)


async def test_a_failure_is_told_with_its_reason() -> None:
    async with relayer(PRECHECK) as (_, api):
        told = await api.submit(body())
        assert isinstance(told, Submitted)
        word = (await followed(api, told.transaction_id))[-1]
        assert (word.state, word.tx_hash) == ("failed", "")
        assert word.error == "PRECHECK_SKIPPED: redeem skipped: zero position balance"
