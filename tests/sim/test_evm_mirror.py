"""A venue whose chain is an EVM node: the node has the venue's ids, its balances, and its results.

What is redeemed there with a real signature is in both of the venue's books afterwards.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from common.core.redemption.claims import Claim, Holding
from common.errors import DependencyMissing
from common.runtime.credentials import Secret
from common.sim.evm import node as evm_node
from common.sim.evm import plant, venue_chain
from common.sim.evm.mirror import Mirror
from common.sim.evm.node import absent
from common.sim.evm.relayer import RELAY
from common.sim.naming import generated_name, made_up_ids
from common.sim.script import Listed, Resolved
from common.sim.settings import SimAccount, SimSettings, problems_in
from common.sim.trading.account_book import COLLATERAL_ASSET as MONEY
from common.sim.trading.account_book import COUNTERPARTIES, Entry, reversed_entries
from common.sim.trading.contracts import (
    CHAIN_ID,
    COLLATERAL,
    CONDITIONAL_TOKENS,
    EXCHANGES,
    KNOWN_CONTRACTS,
    LEDGERS,
    SPENDERS,
)
from common.venue.chain import ChainReader
from common.venue.clob.order_request import Account
from common.venue.redeeming.actions import RelayInfo, relayed_action
from common.venue.redeeming.calldata import RedeemContracts, calls_of, selector
from common.venue.signing.order_signature import Signer
from common.venue.signing.wallet import wallets_of
from stage import Stage, spec, stage

pytestmark = pytest.mark.skipif(bool(absent()), reason=absent())
KEY = Secret("0x" + "5c" * 32)
SIGNER = Signer(KEY).address
WALLET = wallets_of(SIGNER).deposit.lower()
RELAYER_KEY = "11111111-2222-3333-4444-555555555555"
SLUG = "btc-updown-1m-1800000000"
CONDITION, UP, DOWN = made_up_ids(generated_name(7, SLUG))
MARKET = spec(slug=SLUG, condition_id=CONDITION, token_up=UP, token_down=DOWN)
NEW_CONDITION = "0x01" + "cd" * 18 + "00" * 8 + "cd" * 4 + "00"
NEW_UP, NEW_DOWN = str(int(NEW_CONDITION, 16)), str(int(NEW_CONDITION, 16) + 1)
NEW_MARKET = spec(
    slug="eth-updown-1m-1800000000",
    condition_id=NEW_CONDITION,
    token_up=NEW_UP,
    token_down=NEW_DOWN,
    version="v2",
)
USD6 = 100_000_000
LIMIT_S = 20.0
AUTH = {"RELAYER_API_KEY": RELAYER_KEY, "RELAYER_API_KEY_ADDRESS": SIGNER}


@asynccontextmanager
async def venue_on_evm() -> AsyncIterator[Stage]:
    account = SimAccount(signer=SIGNER, kind="deposit", address=WALLET, usd6=USD6)
    keys = {RELAYER_KEY: SIGNER}
    async with stage(evm=True, seed=7, accounts=(account,), relayer_keys=keys) as opened:
        opened.happen(Listed(MARKET), Listed(NEW_MARKET))
        yield opened


async def rpc(venue: Stage, method: str, *params: Any) -> Any:
    asked = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
    status, told = await venue.post("/chain", asked)
    assert status == 200, told
    return told["result"]


async def read(venue: Stage, to: str, signature: str, *words: str) -> int:
    data = "0x" + selector(signature).hex() + "".join(words)
    return int(await rpc(venue, "eth_call", {"to": to, "data": data}, "latest"), 16)


def word(value: int | str) -> str:
    return f"{int(value, 16) if isinstance(value, str) else value:064x}"


async def money(venue: Stage) -> int:
    return await read(venue, COLLATERAL, "balanceOf(address)", word(WALLET))


async def shares(venue: Stage, token: str, ledger: str = CONDITIONAL_TOKENS) -> int:
    return await read(venue, ledger, "balanceOf(address,uint256)", word(WALLET), word(int(token)))


def trade(venue: Stage, token: str, size6: int, cost6: int) -> list[Entry]:
    """A trade that is mined."""
    exchange = venue.venue.trading.exchange
    entries = [
        Entry(WALLET, COUNTERPARTIES, MONEY, cost6),
        Entry(COUNTERPARTIES, WALLET, token, size6),
    ]
    for book in (exchange.venue_book, exchange.chain_book):
        book.post(entries)
    return entries


async def until(told: Callable[[], Awaitable[Any]], wanted: Any) -> None:
    async with asyncio.timeout(LIMIT_S):
        while await told() != wanted:
            await asyncio.sleep(0.02)


async def venue_holds(venue: Stage) -> tuple[int, dict[str, int]]:
    """What the venue's books say, which have to be one."""
    _, told = await venue.get("/control/account")
    account = told["accounts"][0]
    assert account["venue"] == account["chain"]
    return account["venue"]["usd6"], account["venue"]["tokens"]


