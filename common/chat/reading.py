"""What the executor's account looks like in a chat: status, positions, orders, trades, money, risk.

Pure functions from reports to plain text, short enough for a phone. None stands for whoever did not answer.
"""

import datetime
from collections.abc import Iterable, Mapping, Sequence

from common.core.remote.letters import MAX_TEXT
from common.core.settings import RiskLimits
from common.messages import (
    AccountReport,
    OrderState,
    PositionState,
    RedemptionsReport,
    StatusReport,
    WalletReport,
    WindowView,
)
from common.units import SECOND, price4_text, size6_text, usd6_text

NO_EXECUTOR = "The executor does not answer; /procs says what runs."
_OLD_MS = 10_000
_LISTED = 25


def fit(text: str, *, last: bool = False) -> str:
    """As many whole lines as one message holds: the first, or the last ones."""
    if len(text) <= MAX_TEXT:
        return text
    lines = text.splitlines()
    kept: list[str] = []
    room = MAX_TEXT - 40
    for line in reversed(lines) if last else lines:
        shown = line[: MAX_TEXT - 80]
        if len(shown) + 1 > room:
            break
        kept.append(shown)
        room -= len(shown) + 1
    note = f"({len(lines) - len(kept)} more lines)"
    return "\n".join([note, *reversed(kept)] if last else [*kept, note])


