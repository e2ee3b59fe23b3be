"""Telegram's Bot API as far as the bot uses it: a few calls, and five kinds of failure.

Owns the HTTP clients and the token, which is in every URL: it is masked in every text that leaves here. Tries
nothing twice and remembers nothing.
"""

import asyncio
import contextlib
import datetime
import logging
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from common.core.remote.letters import Button
from common.errors import DependencyMissing, LaggardError
from common.runtime.credentials import Secret

# A wait is told as a timedelta; without this every one of them warns.
os.environ.setdefault("PTB_TIMEDELTA", "1")

try:
    import httpx
    from telegram import Bot, InlineKeyboardButton, InlineKeyboardMarkup, LinkPreviewOptions, Message
    from telegram.error import (
        BadRequest,
        ChatMigrated,
        Conflict,
        Forbidden,
        InvalidToken,
        NetworkError,
        RetryAfter,
        TelegramError,
    )
    from telegram.request import HTTPXRequest
except ImportError as _error:
    raise DependencyMissing(
        f"python-telegram-bot is missing ({_error.name}); install laggard with its extra telegram"
    ) from None

ALLOWED_UPDATES = ("message", "edited_message", "callback_query", "channel_post")
"""What is asked for; the last and the second only to be seen and refused."""
MAX_ANSWER_TEXT = 200
"""Characters of the note a button press is answered with."""
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
_HARD_LIMIT_FACTOR = 4
"""httpx limits each read; an answer that drips for ever is cut off by this many times the limit."""


class ApiError(LaggardError):
    """A call to the Bot API did not do what was asked."""


class Flooded(ApiError):
    """429: this chat, or the whole bot, has to wait."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"Telegram wants {retry_after_s:g} s of silence")
        self.retry_after_s = retry_after_s


class Refused(ApiError):
    """400 or 403: the same call will never be taken."""

    def __init__(self, text: str) -> None:
        super().__init__(f"Telegram refuses: {text}")
        self.text = text


class BadToken(ApiError):
    """401 or 404: Telegram does not know the token."""

    def __init__(self, text: str) -> None:
        super().__init__(f"Telegram does not take the token: {text}")
        self.text = text


class OtherPoller(ApiError):
    """409: another program asks for the same bot's news."""

    def __init__(self, text: str) -> None:
        super().__init__(f"another program polls with the same token: {text}")
        self.text = text


class Unreachable(ApiError):
    """No usable answer; ``maybe_delivered`` is whether the request may have been carried out."""

    def __init__(self, text: str, maybe_delivered: bool) -> None:
        super().__init__(f"Telegram cannot be reached: {text}")
        self.text = text
        self.maybe_delivered = maybe_delivered


class _RawBot(Bot):
    """The library's client with one more call: updates as they came.

    ``Bot.get_updates`` gives all or nothing: one malformed update hides every later one. The polling loop of
    the library (``Application``, ``Updater``) is not used at all: it asks for that malformed update again
    without end, ends in silence at the first 401, tells nobody of time-outs, and acts on an update before
    anything says that it did.
    """

    async def raw_updates(self, offset: int | None, timeout_s: float, read_timeout_s: float) -> Any:
        data: dict[str, Any] = {"timeout": timeout_s, "allowed_updates": list(ALLOWED_UPDATES)}
        if offset is not None:
            data["offset"] = offset
        return await self._post("getUpdates", data, read_timeout=timeout_s + read_timeout_s)


