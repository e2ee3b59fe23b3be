"""What the bus says now, folded into one board, and the board as a live table or as plain lines.

Owns the newest state of every window, order, position and process it heard of. Never asks anybody anything.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from common.messages import (
    AccountState,
    Alert,
    Envelope,
    Fill,
    Heartbeat,
    MarketState,
    OrderState,
    PositionState,
    PostureState,
    Tick,
    Verdict,
    WindowView,
)
from common.units import E18, SECOND, price4_text, price18_text, usd6_text
from procs.cli.show import add_row, clock_time, table

MAX_WINDOWS = 12
MAX_NEWS = 8
MAX_AGES = 4
"""The oldest inputs of a process are the ones that matter."""
_GONE_AFTER_NS = 60 * SECOND


@dataclass(slots=True)
class Board:
    """The newest of everything; ``take`` keeps it so."""

    markets: dict[str, MarketState] = field(default_factory=dict)
    views: dict[str, WindowView] = field(default_factory=dict)
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    orders: dict[str, OrderState] = field(default_factory=dict)
    positions: dict[tuple[str, str], PositionState] = field(default_factory=dict)
    prices: dict[tuple[str, str], Tick] = field(default_factory=dict)
    health: dict[str, tuple[int, Heartbeat]] = field(default_factory=dict)
    account: AccountState | None = None
    posture: PostureState | None = None
    news: deque[str] = field(default_factory=lambda: deque(maxlen=MAX_NEWS))


def take(board: Board, envelope: Envelope) -> str | None:
    """Fold one message in; returns a line worth telling when something changed."""
    line = _fold(board, envelope)
    if line is None:
        return None
    line = f"{clock_time(envelope.ts_recv_ns)} {line}"
    board.news.append(line)
    return line


def _fold(board: Board, envelope: Envelope) -> str | None:
    match envelope.body:
        case Tick() as tick:
            board.prices[tick.asset, tick.kind] = tick
        case Heartbeat() as beat:
            board.health[beat.role] = (envelope.mono_ns, beat)
        case MarketState() as market:
            return _market(board, market)
        case WindowView() as view:
            board.views[view.window] = view
        case Verdict() as verdict:
            return _verdict(board, verdict)
        case OrderState() as order:
            return _order(board, order)
        case PositionState() as position:
            return _position(board, position)
        case AccountState() as account:
            board.account = account
        case PostureState() as posture:
            changed = board.posture is not None and board.posture.posture != posture.posture
            board.posture = posture
            return f"posture is {posture.posture}: {posture.reason} ({posture.who})" if changed else None
        case Alert() as alert:
            return f"{alert.level}: {alert.text}"
        case Fill():
            return None
    return None


def _market(board: Board, market: MarketState) -> str | None:
    before = board.markets.get(market.window)
    board.markets[market.window] = market
    if market.outcome is not None and (before is None or before.outcome is None):
        return f"{market.window} ended {market.outcome}"
    return None


def _verdict(board: Board, verdict: Verdict) -> str | None:
    before = board.verdicts.get(verdict.window)
    board.verdicts[verdict.window] = verdict
    if verdict.decision == "no_trade" or (before is not None and before.decision == verdict.decision):
        return None
    return f"{verdict.window} decided {verdict.decision.replace('_', ' ')}"


def _order(board: Board, order: OrderState) -> str | None:
    before = board.orders.get(order.order_id)
    board.orders[order.order_id] = order
    if before is not None and before.status == order.status:
        return None
    text = f"{order.window} order {order.outcome} at {price4_text(order.limit4)} is {order.status}"
    if order.filled_size6:
        text += f": {order.filled_size6 / 1_000_000:.2f} shares for {usd6_text(order.cost_usd6)}"
    if order.basis != "settlement":
        text += f" [{order.basis}]"
    return f"{text} ({order.reason})" if order.reason else text


def _position(board: Board, position: PositionState) -> str | None:
    key = (position.window, position.outcome)
    before = board.positions.get(key)
    board.positions[key] = position
    if not position.settled or (before is not None and before.settled):
        return None
    return f"{position.window} settled {position.official}: profit {usd6_text(position.pnl_usd6)}"


def render(board: Board, wall_ns: int, mono_ns: int) -> RenderableType:
    """The whole board as one rich renderable."""
    return Group(
        Text(summary(board, wall_ns), style="bold"),
        Text(),
        _windows(board, wall_ns),
        Text(),
        _processes(board, mono_ns),
        Text(),
        *(Text(line, overflow="ellipsis", no_wrap=True) for line in board.news),
    )


def summary(board: Board, wall_ns: int) -> str:
    """One line: time, posture, money."""
    parts = [f"{clock_time(wall_ns)} UTC"]
    if board.account is not None:
        account = board.account
        parts.append(account.mode)
        parts.append(f"cash {usd6_text(account.cash_usd6)}")
        parts.append(f"realized {usd6_text(account.realized_pnl_usd6)}")
        parts.append(f"{account.orders} orders, {account.fills} fills")
    if board.posture is not None:
        parts.append(board.posture.posture)
    open_positions = sum(1 for position in board.positions.values() if not position.settled)
    parts.append(f"{open_positions} open positions")
    return " | ".join(parts)


def current_windows(board: Board, wall_ns: int) -> list[WindowView]:
    """Windows that are open, open next or just ended, by opening and asset."""
    alive = [view for view in board.views.values() if view.end_ns > wall_ns - _GONE_AFTER_NS]
    return sorted(alive, key=lambda view: (view.start_ns, view.asset))[:MAX_WINDOWS]


def _windows(board: Board, wall_ns: int) -> Table:
    made = table(
        "window", ">left", ">strike", ">price", ">move %", "up bid/ask", "down bid/ask", "verdict", "held"
    )
    for view in current_windows(board, wall_ns):
        add_row(made, window_cells(board, view, wall_ns))
    return made


def window_cells(board: Board, view: WindowView, wall_ns: int) -> list[str]:
    """One window's cells, all text."""
    held = [
        f"{position.outcome} {position.size6 / 1_000_000:.1f}"
        + (f" {usd6_text(position.pnl_usd6)}" if position.settled else "")
        for position in board.positions.values()
        if position.window == view.window
    ]
    return [
        view.window,
        _left(view, wall_ns),
        _dollars(view.strike_e18),
        _dollars(view.reference_e18),
        f"{view.move_ppm / 10_000:+.3f}" if view.move_ppm is not None else "-",
        f"{_price(view.up_bid4)}/{_price(view.up_ask4)}",
        f"{_price(view.down_bid4)}/{_price(view.down_ask4)}",
        _decision(board, view),
        " ".join(held) or "-",
    ]


