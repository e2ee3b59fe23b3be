"""One card per window: everything that became of our orders in it, as one message that is edited.

Owns what is known of each window's orders, trades, position and redemption. Sends nothing.
"""

import re
from dataclasses import dataclass, field

from common.core.remote.wording import dollars, shares, utc_time, window_title
from common.messages import Fill, OrderState, PositionState, RedemptionState
from common.units import price4_text

MAX_CARDS = 400
"""The oldest windows are forgotten; their messages stay as they are."""
MAX_ORDERS = 6
"""Of one card; the newest are shown."""
_STATUS = {
    "working": "on its way",
    "filled": "filled",
    "partial": "partly filled",
    "killed": "not filled",
    "refused": "refused",
}


_TRADES = re.compile(r"confirmed|\d+ of \d+ trades (not final|failed).*")


@dataclass(slots=True)
class Card:
    """One window."""

    window: str
    orders: dict[str, OrderState] = field(default_factory=dict)
    fills: dict[str, Fill] = field(default_factory=dict)
    positions: dict[str, PositionState] = field(default_factory=dict)
    redemption: RedemptionState | None = None
    told: tuple[str, ...] = ()
    """What its message says of trades that were heard before this start; they are not published again."""


@dataclass(slots=True)
class Cards:
    """The windows we had an order in."""

    windows: dict[str, Card] = field(default_factory=dict)
    conditions: dict[str, str] = field(default_factory=dict)
    """Which window a condition belongs to."""


def take(cards: Cards, body: object) -> str | None:
    """Take one message of the bus; returns the window whose card may have changed."""
    match body:
        case OrderState():
            card = _card(cards, body.window)
            card.orders[body.order_id or body.intent_id] = body
        case Fill():
            card = _card(cards, body.window)
            card.fills[body.trade_id] = body
        case PositionState():
            card = _card(cards, body.window)
            card.positions[body.outcome] = body
            if body.condition_id:
                cards.conditions[body.condition_id] = body.window
        case RedemptionState():
            window = body.window or cards.conditions.get(body.condition_id, "")
            if window not in cards.windows:
                return None
            card = cards.windows[window]
            card.redemption = body
        case _:
            return None
    return card.window


def key_of(window: str) -> str:
    """The key under which a window's card is one message."""
    return f"card:{window}"


def text_of(card: Card) -> str:
    """The card as it should read now."""
    lines = [f"{_sign(card)} {window_title(card.window)}"]
    orders = sorted(card.orders.values(), key=lambda order: order.created_ns)
    if len(orders) > MAX_ORDERS:
        lines.append(f"{len(orders) - MAX_ORDERS} earlier orders")
    for order in orders[-MAX_ORDERS:]:
        lines += _order_lines(order)
    lines += _trade_lines(card)
    for held in card.positions.values():
        lines += _position_lines(held)
    if card.redemption is not None:
        lines.append(_redemption_line(card.redemption))
    return "\n".join(lines)


def trade_lines_of(text: str) -> tuple[str, ...]:
    """The lines about trades of a card as it was written earlier."""
    return tuple(line for line in text.splitlines() if _TRADES.fullmatch(line))


def _card(cards: Cards, window: str) -> Card:
    card = cards.windows.get(window)
    if card is None:
        card = cards.windows[window] = Card(window)
        while len(cards.windows) > MAX_CARDS:
            del cards.windows[next(iter(cards.windows))]
    return card


def _sign(card: Card) -> str:
    """How it stands, at a glance."""
    held = [each for each in card.positions.values() if each.size6 or each.sold6 or each.settled]
    if held and all(each.settled for each in held):
        won = sum(each.pnl_usd6 for each in held) >= 0
        return "\N{LARGE GREEN CIRCLE}" if won else "\N{LARGE RED CIRCLE}"
    if any(each.size6 for each in held):
        return "\N{LARGE BLUE CIRCLE}"
    if any(order.status == "working" for order in card.orders.values()):
        return "\N{LARGE YELLOW CIRCLE}"
    return "\N{MEDIUM WHITE CIRCLE}"


def _order_lines(order: OrderState) -> list[str]:
    side = order.outcome.capitalize()
    if order.side == "sell":
        wish = f"sell {shares(order.size6)} {side} at {price4_text(order.limit4)} or more"
    else:
        wish = f"buy {side} for {dollars(order.stake_usd6)} at {price4_text(order.limit4)} or less"
    lines = [f"{utc_time(order.created_ns)} {wish}: {_STATUS[order.status]}"]
    if order.filled_size6:
        verb = "sold" if order.side == "sell" else "bought"
        # An average, for people; what counts is the sum beside it.
        price4 = order.cost_usd6 * 10_000 // order.filled_size6
        lines.append(
            f"  {verb} {shares(order.filled_size6)} at {price4_text(price4)}: {dollars(order.cost_usd6)}, "
            f"fee {dollars(order.fee_usd6)}"
        )
    if order.reason:
        lines.append(f"  {order.reason}")
    if order.unknown:
        lines.append(f"  its fate is unknown: {order.unknown}")
    if order.basis != "settlement":
        lines.append(f"  {order.basis}")
    return lines


def _trade_lines(card: Card) -> list[str]:
    if not card.fills:
        return list(card.told)
    fills = card.fills.values()
    failed = [each for each in fills if each.status == "failed"]
    open_fills = [each for each in fills if each.status not in ("confirmed", "failed")]
    lines = []
    if open_fills:
        lines.append(f"{len(open_fills)} of {len(fills)} trades not final on the chain yet")
    elif len(fills) > len(failed):
        lines.append("confirmed")
    if failed:
        lines.append(f"{len(failed)} of {len(fills)} trades failed: unbooked, the money is back")
    return lines


def _position_lines(held: PositionState) -> list[str]:
    side = held.outcome.capitalize()
    if not held.settled:
        return [f"held: {shares(held.size6)} {side}"] if held.size6 else []
    if not held.size6 and not held.sold6:
        return []
    how = (held.official or "unknown").capitalize()
    paid, profit = dollars(held.payout_usd6), dollars(held.pnl_usd6, signed=True)
    line = f"settled {how}: {shares(held.size6)} {side} pay {paid}, profit {profit}"
    return [line, "redeemed: the money is in the wallet"] if held.redeemed else [line]


def _redemption_line(redemption: RedemptionState) -> str:
    match redemption.status:
        case "paid":
            return f"redeemed: {dollars(redemption.paid_usd6)} arrived"
        case "elsewhere":
            return f"redeemed by somebody else's transaction: {dollars(redemption.paid_usd6)} arrived"
        case "failed":
            return f"redemption failed: {redemption.text}"
        case _:
            return f"redemption {redemption.status}"
