"""The faulty chain endpoint in front of a real node: every fault as a client meets it, and what it keeps."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from eth_account import Account

from common.errors import DependencyMissing
from common.sim.evm.node import EvmNode, absent
from common.sim.evm.rpc_client import RpcClient, RpcRefused
from common.sim.evm.rpc_faults import (
    A_PAGE,
    NO_BACKEND,
    TOO_MANY,
    HoldSends,
    Lag,
    LateReply,
    LoseReply,
    NoFinalized,
    PoolRules,
    RpcFailure,
    RpcFault,
    WrongChain,
)
from common.sim.evm.rpc_proxy import RpcProxy
from relay_stage import running_node

pytestmark = pytest.mark.skipif(bool(absent()), reason=absent())

GWEI = 10**9
KEY = "0x" + "4d" * 32
SENDER = Account.from_key(KEY).address
SEND, RECEIPT = "eth_sendRawTransaction", "eth_getTransactionReceipt"


@dataclass
class Stage:
    node: EvmNode
    proxy: RpcProxy
    client: RpcClient

    async def send(self, raw: bytes) -> Any:
        return await self.client.call(SEND, "0x" + raw.hex())

    async def reached(self, tx_hash: str) -> bool:
        """Whether the node has it, mined or not."""
        return await self.node.rpc("eth_getTransactionByHash", tx_hash) is not None

    async def mined(self, tx_hash: str) -> dict[str, Any]:
        """Its receipt; the node mines a moment after it answered."""
        while (receipt := await self.node.rpc(RECEIPT, tx_hash)) is None:
            await asyncio.sleep(0.005)
        found: dict[str, Any] = receipt
        return found

    async def send_mined(self, raw: bytes, tx_hash: str) -> dict[str, Any]:
        assert await self.send(raw) == tx_hash
        return await self.mined(tx_hash)


@asynccontextmanager
async def stage(*faults: RpcFault, rules: PoolRules | None = PoolRules()) -> AsyncIterator[Stage]:  # noqa: B008
    async with running_node() as node:
        proxy = RpcProxy(node.url, faults, rules)
        client = RpcClient(await proxy.open())
        await node.rpc("anvil_setBalance", SENDER, hex(10**20))
        try:
            yield Stage(node, proxy, client)
        finally:
            await client.close()
            await proxy.close()


def signed(
    nonce: int = 0, *, fee: int = 100 * GWEI, tip: int = 30 * GWEI, value: int = 1
) -> tuple[bytes, str]:
    fields = {
        "chainId": 137,
        "nonce": nonce,
        "to": "0x" + "11" * 20,
        "value": value,
        "gas": 21_000,
        "maxFeePerGas": fee,
        "maxPriorityFeePerGas": tip,
    }
    done = Account.sign_transaction(fields, KEY)
    return bytes(done.raw_transaction), "0x" + bytes(done.hash).hex()


async def test_without_faults_the_node_is_heard_and_every_transaction_kept() -> None:
    async with stage() as on:
        raw, tx_hash = signed()
        assert await on.client.call("eth_chainId") == "0x89"
        receipt = await on.send_mined(raw, tx_hash)
        assert await on.client.call(RECEIPT, tx_hash) == receipt
        assert on.proxy.asked == {"eth_chainId": 1, SEND: 1, RECEIPT: 1}
        assert [(each.raw, each.tx_hash, each.nonce) for each in on.proxy.sent] == [(raw, tx_hash, 0)]
        assert on.proxy.sent[0].sender == SENDER.lower()


async def test_a_transaction_of_the_oldest_form_is_read_too() -> None:
    fields = {"chainId": 137, "nonce": 0, "to": "0x" + "11" * 20, "gas": 21_000, "gasPrice": 26 * GWEI}
    done = Account.sign_transaction(fields | {"value": 1}, KEY)
    async with stage() as on:
        await on.send(bytes(done.raw_transaction))
        (kept,) = on.proxy.sent
        assert (kept.sender, kept.nonce, kept.tip_wei) == (SENDER.lower(), 0, 26 * GWEI)
        assert kept.tx_hash == "0x" + bytes(done.hash).hex()


async def test_what_is_no_transaction_is_for_the_node_to_refuse() -> None:
    async with stage() as on:
        with pytest.raises(RpcRefused):
            await on.client.call(SEND, "0x02c0")
        assert on.proxy.sent == []


@pytest.mark.parametrize("forwarded", [True, False])
async def test_a_reply_is_lost_after_or_before_the_node_was_asked(forwarded: bool) -> None:
    async with stage(LoseReply(method=SEND, times=1, forwarded=forwarded)) as on:
        raw, tx_hash = signed()
        with pytest.raises(DependencyMissing):
            await on.send(raw)
        assert await on.reached(tx_hash) is forwarded
        assert [each.raw for each in on.proxy.sent] == [raw], "what a client sent is kept all the same"
        # Used up by now.
        if forwarded:
            await on.mined(tx_hash)
            with pytest.raises(RpcRefused, match="nonce too low"):
                await on.send(raw)
        else:
            assert await on.send(raw) == tx_hash


async def test_silence_leaves_the_connection_open() -> None:
    async with stage(LoseReply(method="eth_chainId", form="silent")) as on:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await on.client.call("eth_chainId")
        assert await on.client.call("eth_blockNumber")


async def test_a_late_reply_comes_after_the_node_did_what_it_was_asked() -> None:
    async with stage(LateReply(method=SEND, delay_ms=60_000)) as on:
        raw, tx_hash = signed()
        sending = asyncio.ensure_future(on.send(raw))
        while not await on.reached(tx_hash):
            assert not sending.done()
        assert not sending.done()
        sending.cancel()
    async with stage(LateReply(method=SEND, delay_ms=50)) as on:
        assert await on.send(raw) == tx_hash


@pytest.mark.parametrize("fault", [TOO_MANY, NO_BACKEND, A_PAGE], ids=["429", "503", "page"])
async def test_an_answer_that_is_no_json_rpc(fault: Any) -> None:
    async with stage(fault) as on, aiohttp.ClientSession() as session:
        raw, tx_hash = signed()
        async with session.post(
            on.proxy.url, json={"method": SEND, "params": ["0x" + raw.hex()], "id": 1}
        ) as answer:
            assert (answer.status, await answer.text()) == (fault.status, fault.body)
            assert answer.headers.get("Retry-After") == (fault.retry_after_s and str(fault.retry_after_s))
            assert answer.content_type == fault.content_type
        assert not await on.reached(tx_hash)


async def test_faults_that_are_set_again_are_counted_anew() -> None:
    fault = RpcFailure(method="eth_chainId", message="busy", times=2)
    async with stage() as on:
        for _ in range(2):
            on.proxy.set_faults(fault)
            for _ in range(2):
                with pytest.raises(RpcRefused, match="busy"):
                    await on.client.call("eth_chainId")
            assert await on.client.call("eth_chainId") == "0x89"


@pytest.mark.parametrize("forwarded", [True, False])
async def test_a_json_rpc_error_instead_of_the_result(forwarded: bool) -> None:
    fault = RpcFailure(method=SEND, message="internal error", code=-32603, forwarded=forwarded)
    async with stage(fault) as on:
        raw, tx_hash = signed()
        with pytest.raises(RpcRefused, match="internal error") as caught:
            await on.send(raw)
        assert caught.value.code == -32603
        assert await on.reached(tx_hash) is forwarded


async def test_a_lagging_endpoint_knows_nothing_of_the_newest_blocks() -> None:
    async with stage() as on:
        raw, tx_hash = signed()
        receipt = await on.send_mined(raw, tx_hash)
        block = int(receipt["blockNumber"], 16)
        on.proxy.set_faults(Lag(blocks=1))
        call = on.client.call
        assert await call("eth_blockNumber") == hex(block - 1)
        assert await call(RECEIPT, tx_hash) is None
        assert (await call("eth_getTransactionByHash", tx_hash))["blockNumber"] is None
        assert await call("eth_getTransactionCount", SENDER, "latest") == "0x0"
        assert (await call("eth_getBlockByNumber", "latest", False))["number"] == hex(block - 1)
        assert await call("eth_getBlockByNumber", hex(block), False) is None
        with pytest.raises(RpcRefused, match="header not found"):
            await call("eth_getBalance", SENDER, hex(block))
        await on.node.rpc("anvil_mine", "0x1")
        assert await call(RECEIPT, tx_hash) == receipt
        assert await call("eth_getTransactionCount", SENDER, "latest") == "0x1"


async def test_a_lagging_endpoint_is_behind_with_what_is_final_and_with_logs() -> None:
    async with stage() as on:
        await on.node.rpc("anvil_mine", "0xa")
        final = int((await on.node.rpc("eth_getBlockByNumber", "finalized", False))["number"], 16)
        on.proxy.set_faults(Lag(blocks=2))
        told = await on.client.call("eth_getBlockByNumber", "finalized", False)
        assert int(told["number"], 16) == final - 2
        assert await on.client.call("eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest"}) == []


async def test_another_chain() -> None:
    async with stage(WrongChain(chain_id=80002)) as on:
        assert await on.client.call("eth_chainId") == hex(80002)
        assert await on.client.call("net_version") == "80002"


async def test_no_finalized_tag() -> None:
    async with stage(NoFinalized()) as on:
        with pytest.raises(RpcRefused, match="finalized"):
            await on.client.call("eth_getBlockByNumber", "finalized", False)
        assert await on.client.call("eth_getBlockByNumber", "latest", False)


async def test_a_tip_below_the_floor_is_refused_as_the_chains_nodes_do() -> None:
    raw, tx_hash = signed(tip=24 * GWEI)
    async with stage() as on:
        with pytest.raises(RpcRefused, match="gas tip cap 24000000000, minimum needed 25000000000"):
            await on.send(raw)
        assert not await on.reached(tx_hash)
    async with stage(rules=None) as on:
        assert await on.send(raw) == tx_hash


@pytest.mark.parametrize(
    ("fee", "tip", "taken"),
    [
        (110, 33, True),
        (109, 33, False),
        (110, 32, False),
    ],
)
async def test_a_replacement_must_bid_a_tenth_more_on_both_fees(fee: int, tip: int, taken: bool) -> None:
    async with stage() as on:
        await on.node.rpc("evm_setAutomine", False)
        await on.send(signed()[0])
        raw, tx_hash = signed(fee=fee * GWEI, tip=tip * GWEI, value=2)
        if not taken:
            with pytest.raises(
                RpcRefused, match=r"^eth_sendRawTransaction: replacement transaction underpriced$"
            ):
                await on.send(raw)
        else:
            assert await on.send(raw) == tx_hash
        await on.node.rpc("anvil_mine", "0x1")
        assert (await on.node.rpc(RECEIPT, tx_hash) is not None) is taken


async def test_the_same_bytes_again_are_already_known() -> None:
    async with stage() as on:
        await on.node.rpc("evm_setAutomine", False)
        await on.send(signed()[0])
        with pytest.raises(RpcRefused, match="already known") as caught:
            await on.send(signed()[0])
        assert caught.value.code == -32000
        assert len(on.proxy.sent) == 2


async def test_a_used_nonce_is_too_low_however_much_is_bid() -> None:
    async with stage() as on:
        await on.send_mined(*signed())
        with pytest.raises(RpcRefused, match="nonce too low"):
            await on.send(signed(value=2)[0])


@pytest.mark.parametrize("known", [True, False])
async def test_a_transaction_kept_back_looks_stuck_or_dropped(known: bool) -> None:
    async with stage(HoldSends(times=1, known=known)) as on:
        raw, tx_hash = signed()
        assert await on.send(raw) == tx_hash
        assert not await on.reached(tx_hash)
        seen = await on.client.call("eth_getTransactionByHash", tx_hash)
        assert (seen is not None and seen["blockNumber"] is None and seen["nonce"] == "0x0") is known
        with pytest.raises(RpcRefused, match="already known"):
            await on.send(raw)
        await on.proxy.release()
        assert await on.reached(tx_hash)


async def test_what_is_kept_back_is_replaced_by_a_higher_bid_for_good() -> None:
    async with stage(HoldSends(times=1)) as on:
        await on.send(signed()[0])
        with pytest.raises(RpcRefused, match="underpriced"):
            await on.send(signed(fee=101 * GWEI, value=2)[0])
        raw, tx_hash = signed(fee=120 * GWEI, tip=36 * GWEI, value=2)
        await on.send(raw)
        assert on.proxy.held == []
        await on.proxy.release()
        assert await on.reached(tx_hash)


@pytest.mark.parametrize("value", [1, 2], ids=["the same", "another"])
async def test_what_is_dropped_is_unknown_and_its_nonce_is_free_again(value: int) -> None:
    async with stage(HoldSends(times=1)) as on:
        dropped = await on.send(signed()[0])
        on.proxy.drop()
        assert await on.client.call("eth_getTransactionByHash", dropped) is None
        raw, tx_hash = signed(value=value)
        assert await on.send(raw) == tx_hash
        assert await on.reached(tx_hash)


async def test_it_is_controlled_from_another_process() -> None:
    async with stage() as on, aiohttp.ClientSession() as session:
        control = f"{on.proxy.url}/control"
        raw, tx_hash = signed()

        async def post(**body: Any) -> tuple[int, Any]:
            async with session.post(control, json=body) as answer:
                is_json = answer.content_type == "application/json"
                return answer.status, await answer.json() if is_json else await answer.text()

        status, _ = await post(
            faults=[{"kind": "hold_sends"}, {"kind": "lag", "method": "net_version", "blocks": 1}]
        )
        assert status == 200
        await on.send(raw)
        _, told = await post(release=True)
        assert told["held"] == []
        assert told["sent"] == [{"hash": tx_hash, "raw": "0x" + raw.hex()}]
        assert told["asked"] == {SEND: 1}
        assert await on.reached(tx_hash)
        status, text = await post(faults=[{"kind": "earthquake"}])
        assert (status, "earthquake" in text) == (400, True)
        status, text = await post(faults=[{"kind": "no_finalized", "times": -1}])
        assert (status, "times must not be negative" in text) == (400, True)


async def test_batches_are_refused_as_public_endpoints_do() -> None:
    async with stage() as on, aiohttp.ClientSession() as session:
        async with session.post(on.proxy.url, json=[{"method": "eth_chainId"}]) as answer:
            assert (await answer.json())["error"]["code"] == -32600
        async with session.post(on.proxy.url, data=b"{") as answer:
            assert (await answer.json())["error"]["code"] == -32700


async def test_a_node_that_is_gone_is_a_bad_gateway() -> None:
    async with stage() as on:
        await on.node.stop()
        async with aiohttp.ClientSession() as session:
            async with session.post(on.proxy.url, json={"method": "eth_chainId", "id": 1}) as answer:
                assert answer.status == 502