def at(wall_ns: int) -> str:
    """An instant as UTC ``HH:MM:SS``."""
    return datetime.datetime.fromtimestamp(wall_ns // SECOND, datetime.UTC).strftime("%H:%M:%S")


def dollars(amount_usd6: int) -> str:
    """Money with its unit."""
    return f"{usd6_text(amount_usd6)} $"


def status_text(
    account: AccountReport | None,
    views: Sequence[WindowView] | None,
    reports: Mapping[str, StatusReport | None],
    now_ns: int,
) -> str:
    """One screen: posture, money, the clock of the windows, the age of the inputs, what is not well."""
    lines = [posture_line(account)]
    if account is not None:
        money = account.account
        held = [one for one in account.positions if not one.settled]
        lines.append(
            f"{money.mode}: cash {dollars(money.cash_usd6)}, today {dollars(money.day_pnl_usd6)}, "
            f"in all {dollars(money.realized_pnl_usd6)}"
        )
        lines.append(
            f"{len(held)} open positions for {dollars(money.open_cost_usd6)}, "
            f"{money.unknown_orders} orders of unknown fate"
        )
        if money.ledger_difference_usd6:
            lines.append(f"THE LEDGER IS OFF by {money.ledger_difference_usd6} millionths of a dollar")
    lines.append(_windows_line(views, now_ns))
    ages = _ages(reports)
    if ages:
        lines.append("inputs: " + ", ".join(ages))
    unwell = [
        f"{role}: {'does not answer' if one is None else f'{one.state} {one.detail}'.strip()}"
        for role, one in reports.items()
        if one is None or one.state in ("degraded", "starting", "stopping")
    ]
    lines += [f"not well: {text}" for text in unwell] or [f"all {len(reports)} processes answer"]
    return fit("\n".join(lines))


def posture_line(account: AccountReport | None) -> str:
    """The posture with its reason and its author."""
    if account is None:
        return NO_EXECUTOR
    posture = account.posture
    why = f": {posture.reason}" if posture.reason else ""
    who = f" ({posture.who}, {at(posture.since_ns)} UTC)" if posture.who else ""
    return f"{posture.posture}{why}{who}"


def _windows_line(views: Sequence[WindowView] | None, now_ns: int) -> str:
    if views is None:
        return "the strategist does not answer"
    running = [view for view in views if view.start_ns <= now_ns < view.end_ns]
    if running:
        left = min(view.end_ns for view in running) - now_ns
        tradable = sum(view.tradable for view in running)
        return f"{len(running)} windows run, {tradable} tradable, {left // SECOND} s left"
    coming = [view.start_ns for view in views if view.start_ns > now_ns]
    return (
        f"no window runs; the next opens in {(min(coming) - now_ns) // SECOND} s" if coming else "no window"
    )


def _ages(reports: Mapping[str, StatusReport | None]) -> list[str]:
    told = []
    for role, report in reports.items():
        if report is None or report.state == "disabled" or not report.ages_ms:
            continue
        if role.startswith("oracle-") or role == "books":
            oldest = max(report.ages_ms.values())
            mark = "!" if oldest > _OLD_MS else ""
            told.append(f"{role.removeprefix('oracle-')} {oldest / 1000:.1f} s{mark}")
    return told


def positions_text(account: AccountReport | None) -> str:
    """What is held, and what ended but is not in the wallet yet."""
    if account is None:
        return NO_EXECUTOR
    held = [one for one in account.positions if not one.settled]
    owed = [one for one in account.positions if one.settled and one.payout_usd6 and not one.redeemed]
    lines = [_position(one) for one in held] or ["nothing is held"]
    if owed and account.account.mode == "live":
        lines += ["", "won and not yet in the wallet:"]
        lines += [f"{one.window} {one.outcome}: {dollars(one.payout_usd6)}" for one in owed]
    return fit("\n".join(lines))


def _position(one: PositionState) -> str:
    average4 = one.cost_usd6 * 10_000 // one.size6 if one.size6 else 0
    return (
        f"{one.window} {one.outcome}: {size6_text(one.size6)} at {price4_text(average4)}, "
        f"cost {dollars(one.cost_usd6)} + fee {dollars(one.fee_usd6)}"
    )


def orders_text(account: AccountReport | None) -> str:
    """The newest orders, those of open fate first."""
    if account is None:
        return NO_EXECUTOR
    newest = sorted(account.orders, key=lambda one: -one.created_ns)
    open_ones = [one for one in newest if one.status == "working" or one.unknown]
    rest = [one for one in newest if one not in open_ones]
    return fit("\n".join(_order(one) for one in (*open_ones, *rest)[:_LISTED]) or "no orders yet")


def _order(one: OrderState) -> str:
    reason = one.unknown or one.reason
    return (
        f"{at(one.created_ns)} {one.window} {one.outcome} at {price4_text(one.limit4)}: "
        f"{'UNKNOWN' if one.unknown else one.status}" + (f" ({reason})" if reason else "")
    )


def trades_text(account: AccountReport | None, count: int) -> str:
    """The newest orders that bought or sold something."""
    if account is None:
        return NO_EXECUTOR
    filled = sorted((one for one in account.orders if one.filled_size6), key=lambda one: -one.updated_ns)
    lines = [
        f"{at(one.updated_ns)} {one.window} {one.outcome}: {size6_text(one.filled_size6)} for "
        f"{dollars(one.cost_usd6)} + fee {dollars(one.fee_usd6)}"
        for one in filled[:count]
    ]
    return fit("\n".join(lines) or "no trades yet")


def pnl_text(account: AccountReport | None) -> str:
    """Profit and loss, from the ledger."""
    if account is None:
        return NO_EXECUTOR
    money = account.account
    settled = [one for one in account.positions if one.settled]
    won = sum(one.pnl_usd6 > 0 for one in settled)
    lines = [
        f"realized {dollars(money.realized_pnl_usd6)}, of which {money.day} {dollars(money.day_pnl_usd6)}",
        f"fees {dollars(money.fees_usd6)}; {money.orders} orders, {money.fills} fills",
        f"{len(settled)} positions settled, {won} won; loss streak {money.loss_streak}",
    ]
    if money.ledger_difference_usd6:
        lines.append(f"THE LEDGER IS OFF by {money.ledger_difference_usd6} millionths of a dollar")
    return "\n".join(lines)


def balance_text(account: AccountReport | None, wallet: WalletReport | None) -> str:
    """The money by our ledger, and by the venue's word where it can be asked."""
    if account is None:
        return NO_EXECUTOR
    money = account.account
    lines = [
        f"cash {dollars(money.cash_usd6)} ({money.mode})",
        f"in open positions {dollars(money.open_cost_usd6)}",
    ]
    if money.redeemable_usd6:
        lines.append(f"won, not yet redeemed {dollars(money.redeemable_usd6)}")
    if wallet is not None and wallet.balance_usd6 is not None:
        lines.append(f"the venue says {dollars(wallet.balance_usd6)}")
    elif money.mode == "live":
        lines.append(f"the venue could not be asked{f': {wallet.text}' if wallet and wallet.text else ''}")
    return "\n".join(lines)


def risk_text(account: AccountReport | None, limits: RiskLimits) -> str:
    """Each limit with what is used of it."""
    if account is None:
        return NO_EXECUTOR
    money = account.account
    held = [one for one in account.positions if not one.settled]
    by_asset: dict[str, int] = {}
    by_direction: dict[str, int] = {}
    for one in held:
        worst = one.cost_usd6 + one.fee_usd6
        by_asset[one.asset] = by_asset.get(one.asset, 0) + worst
        by_direction[one.outcome] = by_direction.get(one.outcome, 0) + worst
    return "\n".join(
        [
            posture_line(account),
            f"positions {len(held)} of {limits.max_positions}",
            f"loss today {dollars(max(0, -money.day_pnl_usd6))} of {dollars(limits.max_daily_loss_usd6)}",
            f"loss streak {money.loss_streak} of {limits.max_loss_streak}",
            f"per trade at most {dollars(limits.max_stake_usd6)}",
            f"per window at most {dollars(limits.max_window_usd6)}",
            f"per asset {dollars(limits.max_asset_usd6)}: {_used(by_asset)}",
            f"per direction {dollars(limits.max_direction_usd6)}: {_used(by_direction)}",
            f"cash {dollars(money.cash_usd6)}, at least {dollars(limits.min_balance_usd6)}",
            f"{money.unknown_orders} orders of unknown fate",
        ]
    )


def _used(amounts: Mapping[str, int]) -> str:
    return (
        ", ".join(f"{name} {dollars(amount)}" for name, amount in sorted(amounts.items())) or "nothing used"
    )


def redemptions_text(report: RedemptionsReport | None) -> str:
    """What waits to be redeemed."""
    if report is None:
        return "the redeemer does not answer"
    waiting = [one for one in report.redemptions if one.status in ("waiting", "under way", "failed")]
    lines = [
        f"{one.window or one.condition_id[:10]}: {dollars(one.payout_usd6)} {one.status} {one.text}".rstrip()
        for one in waiting[:_LISTED]
    ]
    if report.problem:
        lines.append(report.problem)
    return fit("\n".join(lines) or "nothing waits")


def joined(lines: Iterable[str], empty: str) -> str:
    """Lines of a log, newest last."""
    return fit("\n".join(lines) or empty, last=True)
