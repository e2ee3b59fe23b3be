"""The second step of a command: a button that works once, soon, for its asker, and on the state it showed.

Pure: whoever calls draws the nonce, keeps the confirmation, and reads the state again before asking here.
"""

import hashlib
from typing import Literal

import msgspec

from common.core.remote.commands import Asked
from common.core.remote.letters import Button
from common.messages import AccountReport, RedemptionsReport
from common.units import SECOND

LIFE_NS = 30 * SECOND
"""From the question to its expiry."""
Stage = Literal["open", "used", "cancelled", "expired"]
Press = Literal["confirm", "cancel"]
_MARKS: dict[str, Press] = {"c": "confirm", "x": "cancel"}


class Confirmation(msgspec.Struct, frozen=True):
    """A command that waits for its button."""

    nonce: str
    asked: Asked
    user_id: int
    chat_id: int
    digest: str
    """Of what was shown and must still be so."""
    asked_ns: int
    """Wall clock, as is the next."""
    expires_ns: int
    """After this it adds no risk any more."""
    stage: Stage = "open"


class Program(msgspec.Struct, frozen=True):
    """A program as supervisord has it, as far as a command depends on it."""

    name: str
    state: str
    pid: int


Basis = AccountReport | RedemptionsReport | Program | None
"""What a command was shown with; None where nothing answered, or nothing matters."""


def digest_of(asked: Asked, basis: Basis) -> str:
    """A short mark of what matters for this command; the same as long as that is so.

    Empty for what reduces risk: that is obeyed whatever became of the state.
    """
    if asked.risk == "reduces":
        return ""
    facts = (asked.name, asked.arguments, _facts(asked.name, basis))
    return hashlib.sha256(msgspec.json.encode(facts)).hexdigest()[:16]


def _facts(name: str, basis: Basis) -> object:
    match basis:
        case AccountReport():
            posture = basis.posture
            held = sorted((one.window, one.outcome, one.size6) for one in basis.positions if not one.settled)
            working = sorted(one.order_id for one in basis.orders if one.status == "working" or one.unknown)
            facts: list[object] = [posture.posture, posture.since_ns, posture.reason, held, working]
            if name == "resume":
                facts += [basis.account.loss_streak, basis.account.unknown_orders]
            return facts
        case RedemptionsReport():
            return sorted(
                (one.condition_id, one.status, one.payout_usd6)
                for one in basis.redemptions
                if one.status in ("waiting", "under way", "failed")
            )
        case Program():
            return [basis.name, basis.state, basis.pid]
        case None:
            return None


def buttons(nonce: str, asked: Asked) -> tuple[tuple[Button, ...], ...]:
    """Confirm and cancel."""
    return ((Button(f"Confirm {asked}"[:40], f"c:{nonce}"), Button("Cancel", f"x:{nonce}")),)


def read_press(data: str) -> tuple[Press, str] | None:
    """Which button of which confirmation; None where it is none of ours."""
    mark, separator, nonce = data.partition(":")
    press = _MARKS.get(mark)
    return (press, nonce) if press is not None and separator and nonce else None


class Ruling(msgspec.Struct, frozen=True):
    """What a press does."""

    act: bool
    stage: Stage
    """What the confirmation becomes, or stays."""
    text: str = ""
    """What the presser is told where nothing is done; empty is silence."""


def rule(held: Confirmation, press: Press, user_id: int, chat_id: int, now_ns: int) -> Ruling:
    """Judge a press by everything but the state; ``digest_of`` has to be compared besides.

    A command that reduces risk is obeyed also when its press comes late: whoever pressed believes it done.
    """
    if (user_id, chat_id) != (held.user_id, held.chat_id):
        return Ruling(act=False, stage=held.stage)
    if held.stage == "used":
        return Ruling(act=False, stage="used", text="Already confirmed.")
    if held.stage == "cancelled":
        return Ruling(act=False, stage="cancelled", text="It was cancelled.")
    if press == "cancel":
        return Ruling(act=False, stage="cancelled", text="Cancelled; nothing was done.")
    alive = held.stage == "open" and held.asked_ns <= now_ns <= held.expires_ns
    if not alive and held.asked.risk != "reduces":
        return Ruling(act=False, stage="expired", text="Too late: it expired. Send the command again.")
    return Ruling(act=True, stage="used")


def repeats(held: Confirmation, asked: Asked, user_id: int, chat_id: int, now_ns: int) -> bool:
    """Whether the same command, sent again, confirms this one: only what reduces risk, and only soon."""
    return (
        asked == held.asked
        and asked.risk == "reduces"
        and held.stage == "open"
        and (user_id, chat_id) == (held.user_id, held.chat_id)
        and held.asked_ns <= now_ns <= held.expires_ns
    )
