"""The official client trades at the simulated venue: every kind of wallet, and everything it reads."""

import asyncio
from decimal import Decimal

import pytest
from polymarket.errors import RequestRejectedError

from common.sim.naming import made_up_ids
from common.sim.script import BookSet, Listed, Resolved
from common.sim.settings import SimAccount
from stage import spec
from trading_stage import ACCOUNTS, DOWN, SESSION_PRIVATE, SIGNER, UP, USD6, WALLETS, Floor, payload, played

FEE_50 = 140_000  # 8 shares at 0.50: 8 x 0.07 x 0.25
FEE_52 = 33_600  # 1.923077 shares at 0.52: 0.0336... cut to five decimals


@pytest.mark.parametrize("kind", WALLETS)
def test_the_official_client_buys_with_every_kind_of_wallet(kind: str) -> None:
    async def scene(venue: Floor) -> None:
        client = await venue.trader(kind)
        answer = await venue.bought(client, "5", "0.55")
        assert answer.ok
        assert answer.status == "matched"
        assert (answer.making_amount, answer.taking_amount) == (Decimal(5), Decimal("9.923077"))
        assert len(answer.trade_ids) == 2
        assert answer.transactions_hashes == ()
        usd6, tokens = await venue.holdings(kind)
        assert tokens == {UP: 9_923_077}
        assert usd6 == USD6 - 5_000_000 - FEE_50 - FEE_52
        for other in WALLETS.keys() - {kind}:
            assert await venue.holdings(other) == (USD6, {})

    played(scene)


def test_a_session_key_trades_for_a_deposit_wallet_and_sees_only_its_own() -> None:
    async def scene(venue: Floor) -> None:
        owner, session = await venue.trader(), await venue.trader(private=SESSION_PRIVATE)
        mine = await venue.bought(owner, "1")
        theirs = await venue.bought(session, "1")
        assert theirs.status == "matched"
        seen = [trade async for trade in session.list_account_trades().iter_items()]
        assert {trade.taker_order_id for trade in seen} == {theirs.order_id}
        seen = [trade async for trade in owner.list_account_trades().iter_items()]
        assert {trade.taker_order_id for trade in seen} == {mine.order_id, theirs.order_id}
        with pytest.raises(RequestRejectedError, match="order not found"):
            await session.get_order(order_id=mine.order_id)

    played(scene)


def test_what_the_official_client_reads_of_orders_trades_and_money() -> None:
    async def scene(venue: Floor) -> None:
        client = await venue.trader()
        answer = await venue.bought(client)
        order = await client.get_order(order_id=answer.order_id)
        assert (order.status, order.size_matched, order.price) == (
            "MATCHED",
            Decimal("9.923077"),
            Decimal("0.55"),
        )
        assert order.associate_trades == answer.trade_ids
        trades = [trade async for trade in client.list_account_trades().iter_items()]
        assert [trade.id for trade in trades] == list(reversed(answer.trade_ids))
        assert [(trade.price, trade.size) for trade in trades] == [
            (Decimal("0.52"), Decimal("1.923077")),
            (Decimal("0.5"), Decimal(8)),
        ]
        hashes = await client.wait_for_order_fill_settlement(answer)
        assert len(hashes) == 2
        money = await client.get_balance_allowance(asset_type="COLLATERAL")
        assert money.balance == (await venue.holdings())[0]
        assert set(money.allowances.values()) == {2**256 - 1}
        tokens = await client.get_balance_allowance(asset_type="CONDITIONAL", asset_id=UP)
        assert tokens.balance == 9_923_077
        assert await client.get_closed_only_mode() is False
        assert [order async for order in client.list_open_orders().iter_items()] == []

    played(scene)


