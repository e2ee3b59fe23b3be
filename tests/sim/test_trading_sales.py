"""The official client sells at the simulated venue what it bought: shares out, dollars less the fee in."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from polymarket import AsyncSecureClient
from polymarket.errors import RequestRejectedError

from common.sim.script import BookSet
from common.sim.trading.contracts import EXCHANGES
from trading_stage import ACCOUNTS, SESSION_PRIVATE, UP, USD6, WALLETS, Floor, played

SPENT = 5_000_000 + 140_000 + 33_600
"""5 $ for 9.923077 shares at 0.50 and 0.52, with their fees."""


async def owner(venue: Floor, kind: str = "deposit", **more: Any) -> AsyncSecureClient:
    """A customer with 9.923077 shares that the chain has confirmed."""
    client = await venue.trader(kind, **more)
    await venue.bought(client, "5", "0.55")
    await venue.until(
        lambda truth: all(t["status"] == "CONFIRMED" for o in truth["orders"] for t in o["trades"])
    )
    venue.venue.happen(BookSet(UP, (("0.4", "5"), ("0.45", "4"), ("0.3", "100")), (("0.6", "10"),)))
    return client


async def sold(client: AsyncSecureClient, shares: str, least: str, **more: Any) -> Any:
    order = await client.create_market_order(
        asset_id=UP, side="SELL", shares=Decimal(shares), min_price=Decimal(least), **more
    )
    return await client.post_order(order)


@pytest.mark.parametrize("kind", WALLETS)
def test_every_kind_of_wallet_sells_down_the_bids_and_pays_the_fee_out_of_them(kind: str) -> None:
    async def scene(venue: Floor) -> None:
        client = await owner(venue, kind)
        answer = await sold(client, "9", "0.4")
        assert answer.status == "matched"
        # 4 at 0.45 and 5 at 0.40
        assert (answer.making_amount, answer.taking_amount) == (Decimal(9), Decimal("3.8"))
        fees = 69_300 + 84_000
        usd6, tokens = await venue.holdings(kind)
        assert (usd6, tokens) == (USD6 - SPENT + 3_800_000 - fees, {UP: 923_077})
        await venue.until(lambda truth: all(one["venue"] == one["chain"] for one in truth["accounts"]))
        truth = await venue.truth()
        assert set(truth["sums"]["venue"].values()) == {0}
        order = await client.get_order(order_id=answer.order_id)
        assert (order.side, order.size_matched, order.original_size) == ("SELL", Decimal(9), Decimal(9))
        trades = [trade async for trade in client.list_account_trades().iter_items()]
        assert [(trade.side, trade.price, trade.size) for trade in trades[:2]] == [
            ("SELL", Decimal("0.4"), Decimal(5)),
            ("SELL", Decimal("0.45"), Decimal(4)),
        ]

    played(scene)


def test_a_session_key_sells_for_its_wallet() -> None:
    async def scene(venue: Floor) -> None:
        await owner(venue)
        session = await venue.trader(private=SESSION_PRIVATE)
        assert (await sold(session, "4", "0.45")).taking_amount == Decimal("1.8")

    played(scene)


def test_what_the_bids_do_not_take_stays_and_what_they_took_is_gone() -> None:
    async def scene(venue: Floor) -> None:
        client = await owner(venue)
        assert (await sold(client, "9", "0.45")).making_amount == 4
        with pytest.raises(RequestRejectedError, match="no orders found to match with FAK order"):
            await sold(client, "5", "0.45")
        with pytest.raises(RequestRejectedError, match="couldn't be fully filled"):
            await sold(client, "5.9", "0.4", order_type="FOK")
        assert (await sold(client, "5", "0.4", order_type="FOK")).making_amount == 5

    played(scene)


@pytest.mark.parametrize("shares", ["9.93", "100"])
def test_nobody_sells_what_he_does_not_have(shares: str) -> None:
    async def scene(venue: Floor) -> None:
        client = await owner(venue)
        with pytest.raises(RequestRejectedError, match="not enough balance / allowance"):
            await sold(client, shares, "0.3")
        assert (await venue.holdings())[1] == {UP: 9_923_077}

    played(scene)


def test_shares_that_are_not_on_the_chain_yet_are_not_sold() -> None:
    async def scene(venue: Floor) -> None:
        client = await venue.trader()
        await venue.bought(client, "5", "0.55")
        with pytest.raises(RequestRejectedError, match="balance: 0, order amount: 5000000"):
            await sold(client, "5", "0.3")

    played(scene, mined_after_ms=60_000)


def test_a_wallet_that_has_not_approved_the_exchange_buys_and_does_not_sell() -> None:
    async def scene(venue: Floor) -> None:
        client = await owner(venue)
        exchange = EXCHANGES["v1"].address
        # Of another exchange it says nothing.
        await venue.venue.faults({"kind": "chain", "approvals_missing": [EXCHANGES["v2"].address]})
        assert (await sold(client, "4", "0.45")).status == "matched"
        await venue.venue.faults({"kind": "chain", "approvals_missing": [exchange]})
        before = await venue.holdings()
        with pytest.raises(RequestRejectedError) as refused:
            await sold(client, "5", "0.3")
        assert refused.value.status == 400
        assert "not enough balance / allowance: the allowance is not enough" in str(refused.value)
        assert f"spender: {exchange}, allowance: 0, order amount: 5000000" in str(refused.value)
        assert await venue.holdings() == before
        venue.venue.happen(BookSet(UP, (("0.4", "5"),), (("0.6", "10"),)))
        assert (await venue.bought(client, "3", "0.6")).status == "matched"
        await venue.venue.faults()
        assert (await sold(client, "5", "0.3")).status == "matched"

    played(scene)


def test_two_sales_at_once_do_not_sell_the_same_shares() -> None:
    async def scene(venue: Floor) -> None:
        client = await owner(venue)
        orders = [
            await client.create_market_order(
                asset_id=UP, side="SELL", shares=Decimal(9), min_price=Decimal("0.3")
            )
            for _ in range(2)
        ]
        answers = await asyncio.gather(
            *(client.post_order(order) for order in orders), return_exceptions=True
        )
        assert sorted(isinstance(answer, RequestRejectedError) for answer in answers) == [False, True]

    played(scene, taker_delay_ms=100)


def test_a_sale_that_fails_on_chain_gives_the_shares_back() -> None:
    async def scene(venue: Floor) -> None:
        client = await owner(venue)
        before = await venue.holdings()
        await venue.venue.faults({"kind": "trade_path", "statuses": ["MINED", "FAILED"], "times": 1})
        await sold(client, "9", "0.4")
        await venue.until(lambda truth: {t["status"] for t in truth["orders"][-1]["trades"]} == {"FAILED"})
        await venue.until(lambda truth: all(one["venue"] == one["chain"] for one in truth["accounts"]))
        assert await venue.holdings() == before

    played(scene, accounts=ACCOUNTS)
