"""Replay: every message of a tape through the live engine, on the tape's own clock.

The engine hears what the strategist would have heard, in the order of the tape, and nothing else; where the
strategist began anew it does so too. What is not on a tape is not invented: the executor's refusals reach the
strategist alone, so a wish that was refused then stays in flight here. Same tape and same settings give the
same decision log, byte for byte.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from common.core import engine
from common.core.decision_state import Event, Incomplete, PublishVerdict, SendOrder, State
from common.core.moment import Moment
from common.core.settings import RiskLimits, StrategySettings
from common.errors import DependencyMissing
from common.messages import Envelope, Heartbeat, Tick, Verdict, envelope_id
from common.research.replaying.agreement import ToldVerdict
from common.research.replaying.decision_log import DecisionLog
from common.store.tape import Record, Tear, home, read, tapes
from common.units import SECOND

STRATEGIST = "strategist"
CLOCK_SET_BACK_NS = 60 * SECOND
"""A monotonic clock that goes back by more than this is another one."""
TOLD_AGAIN_NS = 3 * SECOND
"""What a publisher keeps it sends again each second: what was not heard for so long is no state any more."""
TICKS_KEPT_NS = 30 * 60 * SECOND
"""An oracle gives the ticks of so long to whoever asks for a snapshot."""
_envelope_decoder = msgspec.msgpack.Decoder(Envelope)


class Heard(NamedTuple):
    """One message and the moment at which it was heard."""

    envelope: Envelope
    moment: Moment


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
    restarts: int
    """How often the strategist was started anew: each time the engine is, with the others' state of then."""
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


def hears(routes: Iterable[str]) -> frozenset[str]:
    """The processes a strategist listens to that is configured for these oracle routes."""
    return frozenset({*(f"oracle-{route}" for route in routes), "books", "executor"})


def find_tape(directory: Path) -> Path:
    """The bus tape of a state directory or of a directory of tapes; else the directory itself.

    Raises DependencyMissing, saying what to do, where there is no tape.
    """
    kept = home(directory)
    for place in (kept / "bus", kept):
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


class _Published:
    """What each publisher would have put into a snapshot: what it repeats each second, and its last ticks."""

    def __init__(self) -> None:
        self._boots: dict[str, str] = {}
        self._newest: dict[str, dict[str, Heard]] = {}
        self._ticks: dict[str, deque[Heard]] = {}
        self._numbers: dict[str, int] = {}

    def hear(self, one: Heard) -> None:
        """Take one message in; a new start of its publisher has none of the state of the one before."""
        envelope = one.envelope
        if self._boots.get(envelope.source) != envelope.boot:
            self._boots[envelope.source] = envelope.boot
            self._newest[envelope.source] = {}
            self._ticks[envelope.source] = deque()
        self._newest[envelope.source][envelope.topic] = one
        self._numbers[envelope.source] = envelope.seq
        if isinstance(envelope.body, Tick):
            ticks = self._ticks[envelope.source]
            ticks.append(one)
            while one.moment.mono_ns - ticks[0].moment.mono_ns > TICKS_KEPT_NS:
                ticks.popleft()

    def snapshot(self, moment: Moment) -> Iterator[Envelope]:
        """The state of all that were there at this moment; a heartbeat is no state."""
        since_ns = moment.mono_ns - TOLD_AGAIN_NS
        for source, newest in sorted(self._newest.items()):
            recent = [one.envelope for one in newest.values() if one.moment.mono_ns >= since_ns]
            if recent:
                yield from (one.envelope for one in self._ticks[source])
                yield from (one for one in recent if not isinstance(one.body, Tick | Heartbeat))

    def fronts(self) -> dict[str, int]:
        """The newest number of each publisher's start so far, by ``source/boot``."""
        return {f"{source}/{boot}": self._numbers[source] for source, boot in self._boots.items()}


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
    events = skipped = orders = step_ns = reboots = restarts = newest_ns = 0
    live: list[ToldVerdict] = []
    again: list[ToldVerdict] = []
    counts: Counter[str] = Counter()
    state = State(strategy=strategy, limits=limits)
    boots: set[str] = set()
    fronts: dict[str, int] = {}
    published = _Published()
    sources = hears(routes)

    def not_heard(record: Record) -> None:
        nonlocal skipped
        skipped += 1
        if record.kind == "raw" or record.source != STRATEGIST:
            return
        boot = _boot(record)
        if boot is not None and boot not in boots:
            if boots:
                restart(Moment(record.wall_ns, record.mono_ns))
            boots.add(boot)
        if record.topic.startswith("verdict."):
            live.extend(_told(record, fronts))

    def forget() -> None:
        nonlocal state
        counts.update(state.counts)
        state = State(strategy=strategy, limits=limits)

    def restart(moment: Moment) -> None:
        """Begin as the strategist did: in sync with nobody, then with what all others have published."""
        nonlocal restarts, fronts
        restarts += 1
        fronts = published.fronts()
        forget()
        advance(Incomplete(sources), moment, "")
        for envelope in published.snapshot(moment):
            advance(envelope, moment, envelope_id(envelope))
        advance(Incomplete(frozenset()), moment, "")

    def advance(event: Event, moment: Moment, cause: str) -> None:
        nonlocal orders, step_ns
        entered = time.perf_counter_ns()
        effects = list(engine.step(state, event, moment)[1])
        step_ns += time.perf_counter_ns() - entered
        for effect in effects:
            log.add(effect, moment, cause)
            if isinstance(effect, PublishVerdict):
                again.append(ToldVerdict(effect.verdict, effect.cause))
            orders += isinstance(effect, SendOrder)

    began = time.perf_counter_ns()
    log = DecisionLog(strategy, limits, sink)
    for envelope, moment in heard(read(tape, tears.append), sources, not_heard):
        events += 1
        if moment.mono_ns < newest_ns - CLOCK_SET_BACK_NS:
            # The host was started anew, and the strategist with it: what it knew is gone, ages begin again.
            reboots += 1
            forget()
            published = _Published()
        newest_ns = moment.mono_ns
        published.hear(Heard(envelope, moment))
        advance(envelope, moment, envelope_id(envelope))
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
        restarts=restarts,
        counts=dict(sorted((counts + Counter(state.counts)).items())),
        live=tuple(live),
        again=tuple(again),
        tears=tuple(tears),
    )


class _Origin(msgspec.Struct):
    boot: str


_origin_decoder = msgspec.msgpack.Decoder(_Origin)


def _boot(record: Record) -> str | None:
    """Which start of the strategist said this; None where that cannot be read."""
    try:
        return _origin_decoder.decode(record.data).boot
    except msgspec.DecodeError:
        return None


def _told(record: Record, fronts: Mapping[str, int]) -> Iterator[ToldVerdict]:
    try:
        envelope = _envelope_decoder.decode(record.data)
    except msgspec.DecodeError:
        return
    # A snapshot, or the repetition each second, tells an old verdict again; its first telling counts.
    if isinstance(envelope.body, Verdict):
        start, _, number = envelope.cause.rpartition("/")
        before = number.isdigit() and int(number) <= fronts.get(start, 0)
        yield ToldVerdict(envelope.body, envelope.cause, before)


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
