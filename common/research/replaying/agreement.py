"""How the verdicts a strategist published compare with those of a replay of what it heard.

Compares what was decided and which gates stood against it, window by window; never the figures in them.
"""

from collections.abc import Iterable
from difflib import SequenceMatcher
from typing import NamedTuple

from common.messages import Verdict

SYNC_GATE = "input complete"
"""A verdict that fails it says that messages did not reach the strategist, which no tape can show."""


class ToldVerdict(NamedTuple):
    """A verdict with the message that led to it."""

    verdict: Verdict
    cause: str
    upon_snapshot: bool = False
    """Published after a new start upon what had been said before it: in the middle of taking snapshots in."""


class Difference(NamedTuple):
    """Verdicts of one window that only one side has, between two on which both agree."""

    window: str
    live: tuple[str, ...]
    replayed: tuple[str, ...]


class Agreement(NamedTuple):
    """How the verdicts of the strategist and of the replay compare."""

    agreed: int
    """Verdicts with the same decision and the same gates passed, in the same order."""
    same_cause: int
    """Of these, made upon the very same message."""
    live: int
    replayed: int
    differences: tuple[Difference, ...]
    not_compared: int
    """Published verdicts that say themselves that messages were missing, that were made while snapshots were
    taken in, or that repeat after that, or after a new start, the one before."""

    @property
    def good(self) -> bool:
        """Whether nine in ten of the compared verdicts come out again; with none compared it is not shown."""
        compared = self.live - self.not_compared
        return 10 * self.agreed >= 9 * compared and (compared > 0 or not self.live)


def compare(live: Iterable[ToldVerdict], again: Iterable[ToldVerdict]) -> Agreement:
    """Hold the strategist's verdicts of every window beside the replay's, in their order."""
    ours, theirs = _by_window(again), _by_window(live)
    agreed = same_cause = not_compared = 0
    differences: list[Difference] = []
    for window in sorted(ours.keys() | theirs.keys()):
        told = theirs.get(window, [])
        published, replayed = _comparable(told), _comparable(ours.get(window, []))
        not_compared += len(told) - len(published)
        shapes = [_shape(one.verdict) for one in published], [_shape(one.verdict) for one in replayed]
        for tag, a, b, c, d in SequenceMatcher(None, *shapes, autojunk=False).get_opcodes():
            if tag == "equal":
                agreed += b - a
                same_cause += sum(
                    one.cause == other.cause for one, other in zip(published[a:b], replayed[c:d], strict=True)
                )
            else:
                differences.append(Difference(window, tuple(shapes[0][a:b]), tuple(shapes[1][c:d])))
    return Agreement(
        agreed,
        same_cause,
        sum(map(len, theirs.values())),
        sum(map(len, ours.values())),
        tuple(differences),
        not_compared,
    )


def _comparable(verdicts: Iterable[ToldVerdict]) -> list[ToldVerdict]:
    """Verdicts of one window made with all messages there.

    When messages go missing and come, and in which order the parts of snapshots are taken in, is the
    strategist's own: it is not on the tape, and says nothing of what it decides. What is said again only
    because of that, or by a new start, is the same verdict.
    """
    kept: list[ToldVerdict] = []
    gap, number = False, 0
    for one in verdicts:
        if one.upon_snapshot or _says_unsynced(one):
            gap = True
            continue
        began_anew = one.verdict.number <= number
        if not (kept and (gap or began_anew) and _shape(kept[-1].verdict) == _shape(one.verdict)):
            kept.append(one)
        gap, number = False, one.verdict.number
    return kept


def _says_unsynced(one: ToldVerdict) -> bool:
    return any(gate.name == SYNC_GATE and not gate.passed for gate in one.verdict.gates)


def _by_window(verdicts: Iterable[ToldVerdict]) -> dict[str, list[ToldVerdict]]:
    found: dict[str, list[ToldVerdict]] = {}
    numbers: set[tuple[str, int, str]] = set()
    for one in verdicts:
        key = (one.verdict.window, one.verdict.number, one.cause)
        if key not in numbers:
            numbers.add(key)
            found.setdefault(one.verdict.window, []).append(one)
    return found


def _shape(verdict: Verdict) -> str:
    """What a verdict says without its figures, which turn with every microsecond."""
    failed = ", ".join(gate.name for gate in verdict.gates if not gate.passed)
    return f"{verdict.decision} ({len(verdict.gates)} gates{f'; failed: {failed}' if failed else ''})"
