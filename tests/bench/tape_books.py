"""The books of the world: thirty-two tokens, changed one level at a time, each frame with the venue's hash.

Made to be cheap: a frame costs the world some 30 microseconds, hashes of both tokens included.
"""

import json
import random
import time

from bench.plan import Plan, Window

from common.core.book_hash import begin_hash, level_text

LEVELS = 20
MIDDLE = 50
"""Cents: Up rests at 0.50 / 0.51, Down at 0.49 / 0.50."""
MIN_SIZE = "5"
TICK = "0.01"


class MarketBooks:
    """Both books of one market; what one gains on a side the other gains on its other side."""

    def __init__(self, window: Window, dice: random.Random) -> None:
        self._window = window
        self._dice = dice
        self._stamp_ms = int(time.time() * 1000) - 1
        # Of Up, in cents, the best price last on both sides, as on the wire. Down's asks have the order of
        # Up's bids, and Down's bids that of Up's asks.
        self._bids: list[tuple[int, str]] = [
            (cents, _size(dice)) for cents in range(MIDDLE - LEVELS + 1, MIDDLE + 1)
        ]
        self._asks: list[tuple[int, str]] = [
            (cents, _size(dice)) for cents in range(MIDDLE + LEVELS, MIDDLE, -1)
        ]
        self._texts = [_texts(self._bids), _texts(self._asks), _mirrored(self._asks), _mirrored(self._bids)]
        self._hashes = ("", "")
        self._prove()

    def snapshot(self, token: str) -> dict[str, object]:
        """The full book of one token as the market channel sends it."""
        down = token == self._window.token_down
        bids, asks = self._texts[2 * down : 2 * down + 2]
        return {
            "market": self._window.condition_id,
            "asset_id": token,
            "timestamp": str(self._stamp_ms),
            "hash": self._hashes[down],
            "bids": [json.loads(text) for text in bids if text],
            "asks": [json.loads(text) for text in asks if text],
            "tick_size": TICK,
            "event_type": "book",
            "last_trade_price": "",
        }

    def change(self) -> str:
        """Give one level another size; the frame that says so. Every eighth time the best price moves."""
        dice, window = self._dice, self._window
        # A stamp of its own for every change, also where they come faster than milliseconds.
        self._stamp_ms = max(self._stamp_ms + 1, int(time.time() * 1000))
        at_bid = dice.random() < 0.5
        levels = self._bids if at_bid else self._asks
        at = LEVELS - 1 if dice.random() < 0.125 else int(dice.random() * (LEVELS - 1))
        cents, before = levels[at]
        size = "0" if at == LEVELS - 1 and before != "0" else _size(dice)
        levels[at] = (cents, size)
        ours, mirrored = (0, 3) if at_bid else (1, 2)
        self._texts[ours][at] = _text(cents, size)
        self._texts[mirrored][at] = _text(100 - cents, size)
        self._prove()
        best_bid = MIDDLE - (self._bids[-1][1] == "0")
        best_ask = MIDDLE + 1 + (self._asks[-1][1] == "0")
        up, down = self._hashes
        return (
            f'{{"market":"{window.condition_id}", "price_changes":['
            f'{{"asset_id":"{window.token_up}", "price":"{_PRICES[cents]}", "size":"{size}", '
            f'"side":"{"BUY" if at_bid else "SELL"}", "hash":"{up}", '
            f'"best_bid":"{_PRICES[best_bid]}", "best_ask":"{_PRICES[best_ask]}"}}, '
            f'{{"asset_id":"{window.token_down}", "price":"{_PRICES[100 - cents]}", "size":"{size}", '
            f'"side":"{"SELL" if at_bid else "BUY"}", "hash":"{down}", '
            f'"best_bid":"{_PRICES[100 - best_ask]}", "best_ask":"{_PRICES[100 - best_bid]}"}}], '
            f'"timestamp":"{self._stamp_ms}", "event_type":"price_change"}}'
        )

    def _prove(self) -> None:
        window, stamp = self._window, str(self._stamp_ms)
        hashes = [
            begin_hash(
                window.condition_id,
                token,
                stamp,
                filter(None, bids),
                filter(None, asks),
                MIN_SIZE,
                TICK,
                neg_risk=False,
            ).with_last_trade("")
            for token, bids, asks in (
                (window.token_up, self._texts[0], self._texts[1]),
                (window.token_down, self._texts[2], self._texts[3]),
            )
        ]
        self._hashes = (hashes[0], hashes[1])


class TapeBooks:
    """All markets, changed in turn."""

    def __init__(self, plan: Plan) -> None:
        dice = random.Random(plan.seed)
        self._markets = [MarketBooks(window, dice) for window in plan.windows]
        self._of = {
            token: market
            for market, window in zip(self._markets, plan.windows, strict=True)
            for token in (window.token_up, window.token_down)
        }
        self._turn = 0

    def snapshots(self, tokens: list[str]) -> str:
        """The books of these tokens in one frame."""
        known = [self._of[token].snapshot(token) for token in tokens if token in self._of]
        return json.dumps(known, separators=(",", ":")) + "\n"

    def frame(self) -> str:
        """One change of the next market."""
        self._turn = (self._turn + 1) % len(self._markets)
        return self._markets[self._turn].change()


def _size(dice: random.Random) -> str:
    return f"{int(dice.random() * 90_000) / 100 + 1:.2f}".rstrip("0").rstrip(".")


_PRICES = [f"0.{cents:02d}" for cents in range(100)]


def _text(cents: int, size: str) -> str:
    """A level as it is hashed; nothing where there is none."""
    return level_text(_PRICES[cents], size) if size != "0" else ""


def _texts(levels: list[tuple[int, str]]) -> list[str]:
    return [_text(cents, size) for cents, size in levels]


def _mirrored(levels: list[tuple[int, str]]) -> list[str]:
    return [_text(100 - cents, size) for cents, size in levels]
