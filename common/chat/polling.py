"""Asking Telegram for news, for ever: one long request after another, and a pause after each kind of failure.

Owns the offset, which confirms updates: it moves only after ``deliver`` returned, and so after they were
committed. Keeps no offset between starts; Telegram does. Never ends by itself, whatever Telegram answers.
"""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from common.chat.bot_api import ApiError, BadToken, BotApi, Flooded, OtherPoller
from common.chat.line import Line
from common.chat.updates import arrival_of, update_id_of
from common.core.remote.authority import Arrival
from common.errors import DataStale, FrameRefused
from common.messages import Alert
from common.runtime.log import Burst
from common.runtime.shell import Age, Process
from common.units import SECOND

CONFLICT = Alert(
    level="critical",
    code="telegram-conflict",
    text="Another program polls with the same Telegram token, so commands may reach it instead of me. Until "
    "it is stopped I obey only what reduces risk.",
)
CONFLICT_OVER = Alert(
    level="info",
    code="telegram-conflict-over",
    text="No other program polls with the Telegram token any more; all commands are obeyed again.",
)


class Pace(NamedTuple):
    """Pauses in seconds."""

    first_s: float = 0.5
    """After one failure, doubled with each further one."""
    most_s: float = 5.0
    token_s: float = 60.0
    """After a refused token: somebody has to mend it."""
    conflict_s: float = 3.0
    floor_s: float = 0.2
    """Between two requests, should a server not hold them open."""
    stale_s: float = 30.0
    """Beyond a long poll's own length: how long no answer at all is taken for a line to be made anew."""


async def poll(
    process: Process,
    api: BotApi,
    line: Line,
    deliver: Callable[[list[Arrival]], None],
    alarm: Callable[[Alert], None],
    pace: Pace | None = None,
) -> None:
    """Poll until cancelled; raises what ``deliver`` raises, and DataStale from a line that went dead."""
    pace = pace or Pace()
    poll_s = process.config.telegram.poll_s
    age = process.watch("polling", int((poll_s + pace.stale_s) * SECOND))
    async with asyncio.TaskGroup() as group:
        group.create_task(_guard(age, line), name="poll guard")
        await _poll(process, api, line, deliver, alarm, pace, age)


async def _poll(
    process: Process,
    api: BotApi,
    line: Line,
    deliver: Callable[[list[Arrival]], None],
    alarm: Callable[[Alert], None],
    pace: Pace,
    age: Age,
) -> None:
    bursts = Burst()
    offset: int | None = None
    failures = 0
    contested = False
    while True:
        began_ns = process.clock.mono_ns()
        try:
            raw = await api.get_updates(offset, process.config.telegram.poll_s)
        except ApiError as error:
            failures += 1
            process.count("failed_polls")
            if bursts.note(type(error).__name__, process.clock.mono_ns()) is not None:
                process.log.warning("poll_failed", problem=str(error))
            if isinstance(error, OtherPoller):
                line.other_poller()
                if not contested:
                    contested = True
                    process.log.error("other_poller", text=CONFLICT.text)
                    alarm(CONFLICT)
            else:
                line.trouble("polling", str(error))
            # These are answers, if not the ones wished for: the line itself is well, and rests.
            line.resting = isinstance(error, Flooded | BadToken | OtherPoller)
            await asyncio.sleep(_pause_s(error, failures, pace))
            if line.resting:
                age.touch()
                line.resting = False
            continue
        failures = 0
        age.touch()
        line.polled()
        if contested and not line.contested():
            contested = False
            process.log.info("other_poller_gone")
            alarm(CONFLICT_OVER)
        deliver(_readable(process, raw, bursts))
        # A good answer also says that the offset of its question has taken effect: it is not needed again.
        numbers = [number for one in raw if (number := update_id_of(one)) is not None]
        offset = max(numbers) + 1 if numbers else None
        spent_s = (process.clock.mono_ns() - began_ns) / SECOND
        await asyncio.sleep(max(0.0, pace.floor_s - spent_s))


async def _guard(age: Age, line: Line) -> None:
    """End the process when a line that worked has been dead for long: a fresh process has fresh connections.

    One that never worked since the start is waited for: an outage is no reason to start again and again.
    """
    while True:
        await asyncio.sleep(min(1.0, age.limit_ns / SECOND / 4))
        if line.polls and not line.resting and age.stale():
            raise DataStale(
                f"Telegram has answered nothing for {age.age_ns() / SECOND:.0f} s; starting anew, and then "
                "waiting for it"
            )


def _pause_s(error: ApiError, failures: int, pace: Pace) -> float:
    match error:
        case Flooded():
            return max(error.retry_after_s, pace.first_s)
        case BadToken():
            return pace.token_s
        case OtherPoller():
            return pace.conflict_s
        case _:
            return float(min(pace.most_s, pace.first_s * 2 ** min(failures - 1, 10)))


def _readable(process: Process, raw: list[object], bursts: Burst) -> list[Arrival]:
    """What can be read; what cannot is counted and passed over, or it would come again for ever."""
    arrivals = []
    for one in raw:
        try:
            arrivals.append(arrival_of(one))
        except FrameRefused as refusal:
            process.count("malformed_updates")
            if bursts.note("malformed", process.clock.mono_ns()) is not None:
                process.log.warning("update_skipped", update=update_id_of(one), why=refusal.detail)
    return arrivals
