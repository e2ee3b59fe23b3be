"""Which letter goes out next, and when: lanes by urgency, each chat at its own pace, Telegram's limits kept.

Owns the order and the limits. Sends nothing, reads no clock: instants are of the monotonic clock.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from common.core.remote.letters import LANES, Lane
from common.units import SECOND

MUTABLE: tuple[Lane, ...] = ("trade", "info", "digest")
"""What may be muted: never what is urgent, nor the answer to what was asked."""
_RANK: dict[Lane, int] = {lane: rank for rank, lane in enumerate(LANES)}


@dataclass(frozen=True, slots=True)
class Limits:
    """What Telegram allows.

    https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this
    """

    chat_gap_ns: int = SECOND
    """Between two messages to one chat."""
    group: int = 20
    group_span_ns: int = 60 * SECOND
    overall: int = 30
    overall_span_ns: int = SECOND


_GROUP_SHARE: dict[Lane, int] = {"critical": 100, "reply": 90, "trade": 75, "info": 60, "digest": 60}
"""Percent of a group's minute that a lane may fill: what is left is for the more urgent ones at once."""
_OVERALL_SHARE: dict[Lane, int] = {"critical": 100, "reply": 90, "trade": 80, "info": 80, "digest": 80}


class Waiting(NamedTuple):
    """A letter that wants to go out."""

    number: int
    """In the order in which letters came."""
    lane: Lane
    chat_id: int


class Sent(NamedTuple):
    """A request that has ended, with an answer or without one."""

    chat_id: int
    ended_ns: int


@dataclass(frozen=True, slots=True)
class History:
    """What went out lately, what is on its way, and which chats have to wait."""

    sent: tuple[Sent, ...] = ()
    """Oldest first. Counted from the end of a request: Telegram has seen it by then, so its own gaps between
    two of them are never shorter than ours."""
    busy: frozenset[int] = frozenset()
    """Chats with a request on its way; one at a time keeps their order."""
    held_until: Mapping[int, int] = field(default_factory=dict)


def started(history: History, chat_id: int) -> History:
    """A request to this chat is on its way."""
    return replace(history, busy=history.busy | {chat_id})


def ended(history: History, chat_id: int, now_ns: int, limits: Limits) -> History:
    """A request has ended, however it went: it may have counted."""
    oldest = now_ns - max(limits.group_span_ns, limits.overall_span_ns)
    kept = tuple(each for each in history.sent if each.ended_ns > oldest)
    return replace(history, sent=(*kept, Sent(chat_id, now_ns)), busy=history.busy - {chat_id})


def held(history: History, chat_id: int, until_ns: int) -> History:
    """Nothing to this chat before then; a shorter wait never shortens a longer one."""
    longest = max(until_ns, history.held_until.get(chat_id, until_ns))
    return replace(history, held_until={**history.held_until, chat_id: longest})


def next_letter(
    waiting: Sequence[Waiting], history: History, now_ns: int, limits: Limits
) -> Waiting | int | None:
    """The letter to send now, the instant at which one may go, or None: only an ending or a new one helps."""
    chosen: Waiting | None = None
    soonest: int | None = None
    for letter in _first_of_each_chat(waiting):
        if letter.chat_id in history.busy:
            continue
        ready_ns = _ready_ns(letter, history, now_ns, limits)
        if ready_ns is None:
            continue
        if ready_ns > now_ns:
            soonest = ready_ns if soonest is None else min(soonest, ready_ns)
        elif chosen is None or _urgency(letter) < _urgency(chosen):
            chosen = letter
    return soonest if chosen is None else chosen


def is_muted(lane: Lane, muted_until_ns: Mapping[Lane, int], wall_ns: int) -> bool:
    """Whether a lane is muted; on the wall clock, because people mute until a time of day."""
    return lane in MUTABLE and wall_ns < muted_until_ns.get(lane, 0)


def _urgency(letter: Waiting) -> tuple[int, int]:
    return _RANK[letter.lane], letter.number


def _first_of_each_chat(waiting: Iterable[Waiting]) -> Iterable[Waiting]:
    first: dict[int, Waiting] = {}
    for letter in waiting:
        known = first.get(letter.chat_id)
        if known is None or _urgency(letter) < _urgency(known):
            first[letter.chat_id] = letter
    return first.values()


def _ready_ns(letter: Waiting, history: History, now_ns: int, limits: Limits) -> int | None:
    """When this letter may go at the earliest; None while requests on their way fill what is allowed."""
    ready_ns = history.held_until.get(letter.chat_id, now_ns)
    own = [each.ended_ns for each in history.sent if each.chat_id == letter.chat_id]
    if own:
        ready_ns = max(ready_ns, own[-1] + limits.chat_gap_ns)
    if letter.chat_id < 0:
        most = max(1, limits.group * _GROUP_SHARE[letter.lane] // 100)
        if len(own) >= most:
            ready_ns = max(ready_ns, own[-most] + limits.group_span_ns)
    most = max(1, limits.overall * _OVERALL_SHARE[letter.lane] // 100) - len(history.busy)
    if most <= 0:
        return None
    if len(history.sent) >= most:
        ready_ns = max(ready_ns, history.sent[-most].ended_ns + limits.overall_span_ns)
    return ready_ns
