"""Seven ways of freezing on each of four feeds: noticed in time, no order on what is stale, healed by itself.

The limits are the bot's own thresholds, set shorter here than by default, and one second.
"""

import asyncio
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from common.core.lag import book_fault
from common.feeds.backoff import PROVEN_AFTER_S
from common.messages import OrderState, RouteName, Verdict
from common.units import SECOND
from loopback import Loopback, loopback, until

pytestmark = [pytest.mark.procs, pytest.mark.alone, pytest.mark.slow, pytest.mark.timeout(900)]

TICK_AGE_S, TICK_STALE_S = 4.0, 6.0
BOOK_AGE_S, BOOK_STALE_S, BOOK_QUIET_S = 4.0, 6.0, 2.0
GRACE_S = 1.0
HEALED_S = 25.0
"""The longest wait between two attempts at these counts of failures, and the first data."""
ORACLE_ROLES = ("books", "strategist", "executor")
SHAPES = (
    "stall",
    "pong only",
    "one symbol",
    "repeated value",
    "frozen source time",
    "late burst",
    "subscribed, no snapshot",
)


def faults(shape: str, channel: str, key: str) -> list[dict[str, Any]]:
    """The shape as the simulated venue knows it; ``key`` is the one symbol or token."""
    match shape:
        case "stall":
            return [{"kind": "stall", "channel": channel}]
        case "pong only":
            return [{"kind": "freeze", "channel": channel}]
        case "one symbol":
            return [{"kind": "freeze", "channel": channel, "key": key}]
        case "repeated value":
            return [{"kind": "repeat_value", "channel": channel}]
        case "frozen source time":
            return [{"kind": "frozen_time", "channel": channel}]
        case "late burst":
            return [{"kind": "hold", "channel": channel, "for_ms": 12_000}]
        case _:
            return [
                {"kind": "freeze", "channel": channel},
                {"kind": "drop_snapshot", "channel": channel},
                {"kind": "disconnect", "channel": channel},
            ]


@dataclass
class Row:
    """One case of the table."""

    feed: str
    shape: str
    stopped_s: float
    renewed_s: float | None
    healed_s: float
    orders: int


def table(rows: list[Row]) -> str:
    lines = [f"{'feed':<18}{'shape':<25}{'no orders':>10}{'renewed':>10}{'healed':>10}{'orders':>8}"]
    for row in rows:
        renewed = f"{row.renewed_s:.1f} s" if row.renewed_s is not None else "-"
        lines.append(
            f"{row.feed:<18}{row.shape:<25}{row.stopped_s:>8.1f} s{renewed:>10}{row.healed_s:>8.1f} s"
            f"{row.orders:>8}"
        )
    return "\n".join(lines)


def orders_between(stage: Loopback, asset: str, from_ns: int, to_ns: int) -> int:
    """Decisions to buy and new orders of an asset on the wall clock between two instants."""
    found = 0
    for envelope in stage.heard:
        body = envelope.body
        if isinstance(body, Verdict) and body.asset == asset and body.decision != "no_trade":
            found += from_ns <= envelope.ts_recv_ns <= to_ns
        if isinstance(body, OrderState) and body.asset == asset:
            found += from_ns <= body.created_ns <= to_ns
    return found


