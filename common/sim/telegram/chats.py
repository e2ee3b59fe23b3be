"""Users, chats and what is shown in them: the double's memory of every message and of who may get one.

Owns the rules of who can be written to and which message can be edited. Knows no HTTP.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from common.sim.telegram.message_rules import RefusedByTelegram, bad_request

ChatState = Literal["open", "not started", "blocked", "kicked", "bot"]
_FORBIDDEN: dict[str, str] = {
    "not started": "bot can't initiate conversation with a user",
    "blocked": "bot was blocked by the user",
    "kicked": "bot was kicked from the supergroup chat",
    "bot": "bots can't send messages to bots",
}


@dataclass(slots=True)
class Shown:
    """A message as the people of a chat see it now."""

    chat_id: int
    message_id: int
    text: str
    buttons: list[list[dict[str, str]]]
    at_s: int
    silent: bool = False
    picture: bytes = b""
    edited: int = 0
    """How often."""
    by_bot: bool = True
    user_id: int = 0
    link_preview: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Chat:
    """One private chat or group."""

    chat_id: int
    name: str
    state: ChatState = "open"
    shown: dict[int, Shown] = field(default_factory=dict)

    def json(self) -> dict[str, Any]:
        """As every message names it."""
        if self.chat_id < 0:
            return {"id": self.chat_id, "type": "supergroup", "title": self.name}
        return {"id": self.chat_id, "type": "private", "first_name": self.name}


class Chats:
    """Every chat the bot knows."""

    def __init__(self) -> None:
        self._chats: dict[int, Chat] = {}
        self._names: dict[int, str] = {}
        self._next_message_id = 100

    def add_user(self, user_id: int, name: str, state: ChatState = "open") -> None:
        """Somebody, and the private chat with them."""
        self._names[user_id] = name
        self._chats[user_id] = Chat(user_id, name, state)

    def add_group(self, chat_id: int, title: str) -> None:
        """A group with the bot in it."""
        self._chats[chat_id] = Chat(chat_id, title)

    def set_state(self, chat_id: int, state: ChatState) -> None:
        """The user blocks the bot, a group throws it out, or either takes that back."""
        self._chats[chat_id].state = state

    def user_json(self, user_id: int) -> dict[str, Any]:
        """As every update names its sender."""
        return {"id": user_id, "is_bot": False, "first_name": self._names.get(user_id, f"user {user_id}")}

    def known(self, chat_id: int) -> Chat:
        """Raises RefusedByTelegram for a chat the bot never saw."""
        if chat_id == 0:
            raise bad_request("chat_id is empty")
        chat = self._chats.get(chat_id)
        if chat is None:
            raise bad_request("chat not found")
        return chat

    def writable(self, chat_id: int) -> Chat:
        """Raises RefusedByTelegram where nothing can be sent."""
        chat = self.known(chat_id)
        if chat.state != "open":
            raise RefusedByTelegram(403, f"Forbidden: {_FORBIDDEN[chat.state]}")
        return chat

    def post(self, message: Shown) -> Shown:
        """Show a new message; its number is given here."""
        message.message_id = self._next_message_id
        self._next_message_id += 1
        self._chats[message.chat_id].shown[message.message_id] = message
        return message

    def edit(self, chat_id: int, message_id: int, text: str, buttons: list[list[dict[str, str]]]) -> Shown:
        """Change a message of the bot; raises RefusedByTelegram when it is gone, foreign or the same."""
        shown = self.writable(chat_id).shown.get(message_id)
        if shown is None:
            raise bad_request("message to edit not found")
        if not shown.by_bot:
            raise bad_request("message can't be edited")
        if shown.picture:
            raise bad_request("there is no text in the message to edit")
        if (shown.text, shown.buttons) == (text, buttons):
            raise bad_request(
                "message is not modified: specified new message content and reply markup are exactly "
                "the same as a current content and reply markup of the message"
            )
        shown.text, shown.buttons = text, buttons
        shown.edited += 1
        return shown

    def shown(self, chat_id: int) -> list[Shown]:
        """What the bot's messages in a chat look like now, oldest first."""
        return [message for message in self._chats[chat_id].shown.values() if message.by_bot]
