"""Each start-up check alone: what makes it fail, what only worries it, and that nothing can break the run."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from common.errors import DependencyMissing, FeedRefused, LaggardError
from common.messages import CheckResult, FeeSchedule, MarketState
from common.runtime.clock import ManualClock
from common.runtime.config import load_config
from common.units import SECOND
from common.venue import checks
from common.venue.chain import ChainReader
from common.venue.checks import CheckContext, failures, run_checks
from common.venue.signing.contracts import (
    COLLATERAL,
    CONDITIONAL_TOKENS,
    CTF_EXCHANGE,
    EXCHANGE_V3,
    POSITION_MANAGER,
)
from tests.venue.rpc_stage import Endpoint, endpoint, response, result, word

WALLET = "0x" + "ab" * 20
NOW_S = 1_800_000_000


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def market(version: str = "v1", rate_ppm: int | None = 70_000) -> MarketState:
    return MarketState(
        window="btc-updown-15m-1800000000",
        asset="btc",
        condition_id="0x" + "cd" * 32,
        version=version,
        token_up="1",
        token_down="2",
        rule="twap",
        lookback_s=60,
        start_ns=0,
        end_ns=1,
        fee=None if rate_ppm is None else FeeSchedule(rate_ppm=rate_ppm, exponent=1),
        taker_delay_ns=0,
        tick4=100,
        min_size6=5_000_000,
        accepting=True,
    )


@dataclass
class World:
    """What chain and venue say; the defaults are well."""

    balance: int = 100_000_000
    allowance: dict[str, int] = field(default_factory=lambda: {CTF_EXCHANGE.lower(): 2**256 - 1})
    operators: dict[tuple[str, str], Any] = field(
        default_factory=lambda: {
            (CONDITIONAL_TOKENS, CTF_EXCHANGE.lower()): 1,
            (POSITION_MANAGER, EXCHANGE_V3.lower()): 1,
        }
    )
    """By token contract and who asks to move tokens: a number, or the result or error as it is."""
    missing: tuple[str, ...] = ()
    time: Any = NOW_S
    region: Any = field(default_factory=lambda: {"blocked": False, "country": "ZA", "region": "GP"})
    chain: Any = None
    """Bytes or an awaitable function in place of every answer but the chain's id."""

    def say(self, path: str, ask: Any) -> Any:
        if path == "/clob/time":
            return self.time
        if path == "/geoblock":
            return self.region
        if ask["method"] == "eth_chainId":
            return result("0x89", ask)
        if self.chain is not None:
            return self.chain() if callable(self.chain) else self.chain
        if ask["method"] == "eth_getCode":
            return result("0x" if ask["params"][0] in self.missing else "0x60", ask)
        call = ask["params"][0]
        assert WALLET[2:] in call["data"]
        if call["data"].startswith("0xe985e9c5"):
            told = self.operators.get((call["to"], "0x" + call["data"][-40:]), 0)
            if isinstance(told, dict):
                return {"jsonrpc": "2.0", "id": ask["id"], **told}
            return result(word(told) if isinstance(told, int) else told, ask)
        assert call["to"] == COLLATERAL
        if call["data"].startswith("0x70a08231"):
            return result(word(self.balance), ask)
        return result(word(self.allowance.get("0x" + call["data"][-40:], 0)), ask)


async def gives(value: Any) -> Any:
    return value


def refuses(error: BaseException) -> Callable[[], Awaitable[Any]]:
    async def refuse() -> Any:
        raise error

    return refuse


