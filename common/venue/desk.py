"""The executor's desk: carries out what ``common.core.order_flow`` decides, first the commit, then the rest.

Owns the running state and keeps it equal to the journal. Decides nothing, and never lets memory run ahead of
what is committed.
"""

from collections.abc import Awaitable, Callable

from common.core.account import account_state, broken_sums
from common.core.holds import shown_posture
from common.core.moment import Moment
from common.core.order_effects import (
    Accept,
    CancelOrder,
    CatchUp,
    CheckAccount,
    Commit,
    CommitIntent,
    Effect,
    LookUp,
    Place,
    PublishFill,
    PublishOrder,
    PublishPosition,
    PublishPosture,
    RaiseAlert,
    Refuse,
)
from common.core.order_events import (
    Answered,
    BookSeen,
    CaughtUp,
    Completeness,
    Event,
    JournalFailed,
    LedgerChecked,
    LookedUp,
    MarketSeen,
    SecondPassed,
    TradeSeen,
    VenueAnswer,
)
from common.core.order_flow import step
from common.core.order_pursuit import unfinished_since_ns
from common.core.order_state import (
    Books,
    Order,
    State,
)
from common.core.order_trades import order_of
from common.core.venue_facts import Unread
from common.errors import DependencyMissing, InvariantBroken
from common.messages import (
    Accepted,
    AccountReport,
    AccountState,
    Answer,
    BookState,
    Command,
    Envelope,
    MarketState,
    OrderState,
    PositionState,
    Refused,
    Request,
)
from common.runtime.shell import Process
from common.store.journal import Journal
from common.units import SECOND
from common.venue.paper import PaperVenue, View
from common.venue.port import OrderPort
from common.venue.recovery import leave_marker

KEEP_PUBLISHED_NS = 3600 * SECOND
REPORTED_ORDERS = 200
LEDGER_CHECK_S = 10


