"""The Bot API double: a server on a loopback port that answers as Telegram does, and the tests' hand in it.

What it knows: getMe, getChat, getUpdates, sendMessage, editMessageText, sendPhoto, answerCallbackQuery,
setMyCommands, deleteWebhook. Wording as of Bot API 9. https://core.telegram.org/bots/api
"""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from common.runtime.clock import Clock, SystemClock
from common.sim.telegram.chats import Chats, Shown
from common.sim.telegram.faults import FaultBoard
from common.sim.telegram.flood import Flood, FloodLimits
from common.sim.telegram.message_rules import (
    MAX_CAPTION,
    MAX_TEXT,
    RefusedByTelegram,
    bad_request,
    checked_buttons,
    checked_commands,
    shown_text,
)
from common.sim.telegram.update_line import Superseded, Update, UpdateLine
from common.sim.telegram.wire import (
    MAX_BODY,
    Fields,
    cut,
    number,
    picture_of,
    read_fields,
    refusal_answer,
    wrong_answer,
)
from common.units import SECOND

TOKEN = "123456789:AAEhBOweik9ai_made-up-token_for-tests"  # noqa: S105 - opens nothing but this double
BOT_ID = 123456789
_BOT = {"id": BOT_ID, "is_bot": True, "first_name": "laggard", "username": "laggard_test_bot"}
_WELL_FORMED = re.compile(r"\d{5,12}:[A-Za-z0-9_-]{30,50}")
_QUERY_LIFE_NS = 60 * SECOND


@dataclass(frozen=True, slots=True)
class Request:
    """One request that came, and what became of it."""

    mono_ns: int
    method: str
    chat_id: int
    code: int
    """Of the answer; 0: none was given."""
    happened: bool
    """Whether it had its effect."""
    text: str = ""
    message_id: int = 0


