"""What the venue answers while it takes no orders at all, and the rate-limit headers of every order answer.

Source of the bodies: the venue's pages on its matching engine, error codes and rate limits.
"""

from typing import Any

from aiohttp import web

from common.sim.trading.trading_faults import VenueMode
from common.units import SECOND

_GEO = (
    "Trading restricted in your region, please refer to available regions - "
    "https://docs.polymarket.com/developers/CLOB/geoblock"
)
_BODIES: dict[str, tuple[int, str]] = {
    "restart": (425, "The matching engine is restarting"),
    "post_only": (503, "post-only mode: only post-only orders and cancels are allowed"),
    "disabled": (503, "Trading is currently disabled. Check polymarket.com for updates"),
    "cancel_only": (
        503,
        "Trading is currently cancel-only. New orders are not accepted, but cancels are allowed.",
    ),
    "rate_limited": (429, "Too Many Requests"),
    "geo": (403, _GEO),
}
_STOPS_CANCELS = ("restart", "disabled", "rate_limited")
_BURST = 60


def order_refusal(mode: VenueMode, signer: str, now_ns: int) -> web.Response:
    """The answer to an order of this signer in such a mode."""
    if mode.mode == "closed_only":
        return web.json_response({"error": f"'{signer}' address in closed only mode"}, status=400)
    status, text = _BODIES[mode.mode]
    body: dict[str, Any] = {"error": text}
    headers = {} if mode.retry_after_s is None else {"Retry-After": str(mode.retry_after_s)}
    if mode.mode == "post_only":
        body["code"] = "post_only_mode"
        if mode.retry_after_s is not None:
            body["retry_after_seconds"] = mode.retry_after_s
    if mode.mode == "rate_limited":
        headers |= rate_limit_headers(-2, now_ns // SECOND + (mode.retry_after_s or 1))
    return web.json_response(body, status=status, headers=headers)


def cancel_refusal(mode: VenueMode | None, signer: str, now_ns: int) -> web.Response | None:
    """The answer to a cancel in modes that stop cancels too."""
    if mode is None or mode.mode not in _STOPS_CANCELS:
        return None
    return order_refusal(mode, signer, now_ns)


def rate_limit_headers(remaining: int, reset_s: int) -> dict[str, str]:
    """What every answer to an order tells of the signer's bucket."""
    return {
        "Poly-RateLimit-Remaining": str(remaining),
        "Poly-RateLimit-Reset": str(reset_s),
        "Poly-RateLimit-Tier": "standard",
    }


class Buckets:
    """Tokens of each signer, as the standard tier refills them; told, not enforced."""

    def __init__(self) -> None:
        self._taken: dict[str, tuple[int, int]] = {}

    def headers(self, signer: str, now_ns: int) -> dict[str, str]:
        """The headers after one more order of this signer in this second."""
        second = now_ns // SECOND
        since, taken = self._taken.get(signer, (second, 0))
        taken = taken + 1 if since == second else 1
        self._taken[signer] = second, taken
        return rate_limit_headers(max(_BURST - taken, 0), second + 1)
