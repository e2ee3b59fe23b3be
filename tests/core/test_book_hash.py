"""The book hash reproduces the venue's own hashes."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from common.core.book_hash import book_hash


def test_is_the_digest_of_compact_json_in_the_venues_key_order() -> None:
    text = (
        '{"market":"0xm","asset_id":"7","timestamp":"1700000000123","hash":"",'
        '"bids":[{"price":"0.4","size":"10"},{"price":"0.41","size":"2.5"}],"asks":[{"price":"0.6","size":"3"}],'
        '"min_order_size":"5","tick_size":"0.01","neg_risk":false,"last_trade_price":"0.410"}'
    )
    bids, asks = [("0.4", "10"), ("0.41", "2.5")], [("0.6", "3")]
    found = book_hash("0xm", "7", "1700000000123", bids, asks, "5", "0.01", False, "0.410")
    assert found == hashlib.sha1(text.encode()).hexdigest()


def test_version_is_hashed_last_and_only_when_given() -> None:
    with_version = (
        '{"market":"0xm","asset_id":"7","timestamp":"1","hash":"","bids":[],"asks":[],'
        '"min_order_size":"5","tick_size":"0.01","neg_risk":true,"last_trade_price":"","version":"v2"}'
    )
    found = book_hash("0xm", "7", "1", (), (), "5", "0.01", True, "", version="v2")
    assert found == hashlib.sha1(with_version.encode()).hexdigest()
    assert found != book_hash("0xm", "7", "1", (), (), "5", "0.01", True, "")


@pytest.mark.parametrize("part", range(9))
def test_every_part_of_the_book_counts(part: int) -> None:
    parts: list[Any] = ["0xm", "7", "1", (("0.4", "1"),), (("0.6", "1"),), "5", "0.01", False, "0.500"]
    other: list[Any] = ["0xn", "8", "2", (("0.4", "2"),), (), "6", "0.001", True, "0.510"]
    changed = [*parts[:part], other[part], *parts[part + 1 :]]
    assert book_hash(*parts) != book_hash(*changed)


def test_official_vector(shared_data: Path) -> None:
    vector = json.loads(
        (shared_data / "frames/clob_rest/book_hash_vector_py-clob-client-v2.json").read_text()
    )
    assert _hash(vector["book"]) == vector["expected_sha1"]


@pytest.mark.parametrize(
    ("name", "books"),
    [
        ("clob_rest/books_2026-04_hash_verified.jsonl", 8),
        ("clob_ws/book_frames_with_last_trade_2026-04-13.jsonl", 7),
        ("clob_ws/initial_book_arrays_2026-04.jsonl", 18),
        ("clob_ws/book_v2_array_frame_2026-10-05.json", 1),
    ],
)
def test_recorded_books_verify(shared_data: Path, name: str, books: int) -> None:
    lines = [json.loads(line) for line in (shared_data / "frames" / name).read_text().splitlines() if line]
    found = [book for line in lines for book in (line if isinstance(line, list) else [line])]
    assert len(found) == books
    assert [book["hash"] for book in found] == [_hash(book) for book in found]


def test_refreshes_verify_with_the_tracked_grid_and_last_trade(shared_data: Path) -> None:
    path = shared_data / "frames/clob_ws/book_refresh_without_tick_2026-04-13.jsonl"
    for line in path.read_text().splitlines():
        book = json.loads(line)
        assert book["hash"] == _hash(book | {"tick_size": "0.01", "last_trade_price": "0.500"})


def test_price_changes_verify_exactly_where_the_capture_says_so(shared_data: Path) -> None:
    path = shared_data / "frames/clob_ws/book_then_price_changes_2026-04_hash_chain.jsonl"
    for line in path.read_text().splitlines():
        case = json.loads(line)
        book = json.loads(case["book_frame"])
        sides = {"BUY": _by_price(book["bids"]), "SELL": _by_price(book["asks"])}
        agreed = [_hash(book) == book["hash"]]
        for frame in map(json.loads, case["price_change_frames"]):
            for entry in frame["price_changes"]:
                if entry["asset_id"] == case["asset_id"]:
                    _set(sides[entry["side"]], entry)
                    book["hash"] = entry["hash"]
            book["timestamp"] = frame["timestamp"]
            book["bids"] = sorted(sides["BUY"].values(), key=lambda level: float(level["price"]))
            book["asks"] = sorted(sides["SELL"].values(), key=lambda level: -float(level["price"]))
            agreed.append(_hash(book) == book["hash"])
        expected = case["hash_ok_after_each_frame"]
        assert agreed[-len(expected) :] == expected


def _by_price(levels: list[dict[str, str]]) -> dict[str, dict[str, str]]:
    return {level["price"]: level for level in levels}


def _set(side: dict[str, dict[str, str]], entry: dict[str, str]) -> None:
    if entry["size"] == "0":
        side.pop(entry["price"], None)
    else:
        side[entry["price"]] = {"price": entry["price"], "size": entry["size"]}


def _hash(book: dict[str, Any]) -> str:
    bids, asks = ([(level["price"], level["size"]) for level in book[side]] for side in ("bids", "asks"))
    return book_hash(
        book["market"],
        book["asset_id"],
        book["timestamp"],
        bids,
        asks,
        book.get("min_order_size", "5"),
        book["tick_size"],
        book.get("neg_risk", False),
        book["last_trade_price"],
        book.get("version"),
    )
