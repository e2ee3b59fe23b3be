"""Whole stories verify: those of the simulated venue, any mutilated one, and the recorded ones."""

import gzip
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import FrameRefused
from common.feeds.market.book_keeper import SAMPLE_NS, UNFINISHED_NS
from common.feeds.market.clob_market import parse_frame
from common.feeds.market.market_events import PriceChanges
from common.messages import MarketState
from common.sim.market import clob_dialect as dialect
from common.sim.script import BookSet, Level, Listed, MarketSpec, ScriptEvent, Traded
from common.sim.world import MarketChange, World
from common.units import MILLISECOND
from tests.feeds.kept import MARKET, Counted, Venue, followed, hear, market, state
from tests.feeds.wire import (
    DOWN,
    NOW_MS,
    NOW_NS,
    UP,
    change,
    changes,
    mutilated,
    one_token,
    text,
)

# --- the simulated venue's own dialect ---------------------------------------------------------------

SPEC = MarketSpec(
    slug=MARKET.window,
    asset="btc",
    condition_id=MARKET.condition_id,
    token_up=UP,
    token_down=DOWN,
    start_ns=MARKET.start_ns,
    end_ns=MARKET.end_ns,
    listed_ns=0,
    resolution_source="https://example.test/btc",
    twap_lookback_s=60,
    question="Up or down",
)
cents = st.integers(1, 99).map(lambda cent: f"{cent / 100:.2f}".rstrip("0"))
sizes = st.integers(1, 10**9).map(lambda hundredths: f"{hundredths / 100:.2f}".rstrip("0").rstrip("."))
sides = st.dictionaries(cents, sizes, max_size=8)


def _sorted(side: dict[str, str], *, falling: bool = False) -> tuple[Level, ...]:
    return tuple(sorted(side.items(), key=lambda level: Decimal(level[0]), reverse=falling))


book_sets = st.builds(
    lambda token, bids, asks: BookSet(token, _sorted(bids), _sorted(asks, falling=True)),
    st.sampled_from([UP, DOWN]),
    sides,
    sides,
)
trades = st.builds(Traded, st.sampled_from([UP, DOWN]), cents, sizes, st.sampled_from(["BUY", "SELL"]))
steps = st.tuples(
    st.lists(st.one_of(book_sets, book_sets, trades), min_size=1, max_size=4),
    st.booleans(),  # whether trades are told
    st.booleans(),  # whether books follow trades
    st.integers(1, 4),  # in how many frames the changes come
)


class Simulated:
    """The simulated venue's state and what it would send of each change."""

    def __init__(self) -> None:
        self.world = World()
        self.world.apply([Listed(SPEC)], NOW_NS)
        self.market = self.world.by_token[UP]

    def initial(self) -> list[str]:
        return [dialect.initial_books_frame([(self.market, UP), (self.market, DOWN)])]

    def happen(self, events: list[ScriptEvent], at_ms: int) -> MarketChange:
        (change,) = self.world.apply(events, at_ms * MILLISECOND)
        assert isinstance(change, MarketChange)
        return change


