"""Messages about one made-up window, with whatever a test wants to be different."""

from common.messages import Fill, OrderState, PositionState, RedemptionState
from common.units import SECOND

START_S = 1_790_000_100
WINDOW = f"btc-updown-15m-{START_S}"
CONDITION = "0x" + "ab" * 32


def order(**changes: object) -> OrderState:
    fields = {
        "order_id": "0x1", "intent_id": f"{WINDOW}/up/lag", "window": WINDOW, "asset": "btc", "token": "1",
        "outcome": "up", "limit4": 6200, "stake_usd6": 10_000_000, "status": "working", "reason": "",
        "filled_size6": 0, "cost_usd6": 0, "fee_usd6": 0, "updated_ns": 0,
        "created_ns": (START_S + 192) * SECOND,
    }  # fmt: skip
    return OrderState(**(fields | changes))  # type: ignore[arg-type]


FILLED = order(status="filled", filled_size6=17_240_000, cost_usd6=10_000_000, fee_usd6=123_456)


def fill(**changes: object) -> Fill:
    fields = {
        "trade_id": "t1", "order_id": "0x1", "window": WINDOW, "asset": "btc", "token": "1", "outcome": "up",
        "price4": 5800, "size6": 17_240_000, "cost_usd6": 10_000_000, "fee_usd6": 123_456, "at_ns": 1,
    }  # fmt: skip
    return Fill(**(fields | changes))  # type: ignore[arg-type]


def position(**changes: object) -> PositionState:
    fields = {
        "window": WINDOW, "asset": "btc", "token": "1", "outcome": "up", "size6": 17_240_000,
        "cost_usd6": 10_000_000, "fee_usd6": 123_456, "end_ns": (START_S + 900) * SECOND, "settled": False,
        "condition_id": CONDITION,
    }  # fmt: skip
    return PositionState(**(fields | changes))  # type: ignore[arg-type]


def redemption(**changes: object) -> RedemptionState:
    fields = {
        "condition_id": CONDITION, "window": "", "ledger": "v1", "status": "waiting",
        "payout_usd6": 17_240_000, "at_ns": 1,
    }  # fmt: skip
    return RedemptionState(**(fields | changes))  # type: ignore[arg-type]


SETTLED = position(settled=True, official="up", payout_usd6=17_240_000, pnl_usd6=7_116_544)
