"""The live account's API credentials while it trades: what happens when the venue refuses them.

New orders are held until a signed request is answered again. Credentials the venue made for our key are asked
for anew, at most once a minute; those of a file are its owner's and are never replaced.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import DependencyMissing, FeedRefused
from common.runtime.clock import Clock
from common.units import SECOND

if TYPE_CHECKING:
    from common.venue.live import AccountClient

HOLD = "credentials"
RENEW_EACH_NS = 60 * SECOND
ASK_AGAIN_S = 5.0
REFUSED = "the venue refuses our API credentials"


@dataclass(slots=True)
class ApiAccess:
    """The credentials in use: refused or not, and renewed by ``watch``."""

    clock: Clock
    file: Path | None
    """Where they come from; None when the venue made them for our key."""
    refused: asyncio.Event = field(default_factory=asyncio.Event)
    """To be set by whoever is refused; a set event may be wrong, it is looked into."""
    renewed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when others are in use; to be cleared by who waits for it."""
    _asked_ns: int | None = None

    async def watch(
        self, client: "AccountClient", hold: Callable[[str], None], use: Callable[[], None]
    ) -> None:
        """After each refusal hold for a reason, and lift it with none once the venue lets us in again.

        ``use`` is called when ``client.api_key`` is another one.
        """
        while True:
            await self.refused.wait()
            hold(REFUSED)
            while problem := await self._problem(client, use):
                hold(problem)
                await asyncio.sleep(ASK_AGAIN_S)
            hold("")

    async def _problem(self, client: "AccountClient", use: Callable[[], None]) -> str:
        """Why the venue does not let us in, after what can be done about it; empty when it does."""
        problem = await self._denied(client)
        if not self.refused.is_set():
            return problem
        if self.file is not None:
            return (
                f"the venue refuses the API credentials of {self.file}: check this host's clock, then "
                "correct the file, or delete it so that new ones are made, and start again"
            )
        now_ns = self.clock.mono_ns()
        if self._asked_ns is not None and now_ns - self._asked_ns < RENEW_EACH_NS:
            return f"{REFUSED}; new ones are asked for once a minute"
        self._asked_ns = now_ns
        try:
            await client.renew()
        except (FeedRefused, DependencyMissing) as none:
            return f"{REFUSED} and gives no others: {none}"
        use()
        self.renewed.set()
        return await self._denied(client)

    async def _denied(self, client: "AccountClient") -> str:
        """Why one signed request brought no answer; ``refused`` is set when the credentials are why."""
        self.refused.clear()
        try:
            await client.closed_only()
        except DependencyMissing as problem:
            return str(problem)
        return ""