def split(entries: list[dict[str, str]], parts: int) -> list[list[dict[str, str]]]:
    """The changes in several frames; only the last states the best prices, as they are after all of them."""
    size = -(-len(entries) // parts)
    found = [entries[at : at + size] for at in range(0, len(entries), size)] if entries else []
    kept = ("asset_id", "price", "size", "side", "hash")
    early = [[{key: entry[key] for key in kept} for entry in part] for part in found[:-1]]
    return [*early, *found[-1:]]


@given(st.lists(steps, min_size=1, max_size=8))
def test_any_story_of_the_simulated_venue_verifies(
    story: list[tuple[list[ScriptEvent], bool, bool, int]],
) -> None:
    simulated, keeper = Simulated(), followed()
    for frame in simulated.initial():
        keeper.hear(parse_frame(frame), 1)
    for number, (events, told, refreshed, parts) in enumerate(story, 1):
        mono_ns = number * 2 * SAMPLE_NS
        change = simulated.happen(events, NOW_MS + number)
        frames = [dialect.last_trade_price_frame(change, trade) for trade in change.trades if told]
        frames += [
            dialect.price_change_frame(change, part) for part in split(dialect.price_changes(change), parts)
        ]
        if change.trades and refreshed:
            frames += [dialect.refresh_frame(simulated.market, token) for token in (UP, DOWN)]
        for frame in frames:
            assert keeper.hear(parse_frame(frame), mono_ns).resync == {}
    for token in (UP, DOWN):
        assert keeper.settle((len(story) + 1) * 2 * SAMPLE_NS).resync == {}
        published = state(keeper, token)
        assert published.proven_ns == published.venue_ns
        truth = simulated.market.books[token]
        assert len(published.bids) == len(truth.bids)
        assert len(published.asks) == len(truth.asks)
    assert keeper.counts["proofs.failed"] == 0


@given(book_sets, sides.filter(bool), sides, st.data())
def test_any_single_fault_in_a_batch_is_noticed(
    first: BookSet, bids: dict[str, str], asks: dict[str, str], data: st.DataObject
) -> None:
    simulated, keeper = Simulated(), followed()
    simulated.happen([first], NOW_MS + 1)
    for frame in simulated.initial():
        keeper.hear(parse_frame(frame), 1)
    change = simulated.happen([BookSet(UP, _sorted(bids), _sorted(asks, falling=True))], NOW_MS + 2)
    entries = [
        {key: entry[key] for key in ("asset_id", "price", "size", "side", "hash")}
        for entry in dialect.price_changes(change)
    ]
    at = data.draw(st.integers(0, max(0, len(entries) - 1)))
    match data.draw(st.sampled_from(["right", "lost", "size", "price", "side"])) if entries else "right":
        case "right":
            right = True
        case "lost":
            lost = entries.pop(at)
            # Were it the only one, no newer hash would have come either; the book is the older one.
            right = not entries
            assert lost["hash"]
        case "size":
            entries[at]["size"] = data.draw(sizes.filter(lambda size: size != entries[at]["size"]))
            right = False
        case "price":
            held = {price for side in (bids, asks) for price in side}
            held |= {price for side in (first.bids, first.asks) for price, _ in side}
            other = data.draw(cents)
            right = other == entries[at]["price"]
            if not right and other in held:
                return  # it may by chance say what another entry says
            entries[at]["price"] = other
        case _:
            entries[at]["side"] = "BUY" if entries[at]["side"] == "SELL" else "SELL"
            right = False
    if entries:
        keeper.hear(parse_frame(dialect.price_change_frame(change, entries)), 2)
    keeper.settle(2 * SAMPLE_NS)
    published = state(keeper)
    assert (published.proven_ns == published.venue_ns and keeper.doubt(UP) == "") == right


# --- any frame ---------------------------------------------------------------------------------------

SAMPLES = [
    text(frame)
    for frame in (
        Venue().book(),
        [Venue().book(), Venue().book(DOWN)],
        changes(change(UP, "BUY", "0.59", "0", best_bid="0.58", best_ask="0.61")),
        one_token("last_trade_price", price="0.585", size="2.46", side="SELL"),
        one_token("tick_size_change", old_tick_size="0.01", new_tick_size="0.001"),
    )
]


@given(st.lists(mutilated(SAMPLES), min_size=1, max_size=6))
def test_mutilated_frames_are_refused_or_leave_a_book_that_can_be_published(frames: list[str]) -> None:
    keeper = followed()
    hear(keeper, [Venue().book(UP), Venue().book(DOWN)])
    for number, frame in enumerate(frames, 1):
        mono_ns = number * SAMPLE_NS
        try:
            keeper.hear(parse_frame(frame), mono_ns)
        except FrameRefused:
            pass
        keeper.settle(mono_ns + UNFINISHED_NS)
        for token in (UP, DOWN):
            msgspec.msgpack.encode(state(keeper, token))
            proof = keeper.prove(token, mono_ns + UNFINISHED_NS).proof
            assert not proof.proven or state(keeper, token).status == "live"


# --- recorded frames ---------------------------------------------------------------------------------


@pytest.fixture
def frames(shared_data: Path) -> Callable[[str], list[Any]]:
    def read(name: str) -> list[Any]:
        file = shared_data / "frames" / name
        return [json.loads(line) for line in file.read_text().splitlines()]

    return read


def of_token(token: str) -> MarketState:
    return market(token, f"{token}0")


def test_recorded_sequences_verify_exactly_where_the_capture_says_so(
    frames: Callable[[str], list[Any]],
) -> None:
    kinds = []
    for row in frames("clob_ws/book_then_price_changes_2026-04_hash_chain.jsonl"):
        token, expected = row["asset_id"], row["hash_ok_after_each_frame"]
        keeper = followed(of_token(token))
        keeper.hear(parse_frame(row["book_frame"]), 1)
        assert state(keeper, token).status == "live"
        verified = []
        for number, frame in enumerate(row["price_change_frames"], 1):
            mono_ns = number * 2 * SAMPLE_NS
            (event,) = parse_frame(frame)
            assert isinstance(event, PriceChanges)
            assert keeper.hear([event], mono_ns).resync == {}
            status, *best = keeper.best(token) or ("",)
            prices = [level[0] if level else None for level in best]
            told = event.changes[0]
            assert (status, prices) == ("live", [told.best_bid4, told.best_ask4]) or told.token != token
            verified.append(keeper.prove(token, mono_ns).proof.proven)
        assert verified == expected[-len(verified) :]
        keeper.settle(mono_ns + 2 * SAMPLE_NS)
        finished = state(keeper, token).status == "live"
        assert finished == verified[-1]
        kinds.append("all" if all(verified) else "first in mid-batch" if finished else "cut")
    assert {kind: kinds.count(kind) for kind in kinds} == {"all": 8, "first in mid-batch": 2, "cut": 2}


@pytest.mark.parametrize(
    ("name", "books", "searched"),
    [
        ("clob_ws/initial_book_arrays_2026-04.jsonl", 18, 0),
        ("clob_ws/book_frames_with_last_trade_2026-04-13.jsonl", 7, 0),
        ("clob_ws/book_refresh_without_tick_2026-04-13.jsonl", 4, 4),
        ("clob_rest/books_2026-04_hash_verified.jsonl", 8, 0),
        ("clob_ws/book_v2_array_frame_2026-10-05.json", 1, 0),
    ],
)
def test_recorded_books_verify(
    frames: Callable[[str], list[Any]], name: str, books: int, searched: int
) -> None:
    counts = {"proofs.ok": 0, "proofs.searched": 0}
    for frame in frames(name):
        for one in frame if isinstance(frame, list) else [frame]:
            keeper = followed(of_token(one["asset_id"]))
            assert hear(keeper, one).resync == {}
            for count in counts:
                counts[count] += keeper.counts[count]
    assert counts == {"proofs.ok": books, "proofs.searched": searched}


def test_recorded_refreshes_teach_the_last_trade_once(frames: Callable[[str], list[Any]]) -> None:
    rows = frames("clob_ws/book_refresh_without_tick_2026-04-13.jsonl")
    token = rows[0]["asset_id"]
    keeper = followed(of_token(token))
    for row in rows:
        assert hear(keeper, row).resync == {}
    assert keeper.counts == {"proofs.ok": 4, "proofs.searched": 1}
    assert state(keeper, token).last_trade4 == 5000


def test_recorded_connections_never_fail(shared_data: Path) -> None:
    """Every frame of nine runs as received, on the clock of that time: no mismatch, no false alarm."""
    proven = 0
    files = sorted((shared_data / "recordings").glob("raw_frames_*utc.jsonl.gz"))
    assert len(files) == 9
    for file in files:
        with gzip.open(file, "rt") as lines:
            rows = [json.loads(line) for line in lines]
        rows = [row for row in rows if row["source"] == "polymarket_clob"]
        with gzip.open(file.with_name(file.name.replace(".jsonl", "_markets.jsonl")), "rt") as lines:
            markets = [json.loads(line) for line in lines]
        keeper = Counted()
        for one in markets:
            up, down = (outcome["token_id"] for outcome in one["outcomes"])
            told = msgspec.structs.replace(market(up, down), window=one["slug"])
            keeper.follow(told, "up", 0)
            keeper.follow(told, "down", 0)
        for row in rows:
            assert keeper.hear(parse_frame(row["payload"]), row["recv_mono_ns"]).resync == {}
        assert not keeper.incomplete()
        proven += keeper.counts["proofs.ok"]
        assert not keeper.counts["proofs.failed"]
    assert proven > 150
