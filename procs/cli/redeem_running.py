"""``laggard redeem`` beside a running redeemer, which alone sends: asks it and follows what becomes of it."""

import getpass
import time

from common.errors import CallRefused, LaggardError
from common.messages import (
    Accepted,
    PlanRedemption,
    ReadRedemptions,
    Redeem,
    RedemptionPlan,
    RedemptionsReport,
    RedemptionState,
)
from common.runtime.paths import Paths
from procs.cli.asking import NoAnswer, ask
from procs.cli.redeem_follow import Follower
from procs.cli.show import progress

LOOK_S = 0.5
ANSWER_S = 5.0
PLAN_S = 30.0
"""A plan asks the venue and the chain first."""
DEAF_S = 30.0
"""A redeemer that is started again answers before that."""


def read(paths: Paths, *, timeout_s: float = 1.0) -> RedemptionsReport | None:
    """What the running redeemer says; None when none runs that can redeem."""
    told = ask(paths.run_dir, {"redeemer": ReadRedemptions()}, timeout_s=timeout_s)["redeemer"]
    return told if isinstance(told, RedemptionsReport) else None


def plan(paths: Paths, conditions: tuple[str, ...], *, losers: bool) -> RedemptionPlan:
    """What it would do; raises LaggardError for a name that is none, NoAnswer."""
    wish = PlanRedemption(conditions=conditions, losers=losers)
    told = ask(paths.run_dir, {"redeemer": wish}, timeout_s=PLAN_S)["redeemer"]
    if isinstance(told, CallRefused):
        raise LaggardError(told.text)
    if not isinstance(told, RedemptionPlan):
        raise NoAnswer("the redeemer does not tell its plan; laggard status says how it is")
    return told


def redeem(paths: Paths, follower: Follower, *, losers: bool) -> tuple[RedemptionState, ...]:
    """Let the redeemer do it; raises LaggardError when it refuses the wish, NoAnswer when it is gone."""
    wish = Redeem(conditions=follower.open, who=f"cli {getpass.getuser()}", losers=losers)
    told = ask(paths.run_dir, {"redeemer": wish}, timeout_s=ANSWER_S)["redeemer"]
    if isinstance(told, CallRefused):
        raise LaggardError(f"the redeemer refused: {told.text}")
    if not isinstance(told, Accepted):
        raise NoAnswer("the redeemer does not say whether it took the wish; see laggard redeem --status")
    heard_s = time.monotonic()
    try:
        while follower.open:
            report = read(paths, timeout_s=ANSWER_S)
            if report is not None:
                heard_s = time.monotonic()
                follower.hear(report.redemptions, report.problem)
                _ask_for_silent(paths, follower)
            elif time.monotonic() - heard_s > DEAF_S:
                raise NoAnswer(
                    "the redeemer stopped answering; what it had sent it looks at first when it runs again: "
                    "laggard up, then laggard redeem --status"
                )
            if follower.open:
                time.sleep(LOOK_S)
    except KeyboardInterrupt:
        progress("the redeemer goes on by itself; laggard redeem --status shows how far it is")
        raise
    return follower.states


def _ask_for_silent(paths: Paths, follower: Follower) -> None:
    """Nobody tells of what others took before the redeemer looked, unless our books are owed it."""
    silent = follower.silent
    if not silent:
        return
    found = ask(paths.run_dir, {"redeemer": PlanRedemption(conditions=silent)}, timeout_s=PLAN_S)["redeemer"]
    if isinstance(found, RedemptionPlan):
        for line in found.lines:
            if not line.size6:
                follower.gone(line.condition_id)
