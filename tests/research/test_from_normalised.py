"""Float tables become integers once, without inventing a price: made-up tables, and the recorded ones."""

from pathlib import Path

import polars as pl
import pytest

from common.errors import FrameRefused
from common.research.data.dataset import Dataset
from common.research.data.float_columns import ask4, bid4, price_e8, size6
from common.research.data.loading import load

RECORDED = Path(__file__).resolve().parents[3] / "shared" / "data" / "normalised"
SLUG = "btc-updown-15m-1770300000"
SLUG_AFTER = "btc-updown-15m-1770300900"
OPEN_MS = 1_770_300_000_000


def folder(tmp_path: Path, **tables: dict[str, list[object]]) -> Path:
    market: dict[str, list[object]] = {
        "dataset": ["x"],
        "slug": [SLUG],
        "asset": ["BTC"],
        "open_price": [70_000.5],
        "close_price": [None],
        "outcome": ["UP"],
        "outcome_source": ["next_open_ge_open"],
    }
    pl.DataFrame(market, schema_overrides={"close_price": pl.Float64}).write_parquet(
        tmp_path / "markets.parquet"
    )
    for name, columns in tables.items():
        pl.DataFrame(columns, strict=False).write_parquet(tmp_path / f"{name}.parquet")
    return tmp_path


def tick_table(**changed: list[object]) -> dict[str, list[object]]:
    made: dict[str, list[object]] = {
        "asset": ["BTC"],
        "source": ["chainlink_rtds"],
        "ts_exchange_ms": [OPEN_MS],
        "ts_server_ms": [OPEN_MS + 1_000.0],
        "ts_recv_ms": [OPEN_MS + 1_300.0],
        "price": [70_000.123456789],
    }
    return made | changed


def book_table(bid: float | None, ask: float | None, **changed: list[object]) -> dict[str, list[object]]:
    made: dict[str, list[object]] = {
        "slug": [SLUG],
        "outcome": ["UP"],
        "token_id": ["7"],
        "ts_exch_ms": [OPEN_MS],
        "ts_recv_ms": [OPEN_MS + 20],
        "bid": [bid],
        "bid_sz": [10.5],
        "ask": [ask],
        "ask_sz": [20.25],
        "derived": [False],
    }
    return made | changed


def test_a_tick_is_known_when_it_was_received(tmp_path: Path) -> None:
    found = load(folder(tmp_path, oracle_ticks=tick_table())).ticks.row(0, named=True)
    assert found["at_ns"] - found["observed_ns"] == 1_300_000_000
    assert found["price_e8"] == 7_000_012_345_679
    assert (found["asset"], found["kind"], found["route"]) == ("btc", "spot", "rtds")


def test_without_our_receipt_it_is_known_when_the_relay_sent_it(tmp_path: Path) -> None:
    found = load(folder(tmp_path, oracle_ticks=tick_table(ts_recv_ms=[None])))
    assert found.ticks["at_ns"].to_list() == [(OPEN_MS + 1_000) * 1_000_000]


def test_a_source_nobody_knows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FrameRefused, match="unknown-source"):
        load(folder(tmp_path, oracle_ticks=tick_table(source=["somewhere"])))


def test_a_perpetual_is_not_the_pair(tmp_path: Path) -> None:
    found = load(folder(tmp_path, oracle_ticks=tick_table(source=["binance_perp_ws"])))
    assert found.ticks["kind"].to_list() == ["binance-perp"]


def test_one_recorded_side_gives_the_other(tmp_path: Path) -> None:
    found = load(folder(tmp_path, book_top=book_table(0.57, 0.58)))
    down, up = found.books.rows(named=True)
    assert (up["outcome"], up["bid4"], up["ask4"], up["derived"]) == ("up", 5_700, 5_800, False)
    assert (down["outcome"], down["bid4"], down["ask4"], down["derived"]) == ("down", 4_200, 4_300, True)
    assert (down["bid_size6"], down["ask_size6"]) == (20_250_000, 10_500_000)
    assert found.markets.select("token_up", "token_down").row(0) == ("7", "")


@pytest.mark.parametrize(("bid", "ask"), [(0.58, 0.57), (0.57, 0.57)])
def test_a_crossed_book_is_unknown_and_still_ends_the_one_before(
    tmp_path: Path, bid: float, ask: float
) -> None:
    found = load(folder(tmp_path, book_top=book_table(bid, ask)))
    assert found.books.height == 2
    assert found.books.select("bid4", "ask4", "bid_size6", "ask_size6").unique().rows() == [(None,) * 4]


