"""A dataset is its rows: their digest knows nothing of files, and everything of values."""

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.research.data.dataset import (
    BOOKS,
    MARKETS,
    TABLES,
    TICKS,
    Dataset,
    DataUnreadable,
    dataset,
    select,
)
from common.research.data.eras import terms_at
from common.research.data.loading import load
from common.research.data.market_rows import market_row, market_table
from common.units import SECOND

DAY = 86_400 * SECOND
START = 1_770_300_000 * SECOND


def ticks(*rows: tuple[object, ...]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=dict(TICKS), orient="row")


def tick(
    at_s: int, price: int = 1, *, asset: str = "btc", observed_s: int | None = None
) -> tuple[object, ...]:
    observed = at_s - 1 if observed_s is None else observed_s
    return asset, "spot", "rtds", START + observed * SECOND, START + at_s * SECOND, price


def books(*rows: dict[str, object]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=dict(BOOKS))


def book(at_s: int, bid4: int | None = 4_000, **changed: object) -> dict[str, object]:
    ladder = [] if bid4 is None else [{"price4": bid4, "size6": 5}]
    made: dict[str, object] = {
        "window": "btc-updown-15m-1770300000",
        "asset": "btc",
        "outcome": "up",
        "at_ns": START + at_s * SECOND,
        "bid4": bid4,
        "derived": False,
        "bids": ladder,
        "asks": None,
    }
    return made | changed


def test_rows_come_in_the_order_in_which_they_could_be_known() -> None:
    made = dataset("x", ticks=ticks(tick(9, 3), tick(5, 1), tick(7, 2, asset="eth"), tick(7, 2)))
    assert made.ticks["asset"].to_list() == ["btc", "btc", "btc", "eth"]
    assert made.ticks["price_e8"].to_list() == [1, 2, 3, 2]


def test_books_of_one_instant_keep_their_order() -> None:
    made = dataset("x", books=books(book(1, 4_100), book(0, 4_000), book(1, 4_050)))
    assert made.books["bid4"].to_list() == [4_000, 4_100, 4_050]


def test_a_tick_said_again_keeps_its_first_receipt() -> None:
    made = dataset(
        "x", ticks=ticks(tick(30, 1, observed_s=0), tick(1, 1, observed_s=0), tick(31, 2, observed_s=0))
    )
    assert made.ticks["at_ns"].to_list() == [START + SECOND, START + 31 * SECOND]


def test_of_one_window_the_best_known_outcome_stays() -> None:
    slug = "btc-updown-15m-1770300000"
    rows = [
        market_row(slug, outcome="down", outcome_source="binance_proxy"),
        market_row(slug),
        market_row(slug, outcome="up", outcome_source="official"),
        market_row(slug, outcome="down", outcome_source="final_book"),
    ]
    made = dataset("x", markets=market_table(rows))
    assert made.markets.select("outcome", "outcome_source").rows() == [("up", "official")]


row = st.tuples(st.integers(0, 200_000), st.sampled_from(["btc", "eth"]))


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(row, max_size=30), cut=st.integers(0, 30), seed=st.randoms(use_true_random=False))
def test_the_digest_knows_nothing_of_the_layout(rows: list[tuple[int, str]], cut: int, seed: object) -> None:
    whole = [tick(at_s, at_s % 5 + 1, asset=asset) for at_s, asset in rows]
    shuffled = list(whole)
    seed.shuffle(shuffled)  # type: ignore[attr-defined]
    in_two = pl.concat([ticks(*shuffled[:cut]), ticks(*shuffled[cut:])], rechunk=False)
    turned = in_two.select(reversed(in_two.columns))
    assert dataset("a", ticks=ticks(*whole)).digest == dataset("b", ticks=turned).digest


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (book(0, 4_000), book(0, 4_001)),
        (book(0, 4_000), book(0, 4_000, bids=[{"price4": 4_000, "size6": 6}])),
        (book(0, None), book(0, None, bids=None)),
        (book(0), book(0, outcome="down")),
        (book(0), book(0, derived=True)),
        (book(0, ask4=0), book(0, ask4=None)),
    ],
)
def test_every_value_counts(one: dict[str, object], other: dict[str, object]) -> None:
    assert dataset("x", books=books(one)).digest != dataset("x", books=books(other)).digest


