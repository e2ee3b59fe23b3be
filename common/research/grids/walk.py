"""The compiled loops of the kernel: importing this module loads numba.

Owns the shared first-trigger walk. Moves and price limits rise, so what a weaker cell has not entered, no
stronger one has: the walk keeps a staircase and stops where it is complete.
"""

from typing import Any

import numba
import numpy as np

_NO_MOVE = np.iinfo(np.int32).min
_ANY_SIZE = np.iinfo(np.uint32).max
_PRICE4_ONE = 10_000
_STEP6 = 100


@numba.njit(cache=True, nogil=True)
def _settle(
    figures: Any, price: Any, shown: Any, won: bool, left: int, i: int, j: int,
    lefts: Any, stakes: Any, numerator: int, denominator: int,
) -> None:  # fmt: skip
    """Add one trade to every cell of (i, *, j, *) that may enter with this much time left."""
    for k in range(len(stakes)):
        size = stakes[k] * _PRICE4_ONE // price
        if shown != _ANY_SIZE and shown * _STEP6 < size:
            size = shown * _STEP6
        size = size // _STEP6 * _STEP6
        cost = -(-price * size // _PRICE4_ONE)
        fee = size // _STEP6 * numerator // denominator * 10
        net = (size if won else 0) - cost - fee
        for l in range(len(lefts)):  # noqa: E741 - the axes are i, l, j, k
            if left > lefts[l]:
                figures[0, i, l, j, k] += 1
                figures[1, i, l, j, k] += won
                figures[2, i, l, j, k] += cost
                figures[3, i, l, j, k] += fee
                figures[4, i, l, j, k] += net


@numba.njit(cache=True, nogil=True)
def _walk_window(
    figures: Any, move: Any, up: Any, down: Any, fill_up: Any, fill_down: Any, size_up: Any,
    size_down: Any, span: int, outcome: int, above: Any, below: Any, moves: Any, lefts: Any, prices: Any,
    stakes: Any, frontier: Any, least: int,
) -> None:  # fmt: skip
    count_moves, count_prices = len(moves), len(prices)
    frontier[:] = count_prices
    smallest, largest = moves[0], prices[count_prices - 1]
    for t in range(span):
        if span - t <= least:
            break
        moved = move[t]
        if moved == _NO_MOVE:
            continue
        size_of_move = abs(moved)
        if size_of_move <= smallest:
            continue
        ask, fill = (up[t], fill_up[t]) if moved > 0 else (down[t], fill_down[t])
        # Known and met must both be below the limit: an order above it is killed and tried again.
        if ask == 0 or fill == 0:
            continue
        dearest = max(ask, fill)
        if dearest >= largest:
            continue
        i = count_moves - 1
        while size_of_move <= moves[i]:
            i -= 1
        if dearest >= prices[frontier[i] - 1] if frontier[i] > 0 else True:
            continue
        j = 0
        while dearest >= prices[j]:
            j += 1
        shown = size_up[t] if moved > 0 else size_down[t]
        won = (outcome == 1) == (moved > 0)
        for at in range(i, -1, -1):
            if frontier[at] <= j:
                break
            for cell in range(j, frontier[at]):
                _settle(
                    figures, np.int64(fill), np.int64(shown), won, span - t, at, cell, lefts, stakes,
                    above[fill], below[fill],
                )  # fmt: skip
            frontier[at] = j
        if frontier[count_moves - 1] == 0:
            break


@numba.njit(cache=True, nogil=True)
def walk(
    figures: Any, begin: int, end: int, move: Any, up: Any, down: Any, fill_up: Any, fill_down: Any,
    size_up: Any, size_down: Any, span: Any, outcome: Any, schedule: Any, above: Any, below: Any, moves: Any,
    lefts: Any, prices: Any, stakes: Any,
) -> None:  # fmt: skip
    """Add windows ``begin`` to ``end`` to the sums of every cell: [figure, move, left, price, stake]."""
    least = lefts.min()
    frontier = np.empty(len(moves), np.int64)
    for w in range(begin, end):
        if outcome[w] >= 0:
            _walk_window(
                figures, move[w], up[w], down[w], fill_up[w], fill_down[w], size_up[w], size_down[w], span[w],
                outcome[w], above[schedule[w]], below[schedule[w]], moves, lefts, prices, stakes, frontier,
                least,
            )  # fmt: skip


@numba.njit(cache=True, nogil=True)
def first(
    move: Any,
    up: Any,
    down: Any,
    fill_up: Any,
    fill_down: Any,
    span: Any,
    limit_ppm: int,
    left: int,
    price: int,
) -> Any:
    """Second (-1 never) and side (0 up, 1 down) of each window's entry by one cell."""
    second = np.full(len(move), -1, np.int32)
    side = np.zeros(len(move), np.int8)
    for w in range(len(move)):
        for t in range(span[w]):
            if span[w] - t <= left:
                break
            moved = move[w, t]
            if moved == _NO_MOVE or abs(moved) <= limit_ppm:
                continue
            if moved > 0:
                ask, fill = up[w, t], fill_up[w, t]
            else:
                ask, fill = down[w, t], fill_down[w, t]
            if ask == 0 or fill == 0 or max(ask, fill) >= price:
                continue
            second[w] = t
            side[w] = 0 if moved > 0 else 1
            break
    return second, side


@numba.njit(cache=True, nogil=True)
def read(values: Any) -> int:
    """Add up a column: the least that anything reading it once can cost."""
    total = 0
    for i in range(len(values)):
        total += values[i]
    return total
