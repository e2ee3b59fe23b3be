"""What Telegram refuses of a message or a menu, in its own words: length, entities, buttons, commands."""

import re
from typing import Any

MAX_TEXT = 4096
MAX_CAPTION = 1024
MAX_DATA = 64
MAX_COMMAND = 32
MAX_DESCRIPTION = 256

_TAG = re.compile(r"<(/?)([a-zA-Z-]+)((?:\s[^<>]*)?)>")
_KNOWN = {
    "b", "strong", "i", "em", "u", "ins", "s", "strike", "del", "span", "tg-spoiler", "a", "code", "pre",
    "blockquote", "tg-emoji",
}  # fmt: skip
_COMMAND = re.compile(r"[a-z0-9_]+")
_ENTITY = {"&lt;": "<", "&gt;": ">", "&amp;": "&", "&quot;": '"'}


class RefusedByTelegram(Exception):
    """An answer with an error: code and description as the Bot API words them."""

    def __init__(self, code: int, description: str, retry_after: int = 0) -> None:
        super().__init__(f"{code} {description}")
        self.code = code
        self.description = description
        self.retry_after = retry_after


def bad_request(description: str) -> RefusedByTelegram:
    """A request that can never work."""
    return RefusedByTelegram(400, f"Bad Request: {description}")


def shown_text(text: str, parse_mode: str, most: int) -> str:
    """The text as a person sees it; raises RefusedByTelegram when it is empty, too long or badly marked up.

    Length counts UTF-16 units, as Telegram's entities do: the strictest reading of its limit.
    """
    if parse_mode.lower() == "html":
        text = _plain(text)
    elif parse_mode:
        raise bad_request("unsupported parse_mode")
    text = text.strip()
    if not text and most == MAX_TEXT:
        raise bad_request("message text is empty")
    if len(text.encode("utf-16-le")) // 2 > most:
        raise bad_request("message is too long" if most == MAX_TEXT else "message caption is too long")
    return text


def checked_buttons(markup: Any) -> list[list[dict[str, str]]]:
    """The rows of an inline keyboard; raises RefusedByTelegram."""
    if not markup:
        return []
    rows = markup.get("inline_keyboard") if isinstance(markup, dict) else None
    if not isinstance(rows, list):
        raise bad_request("object expected as reply markup")
    for button in (button for row in rows for button in row):
        if "text" not in button:
            raise bad_request("can't parse inline keyboard button: Can't find field \"text\"")
        if not button.get("callback_data"):
            raise bad_request(
                "can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard"
            )
        if len(button["callback_data"].encode()) > MAX_DATA:
            raise bad_request("BUTTON_DATA_INVALID")
    return [[dict(button) for button in row] for row in rows]


def checked_commands(commands: Any) -> list[dict[str, str]]:
    """The menu of commands; raises RefusedByTelegram."""
    if not isinstance(commands, list):
        raise bad_request("can't parse commands JSON object")
    for each in commands:
        name, description = each.get("command", ""), each.get("description", "")
        if not name:
            raise bad_request("command must be non-empty")
        if len(name) > MAX_COMMAND:
            raise bad_request(f"command length must not exceed {MAX_COMMAND}")
        if not description:
            raise bad_request("command description must be non-empty")
        if len(description) > MAX_DESCRIPTION:
            raise bad_request(f"command description length must not exceed {MAX_DESCRIPTION}")
        if not _COMMAND.fullmatch(name):
            raise bad_request("BOT_COMMAND_INVALID")
    return [dict(each) for each in commands]


def _plain(text: str) -> str:
    shown: list[str] = []
    opened: list[str] = []
    place = 0
    while place < len(text):
        offset = len(text[:place].encode())
        character = text[place]
        if character == "<":
            tag = _TAG.match(text, place)
            if tag is None:
                found = re.match(r"</?([^\s<>]*)", text[place:])
                raise _unsupported(found[1] if found else "", offset)
            closing, name_of = tag[1], tag[2].lower()
            if not closing and name_of not in _KNOWN:
                raise _unsupported(name_of, offset)
            if not closing:
                opened.append(name_of)
            elif not opened:
                raise bad_request(f"can't parse entities: Unexpected end tag at byte offset {offset}")
            elif (expected := opened.pop()) != name_of:
                raise bad_request(
                    f"can't parse entities: Unmatched end tag at byte offset {offset}, "
                    f'expected "</{expected}>", found "</{name_of}>"'
                )
            place = tag.end()
        elif character == "&" and (entity := re.match(r"&[a-z]+;", text[place:])) and entity[0] in _ENTITY:
            shown.append(_ENTITY[entity[0]])
            place += len(entity[0])
        else:
            shown.append(character)
            place += 1
    if opened:
        raise bad_request(
            f"can't parse entities: Can't find end tag corresponding to start tag \"{opened[-1]}\""
        )
    return "".join(shown)


def _unsupported(tag: str, offset: int) -> RefusedByTelegram:
    return bad_request(f'can\'t parse entities: Unsupported start tag "{tag}" at byte offset {offset}')
