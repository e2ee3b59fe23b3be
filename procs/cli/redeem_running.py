"""``laggard redeem`` beside a running redeemer, which alone sends: asks it and follows what becomes of it."""

import getpass
import time

from common.errors import CallRefused, LaggardError
from common.messages import Accepted, ReadRedemptions, Redeem, RedemptionsReport, RedemptionState
from common.runtime.config import Config
from common.runtime.paths import Paths
from procs.cli.asking import ask
from procs.cli.show import progress

LOOK_S = 0.5
PATIENCE_S = 20.0
"""What only waits for so long, with a reason, is told as not redeemed."""


class Follower:
    """Tells each change of the redemptions that are followed, once, and knows when all are over."""

    def __init__(self, names: tuple[str, ...], since_ns: int) -> None:
        self._names = names
        self._since_ns = since_ns
        self._told: dict[str, tuple[str, str]] = {}
        self._waiting_since: dict[str, float] = {}

    def take(self, states: tuple[RedemptionState, ...]) -> dict[str, RedemptionState]:
        """The newest state of each name; progress goes to stderr."""
        newest: dict[str, RedemptionState] = {}
        for state in states:
            old = state.status in ("paid", "elsewhere", "failed") and state.at_ns < self._since_ns
            if state.condition_id in self._names and not old:
                newest[state.condition_id] = state
        for name, state in newest.items():
            if self._told.get(name) != (state.status, state.text):
                self._told[name] = (state.status, state.text)
                progress(f"{state.window or name[:12]}: {state.status} {state.text}".rstrip())
        return newest

    def is_over(self, newest: dict[str, RedemptionState]) -> bool:
        """Whether nothing more comes by itself soon."""
        return all(name in newest and self._is_final(newest[name]) for name in self._names)

    def _is_final(self, state: RedemptionState) -> bool:
        if state.status != "waiting":
            self._waiting_since.pop(state.condition_id, None)
            return state.status != "under way"
        began = self._waiting_since.setdefault(state.condition_id, time.monotonic())
        return bool(state.text) and time.monotonic() - began > PATIENCE_S


def redeem(
    _config: Config, paths: Paths, names: tuple[str, ...], *, losers: bool
) -> tuple[RedemptionState, ...]:
    """Let the redeemer do it; raises LaggardError when it does not take the wish."""
    follower = Follower(names, time.time_ns())
    wish = Redeem(conditions=names, who=f"cli {getpass.getuser()}", losers=losers)
    told = ask(paths.run_dir, {"redeemer": wish}, timeout_s=5.0)["redeemer"]
    if isinstance(told, CallRefused):
        raise LaggardError(f"the redeemer refused: {told.text}")
    if not isinstance(told, Accepted):
        raise LaggardError(
            "the redeemer does not answer; whether it took the wish shows laggard redeem --status"
        )
    newest: dict[str, RedemptionState] = {}
    try:
        while not follower.is_over(newest):
            time.sleep(LOOK_S)
            report = ask(paths.run_dir, {"redeemer": ReadRedemptions()}, timeout_s=5.0)["redeemer"]
            if isinstance(report, RedemptionsReport):
                newest = follower.take(report.redemptions)
    except KeyboardInterrupt:
        progress("the redeemer goes on by itself; laggard redeem --status shows how far it is")
        raise
    return tuple(newest.values())
