"""Telegram's flood control as the double has it: who may send now, and how long to wait otherwise.

About one message a second to a private chat with a small burst, 20 a minute to a group, 30 a second over all.
https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this
"""

import math
from collections import deque
from dataclasses import dataclass, field

from common.units import SECOND


@dataclass(frozen=True, slots=True)
class FloodLimits:
    """What is allowed: so many messages within so much time."""

    private: int = 3
    private_span_ns: int = 3 * SECOND
    group: int = 20
    group_span_ns: int = 60 * SECOND
    overall: int = 30
    overall_span_ns: int = SECOND


@dataclass(slots=True)
class Flood:
    """What was sent lately, and which chats must wait."""

    limits: FloodLimits = field(default_factory=FloodLimits)
    _sent: dict[int, deque[int]] = field(default_factory=dict)
    _overall: deque[int] = field(default_factory=deque)
    _barred_until: dict[int, int] = field(default_factory=dict)

    def admit(self, chat_id: int, mono_ns: int) -> int:
        """Count one message; returns 0, or the whole seconds this chat must wait, and counts nothing."""
        limits = self.limits
        barred = self._barred_until.get(chat_id, 0)
        if mono_ns < barred:
            return math.ceil((barred - mono_ns) / SECOND)
        number, span = (
            (limits.group, limits.group_span_ns) if chat_id < 0 else (limits.private, limits.private_span_ns)
        )
        own = self._sent.setdefault(chat_id, deque())
        wait = max(
            _wait(own, number, span, mono_ns),
            _wait(self._overall, limits.overall, limits.overall_span_ns, mono_ns),
        )
        if wait:
            seconds = math.ceil(wait / SECOND)
            self._barred_until[chat_id] = mono_ns + seconds * SECOND
            return seconds
        own.append(mono_ns)
        self._overall.append(mono_ns)
        return 0


def _wait(sent: deque[int], number: int, span_ns: int, mono_ns: int) -> int:
    """Until one more fits into the span."""
    while sent and mono_ns - sent[0] >= span_ns:
        sent.popleft()
    return sent[0] + span_ns - mono_ns if len(sent) >= number else 0
