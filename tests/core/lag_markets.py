"""Made-up markets whose book follows the price by a known time, for studies that have to find that time."""

import random
from collections.abc import Callable, Sequence

from common.research.data.dataset import Dataset
from recorded_windows import books, made, market, ticks

BASE = 100_000.0
LEAP_EVERY_S = 100
RECEIPT_S = 1.1
"""``ticks`` are received this long after their stamp."""
CENTS_PER_BP = 0.5


def leaping(seed: int) -> Callable[[int], float]:
    """A price that jumps by 10 basis points every hundred seconds, up or down and back, eight times."""
    chance = random.Random(seed)
    levels = [chance.choice((-10, 10)) if place % 2 else 0 for place in range(9)]
    return lambda second: BASE * (1 + levels[min(8, max(0, second // LEAP_EVERY_S))] / 10_000)


def lagging(
    late_s: int | Sequence[int],
    windows: int = 8,
    *,
    assets: tuple[str, ...] = ("btc",),
    kind: str = "spot",
    noise4: int = 0,
) -> Dataset:
    """Windows whose mid moves half a cent for each basis point, ``late_s`` after the price's stamp.

    Books are received 0.3 s after each full second: with ``late_s`` 2 a jump that could be known 1.1 s after
    its stamp is followed 1.2 s later. Several are taken by the windows in turn.
    """
    delays = (late_s,) if isinstance(late_s, int) else tuple(late_s)
    rows_ticks, rows_books, markets, chance = [], [], [], random.Random(7)
    for number in range(windows):
        for asset in assets:
            price = leaping(1000 * number + len(asset) + ord(asset[0]))

            def ask(
                second: int, price: Callable[[int], float] = price, late: int = delays[number % len(delays)]
            ) -> float:
                moved_bp = (price(second - late) / BASE - 1) * 10_000
                return 0.51 + CENTS_PER_BP / 100 * moved_bp + chance.randint(-noise4, noise4) / 10_000

            markets.append(market(number, asset))
            rows_ticks += ticks(price, number, asset=asset, kind=kind, seconds=range(900))
            rows_books += books(ask, number, asset=asset)
    return made(markets, rows_ticks, rows_books)
