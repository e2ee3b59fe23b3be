"""What the redeemer reads of the chain: at one block, agreed, and refused where anything is odd."""

import re
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from common.core.redemption.attempts import Log, Receipt
from common.core.redemption.gas import GWEI
from common.errors import DependencyMissing
from common.venue.chain import shapes
from common.venue.chain.endpoints import Endpoints
from common.venue.chain.fees import GasPrices, NoCoin, estimate, gas_prices
from common.venue.chain.reverts import CallReverted, reason
from common.venue.chain.view import MOST_BLOCKS, NO_TAG_DEPTH, ChainView, Head
from tests.venue.rpc_stage import Endpoint, endpoint, result
from tests.venue.test_chain_endpoints import DOWN, error

KEY = "s3cretk3y-0123456789"
TX, BLOCK_HASH = "0x" + "aa" * 32, "0x" + "bb" * 32
CONTRACT, WALLET, TOPIC = "0x" + "c0" * 20, "0x" + "ab" * 20, "0x" + "dd" * 32
Answer = Callable[[Any], Any]
RAW_LOG = {
    "address": "0x" + "C0" * 20,
    "topics": [TOPIC],
    "data": "0xAB",
    "logIndex": "0x2",
    "transactionHash": TX,
    "blockHash": BLOCK_HASH,
    "blockNumber": "0x64",
    "removed": False,
}
RAW_RECEIPT = {
    "transactionHash": TX,
    "blockHash": BLOCK_HASH,
    "blockNumber": "0x64",
    "status": "0x1",
    "gasUsed": "0x10",
    "effectiveGasPrice": "0x3",
    "logs": [RAW_LOG],
}
LOG = Log(CONTRACT, (TOPIC,), b"\xab", 2, TX, 100)


class Stage:
    """Endpoints that answer by method; each has its own table."""

    def __init__(self, *tables: dict[str, Answer]) -> None:
        self._tables = tables
        self._stack = AsyncExitStack()
        self.each: list[Endpoint] = []

    async def __aenter__(self) -> Endpoints:
        for table in self._tables:

            def say(_path: str, ask: Any, table: dict[str, Answer] = table) -> Any:
                if ask["method"] == "eth_chainId":
                    return result("0x89", ask)
                told = table[ask["method"]](ask)
                is_whole = isinstance(told, bytes) or (isinstance(told, dict) and "jsonrpc" in told)
                return told if is_whole else result(told, ask)

            self.each.append(await self._stack.enter_async_context(endpoint(say)))
        return Endpoints([f"{one.url}/{KEY}" for one in self.each], 137)

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()


def at(number: int, finalized: Any) -> dict[str, Answer]:
    tag = finalized if callable(finalized) else lambda _ask: block(finalized)
    return {"eth_blockNumber": lambda _ask: hex(number), "eth_getBlockByNumber": tag}


def block(number: int, **more: Any) -> dict[str, Any]:
    return {"number": hex(number), "timestamp": "0x5", **more}


def always(method: str, *values: Any) -> list[dict[str, Answer]]:
    return [{method: (value if callable(value) else lambda _ask, value=value: value)} for value in values]


async def test_the_head_is_what_both_have() -> None:
    async with Stage(at(100, 98), at(103, 97)) as ends:
        assert await ChainView(ends).head() == Head(100, 97)
    async with Stage(at(100, 120), at(103, 120)) as ends:
        assert await ChainView(ends).head() == Head(100, 100)


@pytest.mark.parametrize("says", [lambda _ask: None, lambda ask: error(-39001, "unknown block", ask)])
async def test_without_the_tag_thirty_blocks_count_as_final(says: Answer) -> None:
    async with Stage(at(100, 98), at(100, says)) as ends:
        assert await ChainView(ends).head() == Head(100, 100 - NO_TAG_DEPTH)


async def test_a_busy_endpoint_is_not_one_without_the_tag() -> None:
    async with Stage(at(100, 98), at(100, lambda ask: error(-32005, "limit exceeded", ask))) as ends:
        with pytest.raises(DependencyMissing, match="limit exceeded"):
            await ChainView(ends).head()


