"""Updates of the Bot API as they come, read into the facts that matter. Pure; never quotes a stranger.

Whatever is not a plain new message or a pressed button is told apart and nothing more.
"""

from typing import Any

import msgspec

from common.core.remote.authority import Arrival, Kind
from common.errors import FrameRefused


class _User(msgspec.Struct):
    id: int
    is_bot: bool = False


class _Chat(msgspec.Struct):
    id: int
    type: str = ""


class _Message(msgspec.Struct, rename={"sender": "from"}):
    chat: _Chat
    date: int
    message_id: int
    sender: _User | None = None
    text: str = ""
    sender_chat: Any = None
    via_bot: Any = None
    forward_origin: Any = None
    forward_date: Any = None
    forward_from: Any = None
    forward_from_chat: Any = None
    is_automatic_forward: bool = False
    edit_date: Any = None


class _Press(msgspec.Struct, rename={"sender": "from"}):
    id: str
    sender: _User
    message: _Message | None = None
    data: str = ""


class _Update(msgspec.Struct):
    update_id: int
    message: _Message | None = None
    edited_message: Any = None
    channel_post: Any = None
    edited_channel_post: Any = None
    callback_query: _Press | None = None


def update_id_of(raw: object) -> int | None:
    """The number of an update, also of one that cannot be read otherwise."""
    found = raw.get("update_id") if isinstance(raw, dict) else None
    return found if isinstance(found, int) and not isinstance(found, bool) and found >= 0 else None


def arrival_of(raw: object) -> Arrival:
    """The facts of one update; raises FrameRefused when it is not one."""
    try:
        update = msgspec.convert(raw, _Update)
    except msgspec.ValidationError as error:
        raise FrameRefused("malformed update", str(error)[:120]) from None
    if update.callback_query is not None:
        return _press(update.update_id, update.callback_query)
    if update.message is not None:
        return _message(update.update_id, update.message)
    if update.edited_message is not None:
        return Arrival(update.update_id, "edited")
    if update.channel_post is not None or update.edited_channel_post is not None:
        return Arrival(update.update_id, "channel")
    return Arrival(update.update_id, "other")


def _message(update_id: int, message: _Message) -> Arrival:
    sender = message.sender
    return Arrival(
        update_id,
        _kind(message),
        user_id=sender.id if sender is not None else 0,
        chat_id=message.chat.id,
        private=message.chat.type == "private",
        text=message.text,
        sent_s=message.date,
        # Whoever writes in the name of a chat, or through another bot, did not say it himself.
        bot=(sender is not None and sender.is_bot)
        or message.sender_chat is not None
        or message.via_bot is not None,
    )


def _kind(message: _Message) -> Kind:
    if message.edit_date is not None:
        return "edited"
    forwarded = (
        message.forward_origin,
        message.forward_date,
        message.forward_from,
        message.forward_from_chat,
    )
    if message.is_automatic_forward or any(mark is not None for mark in forwarded):
        return "forwarded"
    return "channel" if message.chat.type == "channel" else "message"


def _press(update_id: int, press: _Press) -> Arrival:
    message = press.message
    if message is None:
        # Of a message too old, or sent through another chat: no telling where it was pressed.
        return Arrival(update_id, "other", user_id=press.sender.id, query_id=press.id)
    return Arrival(
        update_id,
        "button",
        user_id=press.sender.id,
        chat_id=message.chat.id,
        private=message.chat.type == "private",
        data=press.data[:64],
        query_id=press.id,
        bot=press.sender.is_bot,
    )
