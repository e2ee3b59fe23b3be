"""Follows the redemptions a person asked for: tells each change once, knows when nothing more will come.

Hears states from whoever works, the redeemer or another ``laggard redeem``. Asks nobody itself.
"""

import time
from collections.abc import Callable, Iterable

import msgspec

from common.messages import PlanLine, RedemptionState, RedemptionStatus
from common.units import usd6_text
from procs.cli.show import progress

FINAL = ("paid", "elsewhere", "failed")
PATIENCE_S = 20.0
"""What only waits for so long, with a reason, is told as not redeemed."""
SILENCE_S = 3.0
"""Of what nothing is heard for so long there may be nothing to redeem any more."""
GONE = "the wallet holds nothing of it any more"


class Follower:
    """The redemptions of one command; ``lines`` are those of the plan that was agreed to.

    ``since_ns`` is an instant before that plan was made: what had ended by then is none of ours.
    """

    def __init__(
        self, lines: Iterable[PlanLine], since_ns: int, *, mono_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._lines = {line.condition_id: line for line in lines}
        self._since_ns = since_ns
        self._mono_s = mono_s
        self._newest: dict[str, RedemptionState] = {}
        self._heard_s = dict.fromkeys(self._lines, mono_s())
        self._waiting_since_s: dict[str, float] = {}
        self._told: dict[str, str] = {}
        """The last line of progress by condition."""

    @property
    def open(self) -> tuple[str, ...]:
        """Conditions that have not come to an end."""
        return tuple(name for name in self._lines if not self._has_ended(name))

    @property
    def silent(self) -> tuple[str, ...]:
        """Open conditions of which nothing was heard for longer than it takes to look at them."""
        now_s = self._mono_s()
        return tuple(name for name in self.open if now_s - self._heard_s[name] >= SILENCE_S)

    @property
    def states(self) -> tuple[RedemptionState, ...]:
        """The newest word on each condition, in the order of the plan and with its windows."""
        return tuple(
            msgspec.structs.replace(self._newest[name], window=self._newest[name].window or line.window)
            for name, line in self._lines.items()
            if name in self._newest
        )

    def hear(self, states: Iterable[RedemptionState], problem: str = "") -> None:
        """Take in what is said now, oldest first, and why nothing is sent at present."""
        told: dict[str, RedemptionState] = {}
        for state in states:
            name = state.condition_id
            if name not in self._lines:
                if state.status == "under way":
                    # One try at a time: ours come after it.
                    self._progress(name, f"first {state.window or name}: {state.status}: {state.text}")
                continue
            if state.status in FINAL and state.at_ns < self._since_ns:
                continue
            # A try that failed is the end of this command, also where the redeemer tries again later.
            if state.status == "waiting" and name in told and told[name].status in FINAL:
                continue
            told[name] = state
        now_s = self._mono_s()
        for name, state in told.items():
            self._heard_s[name] = now_s
            self._take(name, state)
        if problem:
            for name in self.silent:
                self._take(name, self._made_up(name, "waiting", problem))

    def gone(self, name: str) -> None:
        """There is nothing of this condition in the wallet, whoever took it."""
        if name in self.open:
            self._take(name, self._made_up(name, "elsewhere", GONE))

    def _take(self, name: str, state: RedemptionState) -> None:
        self._newest[name] = state
        if state.status == "waiting":
            self._waiting_since_s.setdefault(name, self._mono_s())
        else:
            self._waiting_since_s.pop(name, None)
        shown = state.window or self._lines[name].window or name
        text = state.text
        if not text and state.status == "paid":
            text = f"{usd6_text(state.paid_usd6, places=6)} $ by {state.tx_hash}"
        self._progress(name, f"{shown}: {state.status}" + (f": {text}" if text else ""))

    def _progress(self, name: str, line: str) -> None:
        if self._told.get(name) != line:
            self._told[name] = line
            progress(line)

    def _has_ended(self, name: str) -> bool:
        state = self._newest.get(name)
        if state is None:
            return False
        if state.status != "waiting":
            return state.status in FINAL
        return bool(state.text) and self._mono_s() - self._waiting_since_s[name] > PATIENCE_S

    def _made_up(self, name: str, status: RedemptionStatus, text: str) -> RedemptionState:
        line = self._lines[name]
        return RedemptionState(
            condition_id=name,
            window=line.window,
            ledger=line.ledger,
            status=status,
            payout_usd6=line.payout_usd6,
            at_ns=self._since_ns,
            text=text,
        )