@dataclass(slots=True)
class BotApiDouble:
    """One bot with its chats. ``open`` it, then let a client use ``url``."""

    token: str = TOKEN
    limits: FloodLimits = field(default_factory=FloodLimits)
    clock: Clock = field(default_factory=SystemClock)
    chats: Chats = field(default_factory=Chats)
    faults: FaultBoard = field(default_factory=FaultBoard)
    updates: UpdateLine = field(default_factory=UpdateLine)
    requests: list[Request] = field(default_factory=list)
    commands: list[Fields] = field(default_factory=list)
    answered: dict[str, str] = field(default_factory=dict)
    """What the bot said to each button press."""
    url: str = ""
    """``http://127.0.0.1:PORT``: what stands in place of ``https://api.telegram.org``."""
    _flood: Flood = field(init=False)
    _queries: dict[str, int] = field(default_factory=dict)
    _happened: asyncio.Event = field(default_factory=asyncio.Event)
    _runner: web.AppRunner | None = None

    def __post_init__(self) -> None:
        self._flood = Flood(self.limits)

    async def open(self, port: int = 0) -> str:
        """Listen on a loopback port, a free one unless named; returns ``url``."""
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_route("*", "/bot{token}/{method}", self._serve)
        # A poller that went away must not take the updates of its successor.
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self.url

    async def close(self) -> None:
        """Stop listening; chats and updates stay, and ``open`` on the same port brings it back."""
        self.faults.clear()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    # What people do.

    def say(
        self,
        user_id: int,
        text: str,
        *,
        chat_id: int = 0,
        date_s: int | None = None,
        edited: bool = False,
        forwarded_from: int = 0,
        channel: bool = False,
    ) -> Update:
        """Somebody writes, in the private chat unless another is named; returns the update."""
        sent_s = self._now_s() if date_s is None else date_s
        chat = self.chats.known(chat_id or user_id)
        kept = self.chats.post(Shown(chat.chat_id, 0, text, [], sent_s, by_bot=False, user_id=user_id))
        message: Fields = {
            "message_id": kept.message_id, "date": sent_s, "chat": chat.json(),
            "from": self.chats.user_json(user_id), "text": text,
        }  # fmt: skip
        if text.startswith("/"):
            length = len(text.split(maxsplit=1)[0])
            message["entities"] = [{"type": "bot_command", "offset": 0, "length": length}]
        if forwarded_from:
            origin = {"type": "user", "date": sent_s, "sender_user": self.chats.user_json(forwarded_from)}
            message["forward_origin"] = origin
        if edited:
            message["edit_date"] = self._now_s()
        if channel:
            del message["from"]
            message["chat"] = {**chat.json(), "type": "channel"}
        kind = ("edited_" if edited else "") + ("channel_post" if channel else "message")
        return self.updates.put({kind: message})

    def press(self, user_id: int, data: str, *, chat_id: int = 0, message_id: int = 0) -> Update:
        """Somebody presses a button, of the newest message that has it unless one is named."""
        place = chat_id or user_id
        shown = self._with_button(place, data, message_id)
        query = f"{len(self._queries) + 1:018d}"
        self._queries[query] = self.clock.mono_ns()
        return self.updates.put(
            {
                "callback_query": {
                    "id": query, "from": self.chats.user_json(user_id), "chat_instance": str(place),
                    "message": self._message_json(shown), "data": data,
                }
            }
        )  # fmt: skip

    def _with_button(self, chat_id: int, data: str, message_id: int) -> Shown:
        for shown in reversed(self.chats.shown(chat_id)):
            if message_id in (0, shown.message_id) and (
                message_id or any(button["callback_data"] == data for row in shown.buttons for button in row)
            ):
                return shown
        raise LookupError(f"no message in chat {chat_id} has a button {data!r}")

    # What tests read.

    def sent(self, chat_id: int) -> list[Shown]:
        """The bot's messages in a chat as they look now, oldest first."""
        return self.chats.shown(chat_id)

    async def until(self, condition: Callable[[], Any], limit_s: float = 10) -> None:
        """Wait until something holds, looked at after every request; raises TimeoutError."""
        async with asyncio.timeout(limit_s):
            while not condition():
                await self._happened.wait()

    # The server.

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        token = request.match_info["token"]
        fields = await read_fields(request)
        chat_id = number(fields, "chat_id")
        fault = self.faults.meets(method, chat_id)
        if fault is not None and fault.kind == "delay":
            await asyncio.sleep(fault.seconds)
            fault = None
        if fault is not None and fault.kind in ("hang", "reset"):
            self._note(method, fields, 0, happened=False)
            if fault.kind == "hang":
                await self.faults.until_lifted()
            return cut(request)
        if fault is not None and (wrong := wrong_answer(fault, method, self.updates.pending)) is not None:
            self._note(method, fields, wrong.status, happened=False)
            return wrong
        try:
            self._authorise(token)
            result = await self._perform(method, fields)
        except RefusedByTelegram as refusal:
            self._note(method, fields, refusal.code, happened=False)
            return refusal_answer(refusal)
        message_id = result.get("message_id", 0) if isinstance(result, dict) else 0
        if fault is not None and fault.kind == "lost":
            self._note(method, fields, 0, happened=True, message_id=message_id)
            await self.faults.until_lifted()
            return cut(request)
        if method != "getUpdates" or result:
            self._note(method, fields, 200, happened=True, message_id=message_id)
        return web.json_response({"ok": True, "result": result})

    def _authorise(self, token: str) -> None:
        if not _WELL_FORMED.fullmatch(token):
            raise RefusedByTelegram(404, "Not Found")
        if token != self.token:
            raise RefusedByTelegram(401, "Unauthorized")

    async def _perform(self, method: str, fields: Fields) -> Any:
        match method:
            case "getMe":
                return _me()
            case "getChat":
                return self._get_chat(fields)
            case "getUpdates":
                return await self._get_updates(fields)
            case "sendMessage" | "sendPhoto":
                return self._send(method, fields)
            case "editMessageText":
                return self._edit(fields)
            case "answerCallbackQuery":
                return self._answer(fields)
            case "setMyCommands":
                return self._set_commands(fields)
            case "deleteWebhook":
                return True
        raise RefusedByTelegram(404, "Not Found: method not found")

    def _get_chat(self, fields: Fields) -> Fields:
        chat = self.chats.known(number(fields, "chat_id"))
        gifts = dict.fromkeys(
            (
                "unlimited_gifts",
                "limited_gifts",
                "unique_gifts",
                "premium_subscription",
                "gifts_from_channels",
            ),
            False,
        )
        return {**chat.json(), "accent_color_id": 0, "max_reaction_count": 11, "accepted_gift_types": gifts}

    async def _get_updates(self, fields: Fields) -> list[Update]:
        kinds = fields.get("allowed_updates")
        try:
            return await self.updates.take(
                number(fields, "offset"),
                min(number(fields, "limit") or 100, 100),
                min(float(fields.get("timeout") or 0), 50),
                tuple(kinds) if kinds is not None else None,
            )
        except Superseded:
            raise RefusedByTelegram(
                409,
                "Conflict: terminated by other getUpdates request; "
                "make sure that only one bot instance is running",
            ) from None

    def _send(self, method: str, fields: Fields) -> Fields:
        chat = self.chats.writable(number(fields, "chat_id"))
        picture, mode = b"", str(fields.get("parse_mode") or "")
        if method == "sendPhoto":
            picture = picture_of(fields)
            text = shown_text(str(fields.get("caption") or ""), mode, MAX_CAPTION)
        else:
            text = shown_text(str(fields.get("text") or ""), mode, MAX_TEXT)
        buttons = checked_buttons(fields.get("reply_markup"))
        answers = fields.get("reply_parameters") or {}
        if (
            answers
            and answers.get("message_id") not in chat.shown
            and not answers.get("allow_sending_without_reply")
        ):
            raise bad_request("message to be replied not found")
        self._admit(chat.chat_id)
        silent = str(fields.get("disable_notification", "")).lower() == "true"
        shown = Shown(chat.chat_id, 0, text, buttons, self._now_s(), silent, picture)
        shown.link_preview = fields.get("link_preview_options") or {}
        return self._message_json(self.chats.post(shown))

    def _edit(self, fields: Fields) -> Fields:
        chat_id = number(fields, "chat_id")
        text = shown_text(str(fields.get("text") or ""), str(fields.get("parse_mode") or ""), MAX_TEXT)
        buttons = checked_buttons(fields.get("reply_markup"))
        self.chats.writable(chat_id)
        self._admit(chat_id)
        shown = self.chats.edit(chat_id, number(fields, "message_id"), text, buttons)
        shown.link_preview = fields.get("link_preview_options") or {}
        return self._message_json(shown)

    def _answer(self, fields: Fields) -> bool:
        query = str(fields.get("callback_query_id") or "")
        asked = self._queries.get(query)
        if asked is None or self.clock.mono_ns() - asked > _QUERY_LIFE_NS:
            raise bad_request("query is too old and response timeout expired or query ID is invalid")
        self.answered[query] = str(fields.get("text") or "")
        return True

    def _set_commands(self, fields: Fields) -> bool:
        self.commands = checked_commands(fields.get("commands"))
        return True

    def _admit(self, chat_id: int) -> None:
        if wait := self._flood.admit(chat_id, self.clock.mono_ns()):
            raise RefusedByTelegram(429, f"Too Many Requests: retry after {wait}", wait)

    def _message_json(self, shown: Shown) -> Fields:
        made: Fields = {
            "message_id": shown.message_id,
            "date": shown.at_s,
            "chat": self.chats.known(shown.chat_id).json(),
            "from": dict(_BOT),
        }
        if shown.edited:
            made["edit_date"] = self._now_s()
        if shown.picture:
            made["caption"] = shown.text
            made["photo"] = [{"file_id": "p", "file_unique_id": "p", "width": 1, "height": 1}]
        else:
            made["text"] = shown.text
        if shown.link_preview:
            made["link_preview_options"] = shown.link_preview
        if shown.buttons:
            made["reply_markup"] = {"inline_keyboard": shown.buttons}
        return made

    def _note(self, method: str, fields: Fields, code: int, *, happened: bool, message_id: int = 0) -> None:
        text = str(fields.get("text") or fields.get("caption") or "")
        self.requests.append(
            Request(self.clock.mono_ns(), method, number(fields, "chat_id"), code, happened, text, message_id)
        )
        self._happened.set()
        self._happened = asyncio.Event()

    def _now_s(self) -> int:
        return self.clock.wall_ns() // SECOND


def _me() -> Fields:
    """The bot as only getMe describes it."""
    no = ("can_read_all_group_messages", "supports_inline_queries", "can_connect_to_business")
    return {**_BOT, "can_join_groups": True, **dict.fromkeys(no, False)}
