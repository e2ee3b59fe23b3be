"""What people tell the executor outlives the death of everything, and no order begins meanwhile.

By command line, by Telegram and by the kill switch, on the real supervisord with the real configuration. The
venue's book is always late, so that an executor that were allowed to would trade.
"""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from commands_stage import ANN
from common.messages import Posture, PostureState
from procs.cli import steer
from procs.cli.kill_switch import SIGNATURE
from procs.cli.main import laggard, run
from steering_stage import House, Orders, open_house, until

pytestmark = pytest.mark.procs
figures = logging.getLogger("steering")

POSTURES: dict[str, Posture] = {
    "noentry": "no-new-orders", "pause": "paused", "halt": "halted",
    "/noentry": "no-new-orders", "/pause": "paused", "/kill": "halted",
}  # fmt: skip
ROUNDS = (
    "noentry", "/noentry", "nothing", "noentry", "/noentry", "pause", "/pause", "nothing", "pause", "/pause",
    "late /kill", "nothing", "halt", "/kill", "unanswered halt", "nothing", "/kill", "halt",
    "unanswered halt", "nothing",
)  # fmt: skip
"""Only a resume loosens, so nobody ever says what is looser than what was said before."""
TEMPTED_EVERY = 4
"""In one round of so many the silence lasts until the strategist saw a trade that it was not allowed."""
TEMPTED_LIMIT_S = 120
SILENT_S = 1.0
"""How long every other round is watched for an order after everything is back."""


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    with open_house() as held:
        for key in ("LAGGARD_CONFIG", "LAGGARD_STATE_DIR", "LAGGARD_RUN_DIR"):
            monkeypatch.setenv(key, held.environment[key])
        yield held


@dataclass
class Trial:
    """Round after round of: somebody says it, everything is killed, everything is started."""

    house: House
    began: Orders
    number: int = 0
    killed: int = 0
    tempted: int = 0
    took_s: list[float] = field(default_factory=list)

    def round(self, word: str) -> None:
        began = time.monotonic()
        self.number += 1
        reason = f"round {self.number}"
        self._say_before(word, reason)
        before = self.house.posture()
        self.killed += self.house.kill_everything()
        assert (self.house.journal().posture, self.house.orders()) == (before, self.began)
        self._say_while_dead(word, reason)
        self.house.start()
        if word == "late /kill":
            until(
                lambda: _is(self.house.posture(), "halted", f"telegram:{ANN}"), 60, "the late /kill is obeyed"
            )
        elif word == "unanswered halt":
            _came_back_halted(self.house.posture(), reason)
        else:
            assert self.house.posture() == before
        self._watch()
        self.took_s.append(time.monotonic() - began)

    def _say_before(self, word: str, reason: str) -> None:
        """Said to a stack that runs; returns as soon as it holds, whoever still has to say so."""
        if word in ("noentry", "pause", "halt"):
            assert run(laggard, [word, "--reason", reason]) == 0
            posture = self.house.posture()
            assert (posture.posture, posture.reason) == (POSTURES[word], reason)
            assert posture.who.startswith("cli:")
        elif word.startswith("/"):
            self.house.chat.confirm(word)
            until(
                lambda: _is(self.house.posture(), POSTURES[word], f"telegram:{ANN}"), 30, f"{word} is obeyed"
            )

    def _say_while_dead(self, word: str, reason: str) -> None:
        if word == "late /kill":
            self.house.chat.say("/kill", ago_s=120)
        elif word == "unanswered halt":
            # Nobody is there to be told: the note for the next start is what makes it certain.
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(steer, "ANSWER_LIMIT_S", 0.2)
                assert run(laggard, ["halt", "--reason", reason]) == 0

    def _watch(self) -> None:
        """The posture stays and no order begins, also where the strategist would have one."""
        held, knocked = self.house.posture(), False
        wait = self.number % TEMPTED_EVERY == 0
        limit = time.monotonic() + (TEMPTED_LIMIT_S if wait else SILENT_S)
        while time.monotonic() < limit or not knocked:
            assert self.house.posture() == held
            refusal = self.house.knock()
            assert refusal in ("posture", "")
            knocked |= refusal == "posture"
            assert self.house.orders() == self.began
            if wait and knocked and self.house.tempted():
                self.tempted += 1
                return
            time.sleep(0.1)
        assert not wait, f"round {self.number}: the strategist saw no trade in {TEMPTED_LIMIT_S} s"


def begin(house: House) -> Trial:
    """Nothing new from here on; what had begun before is over and counted."""
    assert run(laggard, ["noentry", "--reason", "before the first round"]) == 0

    def quiet() -> bool:
        report = house.account()
        return report is not None and all(order.status != "working" for order in report.orders)

    until(quiet, 30, "no order is under way")
    return Trial(house, house.orders())


def _is(found: PostureState, posture: Posture, who: str) -> bool:
    return (found.posture, found.who) == (posture, who)


def _came_back_halted(found: PostureState, reason: str) -> None:
    assert _is(found, "halted", "executor"), found
    assert f"{SIGNATURE}{reason}" in found.reason
    assert "cli:" in found.reason


@pytest.mark.timeout(240)
def test_a_posture_outlives_the_death_of_everything_whoever_set_it(house: House) -> None:
    trial = begin(house)
    trial.round("/pause")
    assert run(laggard, ["noentry", "--reason", "before the last round"]) == 0
    trial.round("unanswered halt")


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_a_posture_outlives_twenty_deaths_and_would_have_traded(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger=figures.name)
    trial = begin(house)
    for word in ROUNDS:
        trial.round(word)
    assert run(laggard, ["resume", "--yes", "--reason", "the proof is over"]) == 0

    def ordered() -> bool:
        now = house.orders()
        return len(now.journal) > len(trial.began.journal) and len(now.venue) > len(trial.began.venue)

    until(ordered, 180, "an order: the venue offered chances all the time", house.log)
    after = house.orders()
    assert set(after.venue) <= set(after.journal)
    figures.info(
        "%d rounds, %d processes killed, tempted in %d; each took %.1f to %.1f s; %d orders before, %d after",
        trial.number,
        trial.killed,
        trial.tempted,
        min(trial.took_s),
        max(trial.took_s),
        len(trial.began.venue),
        len(after.venue),
    )
