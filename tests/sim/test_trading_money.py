"""The simulated venue's money: nothing is made, nothing is lost, and its sums are those seen on the chain."""

import json
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.core.fees import taker_fee_usd6 as traders_fee
from common.messages import FeeSchedule
from common.sim.settings import SimAccount, SimSettings, problems_in
from common.sim.trading.account_book import (
    COLLATERAL_ASSET,
    FEES,
    OUTSIDE,
    AccountBook,
    Entry,
    reversed_entries,
)
from common.sim.trading.liquidity import Liquidity, fill_of, taker_fee_usd6, walk, with_dust
from common.sim.trading.order_payload import SentOrder
from common.sim.trading.signature_check import checked
from stage import spec
from trading_stage import PRIVATE, SIGNER, UP, USD6, WALLETS, Floor, played

HOLDERS = st.sampled_from(("ann", "bob", "counterparties", FEES))
ENTRIES = st.builds(
    Entry, HOLDERS, HOLDERS, st.sampled_from((COLLATERAL_ASSET, "1", "2")), st.integers(0, 10**9)
)
ASKS = st.dictionaries(st.integers(1, 999).map(lambda milli: milli * 10), st.integers(1, 10**9), max_size=8)


@given(st.lists(st.lists(ENTRIES, max_size=4), max_size=20))
def test_every_sum_stays_what_it_was_and_no_account_owes(rounds: list[list[Entry]]) -> None:
    book = AccountBook(("ann", "bob"))
    book.post([Entry(OUTSIDE, "ann", COLLATERAL_ASSET, 10**9), Entry(OUTSIDE, "bob", COLLATERAL_ASSET, 5)])
    posted = []
    for entries in rounds:
        before = {name: (book.balance(name), book.tokens(name)) for name in ("ann", "bob", FEES)}
        try:
            book.post(entries)
        except ValueError:
            assert before == {name: (book.balance(name), book.tokens(name)) for name in before}
        else:
            posted.append(entries)
        assert set(book.sums().values()) == {0}
        for name in ("ann", "bob"):
            assert book.balance(name) >= 0
            assert min(book.tokens(name).values(), default=0) >= 0
    for entries in reversed(posted):
        book.post(reversed_entries(entries))
    assert (book.balance("ann"), book.balance("bob"), book.balance(FEES)) == (10**9, 5, 0)


def test_an_entry_takes_nothing_back_by_being_negative() -> None:
    with pytest.raises(ValueError):
        AccountBook().post([Entry("ann", "bob", "1", -1)])


