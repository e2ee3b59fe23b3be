"""A bus tape of two windows as a recorder would have made it: what the engine heard and what it said."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from common.core import engine
from common.core.decision_state import Event, Incomplete, PublishVerdict, State
from common.core.moment import Moment
from common.core.settings import RiskLimits, StrategySettings
from common.messages import (
    SCHEMA,
    AccountState,
    BookState,
    Envelope,
    Heartbeat,
    MarketState,
    Outcome,
    PostureState,
    Published,
    Tick,
    envelope_id,
)
from common.store.tape import Record
from common.store.tape_writer import TapeWriter
from common.units import SECOND
from conversation import START_S, WINDOW, account, market, posture, tick

LATER = f"btc-updown-15m-{START_S + 900}"
"""The second window: there the book is dear from the beginning."""
TAPED_SECONDS = (*range(20), *range(395, 430), *range(890, 960), *range(1_795, 1_840))
"""Between them nothing was recorded: ages run out, and gates turn."""


def settings() -> StrategySettings:
    """The published rule."""
    return StrategySettings()


def said_on(second: int) -> Iterator[tuple[str, Published]]:
    """What was on the bus in this second, by source."""
    if second % 60 == 0:
        yield "executor", posture()
        yield "executor", account()
    for window in (first(), later()):
        over = second * SECOND + START_S * SECOND >= window.end_ns + 30 * SECOND
        if second % 5 == 0:
            yield "books", msgspec.structs.replace(window, outcome="up" if over else None, closed=over)
    move = 40.0 if second < 400 else 160.0
    yield "oracle-rtds", tick(second - 1, 100_000 + (0 if second <= 1 else move) + second % 7 / 100)
    yield "oracle-rtds", tick(second - 1, 100_000, "twap60")
    for window, ask4 in ((first(), 5_500), (later(), 7_000)):
        for outcome in ("up", "down"):
            yield "books", _book(window, outcome, ask4 + second % 3 * 100, second)
    yield "books", Heartbeat(role="books", pid=1, state="ready", detail="", ages_ms={}, counters={})


def first() -> MarketState:
    """It is bought into: the move comes at 400 s."""
    return market(token_up="1001", token_down="1002")


def later() -> MarketState:
    """It is never bought: nobody sells for less than 0.62."""
    start_ns = (START_S + 900) * SECOND
    return market(
        window=LATER, token_up="2001", token_down="2002", start_ns=start_ns, end_ns=start_ns + 900 * SECOND
    )


def _book(window: MarketState, outcome: Outcome, ask4: int, second: int) -> BookState:
    return BookState(
        token=window.token_up if outcome == "up" else window.token_down,
        window=window.window,
        outcome=outcome,
        status="live",
        bids=((ask4 - 100, 50_000_000),),
        asks=((ask4, 100_000_000), (ask4 + 100, 100_000_000)),
        tick4=100,
        venue_ns=(START_S + second) * SECOND,
        data_mono_ns=(10_000 + second) * SECOND,
    )


def records(seconds: Iterable[int] = TAPED_SECONDS, reborn_at: int | None = None) -> Iterator[Record]:
    """Everything on the bus, the strategist's own verdicts among it.

    In the second ``reborn_at`` the strategist is started anew and hears the snapshots of all others.
    """
    numbers: dict[str, int] = {}
    boot = "b"
    state = State(strategy=settings(), limits=RiskLimits())
    kept: dict[str, Envelope] = {}
    ticks: list[Envelope] = []

    def judged(event: Event, moment: Moment) -> Iterator[Record]:
        cause = envelope_id(event) if isinstance(event, Envelope) else ""
        for effect in list(engine.step(state, event, moment)[1]):
            if isinstance(effect, PublishVerdict):
                told = effect.verdict
                topic = f"verdict.{told.window}"
                yield _record(_envelope(numbers, "strategist", topic, told, moment, cause, boot), moment)

    for second in seconds:
        spoken = list(said_on(second))
        if reborn_at == second + 1:
            # State is sent again each second; here it matters once.
            spoken += [("executor", posture()), ("executor", account())]
        if second == reborn_at:
            moment = _moment(second, -1)
            boot, state = "c", State(strategy=settings(), limits=RiskLimits())
            born = Heartbeat(role="strategist", pid=2, state="ready", detail="", ages_ms={}, counters={})
            yield _record(_envelope(numbers, "strategist", _topic(born), born, moment, "", boot), moment)
            everyone = frozenset({"oracle-rtds", "books", "executor"})
            events: list[Event] = [Incomplete(everyone), *kept.values(), *ticks, Incomplete(frozenset())]
            for event in events:
                yield from judged(event, moment)
        for place, (source, body) in enumerate(spoken):
            moment = _moment(second, place)
            envelope = _envelope(numbers, source, _topic(body), body, moment, "")
            if isinstance(body, Tick):
                ticks.append(envelope)
            elif not isinstance(body, Heartbeat):
                kept[envelope.topic] = envelope
            yield _record(envelope, moment)
            yield from judged(envelope, moment)


def _moment(second: int, place: int) -> Moment:
    return Moment((START_S + second) * SECOND + place * 1_000, (10_000 + second) * SECOND + place * 1_000)


def write_tape(directory: Path, kept: Iterable[Record] | None = None) -> Path:
    """Write these records, by default all of them; returns the directory."""
    writer = TapeWriter(directory)
    for one in records() if kept is None else kept:
        writer.append(one)
    writer.flush()
    writer.close()
    return directory


def _topic(body: Published) -> str:
    if isinstance(body, Tick):
        return f"tick.{body.asset}.{body.kind}.{body.route}"
    if isinstance(body, BookState):
        return f"book.{body.token}"
    if isinstance(body, AccountState | PostureState):
        return f"{'account' if isinstance(body, AccountState) else 'posture'}.executor"
    return f"market.{body.window}" if isinstance(body, MarketState) else "other"


def _envelope(
    numbers: dict[str, int],
    source: str,
    topic: str,
    body: Published,
    moment: Moment,
    cause: str,
    boot: str = "b",
) -> Envelope:
    numbers[source] = numbers.get(source, 0) + 1
    return Envelope(
        schema=SCHEMA,
        source=source,
        boot=boot,
        seq=numbers[source],
        topic=topic,
        ts_event_ns=0,
        ts_recv_ns=moment.wall_ns,
        mono_ns=moment.mono_ns,
        cause=cause,
        body=body,
    )


def _record(envelope: Envelope, moment: Moment) -> Record:
    return Record(
        moment.mono_ns,
        moment.wall_ns,
        "bus",
        envelope.source,
        envelope.topic,
        msgspec.msgpack.encode(envelope),
    )


__all__ = [
    "LATER",
    "TAPED_SECONDS",
    "WINDOW",
    "first",
    "later",
    "records",
    "said_on",
    "settings",
    "write_tape",
]
