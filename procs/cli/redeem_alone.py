"""``laggard redeem`` while no redeemer runs: the same desk in this very process, under the same lock.

A plan reads no key. Where another ``laggard redeem`` is at work, this one reports what that does.
"""

import asyncio
import time

from common.errors import CallRefused, ConfigError, DependencyMissing, LaggardError
from common.messages import Alert, PositionState, RedemptionPlan, RedemptionState
from common.runtime.clock import SystemClock
from common.runtime.config import Config
from common.runtime.paths import Paths, prepare
from common.runtime.trading_key import close_doors
from common.store.journal_read import read_journal
from common.store.redemption_journal import read_redemptions
from procs.cli.redeem_running import Follower
from procs.cli.show import progress
from procs.owner_account import open_owner, read_owner

TURN_S = 0.5


def plan(config: Config, paths: Paths, conditions: tuple[str, ...]) -> RedemptionPlan:
    """What would be done, by the chain alone; raises LaggardError for a name that is none."""
    from common.venue.redeeming.opening import route_name

    wallet = config.wallet.address
    if not wallet:
        raise ConfigError(["wallet.address is not configured: a plan reads no key that would tell it"])
    blocked, route = "", ""
    try:
        route = route_name(config, paths)
    except ConfigError as error:
        blocked = str(error)
    return asyncio.run(_plan(config, paths, wallet, conditions, route, blocked))


async def _plan(
    config: Config, paths: Paths, wallet: str, conditions: tuple[str, ...], route: str, blocked: str
) -> RedemptionPlan:
    from common.venue.redeeming.candidates import due_of, named
    from common.venue.redeeming.hints import redeemable
    from common.venue.redeeming.opening import open_readers
    from common.venue.redeeming.planning import plan_redemption

    readers = open_readers(config, wallet.lower(), SystemClock())
    try:
        hints = await redeemable(config.venue.data_url, wallet)
    except DependencyMissing as error:
        progress(f"only our own positions are known: {error}")
        hints = ()
    due = due_of(_positions(config, paths), hints, time.time_ns())
    try:
        asked = named(conditions, due)
    except CallRefused as error:
        raise LaggardError(error.text) from None
    return await plan_redemption(config, readers, due, asked, hints, route=route, blocked=blocked)


def redeem(
    config: Config, paths: Paths, names: tuple[str, ...], *, losers: bool
) -> tuple[RedemptionState, ...]:
    """Redeem with the owner's key, or report what another one does who has the lock; raises ConfigError."""
    close_doors()
    prepare(paths)
    follower = Follower(names, time.time_ns())
    account = read_owner(config, paths)
    alerts: list[Alert] = []
    try:
        desk = open_owner(config, paths, account, SystemClock(), alerts.append)
    except DependencyMissing as error:
        progress(f"{error}; this only reports what that one does")
        return _watch(paths, follower)
    desk.ask(names, "cli", losers=losers)

    async def work() -> dict[str, RedemptionState]:
        from common.venue.redeeming.candidates import due_of
        from common.venue.redeeming.report import redemptions

        due = tuple(
            each
            for each in due_of(_positions(config, paths), (), time.time_ns())
            if each.condition_id in names
        )
        while True:
            await desk.turn(due)
            newest = follower.take(tuple(state for _, state in redemptions(desk)))
            if follower.is_over(newest):
                return newest
            await asyncio.sleep(TURN_S)

    try:
        return tuple(asyncio.run(work()).values())
    except KeyboardInterrupt:
        progress("what was sent may still happen; laggard redeem looks at it first when it runs again")
        raise
    finally:
        desk.journal.close()


def status(paths: Paths) -> tuple[RedemptionState, ...]:
    """What the journal says, while nobody works on it."""
    from common.venue.redeeming.report import written

    attempts, elsewhere = read_redemptions(paths.redemptions_file)
    return tuple(state for _, state in written(attempts, elsewhere))


def _watch(paths: Paths, follower: Follower) -> tuple[RedemptionState, ...]:
    while True:
        newest = follower.take(status(paths))
        if follower.is_over(newest):
            return tuple(newest.values())
        time.sleep(TURN_S)


def _positions(config: Config, paths: Paths) -> tuple[PositionState, ...]:
    found = read_journal(paths.journal_file(config.mode))
    return () if found is None else tuple(found.books.positions.values())
