"""``laggard redeem`` while no redeemer runs: the same desk in this very process, under the same lock.

A plan reads no key. Where another one is at work this waits for it, reports what it does, and goes on only
with what that one left.
"""

import asyncio
import getpass
import os
import time
from typing import TYPE_CHECKING

from common.errors import CallRefused, ConfigError, DependencyMissing, LaggardError
from common.messages import Alert, PositionState, RedemptionPlan, RedemptionState
from common.runtime.clock import SystemClock
from common.runtime.config import Config
from common.runtime.paths import Paths, prepare
from common.runtime.trading_key import SECRET_VARIABLES, close_doors, hand_over, handed_file, take_back
from common.store.database import WrittenByAnother
from common.store.journal_read import read_journal
from common.store.redemption_journal import read_redemptions
from procs.cli import redeem_running
from procs.cli.redeem_follow import Follower
from procs.cli.show import progress
from procs.owner_account import open_owner, read_owner

if TYPE_CHECKING:
    from common.venue.clob.order_request import Account
    from common.venue.redeeming.desk import RedemptionDesk

TURN_S = 0.5


def plan(config: Config, paths: Paths, conditions: tuple[str, ...], *, losers: bool) -> RedemptionPlan:
    """What would be done, by the chain alone.

    Raises LaggardError for a name that is none, ConfigError where no wallet is named, DependencyMissing.
    """
    _need_live()
    from common.venue.redeeming.opening import route_name

    if not config.wallet.address:
        raise ConfigError(["wallet.address is not configured: a plan reads no key that would tell it"])
    blocked, route = "", ""
    try:
        route = route_name(config, paths)
    except ConfigError as error:
        blocked = str(error)
    return asyncio.run(_plan(config, paths, conditions, route, blocked, losers))


async def _plan(
    config: Config, paths: Paths, conditions: tuple[str, ...], route: str, blocked: str, losers: bool
) -> RedemptionPlan:
    from common.venue.redeeming.candidates import due_of, named
    from common.venue.redeeming.hints import redeemable
    from common.venue.redeeming.opening import open_readers
    from common.venue.redeeming.planning import plan_redemption

    wallet = config.wallet.address
    readers = open_readers(config, wallet.lower(), SystemClock())
    try:
        hints = await redeemable(config.venue.data_url, wallet)
    except DependencyMissing as error:
        progress(f"only our own positions are known: {error}")
        hints = ()
    due = due_of(_positions(config, paths), hints, time.time_ns())
    try:
        asked = named(conditions, due, hints)
    except CallRefused as error:
        raise LaggardError(error.text) from None
    return await plan_redemption(
        config, readers, due, asked, hints, route=route, blocked=blocked, losers=losers
    )


def redeem(config: Config, paths: Paths, follower: Follower, *, losers: bool) -> tuple[RedemptionState, ...]:
    """Redeem with the owner's key what nobody else redeems meanwhile.

    Raises ConfigError where the key or the route is missing, DependencyMissing where the journal cannot be
    opened.
    """
    close_doors()
    prepare(paths)
    account = _owner(config, paths)
    told = False
    try:
        while follower.open:
            try:
                desk = open_owner(config, paths, account, SystemClock(), _in_the_states)
            except WrittenByAnother as error:
                if not told:
                    progress(f"that one redeems, this one reports: {error}")
                    told = True
                follower.hear(status(paths))
                if redeem_running.read(paths) is not None:
                    return redeem_running.redeem(paths, follower, losers=losers)
                continue
            try:
                asyncio.run(_work(config, paths, desk, follower, losers=losers))
            finally:
                desk.journal.close()
    except KeyboardInterrupt:
        progress("what was sent may still happen; laggard redeem looks at it first when it runs again")
        raise
    return follower.states


async def _work(
    config: Config, paths: Paths, desk: "RedemptionDesk", follower: Follower, *, losers: bool
) -> None:
    from common.venue.redeeming.candidates import due_of
    from common.venue.redeeming.report import redemptions

    names = follower.open
    due = tuple(
        each for each in due_of(_positions(config, paths), (), time.time_ns()) if each.condition_id in names
    )
    desk.ask(names, f"cli {getpass.getuser()}", losers=losers)
    while True:
        await desk.turn(due)
        follower.hear((state for _, state in redemptions(desk)), desk.problem)
        for left in desk.left.values():
            if left.reason == "nothing held":
                follower.gone(left.condition_id)
        if not follower.open:
            return
        await asyncio.sleep(TURN_S)


def status(paths: Paths) -> tuple[RedemptionState, ...]:
    """What the journal says, beside whoever works on it."""
    _need_live()
    from common.venue.redeeming.report import written

    attempts, elsewhere = read_redemptions(paths.redemptions_file)
    return tuple(state for _, state in written(attempts, elsewhere, time.time_ns()))


def _need_live() -> None:
    try:
        import eth_abi  # noqa: F401
        import eth_account  # noqa: F401
    except ImportError as error:
        raise DependencyMissing(
            f"redemption needs laggard's extra `live` ({error.name} is missing); run bin/setup"
        ) from None


def _owner(config: Config, paths: Paths) -> "Account":
    """The owner's key, from the environment of this command where the configuration says so."""
    if handed_file(paths).exists() or not any(os.environ.get(name) for name in SECRET_VARIABLES):
        return read_owner(config, paths)
    hand_over(os.environ, config, paths)
    try:
        return read_owner(config, paths)
    finally:
        take_back(paths)


def _positions(config: Config, paths: Paths) -> tuple[PositionState, ...]:
    found = read_journal(paths.journal_file(config.mode))
    return () if found is None else tuple(found.books.positions.values())


def _in_the_states(_alert: Alert) -> None:
    """All that alerts tell stands in the states that are followed."""
