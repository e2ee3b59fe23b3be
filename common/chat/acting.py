"""Carries out a command that was confirmed, or that needs no confirmation, and says what came of it.

What reduces risk is asked of the executor again and again until it answers; what adds risk is asked once, and
no answer is told as unknown. Never judges whether a command may be carried out.
"""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from common.chat import answers, programs
from common.core.holds import STRICTNESS
from common.core.remote.commands import Asked
from common.core.remote.confirmation import Basis
from common.core.remote.letters import Lane
from common.errors import CallRefused, CallTimedOut, LaggardError
from common.messages import (
    Accepted,
    AccountReport,
    CancelAll,
    Command,
    Flatten,
    Posture,
    Redeem,
    SetPosture,
)
from common.runtime.calls import call
from common.runtime.shell import Process
from common.units import SECOND

POSTURES: dict[str, Posture] = {
    "noentry": "no-new-orders",
    "pause": "paused",
    "kill": "halted",
    "resume": "trading",
}
TRY_NS = SECOND
PATIENCE_S = 60.0
"""How long what reduces risk is asked again: longer than a restart of the executor takes."""
GRACE_TRIES = 3
"""After so many tries without an answer a /kill also leaves its mark for the executor's next start."""
FLATTEN_NS = 10 * SECOND
_DONE = "Done"
IN_VAIN = ("NOT DONE", "Refused", "UNKNOWN", "FAILED")
"""How an answer begins where acting came to nothing, or nobody knows to what."""
_STARTING = "unknown-command"
"""What a process answers that has opened its socket and not yet its journal."""


class Means(NamedTuple):
    """What lies outside the bus, given by the process."""

    leave_halt: Callable[[str], bool]
    """Make the executor's next start begin halted; whether that could be noted."""
    lift_halt: Callable[[str], None]
    """Take back the note with this reason; another one stays."""
    mute: Callable[[Lane, int], None]
    """Silence a lane of messages for so many minutes."""
    restart_self: Callable[[], None]
    """End this process soon, so that supervisord starts it again."""
    stop_self: Callable[[], None]
    """Let supervisord stop this process soon."""


async def read_basis(process: Process, asked: Asked) -> Basis:
    """What the command is shown with and bound to; None when whoever knows does not answer."""
    match asked.name:
        case "redeem":
            return await answers.redemptions(process)
        case "restart" | "start" | "stop":
            try:
                return await asyncio.to_thread(programs.program, asked.arguments[0])
            except LaggardError:
                return None
        case "mute":
            return None
        case _:
            return await answers.account(process)


async def act(process: Process, means: Means, asked: Asked, user_id: int, request_id: str) -> str:
    """Do it; returns what came of it, for people. The same ``request_id`` is carried out once."""
    who = f"telegram:{user_id}"
    match asked.name:
        case "kill" | "pause" | "noentry":
            return await _tighten(process, means, POSTURES[asked.name], who, request_id)
        case "cancelall":
            return await _until_answered(process, means, CancelAll(who=who), request_id)
        case "resume":
            return await _once(process, "executor", _posture("trading", who), request_id)
        case "flatten":
            wish = Flatten(who=who, reason="asked for in the chat")
            return await _once(process, "executor", wish, request_id, FLATTEN_NS)
        case "redeem":
            every = asked.arguments == ("all",)
            wish_redeem = Redeem(conditions=() if every else asked.arguments, who=who, all=every)
            return await _once(process, "redeemer", wish_redeem, request_id, FLATTEN_NS)
        case "mute":
            lane, minutes = msgspec.convert(asked.arguments, tuple[Lane, str])
            means.mute(lane, int(minutes))
            return f"{lane} is silent for {minutes} minutes." if int(minutes) else f"{lane} speaks again."
        case _:
            return await _program(process, means, asked)


_NOT_DONE = (
    "NOT DONE: the executor does not answer. It begins no order without fresh input; /procs says what runs."
)


def _posture(posture: Posture, who: str) -> SetPosture:
    return SetPosture(posture=posture, reason="asked for in the chat", who=who)


async def _tighten(process: Process, means: Means, posture: Posture, who: str, request_id: str) -> str:
    """Make the posture at least this strict; a stricter one stays."""
    if posture != "halted":
        stays = _stays(await answers.account(process), posture)
        if stays:
            return stays
    reason = f"asked for in the chat by {who}" if posture == "halted" else ""
    return await _until_answered(process, means, _posture(posture, who), request_id, reason)


def stricter(asked: Asked, basis: Basis) -> str:
    """Why a command that reduces risk would loosen the posture that there is, or empty."""
    if asked.risk != "reduces" or asked.name not in POSTURES or not isinstance(basis, AccountReport):
        return ""
    return _stays(basis, POSTURES[asked.name])


def _stays(known: AccountReport | None, posture: Posture) -> str:
    if known is None or STRICTNESS.index(known.posture.posture) <= STRICTNESS.index(posture):
        return ""
    return f"It is {known.posture.posture} already, which is stricter; that stays."


async def _until_answered(
    process: Process, means: Means, wish: Command, request_id: str, halt_reason: str = ""
) -> str:
    """Ask the executor until it answers, or patience ends.

    With a reason to halt its next start is marked meanwhile. Once it has answered, the halt is in its journal
    with who asked for it; a mark that stayed would make its next start forget who that was.
    """
    deadline_ns = process.clock.mono_ns() + int(PATIENCE_S * SECOND)
    tries, marked = 0, False
    while process.clock.mono_ns() < deadline_ns:
        tries += 1
        try:
            said = await _ask(process, "executor", wish, request_id, TRY_NS)
        except CallTimedOut:
            if halt_reason and not marked and tries >= GRACE_TRIES:
                marked = means.leave_halt(halt_reason)
            continue
        except CallRefused as refusal:
            if refusal.code != _STARTING:
                return f"Refused: {refusal.text} ({refusal.code})."
            await asyncio.sleep(0.2)
            continue
        if marked:
            means.lift_halt(halt_reason)
        return said
    return f"{_NOT_DONE} Its next start begins halted." if marked else _NOT_DONE


async def _once(
    process: Process, role: str, wish: Command, request_id: str, timeout_ns: int = 3 * SECOND
) -> str:
    try:
        return await _ask(process, role, wish, request_id, timeout_ns)
    except CallTimedOut:
        return f"UNKNOWN: the {role} did not answer; it may have been done or not. Look at /status."
    except CallRefused as refusal:
        return f"Refused: {refusal.text} ({refusal.code})."


async def _ask(process: Process, role: str, wish: Command, request_id: str, timeout_ns: int) -> str:
    answer = await call(
        process.ctx,
        process.run_dir,
        role,
        process.role,
        wish,
        clock=process.clock,
        timeout_ns=timeout_ns,
        request_id=request_id,
    )
    text = answer.text if isinstance(answer, Accepted) else ""
    return f"{_DONE}: {text}." if text else f"{_DONE}."


async def _program(process: Process, means: Means, asked: Asked) -> str:
    name = asked.arguments[0]
    if name == process.role and asked.name != "start":
        # The answer has to leave before this process does.
        (means.restart_self if asked.name == "restart" else means.stop_self)()
        return "In a moment."
    try:
        return f"{_DONE}: {await asyncio.to_thread(programs.change, asked.name, name)}."
    except LaggardError as error:
        return f"FAILED: {error}."
