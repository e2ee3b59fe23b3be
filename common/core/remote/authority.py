"""Whose updates are obeyed, and how late they may be.

Pure: an update's facts, who is allowed, and the time. Strangers get silence; nothing here answers anybody.
"""

from collections.abc import Collection
from typing import Literal

import msgspec

Kind = Literal["message", "edited", "forwarded", "channel", "button", "other"]

STALE_S = 60
"""A message older than this adds no risk any more, and one that reduces risk waits for no confirmation."""


class Arrival(msgspec.Struct, frozen=True):
    """The facts of one update, as Telegram vouches for them."""

    update_id: int
    kind: Kind
    user_id: int = 0
    """Who did it; 0 where Telegram names nobody."""
    chat_id: int = 0
    private: bool = False
    """Whether the chat is that of one person with the bot."""
    text: str = ""
    """Of a message."""
    data: str = ""
    """What a pressed button carried."""
    query_id: str = ""
    """By which a press is answered."""
    sent_s: int = 0
    """When a message was sent, by Telegram's clock; a press has no such instant."""
    bot: bool = False
    """Whether another bot sent it, or somebody in the name of a chat."""


class Authority(msgspec.Struct, frozen=True):
    """Who may command, and where."""

    users: frozenset[int]
    chat_id: int = 0
    """The one group in which they may, besides each one's private chat; 0: none."""


class Judged(msgspec.Struct, frozen=True):
    """What to make of an update."""

    heard: bool
    reason: str = ""
    """Why it is not, in stable words for the log."""
    late: bool = False
    """It was sent too long ago, or at an instant that cannot be."""


def judge(arrival: Arrival, authority: Authority, now_s: float) -> Judged:
    """Whether to hear this update; ``now_s`` is our wall clock."""
    if arrival.kind not in ("message", "button"):
        return Judged(heard=False, reason=f"{arrival.kind} message" if arrival.kind != "other" else "other")
    if arrival.bot or arrival.user_id not in authority.users:
        return Judged(heard=False, reason="stranger")
    if not _in_place(arrival, authority):
        return Judged(heard=False, reason="foreign chat")
    if arrival.kind == "button":
        return Judged(heard=True)
    # An instant in the future says that one of the clocks is wrong, and then nobody knows how old it is.
    age_s = now_s - arrival.sent_s
    return Judged(heard=True, late=not -STALE_S <= age_s <= STALE_S)


def _in_place(arrival: Arrival, authority: Authority) -> bool:
    if arrival.private:
        return arrival.chat_id == arrival.user_id
    return arrival.chat_id == authority.chat_id != 0


def people(allowed_users: Collection[int], chat_id: int) -> Authority:
    """The authority that a configuration means: without names, the person whose private chat it is."""
    users = frozenset(allowed_users) or (frozenset((chat_id,)) if chat_id > 0 else frozenset[int]())
    return Authority(users, min(0, chat_id))


def chats(allowed_users: Collection[int], chat_id: int) -> tuple[int, ...]:
    """Where to write unasked."""
    return (chat_id,) if chat_id else tuple(allowed_users)
