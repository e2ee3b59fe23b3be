"""Recordings by their content: made-up files of each layout with each known defect, and the real ones."""

import gzip
import json
from pathlib import Path

import polars as pl
import pytest

from common.research.data import from_normalised
from common.research.data.dataset import Dataset, DataUnreadable
from common.research.data.recorded.recordings import Told, import_recordings
from common.units import MILLISECOND, SECOND

RECORDED = Path(__file__).resolve().parents[3] / "shared" / "data"
OPEN_S = 1_770_300_000
OPEN = OPEN_S * SECOND
SLUG, NEXT = f"btc-updown-15m-{OPEN_S}", f"btc-updown-15m-{OPEN_S + 900}"


def iso(second: float) -> str:
    moment = pl.Series([int((OPEN_S + second) * 1000)]).cast(pl.Datetime("ms"))
    return str(moment.dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ")[0])


def quote(
    second: float, up: float, down: float, beat: float | None = 70_000.0, price: float = 70_010.0
) -> list[object]:
    return [iso(second), round(15 - (second % 900) / 60, 4), up, down, beat, price]


def write_quotes(path: Path, *rows: list[object]) -> None:
    names = ["timestamp", "time_left_min", "mkt_up", "mkt_down", "price_to_beat", "binance_price"]
    pl.DataFrame(rows, schema=names, orient="row", strict=False).write_parquet(path)


def write_lines(path: Path, *lines: object) -> None:
    with gzip.open(path, "wt") as file:
        file.writelines(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines)


def only(told: list[Told]) -> Told:
    (one,) = told
    return one


def notes(told: list[Told]) -> str:
    return "\n".join(note for one in told for note in one.notes)


def test_the_first_latched_open_is_the_strike_and_a_later_one_is_counted(tmp_path: Path) -> None:
    rows = [
        quote(1, 0.5, 0.49, None),
        quote(3, 0.5, 0.49, 70_000.0),
        quote(400, 0.6, 0.39, 69_000.0),
        quote(901, 0.5, 0.49, 70_100.0),
    ]
    write_quotes(tmp_path / "btc_q.parquet", *rows)
    found, told = import_recordings(tmp_path)
    first, second = found.markets.rows(named=True)
    assert (first["strike_e8"], first["close_e8"]) == (70_000 * 10**8, 70_100 * 10**8)
    assert (first["outcome"], first["outcome_source"]) == ("up", "next_open_ge_open")
    assert (second["outcome"], second["outcome_source"]) == (None, None)
    assert "1 windows whose open was replaced later" in notes(told)


def test_a_window_recorded_too_late_has_no_strike(tmp_path: Path) -> None:
    write_quotes(tmp_path / "btc_q.parquet", quote(15, 0.5, 0.49, 70_000.0), quote(901, 0.5, 0.49, 70_100.0))
    found, told = import_recordings(tmp_path)
    assert found.markets["strike_e8"].to_list() == [None, 70_100 * 10**8]
    assert found.markets["outcome"].to_list() == [None, None]
    assert "recorded too late" in notes(told)


def test_an_ask_is_one_minus_the_other_bid_and_a_crossed_row_is_unknown(tmp_path: Path) -> None:
    write_quotes(tmp_path / "btc_q.parquet", quote(1, 0.6, 0.39), quote(2, 0.6, 0.41), quote(3, 0.0, 0.0))
    found, told = import_recordings(tmp_path)
    up = found.books.filter(pl.col("outcome") == "up")
    assert up.select("bid4", "ask4").rows() == [(6_000, 6_100), (None, None), (None, None)]
    assert found.books["derived"].all()
    assert "2 books crossed or locked" in notes(told)
    assert "1 rows without a quote" in notes(told)


def test_a_final_book_decides_only_without_doubt(tmp_path: Path) -> None:
    write_quotes(
        tmp_path / "btc_q.parquet",
        quote(880, 0.97, 0.02, None),
        quote(1_790, 0.7, 0.29, None),
        quote(2_000, 0.97, 0.02, None),
    )
    found, _ = import_recordings(tmp_path)
    assert found.markets["outcome"].to_list() == ["up", None, None]
    assert found.markets["outcome_source"].to_list() == ["final_book", None, None]


def test_words_in_number_columns_are_no_numbers(tmp_path: Path) -> None:
    names = "Timestamp,Time_Left_Sec,Price_Stream,Strike_Price,Diff,Up_Price,Best_Bid,Best_Ask,Extra,Slug"
    lines = [
        f"{iso(60)},840,70001.5,no_price_data,-,0.46,0.45,0.46,,{SLUG}",
        f"{iso(65)},835,70002.5,70000.25,2.25,0.46,0.47,0.46,,{SLUG}",
        f"{iso(70)},830,no_price_data,69000,-,0.46,-,0.46,,{SLUG}",
    ]
    write_lines(tmp_path / "site.csv.gz", names, *lines)
    found, told = import_recordings(tmp_path)
    assert found.ticks["price_e8"].to_list() == [7_000_150_000_000, 7_000_250_000_000]
    assert set(found.ticks["kind"]) == {"site-delayed"}
    assert found.markets["strike_e8"].to_list() == [7_000_025_000_000]
    up = found.books.filter(pl.col("outcome") == "up").select("bid4", "ask4").rows()
    assert up == [(4_500, 4_600), (None, None), (None, 4_600)]
    assert "1 rows whose strike is a word" in notes(told)


def test_relay_ticks_keep_the_exact_value_and_are_ordered_by_receipt(tmp_path: Path) -> None:
    names = "feed_ts_ms,value,full_accuracy_value,server_ts_ms,recv_ms"
    ms = OPEN_S * 1000
    lines = [
        f"{ms},70000.1,70000123456789000000000,{ms + 900},{ms + 1300}",
        f"{ms + 1000},70000.2,70000200000000000000000,{ms + 1100},{ms + 1200}",
        f"{ms + 2000},x,no,{ms},{ms}",
    ]
    write_lines(tmp_path / "btc_ticks.csv.gz", names, *lines)
    found, told = import_recordings(tmp_path)
    assert found.ticks["price_e8"].to_list() == [7_000_020_000_000, 7_000_012_345_679]
    assert "1 ticks skipped" in notes(told)


def test_relay_frames_are_read_by_topic(tmp_path: Path) -> None:
    ms = OPEN_S * 1000

    def frame(topic: str, symbol: str, exact: str) -> dict[str, object]:
        payload = {"symbol": symbol, "timestamp": ms, "value": 1, "full_accuracy_value": exact}
        return {
            "connection_id": "x",
            "topic": topic,
            "type": "update",
            "timestamp": ms + 500,
            "payload": payload,
        }

    lines = [
        frame("crypto_prices_chainlink", "xrp/usd", "2500000000000000000"),
        frame("crypto_prices", "xrpusdt", "2.51"),
        frame("comments", "x", "1"),
        "half a line",
    ]
    write_lines(tmp_path / "frames.jsonl.gz", *lines)
    found, told = import_recordings(tmp_path)
    assert found.ticks.select("asset", "kind", "price_e8").rows() == [
        ("xrp", "binance", 251_000_000),
        ("xrp", "spot", 250_000_000),
    ]
    assert set(found.ticks["at_ns"]) == {(ms + 500) * MILLISECOND}
    assert "1 lines skipped" in notes(told)
    assert "1 frames skipped" in notes(told)


def best_levels(path: Path, *quotes: tuple[float | None, float | None]) -> None:
    rows = [
        {"slug": SLUG, "ts": OPEN_S + n, "token_id": "1", "outcome": "up", "best_bid": bid, "best_ask": ask}
        | {"bid_depth": 1.0, "ask_depth": 1.0}
        for n, (bid, ask) in enumerate(quotes)
    ]
    pl.DataFrame(rows).write_parquet(path)


def test_a_book_that_shows_the_worst_level_is_refused(tmp_path: Path) -> None:
    best_levels(tmp_path / "trap.parquet", (0.01, None), (0.01, 0.99), (None, 0.999), (0.5, 0.51))
    with pytest.raises(DataUnreadable, match="worst level first"):
        import_recordings(tmp_path)
    best_levels(tmp_path / "trap.parquet", (0.01, 0.99), (0.5, 0.51), (0.5, 0.52))
    found, _ = import_recordings(tmp_path)
    assert found.books.height == 3


def raw_run(folder: Path, open_s: int) -> None:
    frame = {"source": "polymarket_clob", "recv_wall_ts": OPEN_S * 1000, "payload": "{}"}
    write_lines(folder / "run.jsonl.gz", frame)
    listed = {"slug": f"btc-updown-15m-{open_s}", "condition_id": "0x1", "outcomes": []}
    times = {"start_ts": open_s * 1000, "end_ts": (open_s + 900) * 1000}
    write_lines(folder / "run_markets.jsonl.gz", listed | times)


def test_books_of_the_next_day_do_not_belong_to_the_prices(tmp_path: Path) -> None:
    raw_run(tmp_path, OPEN_S + 86_400)
    with pytest.raises(DataUnreadable, match="opened 24 h after they were recorded"):
        import_recordings(tmp_path)


def test_raw_frames_of_the_right_window_are_left_to_the_decoder(tmp_path: Path) -> None:
    raw_run(tmp_path, OPEN_S)
    with pytest.raises(DataUnreadable, match="laggard decode"):
        import_recordings(tmp_path)


def test_a_stranger_is_named_and_the_others_are_imported(tmp_path: Path) -> None:
    write_quotes(tmp_path / "btc_q.parquet", quote(1, 0.5, 0.49))
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "strange.parquet")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 not really")
    write_lines(tmp_path / "empty.jsonl.gz")
    (tmp_path / "readme.txt").write_text("no recording")
    _, told = import_recordings(tmp_path)
    refused = {one.file: one.refused for one in told if one.refused}
    assert set(refused) == {"strange.parquet", "broken.parquet", "empty.jsonl.gz"}
    assert "columns: a" in refused["strange.parquet"]