def _dollars(e18: str | None) -> str:
    """With as many decimals as a move of a hundredth of a percent needs."""
    if e18 is None:
        return "-"
    value = int(e18)
    places = 2 if value >= 1000 * E18 else 4 if value >= 10 * E18 else 6
    return price18_text(value, places=places)


def _left(view: WindowView, wall_ns: int) -> str:
    if view.outcome is not None:
        return f"was {view.outcome}"
    if wall_ns < view.start_ns:
        return f"in {(view.start_ns - wall_ns) // SECOND} s"
    return f"{max(0, view.end_ns - wall_ns) // SECOND} s"


def _price(price4: int | None) -> str:
    return "-" if price4 is None else price4_text(price4)


def _decision(board: Board, view: WindowView) -> str:
    if not view.tradable:
        return view.reason[:48]
    verdict = board.verdicts.get(view.window)
    if verdict is None:
        return "-"
    if verdict.decision != "no_trade":
        return verdict.decision.replace("_", " ")
    failed = [gate.name for gate in verdict.gates if not gate.passed]
    return f"no: {', '.join(failed)}"[:48]


def _processes(board: Board, mono_ns: int) -> Table:
    made = table("process", "state", ">heard ms ago", "inputs", "detail")
    for role, (heard_ns, beat) in sorted(board.health.items()):
        oldest = sorted(beat.ages_ms.items(), key=lambda item: -item[1])[:MAX_AGES]
        ages = "  ".join(f"{name} {age / 1000:.1f} s" for name, age in oldest)
        add_row(made, [role, beat.state, max(0, mono_ns - heard_ns) // 1_000_000, ages, beat.detail])
    return made


def plain_lines(board: Board, wall_ns: int) -> Iterator[str]:
    """The board as lines for a log or a pipe."""
    yield summary(board, wall_ns)
    for view in current_windows(board, wall_ns):
        yield "  " + "  ".join(window_cells(board, view, wall_ns))
