"""``GET /data/v2/positions``: what a wallet holds in resolved markets, some time behind the chain.

Losing outcomes are redeemable too. Sizes are JSON doubles, dust is hidden unless asked for.
"""

import base64
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from aiohttp import web

from common.sim.market.clob_dialect import compact
from common.sim.market.data_dialect import position
from common.sim.trading.chain import Chain
from common.sim.trading.exchange import Exchange
from common.sim.world import World

STATUSES = ("REDEEMABLE", "REDEEMABLE_LOST")
_DUST6 = 100_000
_USUAL, _MOST = 100, 1_000


class PositionRest:
    """The handler of the one path."""

    def __init__(
        self,
        exchange: Exchange,
        world: World,
        chain: Chain,
        late_ns: int,
        now_ns: Callable[[], int],
    ) -> None:
        self._exchange = exchange
        self._world = world
        self._chain = chain
        self._late_ns = late_ns
        self._now_ns = now_ns

    def routes(self) -> list[web.RouteDef]:
        """The one path."""
        return [web.get("/data/v2/positions", self._positions)]

    async def _positions(self, request: web.Request) -> web.Response:
        query = request.query
        status = query.get("status", "")
        if not query.get("user") or status not in STATUSES:
            return _json({"error": f"this simulation knows user with status {' or '.join(STATUSES)}"}, 400)
        try:
            limit = min(max(int(query.get("limit", _USUAL)), 1), _MOST)
            start = _offset(query.get("cursor", ""))
            least6 = _least6(query)
        except ValueError as error:
            return _json({"error": str(error)}, 400)
        rows = list(self._rows(query["user"].lower(), least6, lost=status == "REDEEMABLE_LOST"))
        after = start + limit
        cursor = base64.b64encode(str(after).encode()).decode() if after < len(rows) else None
        return _json(
            {"data": rows[start:after], "pagination": {"has_more": cursor is not None, "next_cursor": cursor}}
        )

    def _rows(self, wallet: str, least6: int, *, lost: bool) -> Iterator[dict[str, Any]]:
        self._chain.advance()
        known_ns = self._now_ns() - self._late_ns
        block = self._chain.blocks.number_at(known_ns)
        for market in self._world.markets.values():
            if market.outcome is None or market.resolved_ns is None or market.resolved_ns > known_ns:
                continue
            for outcome, token in enumerate(market.tokens):
                size6 = self._chain.balance(wallet, token, block)
                if size6 and size6 >= least6 and not (lost and market.outcome == ("Up", "Down")[outcome]):
                    yield position(market, wallet, outcome, size6)


def _least6(query: Mapping[str, str]) -> int:
    if query.get("filter_type", "TOKENS") != "TOKENS":
        raise ValueError("this simulation knows filter_type TOKENS only")
    amount = query.get("filter_amount")
    return _DUST6 if amount is None else round(float(amount) * 1_000_000)


def _offset(cursor: str) -> int:
    return int(base64.b64decode(cursor, validate=True)) if cursor else 0


def _json(body: Any, status: int = 200) -> web.Response:
    return web.Response(text=compact(body), status=status, content_type="application/json")