async def test_reads_are_of_the_block_they_are_asked_at() -> None:
    table: dict[str, Answer] = {
        "eth_call": lambda _ask: "0xAB",
        "eth_getTransactionCount": lambda _ask: "0x7",
        "eth_getBalance": lambda _ask: "0xffffffffffffffffffff",
        "eth_getBlockByNumber": lambda _ask: block(100),
    }
    stage = Stage(table, table)
    async with stage as ends:
        view = ChainView(ends)
        assert await view.call(CONTRACT, b"\x01", 100) == b"\xab"
        assert await view.call(CONTRACT, b"\x01", 100, WALLET) == b"\xab"
        assert await view.nonce(WALLET, 100) == 7
        assert await view.coin_wei(WALLET, 100) == 0xFFFFFFFFFFFFFFFFFFFF
        assert await view.block_time_s(100) == 5
        with pytest.raises(DependencyMissing, match="what it cannot be"):
            await view.block_time_s(101)
        asked = {str(ask["params"]) for _, ask in stage.each[1].heard if ask["method"] != "eth_chainId"}
        call = {"to": CONTRACT, "data": "0x01"}
        assert asked == {
            str([call, "0x64"]), str([call | {"from": WALLET}, "0x64"]), str([WALLET, "0x64"]),
            str(["0x64", False]), str(["0x65", False]),
        }  # fmt: skip


def revert(ask: Any, message: str, data: bytes | None = None, code: int = 3) -> Any:
    told = error(code, message, ask)
    if data is not None:
        told["error"]["data"] = "0x" + data.hex()
    return told


def text_of(words: str) -> bytes:
    return keccak(b"Error(string)")[:4] + encode(["string"], [words])


async def test_a_revert_is_named_when_both_say_so() -> None:
    data = text_of(f"no approval\n{KEY}")
    async with Stage(
        *always("eth_call", lambda ask: revert(ask, "execution reverted", data),
                lambda ask: revert(ask, "VM execution error.", None, -32015))
    ) as ends:  # fmt: skip
        with pytest.raises(CallReverted) as caught:
            await ChainView(ends).call(CONTRACT, b"", 1)
        assert str(caught.value) == "no approval ***"


async def test_a_revert_of_one_alone_decides_nothing() -> None:
    async with Stage(*always("eth_call", lambda ask: revert(ask, "execution reverted"), "0x")) as ends:
        with pytest.raises(DependencyMissing, match="disagree"):
            await ChainView(ends).call(CONTRACT, b"", 1)


async def test_an_error_that_is_no_revert_is_none() -> None:
    async with Stage(*always("eth_call", lambda ask: error(-32000, "header not found", ask))) as ends:
        with pytest.raises(DependencyMissing, match="header not found"):
            await ChainView(ends).call(CONTRACT, b"", 1)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", ""),
        (bytes.fromhex("49b8b3ac"), "OnlyUnpaused"),
        (keccak(b"ConditionNotResolved()")[:4], "ConditionNotResolved"),
        (keccak(b"Panic(uint256)")[:4] + encode(["uint256"], [0x11]), "Panic 0x11 (overflow)"),
        (text_of("GS013"), "GS013"),
        (text_of("GS013")[:-40], "0x08c379a0"),
        (text_of("GS013")[:-30], "0x08c379a0"),
        (bytes.fromhex("deadbeef01"), "0xdeadbeef"),
    ],
)
def test_reasons(data: bytes, text: str) -> None:
    assert reason(data) == text


@given(st.binary(max_size=200), st.sampled_from([b"", text_of("")[:4], keccak(b"Panic(uint256)")[:4]]))
def test_no_revert_data_is_too_odd(data: bytes, head: bytes) -> None:
    assert isinstance(reason(head + data), str)


async def test_a_receipt_is_read_whole() -> None:
    async with Stage(*always("eth_getTransactionReceipt", RAW_RECEIPT, RAW_RECEIPT)) as ends:
        found = await ChainView(ends).receipt(TX.upper().replace("X", "x"))
        assert found == Receipt(TX, True, 100, BLOCK_HASH, 48, (LOG,))