@given(
    ASKS, st.integers(100, 10_000), st.integers(1, 999), st.integers(0, 10**9), st.sampled_from(("0.07", "0"))
)
def test_a_walk_spends_no_more_than_it_may_at_no_worse_price(
    asks: dict[int, int], cents: int, cap_milli: int, funds6: int, rate: str
) -> None:
    market, budget6, cap4 = spec(fee_rate=rate), cents * 10_000, cap_milli * 10
    fills = walk(sorted(asks.items()), budget6, cap4, funds6, market)
    assert [fill.price4 for fill in fills] == sorted({fill.price4 for fill in fills})
    for fill in fills:
        assert fill.price4 <= cap4
        assert 0 < fill.size6 <= asks[fill.price4]
        assert 0 <= fill.size6 * fill.price4 - fill.cost_usd6 * 10_000 < 10_000
    spent6 = sum(fill.cost_usd6 for fill in fills)
    assert spent6 <= budget6
    assert spent6 + sum(fill.fee_usd6 for fill in fills) <= funds6
    worth6 = sum(size6 * price4 // 10_000 for price4, size6 in asks.items() if price4 <= cap4)
    if worth6 >= budget6 and funds6 >= budget6 * 2:
        assert spent6 == budget6, "what suffices is spent to the last millionth"
    split = with_dust(fills, 7, market)
    assert sum(fill.size6 for fill in split) == sum(fill.size6 for fill in fills)
    assert 0 <= spent6 - sum(fill.cost_usd6 for fill in split) <= 1


@given(
    st.integers(1, 10**12), st.integers(1, 9_999), st.sampled_from((("0.07", 1), ("0.05", 1), ("0.25", 2)))
)
def test_the_venues_fee_and_the_traders_agree(size6: int, price4: int, terms: tuple[str, int]) -> None:
    rate, exponent = terms
    schedule = FeeSchedule(int(Fraction(rate) * 1_000_000), exponent)
    venues = taker_fee_usd6(size6, price4, spec(fee_rate=rate, fee_exponent=exponent))
    assert venues == traders_fee(size6, price4, schedule)


def test_fees_and_costs_are_those_seen_on_the_chain(shared_data: Any) -> None:
    recorded = json.loads((shared_data / "frames/trading/taker_fee_onchain.json").read_text())["vectors"]
    assert len(recorded) == 11
    for row in recorded:
        buys = row["side"] == "BUY"
        size6 = row["taker_amount_filled"] if buys else row["maker_amount_filled"]
        price4 = int(Fraction(row["price"]) * 10_000)
        fill = fill_of(price4, size6, spec(fee_rate=row["fee_rate"]))
        assert fill.fee_usd6 == row["fee"]
        if buys:
            assert fill.cost_usd6 == row["maker_amount_filled"]


def test_ids_and_signatures_are_those_of_the_official_clients(shared_data: Any) -> None:
    """Every recorded order: standard and v2 exchange, all wallets; the neg-risk ones are not traded here."""
    seen = set()
    for name in ("golden", "parity"):
        recorded = json.loads((shared_data / f"frames/trading/eip712_orders_{name}.json").read_text())
        for row in recorded["vectors"]:
            order = row.get("order", row)
            exchange = row.get("verifying_contract") or row["exchange"]
            version = {"0xE1": "v1", "0xe3": "v2"}.get(exchange[:4])
            if version is None or row["chain_id"] != 137:
                continue
            sent = SentOrder(
                salt=int(order["salt"]),
                maker=order["maker"],
                signer=order["signer"],
                token=order.get("tokenId") or order["token_id"],
                maker6=int(order.get("makerAmount") or order["maker_amount"]),
                taker6=int(order.get("takerAmount") or order["taker_amount"]),
                side=order["side"],
                signature_type=order.get("signatureType", order.get("signature_type")),
                timestamp_ms=int(order["timestamp"]),
                metadata=order["metadata"],
                builder=order["builder"],
                signature=row["signature"],
                order_type="FAK",
                owner="",
                expiration="0",
            )
            signed = checked(sent, version)
            assert (signed.order_id, signed.by) == (row["order_hash"], SIGNER.lower())
            seen.add((version, sent.signature_type, sent.side))
    assert {(version, kind) for version, kind, _ in seen} == {(v, k) for v in ("v1", "v2") for k in range(4)}


def test_a_recorded_session_signature_is_understood(shared_data: Any) -> None:
    recorded = json.loads((shared_data / "frames/trading/eip712_session_key_signatures.json").read_text())
    order, row = recorded["order"], recorded["vectors"][0]
    sent = SentOrder(
        order["salt"],
        order["maker"],
        order["signer"],
        order["tokenId"],
        int(order["makerAmount"]),
        int(order["takerAmount"]),
        order["side"],
        3,
        int(order["timestamp"]),
        order["metadata"],
        order["builder"],
        "".join(row["signature_chunks"]),
        "FAK",
        "",
        "0",
    )
    signed = checked(sent, "v1")
    assert (signed.by, signed.session) == (SIGNER.lower(), True)
    assert recorded["private_key"] == PRIVATE


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(100, 3_000), st.integers(45, 60)), min_size=1, max_size=6))
def test_money_is_conserved_whatever_is_ordered(wishes: list[tuple[int, int]]) -> None:
    async def scene(venue: Floor) -> dict[str, Any]:
        client = await venue.trader()
        for cents, cap in wishes:
            venue.ask(("0.6", "30"), ("0.5", str(cents)))
            try:
                await venue.bought(client, str(cents / 100), f"0.{cap}")
            except Exception as error:
                if "no orders found" not in str(error):
                    raise
        final = {"CONFIRMED"}
        await venue.until(lambda truth: {t["status"] for o in truth["orders"] for t in o["trades"]} <= final)
        return await venue.truth()

    truth = played(
        scene,
        accounts=(SimAccount(signer=SIGNER, address=WALLETS["deposit"], usd6=USD6 * 10),),
        taker_delay_ms=0,
        mined_after_ms=1,
        confirmed_after_ms=1,
    )
    (account,) = truth["accounts"]
    trades = [trade for order in truth["orders"] for trade in order["trades"]]
    assert account["venue"] == account["chain"]
    assert truth["sums"]["venue"] == truth["sums"]["chain"]
    assert set(truth["sums"]["venue"].values()) <= {0}
    assert account["venue"]["usd6"] + truth["fees_usd6"] + truth["counterparties_usd6"] == USD6 * 10
    assert account["venue"]["tokens"].get(UP, 0) == sum(trade["size6"] for trade in trades)
    assert truth["fees_usd6"] == sum(trade["fee_usd6"] for trade in trades)
    assert truth["counterparties_usd6"] == sum(trade["cost_usd6"] for trade in trades)
    assert truth["executed"] == [order["id"] for order in truth["orders"]]