@asynccontextmanager
async def standing(
    world: World, tmp_path: Path, **settings: str
) -> AsyncIterator[tuple[CheckContext, Endpoint]]:
    async with endpoint(world.say) as one:
        config = load_config(
            None,
            {
                "LAGGARD_CONFIG": "",
                "LAGGARD_MODE": "live",
                "LAGGARD_WALLET__KIND": "deposit",
                "LAGGARD_WALLET__ADDRESS": WALLET,
                "LAGGARD_VENUE__CLOB_URL": f"{one.url}/clob",
                "LAGGARD_VENUE__GEOBLOCK_URL": f"{one.url}/geoblock",
                "LAGGARD_VENUE__CHAIN_RPC_URLS": f"{one.url}/one,{one.url}/two",
                **settings,
            },
        )
        yield (
            CheckContext(
                config=config,
                clock=ManualClock(wall=NOW_S * SECOND + SECOND // 2),
                state_dir=tmp_path,
                signer="0x" + "11" * 20,
                address=WALLET,
                key_source="a file",
                markets=(market(),),
                balance=lambda: gives((world.balance, {})),
                closed_only=lambda: gives(False),
                book=lambda: gives("a book"),
                user_channel=lambda: gives("heard"),
                journal=lambda: gives("adds up"),
            ),
            one,
        )


async def results(world: World, tmp_path: Path, **changes: Any) -> dict[str, CheckResult]:
    async with standing(world, tmp_path) as (context, _):
        report = await run_checks(replace(context, **changes))
    assert [one.name for one in report.results] == [
        "key", "chain", "contracts", "balance", "allowance", "approval to sell", "api key", "standing",
        "clock", "region", "order version", "book", "user channel", "journal", "disk",
    ]  # fmt: skip
    for one in report.results:
        assert one.text
        assert "\n" not in one.text + one.fix
        assert bool(one.fix) == (one.state != "ok"), one
    return {one.name: one for one in report.results}


async def only(world: World, tmp_path: Path, name: str, **changes: Any) -> CheckResult:
    """The one check that is not well."""
    odd = {one.name: one for one in (await results(world, tmp_path, **changes)).values() if one.state != "ok"}
    assert odd.keys() == {name}, odd
    return odd[name]


async def test_all_is_well(tmp_path: Path) -> None:
    found = await results(World(), tmp_path)
    assert {one.state for one in found.values()} == {"ok"}, found
    assert failures(found.values()) == ""
    assert found["contracts"].text.startswith("4 contracts")


@pytest.mark.parametrize(
    ("address", "name"),
    [
        (COLLATERAL, "collateral"),
        (CONDITIONAL_TOKENS, "conditional tokens"),
        (CTF_EXCHANGE, "exchange of v1"),
        (WALLET, "wallet"),
    ],
)
async def test_a_contract_that_is_not_there_is_named(tmp_path: Path, address: str, name: str) -> None:
    one = await only(World(missing=(address,)), tmp_path, "contracts")
    assert (one.state, one.text.rpartition(": ")[2]) == ("failed", name)


async def test_a_plain_key_needs_no_code(tmp_path: Path) -> None:
    async with standing(World(missing=(WALLET,)), tmp_path, LAGGARD_WALLET__KIND="eoa") as (context, _):
        assert failures((await run_checks(context)).results) == ""


async def test_one_stake_with_its_fee_must_be_there_and_be_allowed(tmp_path: Path) -> None:
    """Ten dollars cost up to 0.70 of fee at seven percent: the venue refuses what leaves no room for it."""
    short, enough = 10_699_920, 10_699_930
    plenty = {CTF_EXCHANGE.lower(): 2**256 - 1}
    assert (await only(World(balance=short, allowance=plenty), tmp_path, "balance")).state == "failed"
    await_well = await results(World(balance=enough, allowance={CTF_EXCHANGE.lower(): enough}), tmp_path)
    assert failures(await_well.values()) == ""
    one = await only(World(allowance={CTF_EXCHANGE.lower(): short}), tmp_path, "allowance")
    assert one.state == "failed"
    free = await results(World(balance=10_000_000), tmp_path, markets=(market(rate_ppm=None),))
    assert free["balance"].state == "ok"


async def test_chain_and_venue_that_differ_are_a_worry_and_the_smaller_one_counts(tmp_path: Path) -> None:
    one = await only(World(), tmp_path, "balance", balance=lambda: gives((99_999_999, {})))
    assert (one.state, one.text) == ("warning", "100.000000 $ on the chain, 99.999999 $ by the venue's word")
    assert (await only(World(), tmp_path, "balance", balance=lambda: gives((0, {})))).state == "failed"
    poor = World(balance=0)
    assert (await only(poor, tmp_path, "balance", balance=lambda: gives((10**9, {})))).state == "failed"


async def test_only_the_allowance_that_is_needed_is_asked_for(tmp_path: Path) -> None:
    both = {CTF_EXCHANGE.lower(): 2**256 - 1, EXCHANGE_V3.lower(): 2**256 - 1}
    one = await only(World(), tmp_path, "allowance", markets=(market(), market("v2")))
    assert (one.state, EXCHANGE_V3 in one.text, CTF_EXCHANGE in one.text) == ("failed", True, False)
    assert failures((await results(World(allowance=both), tmp_path, markets=(market("v2"),))).values()) == ""
    only_v3 = World(allowance={EXCHANGE_V3.lower(): 2**256 - 1})
    assert failures((await results(only_v3, tmp_path, markets=(market("v2"),))).values()) == ""


async def test_without_the_approval_to_sell_buying_goes_on_and_the_cure_is_one_line(tmp_path: Path) -> None:
    one = await only(World(operators={}), tmp_path, "approval to sell")
    assert (one.state, failures([one])) == ("warning", "")
    assert "flatten would be refused" in one.text
    assert CTF_EXCHANGE in one.text
    assert CONDITIONAL_TOKENS in one.text
    assert "setApprovalForAll" in one.fix


async def test_each_exchange_is_asked_about_on_the_ledger_of_its_markets(tmp_path: Path) -> None:
    """An approval of the other exchange, or on the other ledger, is none."""
    v1, v2 = (CONDITIONAL_TOKENS, CTF_EXCHANGE.lower()), (POSITION_MANAGER, EXCHANGE_V3.lower())
    crossed = {(CONDITIONAL_TOKENS, v2[1]): 1, (POSITION_MANAGER, v1[1]): 1}
    both = World(
        operators=crossed, allowance=dict.fromkeys((CTF_EXCHANGE.lower(), EXCHANGE_V3.lower()), 2**256 - 1)
    )
    markets = (market(), market("v2"))
    one = await only(both, tmp_path, "approval to sell", markets=markets)
    assert (CTF_EXCHANGE in one.text, EXCHANGE_V3 in one.text) == (True, True)
    both.operators = {v1: 1}
    one = await only(both, tmp_path, "approval to sell", markets=markets)
    assert (CTF_EXCHANGE in one.text, EXCHANGE_V3 in one.text) == (False, True)
    both.operators = {v1: 1, v2: 1}
    found = (await results(both, tmp_path, markets=markets))["approval to sell"]
    assert (found.state, "of v2 only the venue's client says" in found.text) == ("ok", True)


@pytest.mark.parametrize(
    "told",
    [2, 2**255, "0x", "0x01", {"error": {"code": 3, "message": "execution reverted"}}],
    ids=str,
)
async def test_a_contract_that_cannot_be_asked_stops_nothing(tmp_path: Path, told: Any) -> None:
    """Not even by its endpoint, which is as good as before for everything else that is asked."""
    silent = World(operators={(CONDITIONAL_TOKENS, CTF_EXCHANGE.lower()): told})
    one = await only(silent, tmp_path, "approval to sell")
    assert (one.state, failures([one])) == ("skipped", "")
    assert one.text.startswith("the chain does not say it of v1: ")
    async with standing(silent, tmp_path) as (context, _):
        reader = ChainReader(context.config.venue.chain_rpc_urls, context.config.venue.chain_id)
        with pytest.raises(DependencyMissing):
            await reader.is_operator(CONDITIONAL_TOKENS, WALLET, CTF_EXCHANGE)
        assert await reader.collateral(COLLATERAL, WALLET) == silent.balance


async def test_an_endpoint_that_answers_with_nonsense_is_not_believed(tmp_path: Path) -> None:
    found = await results(World(operators={(CONDITIONAL_TOKENS, CTF_EXCHANGE.lower()): "yes"}), tmp_path)
    assert found["approval to sell"].state == "skipped"


async def test_what_is_known_is_told_although_the_other_ledger_cannot_be_asked(tmp_path: Path) -> None:
    both = World(
        operators={(POSITION_MANAGER, EXCHANGE_V3.lower()): "0x"},
        allowance=dict.fromkeys((CTF_EXCHANGE.lower(), EXCHANGE_V3.lower()), 2**256 - 1),
    )
    one = await only(both, tmp_path, "approval to sell", markets=(market(), market("v2")))
    assert (one.state, CTF_EXCHANGE in one.text, EXCHANGE_V3 in one.text) == ("warning", True, False)


async def test_an_approval_that_is_not_told_in_time_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "ONE_CHECK_S", 0.3)

    async def is_operator(*_: Any) -> bool:
        return await asyncio.Event().wait()

    monkeypatch.setattr(ChainReader, "is_operator", is_operator)
    one = await only(World(), tmp_path, "approval to sell")
    assert (one.state, one.text) == ("skipped", "no answer within 0.3 s")


