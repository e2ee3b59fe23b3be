"""Recordings of three layouts as scripts: from small files made here, and from real ones where at hand."""

import csv
import gzip
import io
import itertools
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import pytest

from common.errors import EXIT_CONFIG
from common.sim.recorded.recordings import RecordingUnreadable, describe, recording_script
from common.sim.script import (
    BookSet,
    Listed,
    MarketSpec,
    Observed,
    Resolved,
    Script,
    Step,
    StrikePublished,
    TickSizeChanged,
    Traded,
)
from common.units import E18, MILLISECOND, SECOND

NOW = 1_790_000_000_123_456_789
OPENING_S = 1_700_000_100
"""On the 15-minute grid."""
T = TypeVar("T")
CHAINLINK = "crypto_prices_chainlink"


@dataclass(frozen=True)
class Played:
    """A script, played to its end."""

    script: Script
    steps: list[Step]

    def of(self, kind: type[T]) -> list[T]:
        return [step.event for step in self.steps if isinstance(step.event, kind)]

    @property
    def specs(self) -> list[MarketSpec]:
        return [event.market for event in self.of(Listed)]

    @property
    def outcomes(self) -> dict[str, str]:
        return {event.slug: event.outcome for event in self.of(Resolved)}

    def opening_values(self) -> list[list[int]]:
        """Per window the values that came on the oracle topic stamped at its opening, in order."""
        ticks = [one for one in self.of(Observed) if one.topic == CHAINLINK]
        return [
            [
                one.value_e18
                for one in ticks
                if one.observed_ms * MILLISECOND == spec.start_ns and one.symbol == f"{spec.asset}/usd"
            ]
            for spec in sorted(self.specs, key=lambda spec: spec.start_ns)
        ]


def play(path: Path, speed: float | None = None, now_ns: int = NOW, seconds: int | None = None) -> Played:
    script = recording_script(path, speed, now_ns, seconds=seconds)
    steps = list(script.steps)
    assert steps[0].at_ns >= now_ns
    assert all(a.at_ns <= b.at_ns for a, b in itertools.pairwise(steps))
    assert script.ends_ns is not None
    assert steps[-1].at_ns <= script.ends_ns
    played = Played(script, steps)
    assert_consistent(played)
    return played


def assert_consistent(played: Played) -> None:
    """What must hold in every script: slugs, grid, known tokens, books that do not cross."""
    known, slugs = set(), set()
    for step in played.steps:
        match step.event:
            case Listed(spec):
                start_s, length_ns = spec.start_ns // SECOND, played.script.window_s * SECOND
                assert spec.slug == f"{spec.asset}-updown-{played.script.cadence}-{start_s}"
                assert spec.end_ns - spec.start_ns == length_ns
                assert spec.start_ns % SECOND == 0
                assert spec.listed_ns == step.at_ns
                known |= {spec.token_up, spec.token_down}
                slugs.add(spec.slug)
            case BookSet(token, bids, asks):
                assert token in known
                assert not bids or not asks or float(bids[-1][0]) < float(asks[-1][0])
            case Traded(token=token):
                assert token in known
            case TickSizeChanged(slug=slug) | StrikePublished(slug=slug) | Resolved(slug=slug):
                assert slug in slugs


