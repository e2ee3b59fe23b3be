"""The demo in its user's own Telegram: whether it may be there, what it says of itself, what came of it.

Token and chats are those ``laggard up`` would take, and the token is copied nowhere. Carries out no command:
that is the telegram process's.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from common.chat.account import Account, read_account
from common.chat.acting import IN_VAIN
from common.chat.bot_api import ApiError, BotApi, Flooded, OtherPoller, Unreachable
from common.chat.conversation import CARRIED_OUT
from common.chat.updates import arrival_of
from common.chat.verification import verify
from common.core.remote.authority import judge
from common.core.remote.commands import Asked, read
from common.errors import DependencyMissing, FrameRefused
from common.runtime.config import load_config
from common.runtime.config_sections import Telegram
from common.runtime.lock import hold_role
from common.runtime.paths import Paths, make_paths
from common.store.chat_tally import ChatTally, read_tally
from common.units import usd6_text
from procs.cli.show import progress

ROLE = "telegram"
T = TypeVar("T")
LOOK_LIMIT_S = 4.0
SAY_LIMIT_S = 5.0
CATCH_UP_S = 5.0
"""At the end the messages that wait get so long; trading goes on meanwhile and may bring new ones."""
_UNDELIVERED = ("waiting", "sending", "refused", "left out", "in doubt")


@dataclass(frozen=True, slots=True)
class Chat:
    """A bot that Telegram knows, and the chats the demo writes to."""

    bot: str
    section: Telegram
    account: Account
    token_file: Path
    """The user's own file; only its place is told to anybody."""
    since_ns: int
    """Wall instant from which on what comes of the chat is the demo's."""

    def config_lines(self) -> list[str]:
        """The user's own table for the demo's configuration; the token is no part of it."""
        section = self.section
        return [
            "[telegram]",
            f"chat_id = {section.chat_id}",
            f"allowed_users = {list(section.allowed_users)}",
            f"api_url = {msgspec.json.encode(section.api_url).decode()}",
            f"poll_s = {section.poll_s}",
            f"answer_s = {section.answer_s}",
            f"digest_hour_utc = {section.digest_hour_utc}",
            "",
        ]

    def introduce(self, title: str) -> None:
        """Say in the chats that what follows is play."""
        self._say(
            f"This is a demo: {title}. The venue is simulated and so is all money. Commands steer the demo "
            "alone; /help lists them."
        )

    def take_leave(self, result: dict[str, Any]) -> None:
        """Say in the chats that the demo is over and nobody listens any more."""
        self._say(
            f"The demo is over: {result['orders']} orders, {result['positions_settled']} positions settled, "
            f"{usd6_text(result['realized_pnl_usd6'])} $ of play money. Nobody listens here until laggard "
            "starts again."
        )

    async def catch_up(self, state_dir: Path) -> None:
        """Let what waits to be told be sent, within limits."""
        deadline = time.monotonic() + CATCH_UP_S
        while self._tally(state_dir).left and time.monotonic() < deadline:
            await asyncio.sleep(0.1)

    def outcome(self, state_dir: Path) -> dict[str, Any]:
        """What came of the chat, with stable keys.

        ``messages_sent`` counts each edit of a message, and neither greeting nor farewell.
        """
        tally = self._tally(state_dir)
        carried_out = _carried_out(tally)
        undelivered = {state: tally.letters[state] for state in _UNDELIVERED if tally.letters[state]}
        return {
            "bot": f"@{self.bot}",
            "chats": len(self.account.chats),
            "messages_sent": tally.letters["sent"],
            "messages_undelivered": sum(undelivered.values()),
            "undelivered": undelivered,
            "updates_heard": tally.results.total(),
            "commands_answered": tally.results["answered"],
            "commands_obeyed": sum(count for said, count in carried_out if not said.startswith(IN_VAIN)),
            "commands_failed": sum(count for said, count in carried_out if said.startswith(IN_VAIN)),
        }

    def _tally(self, state_dir: Path) -> ChatTally:
        places = make_paths(str(state_dir), None)
        return read_tally(places.outbox_file, places.commands_file, self.since_ns)

    def _say(self, text: str) -> None:
        """Write to every chat; the demo does not depend on it."""

        async def send(api: BotApi) -> None:
            for chat_id in self.account.chats:
                try:
                    await api.send_text(chat_id, text)
                except Flooded as flooded:
                    await asyncio.sleep(flooded.retry_after_s)
                    await api.send_text(chat_id, text)

        try:
            asyncio.run(_with_bot(self.section, self.account, SAY_LIMIT_S, send))
        except (ApiError, TimeoutError) as error:
            progress(f"not told in the chat: {str(error) or 'Telegram did not answer in time'}")


