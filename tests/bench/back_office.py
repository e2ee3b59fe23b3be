"""The simulated venue behind the world: listings, terms, account, chain and user channel; nothing timed.

Run as ``python -m bench.back_office PLAN PORT``; ends with its stdin.
"""

import asyncio
import sys
import time

from bench.ours import KEY
from bench.plan import A_WINDOW_S, ASSETS, LABEL, Plan, read_plan

from common.runtime.credentials import Secret
from common.sim.naming import resolution_source
from common.sim.script import BookSet, Listed, MarketSpec, Script
from common.sim.server import Venue
from common.sim.settings import SimAccount, SimSettings
from common.venue.signing.order_signature import Signer

SECOND = 1_000_000_000
BIDS, ASKS = (("0.49", "100"),), (("0.51", "100"),)


async def serve(plan: Plan, port: int) -> None:
    """Serve until stdin ends."""
    account = SimAccount(signer=Signer(Secret(KEY)).address, kind="eoa", usd6=100_000_000_000)
    settings = SimSettings(listen=f"127.0.0.1:{port}", accounts=(account,), twap_lookback_s=None)
    venue = Venue(settings, Script("the bench", LABEL, A_WINDOW_S, ASSETS, iter(()), None))
    await venue.open()
    for window in plan.windows:
        spec = MarketSpec(
            slug=window.slug,
            asset=window.asset,
            condition_id=window.condition_id,
            token_up=window.token_up,
            token_down=window.token_down,
            start_ns=window.start_s * SECOND,
            end_ns=window.end_s * SECOND,
            listed_ns=(window.start_s - 3600) * SECOND,
            resolution_source=resolution_source(window.asset, None),
        )
        books = [BookSet(token, BIDS, ASKS) for token in (spec.token_up, spec.token_down)]
        venue.happen([Listed(spec), *books], time.time_ns())
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    try:
        await asyncio.to_thread(sys.stdin.read)
    finally:
        await venue.close()


if __name__ == "__main__":
    asyncio.run(serve(read_plan(sys.argv[1]), int(sys.argv[2])))
