"""Which conditions to look at: those of our own positions, and those a person or the venue names.

Pure. A position names its condition since journal version 4; that of an older one is read from its token
where the newer ledger made it, and taken from the venue's list otherwise. The chain has the last word.
"""

import re
from collections.abc import Iterable

import msgspec

from common.errors import CallRefused
from common.messages import PositionState
from common.venue.redeeming.hints import Hint
from common.venue.redeeming.outcomes import condition_of_position

_CONDITION = re.compile(r"0x[0-9a-f]{62}(?:[0-9a-f]{2})?")


class Due(msgspec.Struct, frozen=True):
    """A condition that should be looked at: a position of ours, a request, or a hint."""

    condition_id: str
    window: str = ""
    end_ns: int = 0
    """When its window ended; 0: unknown."""
    owed: bool = False
    """Our books say it paid and the payment was not seen."""


def due_of(positions: Iterable[PositionState], hints: Iterable[Hint], now_ns: int) -> tuple[Due, ...]:
    """The conditions of positions that ended and are not booked as paid, each once."""
    by_token = {hint.token: hint.condition_id for hint in hints}
    found: dict[str, Due] = {}
    for position in positions:
        if position.redeemed or position.end_ns > now_ns or not position.size6:
            continue
        condition = condition_of(position, by_token)
        if not condition:
            continue
        owed = position.settled and position.payout_usd6 > 0
        known = found.get(condition)
        if position.settled and not owed and known is None:
            continue
        found[condition] = Due(
            condition, position.window, position.end_ns, owed or (known is not None and known.owed)
        )
    return tuple(found.values())


def condition_of(position: PositionState, by_token: dict[str, str]) -> str:
    """The condition of a position; empty where nobody says."""
    named_so = position.condition_id.lower()
    if _CONDITION.fullmatch(named_so):
        return named_so.ljust(66, "0")
    try:
        told = condition_of_position(position.token)
    except ValueError:
        told = None
    return told[0] if told is not None else by_token.get(position.token, "")


def named(names: Iterable[str], due: Iterable[Due], hints: Iterable[Hint]) -> tuple[str, ...]:
    """Condition ids of what a person named: ids, or windows of ours and those the venue names.

    Raises CallRefused for anything else.
    """
    windows = {each.slug: each.condition_id for each in hints if each.slug}
    windows |= {each.window: each.condition_id for each in due}
    found: list[str] = []
    for name in names:
        plain = name.strip().lower()
        if _CONDITION.fullmatch(plain):
            found.append(plain.ljust(66, "0"))
        elif plain in windows:
            found.append(windows[plain])
        else:
            raise CallRefused(
                "unknown-condition",
                f"{name!r} is neither a condition id (0x and 64 digits) nor a window with something to "
                "redeem; laggard redeem --plan lists them",
            )
    return tuple(found)
