"""Redeeming by own transactions on the simulated chain: what moves, what is told of it, what is refused."""

import asyncio
from typing import Any

import pytest
from eth_abi.abi import decode
from eth_utils.crypto import keccak

from common.sim.trading.contracts import (
    ADAPTER,
    BINARY_MODULE,
    COLLATERAL,
    CONDITIONAL_TOKENS,
    POSITION_MANAGER,
    ROUTER,
    USDC_E,
)
from redeem_stage import (
    EOA,
    GWEI,
    NEW_CONDITION,
    NEW_DOWN,
    NEW_UP,
    WALLET,
    HandClock,
    function,
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
    send,
    signed,
)
from trading_stage import CONDITION, DOWN, UP, USD6, Floor

ADDRESS_ZERO = "0x" + "00" * 20
SINGLE = "TransferSingle(address,address,address,uint256,uint256)"
BATCH = "TransferBatch(address,address,address,uint256[],uint256[])"
TRANSFER = "Transfer(address,address,uint256)"


def events(receipt: dict[str, Any], contract: str, signature: str) -> list[tuple[Any, ...]]:
    """Indexed addresses or words, then the decoded data, of each such event."""
    topic, kinds = "0x" + keccak(signature.encode()).hex(), signature[:-1].partition("(")[2].split(",")
    found = []
    for log in receipt["logs"]:
        if (log["address"], log["topics"][0]) == (contract.lower(), topic):
            indexed = log["topics"][1:]
            data = decode(kinds[len(indexed) :], bytes.fromhex(log["data"][2:]), strict=True)
            found.append(
                tuple(
                    "0x" + word[26:] if kind == "address" else int(word, 16)
                    for kind, word in zip(kinds, indexed, strict=False)
                )
                + data
            )
    return found


@pytest.mark.parametrize(("outcome", "payout"), [("Up", 7_000_001), ("Down", 2_000_000)])
def test_the_adapter_takes_everything_and_pays_the_winner_exactly(outcome: str, payout: int) -> None:
    clock = HandClock()

    async def scene(venue: Floor) -> None:
        give(venue, EOA, UP, 7_000_001)
        give(venue, EOA, DOWN, 2_000_000)
        resolve(venue, outcome)
        before = int(await rpc(venue, "eth_blockNumber"), 16)
        tx_hash = await send(venue, ADAPTER, redeem_v1())
        assert await rpc(venue, "eth_getTransactionReceipt", tx_hash) is None
        assert (await rpc(venue, "eth_getTransactionByHash", tx_hash))["blockNumber"] is None
        clock.pass_blocks(1)
        receipt = await receipt_of(venue, tx_hash)
        block = int(receipt["blockNumber"], 16)
        assert receipt["status"] == "0x1" and block == before + 1
        assert await money(venue, EOA) == USD6 + payout
        assert await held(venue, EOA, UP) == await held(venue, EOA, DOWN) == 0
        assert await money(venue, EOA, hex(block - 1)) == USD6
        assert await held(venue, EOA, UP, hex(block - 1)) == 7_000_001
        adapter = ADAPTER.lower()
        assert events(receipt, CONDITIONAL_TOKENS, BATCH) == [
            (adapter, EOA, adapter, (int(UP), int(DOWN)), (7_000_001, 2_000_000))
        ]
        assert events(receipt, COLLATERAL, TRANSFER) == [(ADDRESS_ZERO, EOA, payout)]
        told = "PayoutRedemption(address,address,bytes32,bytes32,uint256[],uint256)"
        assert events(receipt, CONDITIONAL_TOKENS, told) == [
            (adapter, USDC_E.lower(), 0, bytes.fromhex(CONDITION[2:]), (1, 2), payout)
        ]
        burnt = events(receipt, CONDITIONAL_TOKENS, SINGLE)
        assert [each[2:] for each in burnt] == [
            (ADDRESS_ZERO, int(UP), 7_000_001),
            (ADDRESS_ZERO, int(DOWN), 2_000_000),
        ]
        assert [int(log["logIndex"], 16) for log in receipt["logs"]] == list(range(len(receipt["logs"])))
        truth = await venue.truth()
        assert truth["redeemed_usd6"] == payout and not any(truth["sums"]["venue"].values())
        assert not any(truth["sums"]["chain"].values())
        assert (await venue.holdings("eoa")) == (await venue.holdings("eoa", "chain")) == (USD6 + payout, {})
        cost = int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)
        assert int(await rpc(venue, "eth_getBalance", EOA, "latest"), 16) == 10**18 - cost

    scene_of(scene, now_ns=clock.now_ns)


