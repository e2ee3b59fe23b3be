import gzip
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from procs.cli.main import laggard, run

NOW_MS = 1_800_000_000_000
TOKEN = "9" * 77
FRAMES = {"rtds": ("rtds",), "clob-market": ("clob_ws", "clob_rest"), "gamma": ("gamma",)}
ANSWERLESS = {"lines", "frames", "other source"}
Json = dict[str, Any]
Decode = Callable[..., Json]


def _update(value: str = "63000500000000000000000", at_ms: int = NOW_MS) -> str:
    return json.dumps(
        {
            "connection_id": "c=",
            "payload": {
                "full_accuracy_value": value,
                "symbol": "btc/usd",
                "timestamp": at_ms,
                "value": 63000.5,
                "window_s": 60,
            },
            "timestamp": at_ms + 900,
            "topic": "crypto_prices_twap_sixty",
            "type": "update",
        }
    )


def _book(**more: Any) -> Json:
    return {
        "market": "0xaa",
        "asset_id": TOKEN,
        "timestamp": str(NOW_MS),
        "hash": "h",
        "bids": [{"price": "0.4", "size": "10"}],
        "asks": [{"price": "0.6", "size": "5"}],
        "tick_size": "0.01",
        "last_trade_price": "",
        **more,
    }


def _change() -> Json:
    change = {
        "asset_id": TOKEN,
        "price": "0.5",
        "size": "7",
        "side": "BUY",
        "hash": "h",
        "best_bid": "0.5",
        "best_ask": "0.6",
    }
    return {
        "market": "0xaa",
        "price_changes": [change],
        "timestamp": str(NOW_MS),
        "event_type": "price_change",
    }


MARKET: Json = {
    "conditionId": "0x" + "ab" * 32,
    "slug": "btc-updown-15m-1800000000",
    "outcomes": '["Up", "Down"]',
    "clobTokenIds": '["1111", "2222"]',
    "resolutionSource": "https://data.chain.link/streams/btc-usd",
    "eventStartTime": "2027-01-15T08:00:00Z",
    "endDate": "2027-01-15T08:15:00Z",
    "orderPriceMinTickSize": 0.01,
    "orderMinSize": 5,
}


