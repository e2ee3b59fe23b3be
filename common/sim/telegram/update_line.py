"""Updates on their way to the bot: kept until confirmed, one poller at a time; repeated, mixed on request."""

import asyncio
from collections.abc import Sequence
from typing import Any

DEFAULT_KINDS = ("message", "edited_message", "channel_post", "edited_channel_post", "callback_query")

Update = dict[str, Any]


class Superseded(Exception):
    """A newer getUpdates took this one's place."""


class UpdateLine:
    """What the bot has not confirmed yet, and who waits for it."""

    def __init__(self, first_id: int = 500_000_001) -> None:
        self._next_id = first_id
        self._pending: list[Update] = []
        self._repeats: list[Update] = []
        self._past: dict[int, Update] = {}
        self._kinds: tuple[str, ...] = DEFAULT_KINDS
        self._changed = asyncio.Event()
        self._poller = 0
        self._waiting = 0

    @property
    def polled(self) -> bool:
        """Whether somebody waits for updates now."""
        return self._waiting > 0

    @property
    def pending(self) -> tuple[Update, ...]:
        """Not confirmed, in the order in which it will be handed out."""
        return tuple(self._pending)

    def put(self, content: dict[str, Any]) -> Update:
        """Give the content the next number; a kind the bot does not want is thrown away."""
        update: Update = {"update_id": self._next_id, **content}
        self._next_id += 1
        self._past[update["update_id"]] = update
        if any(kind in content for kind in self._kinds) or not any(kind in content for kind in DEFAULT_KINDS):
            self._pending.append(update)
            self._changed.set()
        return update

    def repeat(self, update_id: int) -> None:
        """Hand out an update once more, confirmed or not."""
        self._repeats.append(self._past[update_id])
        self._changed.set()

    def reorder(self, update_ids: Sequence[int]) -> None:
        """Hand out what is pending in this order; what is not named comes after."""
        rank = {update_id: place for place, update_id in enumerate(update_ids)}
        self._pending.sort(key=lambda update: rank.get(update["update_id"], len(rank)))

    async def take(
        self, offset: int, limit: int, timeout_s: float, kinds: tuple[str, ...] | None
    ) -> list[Update]:
        """Confirm what is below ``offset``, then wait for updates; raises Superseded for the older poller."""
        self._poller += 1
        mine = self._poller
        self._changed.set()
        if kinds is not None:
            self._kinds = kinds or DEFAULT_KINDS
        self._confirm(offset)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while True:
            self._changed.clear()
            if found := self._ready(offset, limit):
                return found
            left = deadline - loop.time()
            if left <= 0:
                return []
            self._waiting += 1
            try:
                async with asyncio.timeout(left):
                    await self._changed.wait()
            except TimeoutError:
                return []
            finally:
                self._waiting -= 1
            if mine != self._poller:
                # Whoever took the place must not miss what woke this one.
                self._changed.set()
                raise Superseded

    def _confirm(self, offset: int) -> None:
        if offset > 0:
            self._pending = [update for update in self._pending if update["update_id"] >= offset]
        elif offset < 0:
            self._pending = self._pending[offset:]

    def _ready(self, offset: int, limit: int) -> list[Update]:
        repeats, self._repeats = self._repeats, []
        return [*repeats, *(update for update in self._pending if update["update_id"] >= max(offset, 0))][
            :limit
        ]