def submit_of(*claims: Claim, nonce: int) -> bytes:
    """A signed batch, as the redeemer sends it."""
    places = RedeemContracts()
    who = Account(Signer(KEY), "deposit", WALLET, False, 137)
    calls = [call for claim in claims for call in calls_of(claim, places)]
    action = relayed_action(
        who,
        calls,
        places,
        nonce=nonce,
        deadline_s=int(time.time()) + 600,
        relay=RelayInfo(RELAY, nonce),
        gas_limit=1_000_000,
    )
    return action.body


async def test_a_trade_is_on_the_node_with_the_ids_the_venue_lists() -> None:
    async with venue_on_evm() as venue:
        assert "anvil" in await rpc(venue, "web3_clientVersion")
        assert await money(venue) == USD6
        entries = trade(venue, UP, 7_000_000, 3_500_000)
        await until(lambda: shares(venue, UP), 7_000_000)
        await until(lambda: money(venue), USD6 - 3_500_000)
        # The venue takes a failed trade back.
        venue.venue.trading.exchange.chain_book.post(reversed_entries(entries))
        await until(lambda: shares(venue, UP), 0)
        await until(lambda: money(venue), USD6)


async def test_the_deposits_are_there_when_it_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    async def rest(_mirror: Mirror) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Mirror, "run", rest)
    async with venue_on_evm() as venue:
        assert await money(venue) == USD6


async def test_what_the_start_up_checks_look_at_is_there() -> None:
    async with venue_on_evm() as venue:
        for contract in (*KNOWN_CONTRACTS, WALLET):
            assert await rpc(venue, "eth_getCode", contract, "latest") != "0x", contract
        for spender in SPENDERS:
            allowed = await read(venue, COLLATERAL, "allowance(address,address)", word(WALLET), word(spender))
            assert allowed >= USD6


async def test_the_exchanges_may_sell_there_until_the_wallet_takes_that_back() -> None:
    """Asked as the start-up checks ask, of the real ConditionalTokens."""
    async with venue_on_evm() as venue:
        reader = ChainReader([venue.base + "/chain"], CHAIN_ID)
        for version, ledger in LEDGERS.items():
            exchange = EXCHANGES[version].address
            assert await reader.is_operator(ledger, WALLET, exchange)
            assert not await reader.is_operator(ledger, exchange, WALLET)
            chain = venue.venue.trading._evm
            assert chain is not None
            await plant.approve(chain._node, WALLET, ledger, exchange, False)
            assert not await reader.is_operator(ledger, WALLET, exchange)
        with pytest.raises(DependencyMissing):
            await reader.is_operator(WALLET, WALLET, WALLET)


async def test_a_redemption_by_the_relayer_is_in_both_books() -> None:
    """Of both ledgers at once, with a loser among the tokens."""
    async with venue_on_evm() as venue:
        trade(venue, UP, 7_000_000, 3_000_000)
        trade(venue, DOWN, 2_000_000, 1_000_000)
        trade(venue, NEW_DOWN, 5_000_001, 2_000_000)
        venue.happen(Resolved(SLUG, "Up"), Resolved(NEW_MARKET.slug, "Down"))
        denominator = "payoutDenominator(bytes32)"
        await until(lambda: read(venue, CONDITIONAL_TOKENS, denominator, CONDITION[2:]), 1)
        assert await shares(venue, UP) == 7_000_000
        path = "/relayer/v1/account/transactions/params"
        query = {"address": SIGNER, "type": "WALLET"}
        status, told = await venue.get(path, params=query, headers=AUTH)
        assert status == 200, told
        old = Claim(CONDITION, "v1", (Holding(UP, 0, 7_000_000), Holding(DOWN, 1, 2_000_000)), (1, 0), 1)
        new = Claim(NEW_CONDITION, "v2", (Holding(NEW_DOWN, 1, 5_000_001),), (0, 1), 1)
        body = submit_of(old, new, nonce=int(told["nonce"]))
        url = venue.base + "/relayer/submit"
        async with venue.session.post(url, data=body) as refused:
            assert refused.status == 401
        async with venue.session.post(url, data=body, headers=AUTH) as answer:
            assert answer.status == 200, await answer.text()
            action = (await answer.json())["transactionID"]
        paid6 = USD6 - 6_000_000 + 7_000_000 + 5_000_001
        await until(lambda: venue_holds(venue), (paid6, {}))
        assert await money(venue) == paid6
        _, told = await venue.get(f"/relayer/v1/account/transactions/{action}", headers=AUTH)
        receipt = await rpc(venue, "eth_getTransactionReceipt", told["transaction_hash"])
        assert receipt["status"] == "0x1"
        _, account = await venue.get("/control/account")
        assert set(account["sums"]["venue"].values()) == set(account["sums"]["chain"].values()) == {0}


