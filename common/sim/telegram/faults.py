"""What the Bot API double does wrong on request: faults as data, switched on and off while it runs."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

FaultKind = Literal[
    "hang", "lost", "bad gateway", "reset", "html", "flood", "unauthorized", "malformed", "misshapen", "delay"
]
"""``hang``: nothing happens and nothing is answered. ``lost``: it happens, but the answer never comes.
``reset``: the connection is cut before anything happens. ``malformed``: updates that are no updates.
``misshapen``: a result of another shape than the method's, as of a server older or newer than the client."""

ANY = ""


@dataclass(slots=True)
class Fault:
    """One fault; it meets every request it fits until it is used up or taken back."""

    kind: FaultKind
    method: str = ANY
    chat_id: int = 0
    """Only requests for this chat; 0: all."""
    times: int | None = None
    """How many requests it still meets; None: all of them."""
    seconds: float = 1.0
    """The delay, or what a flood asks to wait."""


class FaultBoard:
    """The faults that hold now."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lifted = asyncio.Event()

    def add(self, fault: Fault) -> Fault:
        """Switch a fault on."""
        self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Switch everything off; what hung is cut."""
        self._faults.clear()
        self._lifted.set()
        self._lifted = asyncio.Event()

    def lift(self, fault: Fault) -> None:
        """Switch one fault off."""
        self._faults = [each for each in self._faults if each is not fault]
        self._lifted.set()
        self._lifted = asyncio.Event()

    @contextmanager
    def holding(self, fault: Fault) -> Iterator[Fault]:
        """A fault for the time of a block."""
        self.add(fault)
        try:
            yield fault
        finally:
            self.lift(fault)

    def meets(self, method: str, chat_id: int) -> Fault | None:
        """The first fault that fits this request, used up by one."""
        for fault in self._faults:
            if fault.method in (ANY, method) and fault.chat_id in (0, chat_id) and fault.times != 0:
                if fault.times is not None:
                    fault.times -= 1
                return fault
        return None

    async def until_lifted(self) -> None:
        """Wait until any fault is switched off."""
        await self._lifted.wait()
