"""What the official client reads of a market before it signs: by token, its condition, grid and kind."""

from aiohttp import web

from common.sim.market.clob_dialect import number
from common.sim.world import Market, World


class MarketReads:
    """The handlers of reads by token."""

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[web.RouteDef]:
        """Every path."""
        return [
            web.get("/clob/markets-by-token/{token}", self._by_token),
            web.get("/clob/tick-size", self._tick_size),
            web.get("/clob/neg-risk", self._neg_risk),
        ]

    async def _by_token(self, request: web.Request) -> web.Response:
        market = self._world.by_token.get(request.match_info["token"])
        if market is None:
            return _unknown()
        return web.json_response(
            {
                "condition_id": market.spec.condition_id,
                "primary_token_id": market.spec.token_up,
                "secondary_token_id": market.spec.token_down,
            }
        )

    async def _tick_size(self, request: web.Request) -> web.Response:
        market = self._asked(request)
        return (
            _unknown()
            if market is None
            else web.json_response({"minimum_tick_size": number(market.tick_size)})
        )

    async def _neg_risk(self, request: web.Request) -> web.Response:
        return _unknown() if self._asked(request) is None else web.json_response({"neg_risk": False})

    def _asked(self, request: web.Request) -> Market | None:
        return self._world.by_token.get(request.query.get("token_id", ""))


def _unknown() -> web.Response:
    return web.json_response({"error": "market not found"}, status=404)