def test_a_null_does_not_wander_between_rows() -> None:
    unknown, known = ({"bid4": bid4, "bids": None} for bid4 in (None, 4_000))
    one = books(book(0) | unknown, book(1) | known)
    other = books(book(0) | known, book(1) | unknown)
    assert dataset("x", books=one).digest != dataset("x", books=other).digest


def test_levels_do_not_wander_between_books() -> None:
    level = {"price4": 1, "size6": 1}
    one = books(book(0, bids=[level, level]), book(1, bids=[level]))
    other = books(book(0, bids=[level]), book(1, bids=[level, level]))
    assert dataset("x", books=one).digest != dataset("x", books=other).digest


def test_text_does_not_wander_between_rows() -> None:
    def named(*tokens: str) -> Dataset:
        slugs = ("btc-updown-15m-1770300000", "btc-updown-15m-1770300900")
        return dataset(
            "x", markets=market_table(market_row(s, token_up=t) for s, t in zip(slugs, tokens, strict=True))
        )

    assert named("ab", "c").digest != named("a", "bc").digest


def whole() -> Dataset:
    slugs = ["btc-updown-15m-1770300000", "btc-updown-15m-1770300900", "eth-updown-15m-1770300000"]
    history = pl.DataFrame(
        {
            "window": slugs,
            "outcome": ["up"] * 3,
            "at_ns": [START, START + 900 * SECOND, START],
            "price4": [1, 2, 3],
            "sampled_every_ns": [1, 1, 1],
        }
    )
    return dataset(
        "x",
        markets=market_table(market_row(slug) for slug in slugs),
        ticks=ticks(tick(0), tick(1_000), tick(5, asset="eth")),
        books=books(book(1), book(950), book(2, outcome=None)),
        history=history,
    )


def test_a_part_is_chosen_by_asset_and_time() -> None:
    part = select(whole(), assets=["BTC"], start_ns=START, end_ns=START + 900 * SECOND)
    assert part.markets["window"].to_list() == ["btc-updown-15m-1770300000"]
    assert (part.ticks.height, part.books.height, part.history.height) == (1, 1, 1)
    assert part.digest != whole().digest


def test_a_part_is_a_dataset_like_any_other() -> None:
    part = select(whole(), assets=["btc"], unlabelled=True)
    again = dataset("y", markets=part.markets, ticks=part.ticks, books=part.books, history=part.history)
    assert again.digest == part.digest


def test_books_without_a_side_are_left_out_unless_asked_for() -> None:
    assert select(whole()).books.height == 2
    assert select(whole(), unlabelled=True).digest == whole().digest


def test_what_is_no_data_is_told_with_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DataUnreadable, match=r"(?s)manifest\.json.*markets\.parquet.*00000001\.tape"):
        load(tmp_path)


def test_every_table_has_its_columns_even_when_empty() -> None:
    made = dataset("x")
    for table, schema in TABLES.items():
        assert dict(getattr(made, table).schema) == dict(schema)
    assert set(MARKETS) == set(made.markets.columns)


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (20_400, ("no-fee-spot", 0, 1, None)),  # 8 November 2025
        (20_440, ("no-fee-spot", 0, 1, 500_000_000)),  # 18 December 2025
        (20_489, ("fee-spot", 250_000, 2, 500_000_000)),  # 5 February 2026
        (20_560, ("fee-spot", 72_000, 1, None)),  # 17 April 2026
        (20_612, ("fee-spot", 70_000, 1, 250_000_000)),  # 8 June 2026
        (20_750, ("fee-twap", 70_000, 1, 150_000_000)),  # 24 October 2026
    ],
)
def test_the_terms_of_a_day(day: int, expected: tuple[object, ...]) -> None:
    assert tuple(terms_at(day * DAY)) == expected