def test_an_empty_folder_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DataUnreadable, match=r"\.jsonl\.gz"):
        import_recordings(tmp_path)


def test_official_markets_keep_their_own_fee(tmp_path: Path) -> None:
    market = {
        "slug": SLUG,
        "start_sec": OPEN_S,
        "end_sec": OPEN_S + 900,
        "token_ids": ["1", "2"],
        "resolved": True,
        "outcome_prices": ["0", "1"],
        "strike_value": str(70_000 * 10**18),
        "raw": {
            "feeSchedule": {"rate": 0.01, "exponent": 3},
            "orderPriceMinTickSize": 0.001,
            "orderMinSize": 7,
        },
    }
    write_lines(tmp_path / "m.jsonl.gz", market)
    found, _ = import_recordings(tmp_path)
    (row,) = found.markets.rows(named=True)
    assert (row["fee_rate_ppm"], row["fee_exponent"], row["tick4"], row["min_size6"]) == (
        10_000,
        3,
        10,
        7_000_000,
    )
    assert (row["outcome"], row["outcome_source"], row["token_down"]) == ("down", "official", "2")


def test_the_rows_or_the_name_say_whose_windows_these_are(tmp_path: Path) -> None:
    write_quotes(tmp_path / "quotes.parquet", quote(1, 0.5, 0.49))
    with pytest.raises(DataUnreadable, match="name the asset"):
        import_recordings(tmp_path)
    (tmp_path / "quotes.parquet").rename(tmp_path / "eth_quotes.parquet")
    found, _ = import_recordings(tmp_path)
    assert found.markets["window"].to_list() == [f"eth-updown-15m-{OPEN_S}"]