def test_a_second_time_pays_nothing_on_the_older_ledger_and_reverts_on_the_newer() -> None:
    async def scene(venue: Floor) -> None:
        for token in (UP, NEW_UP):
            give(venue, EOA, token, 5_000_000)
        resolve(venue)
        hashes = [
            await send(venue, to, data, nonce)
            for nonce, (to, data) in enumerate([(ADAPTER, redeem_v1()), (ROUTER, redeem_v2(5_000_000))] * 2)
        ]
        receipts = [await receipt_of(venue, each) for each in hashes]
        assert [each["status"] for each in receipts] == ["0x1", "0x1", "0x1", "0x0"]
        assert await money(venue, EOA) == USD6 + 10_000_000
        assert events(receipts[2], COLLATERAL, TRANSFER) == [(ADDRESS_ZERO, EOA, 0)]
        assert receipts[3]["logs"] == []
        places = {(each["blockNumber"], log["logIndex"]) for each in receipts for log in each["logs"]}
        assert len(places) == sum(len(each["logs"]) for each in receipts)

    scene_of(scene)


def test_the_router_redeems_the_amount_it_is_told_and_a_loser_for_nothing() -> None:
    async def scene(venue: Floor) -> None:
        give(venue, EOA, NEW_UP, 5_000_000)
        give(venue, EOA, NEW_DOWN, 3_000_000)
        resolve(venue)
        receipt = await receipt_of(venue, await send(venue, ROUTER, redeem_v2(4_000_000)))
        router, module = ROUTER.lower(), BINARY_MODULE.lower()
        assert events(receipt, POSITION_MANAGER, SINGLE) == [
            (router, EOA, module, int(NEW_UP), 4_000_000),
            (module, module, ADDRESS_ZERO, int(NEW_UP), 4_000_000),
        ]
        assert events(receipt, COLLATERAL, TRANSFER) == [(ADDRESS_ZERO, EOA, 4_000_000)]
        redeemed = "PositionRedeemed(address,uint256,address,uint256,uint256)"
        assert events(receipt, BINARY_MODULE, redeemed) == [(router, int(NEW_UP), EOA, 4_000_000, 4_000_000)]
        by_router = "RouterPositionRedeemed(address,uint256,uint256)"
        assert events(receipt, ROUTER, by_router) == [(EOA, int(NEW_UP), 4_000_000)]
        assert await held(venue, EOA, NEW_UP) == 1_000_000
        receipt = await receipt_of(venue, await send(venue, ROUTER, redeem_v2(3_000_000, 1), 1))
        assert receipt["status"] == "0x1" and events(receipt, COLLATERAL, TRANSFER) == []
        assert await held(venue, EOA, NEW_DOWN) == 0
        assert await money(venue, EOA) == USD6 + 4_000_000

    scene_of(scene)


async def tried(venue: Floor, to: str, data: bytes, sender: str = EOA) -> Any:
    return await rpc(venue, "eth_call", {"from": sender, "to": to, "data": "0x" + data.hex()}, "latest")


