"""The letters of a two-step command: the question with its buttons, and what becomes of it.

Pure: one message each, edited by its key. Shows exactly the state that the confirmation is bound to.
"""

from common.chat.reading import dollars, fit, posture_line, redemptions_text
from common.core.remote.confirmation import Basis, Confirmation, Program
from common.core.remote.letters import Button, Letter
from common.messages import AccountReport, RedemptionsReport
from common.units import SECOND, size6_text

_SHOWN_POSITIONS = 16
_EFFECTS = {
    "pause": "No order begins until /resume; what is held stays and is settled.",
    "noentry": "No new position begins until /resume.",
    "kill": "Everything halts until /resume, whatever is restarted meanwhile.",
    "cancelall": "Every order that rests or whose fate is open is taken back.",
    "resume": "New orders are allowed again.",
    "flatten": "No new orders; what rests is taken back and what is held is sold where it can be.",
    "redeem": "A transaction is sent for what waits.",
}


def question(held: Confirmation, basis: Basis, buttons: tuple[tuple[Button, ...], ...]) -> Letter:
    """Ask, showing what the confirmation is bound to."""
    life_s = (held.expires_ns - held.asked_ns) / SECOND
    lines = [f"{held.asked}?", *_shown(basis), _EFFECTS.get(held.asked.name, "")]
    if held.asked.risk == "reduces":
        lines.append(f"Confirm within {life_s:g} s, or send it again.")
    else:
        lines.append(f"Confirm within {life_s:g} s.")
    text = fit("\n".join(line for line in lines if line))
    return Letter("reply", held.chat_id, text, key=_key(held), buttons=buttons, silent=False)


def settled(held: Confirmation, what: str) -> Letter:
    """The same message without buttons, and what became of it."""
    return Letter("reply", held.chat_id, f"{held.asked}: {what}", key=_key(held))


def expired(held: Confirmation, why: str) -> Letter:
    """The same message without buttons: nothing was done."""
    return Letter("reply", held.chat_id, f"{held.asked}: {why}; nothing was done.", key=_key(held))


def _key(held: Confirmation) -> str:
    return f"ask-{held.nonce}"


def _shown(basis: Basis) -> list[str]:
    match basis:
        case AccountReport():
            held = [one for one in basis.positions if not one.settled]
            working = sum(1 for one in basis.orders if one.status == "working" or one.unknown)
            lines = [f"Now: {posture_line(basis)}"]
            lines += [
                f"held: {one.window} {one.outcome} {size6_text(one.size6)} for {dollars(one.cost_usd6)}"
                for one in held[:_SHOWN_POSITIONS]
            ]
            if len(held) > _SHOWN_POSITIONS:
                lines.append(f"and {len(held) - _SHOWN_POSITIONS} more")
            lines.append(f"{len(held)} open positions, {working} orders under way")
            return lines
        case RedemptionsReport():
            return [redemptions_text(basis)]
        case Program():
            return [
                f"Now: {basis.name} is {basis.state.lower()}" + (f" (pid {basis.pid})" if basis.pid else "")
            ]
        case None:
            return []
