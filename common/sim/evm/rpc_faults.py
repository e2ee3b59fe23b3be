"""How a chain endpoint misbehaves on request, as data. Applies nothing itself.

A fault narrows to one ``method`` (empty: every one) and hits ``times`` requests (0: until replaced).
"""

from typing import Literal

import msgspec


class _Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    method: str = ""
    times: int = 0

    def __post_init__(self) -> None:
        if self.times < 0:
            raise ValueError("times must not be negative")


class LoseReply(_Fault, frozen=True, kw_only=True, tag="lose_reply"):
    """The reply is lost, after the node did what it was asked or (``forwarded`` false) before."""

    forwarded: bool = True
    form: Literal["cut", "silent"] = "cut"
    """``cut``: the connection ends; ``silent``: it stays open and nothing ever comes."""


class LateReply(_Fault, frozen=True, kw_only=True, tag="late_reply"):
    """The node is asked at once and its reply comes this much later."""

    delay_ms: int


class HttpAnswer(_Fault, frozen=True, kw_only=True, tag="http_answer"):
    """Something that is no JSON-RPC; the node is not asked."""

    status: int
    body: str = ""
    content_type: str = "text/plain"
    retry_after_s: int | None = None


class RpcFailure(_Fault, frozen=True, kw_only=True, tag="rpc_failure"):
    """A JSON-RPC error object; the node is asked only where ``forwarded``."""

    code: int = -32000
    message: str
    forwarded: bool = False


class Lag(_Fault, frozen=True, kw_only=True, tag="lag"):
    """The endpoint knows nothing of the newest blocks."""

    blocks: int


class WrongChain(_Fault, frozen=True, kw_only=True, tag="wrong_chain"):
    """``eth_chainId`` and ``net_version`` tell another chain."""

    chain_id: int = 1


class HoldSends(_Fault, frozen=True, kw_only=True, tag="hold_sends"):
    """A transaction is answered with its hash and kept back until released.

    ``known``: told as pending, so it looks stuck; otherwise nobody has heard of it, as after a drop.
    """

    known: bool = True


class NoFinalized(_Fault, frozen=True, kw_only=True, tag="no_finalized"):
    """The endpoint does not serve the ``finalized`` tag."""


RpcFault = LoseReply | LateReply | HttpAnswer | RpcFailure | Lag | WrongChain | HoldSends | NoFinalized

TOO_MANY = HttpAnswer(status=429, body='{"error":"rate limited"}', retry_after_s=1)
NO_BACKEND = HttpAnswer(status=503, body="no backend is available")
A_PAGE = HttpAnswer(status=200, body="<html><body>Just a moment</body></html>", content_type="text/html")


class PoolRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the chain's nodes ask of a transaction before it enters their pool; the test node asks nothing."""

    least_tip_wei: int = 25 * 10**9
    bump_percent: int = 10
    """Both fees of a replacement must be higher by this much."""


class RpcControl(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of ``POST /control``; what is left out stays as it is."""

    faults: tuple[RpcFault, ...] | None = None
    release: bool = False
    """Forward the transactions that were kept back."""
    drop: bool = False
    """Forget them."""