async def test_markets_of_an_unknown_version_are_a_worry(tmp_path: Path) -> None:
    one = await only(World(), tmp_path, "order version", markets=(market(), market("v9")))
    assert (one.state, "v9" in one.text) == ("warning", True)


@pytest.mark.parametrize(
    ("off_s", "state"),
    [(0, "ok"), (0.4, "ok"), (-0.4, "ok"), (3, "warning"), (-3, "warning"), (8, "failed"), (-8, "failed")],
)
async def test_the_clock_is_compared_with_the_venues(tmp_path: Path, off_s: float, state: str) -> None:
    clock = ManualClock(wall=NOW_S * SECOND + SECOND // 2 + int(off_s * SECOND))
    assert (await results(World(), tmp_path, clock=clock))["clock"].state == state


@pytest.mark.parametrize("told", ["soon", None, True, 1.5, [], response(b"", "500 No")])
async def test_a_venue_that_does_not_tell_the_time_fails(tmp_path: Path, told: Any) -> None:
    one = await only(World(time=told), tmp_path, "clock")
    assert (one.state, "this host's clock" in one.text) == ("failed", False)


@pytest.mark.parametrize(
    "told",
    [
        {"blocked": True}, {}, [], None, False, "false", {"blocked": None}, {"blocked": "false"},
        {"blocked": 0}, {"Blocked": False}, {"data": {"blocked": False}}, response(b"no"),
        response(b'{"blocked": false}', "403 No"),
        response(b'{"blocked": false}', "302 Found", "Location: /clob/time"), response(b"[" * 60_000),
    ],
    ids=lambda told: str(told)[:60],
)  # fmt: skip
async def test_only_an_explicit_no_lets_trade(tmp_path: Path, told: Any) -> None:
    assert (await only(World(region=told), tmp_path, "region")).state == "failed"


async def test_stored_answers_about_the_region(tmp_path: Path, shared_data: Path) -> None:
    cases = json.loads((shared_data / "frames/trading/geoblock_responses.json").read_text())["cases"]
    assert len(cases) == 3
    for case in cases:
        found = (await results(World(region=case["body"]), tmp_path))["region"]
        assert (found.state == "ok") is case["trade"], case


async def test_the_region_is_asked_from_where_orders_come_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with endpoint(lambda _path, _ask: {"blocked": False}) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.setenv("no_proxy", "")
        assert (await only(World(region={"blocked": True}), tmp_path, "region")).state == "failed"
        assert proxy.heard == []


@pytest.mark.parametrize(
    ("free", "state"), [(1 << 30, "ok"), ((1 << 30) - 1, "warning"), ((100 << 20) - 1, "failed")]
)
async def test_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, state: str) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(1 << 40, 0, free))
    assert (await results(World(), tmp_path))["disk"].state == state