OTHER = "0x" + "ee" * 32
ELSEWHERE = RAW_RECEIPT | {"blockHash": OTHER, "logs": [RAW_LOG | {"blockHash": OTHER}]}


@pytest.mark.parametrize("other", [None, ELSEWHERE, RAW_RECEIPT | {"blockHash": None}])
async def test_a_receipt_is_none_while_not_both_have_it_in_one_block(other: Any) -> None:
    for pair in ((RAW_RECEIPT, other), (other, RAW_RECEIPT)):
        async with Stage(*always("eth_getTransactionReceipt", *pair)) as ends:
            assert await ChainView(ends).receipt(TX) is None


async def test_two_receipts_of_one_block_must_be_the_same() -> None:
    pair = (RAW_RECEIPT, RAW_RECEIPT | {"status": "0x0"})
    async with Stage(*always("eth_getTransactionReceipt", *pair)) as ends:
        with pytest.raises(DependencyMissing, match="disagree"):
            await ChainView(ends).receipt(TX)


@pytest.mark.parametrize(
    "odd",
    [
        {"transactionHash": OTHER}, {"status": None}, {"status": "0x2"}, {"status": True}, {"gasUsed": 16},
        {"effectiveGasPrice": None}, {"blockNumber": None}, {"blockHash": "0x1"}, {"logs": None},
        {"logs": [RAW_LOG | {"transactionHash": OTHER}]}, {"logs": [RAW_LOG | {"blockNumber": "0x65"}]},
        {"logs": [RAW_LOG | {"blockHash": OTHER}]}, {"logs": [RAW_LOG | {"removed": True}]},
        {"logs": [RAW_LOG, RAW_LOG]}, {"logs": [RAW_LOG | {"topics": [TOPIC] * 5}]},
        {"logs": [RAW_LOG | {"topics": ["0x1"]}]}, {"logs": [RAW_LOG | {"data": "0x1"}]},
        {"logs": [RAW_LOG | {"address": "0x1"}]}, {"logs": [RAW_LOG | {"logIndex": 2}]},
    ],
    ids=str,
)  # fmt: skip
async def test_an_odd_receipt_is_refused(odd: dict[str, Any]) -> None:
    async with Stage(*always("eth_getTransactionReceipt", RAW_RECEIPT | odd)) as ends:
        with pytest.raises(DependencyMissing, match="what it cannot be"):
            await ChainView(ends).receipt(TX)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text()
    | st.sampled_from(["0x", "0x1", "0x64", TX, BLOCK_HASH, WALLET]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(st.sampled_from(sorted(RAW_RECEIPT)), st.sampled_from(["", *sorted(RAW_LOG)]), JUNK)
def test_junk_in_a_receipt_or_a_log_is_refused_and_never_worse(name: str, inner: str, junk: Any) -> None:
    odd = {"logs": [RAW_LOG | {inner: junk}]} if inner else {name: junk}
    for value in (RAW_RECEIPT | odd, junk):
        try:
            found = shapes.receipt(value, TX)
        except ValueError:
            continue
        assert found is None or found.tx_hash == TX
    for value in ([RAW_LOG | {inner: junk}], junk):
        try:
            logs = shapes.logs(value)
        except ValueError:
            continue
        assert all(isinstance(one, Log) for one in logs)


async def test_known_is_what_anybody_has() -> None:
    method = "eth_getTransactionByHash"
    async with Stage(*always(method, None, DOWN, {"hash": TX, "blockNumber": None})) as ends:
        assert await ChainView(ends).known(TX)
    async with Stage(*always(method, None, DOWN)) as ends:
        assert not await ChainView(ends).known(TX)
    async with Stage(*always(method, DOWN, {"hash": OTHER})) as ends:
        with pytest.raises(DependencyMissing, match=r"503.*what it cannot be"):
            await ChainView(ends).known(TX)
        with pytest.raises(DependencyMissing, match=r"asked again in"):
            await ChainView(ends).known(TX)


async def test_logs_are_asked_for_in_parts_and_come_in_order() -> None:
    def say(ask: Any) -> Any:
        start, end = (int(ask["params"][0][name], 16) for name in ("fromBlock", "toBlock"))
        assert ask["params"][0] | {"fromBlock": 0, "toBlock": 0} == {
            "address": [CONTRACT], "topics": [None, [TOPIC]], "fromBlock": 0, "toBlock": 0,
        }  # fmt: skip
        topics = [OTHER, TOPIC]
        return [RAW_LOG | {"blockNumber": hex(number), "topics": topics} for number in (end, start)]

    stage = Stage(*always("eth_getLogs", say, say))
    async with stage as ends:
        found = await ChainView(ends).logs([CONTRACT], [None, [TOPIC]], 1, 2 * MOST_BLOCKS + 2)
        assert [log.block for log in found[:4]] == [1, MOST_BLOCKS, MOST_BLOCKS + 1, 2 * MOST_BLOCKS]
        assert stage.each[0].methods().count("eth_getLogs") == 3


@pytest.mark.parametrize(
    "odd", [{"address": WALLET}, {"topics": []}, {"topics": [OTHER]}, {"blockNumber": "0x1"}], ids=str
)
async def test_events_nobody_asked_for_are_refused(odd: dict[str, Any]) -> None:
    async with Stage(*always("eth_getLogs", [RAW_LOG | odd])) as ends:
        with pytest.raises(DependencyMissing, match="what it cannot be"):
            await ChainView(ends).logs([CONTRACT], [TOPIC], 99, 101)


async def test_logs_must_agree() -> None:
    async with Stage(*always("eth_getLogs", [RAW_LOG], [])) as ends:
        with pytest.raises(DependencyMissing, match="disagree"):
            await ChainView(ends).logs([CONTRACT], [TOPIC], 100, 100)


def prices(base_fee: Any, tip: Any) -> dict[str, Answer]:
    return {
        "eth_getBlockByNumber": lambda _ask: block(9, baseFeePerGas=base_fee),
        "eth_maxPriorityFeePerGas": tip if callable(tip) else lambda _ask: tip,
    }


async def test_prices_need_one_endpoint_and_the_highest_tip_counts() -> None:
    async with Stage(prices("0x64", hex(26 * GWEI)), prices("0x65", hex(40 * GWEI))) as ends:
        assert await gas_prices(ends) == GasPrices(100, 40 * GWEI)
    async with Stage(prices(None, lambda _ask: DOWN), prices("0x65", "0x1")) as ends:
        assert await gas_prices(ends) == GasPrices(101, 25 * GWEI)
    async with Stage(prices(None, "0x1")) as ends:
        with pytest.raises(DependencyMissing, match="what it cannot be"):
            await gas_prices(ends)


async def estimated(*values: Any) -> int:
    async with Stage(*always("eth_estimateGas", *values)) as ends:
        return await estimate(ends, WALLET, CONTRACT, b"\x01", max_fee_wei=80 * GWEI, tip_wei=30 * GWEI)


async def test_an_estimate_is_told_with_its_fees() -> None:
    stage = Stage(*always("eth_estimateGas", DOWN, "0x5208"))
    async with stage as ends:
        assert await estimate(ends, WALLET, CONTRACT, b"\x01", max_fee_wei=80, tip_wei=30) == 21_000
        assert stage.each[1].heard[-1][1]["params"] == [
            {
                "from": WALLET,
                "to": CONTRACT,
                "data": "0x01",
                "maxFeePerGas": "0x50",
                "maxPriorityFeePerGas": "0x1e",
            }
        ]
    with pytest.raises(DependencyMissing, match="what it cannot be"):
        await estimated("0x1")


@pytest.mark.parametrize(
    "said",
    [
        "insufficient funds for gas * price + value",
        "Insufficient funds",
        "gas required exceeds allowance (0)",
    ],
)
async def test_a_lack_of_coin_is_named(said: str) -> None:
    with pytest.raises(NoCoin, match=re.escape(said)):
        await estimated(lambda ask: error(-32000, said, ask))


async def test_an_estimate_that_reverts_is_a_revert_whatever_its_words() -> None:
    with pytest.raises(CallReverted, match="insufficient funds"):
        await estimated(lambda ask: revert(ask, "execution reverted: insufficient funds"))
