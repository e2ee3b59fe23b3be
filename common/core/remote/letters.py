"""What is to be said to people: one letter, with its lane and its buttons. Knows no transport and no time."""

from typing import Literal

import msgspec

Lane = Literal["critical", "reply", "trade", "info", "digest"]
"""How urgent a letter is; the order of ``LANES``."""
LANES: tuple[Lane, ...] = ("critical", "reply", "trade", "info", "digest")

MAX_TEXT = 4096
"""Characters of one message. https://core.telegram.org/bots/api#sendmessage"""
MAX_CAPTION = 1024
MAX_BUTTON_DATA = 64
"""Bytes a button can carry back."""


class Button(msgspec.Struct, frozen=True):
    """One inline button."""

    label: str
    data: str
    """What a press brings back: at most 64 bytes of UTF-8."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.data.encode()) <= MAX_BUTTON_DATA:
            raise ValueError(f"a button carries 1 to {MAX_BUTTON_DATA} bytes, not {len(self.data.encode())}")


class Letter(msgspec.Struct, frozen=True):
    """One message to one chat."""

    lane: Lane
    chat_id: int
    """Negative for a group."""
    text: str
    """Plain text; the caption where there is a picture."""
    key: str = ""
    """Letters of one key to one chat are one message: a later one edits it. Empty: a message of its own."""
    buttons: tuple[tuple[Button, ...], ...] = ()
    """Rows of buttons."""
    picture: bytes = b""
    """A PNG."""
    silent: bool = True
    """Whether the phone stays quiet."""


def cut(text: str, most: int) -> str:
    """As much of a text as fits, in UTF-16 units as Telegram counts; what was cut ends in an ellipsis."""
    raw = text.encode("utf-16-le")
    if len(raw) // 2 <= most:
        return text
    # Half of a pair at the cut is left out.
    return raw[: 2 * (most - 1)].decode("utf-16-le", errors="ignore") + "\N{HORIZONTAL ELLIPSIS}"


def is_card(letter: Letter) -> bool:
    """Whether letters of its key share one message. An edit makes no sound, so nothing critical does."""
    return bool(letter.key) and letter.lane != "critical" and not letter.picture


def merged(waiting: Letter, later: Letter) -> Letter:
    """One letter in place of two of a key: the later one, as urgent and as loud as either."""
    lane = min(waiting.lane, later.lane, key=LANES.index)
    return msgspec.structs.replace(later, lane=lane, silent=waiting.silent and later.silent)