def test_a_dry_run_says_what_the_contracts_would() -> None:
    async def scene(venue: Floor) -> None:
        for token in (UP, NEW_UP):
            give(venue, WALLET, token, 5_000_000)
        unresolved = await tried(venue, ADAPTER, redeem_v1(), WALLET)
        assert unresolved["message"] == "execution reverted: result for condition not received yet"
        text = decode(("string",), bytes.fromhex(unresolved["data"][10:]))[0]
        assert (unresolved["data"][:10], text) == ("0x08c379a0", "result for condition not received yet")
        assert (await tried(venue, ROUTER, redeem_v2(1), WALLET))["data"] == _selector(
            "ConditionNotResolved()"
        )
        resolve(venue)
        assert await tried(venue, ADAPTER, redeem_v1(), WALLET) == "0x"
        assert await tried(venue, ROUTER, redeem_v2(5_000_000), WALLET) == "0x"
        too_much = await tried(venue, ROUTER, redeem_v2(5_000_001), WALLET)
        assert too_much["data"] == _selector("InsufficientBalance()")
        outcome = await tried(venue, ROUTER, redeem_v2(1, 2), WALLET)
        assert outcome["data"] == _selector("InvalidOutcomeIndex()")
        assert await held(venue, WALLET, UP) == 5_000_000
        await venue.venue.faults({"kind": "chain", "paused": True})
        assert (await tried(venue, ADAPTER, redeem_v1(), WALLET))["data"] == _selector("OnlyUnpaused()")
        await venue.venue.faults({"kind": "chain", "approvals_missing": [ADAPTER, ROUTER]})
        text = (await tried(venue, ADAPTER, redeem_v1(), WALLET))["message"]
        assert text.endswith("ERC1155: need operator approval for 3rd party transfers.")
        refused = await tried(venue, ROUTER, redeem_v2(1), WALLET)
        assert refused["data"] == _selector("NotOwnerNorApproved()")
        asked = "isApprovedForAll(address,address)"
        assert await read(venue, CONDITIONAL_TOKENS, asked, WALLET, ADAPTER, gives="bool") is False
        await venue.venue.faults()
        assert await read(venue, CONDITIONAL_TOKENS, asked, WALLET, ADAPTER, gives="bool") is True
        assert await read(venue, POSITION_MANAGER, asked, WALLET, ROUTER, gives="bool") is True

    scene_of(scene)


def _selector(signature: str) -> str:
    return "0x" + keccak(signature.encode())[:4].hex()


def test_an_approval_that_is_given_counts() -> None:
    async def scene(venue: Floor) -> None:
        await venue.venue.faults({"kind": "chain", "approvals_missing": [ADAPTER]})
        give(venue, EOA, UP, 1_000_000)
        resolve(venue)
        assert "approval" in (await tried(venue, ADAPTER, redeem_v1()))["message"]
        approval = function("setApprovalForAll(address,bool)", ADAPTER, True)
        receipt = await receipt_of(venue, await send(venue, CONDITIONAL_TOKENS, approval))
        told = "ApprovalForAll(address,address,bool)"
        assert events(receipt, CONDITIONAL_TOKENS, told) == [(EOA, ADAPTER.lower(), True)]
        assert await tried(venue, ADAPTER, redeem_v1()) == "0x"

    scene_of(scene)


def test_what_reverts_when_mined_costs_gas_and_uses_the_nonce() -> None:
    async def scene(venue: Floor) -> None:
        give(venue, EOA, UP, 1_000_000)
        receipt = await receipt_of(venue, await send(venue, ADAPTER, redeem_v1()))
        assert (receipt["status"], receipt["logs"]) == ("0x0", [])
        assert int(await rpc(venue, "eth_getBalance", EOA, "latest"), 16) < 10**18
        assert await rpc(venue, "eth_getTransactionCount", EOA, "latest") == "0x1"
        resolve(venue)
        await venue.venue.faults({"kind": "chain", "code_missing": [ADAPTER]})
        receipt = await receipt_of(venue, await send(venue, ADAPTER, redeem_v1(), 1))
        assert (receipt["status"], receipt["logs"]) == ("0x1", [])
        assert await held(venue, EOA, UP) == 1_000_000
        await venue.venue.faults()
        receipt = await receipt_of(venue, await send(venue, ADAPTER, redeem_v1(), 2))
        assert events(receipt, COLLATERAL, TRANSFER) == [(ADDRESS_ZERO, EOA, 1_000_000)]

    scene_of(scene)