async def test_what_the_account_says_counts(tmp_path: Path) -> None:
    away = refuses(DependencyMissing("the venue refuses this key"))
    found = await results(World(), tmp_path, balance=away)
    assert {name for name, one in found.items() if one.state == "failed"} == {"balance", "api key"}
    assert (
        failures(found.values()) == "balance: the venue refuses this key; api key: the venue refuses this key"
    )
    assert (await only(World(), tmp_path, "standing", closed_only=lambda: gives(True))).state == "failed"


@pytest.mark.parametrize(
    ("name", "asked"), [("book", "book"), ("user channel", "user_channel"), ("journal", "journal")]
)
async def test_what_is_heard_counts(tmp_path: Path, name: str, asked: str) -> None:
    for error in (LaggardError("it is so"), FeedRefused("it is so")):
        one = await only(World(), tmp_path, name, **{asked: refuses(error)})
        assert (one.state, one.text) == ("failed", "it is so")


async def test_a_venue_that_lists_no_window_is_a_worry_that_names_the_settings(tmp_path: Path) -> None:
    nothing: dict[str, Any] = {"markets": (), "book": lambda: gives(checks.NO_WINDOW)}
    one = await only(World(), tmp_path, "book", **nothing)
    assert (one.state, one.text) == ("warning", "no window is listed at present")
    assert "markets.cadence (15m) and markets.assets (btc, " in one.fix
    away = await only(World(), tmp_path, "book", markets=(), book=refuses(LaggardError("HTTP 500")))
    assert (away.state, away.text, "gamma_url" in away.fix) == ("failed", "HTTP 500", True)