async def oracle_case(stage: Loopback, route: str, shape: str) -> Row:
    role = f"oracle-{route}"

    async def flows() -> bool:
        gates = await stage.gates("btc")
        return "oracle age" in gates and gates["oracle age"].passed and gates["oracle routes"].passed

    async def stopped() -> bool:
        gates = await stage.gates("btc")
        return "oracle age" in gates and not (gates["oracle age"].passed and gates["oracle routes"].passed)

    await until(flows, 20, f"{role} flows before {shape}")
    zombies, reconnects = await stage.counter(role, "zombies"), await stage.counter(role, "reconnects")
    await stage.faults(*faults(shape, route, "btc/usd"))
    connected_at = 0.0
    if shape == "subscribed, no snapshot":

        async def connected() -> bool:
            again = await stage.counter(role, "reconnects") > reconnects
            return again and await stage.connections(route) > 0

        await until(connected, 10, f"{role} connects again")
        connected_at = time.monotonic()
    await until(stopped, TICK_AGE_S + 3, f"{role}: orders stop on {shape}")
    stopped_s, stopped_ns = stage.since_news_s("spot/btc"), stage.clock.wall_ns()
    # The feed counts from the last news, or from the connection that was made and then brought nothing.
    silent_since = max(time.monotonic() - stopped_s, connected_at)

    async def renewed() -> bool:
        return await stage.counter(role, "zombies") > zombies

    await until(renewed, TICK_STALE_S + 5, f"{role}: {shape} is noticed by the feed")
    renewed_s = time.monotonic() - silent_since
    assert stopped_s <= TICK_AGE_S + GRACE_S, (role, shape, stopped_s)
    assert renewed_s <= TICK_STALE_S + GRACE_S, (role, shape, renewed_s)
    orders = orders_between(stage, "btc", stopped_ns, stage.clock.wall_ns())
    await stage.faults()
    healed_s = await until(flows, HEALED_S, f"{role} heals after {shape}")
    healed_at_ns = stage.news["spot/btc"][0]

    async def proven() -> bool:
        # A connection that delivered for long enough starts over with short waits.
        return stage.news["spot/btc"][0] - healed_at_ns > (PROVEN_AFTER_S + 1) * SECOND

    await until(proven, 20, f"{role} goes on after {shape}")
    return Row(role, shape, stopped_s, renewed_s, healed_s, orders)


async def open_token(stage: Loopback) -> str:
    """The Up token of a BTC window that stays open for long enough."""
    markets, _ = await stage.books()
    now = stage.clock.wall_ns()
    for market in markets.values():
        if market.asset == "btc" and market.start_ns <= now < market.end_ns - 45 * SECOND:
            return market.token_up
    return ""


async def book_case(stage: Loopback, shape: str) -> Row:
    token = ""

    async def chosen() -> bool:
        nonlocal token
        token = await open_token(stage)
        return bool(token)

    await until(chosen, 120, "a window with time left")

    async def usable() -> bool:
        _, books = await stage.books()
        book = books.get(token)
        return book is not None and not book_fault(book, int(BOOK_AGE_S * SECOND), stage.moment())

    async def unusable() -> bool:
        return not await usable()

    await until(usable, 20, f"books flow before {shape}")
    began_ns = stage.clock.wall_ns()
    await stage.faults(*faults(shape, "market", token))
    stopped_s = await until(unusable, BOOK_AGE_S + GRACE_S + 1, f"books: orders stop on {shape}")
    assert stopped_s <= BOOK_AGE_S + GRACE_S, (shape, stopped_s)
    stopped_ns = stage.clock.wall_ns()

    # It stays unusable while the venue goes on so.
    for _ in range(20):
        assert await unusable(), shape
        await asyncio.sleep(0.1)
    orders = orders_between(stage, "btc", stopped_ns, stage.clock.wall_ns())
    await stage.faults()
    healed_s = await until(usable, HEALED_S, f"books heal after {shape}")
    assert began_ns < stopped_ns
    return Row("books", shape, stopped_s, None, healed_s, orders)


async def test_every_freeze_on_every_feed(
    tmp_path: Path, free_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    rows: list[Row] = []
    routes: tuple[RouteName, ...] = ("rtds", "polybolt", "chainlink")
    for number, route in enumerate(routes):
        async with loopback(
            tmp_path,
            free_port + number,
            (route,),
            (f"oracle-{route}", *ORACLE_ROLES),
            window_s=120,
            strategy__max_tick_age_s=TICK_AGE_S,
            strategy__max_book_age_s=BOOK_AGE_S,
            watch__tick_stale_s=TICK_STALE_S,
            watch__book_stale_s=BOOK_STALE_S,
            watch__book_quiet_s=BOOK_QUIET_S,
        ) as stage:
            rows += [await oracle_case(stage, route, shape) for shape in SHAPES]
            if route == routes[-1]:
                rows += [await book_case(stage, shape) for shape in SHAPES]
            for role in stage.processes:
                assert "unhandled_exception" not in stage.log_of(role), stage.log_of(role)[-2000:]
    with capsys.disabled():
        sys.stdout.write(f"\n{table(rows)}\n")
    assert len(rows) == 4 * len(SHAPES)
    assert sum(row.orders for row in rows) == 0