def test_the_wrong_contract_succeeds_and_keeps_the_tokens() -> None:
    async def scene(venue: Floor) -> None:
        give(venue, EOA, UP, 1_000_000)
        resolve(venue)
        receipt = await receipt_of(venue, await send(venue, CONDITIONAL_TOKENS, redeem_v1()))
        assert receipt["status"] == "0x1" and len(receipt["logs"]) == 1
        nobody = "0x" + "99" * 20
        receipt = await receipt_of(venue, await send(venue, nobody, redeem_v1(), 1))
        assert receipt["status"] == "0x1" and receipt["logs"] == []
        receipt = await receipt_of(venue, await send(venue, ADAPTER, redeem_v1(), 2, gas=100_000))
        assert receipt["status"] == "0x0" and receipt["gasUsed"] == hex(100_000)
        assert await held(venue, EOA, UP) == 1_000_000
        assert await money(venue, EOA) == USD6

    scene_of(scene)


def test_results_and_token_ids() -> None:
    async def scene(venue: Floor) -> None:
        condition, new = bytes.fromhex(CONDITION[2:]), bytes.fromhex(NEW_CONDITION[2:64])
        collection = "getCollectionId(bytes32,bytes32,uint256)"
        for index_set, token in ((1, UP), (2, DOWN)):
            found = await read(
                venue, CONDITIONAL_TOKENS, collection, bytes(32), condition, index_set, gives="bytes32"
            )
            position = "getPositionId(address,bytes32)"
            assert await read(venue, CONDITIONAL_TOKENS, position, USDC_E, found) == int(token)
            assert await read(venue, CONDITIONAL_TOKENS, position, COLLATERAL, found) != int(token)
        result = "getResult(bytes31)"
        assert await read(venue, BINARY_MODULE, result, new, gives="uint256[]") == ()
        payout = "getPayout(uint256,uint256)"
        assert (await read(venue, POSITION_MANAGER, payout, int(NEW_UP), 5))["code"] == 3
        resolve(venue, "Down")
        assert await read(venue, BINARY_MODULE, "getResult(bytes31)", new, gives="uint256[]") == (
            0,
            1_000_000,
        )
        assert await read(venue, POSITION_MANAGER, payout, int(NEW_UP), 5) == 0
        assert await read(venue, POSITION_MANAGER, payout, int(NEW_DOWN), 5) == 5
        # A market of the newer ledger has neither tokens nor a result on the older one.
        give(venue, EOA, NEW_UP, 5)
        balance = "balanceOf(address,uint256)"
        assert await read(venue, POSITION_MANAGER, balance, EOA, int(NEW_UP)) == 5
        assert await read(venue, CONDITIONAL_TOKENS, balance, EOA, int(NEW_UP)) == 0
        denominator = "payoutDenominator(bytes32)"
        assert await read(venue, CONDITIONAL_TOKENS, denominator, bytes.fromhex(NEW_CONDITION[2:])) == 0

    scene_of(scene)


def test_blocks_follow_the_clock_and_the_third_last_is_final() -> None:
    clock = [1_790_000_000 * 10**9]

    async def scene() -> None:
        from stage import stage

        async with stage(now_ns=lambda: clock[0]) as opened:
            venue = Floor(opened)
            head = int(await rpc(venue, "eth_blockNumber"), 16)
            latest = await rpc(venue, "eth_getBlockByNumber", "latest", False)
            assert (int(latest["number"], 16), int(latest["timestamp"], 16)) == (head, 1_790_000_000)
            assert int(latest["baseFeePerGas"], 16) > 0
            final = await rpc(venue, "eth_getBlockByNumber", "finalized", False)
            assert int(final["number"], 16) == head - 2
            assert await rpc(venue, "eth_getBlockByNumber", hex(head - 2), False) == final
            assert await rpc(venue, "eth_getBlockByHash", final["hash"], False) == final
            assert await rpc(venue, "eth_getBlockByNumber", hex(head + 1), False) is None
            parent = await rpc(venue, "eth_getBlockByNumber", hex(head - 1), False)
            assert latest["parentHash"] == parent["hash"]
            clock[0] += 2 * 10**9
            assert int(await rpc(venue, "eth_blockNumber"), 16) == head + 1
            asked = {"to": COLLATERAL, "data": "0x" + function("decimals()").hex()}
            assert (await rpc(venue, "eth_call", asked, hex(head + 2)))["message"] == "header not found"
            assert "missing trie node" in (await rpc(venue, "eth_call", asked, hex(head - 200)))["message"]

    asyncio.run(scene())


