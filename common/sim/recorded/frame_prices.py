"""Oracle and exchange prices out of recorded wire frames.

Keeps what the relay sent in order of time; a history sent on subscribing only fills seconds no update
brought. Reads no file and knows no books.
"""

from collections import Counter
from dataclasses import dataclass

from common.sim.recorded.recorded_rows import integer_cell, price18_cell
from common.units import NotANumber, price18_from_e18

SPOT_TOPIC = "crypto_prices_chainlink"
EXCHANGE_TOPIC = "crypto_prices"
TOPICS = frozenset({EXCHANGE_TOPIC, SPOT_TOPIC, "crypto_prices_twap_thirty", "crypto_prices_twap_sixty"})
RELAY_DELAY_MS = 1_100
"""When the relay had sent a history point that the recorder only got later."""

_WINDOWS = {"crypto_prices_twap_thirty": 30, "crypto_prices_twap_sixty": 60}


@dataclass(frozen=True, slots=True)
class Observation:
    """One price in recorded time."""

    at_ms: int
    topic: str
    symbol: str
    stamp_ms: int
    value_e18: int
    window_s: int | None


class FramePrices:
    """Collects observations frame by frame; counts what it had to leave out in ``tally``."""

    def __init__(self, tally: Counter[str]) -> None:
        self._tally = tally
        self._updates: list[Observation] = []
        self._history: list[Observation] = []

    def take(self, at_ms: int, frame: object) -> bool:
        """True when the frame is one of prices, usable or not."""
        if not isinstance(frame, dict):
            return False
        if frame.get("topic") in TOPICS:
            self._relay(at_ms, frame)
            return True
        data = frame.get("data")
        if isinstance(data, dict) and str(frame.get("stream", "")).endswith("@trade"):
            self._exchange_trade(at_ms, data)
            return True
        return False

    def observations(self) -> list[Observation]:
        """Everything in order of time."""
        known = {(one.topic, one.symbol, one.stamp_ms) for one in self._updates}
        found = list(self._updates)
        for one in self._history:
            key = (one.topic, one.symbol, one.stamp_ms)
            if key not in known:
                known.add(key)
                found.append(one)
                self._tally["seconds known only from the history sent on subscribing (rounded values)"] += 1
        return sorted(found, key=lambda one: one.at_ms)

    def _relay(self, at_ms: int, frame: dict[str, object]) -> None:
        topic, payload = str(frame["topic"]), frame.get("payload")
        if not isinstance(payload, dict) or not isinstance(payload.get("symbol"), str):
            self._tally["price frames skipped: no usable payload"] += 1
            return
        symbol, points = payload["symbol"].lower(), payload.get("data")
        # The relay labels the history of the oracle's spot series as the exchange topic.
        topic = SPOT_TOPIC if topic == EXCHANGE_TOPIC and "/" in symbol else topic
        if not isinstance(points, list):
            one = self._observation(at_ms, topic, symbol, payload)
            if one is None:
                self._tally["price frames skipped: no usable value or stamp"] += 1
            else:
                self._updates.append(one)
            return
        for point in points:
            one = self._observation(at_ms, topic, symbol, point) if isinstance(point, dict) else None
            if one is None:
                self._tally["history points skipped: no usable value or stamp"] += 1
            else:
                sent_ms = min(at_ms, one.stamp_ms + RELAY_DELAY_MS)
                self._history.append(
                    Observation(sent_ms, topic, symbol, one.stamp_ms, one.value_e18, one.window_s)
                )

    def _observation(
        self, at_ms: int, topic: str, symbol: str, point: dict[str, object]
    ) -> Observation | None:
        stamp_ms, value = integer_cell(point.get("timestamp")), _value_e18(topic, point)
        if stamp_ms is None or value is None or abs(at_ms - stamp_ms) > 3_600_000:
            return None
        window_s = integer_cell(point.get("window_s")) or _WINDOWS.get(topic)
        return Observation(at_ms, topic, symbol, stamp_ms, value, window_s)

    def _exchange_trade(self, at_ms: int, data: dict[str, object]) -> None:
        symbol, value = data.get("s"), price18_cell(data.get("p"))
        stamp_ms = integer_cell(data.get("T"))
        if not isinstance(symbol, str) or value is None or stamp_ms is None:
            self._tally["exchange trades skipped: no usable value or stamp"] += 1
            return
        self._tally["exchange trades played as exchange prices"] += 1
        self._updates.append(Observation(at_ms, EXCHANGE_TOPIC, symbol.lower(), stamp_ms, value, None))


def _value_e18(topic: str, point: dict[str, object]) -> int | None:
    """The exact field first: an e18 integer on oracle topics, a plain decimal on the exchange topic."""
    exact = point.get("full_accuracy_value")
    if topic == EXCHANGE_TOPIC:
        return price18_cell(exact if exact is not None else point.get("value"))
    if exact is None:
        return price18_cell(point.get("value"))
    try:
        return price18_from_e18(exact) or None if isinstance(exact, str) else None
    except NotANumber:
        return None