def iso(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def as_csv(rows: list[dict[str, object]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_lines(rows: Iterable[object]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def quote_row(at_s: float, window: int, opened: object, up: object, down: object) -> dict[str, object]:
    left = (OPENING_S + (window + 1) * 900 - at_s) / 60
    return {
        "timestamp": iso(at_s),
        "entry_minute": 15 - left,
        "time_left_min": round(left, 6),
        "mkt_up": up,
        "mkt_down": down,
        "price_to_beat": opened,
        "binance_price": 50_000.25,
    }


def quote_rows() -> list[dict[str, object]]:
    """Four windows: starts late; replaced open; unchanged open; last, decided only by its book."""
    opens: list[list[tuple[int, object]]] = [
        [(600, 50_000.0)],
        [(3, 50_010.5), (400, 49_000.0)],
        [(2, 50_005.25)],
        [(1, 50_020.0)],
    ]
    rows = []
    for window, latched in enumerate(opens):
        for second in range(latched[0][0], 900, 10):
            opened = [value for since, value in latched if since <= second][-1]
            late = window in (0, 3) and second > 850
            bids = (0.0, 0.99) if late else (0.6, 0.39)
            rows.append(quote_row(OPENING_S + window * 900 + second, window, opened, *bids))
    return rows


@pytest.fixture
def quotes(tmp_path: Path) -> Path:
    path = tmp_path / "anything.txt"
    path.write_text(as_csv(quote_rows()))
    return path


def test_quotes_latch_replace_and_resolve(quotes: Path) -> None:
    played = play(quotes, 60.0)
    first, second, third, fourth = sorted(played.specs, key=lambda spec: spec.start_ns)
    assert played.opening_values() == [
        [],
        [50_010 * E18 + E18 // 2, 49_000 * E18],
        [50_005 * E18 + E18 // 4],
        [50_020 * E18],
    ]
    assert played.outcomes == {first.slug: "Down", second.slug: "Down", third.slug: "Up", fourth.slug: "Down"}
    published = [event for event in played.of(StrikePublished) if event.slug == second.slug]
    assert [event.value_e18 for event in published] == [50_010 * E18 + E18 // 2, 49_000 * E18]
    assert (played.script.cadence, played.script.book, played.script.speed) == ("15s", "derived", 60.0)
    assert any("no sizes" in note for note in played.script.notes)
    assert any("start too late" in note for note in played.script.notes)


def test_quotes_derive_asks_from_the_other_side(quotes: Path) -> None:
    played = play(quotes, 60.0)
    spec = played.specs[0]
    books = played.of(BookSet)
    up = next(book for book in books if book.token == spec.token_up)
    down = next(book for book in books if book.token == spec.token_down)
    assert (up.bids, up.asks) == ((("0.6", "100"),), (("0.61", "100"),))
    assert (down.bids, down.asks) == ((("0.39", "100"),), (("0.4", "100"),))
    decided = [book for book in books if book.token == spec.token_up][-1]
    assert (decided.bids, decided.asks) == ((), (("0.01", "100"),))


def test_quotes_show_the_exchange_price_on_its_own_topic(quotes: Path) -> None:
    played = play(quotes, 60.0)
    exchange = [one for one in played.of(Observed) if one.topic == "crypto_prices"]
    assert {one.symbol for one in exchange} == {"btcusdt"}
    assert exchange[0].value_e18 == 50_000 * E18 + E18 // 4


def test_quotes_tolerate_bad_rows(tmp_path: Path) -> None:
    good = quote_rows()
    at_s = OPENING_S + 1_000.5
    bad = [
        quote_row(at_s, 1, "no_price_data", 0.6, 0.39),
        quote_row(at_s, 1, 50_010.5, "nan", 0.39),
        quote_row(at_s, 1, 50_010.5, "", ""),
        quote_row(at_s, 1, 50_010.5, 0.7, 0.4),
        quote_row(at_s, 1, 50_010.5, 0.6, 0.39) | {"timestamp": "yesterday"},
        quote_row(at_s, 1, 50_010.5, 0.6, 0.39) | {"timestamp": "1970-01-02T00:00:00Z"},
        quote_row(at_s, 1, 50_010.5, 0.6, 0.39) | {"time_left_min": "NaN"},
        quote_row(at_s, 1, 50_010.5, 0.6, 0.39) | {"time_left_min": "3.3"},
    ]
    clean, dirty = tmp_path / "clean.csv", tmp_path / "dirty.csv"
    clean.write_text(as_csv(good))
    dirty.write_text(as_csv([*good[:40], *bad, *good[:39:-1]]))
    played = play(dirty, 60.0)
    assert played.opening_values() == play(clean, 60.0).opening_values()
    assert played.outcomes == play(clean, 60.0).outcomes
    notes = "\n".join(played.script.notes)
    for remark in ("crossed or locked", "without a usable quote", "no usable time", "put into order"):
        assert remark in notes


def test_quotes_with_a_sub_cent_price_change_the_grid(tmp_path: Path) -> None:
    rows = [quote_row(OPENING_S + second, 0, 50_000.0, 0.995, 0.004) for second in range(1, 100)]
    path = tmp_path / "q.csv"
    path.write_text(as_csv(rows))
    assert [event.new_tick_size for event in play(path).of(TickSizeChanged)] == ["0.001"]


def test_containers_are_told_by_content(tmp_path: Path, quotes: Path) -> None:
    polars = pytest.importorskip("polars")
    expected = play(quotes, 60.0).steps
    zipped, parquet, lines = tmp_path / "a.dat", tmp_path / "b.dat", tmp_path / "c.dat"
    zipped.write_bytes(gzip.compress(quotes.read_bytes()))
    polars.DataFrame(quote_rows()).write_parquet(parquet)
    lines.write_text(as_lines(quote_rows()))
    for path in (zipped, parquet, lines):
        assert play(path, 60.0).steps == expected
        assert describe(path).layout == "quotes"


def tick_row(stamp_s: int, value: int, delay_ms: int = 1_300) -> dict[str, object]:
    return {
        "feed_ts_ms": stamp_s * 1_000,
        "value": value / E18,
        "full_accuracy_value": str(value),
        "server_ts_ms": stamp_s * 1_000 + 1_000,
        "recv_ms": stamp_s * 1_000 + delay_ms,
    }


def tick_rows(missing: Iterable[int] = ()) -> list[dict[str, object]]:
    """Half an hour; the price rises in the first quarter and falls in the second."""
    left_out = set(missing)
    return [
        tick_row(OPENING_S + second, 100 * E18 + (900 - abs(second - 900)) * 10**15 + 7)
        for second in range(1_801)
        if second not in left_out
    ]


def market_row(start_s: int, outcome: list[str], **more: object) -> dict[str, object]:
    return {
        "slug": f"btc-updown-5m-{start_s}",
        "asset": "btc",
        "condition_id": f"0x{start_s:064x}",
        "token_ids": [str(start_s * 10 + 1), str(start_s * 10 + 2)],
        "start_sec": start_s,
        "end_sec": start_s + 300,
        "resolved": True,
        "outcome_prices": outcome,
        "strike_value": str(77 * E18),
        "raw": {"feeSchedule": {"rate": 0.06, "exponent": 2}, "orderMinSize": 6},
    } | more


def test_ticks_keep_exact_values_and_opening_seconds(tmp_path: Path) -> None:
    path = tmp_path / "xrp_ticks.csv"
    path.write_text(as_csv(tick_rows()))
    played = play(path, 60.0)
    assert played.script.assets == ("xrp",)
    assert played.opening_values()[:2] == [
        [100 * E18 + 7],
        [100 * E18 + 9 * 10**17 + 7],
    ]
    assert [played.outcomes[spec.slug] for spec in played.specs[:2]] == ["Up", "Down"]
    assert played.script.book == "generated"
    assert any("no books were recorded" in note for note in played.script.notes)
    delays = {
        (s.at_ns - s.event.observed_ms * MILLISECOND) // MILLISECOND
        for s in played.steps
        if isinstance(s.event, Observed)
    }
    assert delays <= {20, 21, 22}


def test_a_missing_boundary_tick_leaves_both_windows_unresolved(tmp_path: Path) -> None:
    path = tmp_path / "ticks.csv"
    path.write_text(as_csv(tick_rows(missing=[900])))
    played = play(path, 60.0)
    assert played.outcomes == {}
    assert played.opening_values()[1] == []
    assert played.script.assets == ("btc",)


def test_ticks_out_of_order_and_damaged_are_survived(tmp_path: Path) -> None:
    rows = tick_rows()
    rows[10], rows[11] = rows[11], rows[10]
    rows[20] |= {"full_accuracy_value": "nan"}
    rows[21] |= {"recv_ms": ""}
    rows[22] |= {"feed_ts_ms": "0", "recv_ms": "5"}
    path = tmp_path / "ticks.csv"
    path.write_text(as_csv(rows))
    played = play(path, 60.0)
    assert len([one for one in played.of(Observed) if one.topic == CHAINLINK]) == len(rows) - 3
    assert any("1 rows put into order" in note for note in played.script.notes)


def test_official_outcomes_come_from_the_list_beside_the_ticks(tmp_path: Path) -> None:
    path = tmp_path / "ticks.csv"
    path.write_text(as_csv(tick_rows()))
    (tmp_path / "broken.jsonl.gz").write_bytes(b"\x1f\x8bnot gzip")
    (tmp_path / "other_name.jsonl").write_text(
        as_lines(
            [
                market_row(OPENING_S, ["0", "1"]),
                market_row(OPENING_S + 300, ["1", "0"]),
                market_row(OPENING_S + 600, ["0.5", "0.5"]),
                market_row(OPENING_S + 90_000, ["1", "0"]),
                {"slug": "btc-updown-5m-1"},
            ]
        )
    )
    played = play(path, 60.0)
    assert [spec.asset for spec in played.specs] == ["btc"] * 3
    assert played.script.cadence == "5s"
    first, second, _ = sorted(played.specs, key=lambda spec: spec.start_ns)
    assert played.outcomes == {first.slug: "Down", second.slug: "Up"}
    assert (first.fee_rate, first.fee_exponent, first.min_size) == ("0.06", 2, "6")
    assert first.token_up == str(OPENING_S * 10 + 1)
    assert played.of(StrikePublished)[0] == StrikePublished(first.slug, 77 * E18)


def rtds(stamp_s: int, value: int, asset: str = "btc") -> dict[str, object]:
    return {
        "topic": CHAINLINK,
        "type": "update",
        "timestamp": stamp_s * 1_000 + 1_100,
        "connection_id": "x",
        "payload": {
            "symbol": f"{asset}/usd",
            "timestamp": stamp_s * 1_000,
            "value": value / E18,
            "full_accuracy_value": str(value),
        },
    }


def received(at_s: float, source: str, frame: object) -> dict[str, object]:
    text = frame if isinstance(frame, str) else json.dumps(frame) + "\n"
    return {"source": source, "recv_wall_ts": int(at_s * 1_000), "payload": text}


def subscribed(start_s: int, asset: str = "BTC") -> dict[str, object]:
    return {
        "slug": f"{asset.lower()}-updown-15m-{start_s}",
        "title": "A market",
        "asset": asset,
        "condition_id": f"0x{start_s:064x}",
        "outcomes": [{"token_id": "22", "outcome": "Down"}, {"token_id": "11", "outcome": "Up"}],
        "start_ts": start_s * 1_000,
        "end_ts": (start_s + 900) * 1_000,
        "resolution_source": "https://example.org/stream",
        "tick_size": 0.01,
        "min_order_size": 5.0,
        "fee_parameters": {"raw_fee_config": {"rate": 0.072, "exponent": 1}},
    }


BOOK = {
    "market": "0x1",
    "asset_id": "11",
    "timestamp": "1",
    "bids": [{"price": "0.10", "size": "5"}, {"price": "0.4", "size": "20.50"}],
    "asks": [{"price": "0.9", "size": "7"}, {"price": "0.45", "size": "1"}],
}


def change(price: str, size: str, side: str, token: str = "11") -> dict[str, object]:
    entry = {"asset_id": token, "price": price, "size": size, "side": side, "hash": "h"}
    return {"event_type": "price_change", "market": "0x1", "price_changes": [entry], "timestamp": "2"}


def frame_rows() -> list[dict[str, object]]:
    start = OPENING_S + 100
    points = [{"timestamp": (start - back) * 1_000, "value": 50_000.5} for back in range(60, 0, -1)]
    backfill = {
        "topic": "crypto_prices",
        "type": "subscribe",
        "payload": {"symbol": "btc/usd", "data": points},
    }
    announced = {
        "event_type": "new_market",
        "market": "0xnew",
        "slug": f"btc-updown-15m-{OPENING_S + 87_300}",
        "assets_ids": ["33", "44"],
        "outcomes": ["Up", "Down"],
        "fee_schedule": {"rate": "0.072", "exponent": "1"},
    }
    return [
        received(start, "polymarket_clob", BOOK),
        received(start + 1, "polymarket_clob", [BOOK | {"event_type": "book", "asset_id": "22"}, BOOK]),
        received(start + 2, "polymarket_clob", change("0.42", "3", "BUY")),
        received(start + 3, "polymarket_clob", change("0.4", "0", "BUY")),
        received(start + 4, "polymarket_clob", change("0.5", "3", "BUY", token="99")),
        received(start + 5, "polymarket_rtds_chainlink", backfill),
        received(start + 6, "polymarket_rtds_chainlink", rtds(start + 5, 50_001 * E18 + 1)),
        received(start + 6, "polymarket_rtds_chainlink", rtds(start - 1, 50_000 * E18 + 9)),
        received(start + 7, "polymarket_clob", announced),
        received(
            start + 7, "polymarket_clob", announced | {"market": "0xb", "slug": f"bnb-updown-15m-{OPENING_S}"}
        ),
        received(
            start + 8,
            "polymarket_clob",
            {"event_type": "last_trade_price", "asset_id": "11", "price": "0.42", "size": "3", "side": "BUY"},
        ),
        received(
            start + 9,
            "binance",
            {"stream": "btcusdt@trade", "data": {"s": "BTCUSDT", "p": "50002.10", "T": (start + 8) * 1_000}},
        ),
        received(start + 9, "coinbase", {"type": "ticker", "price": "1"}),
        received(start + 9, "polymarket_clob", "PONG"),
        received(start + 9, "polymarket_clob", ""),
        received(start + 9, "polymarket_clob", "{cut"),
    ]


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    path = tmp_path / "run.jsonl"
    path.write_text(as_lines(frame_rows()))
    (tmp_path / "run_markets.jsonl").write_text(as_lines([subscribed(OPENING_S + 86_400)]))
    return path


def test_frames_rebuild_books_with_the_wires_own_text(frames: Path) -> None:
    played = play(frames, 6.0)
    books = played.of(BookSet)
    assert played.script.book == "recorded"
    assert books[0] == BookSet("11", (("0.10", "5"), ("0.4", "20.50")), (("0.9", "7"), ("0.45", "1")))
    assert [book.token for book in books] == ["11", "22", "11", "11", "11"]
    assert books[3].bids == (("0.10", "5"), ("0.4", "20.50"), ("0.42", "3"))
    assert books[4].bids == (("0.10", "5"), ("0.42", "3"))
    assert played.of(Traded) == [Traded("11", "0.42", "3", "BUY")]


def test_frames_keep_the_distance_of_a_next_day_window(frames: Path) -> None:
    played = play(frames, 6.0)
    spec = played.specs[0]
    book_at = next(step.at_ns for step in played.steps if isinstance(step.event, BookSet))
    assert abs(spec.start_ns - book_at - (86_400 - 100) * SECOND // 6) <= 1
    assert (spec.fee_rate, spec.min_size, spec.token_up) == ("0.072", "5", "11")
    assert played.outcomes == {}


def test_frames_list_announced_markets_of_the_recorded_kind_only(frames: Path) -> None:
    played = play(frames, 6.0)
    assert [spec.asset for spec in played.specs] == ["btc", "btc"]
    assert played.specs[1].token_up == "33"
    notes = "\n".join(played.script.notes)
    assert "1 announced markets skipped" in notes
    assert "1 book frames skipped: of no market" in notes
    assert "1 lines skipped: the frame is not JSON" in notes


def test_frames_history_fills_only_seconds_without_an_update(frames: Path) -> None:
    played = play(frames, 6.0)
    ticks = [(s.at_ns, s.event) for s in played.steps if isinstance(s.event, Observed)]
    spot = [event for _, event in ticks if event.topic == CHAINLINK]
    assert len(spot) == 61
    assert len({event.observed_ms for event in spot}) == 61
    assert 50_000 * E18 + 9 in {event.value_e18 for event in spot}
    assert all(at_ns >= event.observed_ms * MILLISECOND for at_ns, event in ticks)
    exchange = [event for _, event in ticks if event.topic == "crypto_prices"]
    assert [(event.symbol, event.value_e18) for event in exchange] == [("btcusdt", 50_002 * E18 + E18 // 10)]


@pytest.mark.parametrize("wrapped", [False, True])
def test_plain_price_frames_get_grid_windows_and_generated_books(tmp_path: Path, wrapped: bool) -> None:
    rows = [
        rtds(OPENING_S + second, 100 * E18 + second * 10**15, asset)
        for second in range(-5, 910)
        for asset in ("eth", "btc")
    ]
    rows[4], rows[7] = rows[7], rows[4]
    path = tmp_path / "plain.jsonl.gz"
    lines = [{"recv_wall_ts": row["timestamp"], "frame": row} for row in rows] if wrapped else rows
    path.write_bytes(gzip.compress(as_lines(lines).encode()))
    played = play(path, 60.0)
    assert set(played.script.assets) == {"btc", "eth"}
    assert played.script.book == "generated"
    assert sorted(played.outcomes.values()) == ["Up", "Up"]
    info = describe(path)
    assert (info.layout, info.windows, info.cadence_s) == ("frames", 6, 900)


def test_the_run_seconds_set_the_automatic_speed(quotes: Path) -> None:
    script = play(quotes, seconds=80).script
    assert script.ends_ns is not None
    assert (script.ends_ns - NOW) // SECOND <= 80
    assert script.speed > play(quotes).script.speed


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"a,b,c\n1,2,3\n", "unknown layout"),
        (b'{"hello": 1}\n', "unknown layout"),
        (b"\x1f\x8bgarbage", "damaged"),
        (b"PAR1garbage", "damaged"),
        (b"\xff\xfe\x00\x80\x81", "neither text nor Parquet"),
        (b"{cut\n{cut\n", "no readable row"),
        (
            b"timestamp,time_left_min,mkt_up,mkt_down,price_to_beat,binance_price\nx,x,x,x,x,x\n",
            "no usable row",
        ),
        (b"feed_ts_ms,full_accuracy_value,recv_ms\nx,x,x\n", "no usable row"),
        (b'{"source": "a", "recv_wall_ts": 1, "payload": "{}"}\n', "no frame that can be played"),
    ],
)
def test_unusable_files_are_refused_with_their_name_and_reason(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(content)
    with pytest.raises(RecordingUnreadable, match=reason) as caught:
        recording_script(path, None, NOW)
    assert str(path) in str(caught.value)
    assert caught.value.exit_code == EXIT_CONFIG


def test_an_unknown_layout_tells_which_ones_can_be_played(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(RecordingUnreadable) as caught:
        describe(path)
    for layout in ("quotes", "ticks", "frames"):
        assert layout in str(caught.value)


def test_missing_files_directories_lists_and_cut_files_are_refused(tmp_path: Path, quotes: Path) -> None:
    cut = tmp_path / "cut.csv.gz"
    cut.write_bytes(gzip.compress(quotes.read_bytes())[:-400])
    markets = tmp_path / "markets.jsonl"
    markets.write_text(as_lines([subscribed(OPENING_S)]))
    for path, reason in (
        (tmp_path / "absent", "does not exist"),
        (tmp_path, "is a directory"),
        (cut, "cut off"),
        (markets, "list of markets"),
    ):
        with pytest.raises(RecordingUnreadable, match=reason):
            describe(path)


@pytest.fixture
def real() -> Path:
    folder = Path(__file__).resolve().parents[2] / "../shared/data/recordings"
    if not folder.is_dir():
        pytest.skip("no real recordings beside the checkout")
    return folder


def one_of(folder: Path, pattern: str) -> Path:
    found = sorted(path for path in folder.glob(pattern) if "markets" not in path.name)
    if not found:
        pytest.skip(f"no recording like {pattern} beside the checkout")
    return found[0]


def test_real_quotes(real: Path) -> None:
    played = play(one_of(real, "btc_15m_quotes_binance_and_open_*"))
    assert len(played.specs) == 16
    openings = played.opening_values()
    assert openings[0] == []
    assert sum(len(values) == 2 for values in openings) == 10
    assert sum(len(values) == 1 for values in openings) == 5
    assert len(played.outcomes) == 16


def test_real_ticks_reproduce_the_official_outcomes(real: Path) -> None:
    path = one_of(real, "chainlink_rtds_btc_ticks_*")
    played = play(path)
    assert played.script.cadence == "3s"
    assert describe(path).cadence_s == 300
    ticks = {one.observed_ms: one.value_e18 for one in played.of(Observed)}
    compared = 0
    for spec in played.specs:
        opened, closed = ticks.get(spec.start_ns // MILLISECOND), ticks.get(spec.end_ns // MILLISECOND)
        if opened is not None and closed is not None:
            assert played.outcomes[spec.slug] == ("Up" if closed >= opened else "Down")
            compared += 1
    assert compared >= 270


def test_real_frames_of_a_next_day_window_keep_their_distance(real: Path) -> None:
    distances = []
    for path in sorted(real.glob("raw_frames_*utc.jsonl.gz")):
        played = play(path, 1.0)
        first = min(step.at_ns for step in played.steps if isinstance(step.event, BookSet))
        distances.append((played.specs[0].start_ns - first) // (3_600 * SECOND))
        assert set(played.script.assets) == {"btc", "eth", "sol"}
    if not distances:
        pytest.skip("no raw frames beside the checkout")
    assert sum(distance >= 22 for distance in distances) == 7
    assert sum(-1 <= distance <= 0 for distance in distances) == 2


def test_real_price_frames(real: Path) -> None:
    played = play(one_of(real, "rtds_chainlink_frames_*"))
    assert set(played.script.assets) == {"btc", "eth", "sol", "xrp"}
    assert len(played.outcomes) == 4