async def test_the_venues_own_redeemer_pays_too() -> None:
    async with venue_on_evm() as venue:
        trade(venue, DOWN, 4_000_000, 1_000_000)
        venue.happen(Resolved(SLUG, "Down"))
        await until(lambda: read(venue, CONDITIONAL_TOKENS, "payoutDenominator(bytes32)", CONDITION[2:]), 1)
        asked = {"wallet": WALLET, "condition": CONDITION}
        status, told = await venue.post("/control/redeem", asked)
        assert status == 200
        await until(lambda: venue_holds(venue), (USD6 + 3_000_000, {}))
        assert (await rpc(venue, "eth_getTransactionReceipt", told["transaction"]))["status"] == "0x1"


async def test_shares_are_there_before_the_result() -> None:
    """Of a trade mined at the very end: a resolved condition without shares would look redeemed."""
    async with venue_on_evm() as venue:
        trade(venue, UP, 1_000_000, 500_000)
        await until(lambda: shares(venue, UP), 1_000_000)
        trade(venue, DOWN, 1_000_000, 500_000)
        venue.happen(Resolved(SLUG, "Down"))
        resolved, denominator = False, "payoutDenominator(bytes32)"
        async with asyncio.timeout(LIMIT_S):
            while not resolved:
                resolved = bool(await read(venue, CONDITIONAL_TOKENS, denominator, CONDITION[2:]))
                held6 = await shares(venue, DOWN)
                assert held6 or not resolved


async def test_ids_of_another_seed_are_refused() -> None:
    """The node would have the wallet's shares under ids nobody asks for."""
    account = SimAccount(signer=SIGNER, kind="deposit", address=WALLET, usd6=USD6)
    with pytest.RaisesGroup(pytest.RaisesExc(RuntimeError, match="other ids"), flatten_subgroups=True):
        async with stage(evm=True, seed=8, accounts=(account,)) as venue:
            venue.happen(Listed(MARKET))
            trade(venue, UP, 1_000_000, 500_000)
            await asyncio.sleep(LIMIT_S)


async def test_a_chain_that_is_down_says_so() -> None:
    async with venue_on_evm() as venue:
        await venue.faults({"kind": "chain", "down": True})
        async with venue.session.post(venue.base + "/chain", data=b"{}") as answer:
            assert answer.status == 503


async def test_the_node_ends_with_its_venue() -> None:
    async with venue_on_evm() as venue:
        chain = venue.venue.trading._evm
        assert isinstance(chain, venue_chain.VenueChain)
        url = chain._node.url
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.post(url, data=b"{}")


async def test_a_venue_whose_node_ended_ends_too() -> None:
    """Instead of telling balances of a chain that is no more; whoever started it starts it again."""
    with pytest.RaisesGroup(DependencyMissing, flatten_subgroups=True):
        async with venue_on_evm() as venue:
            chain = venue.venue.trading._evm
            assert isinstance(chain, venue_chain.VenueChain)
            os.kill(chain._node.pid, signal.SIGKILL)
            await asyncio.sleep(LIMIT_S)


async def test_without_a_node_the_venue_does_not_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evm_node, "BINARY", tmp_path / "nothing")
    with pytest.raises(DependencyMissing, match="bin/setup"):
        async with venue_on_evm():
            raise AssertionError("it opened")


def test_a_recording_cannot_be_on_an_evm_node() -> None:
    problems = problems_in(SimSettings(evm=True, mode="recording", path="/nowhere"))
    assert any("evm" in problem for problem in problems)