def test_trades_are_paged_and_filtered() -> None:
    async def scene(venue: Floor) -> None:
        client, other = await venue.trader(), await venue.trader("safe")
        mine = [await venue.bought(client, "1") for _ in range(5)]
        theirs = await venue.bought(other, "1")
        first = await client.list_account_trades().first_page()
        assert len(first.items) == 2
        assert first.next_cursor == "Mg=="
        # One key owns both wallets: it sees all six.
        seen = [trade async for trade in client.list_account_trades().iter_items()]
        assert len(seen) == len({trade.id for trade in seen}) == 6
        wallet = WALLETS["safe"]
        (only,) = [one async for one in client.list_account_trades(maker_address=wallet).iter_items()]
        assert (only.taker_order_id, only.maker_address) == (theirs.order_id, wallet.lower())
        (one,) = [each async for each in client.list_account_trades(id=mine[2].trade_ids[0]).iter_items()]
        assert one.taker_order_id == mine[2].order_id
        assert [t async for t in client.list_account_trades(asset_id=DOWN).iter_items()] == []
        second = int(seen[-1].matched_at.timestamp())
        latest = int(seen[0].matched_at.timestamp())
        for filters, count in (
            ({"after": str(second - 1)}, 6),
            ({"after": str(latest)}, 0),
            ({"before": str(second)}, 0),
            ({"before": str(latest + 1)}, 6),
        ):
            found = [trade async for trade in client.list_account_trades(**filters).iter_items()]
            assert len(found) == count, filters

    played(scene, page_size=2, accounts=ACCOUNTS)


def test_an_order_fills_at_resting_prices_up_to_its_cap_and_no_further() -> None:
    async def scene(venue: Floor) -> None:
        client = await venue.trader()
        answer = await venue.bought(client, "50", "0.55")
        # 8 at 0.50 and 30 at 0.52; what rests at 0.60 is beyond the cap, and the rest of the order dies.
        assert (answer.making_amount, answer.taking_amount) == (Decimal("19.6"), Decimal(38))
        (order,) = (await venue.truth())["orders"]
        assert [(trade["price4"], trade["size6"]) for trade in order["trades"]] == [
            (5_000, 8_000_000),
            (5_200, 30_000_000),
        ]
        assert order["status"] == "MATCHED"

    played(scene)


def test_what_was_bought_is_gone_until_the_level_is_set_to_something_else() -> None:
    async def scene(venue: Floor) -> None:
        client = await venue.trader()
        venue.ask(("0.5", "8"))
        assert (await venue.bought(client, "3")).taking_amount == 6
        venue.ask(("0.6", "7"), ("0.5", "8"))  # The level stays as it was: two shares are left of it.
        assert (await venue.bought(client, "3")).taking_amount == 2
        with pytest.raises(RequestRejectedError, match="no orders found to match with FAK order"):
            await venue.bought(client, "3")
        venue.ask(("0.5", "9"))
        assert (await venue.bought(client, "3")).taking_amount == 6

    played(scene)


def test_the_book_after_the_takers_delay_counts() -> None:
    async def scene(venue: Floor) -> None:
        client = await venue.trader()
        order = await venue.signed(client, "5", "0.55")
        async with asyncio.TaskGroup() as tasks:
            posted = tasks.create_task(client.post_order(order))
            await venue.until(lambda truth: bool(truth["orders"]))
            waiting = (await venue.truth())["orders"][0]["id"]
            unseen = await venue.send(client, None, "GET", f"/data/order/{waiting}")
            reserved = (await venue.truth())["accounts"][3]["reserved_usd6"]
            venue.ask(("0.54", "100"))
        assert unseen[0] == 404
        assert (
            reserved == 5_157_500
        )  # with the fee of 9.0909... shares at the cap of 0.55, cut to five decimals
        assert posted.result().taking_amount == Decimal("9.259260")
        assert (await venue.truth())["accounts"][3]["reserved_usd6"] == 0

    played(scene, taker_delay_ms=150)


def test_a_full_fill_or_nothing() -> None:
    async def scene(venue: Floor) -> None:
        client = await venue.trader()
        with pytest.raises(RequestRejectedError, match="couldn't be fully filled"):
            await client.post_order(await venue.signed(client, "50", "0.55", order_type="FOK"))
        answer = await client.post_order(await venue.signed(client, "19.6", "0.55", order_type="FOK"))
        assert answer.taking_amount == 38

    played(scene)


