"""Replay: every message of a tape through the live engine, on the tape's own clock.

The engine hears what the strategist would have heard, in the order of the tape, and nothing else. What is not
on a tape is not invented: the executor's refusals reach the strategist alone, so a wish that was refused then
stays in flight here. Same tape and same settings give the same decision log, byte for byte.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from difflib import SequenceMatcher
from pathlib import Path
from typing import NamedTuple

import msgspec

from common.core import engine
from common.core.decision_state import PublishVerdict, SendOrder, State
from common.core.moment import Moment
from common.core.settings import RiskLimits, StrategySettings
from common.errors import DependencyMissing
from common.messages import Envelope, Verdict, envelope_id
from common.research.decision_log import DecisionLog
from common.store.tape import Record, Tear, read, tapes
from common.units import SECOND

STRATEGIST = "strategist"
CLOCK_SET_BACK_NS = 60 * SECOND
"""A monotonic clock that goes back by more than this is another one."""

_envelope_decoder = msgspec.msgpack.Decoder(Envelope)


class Heard(NamedTuple):
    """One message and the moment at which it was heard."""

    envelope: Envelope
    moment: Moment


class ToldVerdict(NamedTuple):
    """A verdict with the message that led to it."""

    verdict: Verdict
    cause: str


class Replayed(NamedTuple):
    """What a replay did."""

    events: int
    """Messages that the engine heard."""
    skipped: int
    """Records of the tape that were not for it: raw frames, other processes' messages, unreadable ones."""
    verdicts: int
    orders: int
    decisions: int
    """Lines of the decision log, its head not counted."""
    sha256: str
    elapsed_ns: int
    step_ns: int
    """The part of ``elapsed_ns`` spent in the engine; the rest is reading, decoding and writing."""
    reboots: int
    """How often the monotonic clock of the tape began again: each time the engine does so too."""
    counts: dict[str, int]
    """The engine's own, where they are more than nothing."""
    live: tuple[ToldVerdict, ...]
    """What the strategist published when the tape was made."""
    again: tuple[ToldVerdict, ...]
    """What the replay would have published."""
    tears: tuple[Tear, ...]

    @property
    def events_per_s(self) -> float:
        """Over everything, reading included."""
        return self.events * 1e9 / max(1, self.elapsed_ns)

    @property
    def engine_events_per_s(self) -> float:
        """In the engine alone."""
        return self.events * 1e9 / max(1, self.step_ns)


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


def hears(routes: Iterable[str]) -> frozenset[str]:
    """The processes a strategist listens to that is configured for these oracle routes."""
    return frozenset({*(f"oracle-{route}" for route in routes), "books", "executor"})


def find_tape(directory: Path) -> Path:
    """The bus tape of a state directory or of a directory of tapes; else the directory itself.

    Raises DependencyMissing, saying what to do, where there is no tape.
    """
    for place in (directory / "tapes" / "bus", directory / "bus", directory):
        if tapes(place):
            return place
    raise DependencyMissing(
        f"there is no tape in {directory}: name a directory that holds segments (*.tape, *.tape.gz); "
        "a running bot writes one, so does laggard record"
    )


def heard(
    records: Iterable[Record], sources: frozenset[str], others: Callable[[Record], None] | None = None
) -> Iterator[Heard]:
    """The messages of these sources, in order; every other record goes to ``others``."""
    for record in records:
        if record.kind != "raw" and record.source in sources:
            try:
                envelope = _envelope_decoder.decode(record.data)
            except msgspec.DecodeError:
                pass  # of another version: it is counted with what was skipped
            else:
                yield Heard(envelope, Moment(record.wall_ns, record.mono_ns))
                continue
        if others is not None:
            others(record)