class Desk:
    """The running executor: the state, its journal and its venue, changed by ``advance`` alone."""

    def __init__(self, process: Process, journal: Journal, state: State) -> None:
        """Orders go on paper until ``trade_with`` says otherwise."""
        self.process = process
        self.journal = journal
        self.state = state
        self.venue: OrderPort = PaperVenue(
            process.clock, self.look, max_fill_age_ns=int(process.config.paper.max_fill_age_s * SECOND)
        )
        self._check_account: Callable[[], None] = lambda: None
        self._unwritten: list[Event] = []
        self._published: dict[str, int] = {}
        self._account: AccountState | None = None
        self._summed: Books | None = None
        self._summed_at = (0, 0)
        self._duplicates = 0

    def trade_with(self, venue: OrderPort, check_account: Callable[[], None]) -> None:
        """Send orders there; ``check_account`` is called when the account is not what it was taken for."""
        self.venue, self._check_account = venue, check_account

    def moment(self) -> Moment:
        """Now."""
        return Moment(self.process.clock.wall_ns(), self.process.clock.mono_ns())

    def look(self, order: OrderState) -> View:
        """What is held of an order's market at this instant."""
        state = self.state
        return View(state.markets.get(order.window), state.quotes.get(order.token), state.incomplete)

    def advance(self, event: Event) -> Answer | None:
        """Let one event happen: decide, commit, and only then change, publish and answer.

        Raises DependencyMissing when the journal could not take it (nothing happened, the posture is halted)
        and InvariantBroken, after leaving the marker, when going on would risk money.
        """
        moment = self.moment()
        state, effects = step(self.state, event, moment)
        commits = [effect for effect in effects if isinstance(effect, Commit)]
        begun = next((commit for commit in commits if isinstance(commit, CommitIntent)), None)
        try:
            if begun is not None:
                self.journal.write_ahead(begun)
            elif commits:
                self.journal.commit(*commits)
        except InvariantBroken as error:
            leave_marker(self.process.paths.state_dir, str(error))
            raise
        except DependencyMissing as error:
            self._journal_failed(error)
            raise
        self.state = state
        if begun is not None:
            effects = self._send(effects)
        return self._carry_out(effects)

    def _send(self, effects: list[Effect]) -> list[Effect]:
        """Let the order leave now that it is written ahead, and only then wait for the disk; what is left."""
        self._carry_out([effect for effect in effects if isinstance(effect, Place)])
        try:
            self.journal.commit()
        except InvariantBroken as error:
            leave_marker(self.process.paths.state_dir, str(error))
            raise
        except DependencyMissing as error:
            # Nothing is lost: the next commit takes what was written ahead with it.
            self._journal_failed(error)
        return [effect for effect in effects if not isinstance(effect, Place)]

    def _journal_failed(self, error: DependencyMissing) -> None:
        self.state, effects = step(self.state, JournalFailed(str(error)), self.moment())
        self._carry_out(effects)
        self.process.count("journal_failures")

    def read_account(self, _command: Command, _request: Request) -> Answer:
        """Answer with all open and the latest closed positions, and the latest orders."""
        books = self.state.books
        settled = [one.position for one in books.settlements[-REPORTED_ORDERS:]]
        held = [position for position in books.positions.values() if not position.settled]
        orders = sorted((order.state for order in books.orders.values()), key=lambda order: order.created_ns)
        return AccountReport(
            account=self.account(),
            posture=shown_posture(self.state),
            positions=(*settled, *held),
            orders=tuple(orders[-REPORTED_ORDERS:]),
        )

    def hear(self, envelopes: list[Envelope], incomplete: bool) -> None:
        """Take in what books published, in order."""
        if incomplete != self.state.incomplete:
            self.advance(Completeness(incomplete))
        for envelope in envelopes:
            try:
                if isinstance(envelope.body, BookState):
                    # Thousands a second, and nothing but the quotes ever follows from one.
                    step(self.state, BookSeen(envelope.body), self.moment())
                elif isinstance(envelope.body, MarketState):
                    self.advance(MarketSeen(envelope.body))
            except DependencyMissing:
                continue  # a settlement that could not be written: the market comes again each second

    def second(self, number: int) -> None:
        """What has to happen without anybody asking."""
        events: list[Event] = [*self._unwritten, SecondPassed()]
        if number % LEDGER_CHECK_S == 0:
            events.append(LedgerChecked(broken_sums(self.state.books)))
        for event in events:
            try:
                self.advance(event)
                if event in self._unwritten:
                    self._unwritten.remove(event)
            except DependencyMissing as error:
                self.process.log.warning("journal_failing", problem=str(error))
        try:
            self._duplicates = self.journal.duplicate_orders()
        except DependencyMissing as error:
            self.process.log.warning("journal_failing", problem=str(error))
        self._forget_old()
        self.process.publisher.publish("account.executor", self.account(), keep=True)

    def account(self) -> AccountState:
        """The account now; summed anew when the books or the day have changed."""
        wall_ns = self.process.clock.wall_ns()
        books, span = self.state.books, wall_ns // (10 * SECOND)
        if self._account is None or self._summed is not books or self._summed_at != (self._duplicates, span):
            self._account = account_state(books, self.venue.mode, wall_ns, duplicate_orders=self._duplicates)
            self._summed, self._summed_at = books, (self._duplicates, span)
        return self._account

    def publish_everything(self) -> None:
        """Say after a start what is still of interest."""
        now = self.process.clock.wall_ns()
        self._carry_out([PublishPosture(shown_posture(self.state))])
        books = self.state.books
        recent = {one.position.window for one in books.settlements if now - one.at_ns < KEEP_PUBLISHED_NS}
        recent |= {position.window for position in books.positions.values() if not position.settled}
        for order in books.orders.values():
            if order.state.window in recent or now - order.state.updated_ns < KEEP_PUBLISHED_NS:
                self._carry_out([PublishOrder(order.state)])
        for fill in books.fills:
            if fill.window in recent:
                self._carry_out([PublishFill(fill)])
        for position in books.positions.values():
            if position.window in recent:
                self._carry_out([PublishPosition(position)])
        self.process.publisher.publish("account.executor", self.account(), keep=True)

    def working(self) -> bool:
        """Whether an order's fate is open."""
        return any(order.state.status == "working" for order in self.state.books.orders.values())

    def decide(self, event: Event) -> Answer:
        """Advance by a command and give its answer; a journal that cannot take it refuses."""
        try:
            answer = self.advance(event)
        except DependencyMissing as error:
            return Refused(code="journal", text=str(error))
        if isinstance(answer, Refused):
            return self.noted(answer)
        return answer or Refused(code="unanswered", text="nothing was decided")

    def noted(self, refusal: Refused) -> Refused:
        """Count and log a refusal."""
        self.process.count(f"refused_{refusal.code}")
        self.process.log.info("refused", code=refusal.code, text=refusal.text)
        return refusal

    def _carry_out(self, effects: list[Effect]) -> Answer | None:
        answer: Answer | None = None
        for effect in effects:
            match effect:
                case PublishOrder(order):
                    self.process.log.info(
                        "order", intent=order.intent_id, status=order.status, reason=order.reason
                    )
                    self._publish(_order_topic(order), order)
                case PublishFill(fill):
                    self.process.publisher.publish(f"fill.{fill.window}", fill, ts_event_ns=fill.at_ns)
                case PublishPosition(position):
                    self._publish(f"position.{position.window}.{position.outcome}", position)
                case PublishPosture(posture):
                    self.process.log.warning("posture", posture=posture.posture, reason=posture.reason)
                    self.process.publisher.publish("posture.executor", posture, keep=True)
                    self.process.facts["posture"] = f"{posture.posture}: {posture.reason}"
                case RaiseAlert(alert):
                    self.process.log.warning(alert.code, text=alert.text)
                    self.process.publisher.publish(f"alert.{alert.code}", alert)
                case Place(order, market):
                    answer_of = self.venue.place(order, market)
                    self.process.spawn(self._hear_answer(order, answer_of), name=order.state.intent_id)
                case LookUp(order):
                    self.process.spawn(self._look_up(order), name=f"look up {order.state.intent_id}")
                case CatchUp(since_ns):
                    self.process.spawn(self._catch_up(since_ns), name="catch up")
                case CancelOrder(order):
                    self.process.spawn(self.venue.cancel(order), name=f"cancel {order.state.intent_id}")
                case CheckAccount():
                    self._check_account()
                case Accept(text, order_id, repeated):
                    answer = Accepted(text=text, order_id=order_id, repeated=repeated)
                case Refuse(code, text):
                    answer = Refused(code=code, text=text)
                case _:
                    pass  # a commit: done before
        return answer

    async def _hear_answer(self, order: Order, answer: Awaitable[VenueAnswer]) -> None:
        self.tell(Answered(order.state.intent_id, await answer))

    async def _look_up(self, order: Order) -> None:
        self.tell(LookedUp(order.state.intent_id, await self.venue.look_up(order)))

    async def _catch_up(self, since_ns: int) -> None:
        own = [order.state.order_id for order in self.state.books.orders.values()]
        activity = await self.venue.trades_since(since_ns, own)
        if isinstance(activity, Unread):
            self.tell(CaughtUp(activity.text))
            return
        for trade in activity.trades:
            self.tell(TradeSeen(trade))
        for trade_of_others in activity.foreign:
            self.tell(trade_of_others)
        self.tell(CaughtUp())

    def catch_up(self) -> None:
        """Read the account's trades anew: the user channel was away and repeats nothing."""
        since_ns = unfinished_since_ns(self.state)
        self.process.spawn(self._catch_up(since_ns), name="catch up")

    def is_ours(self, order_id: str) -> bool:
        """Whether this is one of our orders."""
        return order_of(self.state, order_id) is not None

    def tell(self, event: Event) -> None:
        """Advance by what the venue said; what the journal cannot take now is told again each second."""
        try:
            self.advance(event)
        except DependencyMissing:
            self._unwritten.append(event)

    def _publish(self, topic: str, body: OrderState | PositionState) -> None:
        self._published[topic] = self.process.clock.wall_ns()
        self.process.publisher.publish(topic, body, keep=True)

    def _forget_old(self) -> None:
        """Stop repeating orders and positions that are over and unchanged for an hour."""
        now = self.process.clock.wall_ns()
        open_windows = {p.window for p in self.state.books.positions.values() if not p.settled}
        for topic, at_ns in list(self._published.items()):
            if now - at_ns >= KEEP_PUBLISHED_NS and topic.split(".")[1] not in open_windows:
                self.process.publisher.forget(topic)
                del self._published[topic]


def _order_topic(order: OrderState) -> str:
    """A window's entry and its sales each keep their last word."""
    return f"order.{order.window}" + (
        f".{order.intent_id.rpartition('/')[2]}" if order.side == "sell" else ""
    )
