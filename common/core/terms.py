"""The terms of a window that never change once they are known, and which of them did.

Grid, acceptance, fee and taker delay may change at any time and are read anew. What a window settles on and
when, and what its tokens are, may not: a window that changes one of these is another bet than was first read.
"""

from collections.abc import Mapping

import msgspec

from common.messages import MarketState

_TERMS: Mapping[str, str] = {
    "condition_id": "condition id",
    "version": "protocol version",
    "rule": "settlement rule",
    "lookback_s": "look-back in seconds",
    "start_ns": "opening instant",
    "end_ns": "closing instant",
    "token_up": "token of Up",
    "token_down": "token of Down",
}
_NOT_TOLD = ("", "unknown", 0)
"""A term a reading did not give; such a reading is refused for that alone, and changes nothing."""


def first_terms(first: MarketState | None, now: MarketState) -> MarketState:
    """The market with each of its lasting terms as it was first known."""
    if first is None:
        return now
    learnt = {name: getattr(now, name) for name in _TERMS if getattr(first, name) in _NOT_TOLD}
    return msgspec.structs.replace(first, **learnt)


def changed_terms(first: MarketState, now: MarketState) -> list[str]:
    """Which lasting terms are others now than at first, each as a refusal in words; empty when none is.

    Up and Down may change places in the venue's lists, as long as each keeps its token.
    """
    return [
        f"the {words} changed from {_shown(before)} to {_shown(after)}"
        for name, words in _TERMS.items()
        if (before := getattr(first, name)) not in _NOT_TOLD
        and (after := getattr(now, name)) not in _NOT_TOLD
        and after != before
    ]


def _shown(value: object) -> str:
    text = str(value)
    return text if len(text) <= 20 else f"{text[:10]}...{text[-6:]}"
