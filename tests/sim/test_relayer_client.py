"""The official client against the relayer double: its dialect, and what the client makes of each fault.

The wallet here is a few bytes of code that counts its calls; only the chain's endpoint and the relayer are
looked at.
"""

import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
from eth_account import Account
from polymarket._internal.environment import PRODUCTION_CONFIG, create_environment
from polymarket.auth import BuilderApiKey, RelayerApiKey
from polymarket.calls import router_redeem_call
from polymarket.clients.async_secure import AsyncSecureClient
from polymarket.errors import (
    RequestRejectedError,
    TransactionFailedError,
    TransportError,
    UnexpectedResponseError,
)
from polymarket.errors import TimeoutError as PollsUsedUp
from polymarket.models.clob.api_key import ApiKeyCreds

from common.sim.evm.node import EvmNode, absent
from common.sim.evm.relayer import RelayedWallet, Relayer
from common.sim.evm.relayer_actions import RELAY_HUB, RelayedKind
from common.sim.evm.relayer_auth import Customers
from common.sim.evm.relayer_faults import (
    BAD_GATEWAY,
    BUSY,
    IN_FLIGHT,
    PRECHECK,
    UNAUTHORISED,
    Life,
    LoseAnswer,
    RelayerFault,
    StaleNonce,
    quota,
)
from common.sim.evm.rpc_proxy import RpcProxy
from common.sim.trading.contracts import DEPOSIT_FACTORY
from common.venue.signing.wallet import wallets_of
from relay_stage import BUILDER, plant_counters, running_node

pytestmark = pytest.mark.skipif(bool(absent()), reason=absent())

KEY = "0x" + "6c" * 32
OWNER = Account.from_key(KEY).address
OWNED = wallets_of(OWNER)
WALLETS: dict[RelayedKind, str] = {"SAFE": OWNED.safe, "PROXY": OWNED.proxy, "WALLET": OWNED.deposit}
CUSTOMERS = Customers({"key-of-nobody": OWNER}, (BUILDER,))
RELAYER_KEY = RelayerApiKey(key="key-of-nobody", address=OWNER)
CREDENTIALS = ApiKeyCreds(key="k", secret=BUILDER.secret, passphrase="p")
CALLS = [
    router_redeem_call(
        router="0x12121212006e4CD160D18e3f00711DA5c3372600",
        condition_id="0x01" + "ab" * 30,
        outcome_index=outcome,
        amount=1_000_000,
    )
    for outcome in (0, 1)
]


