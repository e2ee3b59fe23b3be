"""The conversation with the people who may command: from updates to answers and acts.

Owns the order of things: judged, committed as taken, understood, confirmed, acted on, answered. Each update
is worked on by a task of its own, so none waits for another; what reduces risk is begun first.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from common.chat import answers
from common.chat.acting import Means, act, read_basis, stricter
from common.chat.line import Line
from common.chat.questions import expired, question, settled
from common.chat.watching import SIMULATED
from common.core.remote.authority import Arrival, Authority, judge
from common.core.remote.commands import Asked, Misread, read
from common.core.remote.confirmation import (
    LIFE_NS,
    Confirmation,
    buttons,
    digest_of,
    read_press,
    repeats,
    rule,
)
from common.core.remote.letters import Letter
from common.errors import DependencyMissing, InvariantBroken
from common.runtime.endpoints import ROLES
from common.runtime.log import Burst
from common.runtime.shell import Process
from common.store.command_log import CommandLog
from common.units import SECOND

MAX_READING = 16
"""Reading commands that may be worked on at once; one more is told to wait."""
_REMEMBERED = 10_000
CARRIED_OUT = ("confirmed", "late", "said twice", "resumed")
"""How a command comes to be acted on: with it and a colon begins the result of its update."""
READ_LIMIT_S = 20.0
REDUCES, READS, ADDS = range(3)
PROGRAMS = tuple(role for role in ROLES if role != SIMULATED)
"""What may be named in a chat: the simulated venue belongs to a demo."""
Pictures = Callable[[int], Awaitable[Iterable[Letter]]]
"""What ``/chart`` sends to a chat."""


@dataclass(slots=True)
class Conversation:
    """What it takes to converse; ``hear`` is called with the news of each poll."""

    process: Process
    log: CommandLog
    put: Callable[[Letter], object]
    """Hand a letter to the outbox."""
    answer_button: Callable[[str, str], None]
    """Tell the presser something, at best and at once."""
    means: Means
    authority: Authority
    line: Line
    pictures: Pictures
    bot_name: str = ""
    """As long as Telegram has not told it, empty."""
    life_ns: int = LIFE_NS
    reading: int = 0
    bursts: Burst = field(default_factory=Burst)
    unwritten: set[int] = field(default_factory=set)
    """Acted on while the disk took nothing."""

    def hear(self, arrivals: Iterable[Arrival]) -> None:
        """Begin to work on these updates; returns when all of them are committed as taken."""
        now_ns = self.process.clock.wall_ns()
        heard: dict[int, tuple[Arrival, bool]] = {}
        for arrival in arrivals:
            self.process.count("updates")
            judged = judge(arrival, self.authority, now_ns / SECOND)
            if judged.heard:
                heard.setdefault(arrival.update_id, (arrival, judged.late))
            else:
                self._ignore(arrival, judged.reason)
        fresh = self._take([arrival for arrival, _ in heard.values()], now_ns)
        self.process.count("repeated_updates", len(heard) - len(fresh))
        begun = sorted(
            (self._rank(arrival), arrival.update_id, arrival, late)
            for arrival, late in heard.values()
            if arrival.update_id in fresh
        )
        for _, _, arrival, late in begun:
            self.process.spawn(self._work(arrival, late), name=f"update {arrival.update_id}")

    def resume(self) -> None:
        """After a start: carry on with what was taken and not ended; call this once, before ``hear``.

        What reduces risk or only reads is carried out, because doing it twice does no harm. Everything else
        is not, and its author is told. Buttons of the process before work no more, but for reducing risk.
        """
        self.log.prune(self.process.clock.wall_ns())
        for held in self.log.open_ones():
            self._expire(held, "I was restarted before it was confirmed")
        for arrival in sorted(self.log.unended(), key=lambda one: (self._rank(one), one.update_id)):
            if self._rank(arrival) < ADDS:
                self.process.spawn(self._work(arrival, late=True), name=f"update {arrival.update_id}")
            else:
                shown = arrival.text[:60] or "A button"
                self._answer(
                    arrival.chat_id,
                    f"{shown}: I was restarted while at it, and it may have been carried out or not. "
                    "Look at /status; send it again if it is still wanted.",
                )
                self.log.end(arrival.update_id, "broken off")

    def _take(self, heard: list[Arrival], now_ns: int) -> frozenset[int]:
        if not heard:
            return frozenset()
        try:
            return self.log.take(heard, now_ns)
        except DependencyMissing as error:
            # Nothing can be guarded against being done twice: only what may be done twice is done.
            self.process.log.error("commands_not_written", problem=str(error))
            self.line.trouble("disk", str(error))
            if len(self.unwritten) > _REMEMBERED:
                self.unwritten.clear()
            fresh = {one.update_id for one in heard if self._rank(one) == REDUCES} - self.unwritten
            self.unwritten |= fresh
            return frozenset(fresh)

    def _rank(self, arrival: Arrival) -> int:
        """In which order updates are begun: what reduces risk first."""
        asked: Asked | Misread | None
        if arrival.kind == "button":
            pressed = read_press(arrival.data)
            held = self.log.find(pressed[1]) if pressed is not None else None
            asked = held.asked if held is not None else None
        else:
            asked = read(arrival.text, self.bot_name, PROGRAMS)
        if not isinstance(asked, Asked):
            return READS
        return REDUCES if asked.risk == "reduces" else READS if asked.risk == "reads" else ADDS

    def _ignore(self, arrival: Arrival, reason: str) -> None:
        self.process.count("ignored_updates")
        count = self.bursts.note(reason, self.process.clock.mono_ns())
        if count is not None:
            self.process.log.warning(
                "update_ignored", reason=reason, user=arrival.user_id, chat=arrival.chat_id, times=count
            )

    async def _work(self, arrival: Arrival, late: bool) -> None:
        """One update from beginning to end; a failure of ours ends it too, and is told."""
        try:
            work = self._press if arrival.kind == "button" else self._message
            result = await work(arrival, late)
        except InvariantBroken:
            raise
        except Exception as error:
            self.process.log.exception("command_failed", update=arrival.update_id)
            result = f"failed: {type(error).__name__}"
            self._answer(arrival.chat_id, "Something went wrong inside me; /logs telegram has it.")
        self.process.log.info(
            "command", user=arrival.user_id, text=arrival.text[:80] or arrival.data, result=result[:200]
        )
        try:
            self.log.end(arrival.update_id, result)
        except DependencyMissing as error:
            self.process.log.error("commands_not_written", problem=str(error))

    async def _message(self, arrival: Arrival, late: bool) -> str:
        understood = read(arrival.text, self.bot_name, PROGRAMS)
        if isinstance(understood, Misread):
            if understood.answer:
                self._answer(arrival.chat_id, understood.answer)
            return "not understood"
        if understood.risk == "reads":
            return await self._read(arrival, understood)
        if understood.risk == "reduces":
            return await self._reduce(arrival, understood, late)
        refusal = self._refusal(arrival, understood, late)
        if refusal:
            self._answer(arrival.chat_id, refusal)
            return refusal
        return await self._question(arrival, understood)

    async def _read(self, arrival: Arrival, asked: Asked) -> str:
        if self.reading >= MAX_READING:
            self._answer(arrival.chat_id, f"{asked}: I am busy with {self.reading} others; a moment.")
            return "busy"
        self.reading += 1
        try:
            async with asyncio.timeout(READ_LIMIT_S):
                if asked.name == "chart":
                    for letter in await self.pictures(arrival.chat_id):
                        self._put(letter)
                else:
                    self._answer(arrival.chat_id, await answers.answer(self.process, asked))
        except TimeoutError:
            self._answer(arrival.chat_id, f"{asked}: whoever has to answer takes too long; try again.")
            return "too long"
        except DependencyMissing as error:
            self._answer(arrival.chat_id, f"{asked}: {error}")
            return str(error)
        finally:
            self.reading -= 1
        return "answered"

    async def _reduce(self, arrival: Arrival, asked: Asked, late: bool) -> str:
        if late:
            # Nobody can confirm it in time, and waiting is the one wrong thing.
            return await self._act(arrival, asked, f"update-{arrival.update_id}-{arrival.sent_s}", "late")
        now_ns = self.process.clock.wall_ns()
        for held in self.log.open_ones():
            if repeats(held, asked, arrival.user_id, arrival.chat_id, now_ns) and self.log.settle(
                held.nonce, "used"
            ):
                self._put(settled(held, "Confirmed by saying it again."))
                return await self._act(arrival, asked, held.nonce, "said twice")
        return await self._question(arrival, asked)

    def _refusal(self, arrival: Arrival, asked: Asked, late: bool) -> str:
        """Why what adds risk is not even asked about; empty when it may be."""
        if asked.name == "redeem" and self.process.config.mode == "paper":
            return f"{asked}: there is nothing to redeem on paper; what is won is in the cash already."
        if late:
            age_s = int(self.process.clock.wall_ns() / SECOND - arrival.sent_s)
            return (
                f"{asked} was sent {age_s} s ago: too old, nothing was done. Send it again if it is wanted."
            )
        return self.line.contested_text() and f"{asked}: nothing was done; {self.line.contested_text()}"

    async def _question(self, arrival: Arrival, asked: Asked) -> str:
        basis = await read_basis(self.process, asked)
        if basis is None and asked.risk == "adds":
            text = f"{asked}: nothing was done; whoever has to do it does not answer. /procs says what runs."
            self._answer(arrival.chat_id, text)
            return text
        stays = stricter(asked, basis)
        if stays:
            self._answer(arrival.chat_id, f"{asked}: {stays}")
            return stays
        now_ns = self.process.clock.wall_ns()
        held = Confirmation(
            nonce=secrets.token_urlsafe(12),
            asked=asked,
            user_id=arrival.user_id,
            chat_id=arrival.chat_id,
            digest=digest_of(asked, basis),
            asked_ns=now_ns,
            expires_ns=now_ns + self.life_ns,
        )
        self.log.ask(held)
        self._put(question(held, basis, buttons(held.nonce, asked)))
        self.process.spawn(self._run_out(held), name=f"confirmation {held.nonce}")
        return "asked for confirmation"

    async def _run_out(self, held: Confirmation) -> None:
        await asyncio.sleep(self.life_ns / SECOND)
        self._expire(held, "It was not confirmed in time")

    def _expire(self, held: Confirmation, why: str) -> None:
        if self.log.settle(held.nonce, "expired"):
            self._put(expired(held, why))

    async def _press(self, arrival: Arrival, late: bool) -> str:
        pressed = read_press(arrival.data)
        held = self.log.find(pressed[1]) if pressed is not None else None
        if pressed is None or held is None:
            self._ignore(arrival, "unknown button")
            return "unknown button"
        if late and held.stage == "used" and _confirms(held, pressed[0], arrival):
            # The process before this one died between taking it and ending it; asking twice does no harm.
            return await self._act(arrival, held.asked, held.nonce, "resumed")
        ruling = rule(held, pressed[0], arrival.user_id, arrival.chat_id, self.process.clock.wall_ns())
        if not ruling.act:
            if not ruling.text:
                self._ignore(arrival, "stranger's press")
                return "not the asker"
            self.answer_button(arrival.query_id, ruling.text)
            if self.log.settle(held.nonce, ruling.stage):
                self._put(settled(held, ruling.text))
            return ruling.text
        if held.asked.risk != "reduces":
            refusal = await self._changed(held)
            if refusal:
                self.answer_button(arrival.query_id, refusal)
                if self.log.settle(held.nonce, "cancelled"):
                    self._put(settled(held, refusal))
                return refusal
        if not self.log.settle(held.nonce, "used"):
            self.answer_button(arrival.query_id, "Already confirmed.")
            return "pressed twice"
        self.answer_button(arrival.query_id, "Confirmed.")
        self._put(settled(held, "Confirmed."))
        return await self._act(arrival, held.asked, held.nonce, "confirmed")

    async def _changed(self, held: Confirmation) -> str:
        """Why a confirmed command may not be carried out now; empty when it may."""
        contested = self.line.contested_text()
        if contested:
            return f"Nothing was done; {contested}"
        if digest_of(held.asked, await read_basis(self.process, held.asked)) != held.digest:
            return "Nothing was done: the state is not the one you were shown. Send the command again."
        return ""

    async def _act(self, arrival: Arrival, asked: Asked, mark: str, how: str) -> str:
        self.process.count("acts")
        said = await act(self.process, self.means, asked, arrival.user_id, f"telegram-{mark}")
        note = " It was sent a while ago and is obeyed all the same." if how == "late" else ""
        self._put(
            Letter(lane="critical", chat_id=arrival.chat_id, text=f"{asked}: {said}{note}", silent=False)
        )
        return f"{how}: {said}"

    def _answer(self, chat_id: int, text: str) -> None:
        self._put(Letter(lane="reply", chat_id=chat_id, text=text))

    def _put(self, letter: Letter) -> None:
        try:
            self.put(letter)
        except DependencyMissing as error:
            # What was done is done; the log has it.
            self.process.log.error("letter_not_written", problem=str(error))


def _confirms(held: Confirmation, press: str, arrival: Arrival) -> bool:
    return press == "confirm" and (held.user_id, held.chat_id) == (arrival.user_id, arrival.chat_id)
