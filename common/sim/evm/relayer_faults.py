"""How the relayer misbehaves on request, as data. Applies nothing itself.

A fault hits ``times`` requests (0: until replaced); ``path`` narrows it to paths that begin with it.
"""

from typing import Literal

import msgspec

Course = Literal[
    "held", "unmined", "failed", "invalid", "mined_then_failed", "confirmed_without_hash", "blind"
]


class _Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    times: int = 1

    def __post_init__(self) -> None:
        if self.times < 0:
            raise ValueError("times must not be negative")


class Refuse(_Fault, frozen=True, kw_only=True, tag="refuse"):
    """This is answered and nothing done; ``body`` is the text of a JSON error, or a page as it is."""

    status: int
    text: str
    path: str = "/submit"
    page: bool = False


class LoseAnswer(_Fault, frozen=True, kw_only=True, tag="lose_answer"):
    """The connection ends without an answer: after all was done, or (``done`` false) before anything was."""

    done: bool = True
    path: str = "/submit"


class LateAnswer(_Fault, frozen=True, kw_only=True, tag="late_answer"):
    """All is done at once and the answer comes this much later."""

    delay_ms: int
    path: str = "/submit"


class StaleNonce(_Fault, frozen=True, kw_only=True, tag="stale_nonce"):
    """The nonce told is behind the chain's by so many."""

    by: int = 1


class Life(_Fault, frozen=True, kw_only=True, tag="life"):
    """What becomes of an action that is taken in.

    ``held``: nothing until released; ``unmined``: told as executed with a hash the chain never sees;
    ``failed`` and ``invalid``: never executed, told with ``text``; ``mined_then_failed``: told as mined, then
    as failed with ``text``, and on the chain only if ``on_chain``; ``confirmed_without_hash``: executed, and
    the hash is never told; ``blind``: sent without being tried first, so it may be mined without effect.
    """

    course: Course
    text: str = "execution failed"
    on_chain: bool = True


RelayerFault = Refuse | LoseAnswer | LateAnswer | StaleNonce | Life

UNAUTHORISED = Refuse(status=401, text="invalid authorization")
BUSY = Refuse(status=400, text="wallet busy: the wallet already has an active action")
IN_FLIGHT = Refuse(status=400, text="wallet has in-flight action")
BAD_GATEWAY = Refuse(status=502, text="<html><body>502 Bad Gateway</body></html>", page=True)
PRECHECK = Life(course="failed", text="PRECHECK_SKIPPED: redeem skipped: zero position balance")


def quota(seconds: int) -> Refuse:
    """The refusal of a customer who has used up the allowance."""
    return Refuse(status=429, text=f"quota exceeded: 0 units remaining, resets in {seconds} seconds")


class RelayerControl(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of ``POST /control``; what is left out stays as it is."""

    faults: tuple[RelayerFault, ...] | None = None
    release: bool = False
    """Execute what was held back."""
    allow: tuple[str, ...] = ()
    """Further contracts that may be called."""