def replay(
    directory: Path,
    routes: Iterable[str],
    strategy: StrategySettings,
    limits: RiskLimits,
    sink: Callable[[bytes], object] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Replayed:
    """Run a tape through ``engine.step``; decisions go to ``sink`` as lines.

    ``routes`` are those the strategist is configured for (``oracles.routes``). ``progress`` is told now and
    then how many messages were heard. Raises DependencyMissing without a tape.
    """
    tape = find_tape(directory)
    tears: list[Tear] = []
    skipped = 0
    live: list[ToldVerdict] = []

    def not_heard(record: Record) -> None:
        nonlocal skipped
        skipped += 1
        if record.kind != "raw" and record.source == STRATEGIST and record.topic.startswith("verdict."):
            live.extend(_told(record))

    began = time.perf_counter_ns()
    log = DecisionLog(strategy, limits, sink)
    state = State(strategy=strategy, limits=limits)
    again: list[ToldVerdict] = []
    counts: Counter[str] = Counter()
    events = orders = step_ns = reboots = newest_ns = 0
    for envelope, moment in heard(read(tape, tears.append), hears(routes), not_heard):
        events += 1
        if moment.mono_ns < newest_ns - CLOCK_SET_BACK_NS:
            # The host was started anew, and the strategist with it: what it knew is gone, ages begin again.
            reboots += 1
            counts.update(state.counts)
            state = State(strategy=strategy, limits=limits)
        newest_ns = moment.mono_ns
        entered = time.perf_counter_ns()
        effects = list(engine.step(state, envelope, moment)[1])
        step_ns += time.perf_counter_ns() - entered
        for effect in effects:
            log.add(effect, moment, envelope_id(envelope))
            if isinstance(effect, PublishVerdict):
                again.append(ToldVerdict(effect.verdict, effect.cause))
            orders += isinstance(effect, SendOrder)
        if progress is not None and events % 2_000 == 0:
            progress(events)
    return Replayed(
        events=events,
        skipped=skipped,
        verdicts=len(again),
        orders=orders,
        decisions=log.lines,
        sha256=log.sha256,
        elapsed_ns=time.perf_counter_ns() - began,
        step_ns=step_ns,
        reboots=reboots,
        counts=dict(sorted((counts + Counter(state.counts)).items())),
        live=tuple(live),
        again=tuple(again),
        tears=tuple(tears),
    )


def _told(record: Record) -> Iterator[ToldVerdict]:
    try:
        envelope = _envelope_decoder.decode(record.data)
    except msgspec.DecodeError:
        return
    # A snapshot, or the repetition each second, tells an old verdict again; its first telling counts.
    if isinstance(envelope.body, Verdict):
        yield ToldVerdict(envelope.body, envelope.cause)


def compare(live: Iterable[ToldVerdict], again: Iterable[ToldVerdict]) -> Agreement:
    """Hold the strategist's verdicts of every window beside the replay's, in their order."""
    ours, theirs = _by_window(again), _by_window(live)
    agreed = same_cause = 0
    differences: list[Difference] = []
    for window in sorted(ours.keys() | theirs.keys()):
        published, replayed = theirs.get(window, []), ours.get(window, [])
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
    )


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


class Speed(NamedTuple):
    """How many messages a second each stage of a replay takes by itself."""

    events: int
    read_per_s: float
    """Frames off the disk, checksum and record."""
    decode_per_s: float
    """Record to typed message."""
    step_per_s: float
    """The engine alone, on messages made beforehand."""


def measure(directory: Path, routes: Iterable[str], strategy: StrategySettings, limits: RiskLimits) -> Speed:
    """Time each stage of a replay by itself; the engine runs with no log."""
    tape = find_tape(directory)
    sources = hears(routes)
    began = time.perf_counter_ns()
    records = [record for record in read(tape) if record.kind != "raw" and record.source in sources]
    read_ns = time.perf_counter_ns() - began
    began = time.perf_counter_ns()
    messages = list(heard(records, sources))
    decode_ns = time.perf_counter_ns() - began
    count = len(messages)
    return Speed(
        count,
        count * 1e9 / max(1, read_ns),
        count * 1e9 / max(1, decode_ns),
        step_rate(messages, strategy, limits),
    )


def step_rate(messages: Iterable[Heard], strategy: StrategySettings, limits: RiskLimits) -> float:
    """How many of these messages the engine alone takes in a second, every effect made and dropped."""
    state = State(strategy=strategy, limits=limits)
    step = engine.step
    count = 0
    began = time.perf_counter_ns()
    for envelope, moment in messages:
        for _ in step(state, envelope, moment)[1]:
            pass
        count += 1
    return count * 1e9 / max(1, time.perf_counter_ns() - began)
