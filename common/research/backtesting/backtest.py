"""The backtest: the live engine and the live executor's state machine on recorded markets, honestly filled.

Owns the loop and what becomes of it. A fill is at an ask that was observed after the order had reached the
venue, over the depth that was shown, with the fee of the market; there is no other way to be filled.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import msgspec

from common.core import engine
from common.core.decision_state import Event, SendOrder, State
from common.core.moment import Moment
from common.core.reference import SETTLING_FAMILY
from common.core.settings import RiskLimits, StrategySettings
from common.messages import SCHEMA, Envelope, Published
from common.research.backtesting.events import stream
from common.research.backtesting.paper_executor import Met, PaperExecutor, Terms, topic_of
from common.research.backtesting.pricing import FLATTERED, Ages
from common.research.backtesting.results import Trade, Unfilled, unfilled
from common.research.backtesting.story import Assumptions, Story, tell
from common.research.data.dataset import Dataset
from common.research.replaying.decision_log import DecisionLog, settings_digest
from common.research.replaying.replay import Heard
from common.units import PRICE4_ONE, SECOND, USD6_ONE, ceil_div

DEFAULT_AGES = Ages(max_wait_ns=5 * SECOND, max_age_ns=5 * SECOND)
DEEP_POCKET_USD6 = 1_000_000 * USD6_ONE
_NEVER = 1 << 60


class Plan(NamedTuple):
    """How a backtest is run."""

    strategy: StrategySettings
    limits: RiskLimits
    ages: Ages = DEFAULT_AGES
    assume: Assumptions = Assumptions()
    latency_ns: int = 0
    """From the decision to the venue, on top of the market's taker delay."""
    flatter: bool = False
    bankroll_usd6: int = DEEP_POCKET_USD6


class Outcome(NamedTuple):
    """Everything a backtest has to say."""

    label: str
    """FLATTERED, or empty: what is flattered says so wherever it appears."""
    trades: tuple[Trade, ...]
    orders: int
    unfilled: Unfilled
    refused: Mapping[str, int]
    """Wishes the executor refused, by code."""
    windows: int
    """Windows that could be traded."""
    openings_ns: tuple[int, ...]
    left_out: Mapping[str, int]
    families: tuple[str, ...]
    """What windows were judged by, in this order; all but the first are proxies."""
    notes: tuple[str, ...]
    events: int
    decisions_sha256: str
    config_sha256: str
    data_digest: str


def without_stops(limits: RiskLimits) -> RiskLimits:
    """The same limits without those that end trading after losses: a measurement does not stop half way."""
    return msgspec.structs.replace(limits, max_daily_loss_usd6=_NEVER, max_loss_streak=_NEVER)


def run(data: Dataset, plan: Plan, progress: Callable[[float], None] | None = None) -> Outcome:
    """Trade every window of the data that can be traded again.

    ``progress`` is told the share that is done, now and then. Raises InvariantBroken when the books do not
    add up at the end.
    """
    story = tell(data, plan.assume, plan.strategy.families)
    strategy = msgspec.structs.replace(plan.strategy, families=story.families, live=False)
    begin_ns = min((one.start_ns for one in story.markets.values()), default=0) - 120 * SECOND
    terms = Terms(plan.latency_ns, plan.ages, plan.flatter, plan.bankroll_usd6)
    desk = PaperExecutor(strategy, plan.limits, story.quotes, terms, begin_ns)
    table = _Table(State(strategy=strategy, limits=plan.limits), desk, plan.limits)
    table.say(desk.begin(Moment(begin_ns, begin_ns)), Moment(begin_ns, begin_ns))
    for heard in stream(story, progress):
        table.until(heard.moment.wall_ns)
        table.hear(heard)
    table.until(_NEVER * 8)
    desk.prove()
    return Outcome(
        label=FLATTERED if plan.flatter else "",
        trades=tuple(_trades(desk, story)),
        orders=len(desk.met),
        unfilled=unfilled(met.refusal for met in desk.met.values() if met.refusal),
        refused=dict(sorted(desk.refusals.items())),
        windows=len(story.markets),
        openings_ns=tuple(sorted(one.start_ns for one in story.markets.values())),
        left_out=dict(sorted(story.left_out.items())),
        families=story.families,
        notes=_notes(story, desk.met.values()),
        events=table.events,
        decisions_sha256=table.log.sha256,
        config_sha256=settings_digest(strategy, plan.limits),
        data_digest=data.digest,
    )


