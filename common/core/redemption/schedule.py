"""Which claims go into the next transaction, and when nothing may be sent by itself. Asks nobody.

A batch is all or nothing, so one that failed is tried again in halves; a condition that failed is left alone
for a while that doubles.
"""

from collections.abc import Collection, Iterable

import msgspec

from common.core.redemption.attempts import ALARMING, Attempt, EndKind
from common.core.redemption.claims import Claim
from common.core.redemption.pursuit import Pace
from common.units import SECOND

LONGEST_PAUSE_NS = 3600 * SECOND
FAILED: tuple[EndKind, ...] = ("reverted", "refused", "expired", "overtaken", "kept")
_DAY_NS = 86_400 * SECOND


class Batch(msgspec.Struct, frozen=True):
    """What to try next; empty with the reason and the instant at which there is more to say."""

    claims: tuple[Claim, ...]
    text: str = ""


def next_batch(
    claims: Iterable[Claim],
    ended: Iterable[Attempt],
    now_ns: int,
    *,
    most: int,
    pace: Pace,
    asked: Collection[str] = (),
) -> Batch:
    """The most valuable claims that are not left alone for now, at most ``most`` of them.

    Conditions that a person ``asked`` for do not wait.
    """
    failures = _failures(ended)
    ready: list[Claim] = []
    waiting_ns: list[int] = []
    for claim in sorted(claims, key=lambda each: (-each.payout_usd6, each.condition_id)):
        again_ns = _again_ns(failures.get(claim.condition_id, []), pace)
        if again_ns > now_ns and claim.condition_id not in asked:
            waiting_ns.append(again_ns)
            continue
        own = failures.get(claim.condition_id, [])
        limit = max(1, len(own[-1].claims) // 2) if own else most
        if len(ready) >= min(limit, most):
            continue
        most = min(most, limit)
        ready.append(claim)
    if ready or not waiting_ns:
        return Batch(tuple(ready))
    wait_s = (min(waiting_ns) - now_ns) // SECOND + 1
    return Batch((), f"{len(waiting_ns)} failed and are tried again in {wait_s} s or later")


def latched(ended: Iterable[Attempt], released_ns: int) -> str:
    """Why nothing is sent by itself until a person has looked; empty when it may."""
    for attempt in ended:
        if attempt.ended_ns <= released_ns:
            continue
        for end in attempt.ends:
            foreign = end.kind == "overtaken" and attempt.route == "own-gas"
            if end.kind in ALARMING or foreign:
                return f"{end.text}; look into it, then `laggard redeem --all` lets it go on"
    return ""


def spent_today_wei(attempts: Iterable[Attempt], now_ns: int) -> int:
    """What the transactions that ended on this UTC day cost."""
    today = now_ns // _DAY_NS
    return sum(attempt.gas_wei for attempt in attempts if attempt.ended_ns // _DAY_NS == today)


def _failures(ended: Iterable[Attempt]) -> dict[str, list[Attempt]]:
    """Per condition the tries that failed since it was last paid, oldest first."""
    found: dict[str, list[Attempt]] = {}
    for attempt in sorted(ended, key=lambda each: each.ended_ns):
        for end in attempt.ends:
            if end.kind in FAILED:
                found.setdefault(end.condition_id, []).append(attempt)
            else:
                found.pop(end.condition_id, None)
    return found


def _again_ns(failures: list[Attempt], pace: Pace) -> int:
    if not failures:
        return 0
    pause_ns = min(pace.first_pause_ns << min(len(failures) - 1, 20), LONGEST_PAUSE_NS)
    return failures[-1].ended_ns + pause_ns