@pytest.mark.parametrize(
    "error",
    [KeyError("k"), OSError(5, "io"), RecursionError(), AssertionError(), ValueError("s3cret")],
    ids=repr,
)
async def test_a_check_that_breaks_has_failed_and_ends_nothing(tmp_path: Path, error: Exception) -> None:
    one = await only(World(), tmp_path, "standing", closed_only=refuses(error))
    assert (one.state, one.text) == ("failed", f"the check broke off: {type(error).__name__}")


async def test_a_check_that_is_cancelled_is_cancelled(tmp_path: Path) -> None:
    async with standing(World(), tmp_path) as (context, _):
        asked = asyncio.Event()

        async def book() -> str:
            asked.set()
            await asyncio.Event().wait()
            return ""

        running = asyncio.ensure_future(run_checks(replace(context, book=book)))
        await asyncio.wait_for(asked.wait(), 3)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(running, 3)


async def test_one_that_does_not_answer_fails_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "ONE_CHECK_S", 0.3)
    one = (await results(World(), tmp_path, book=lambda: asyncio.Event().wait()))["book"]
    assert (one.state, one.text) == ("failed", "no answer within 0.3 s")


async def test_a_chain_that_hangs_keeps_no_other_check_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both endpoints take every question and answer none: fourteen are open when the next run begins."""
    monkeypatch.setattr(checks, "ONE_CHECK_S", 2.0)
    hanging, many, over = [0], asyncio.Event(), asyncio.Event()

    async def hang() -> bytes:
        hanging[0] += 1
        if hanging[0] == 14:
            many.set()
        await over.wait()
        return b""

    async with standing(World(chain=hang), tmp_path) as (context, _):
        first = asyncio.ensure_future(run_checks(context))
        await asyncio.wait_for(many.wait(), 2)
        reports = await asyncio.gather(first, run_checks(context))
        over.set()
    for report in reports:
        failed = {one.name for one in report.results if one.state == "failed"}
        assert failed == {"contracts", "balance", "allowance"}
        assert {one.name for one in report.results if one.state == "skipped"} == {"approval to sell"}


@pytest.mark.parametrize(
    "raw", [b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\nConnection: close\r\n\r\n{", response(b"[" * 200_000)]
)
async def test_a_chain_that_breaks_fails_what_asks_it(tmp_path: Path, raw: bytes) -> None:
    found = await results(World(chain=raw), tmp_path)
    assert {name for name, one in found.items() if one.state == "skipped"} == {"approval to sell"}
    assert {name for name, one in found.items() if one.state == "failed"} == {
        "contracts",
        "balance",
        "allowance",
    }


async def test_what_is_skipped_asks_nobody(tmp_path: Path) -> None:
    names = (
        "key", "chain", "contracts", "balance", "allowance", "approval to sell", "api key", "standing",
        "user channel",
    )  # fmt: skip
    asked = refuses(AssertionError("asked"))
    async with standing(World(), tmp_path) as (context, one):
        silent = replace(context, balance=asked, closed_only=asked, user_channel=asked)
        report = await run_checks(silent, skip=names, because="no account here")
        assert {path for path, _ in one.heard} == {"/clob/time", "/geoblock"}
    assert {each.name for each in report.results if each.state == "skipped"} == set(names)
    assert {each.text for each in report.results if each.state == "skipped"} == {"no account here"}
    assert failures(report.results) == ""