def test_what_was_bought_of_a_level_is_remembered_by_price_and_token() -> None:
    book = Liquidity()
    book.buy("1", [fill_of(5_000, 3, spec())])
    book.buy("1", [fill_of(5_000, 4, spec())])
    assert book._bought == {("1", 5_000): 7}


def test_accounts_that_make_no_sense_are_named() -> None:
    wallet = WALLETS["deposit"]
    bad = {
        "signer": SimAccount(signer="0x12", address=wallet),
        "wallet": SimAccount(signer=SIGNER, address="0x12"),
        "session": SimAccount(signer=SIGNER, address=wallet, session_signers=("0x12",)),
        "no wallet": SimAccount(signer=SIGNER),
        "own wallet": SimAccount(signer=SIGNER, address=SIGNER),
        "other wallet": SimAccount(signer=SIGNER, kind="eoa", address=wallet),
        "sessions of a safe": SimAccount(
            signer=SIGNER, kind="safe", address=wallet, session_signers=(SIGNER,)
        ),
        "debt": SimAccount(signer=SIGNER, address=wallet, usd6=-1),
        "negative allowance": SimAccount(signer=SIGNER, address=wallet, allowance_usd6=-1),
    }
    for why, account in bad.items():
        assert len(problems_in(SimSettings(accounts=(account,)))) == 1, why
    good = SimAccount(signer=SIGNER, address=wallet)
    assert problems_in(SimSettings(accounts=(good, SimAccount(signer=SIGNER, kind="eoa")))) == []
    assert len(problems_in(SimSettings(accounts=(good, good)))) == 1
    assert len(problems_in(SimSettings(page_size=0))) == 1
    for name in ("mined_after_ms", "confirmed_after_ms"):
        assert len(problems_in(SimSettings(**{name: -1}))) == 1


def test_the_edge_lets_the_official_client_in_and_no_other_script() -> None:
    async def scene(venue: Floor) -> None:
        async def status(agent: str, path: str, **headers: str) -> int:
            async with venue.venue.session.get(
                venue.venue.base + path, headers={"User-Agent": agent} | headers
            ) as answer:
                return answer.status

        client, script = "python-httpx/0.28.1", "python-requests/2.32"
        for path in ("/clob/time", f"/clob/tick-size?token_id={UP}", f"/clob/markets-by-token/{UP}"):
            assert await status(client, path) == 200
            assert await status(script, path) == 403
        assert await status(client, "/clob/data/trades", POLY_API_KEY="x") == 401
        assert await status(script, "/clob/data/trades", POLY_API_KEY="x") == 403
        assert await status(client, "/clob/data/trades") == 403
        assert await status(client, "/gamma/events") == 403
        _, told = await venue.venue.get(f"/clob/neg-risk?token_id={UP}")
        assert told == {"neg_risk": False}
        for path in ("/clob/neg-risk?token_id=1", "/clob/tick-size", "/clob/markets-by-token/1"):
            assert (await venue.venue.get(path))[0] == 404
        _, told = await venue.venue.get(f"/relayer/deployed?address={WALLETS['safe']}")
        assert told == {"deployed": True}
        for nobody in (SIGNER, "0x" + "99" * 20):
            assert (await venue.venue.get(f"/relayer/deployed?address={nobody}"))[1] == {"deployed": False}

    played(scene)
