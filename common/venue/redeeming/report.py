"""What the redeemer says of itself: each condition's state, results of the chain, and what is planned.

Pure: a desk in, messages out.
"""

from collections.abc import Collection, Iterable

from common.core.redemption.attempts import Attempt, ClaimEnd
from common.core.redemption.claims import Claim, Condition, claim_of, payout_usd6
from common.core.redemption.gas import gas_limit
from common.messages import (
    PlanLine,
    RedemptionPlan,
    RedemptionState,
    RedemptionStatus,
    ResolutionState,
)
from common.store.redemption_journal import Elsewhere
from common.venue.chain.fees import GasPrices
from common.venue.redeeming.desk import RedemptionDesk

FIRST_GAS, NEXT_GAS = 260_000, 170_000
"""Measured redeems: one condition, and each further one of a batch."""
_STATUS: dict[str, RedemptionStatus] = {"paid": "paid", "elsewhere": "elsewhere"}


def redemptions(
    desk: RedemptionDesk, since_ns: int = 0, also: Collection[str] = ()
) -> tuple[tuple[str, RedemptionState], ...]:
    """(topic, state) of everything that changed since then, in the order of its last change.

    Of the conditions in ``also`` everything is told, however old.
    """

    def is_told(at_ns: int, conditions: Iterable[str]) -> bool:
        return at_ns >= since_ns or any(each in also for each in conditions)

    attempts = [
        each
        for each in desk.attempts
        if not each.ended_ns or is_told(each.ended_ns, (claim.condition_id for claim in each.claims))
    ]
    elsewhere = [each for each in desk.elsewhere if is_told(each.at_ns, (each.condition_id,))]
    told = list(written(attempts, elsewhere, desk.clock.wall_ns()))
    open_attempt = desk.open_attempt
    under_way = {claim.condition_id for claim in open_attempt.claims} if open_attempt is not None else set()
    told += [
        (f"redemption.{condition.condition_id}.waiting", _waiting(desk, condition))
        for condition in desk.conditions.values()
        if condition.denominator and condition.condition_id not in under_way and _is_held(condition)
    ]
    return tuple(sorted(told, key=lambda each: each[1].at_ns))


def written(
    attempts: Iterable[Attempt], elsewhere: Iterable[Elsewhere], now_ns: int = 0
) -> tuple[tuple[str, RedemptionState], ...]:
    """(topic, state) of everything in the journal; ``now_ns`` is told of what is under way."""
    told: list[tuple[str, RedemptionState]] = []
    for attempt in attempts:
        told += _of_attempt(attempt, attempt.ended_ns or now_ns or attempt.created_ns)
    for found in elsewhere:
        state = RedemptionState(
            condition_id=found.condition_id,
            window=found.window,
            ledger=found.ledger,
            status="elsewhere",
            payout_usd6=found.payout_usd6,
            at_ns=found.at_ns,
            paid_usd6=found.end.paid_usd6,
            tx_hash=found.end.tx_hash,
            log_index=found.end.log_index,
            tokens=tuple((each.token, each.size6) for each in found.end.burnt),
            text=found.end.text,
        )
        told.append((f"redemption.{found.condition_id}.elsewhere", state))
    return tuple(sorted(told, key=lambda each: each[1].at_ns))


def resolutions(desk: RedemptionDesk) -> tuple[ResolutionState, ...]:
    """The final results of the conditions that were looked at and whose window is known."""
    return tuple(
        ResolutionState(
            condition_id=each.condition_id,
            window=each.window,
            numerators=each.numerators,
            denominator=each.denominator,
            block=desk.head.finalized,
        )
        for each in desk.conditions.values()
        if each.denominator and each.window
    )


def plan(
    conditions: Iterable[Condition],
    *,
    min_payout_usd6: int,
    with_losers: bool,
    route: str,
    prices: GasPrices | None,
    most_fee_wei: int,
    blocked: str,
) -> RedemptionPlan:
    """What would be done about each condition, and its gas where it is paid by us. Needs no key."""
    lines: list[PlanLine] = []
    gas = FIRST_GAS
    for condition in conditions:
        decided = claim_of(condition, min_payout_usd6=min_payout_usd6, with_losers=with_losers)
        if not isinstance(decided, Claim):
            lines.append(
                PlanLine(
                    condition.condition_id,
                    condition.window,
                    condition.ledger,
                    payout_usd6(condition.holdings, condition.numerators, condition.denominator or 1),
                    "leave",
                    decided.text,
                    size6=sum(each.size6 for each in condition.holdings),
                )
            )
            continue
        now_wei = gas * (prices.base_fee_wei + prices.tip_wei) if prices is not None else 0
        most_wei = gas_limit(gas) * most_fee_wei if prices is not None else 0
        lines.append(
            PlanLine(
                decided.condition_id,
                decided.window,
                decided.ledger,
                decided.payout_usd6,
                "redeem",
                blocked,
                route,
                now_wei,
                most_wei,
                size6=sum(each.size6 for each in decided.holdings),
            )
        )
        gas = NEXT_GAS
    return RedemptionPlan(lines=tuple(lines), problem=blocked)


def _of_attempt(attempt: Attempt, at_ns: int) -> Iterable[tuple[str, RedemptionState]]:
    ends: tuple[ClaimEnd | None, ...] = attempt.ends or (None,) * len(attempt.claims)
    for claim, end in zip(attempt.claims, ends, strict=True):
        status: RedemptionStatus = "under way" if end is None else _STATUS.get(end.kind, "failed")
        state = RedemptionState(
            condition_id=claim.condition_id,
            window=claim.window,
            ledger=claim.ledger,
            status=status,
            payout_usd6=claim.payout_usd6,
            at_ns=at_ns,
            paid_usd6=0 if end is None else end.paid_usd6,
            surplus_usd6=0 if end is None else end.surplus_usd6,
            tx_hash=end.tx_hash if end is not None else _hash_of(attempt),
            log_index=-1 if end is None else end.log_index,
            tokens=() if end is None else tuple((each.token, each.size6) for each in end.burnt),
            route=attempt.route,
            text=attempt.text if end is None else end.text,
        )
        yield f"redemption.{claim.condition_id}.{attempt.attempt_id.replace('/', '-')}", state


def _hash_of(attempt: Attempt) -> str:
    if attempt.inclusion is not None:
        return attempt.inclusion.tx_hash
    return attempt.newest.digest if attempt.route == "own-gas" else ""


def _waiting(desk: RedemptionDesk, condition: Condition) -> RedemptionState:
    left = desk.left.get(condition.condition_id)
    return RedemptionState(
        condition_id=condition.condition_id,
        window=condition.window,
        ledger=condition.ledger,
        status="waiting",
        payout_usd6=payout_usd6(condition.holdings, condition.numerators, condition.denominator),
        at_ns=desk.clock.wall_ns(),
        text=left.text if left is not None else desk.problem,
    )


def _is_held(condition: Condition) -> bool:
    return any(each.size6 for each in condition.holdings)