@pytest.fixture
def decode(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Decode:
    """Decode a text or a file and give the JSON object; the readable form must work as well."""

    def decoded(source: str, given: str | bytes | Path) -> Json:
        file = given if isinstance(given, Path) else tmp_path / "recording"
        if not isinstance(given, Path):
            file.write_bytes(given.encode("utf-8", "surrogatepass") if isinstance(given, str) else given)
        assert run(laggard, ["decode", source, str(file)]) == 0
        assert capsys.readouterr().err == ""
        assert run(laggard, ["decode", source, str(file), "--json"]) == 0
        found: Json = json.loads(capsys.readouterr().out)
        return found

    return decoded


def _kinds(found: Json) -> Json:
    return {name: count for name, count in found["counts"].items() if name not in ANSWERLESS}


def test_prices(decode: Decode) -> None:
    found = decode("rtds", _update() + "\n" + _update(at_ms=NOW_MS + 1000) + "\n")
    assert _kinds(found) == {"tick": 2}
    assert [row["line"] for row in found["lines"]] == [1, 2]
    # Beyond 64 bits: decimal text.
    assert found["lines"][0]["message"]["e18"] == "63000500000000000000000"
    assert (found["source"], found["schema"]) == ("rtds", 1)


def test_readable_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text(_update() + "\nnonsense\n")
    assert run(laggard, ["decode", "rtds", str(tmp_path / "file")]) == 0
    price, refused, counts = capsys.readouterr().out.splitlines()
    assert price.startswith("1: tick btc twap60 63000.5 ")
    assert re.match(r"2: refused: not-json", refused)
    assert "1 tick" in counts and "1 refused: not-json" in counts


def test_books_changes_and_rest_books(decode: Decode) -> None:
    lines = [json.dumps([_book(event_type="book")] * 2), json.dumps(_change()), json.dumps(_book())]
    assert _kinds(decode("clob-market", "\n".join(lines))) == {"book": 3, "price_change": 1}


def test_markets_with_their_refusals(decode: Decode) -> None:
    found = decode("gamma", json.dumps({"events": [{"slug": MARKET["slug"], "markets": [MARKET]}]}))
    assert _kinds(found) == {"market": 1}
    message = found["lines"][0]["message"]
    assert (message["window"], message["rule"]) == (MARKET["slug"], "spot")
    assert not any("order book" in refusal for refusal in message["refusals"])
    late = decode("gamma", json.dumps({**MARKET, "version": "v9"}))
    assert any("v9" in refusal for refusal in late["lines"][0]["message"]["refusals"])


@pytest.mark.parametrize(
    "line",
    [
        {"recv_wall_ts": NOW_MS + 1500, "frame": _update()},
        {"recv_ms": NOW_MS + 1500, "payload": _update()},
        {"recv_ts": NOW_MS // 1000 + 2, "data": json.loads(_update())},
        {"recv_ts": "2027-01-15T08:00:02Z", "raw": _update()},
        {"source": "polymarket_rtds_chainlink", "recv_wall_ts": NOW_MS + 1500, "payload": _update()},
        {"t": "2027-01-15T08:00:02.500Z", "dir": "recv", "data": _update()},
    ],
)
def test_wrappers_of_recorders(decode: Decode, line: Json) -> None:
    assert _kinds(decode("rtds", json.dumps(line))) == {"tick": 1}


def test_the_receive_time_of_a_wrapper_is_used(decode: Decode) -> None:
    early = {"recv_wall_ts": NOW_MS - 60_000, "frame": _update()}
    assert _kinds(decode("rtds", json.dumps(early))) == {"refused: future": 1}


def test_a_frame_recorded_as_an_object_keeps_its_digits(decode: Decode) -> None:
    frame = _update().replace("63000.5", "63000.500000000000000000000000")
    found = decode("rtds", f'{{"recv_ms": {NOW_MS + 1500}, "frame": {frame}}}')
    assert _kinds(found) == {"tick": 1}


@pytest.mark.parametrize("name", ["polymarket_clob", "coinbase", "gamma"])
def test_lines_of_other_sources_are_counted_not_decoded(decode: Decode, name: str) -> None:
    other = {"source": name, "recv_wall_ts": NOW_MS, "payload": json.dumps(_change())}
    found = decode("rtds", json.dumps(other) + "\n" + _update())
    assert _kinds(found) == {"tick": 1}
    assert found["counts"]["other source"] == 1
    assert found["counts"]["lines"] == 2


def test_only_what_a_session_received(decode: Decode) -> None:
    session = [
        {"t": "2027-01-15T08:00:00Z", "dir": "open", "data": "wss://example.test"},
        {"t": "2027-01-15T08:00:00Z", "dir": "send", "data": "PING"},
        {"t": "2027-01-15T08:00:00Z", "dir": "recv", "data": "PONG"},
        {"t": "2027-01-15T08:00:01Z", "dir": "recv", "data": json.dumps([_book(event_type="book")])},
        {"t": "2027-01-15T08:00:02Z", "dir": "close", "data": {"code": 1000, "reason": ""}},
    ]
    found = decode("clob-market", "\n".join(map(json.dumps, session)))
    assert _kinds(found) == {"pong": 1, "book": 1}


def test_a_book_with_the_frames_after_it(decode: Decode) -> None:
    chain = {
        "recording": "r",
        "asset_id": TOKEN,
        "neg_risk": False,
        "book_frame": json.dumps(_book(event_type="book")),
        "price_change_frames": [json.dumps(_change())] * 3,
        "hash_ok_after_each_frame": [True] * 3,
    }
    found = decode("clob-market", json.dumps(chain))
    assert _kinds(found) == {"book": 1, "price_change": 3}
    assert {row["line"] for row in found["lines"]} == {1}


def test_a_pretty_printed_document_is_one_frame(decode: Decode) -> None:
    assert _kinds(decode("rtds", json.dumps(json.loads(_update()), indent=2))) == {"tick": 1}
    assert _kinds(decode("gamma", json.dumps([MARKET, MARKET], indent=1))) == {"market": 2}


def test_gzip_and_standard_input(
    decode: Decode, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = gzip.compress(_update().encode())
    assert _kinds(decode("rtds", packed)) == {"tick": 1}
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(packed)))
    assert run(laggard, ["decode", "rtds", "-", "--json"]) == 0
    assert _kinds(json.loads(capsys.readouterr().out)) == {"tick": 1}


def test_an_empty_file(decode: Decode) -> None:
    assert decode("rtds", "")["lines"] == []


@pytest.mark.parametrize("content", [None, gzip.compress(b"x" * 1000)[:20], b"\x1f\x8bnonsense"])
def test_a_file_that_cannot_be_read_is_one_line_and_exit_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    file = tmp_path / "file"
    if content is not None:
        file.write_bytes(content)
    assert run(laggard, ["decode", "rtds", str(file), "--json"]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert str(file) in told.err
    assert told.err.count("\n") == 1


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[" * 100_000,
        "9" * 5_000,
        "NaN",
        '{"topic": "crypto_prices", "type": "update", "payload": []}',
        '{"message": "\\ud800"}',
        '{"event_type": "book\\u001b[2J"}',
        '{"recv_ms": 1e999999, "frame": "x"}',
        '{"source": [], "data": {}}',
        "\x00",
        "\u2028",
    ],
)
@pytest.mark.parametrize("source", sorted(FRAMES))
def test_nonsense_is_a_result(decode: Decode, source: str, line: str) -> None:
    assert decode(source, line + "\n" + line)["counts"]["lines"] == 2


@pytest.mark.parametrize("source", sorted(FRAMES))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(data=st.data())
def test_cut_and_changed_lines_never_raise(decode: Decode, source: str, data: st.DataObject) -> None:
    line = {
        "rtds": _update(),
        "clob-market": json.dumps([_book(event_type="book"), _change()]),
        "gamma": json.dumps(MARKET),
    }[source]
    start = data.draw(st.integers(0, len(line)))
    put_in = data.draw(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), max_size=3))
    end = data.draw(st.integers(start, len(line)))
    found = decode(source, line[:start] + put_in + line[end:] + "\n" + line)
    assert found["counts"]["lines"] == 2
    assert any(row["line"] == 2 and row["kind"] != "refused" for row in found["lines"])


@pytest.mark.parametrize("source", sorted(FRAMES))
def test_every_recorded_frame_file(decode: Decode, shared_data: Path, source: str) -> None:
    for folder in FRAMES[source]:
        for file in sorted((shared_data / "frames" / folder).iterdir()):
            found = decode(source, file)
            refused = sum(count for name, count in found["counts"].items() if name.startswith("refused"))
            # Tables, the terms of a market and the website's own price are no frames of these sources.
            foreign = file.suffix == ".csv" or (
                file.name.startswith(("clob-markets", "crypto-price_site"))
                or (folder == "clob_rest" and "market_closed" in file.name)
            )
            assert refused == (found["counts"]["frames"] if foreign else 0), file.name


def test_a_recording_of_several_sources(decode: Decode, shared_data: Path) -> None:
    file = min(
        (shared_data / "recordings").glob("raw_frames_*utc.jsonl.gz"), key=lambda path: path.stat().st_size
    )
    found = decode("clob-market", file)
    assert found["counts"]["other source"] > 0
    assert not [name for name in found["counts"] if name.startswith("refused")]
