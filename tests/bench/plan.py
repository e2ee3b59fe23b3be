"""The windows of one sitting: sixteen that are open, and the price at which each of them fires, one by one.

A strategy enters a window once, so every firing tick needs a window of its own. The four windows of an asset
opened at slightly different prices: a tick a little further out than the one before fires exactly the next
of them. Two assets fire upwards, two downwards. Knows no contender.
"""

import random
import time
from pathlib import Path
from typing import Literal

import msgspec

ASSETS = ("btc", "eth", "sol", "xrp")
A_WINDOW_S = 900
LABEL = "15m"
WINDOWS_AN_ASSET = 4
E18 = 10**18
BASE_E18 = {"btc": 65_000 * E18, "eth": 3_400 * E18, "sol": 180 * E18, "xrp": 3 * E18 // 2}
MOVE_PPM = 700
"""The rule: a window fires when the price has moved further than this from where it opened."""
STEP_PPM = 200
"""Between the opening prices of two windows of an asset."""
REST_PPM = 3 * STEP_PPM // 2
"""Where the price rests, as seen from the first window's opening: no window is fired from there."""
NOISE_PPM = 250
BEYOND_PPM = STEP_PPM // 2
"""How far a firing tick goes beyond the threshold: halfway to that of the next window."""


class Window(msgspec.Struct, frozen=True):
    """One window; ``fires_e18`` is the price of the tick that fires it."""

    slug: str
    asset: str
    condition_id: str
    token_up: str
    token_down: str
    start_s: int
    strike_e18: int
    side: Literal["up", "down"]
    fires_e18: int

    @property
    def token(self) -> str:
        """The token that is to be bought: it tells which tick an order belongs to."""
        return self.token_up if self.side == "up" else self.token_down

    @property
    def end_s(self) -> int:
        return self.start_s + A_WINDOW_S


class Plan(msgspec.Struct, frozen=True):
    """What the world and a contender are told at the start of a sitting."""

    windows: tuple[Window, ...]
    port: int
    """Where the world listens: /rtds, /ws/market, /clob, and /telegram, which never answers."""
    back_port: int
    """Where the simulated venue answers everything that is not timed; 0: there is none."""
    seed: int

    @property
    def listen(self) -> str:
        return f"127.0.0.1:{self.port}"


def at_ppm(asset: str, ppm: int) -> int:
    """The price so far from the asset's base."""
    return BASE_E18[asset] * (1_000_000 + ppm) // 1_000_000


def resting_ppm(asset: str) -> int:
    """Where the asset's price rests, as seen from its base."""
    return REST_PPM * _sign(asset)


def windows_of(seed: int, now_s: int) -> tuple[Window, ...]:
    """The sixteen windows of one sitting, all open since a minute and for long enough."""
    dice = random.Random(seed)
    made = []
    for asset in ASSETS:
        for step in range(WINDOWS_AN_ASSET):
            start_s = now_s - 60 - 10 * step
            strike_ppm = STEP_PPM * step * _sign(asset)
            fires_ppm = strike_ppm + (MOVE_PPM + BEYOND_PPM) * _sign(asset)
            made.append(
                Window(
                    slug=f"{asset}-updown-{LABEL}-{start_s}",
                    asset=asset,
                    condition_id=f"0x{dice.getrandbits(256):064x}",
                    token_up=str(dice.getrandbits(255) | 1 << 254),
                    token_down=str(dice.getrandbits(255) | 1 << 254),
                    start_s=start_s,
                    strike_e18=at_ppm(asset, strike_ppm),
                    side="up" if _sign(asset) > 0 else "down",
                    fires_e18=at_ppm(asset, fires_ppm),
                )
            )
    return tuple(made)


def make_plan(seed: int, port: int, back_port: int) -> Plan:
    """A sitting that begins now."""
    return Plan(windows_of(seed, int(time.time())), port, back_port, seed)


def write_plan(plan: Plan, file: Path) -> None:
    file.write_bytes(msgspec.json.encode(plan))


def read_plan(file: str) -> Plan:
    return msgspec.json.decode(Path(file).read_bytes(), type=Plan)


def moved_ppm(price_e18: int, strike_e18: int) -> int:
    """How far the price is from the strike, cut towards zero."""
    ppm = abs(price_e18 - strike_e18) * 1_000_000 // strike_e18
    return ppm if price_e18 >= strike_e18 else -ppm


def _sign(asset: str) -> int:
    return 1 if ASSETS.index(asset) % 2 == 0 else -1
