"""Plays a script in real time: each step happens at its instant.

Steps of one millisecond happen together, as at the venue. Owns no socket; clock and sleep are handed in.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from common.sim.script import Script, ScriptEvent, Step

log = logging.getLogger(__name__)

_MILLISECOND = 1_000_000
_LONGEST_SLEEP_S = 0.25
_STEPS_BETWEEN_YIELDS = 50


@dataclass(slots=True)
class Position:
    """How far the script has been played."""

    steps: int = 0
    at_ns: int = 0
    """The scripted instant of the last step that happened."""
    late_ms: int = 0
    """How late that step happened."""
    done: bool = False


class Player:
    """One run through one script."""

    def __init__(self, script: Script, happen: Callable[[list[ScriptEvent], int], None]) -> None:
        self.position = Position()
        self._steps = iter(script.steps)
        self._next: Step | None = next(self._steps, None)
        self._happen = happen

    def catch_up(self, now_ns: int) -> None:
        """Let everything in the past happen at once; for the time before anyone is connected."""
        while self._next is not None and self._next.at_ns <= now_ns:
            self._take_millisecond()

    async def play(self, now_ns: Callable[[], int], sleep: Callable[[float], Awaitable[None]]) -> None:
        """Play to the end of the script; an endless script never returns."""
        unbroken = 0
        while self._next is not None:
            wait_s = (self._next.at_ns - now_ns()) / 1e9
            if wait_s > 0:
                unbroken = 0
                await sleep(min(wait_s, _LONGEST_SLEEP_S))
                continue
            self.position.late_ms = int(-wait_s * 1000)
            self._take_millisecond()
            unbroken += 1
            if unbroken % _STEPS_BETWEEN_YIELDS == 0:
                await sleep(0)
        self.position.done = True
        log.info("script is done after %d steps", self.position.steps)

    def _take_millisecond(self) -> None:
        """Let every step of the next step's millisecond happen."""
        assert self._next is not None
        at_ns = self._next.at_ns
        events: list[ScriptEvent] = []
        while self._next is not None and self._next.at_ns // _MILLISECOND == at_ns // _MILLISECOND:
            events.append(self._next.event)
            at_ns = self._next.at_ns
            self._next = next(self._steps, None)
        self.position.steps += len(events)
        self.position.at_ns = at_ns
        self._happen(events, at_ns)