def test_what_a_node_does_not_take() -> None:
    async def scene(venue: Floor) -> None:
        await venue.venue.faults({"kind": "chain", "stuck": True})
        said = []

        async def refused(nonce: int = 0, **changes: int) -> None:
            said.append((await send(venue, ADAPTER, redeem_v1(), nonce, **changes))["message"])

        await refused(chainId=1)
        await refused(gas=20_000)
        await refused(maxPriorityFeePerGas=24 * GWEI)
        await refused(gas=30_000_000)
        first = await send(venue, ADAPTER, redeem_v1())
        await refused()
        await refused(maxFeePerGas=109 * GWEI, maxPriorityFeePerGas=33 * GWEI)
        await refused(maxFeePerGas=110 * GWEI)
        second = await send(
            venue, ADAPTER, redeem_v1(), maxFeePerGas=110 * GWEI, maxPriorityFeePerGas=33 * GWEI
        )
        assert [text.partition(":")[0] for text in said] == [
            "invalid chain id for signer",
            "intrinsic gas too low",
            "transaction underpriced",
            "insufficient funds for gas * price + value",
            "already known",
            "replacement transaction underpriced",
            "replacement transaction underpriced",
        ]
        assert await rpc(venue, "eth_getTransactionByHash", first) is None
        assert await rpc(venue, "eth_getTransactionCount", EOA, "latest") == "0x0"
        assert await rpc(venue, "eth_getTransactionCount", EOA, "pending") == "0x1"
        resolve(venue)
        await venue.venue.faults()
        receipt = await receipt_of(venue, second)
        block = int(receipt["blockNumber"], 16)
        assert await rpc(venue, "eth_getTransactionCount", EOA, hex(block)) == "0x1"
        assert await rpc(venue, "eth_getTransactionCount", EOA, hex(block - 1)) == "0x0"
        assert (await send(venue, ADAPTER, redeem_v1()))["message"].startswith("nonce too low")

    scene_of(scene)


def test_a_gap_waits_and_a_low_bid_waits() -> None:
    clock = HandClock()

    async def scene(venue: Floor) -> None:
        async def is_pending(tx_hash: str) -> bool:
            clock.pass_blocks(2)
            known = await rpc(venue, "eth_getTransactionByHash", tx_hash)
            assert known["hash"] == tx_hash
            return await rpc(venue, "eth_getTransactionReceipt", tx_hash) is None

        resolve(venue)
        late = await send(venue, ADAPTER, redeem_v1(), 1)
        assert await is_pending(late)
        await venue.venue.faults({"kind": "chain", "base_fee_wei": 150 * GWEI})
        cheap = await send(venue, ADAPTER, redeem_v1(), 0)
        assert await is_pending(cheap) and await is_pending(late)
        assert await rpc(venue, "eth_getTransactionCount", EOA, "pending") == "0x2"
        await venue.venue.faults()
        clock.pass_blocks(1)
        first, second = [await receipt_of(venue, each) for each in (cheap, late)]
        assert first["blockNumber"] == second["blockNumber"] == await rpc(venue, "eth_blockNumber")
        assert (first["transactionIndex"], second["transactionIndex"]) == ("0x0", "0x1")

    scene_of(scene, now_ns=clock.now_ns)


def test_answers_are_lost_and_transactions_forgotten_on_request() -> None:
    async def scene(venue: Floor) -> None:
        resolve(venue)
        transaction = signed(ADAPTER, redeem_v1())
        tx_hash, raw = "0x" + transaction.hash.hex(), "0x" + transaction.raw_transaction.hex()
        await venue.venue.faults({"kind": "chain", "forgets_sent": True})
        assert await rpc(venue, "eth_sendRawTransaction", raw) == tx_hash
        assert await rpc(venue, "eth_getTransactionByHash", tx_hash) is None
        await venue.venue.faults({"kind": "chain", "loses_answers": True})
        asked = {"jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransaction", "params": [raw]}
        async with venue.venue.session.post(venue.venue.base + "/chain", json=asked) as answer:
            assert answer.status == 502
        assert (await receipt_of(venue, tx_hash))["status"] == "0x1"

    scene_of(scene)