def test_the_same_order_is_taken_once_also_when_it_was_killed() -> None:
    async def scene(venue: Floor) -> None:
        client = await venue.trader()
        filled, killed = await venue.signed(client, "5", "0.55"), await venue.signed(client, "5", "0.45")
        answer = await client.post_order(filled)
        with pytest.raises(RequestRejectedError, match="no orders found") as no:
            await client.post_order(killed)
        assert no.value.status == 400
        for order in (filled, killed):
            with pytest.raises(
                RequestRejectedError, match=r"order 0x[0-9a-f]{64} is invalid. Duplicated."
            ) as no:
                await client.post_order(order)
            assert no.value.status == 400
        truth = await venue.truth()
        assert truth["received"] == 4
        assert truth["executed"] == truth["duplicates"] == [order["id"] for order in truth["orders"]]
        assert truth["executed"][0] == answer.order_id
        assert (await venue.holdings())[1] == {UP: 9_923_077}

    played(scene)


def test_an_order_refused_for_money_may_come_again() -> None:
    async def scene(venue: Floor) -> None:
        client = await venue.trader("eoa")
        order = await venue.signed(client, "5", "0.55")
        for _ in range(2):
            with pytest.raises(RequestRejectedError, match="balance: 5000000, order amount: 5157500"):
                await client.post_order(order)
        assert (await venue.truth())["duplicates"] == []

    played(scene, accounts=(SimAccount(signer=SIGNER, kind="eoa", usd6=5_000_000),))


def test_an_order_killed_by_the_book_tells_its_id() -> None:
    async def scene(venue: Floor) -> None:
        client = await venue.trader()
        order = await venue.signed(client, "5", "0.45")
        status, body, _ = await venue.send(client, payload(order, client.credentials.key))
        assert status == 400
        assert body["orderID"] == (await venue.truth())["orders"][0]["id"]
        told = await client.get_order(order_id=body["orderID"])
        assert (told.status, told.size_matched) == ("CANCELED", 0)

    played(scene)


def test_ended_orders_may_be_told_no_more() -> None:
    async def scene(venue: Floor) -> None:
        client = await venue.trader()
        answer = await venue.bought(client)
        status, body, _ = await venue.send(client, None, "GET", f"/data/order/{answer.order_id}")
        assert (status, body) == (200, None)
        status, body, _ = await venue.send(client, None, "GET", "/data/order/0x" + "1" * 64)
        assert (status, body) == (404, {"error": "order not found"})

    played(scene, tells_ended_orders=False)


def test_a_market_resolved_while_an_order_waits_kills_it() -> None:
    async def scene(venue: Floor) -> None:
        client = await venue.trader()
        order = await venue.signed(client)
        async with asyncio.TaskGroup() as tasks:
            posted = tasks.create_task(venue.send(client, payload(order, client.credentials.key)))
            await venue.until(lambda truth: bool(truth["orders"]))
            venue.venue.happen(Resolved("btc-updown-15m-1800000000", "Up"))
        assert posted.result()[0] == 400
        assert (await venue.holdings())[1] == {}

    played(scene, taker_delay_ms=100)


def test_free_markets_and_markets_without_delay_are_served_so() -> None:
    condition, up, down = made_up_ids("free")
    free = spec(
        slug="free", condition_id=condition, token_up=up, token_down=down, fee_rate="0", taker_delay=False
    )

    async def scene(venue: Floor) -> None:
        client = await venue.trader()
        venue.venue.happen(Listed(free), BookSet(up, (), (("0.5", "100"),)))
        order = await venue.signed(client, "5", "0.5", token=up)
        async with asyncio.timeout(2):
            answer = await client.post_order(order)
        assert answer.taking_amount == 10
        assert await venue.holdings() == (USD6 - 5_000_000, {up: 10_000_000})

    played(scene, taker_delay_ms=60_000)