@pytest.fixture(autouse=True)
def _no_certificates() -> Iterator[None]:
    """The client reads all certificates anew for each of its services; loopback needs none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("httpx._transports.default.create_ssl_context", lambda **_: context)
        yield


@dataclass
class Stage:
    node: EvmNode
    relayer: Relayer
    client: AsyncSecureClient

    async def redeem(self, calls: int = 1) -> Any:
        return await self.client.execute_transaction(calls=CALLS[:calls])

    async def done(self, calls: int = 1) -> str:
        handle = await self.redeem(calls)
        assert handle.transaction_hash is None, "no hash comes with the answer to a submit"
        outcome = await handle.wait()
        receipt = await self.node.rpc("eth_getTransactionReceipt", outcome.transaction_hash)
        assert receipt["status"] == "0x1"
        return str(receipt["to"])


@asynccontextmanager
async def stage(
    *faults: RelayerFault, kind: RelayedKind = "WALLET", api_key: Any = RELAYER_KEY, polls: int = 200
) -> AsyncIterator[Stage]:
    async with running_node() as node:
        await plant_counters(node, WALLETS.values())
        wallets = [RelayedWallet(each, OWNER, address) for each, address in WALLETS.items()]
        relayer = Relayer(node.url, CUSTOMERS, wallets, faults=faults)
        proxy = RpcProxy(node.url)
        config = replace(
            PRODUCTION_CONFIG,
            relayer_url=await relayer.open(),
            rpc_url=await proxy.open(),
            relayer_poll_frequency_ms=5,
            relayer_max_polls=polls,
        )
        client = await AsyncSecureClient._create(
            private_key=KEY,
            wallet=WALLETS[kind],
            environment=create_environment(name="loopback", config=config),
            credentials=CREDENTIALS,
            validate_credentials=False,
            api_key=api_key,
        )
        try:
            yield Stage(node, relayer, client)
        finally:
            await client.close()
            await proxy.close()
            await relayer.close()


@pytest.mark.parametrize("calls", [1, 2])
@pytest.mark.parametrize("kind", WALLETS)
async def test_every_kind_of_wallet_acts_through_it(kind: RelayedKind, calls: int) -> None:
    async with stage(kind=kind) as on:
        to = {"SAFE": OWNED.safe, "PROXY": RELAY_HUB, "WALLET": DEPOSIT_FACTORY}[kind]
        assert await on.done(calls) == to.lower()
        (record,) = on.relayer.records
        assert [(call.to, call.data.hex()) for call in record.action.calls] == [
            (each.to.lower(), each.data.removeprefix("0x")) for each in CALLS[:calls]
        ]


async def test_a_builder_may_use_it_too() -> None:
    async with stage(api_key=BuilderApiKey(**BUILDER._asdict())) as on:
        await on.done()
        assert [record.customer for record in on.relayer.records] == ["builder"]


@pytest.mark.parametrize("fault", [BUSY, IN_FLIGHT, quota(1)], ids=["busy", "in flight", "quota"])
async def test_the_client_tries_again_where_it_is_told_to_wait(fault: RelayerFault) -> None:
    async with stage(fault) as on:
        await on.done()
        assert len(on.relayer.submitted) == 2


async def test_the_client_takes_the_right_nonce_from_the_refusal() -> None:
    async with stage(StaleNonce()) as on:
        await on.node.rpc("anvil_setStorageAt", OWNED.deposit, "0x0", f"0x{5:064x}")
        await on.done()
        assert len(on.relayer.submitted) == 2
        assert [record.action.nonce for record in on.relayer.records] == [5]


@pytest.mark.parametrize(
    ("fault", "error", "text"),
    [
        (UNAUTHORISED, RequestRejectedError, "invalid authorization"),
        (BAD_GATEWAY, RequestRejectedError, "502"),
        (LoseAnswer(done=False), TransportError, "disconnected"),
        (LoseAnswer(), TransportError, "disconnected"),
    ],
    ids=["401", "502", "lost before", "lost after"],
)
async def test_the_client_gives_up_on_a_submit(
    fault: RelayerFault, error: type[Exception], text: str
) -> None:
    async with stage(fault) as on:
        with pytest.raises(error, match=text):
            await on.redeem()
        assert len(on.relayer.records) == (fault == LoseAnswer()), "the action may be taken in all the same"


@pytest.mark.parametrize(
    ("life", "error", "text"),
    [
        (PRECHECK, TransactionFailedError, "PRECHECK_SKIPPED: redeem skipped: zero position balance"),
        (Life(course="invalid", text="no such wallet"), TransactionFailedError, "no such wallet"),
        (Life(course="mined_then_failed", text="reorged"), TransactionFailedError, "reorged"),
        (Life(course="confirmed_without_hash"), UnexpectedResponseError, "without a transaction hash"),
        (Life(course="unmined"), PollsUsedUp, "Timed out"),
        (Life(course="held"), PollsUsedUp, "Timed out"),
    ],
    ids=["failed", "invalid", "mined then failed", "no hash", "unmined", "held"],
)
async def test_the_client_gives_up_on_what_was_taken_in(
    life: Life, error: type[Exception], text: str
) -> None:
    async with stage(life, polls=20) as on:
        handle = await on.redeem()
        with pytest.raises(error, match=text):
            await handle.wait()