def test_estimates_count_the_coin() -> None:
    async def scene(venue: Floor) -> None:
        asked = {"from": EOA, "to": ADAPTER, "data": "0x" + redeem_v1().hex()}
        assert (await rpc(venue, "eth_estimateGas", asked))["code"] == 3
        resolve(venue)
        assert 200_000 < int(await rpc(venue, "eth_estimateGas", asked), 16) < 300_000
        for method in ("eth_gasPrice", "eth_maxPriorityFeePerGas"):
            assert int(await rpc(venue, method), 16) >= 25 * GWEI
        await venue.venue.faults({"kind": "chain", "coin_wei": 10})
        priced = asked | {"maxFeePerGas": hex(100 * GWEI)}
        assert "insufficient funds" in (await rpc(venue, "eth_estimateGas", priced))["message"]
        assert int(await rpc(venue, "eth_getBalance", EOA, "latest"), 16) == 10

    scene_of(scene)


def test_logs_are_found_by_place_contract_and_topics() -> None:
    async def scene(venue: Floor) -> None:
        give(venue, EOA, UP, 1_000_000)
        resolve(venue)
        receipt = await receipt_of(venue, await send(venue, ADAPTER, redeem_v1()))
        block = receipt["blockNumber"]
        wide = {"fromBlock": block, "toBlock": "latest"}

        async def found(**more: Any) -> list[Any]:
            return list(await rpc(venue, "eth_getLogs", wide | more))

        assert await found() == receipt["logs"]
        assert await found(fromBlock=hex(int(block, 16) - 9), toBlock=hex(int(block, 16) - 1)) == []
        from_eoa = "0x" + EOA[2:].rjust(64, "0")
        topics = ["0x" + keccak(BATCH.encode()).hex(), "0x" + keccak(SINGLE.encode()).hex()]
        taken = await found(address=[CONDITIONAL_TOKENS], topics=[topics, None, from_eoa])
        assert [each["topics"][0] for each in taken] == topics[:1]
        paid = await found(address=COLLATERAL, topics=[None, None, from_eoa])
        assert [int(each["data"], 16) for each in paid] == [1_000_000]
        assert await found(topics=[None, None, None, None, None]) == []
        asked = {"fromBlock": "latest", "toBlock": block}
        if int(await rpc(venue, "eth_blockNumber"), 16) > int(block, 16):
            assert (await rpc(venue, "eth_getLogs", asked))["code"] == -32602
        inside = await rpc(venue, "eth_getBlockByNumber", block, True)
        assert [each["hash"] for each in inside["transactions"]] == [receipt["transactionHash"]]

    scene_of(scene)


def test_the_venues_own_redeemer_can_be_first() -> None:
    async def scene(venue: Floor) -> None:
        for token in (UP, NEW_UP):
            give(venue, WALLET, token, 1_000_000)
        resolve(venue)
        for condition in (CONDITION, NEW_CONDITION):
            asked = {"wallet": WALLET, "condition": condition}
            _, told = await venue.venue.post("/control/redeem", asked)
            receipt = await receipt_of(venue, told["transaction"])
            assert events(receipt, COLLATERAL, TRANSFER) == [(ADDRESS_ZERO, WALLET, 1_000_000)]
        assert await money(venue, WALLET) == USD6 + 2_000_000
        assert (await tried(venue, ROUTER, redeem_v2(1_000_000), WALLET))["code"] == 3

    scene_of(scene)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("0x01c0", "transaction type not supported"),
        ("0x02", "rlp: unexpected end"),
        ("0x02c0", "rlp: value does not decode to a transaction"),
        ("0x02f8ff80", "rlp: value larger than its containing list"),
        ("0x02cc" + "80" * 12, "invalid transaction v, r, s values"),
        ("0x02cc" + "80" * 11 + "c0", "rlp: value does not decode to a transaction"),
    ],
)
def test_bytes_that_are_no_transaction_are_refused(raw: str, text: str) -> None:
    async def scene(venue: Floor) -> None:
        assert await rpc(venue, "eth_sendRawTransaction", raw) == {"code": -32000, "message": text}

    scene_of(scene)
