"""User-channel frames as odd as the captured ones: other stamps, other keys, other wrapping.

The oddities go by the number of the frame, so that a run repeats them.
"""

import json
from datetime import UTC, datetime
from typing import Any


def frame_text(frame: dict[str, Any], number: int, *, odd: bool) -> str:
    """The text of the frame with this number on its connection; every second odd one is an array."""
    if not odd:
        return json.dumps(frame, separators=(",", ":"))
    rough = _rough_order(frame, number) if frame["event_type"] == "order" else _rough_trade(frame, number)
    return json.dumps([rough] if number % 2 else rough, separators=(",", ":"))


def _rough_order(frame: dict[str, Any], number: int) -> dict[str, Any]:
    rough = dict(frame)
    if number % 3 == 0:
        del rough["event_type"]
    if number % 3 == 1 and rough["created_at"]:
        rough["created_at"] += "000"
    if not rough["associate_trades"]:
        rough["associate_trades"] = None
    if number % 4 == 2:
        rough["expiration"] = None
    return rough


def _rough_trade(frame: dict[str, Any], number: int) -> dict[str, Any]:
    rough = dict(frame)
    if number % 3 == 0:
        rough["match_time"] = _iso(rough["match_time"])
        rough["last_update"] = _iso(rough["last_update"])
    if number % 3 == 1:
        rough["matchtime"] = rough.pop("match_time")
    if number % 4 == 2:
        rough["timestamp"] = rough["timestamp"][:-3]
    if number % 4 == 3:
        del rough["transaction_hash"], rough["event_type"]
    rough["maker_orders"] = [
        {key: value for key, value in maker.items() if key != "side"} for maker in rough["maker_orders"]
    ]
    return rough


def _iso(seconds: str) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
