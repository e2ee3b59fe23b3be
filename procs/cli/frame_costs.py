"""What reading one frame costs, beside the venue's own client as the peer and the JSON parser as the floor.

Everything is measured interleaved in one run and given as ratios. The frames are made here.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from hashlib import sha1
from statistics import median

from common.core.book_proof import Claim, Terms, WireBook
from common.core.order_book import Side
from common.feeds.market import clob_market
from common.feeds.oracle import polybolt_frames, rtds

ROUNDS, CALLS = 15, 200
LEVELS = 50
NOW_MS = 1_900_000_000_000
Work = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Cost:
    """One piece of work: microseconds of this run, and its ratios to floor and peer."""

    what: str
    us: float
    times_floor: float
    floor: str
    times_peer: float | None
    peer: str


def frame_costs() -> list[Cost]:
    """Market-channel frames, price frames of two routes, and the proof of a book."""
    market, prices = _peers()
    change, book, update, plain = _change(), _book(), _update(), _polybolt()
    wire = _wire_book()
    hashed = b"x" * len(book.encode())
    peer = "polymarket-client"
    return [
        _cost("price change, both tokens", partial(clob_market.parse_frame, change), change, market, peer),
        _cost("book, 100 levels", partial(clob_market.parse_frame, book), book, market, peer),
        _cost("RTDS update", partial(rtds.parse_frame, update, None), update, prices, peer),
        _cost("PolyBolt update", partial(polybolt_frames.parse_frame, plain, None), plain, None, ""),
        _weighed(
            "proof of a book, 100 levels",
            partial(wire.proof, ("0.500",)),
            lambda: sha1(hashed, usedforsecurity=False).hexdigest(),
            "sha1 of as many bytes",
            None,
            "",
        ),
    ]


def _cost(what: str, ours: Work, frame: str, peer: Callable[[object], object] | None, name: str) -> Cost:
    theirs = (lambda: peer(json.loads(frame))) if peer is not None else None
    return _weighed(what, ours, lambda: json.loads(frame), "json.loads", theirs, name if theirs else "")


def _weighed(what: str, ours: Work, floor: Work, floor_name: str, peer: Work | None, peer_name: str) -> Cost:
    works = [ours, floor, *([peer] if peer is not None else [])]
    times: list[list[float]] = [[] for _ in works]
    for _ in range(ROUNDS):
        for work, taken in zip(works, times, strict=True):
            began = time.perf_counter()
            for _ in range(CALLS):
                work()
            taken.append((time.perf_counter() - began) / CALLS * 1e6)
    us, floor_us, *rest = (median(taken) for taken in times)
    return Cost(what, us, us / floor_us, floor_name, us / rest[0] if rest else None, peer_name)


def _peers() -> tuple[Callable[[object], object] | None, Callable[[object], object] | None]:
    """The venue's own client, where the extra ``live`` is installed."""
    try:
        from polymarket.models.clob.market_events import parse_market_event
        from polymarket.models.rtds_events import parse_rtds_event
    except ImportError:
        return None, None
    return parse_market_event, parse_rtds_event


def _levels(first: int, step: int) -> list[dict[str, str]]:
    return [{"price": f"{(first + step * n) / 1000:.3f}", "size": f"{100 + n}.5"} for n in range(LEVELS)]


def _book() -> str:
    return json.dumps(
        {
            "market": "0x" + "ab" * 32,
            "asset_id": "7" * 77,
            "timestamp": str(NOW_MS),
            "hash": "0" * 40,
            "bids": _levels(400, 1),
            "asks": _levels(600, -1),
            "tick_size": "0.001",
            "event_type": "book",
            "last_trade_price": "0.500",
        }
    )


def _change() -> str:
    entry = {"price": "0.45", "size": "120", "hash": "0" * 40, "best_bid": "0.45", "best_ask": "0.47"}
    return json.dumps(
        {
            "market": "0x" + "ab" * 32,
            "price_changes": [
                {"asset_id": "7" * 77, "side": "BUY"} | entry,
                {"asset_id": "8" * 77, "side": "SELL"} | entry | {"price": "0.55"},
            ],
            "timestamp": str(NOW_MS),
            "event_type": "price_change",
        }
    )


def _price() -> dict[str, object]:
    return {"timestamp": NOW_MS, "value": 71234.567891234}


def _update() -> str:
    payload = _price() | {"symbol": "btc/usd", "full_accuracy_value": "71234567891234000000000"}
    return json.dumps(
        {
            "connection_id": "made-up=",
            "topic": "crypto_prices_chainlink",
            "type": "update",
            "timestamp": NOW_MS + 1000,
            "payload": payload,
        }
    )


def _polybolt() -> str:
    payload = _price() | {
        "symbol": "btcusd",
        "source": "chainlink",
        "full_accuracy_value": "71234.567891234000000000",
    }
    return json.dumps({"v": 1, "channel": "price.crypto", "seq": 7, "ts": NOW_MS + 600, "payload": payload})


def _wire_book() -> WireBook:
    sides: dict[Side, list[dict[str, str]]] = {"bid": _levels(400, 1), "ask": _levels(600, -1)}
    wire = WireBook(Terms("0x" + "ab" * 32, "7" * 77, "5", "0.001"))
    for side, levels in sides.items():
        for level in levels:
            price4 = round(float(level["price"]) * 10_000)
            wire.change(side, price4, 1, level["price"], level["size"])
    wire.claim = Claim(str(NOW_MS), "")
    wire.claim = Claim(str(NOW_MS), wire.proof(("0.500",)).found)
    return wire
