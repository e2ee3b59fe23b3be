"""The one way out to Telegram: takes letters from the outbox in their order, each chat at its own pace.

Owns the requests and what their answers mean for the outbox. A chat that has to wait, or a request that
hangs, holds up no other chat. While Telegram does not answer, nothing but a harmless question is sent: so few
letters get into doubt in an outage.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from common.chat.bot_api import ApiError, BadToken, Flooded, Refused, Unreachable
from common.core.remote.lanes import (
    History,
    Limits,
    Sent,
    Waiting,
    ended,
    held,
    next_letter,
    started,
)
from common.core.remote.letters import Button
from common.errors import DependencyMissing
from common.runtime.log import Burst
from common.runtime.shell import Process
from common.store.outbox import Dispatch, Outbox
from common.units import SECOND

PROBE_S = (0.5, 1.0, 2.0, 4.0, 5.0)
"""Between two questions whether Telegram answers again; the last is kept up."""
BAD_TOKEN_PROBE_S = 60.0
DISK_RETRY_S = 2.0
MAX_PAUSE_S = 30
"""Of one chat whose letters get no usable answer though Telegram answers other questions."""
FLOOD_MARGIN_NS = SECOND // 5
"""On top of what Telegram asks for: its seconds are whole ones."""


class Api(Protocol):
    """What is used of the Bot API; raises ApiErrors alone."""

    async def get_me(self) -> str: ...

    async def send_text(
        self, chat_id: int, text: str, buttons: Sequence[Sequence[Button]], silent: bool
    ) -> int: ...

    async def edit_text(
        self, chat_id: int, message_id: int, text: str, buttons: Sequence[Sequence[Button]]
    ) -> None: ...

    async def send_picture(self, chat_id: int, png: bytes, caption: str, silent: bool) -> int: ...


async def send_letters(process: Process, outbox: Outbox, api: Api, *, limits: Limits | None = None) -> None:
    """Send what is put into the outbox until the process stops; ends when what is on its way has ended."""
    await _Sender(process, outbox, api, limits or Limits()).run()


class _Sender:
    def __init__(self, process: Process, outbox: Outbox, api: Api, limits: Limits) -> None:
        self._process = process
        self._outbox = outbox
        self._api = api
        self._limits = limits
        self._history = self._remembered()
        self._wake = asyncio.Event()
        self._trouble: ApiError | None = None
        """Why nothing is sent at present."""
        self._told = Burst(60 * SECOND)
        self._failures: dict[int, int] = {}
        """Letters of a chat in a row that got no usable answer."""

    def _remembered(self) -> History:
        """What went out before this start still counts at Telegram."""
        wall_ns, mono_ns = self._process.clock.wall_ns(), self._process.clock.mono_ns()
        since = wall_ns - self._limits.group_span_ns
        sent = [
            Sent(chat_id, mono_ns - max(0, wall_ns - at_ns))
            for chat_id, at_ns in self._outbox.begun_since(since)
        ]
        return History(sent=tuple(sent))

    async def run(self) -> None:
        """Send until told to stop."""
        self._outbox.on_put = self._wake.set
        async with asyncio.TaskGroup() as requests:
            stop = requests.create_task(self._wake_on_stop())
            while not self._process.stopping.is_set():
                self._wake.clear()
                if self._trouble is not None:
                    await self._until_well(self._trouble)
                    continue
                wait_s = self._send_what_may_go(requests)
                try:
                    async with asyncio.timeout(wait_s):
                        await self._wake.wait()
                except TimeoutError:
                    continue
            stop.cancel()

    async def _wake_on_stop(self) -> None:
        await self._process.stopping.wait()
        self._wake.set()

    def _send_what_may_go(self, requests: asyncio.TaskGroup) -> float | None:
        """Start every request that is due; returns in how many seconds the next one is, if that is known."""
        try:
            waiting = self._outbox.waiting()
            self._process.set_count("letters_waiting", len(waiting))
            while True:
                now_ns = self._process.clock.mono_ns()
                choice = next_letter(waiting, self._history, now_ns, self._limits)
                if not isinstance(choice, Waiting):
                    return None if choice is None else (choice - now_ns) / SECOND
                waiting.remove(choice)
                dispatch = self._outbox.begin(choice.number)
                self._history = started(self._history, choice.chat_id)
                requests.create_task(self._deliver(dispatch), name=f"letter {choice.number}")
        except DependencyMissing as error:
            self._say("outbox", str(error))
            return DISK_RETRY_S

    async def _deliver(self, dispatch: Dispatch) -> None:
        """Send one letter and note what became of it."""
        chat_id = dispatch.letter.chat_id
        problem: ApiError | None = None
        message_id = 0
        try:
            message_id = await self._request(dispatch)
        except ApiError as error:
            problem = error
        self._history = ended(self._history, chat_id, self._process.clock.mono_ns(), self._limits)
        try:
            self._note(dispatch, message_id, problem)
        except DependencyMissing as error:
            # On disk it is still on its way, and in doubt at the next start.
            self._say("outbox", str(error))
        self._wake.set()

    async def _request(self, dispatch: Dispatch) -> int:
        letter = dispatch.letter
        if letter.picture:
            return await self._api.send_picture(letter.chat_id, letter.picture, letter.text, letter.silent)
        if dispatch.message_id:
            await self._api.edit_text(letter.chat_id, dispatch.message_id, letter.text, letter.buttons)
            return dispatch.message_id
        return await self._api.send_text(letter.chat_id, letter.text, letter.buttons, letter.silent)

    def _note(self, dispatch: Dispatch, message_id: int, problem: ApiError | None) -> None:
        letter = dispatch.letter
        if isinstance(problem, Unreachable):
            failures = self._failures[letter.chat_id] = self._failures.get(letter.chat_id, 0) + 1
            self._hold(letter.chat_id, min(MAX_PAUSE_S, 2 ** (failures - 1)) * SECOND)
        match problem:
            case None:
                self._failures.pop(letter.chat_id, None)
                self._outbox.sent(dispatch, message_id)
                self._process.count("letters_sent")
                self._process.facts["sending"] = "well"
            case Flooded():
                self._outbox.not_sent(dispatch)
                self._process.count("letters_held_by_flood_control")
                self._hold(letter.chat_id, int(problem.retry_after_s * SECOND) + FLOOD_MARGIN_NS)
            case Refused():
                if not self._outbox.refused(dispatch, problem.text):
                    self._process.count("letters_refused")
                    self._process.log.error(
                        "letter_refused", chat_id=letter.chat_id, lane=letter.lane, problem=problem.text
                    )
            case Unreachable(maybe_delivered=True):
                self._outbox.in_doubt(dispatch)
                self._process.count("letters_in_doubt")
                self._trouble = problem
            case _:
                self._outbox.not_sent(dispatch)
                self._trouble = problem

    def _hold(self, chat_id: int, wait_ns: int) -> None:
        self._history = held(self._history, chat_id, self._process.clock.mono_ns() + wait_ns)

    async def _until_well(self, trouble: ApiError) -> None:
        """Ask until Telegram answers again; whatever is put meanwhile waits."""
        since_ns = self._process.clock.mono_ns()
        pauses = iter(PROBE_S)
        pause = 0.0
        while self._trouble is not None:
            self._say("telegram", str(trouble))
            self._process.facts["sending"] = str(trouble)
            pause = next(pauses, pause)
            if await self._stopped_within(BAD_TOKEN_PROBE_S if isinstance(trouble, BadToken) else pause):
                return
            try:
                await self._api.get_me()
            except ApiError as error:
                trouble = error
            else:
                self._trouble = None
        lasted_s = (self._process.clock.mono_ns() - since_ns) / SECOND
        self._process.facts["sending"] = "well"
        self._process.log.info("telegram_answers_again", after_s=round(lasted_s, 1))

    async def _stopped_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._process.stopping.wait()
        except TimeoutError:
            return False
        return True

    def _say(self, what: str, problem: str) -> None:
        times = self._told.note(what, self._process.clock.mono_ns())
        if times is not None:
            self._process.log.warning("letters_wait", cause=what, problem=problem, times=times)