def join_chat() -> Chat:
    """Make sure of token and chats before anything starts, and that nobody else needs the bot meanwhile.

    Raises ConfigError with Telegram's reason when they are wrong; DependencyMissing when Telegram cannot be
    asked, when laggard runs with the bot already, or when commands wait there that are not the demo's.
    """
    config = load_config()
    paths = make_paths(config.paths.state_dir, config.paths.run_dir, config.paths.credentials_dir)
    account = read_account(config, paths)
    _refuse_if_running(paths)
    waiting = list(dict.fromkeys(asyncio.run(_waiting_commands(config.telegram, account))))
    if waiting:
        raise DependencyMissing(
            f"{', '.join(waiting)}: sent to the bot while nobody listened, and obeyed at any age; the demo "
            "would take that from your own laggard: let laggard up hear it first, or use another bot"
        )
    name = verify(config, "A demo of laggard starts.")
    progress(f"Telegram knows @{name} and its chats")
    return Chat(name, config.telegram, account, paths.credentials_file(ROLE), time.time_ns())


def _refuse_if_running(paths: Paths) -> None:
    """Two processes on one token take each other's commands."""
    if paths.run_dir.is_dir():
        with hold_role(paths.run_dir, ROLE):
            pass


async def _waiting_commands(section: Telegram, account: Account) -> list[str]:
    """What a process that starts now would obey though it was sent before; confirms nothing of it."""

    async def ask(api: BotApi) -> list[object]:
        return await api.get_updates(None, 0)

    try:
        return list(_obeyed_late(await _with_bot(section, account, LOOK_LIMIT_S, ask), account))
    except (Unreachable, TimeoutError) as error:
        said = str(error) or f"Telegram cannot be reached: no answer within {LOOK_LIMIT_S:g} s"
        raise DependencyMissing(f"{said}; try again, or run the demo without --telegram") from None
    except OtherPoller as error:
        raise DependencyMissing(f"{error}; stop that one, or use another bot") from None
    except ApiError:
        return []  # what is wrong is told by the verification, in full


def _obeyed_late(updates: Iterable[object], account: Account) -> Iterable[str]:
    for update in updates:
        try:
            arrival = arrival_of(update)
        except FrameRefused:
            continue
        if not judge(arrival, account.authority, time.time()).heard:
            continue
        asked = read(arrival.text, "", ())
        if arrival.kind == "button":
            yield "a pressed button"
        elif isinstance(asked, Asked) and asked.risk == "reduces":
            yield str(asked)


async def _with_bot(
    section: Telegram, account: Account, limit_s: float, work: Callable[[BotApi], Awaitable[T]]
) -> T:
    """Do something with the bot within a limit; raises ApiErrors and TimeoutError."""
    async with asyncio.timeout(limit_s):
        api = BotApi(account.token, section.api_url, answer_s=section.answer_s)
        try:
            return await work(api)
        finally:
            await api.close()


def _carried_out(tally: ChatTally) -> list[tuple[str, int]]:
    """What acting on commands came to, and how often."""
    found = []
    for result, count in tally.results.items():
        how, colon, said = result.partition(": ")
        if colon and how in CARRIED_OUT:
            found.append((said, count))
    return found
