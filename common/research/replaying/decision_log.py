"""The decision log: what the engine wanted, one canonical JSON line an effect, and the digest of all lines.

Equal decisions give equal bytes: keys are sorted, times are the tape's, nothing of this machine is in it.
Pictures for people (views) and the routes' audits are no decisions and are left out.
"""

import hashlib
from collections.abc import Callable

import msgspec

from common.core.decision_state import (
    AskPosture,
    Effect,
    ForgetWindow,
    PublishVerdict,
    RaiseAlert,
    SendOrder,
)
from common.core.moment import Moment
from common.core.settings import RiskLimits, StrategySettings

FORM = 1
"""Of the lines; another form gives other bytes for the same decisions."""

_encoder = msgspec.json.Encoder(order="sorted")


def settings_digest(strategy: StrategySettings, limits: RiskLimits) -> str:
    """SHA-256 of everything of the configuration that a decision depends on."""
    return hashlib.sha256(_encoder.encode({"limits": limits, "strategy": strategy})).hexdigest()


class DecisionLog:
    """Writes lines to ``sink`` (None: only digests them) and keeps their SHA-256 and number."""

    def __init__(
        self, strategy: StrategySettings, limits: RiskLimits, sink: Callable[[bytes], object] | None = None
    ) -> None:
        self.lines = 0
        self._sink = sink
        self._digest = hashlib.sha256()
        self._write({"config": settings_digest(strategy, limits), "decision_log": FORM})

    @property
    def sha256(self) -> str:
        """Of every line so far, ends of lines included."""
        return self._digest.hexdigest()

    def add(self, effect: Effect, moment: Moment, cause: str) -> None:
        """Log one effect of the event named ``cause``, unless it is no decision."""
        match effect:
            case PublishVerdict(verdict):
                told: dict[str, object] = {"verdict": verdict}
            case SendOrder(submit):
                told = {"order": submit}
            case RaiseAlert(alert):
                told = {"alert": alert}
            case AskPosture(posture, reason):
                told = {"ask_posture": posture, "reason": reason}
            case ForgetWindow(window):
                told = {"forget": window}
            case _:
                return
        self.lines += 1
        self._write({"at": moment.wall_ns, "cause": cause, "mono": moment.mono_ns, **told})

    def _write(self, told: dict[str, object]) -> None:
        line = _encoder.encode(told) + b"\n"
        self._digest.update(line)
        if self._sink is not None:
            self._sink(line)
