"""Which endpoints are asked, and when one that failed is asked again."""

import json
from typing import Any

import pytest

from common.errors import DependencyMissing
from common.runtime.clock import ManualClock
from common.units import SECOND
from common.venue.chain import ChainReader, shapes
from common.venue.chain.circuit import Circuit
from common.venue.chain.endpoints import Endpoints
from tests.venue.rpc_stage import chain, endpoint, response, result, word

TOKEN, OWNER = "0x" + "c0" * 20, "0x" + "ab" * 20
DOWN = response(b"no backend", "503 Busy")


def error(code: int, message: str, ask: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": ask["id"], "error": {"code": code, "message": message}}


async def test_with_three_endpoints_one_may_be_down_whichever_it_is() -> None:
    async with (
        endpoint(chain(word(5))) as one,
        endpoint(chain(DOWN)) as two,
        endpoint(chain(word(5))) as three,
    ):
        for urls in ([one, two, three], [two, one, three], [one, three, two]):
            reader = ChainReader([each.url for each in urls], 137)
            assert await reader.collateral(TOKEN, OWNER) == 5


async def test_the_third_must_agree_too_when_it_stands_in() -> None:
    async with (
        endpoint(chain(word(5))) as one,
        endpoint(chain(DOWN)) as two,
        endpoint(chain(word(6))) as three,
    ):
        with pytest.raises(
            DependencyMissing, match=f"127.0.0.1:{one.port}: 0x5, 127.0.0.1:{three.port}: 0x6"
        ):
            await ChainReader([one.url, two.url, three.url], 137).collateral(TOKEN, OWNER)


async def test_one_healthy_of_three_decides_nothing_and_everyone_is_named() -> None:
    async with endpoint(chain(word(5))) as one, endpoint(chain(DOWN)) as two, endpoint(chain(DOWN)) as three:
        with pytest.raises(DependencyMissing) as caught:
            await ChainReader([two.url, one.url, three.url], 137).collateral(TOKEN, OWNER)
        assert all(f"127.0.0.1:{each.port}" in str(caught.value) for each in (one, two, three))


async def test_a_silent_third_is_no_wrong_chain_but_one_of_another_chain_is() -> None:
    async with (
        endpoint(chain(word(5))) as one,
        endpoint(chain(word(5))) as two,
        endpoint(lambda _path, _ask: DOWN) as silent,
        endpoint(chain(word(5), chain_id="0x1")) as foreign,
    ):
        assert not await ChainReader([one.url, silent.url, two.url], 137).wrong_chain()
        assert "is chain 1" in await ChainReader([one.url, foreign.url, two.url], 137).wrong_chain()
        assert "503" in await ChainReader([one.url, silent.url], 137).wrong_chain()


async def test_one_that_failed_is_left_alone_and_asked_again_later() -> None:
    clock, is_down = ManualClock(), [True]
    async with endpoint(chain(lambda _ask: DOWN if is_down[0] else word(5))) as one:
        endpoints = Endpoints([one.url], 137, clock=clock)

        async def read() -> str:
            return await endpoints.decided("eth_call", [], shapes.word)

        for wait_s in (1, 2, 4):
            with pytest.raises(DependencyMissing, match="503"):
                await read()
            asked = len(one.heard)
            clock.advance(wait_s * SECOND - 1)
            with pytest.raises(DependencyMissing, match=r"HTTP 503.*asked again in"):
                await read()
            assert len(one.heard) == asked, "it is left alone"
            clock.advance(1)
        is_down[0] = False
        assert await read() == word(5)
        is_down[0] = True
        with pytest.raises(DependencyMissing):
            await read()
        assert endpoints.all[0].set_aside.endswith("(asked again in 1 s)"), (
            "an answer makes waits short again"
        )


async def test_an_error_about_one_question_sets_nobody_aside_but_a_limit_does() -> None:
    for code, message, aside in (
        (-32000, "header not found", False),
        (3, "execution reverted: timed out", False),
        (-32005, "slow down", True),
        (-32000, "Too Many Requests", True),
    ):
        async with endpoint(
            lambda _path, ask, code=code, message=message: (
                result("0x89", ask) if ask["method"] == "eth_chainId" else error(code, message, ask)
            )
        ) as one:
            endpoints = Endpoints([one.url], 137)
            with pytest.raises(DependencyMissing):
                await endpoints.decided("eth_call", [], shapes.word)
            assert bool(endpoints.all[0].set_aside) is aside, message


async def test_an_error_to_another_question_is_no_verdict() -> None:
    raw = response(json.dumps({"id": None, "error": {"code": -32000, "message": "nonce too low"}}).encode())
    async with endpoint(chain(raw)) as one:
        endpoints = Endpoints([one.url], 137)
        with pytest.raises(DependencyMissing) as caught:
            await endpoints.decided("eth_call", [], shapes.word)
        assert type(caught.value) is DependencyMissing
        assert endpoints.all[0].set_aside


def test_waits_grow_to_a_minute_and_failures_side_by_side_are_one() -> None:
    clock = ManualClock()
    circuit = Circuit(clock)
    waits = []
    for _ in range(40):
        mark = circuit.begin()
        for _ in range(3):
            circuit.failed(mark, "down")
        waits.append(circuit.wait_s)
        clock.advance(60 * SECOND)
    assert waits[:8] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert max(waits) == 60


def test_an_answer_from_before_a_failure_ends_no_wait() -> None:
    circuit = Circuit(ManualClock())
    mark = circuit.begin()
    circuit.failed(mark, "down")
    circuit.worked(mark)
    assert circuit.is_open
    circuit.worked(circuit.begin())
    assert not circuit.is_open
