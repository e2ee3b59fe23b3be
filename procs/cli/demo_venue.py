"""The demo's live orders beside the simulated venue's own history, which is the truth. Changes nothing."""

import urllib.request
from collections import Counter
from typing import Any

import msgspec

from common.messages import AccountReport


def read_history(listen: str) -> dict[str, Any] | None:
    """What the venue knows of its accounts and orders; None when it does not answer."""
    # An environment's proxy must not come between us and loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{listen}/control/account", timeout=2) as response:
            told = msgspec.json.decode(response.read())
    except (OSError, msgspec.MsgspecError):
        return None
    return told if isinstance(told, dict) else None


def compare(report: AccountReport, history: dict[str, Any]) -> dict[str, Any]:
    """Our account beside the venue's: what was executed, doubled, unknown to us, and every difference."""
    account = history["accounts"][0]["venue"]
    ours = {order.order_id for order in report.orders}
    executed = Counter(history["executed"])
    held: Counter[str] = Counter()
    for position in report.positions:
        held[position.token] += 0 if position.redeemed else position.size6
    tokens = {token: size6 for token, size6 in account["tokens"].items() if size6}
    return {
        "orders_received": history["received"],
        "orders_executed": len(executed),
        "doubled": sum(times - 1 for times in executed.values()),
        "not_ours": len([order_id for order_id in executed if order_id not in ours]),
        "cash_difference_usd6": report.account.cash_usd6 - account["usd6"],
        "token_differences": {
            token: held[token] - tokens.get(token, 0)
            for token in sorted({*held, *tokens})
            if held[token] != tokens.get(token, 0)
        },
        "unknown_orders": report.account.unknown_orders,
    }


def differences(compared: dict[str, Any] | None) -> list[str]:
    """Each difference as a sentence; none when the two histories are one."""
    if compared is None:
        return ["the venue did not tell its history of orders"]
    reasons = []
    if compared["doubled"]:
        reasons.append(f"the venue executed {compared['doubled']} orders twice")
    if compared["not_ours"]:
        reasons.append(f"the venue executed {compared['not_ours']} orders the executor does not know")
    if compared["cash_difference_usd6"]:
        off6 = compared["cash_difference_usd6"]
        reasons.append(f"our cash is off the venue's by {off6} millionths of a dollar")
    reasons += [
        f"our shares of {token} are off the venue's by {off6} millionths"
        for token, off6 in compared["token_differences"].items()
    ]
    if compared["unknown_orders"]:
        reasons.append(f"{compared['unknown_orders']} orders are of unknown fate")
    return reasons
