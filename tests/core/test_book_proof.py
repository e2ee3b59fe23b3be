"""A book's text bears out the venue's hash whatever the last trade was, and nothing else does."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.core.book_hash import book_hash
from common.core.book_proof import (
    GRID,
    KEPT_TRADES,
    Claim,
    LastTrades,
    Terms,
    WireBook,
    last_trade_text,
    level_texts,
)
from common.units import price4_text, size6_text

STAMP = "1790000000123"
BIDS = {100: "3324", 4_200: "10", 4_300: "2.5"}
ASKS = {6_100: "7", 9_900: "0.01"}


def pairs(side: dict[int, str], *, falling: bool = False) -> list[tuple[str, str]]:
    return [(price4_text(price4), side[price4]) for price4 in sorted(side, reverse=falling)]


def said(bids: dict[int, str], asks: dict[int, str], last_trade: str, **more: Any) -> Claim:
    """What the venue says of this book."""
    fields: dict[str, Any] = {
        "min_order_size": "5",
        "tick_size": "0.01",
        "neg_risk": False,
        "version": None,
    } | more
    return Claim(
        STAMP,
        book_hash(
            "0xm",
            "7",
            STAMP,
            pairs(bids),
            pairs(asks, falling=True),
            last_trade_price=last_trade,
            **fields,
        ),
    )


def wire(claim: Claim, bids: dict[int, str], asks: dict[int, str], **more: Any) -> WireBook:
    """Our book, put together level by level in no special order."""
    book = WireBook(Terms("0xm", "7", "5", "0.01", **more), claim)
    for price4, size in bids.items():
        book.change("bid", price4, 1, price4_text(price4), size)
    for price4, size in asks.items():
        book.change("ask", price4, 1, price4_text(price4), size)
    return book


def test_the_right_book_is_proven_by_the_known_last_trade() -> None:
    claim = said(BIDS, ASKS, "0.430")
    proof = wire(claim, BIDS, ASKS).proof(["0.430"])
    assert (proof.proven, proof.last_trade, proof.searched, proof.found) == (True, "0.430", False, claim.hash)


def test_the_order_in_which_levels_came_does_not_count() -> None:
    turned = dict(reversed(BIDS.items())), dict(reversed(ASKS.items()))
    assert wire(said(BIDS, ASKS, ""), *turned).proof([""]).proven


def test_a_level_that_went_and_came_back_is_the_same_book() -> None:
    book = wire(said(BIDS, ASKS, ""), BIDS, ASKS)
    book.change("bid", 4_200, 0, "0.42", "0")
    assert not book.proof([""]).proven
    book.change("ask", 4_200, 0, "0.42", "0")
    book.change("bid", 4_200, 10_000_000, "0.42", "10")
    assert book.proof([""]).proven


@pytest.mark.parametrize("last_trade", ["", "0.001", "0.500", "0.999"])
def test_an_unknown_last_trade_is_found(last_trade: str) -> None:
    proof = wire(said(BIDS, ASKS, last_trade), BIDS, ASKS).proof(["0.123", "0.124"])
    assert (proof.proven, proof.last_trade, proof.searched) == (True, last_trade, True)


def test_an_older_known_last_trade_is_found_without_a_search() -> None:
    proof = wire(said(BIDS, ASKS, "0.430"), BIDS, ASKS).proof(["0.440", "0.430"])
    assert (proof.proven, proof.last_trade, proof.searched) == (True, "0.430", False)


def test_without_a_search_only_what_is_known_counts() -> None:
    book = wire(said(BIDS, ASKS, "0.430"), BIDS, ASKS)
    proof = book.proof(["0.440"], search=False)
    assert (proof.proven, proof.last_trade, proof.searched) == (False, "0.440", False)
    assert book.proof(["0.440", "0.430"], search=False).proven


def test_a_mismatch_shows_our_hash_with_the_likeliest_last_trade() -> None:
    ours = BIDS | {4_300: "2.6"}
    proof = wire(said(BIDS, ASKS, "0.430"), ours, ASKS).proof(["0.430", "0.420"])
    assert (proof.proven, proof.searched) == (False, True)
    assert (proof.last_trade, proof.found) == ("0.430", said(ours, ASKS, "0.430").hash)
    assert wire(Claim(STAMP, ""), BIDS, ASKS).proof([]).found == said(BIDS, ASKS, "").hash


@pytest.mark.parametrize(
    "terms",
    [
        {"tick_size": "0.001"},
        {"min_order_size": "15"},
        {"neg_risk": True},
        {"version": "v2"},
    ],
)
def test_the_terms_of_the_market_count(terms: dict[str, Any]) -> None:
    claim = said(BIDS, ASKS, "0.430", **terms)
    ours = wire(claim, BIDS, ASKS)
    assert not ours.proof(["0.430"]).proven
    own = {"min_order_size": "5", "tick_size": "0.01"} | terms
    ours.terms = Terms("0xm", "7", **own)
    assert ours.proof(["0.430"]).proven


def test_the_stamp_counts() -> None:
    claim = said(BIDS, ASKS, "")
    assert not wire(Claim("1790000000124", claim.hash), BIDS, ASKS).proof([""]).proven


def test_a_market_that_is_no_text_proves_nothing() -> None:
    book = wire(said(BIDS, ASKS, ""), BIDS, ASKS)
    book.terms = Terms("\ud800", "7", "5", "0.01")
    assert not book.proof([""]).proven


def test_last_trades_are_tried_newest_first_and_bounded() -> None:
    trades = LastTrades()
    assert list(trades.known()) == [""]
    for text in ("0.100", "0.200", "0.100"):
        trades.learn(text)
    assert list(trades.known()) == ["0.100", "0.200"]
    for text in GRID[:50]:
        trades.learn(text)
    assert list(trades.known()) == list(reversed(GRID[50 - KEPT_TRADES : 50]))


@pytest.mark.parametrize(
    ("price4", "text"),
    [(4_100, "0.410"), (5_850, "0.585"), (10, "0.001"), (9_990, "0.999"), (5_859, "0.585")],
)
def test_a_traded_price_is_written_with_three_decimals(price4: int, text: str) -> None:
    assert last_trade_text(price4) == text
    assert text in GRID


def test_levels_without_a_size_are_none() -> None:
    texts = level_texts([(100, 0), (200, 5)], [("0.01", "0"), ("0.02", "0.000005")])
    assert texts == {200: '{"price":"0.02","size":"0.000005"}'}


# --- any book ----------------------------------------------------------------------------------------

prices = st.integers(1, 999).map(lambda thousandths: thousandths * 10)
sizes = st.integers(1, 10**12).map(size6_text)
sides = st.dictionaries(prices, sizes, max_size=12)


@given(sides, sides, st.sampled_from(["", *GRID]), st.sampled_from(["", *GRID]))
def test_any_book_is_proven_whatever_was_known(
    bids: dict[int, str], asks: dict[int, str], last_trade: str, known: str
) -> None:
    proof = wire(said(bids, asks, last_trade), bids, asks).proof([known])
    assert (proof.proven, proof.last_trade) == (True, last_trade)


@given(sides.filter(bool), sides, st.data())
def test_any_single_wrong_level_is_noticed(
    bids: dict[int, str], asks: dict[int, str], data: st.DataObject
) -> None:
    claim = said(bids, asks, "0.500")
    ours = dict(bids)
    price4 = data.draw(st.sampled_from(sorted(bids)))
    match data.draw(st.sampled_from(["size", "price", "missing", "surplus", "side"])):
        case "size":
            ours[price4] = data.draw(sizes.filter(lambda size: size != bids[price4]))
        case "price":
            ours[data.draw(prices.filter(lambda price: price not in bids))] = ours.pop(price4)
        case "missing":
            del ours[price4]
        case "surplus":
            ours[data.draw(prices.filter(lambda price: price not in bids))] = data.draw(sizes)
        case _:
            asks = {**asks, price4: ours.pop(price4)}
    assert not wire(claim, ours, asks).proof(["0.500"]).proven