def test_a_market_has_the_terms_of_its_day(tmp_path: Path) -> None:
    (row,) = load(folder(tmp_path, oracle_ticks=tick_table())).markets.rows(named=True)
    assert (row["fee_rate_ppm"], row["fee_exponent"], row["taker_delay_ns"]) == (250_000, 2, 500_000_000)
    assert (row["strike_e8"], row["close_e8"]) == (7_000_050_000_000, None)
    assert (row["outcome"], row["outcome_source"], row["era"]) == ("up", "next_open_ge_open", "fee-spot")


def test_an_open_marked_as_unreliable_decides_nothing(tmp_path: Path) -> None:
    def market(index: int, note: str) -> dict[str, object]:
        slug = f"btc-updown-15m-{1_770_300_000 + 900 * index}"
        prices = {"open_price": 70_000.0 + index, "close_price": 70_001.0 + index}
        told = {"outcome": "UP", "outcome_source": "next_open_ge_open", "note": note}
        return {"dataset": "x", "slug": slug, "asset": "BTC"} | prices | told

    folder(tmp_path, book_top=book_table(0.01, 0.02, ts_recv_ms=[OPEN_MS + 1_799_000], slug=[SLUG_AFTER]))
    listed = [market(0, ""), market(1, "recording starts late; open price unreliable"), market(2, "")]
    pl.DataFrame(listed).write_parquet(tmp_path / "markets.parquet")
    rows = load(tmp_path).markets.select("strike_e8", "close_e8", "outcome", "outcome_source").rows()
    known = [7_000_000_000_000 + 10**8 * index for index in range(4)]
    assert rows == [
        (known[0], None, None, None),
        (None, known[2], "down", "final_book"),
        (known[2], known[3], "up", "next_open_ge_open"),
    ]


def converted(expression: pl.Expr, values: list[float | None]) -> list[int | None]:
    return pl.DataFrame({"x": values}, schema={"x": pl.Float64}).select(expression).to_series().to_list()


def test_prices_on_the_grid_are_exact_and_others_go_against_the_taker() -> None:
    grid = [thousandth / 1000 for thousandth in range(1, 1000)]
    exact = [thousandth * 10 for thousandth in range(1, 1000)]
    assert converted(bid4("x"), grid) == exact
    assert converted(ask4("x"), grid) == exact
    assert converted(bid4("x"), [0.12345]) == [1234]
    assert converted(ask4("x"), [0.12345]) == [1235]


def test_what_is_no_quote_is_null() -> None:
    odd = [0.0, 1.0, -0.1, 1.5, float("nan"), float("inf"), None]
    assert converted(bid4("x"), odd) == [None] * 7
    assert converted(ask4("x"), odd) == [None] * 7
    assert converted(size6("x"), [0.0, -1.0, None, 5.1]) == [None, None, None, 5_100_000]
    assert converted(price_e8("x"), [0.0, float("nan"), None, 2.13]) == [None, None, None, 213_000_000]


@pytest.fixture(scope="module")
def recorded() -> Dataset:
    if not (RECORDED / "markets.parquet").is_file():
        pytest.skip("the recordings are not beside the checkout (../shared/data)")
    return load(RECORDED, unlabelled=True)


def test_the_recorded_tables_are_read_whole(recorded: Dataset) -> None:
    assert recorded.ticks.height > 1_000
    assert recorded.markets["window"].is_unique().all()
    for frame, instant in (
        (recorded.ticks, "at_ns"),
        (recorded.books, "at_ns"),
        (recorded.markets, "start_ns"),
    ):
        for part in frame.partition_by("asset"):
            assert part[instant].is_sorted()
    assert recorded.ticks.select(pl.all().null_count()).row(0) == (0,) * 6


def test_no_recorded_book_is_crossed_and_every_derived_one_says_so(recorded: Dataset) -> None:
    assert recorded.books.filter(pl.col("bid4") >= pl.col("ask4")).height == 0
    derived = recorded.books.filter(pl.col("derived"))
    assert derived["bid_size6"].null_count() == derived.height


def test_official_outcomes_follow_from_the_ticks_of_the_boundary_seconds(recorded: Dataset) -> None:
    spot = recorded.ticks.filter((pl.col("kind") == "spot") & (pl.col("route") == "rtds"))
    by_second = spot.unique(("asset", "observed_ns"), keep="first").select("asset", "observed_ns", "price_e8")
    judged = (
        recorded.markets.filter(pl.col("outcome_source") == "official")
        .join(by_second.rename({"observed_ns": "start_ns", "price_e8": "opening"}), on=["asset", "start_ns"])
        .join(by_second.rename({"observed_ns": "end_ns", "price_e8": "closing"}), on=["asset", "end_ns"])
    )
    wrong = judged.filter((pl.col("closing") >= pl.col("opening")) != (pl.col("outcome") == "up"))
    assert judged.height > 100
    assert wrong.height == 0
