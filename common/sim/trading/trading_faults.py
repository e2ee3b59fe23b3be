"""How the account and order side of the simulated venue misbehaves on request, as data.

The fault set and its file are those of the whole venue. Applies nothing itself.
"""

from typing import Literal

import msgspec

TradeStep = Literal["MINED", "RETRYING", "CONFIRMED", "FAILED"]


class _Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    pass


class _Counted(_Fault, frozen=True, kw_only=True):
    times: int = 0
    """How many orders it hits before it is used up; 0 is all."""


class OrderReply(_Counted, frozen=True, kw_only=True, tag="order_reply"):
    """An order is answered badly, whether or not it was carried out before.

    ``timeout`` never answers, ``reset`` ends the connection, ``http`` answers with ``status`` and ``body``,
    ``garbage`` answers 200 with ``body`` or half an answer. ``delayed`` and ``live`` tell that nothing has
    filled yet: ``after_ms`` later the order is matched if it is ``taken``, otherwise it ends or rests on.
    """

    form: Literal["timeout", "reset", "http", "garbage", "delayed", "live"]
    taken: bool = True
    status: int = 500
    body: str = ""
    retry_after_s: int | None = None
    after_ms: int = 0
    """How long the misbehaviour waits; for ``timeout`` when to give up the connection, 0 being never."""


class TradePath(_Counted, frozen=True, kw_only=True, tag="trade_path"):
    """The trades of an order do not go from mined to confirmed, or are told badly on the user channel."""

    statuses: tuple[TradeStep, ...] = ("MINED", "CONFIRMED")
    """What follows the match, ending in CONFIRMED or FAILED."""
    delays_ms: tuple[int, ...] = ()
    """The wait before each of them; those not given are the settings'."""
    lose: bool = False
    """The user channel tells nothing of the order and its trades."""
    double: bool = False
    """It tells everything twice."""
    reorder: bool = False
    """Each event is told after the one that follows it."""
    late_ms: int = 0
    """It tells everything this much later."""
    other_token: bool = False
    """The makers bought the market's other token."""
    dust6: int = 0
    """So many millionths of a share of the last fill are a trade of their own."""


class VenueMode(_Fault, frozen=True, kw_only=True, tag="venue_mode"):
    """The venue as a whole takes no orders."""

    mode: Literal["restart", "post_only", "disabled", "cancel_only", "closed_only", "rate_limited", "geo"]
    retry_after_s: int | None = None


class ChainFault(_Fault, frozen=True, kw_only=True, tag="chain"):
    """The chain's endpoint is down or another chain's, contracts are not there, or transactions go wrong."""

    chain_id: int | None = None
    down: bool = False
    code_missing: tuple[str, ...] = ()
    paused: bool = False
    """The adapter of the older ledger is paused by the venue."""
    approvals_missing: tuple[str, ...] = ()
    """Contracts the wallets have not let handle their outcome tokens."""
    stuck: bool = False
    """Transactions wait and no block takes them."""
    base_fee_wei: int | None = None
    coin_wei: int | None = None
    """What every sender has of the chain's coin."""
    loses_answers: bool = False
    """A transaction that is sent is taken, and the answer does not arrive."""
    forgets_sent: bool = False
    """A transaction that is sent is answered well and taken by nobody."""


class RelayerFault(_Fault, frozen=True, kw_only=True, tag="relayer"):
    """The relayer misbehaves.

    ``lost`` carries a submit out and ends the connection, ``quota`` and ``busy`` refuse it, ``stale`` tells
    a nonce that is used, ``never`` keeps every action new and ``failed`` makes each end without effect,
    ``hashless`` never tells a hash, ``down`` answers nothing but 503.
    """

    form: Literal["lost", "quota", "busy", "stale", "never", "failed", "hashless", "down"]


def check_trading(fault: OrderReply | TradePath) -> None:
    """Raise ValueError saying what is wrong with a well-formed fault."""
    if fault.times < 0:
        raise ValueError("times must not be negative")
    if isinstance(fault, OrderReply):
        if not 200 <= fault.status <= 599:
            raise ValueError("status must be an HTTP status, 200 to 599")
        if fault.after_ms < 0:
            raise ValueError("after_ms must not be negative")
        return
    if not fault.statuses or fault.statuses[-1] not in ("CONFIRMED", "FAILED"):
        raise ValueError("statuses must end in CONFIRMED or FAILED")
    if any(status in ("CONFIRMED", "FAILED") for status in fault.statuses[:-1]):
        raise ValueError("nothing may follow CONFIRMED or FAILED")
    if min(*fault.delays_ms, fault.late_ms, 0) < 0:
        raise ValueError("delays_ms and late_ms must not be negative")
    if not 0 <= fault.dust6 <= 10_000:
        raise ValueError("dust6 must be 0 to 10000")
