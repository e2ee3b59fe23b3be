"""What the pictures must keep; how they look was judged by eye."""

import io
import struct
import sys
from typing import Any

import msgspec
import pytest

from common.chat.pictures import HEIGHT, WIDTH, equity_png, equity_points, window_png
from common.core.remote.traces import Entry, Sight, Trace
from common.errors import DependencyMissing
from common.units import E18, SECOND
from window_bodies import SETTLED, START_S, WINDOW, position

START_NS = START_S * SECOND


def size_of(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def pixels(png: bytes) -> Any:
    image = pytest.importorskip("matplotlib.image")
    return (image.imread(io.BytesIO(png))[:, :, :3] * 255).round().astype(int)


def has_colour(png: bytes, colour: str, least: int = 40) -> bool:
    wanted = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
    return int((abs(pixels(png) - wanted).max(axis=2) <= 3).sum()) >= least


def trace(seconds: int = 300, *, entries: int = 0, span_s: int = 900, **changes: Any) -> Trace:
    made = Trace(WINDOW, "btc", START_NS, START_NS + span_s * SECOND, 96_550 * E18)
    for second in range(-30, seconds):
        price = (96_500 + second) * E18
        made.sights.append(Sight(START_NS + second * SECOND, price, 5700, 5800, 4200, 4300))
    for number in range(entries):
        side = "sell" if number % 2 else "buy"
        made.entries[f"{number}"] = Entry(START_NS + (50 + number) * SECOND, "up", side, 5800, 17_240_000)  # type: ignore[arg-type]
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def test_a_window_shows_price_strike_books_and_trades_in_their_colours() -> None:
    png = window_png(trace(entries=2), START_NS + 300 * SECOND)
    assert size_of(png) == (WIDTH, HEIGHT) == (1080, 720)
    for colour in ("#0b57a4", "#1b1f24", "#1a7f37", "#c9372c"):
        assert has_colour(png, colour), colour
    corner = pixels(png)[-3:, -3:]
    assert (corner == 255).all()  # white


@pytest.mark.parametrize(
    ("odd", "at_s"),
    [
        (Trace(WINDOW, "btc", START_NS, START_NS + 900 * SECOND), 10),
        (trace(1), -1),
        (trace(900, entries=12, outcome="down"), 901),
        (trace(290, span_s=300, strike_e18=None), 299),
        (trace(60, span_s=60), 60),
    ],
    ids=["nothing seen", "one second", "many trades", "no strike", "one minute"],
)
def test_odd_windows_are_drawn(odd: Trace, at_s: int) -> None:
    assert size_of(window_png(odd, START_NS + at_s * SECOND)) == (WIDTH, HEIGHT)


def test_gaps_in_what_was_seen_are_gaps() -> None:
    holey = trace(300)
    for place in range(100, 200):
        holey.sights[place] = Sight(holey.sights[place].at_ns, None, None, None, None, None)
    assert window_png(holey, START_NS) != window_png(trace(300), START_NS)


def test_equity_adds_up_what_was_settled() -> None:
    lost = msgspec.structs.replace(SETTLED, window="w2", end_ns=SETTLED.end_ns + 1, pnl_usd6=-10_000_000)
    assert equity_points([lost, position(), SETTLED]) == [
        (SETTLED.end_ns, 7_116_544),
        (SETTLED.end_ns + 1, -2_883_456),
    ]


@pytest.mark.parametrize("number", [0, 1, 2, 500])
def test_any_equity_is_drawn(number: int) -> None:
    points = [(START_NS + each * 900 * SECOND, (each % 7 - 3) * 1_000_000) for each in range(number)]
    png = equity_png(points, "Paper account")
    assert size_of(png) == (WIDTH, HEIGHT)
    assert has_colour(png, "#0b57a4") == bool(number)


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(DependencyMissing, match="extra research"):
        equity_png([], "x")


def test_no_global_state_is_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    assert size_of(equity_png([], "x")) == (WIDTH, HEIGHT)