class _Table:
    """Engine and executor opposite each other: each hears at once what the other says."""

    def __init__(self, state: State, desk: PaperExecutor, limits: RiskLimits) -> None:
        self.state, self.desk = state, desk
        self.log = DecisionLog(state.strategy, limits)
        self.events = 0
        self._seq = 0

    def until(self, wall_ns: int) -> None:
        """Let the venue answer every order that is due at or before this instant."""
        while (due := self.desk.next_due_ns()) is not None and due <= wall_ns:
            moment = Moment(due, due)
            self.say(self.desk.answer(moment), moment)

    def hear(self, heard: Heard) -> None:
        """One recorded message: to the executor first, for a wish must find it knowing the same."""
        envelope, moment = heard
        if envelope.source == "books":
            self.say(self.desk.hear(envelope, moment), moment)
        self._step(envelope, moment, f"{envelope.source}/{envelope.seq}")

    def say(self, told: Iterable[Published], moment: Moment) -> None:
        """What the executor tells, as the engine hears it."""
        for body in told:
            self._seq += 1
            envelope = Envelope(
                schema=SCHEMA,
                source="executor",
                boot="recorded",
                seq=self._seq,
                topic=topic_of(body),
                ts_event_ns=0,
                ts_recv_ns=moment.wall_ns,
                mono_ns=moment.mono_ns,
                cause="",
                body=body,
            )
            self._step(envelope, moment, f"executor/{self._seq}")

    def _step(self, event: Event, moment: Moment, cause: str) -> None:
        self.events += 1
        effects = list(engine.step(self.state, event, moment)[1])
        for effect in effects:
            self.log.add(effect, moment, cause)
        for effect in effects:
            if isinstance(effect, SendOrder):
                answer, told = self.desk.submit(effect.submit, moment)
                self._step(answer, moment, cause)
                self.say(told, moment)


def _trades(desk: PaperExecutor, story: Story) -> Iterable[Trade]:
    books = desk.state.books
    intents = {(one.state.window, one.state.outcome): intent for intent, one in books.orders.items()}
    for settlement in books.settlements:
        held = settlement.position
        met = desk.met[intents[held.window, held.outcome]]
        assert met.priced is not None
        yield Trade(
            window=held.window,
            asset=held.asset,
            era=story.eras[held.window],
            start_ns=story.markets[held.window].start_ns,
            outcome=held.outcome,
            basis=held.basis,
            decided_ns=met.submit.decided_ns,
            filled_ns=met.priced.at_ns,
            wait_ns=met.priced.wait_ns,
            age_ns=met.priced.age_ns,
            size_known=met.size_known,
            derived=met.derived,
            price4=ceil_div(held.cost_usd6 * PRICE4_ONE, held.size6),
            size6=held.size6,
            cost_usd6=held.cost_usd6,
            fee_usd6=held.fee_usd6,
            payout_usd6=held.payout_usd6,
        )


def _notes(story: Story, met: Iterable[Met]) -> tuple[str, ...]:
    said = []
    if story.proxied:
        proxies = ", ".join(family for family in story.families if family != SETTLING_FAMILY)
        said.append(
            f"{len(story.proxied)} windows judged by a proxy ({proxies}), "
            "each series only against itself at the opening"
        )
    filled = [one for one in met if not one.refusal]
    guessed = sum(not one.size_known for one in filled)
    if guessed:
        said.append(f"{guessed} of {len(filled)} fills at a size that was assumed")
    return (*story.notes, *said)


def digest(trades: Iterable[Trade]) -> str:
    """SHA-256 of the trades: equal runs have equal ones."""
    whole = hashlib.sha256()
    for one in trades:
        whole.update(msgspec.json.encode(tuple(one)) + b"\n")
    return whole.hexdigest()