def test_the_length_of_the_windows_is_that_of_the_rows(tmp_path: Path) -> None:
    start = OPEN_S // 300 * 300
    rows = [[iso(start - OPEN_S + 60), 1.0, 4.0, 0.5, 0.49]]
    names = ["timestamp", "entry_minute", "time_left_min", "mkt_up", "mkt_down"]
    pl.DataFrame(rows, schema=names, orient="row").write_parquet(tmp_path / "btc.parquet")
    found, _ = import_recordings(tmp_path)
    assert found.markets["window"].to_list() == [f"btc-updown-5m-{start}"]


Imported = tuple[Dataset, list[Told]]


@pytest.fixture(scope="module")
def real() -> Imported:
    if not (RECORDED / "recordings").is_dir():
        pytest.skip("the recordings are not beside the checkout (../shared/data)")
    return import_recordings(RECORDED / "recordings")


def test_the_real_recordings_give_what_their_tables_give(real: Imported) -> None:
    found, _ = real
    tables = from_normalised.read(RECORDED / "normalised")
    ours = found.ticks.group_by("kind", "route").len()
    theirs = tables.ticks.group_by("kind", "route").len()
    both = theirs.join(ours, on=["kind", "route"], how="full", suffix="_ours")
    # One row of the perpetual had no price; rows without an asset's price are no ticks.
    assert (
        both.filter((pl.col("len").cast(pl.Int64) - pl.col("len_ours").cast(pl.Int64)).abs() > 1).height == 0
    )
    joined = tables.markets.join(found.markets, on="window", suffix="_ours", how="left")
    assert joined.filter(pl.col("outcome") != pl.col("outcome_ours")).height == 0
    assert joined.filter(pl.col("strike_e8") != pl.col("strike_e8_ours")).height == 0
    assert joined["start_ns_ours"].null_count() == 0


def test_the_real_recordings_show_their_defects(real: Imported) -> None:
    _, told = real
    refused = [one.refused for one in told if one.refused]
    assert any("worst level first" in text for text in refused)
    assert any("after they were recorded" in text for text in refused)
    said = notes(told)
    for defect in ("replaced later", "is a word", "crossed or locked", "side was not recorded", "two clocks"):
        assert defect in said