class BotApi:
    """One bot. Raises ApiErrors alone; close it with ``close``."""

    def __init__(self, token: Secret, api_url: str, *, answer_s: float = 5.0) -> None:
        """Give each answer ``answer_s`` seconds."""
        self._token = token
        self._answer_s = answer_s
        # httpx tells every URL, and with it the token, at INFO; the library tells whole updates on failure.
        for name in ("httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.WARNING)
        logging.getLogger("telegram").setLevel(logging.CRITICAL + 1)
        self._requests = tuple(
            HTTPXRequest(
                connection_pool_size=size,
                read_timeout=answer_s,
                write_timeout=answer_s,
                connect_timeout=answer_s,
                pool_timeout=answer_s,
                media_write_timeout=4 * answer_s,
            )
            for size in (1, 8)
        )
        polling, others = self._requests
        try:
            self._bot = _RawBot(
                token.reveal(),
                base_url=f"{api_url.rstrip('/')}/bot",
                request=others,
                get_updates_request=polling,
            )
        except InvalidToken as error:
            raise BadToken(self._masked(str(error))) from None

    def __repr__(self) -> str:
        return "BotApi(***)"

    async def close(self) -> None:
        """Release the connections."""
        for request in self._requests:
            with contextlib.suppress(httpx.HTTPError, RuntimeError):
                await request.shutdown()

    async def get_me(self) -> str:
        """The bot's user name."""
        async with self._call():
            return (await self._bot.get_me()).username or ""

    async def get_chat(self, chat_id: int) -> str:
        """What the chat is called; raises Refused where the bot does not know it."""
        async with self._call():
            chat = await self._bot.get_chat(chat_id)
            return chat.title or chat.full_name or chat.username or str(chat_id)

    async def get_updates(self, offset: int | None, timeout_s: float) -> list[object]:
        """News, as JSON values, after at most ``timeout_s``; an offset confirms everything below it."""
        async with self._call(timeout_s):
            found = await self._bot.raw_updates(offset, timeout_s, self._answer_s)
        if not isinstance(found, list):
            raise Unreachable(f"getUpdates answered {type(found).__name__}", maybe_delivered=False)
        return found

    async def send_text(
        self, chat_id: int, text: str, buttons: Sequence[Sequence[Button]] = (), silent: bool = True
    ) -> int:
        """Send plain text; returns the message's id."""
        async with self._call():
            sent = await self._bot.send_message(
                chat_id,
                text,
                disable_notification=silent,
                reply_markup=_keyboard(buttons),
                link_preview_options=LinkPreviewOptions(is_disabled=True),
            )
            return sent.message_id

    async def edit_text(
        self, chat_id: int, message_id: int, text: str, buttons: Sequence[Sequence[Button]] = ()
    ) -> None:
        """Replace a message's text and buttons; that it has them already is no error."""
        try:
            async with self._call():
                await self._bot.edit_message_text(
                    text,
                    chat_id=chat_id,
                    message_id=message_id,
                    reply_markup=_keyboard(buttons),
                    link_preview_options=LinkPreviewOptions(is_disabled=True),
                )
        except Refused as refusal:
            if "message is not modified" not in refusal.text.lower():
                raise

    async def send_picture(self, chat_id: int, png: bytes, caption: str = "", silent: bool = True) -> int:
        """Send a picture; returns the message's id."""
        async with self._call(self._answer_s * 3):
            sent: Message = await self._bot.send_photo(
                chat_id, png, caption=caption or None, disable_notification=silent, filename="chart.png"
            )
            return sent.message_id

    async def answer_button(self, query_id: str, text: str = "") -> None:
        """Take the clock off a pressed button and show a note; Telegram takes it for a short time only."""
        async with self._call():
            await self._bot.answer_callback_query(query_id, text[:MAX_ANSWER_TEXT] or None)

    async def set_commands(self, commands: Sequence[tuple[str, str]]) -> None:
        """What Telegram's menu offers: (name, description)."""
        async with self._call():
            await self._bot.set_my_commands(list(commands))

    @asynccontextmanager
    async def _call(self, patience_s: float = 0.0) -> AsyncIterator[None]:
        """Turn whatever goes wrong into one of the five kinds."""
        try:
            async with asyncio.timeout(patience_s + _HARD_LIMIT_FACTOR * self._answer_s):
                yield
        except TimeoutError:
            raise Unreachable("the answer never ended", maybe_delivered=True) from None
        except RetryAfter as error:
            wait = error.retry_after
            raise Flooded(
                wait.total_seconds() if isinstance(wait, datetime.timedelta) else float(wait)
            ) from None
        except ChatMigrated as error:
            raise Refused(
                f"the group became a supergroup; write telegram.chat_id = {error.new_chat_id}"
            ) from None
        except InvalidToken as error:
            raise BadToken(self._masked(str(error))) from None
        except Conflict as error:
            raise OtherPoller(self._masked(str(error))) from None
        except (BadRequest, Forbidden) as error:
            # Before NetworkError: the library makes a refusal a kind of it.
            raise Refused(self._masked(str(error))) from None
        except NetworkError as error:
            cause = error.__cause__
            raise Unreachable(
                self._masked(str(error)), maybe_delivered=not isinstance(cause, _NOT_SENT)
            ) from None
        except TelegramError as error:
            raise Unreachable(self._masked(str(error)), maybe_delivered=True) from None
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            # The library reads an answer on trust: a field too few or of another kind is an error of Python.
            raise Unreachable(
                self._masked(f"its answer cannot be read ({type(error).__name__}: {error})"),
                maybe_delivered=True,
            ) from None

    def _masked(self, text: str) -> str:
        return " ".join(text.replace(self._token.reveal(), "***").split())[:300]


def _keyboard(buttons: Sequence[Sequence[Button]]) -> InlineKeyboardMarkup | None:
    if not buttons:
        return None
    return InlineKeyboardMarkup(
        [[InlineKeyboardButton(one.label, callback_data=one.data) for one in row] for row in buttons]
    )
