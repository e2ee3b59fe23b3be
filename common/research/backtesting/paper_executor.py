"""The executor of a backtest: the live executor's own state machine, with recorded books for a venue.

``order_flow.step`` decides here as it does in the running bot; only the answer of the venue is made of the
first book that came after the taker delay, by the paper venue's own rule. Keeps what was met at each fill.
"""

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from common.core import ledger, order_flow
from common.core.account import DAY_NS, broken_sums, utc_day
from common.core.decision_state import SubmitAnswered
from common.core.moment import Moment
from common.core.order_amounts import AmountsRefused, buy_amounts
from common.core.order_effects import (
    Effect,
    Place,
    PublishFill,
    PublishOrder,
    PublishPosition,
    PublishPosture,
    Refuse,
)
from common.core.order_events import (
    Answered,
    BookSeen,
    DefiniteNo,
    MarketSeen,
    SecondPassed,
    Submitted,
    VenueAnswer,
)
from common.core.order_state import Books, State
from common.core.paper_fill import decide, paper_order_id
from common.core.settings import RiskLimits, StrategySettings
from common.core.tally import counted
from common.errors import InvariantBroken
from common.messages import (
    AccountState,
    BookState,
    Envelope,
    Heartbeat,
    MarketState,
    OrderState,
    PositionState,
    PostureState,
    Published,
    Submit,
)
from common.research.backtesting.pricing import Ages, Priced, PriceFromTheFuture, PriceTooOld, price_at
from common.research.backtesting.quotes import Quotes

WHO = "backtest"


class Terms(NamedTuple):
    """How orders meet the recorded books."""

    latency_ns: int
    """From the decision to the venue, before the market's own taker delay."""
    ages: Ages
    flatter: bool
    """Fill at the last book before the decision, with no delay: labelled, never evidence."""
    bankroll_usd6: int


class Met(NamedTuple):
    """What an order met: the decision, and the book it was filled from or killed on."""

    submit: Submit
    wanted_ns: int
    """When it reached the book: decision, latency and taker delay."""
    priced: Priced | None
    """None where there was no price that may be used."""
    size_known: bool
    derived: bool
    refusal: str
    """Why nothing was filled, or empty."""


class PaperExecutor:
    """Takes wishes and time, and gives back what the engine is to hear of it, in order.

    Orders wait in ``due`` until the book that answers them; ``met`` has one entry for each intent.
    """

    def __init__(
        self,
        strategy: StrategySettings,
        limits: RiskLimits,
        quotes: Mapping[str, Quotes],
        terms: Terms,
        begin_ns: int,
    ) -> None:
        opening = ledger.opening(1, begin_ns, terms.bankroll_usd6)
        books = Books({}, {}, (), (), (opening,), terms.bankroll_usd6)
        posture = PostureState(posture="trading", reason=WHO, who=WHO, since_ns=begin_ns)
        self.state = State(strategy=strategy, limits=limits, books=books, posture=posture)
        self.met: dict[str, Met] = {}
        self.refusals: Counter[str] = Counter()
        """Wishes the executor refused, by code."""
        self._quotes, self._terms = quotes, terms
        self._due: list[tuple[int, int, str]] = []
        self._sent: dict[str, tuple[Place, Submit]] = {}
        self._number = 0
        self._day = -1
        """UTC day of the account as last told."""

    def next_due_ns(self) -> int | None:
        """When the next order is answered, if one is waiting."""
        return self._due[0][0] if self._due else None

    def begin(self, moment: Moment) -> list[Published]:
        """What an executor says first: its posture and its account."""
        return [self.state.posture, self.account(moment)]

    def hear(self, envelope: Envelope, moment: Moment) -> list[Published]:
        """Take in what books published; a settlement follows from an outcome."""
        body = envelope.body
        if isinstance(body, BookState):
            order_flow.step(self.state, BookSeen(body), moment)
            return []
        if isinstance(body, MarketState):
            return self._advance(MarketSeen(body), moment)
        if isinstance(body, Heartbeat):
            told = self._advance(SecondPassed(), moment)
            if moment.wall_ns // DAY_NS != self._day and not told:
                told = [self.account(moment)]  # a new day: yesterday's losses count no more
            return told
        return []

    def submit(self, submit: Submit, moment: Moment) -> tuple[SubmitAnswered, list[Published]]:
        """Answer a wish at once; an accepted one is answered by the venue when it is due."""
        market = self.state.markets.get(submit.window)
        refusal = self._unsignable(submit, market)
        if refusal is None:
            event = Submitted(submit, "", paper_order_id(submit.intent_id))
            self.state, effects = order_flow.step(self.state, event, moment)
            refusal = next((effect for effect in effects if isinstance(effect, Refuse)), None)
            place = next((effect for effect in effects if isinstance(effect, Place)), None)
            if place is not None:
                self._send(place, submit, moment)
            if refusal is None:
                return SubmitAnswered(submit.intent_id, True, ""), self._told(effects, moment)
        self.refusals[refusal.code] += 1
        return SubmitAnswered(submit.intent_id, False, refusal.text), []

    def answer(self, moment: Moment) -> list[Published]:
        """Let the venue answer the order that is due now."""
        _, _, intent_id = heapq.heappop(self._due)
        place, _ = self._sent.pop(intent_id)
        return self._advance(Answered(intent_id, self._matched(place)), moment)

    def account(self, moment: Moment) -> AccountState:
        """The account as far as the engine asks for it."""
        self._day = moment.wall_ns // DAY_NS
        tally, books = counted(self.state.tally, self.state.books, moment.wall_ns), self.state.books
        return AccountState(
            mode=WHO,
            cash_usd6=tally.cash_usd6,
            open_cost_usd6=sum(tally.open.by_direction.values()),
            realized_pnl_usd6=0,
            day=utc_day(moment.wall_ns),
            day_pnl_usd6=tally.day_pnl_usd6,
            fees_usd6=0,
            orders=len(books.orders),
            fills=len(books.fills),
            duplicate_orders=0,
            ledger_difference_usd6=0,
            loss_streak=tally.loss_streak,
        )

    def prove(self) -> None:
        """Raise InvariantBroken unless orders, positions, ledger and facts add up to the last unit."""
        broken = broken_sums(self.state.books)
        if broken:
            raise InvariantBroken(f"the books of the backtest do not add up: {broken}")

    def _unsignable(self, submit: Submit, market: MarketState | None) -> Refuse | None:
        if market is None:
            return None
        try:
            buy_amounts(submit.stake_usd6, submit.limit4, market.tick4)
        except AmountsRefused as refused:
            return Refuse(refused.code, str(refused))
        return None

    def _send(self, place: Place, submit: Submit, moment: Moment) -> None:
        """Find the book this order will meet, and wait for it."""
        delay_ns = place.market.taker_delay_ns or 0
        wanted_ns = moment.wall_ns + (0 if self._terms.flatter else self._terms.latency_ns + delay_ns)
        quotes, due_ns = self._quotes[submit.token], wanted_ns
        try:
            priced = price_at(
                quotes.at_ns, quotes.venue_ns, wanted_ns, self._terms.ages, flatter=self._terms.flatter
            )
        except (PriceTooOld, PriceFromTheFuture) as missing:
            code = "price-too-old" if isinstance(missing, PriceTooOld) else "price-from-the-future"
            met = Met(submit, wanted_ns, None, size_known=False, derived=False, refusal=f"{code}: {missing}")
        else:
            due_ns = max(wanted_ns, priced.at_ns)
            known, derived = quotes.size_known(priced.row), quotes.derived(priced.row)
            met = Met(submit, wanted_ns, priced, known, derived, "")
        self.met[submit.intent_id] = met
        self._sent[submit.intent_id] = place, submit
        self._number += 1
        heapq.heappush(self._due, (due_ns, self._number, submit.intent_id))

    def _matched(self, place: Place) -> VenueAnswer:
        order = place.order.state
        met = self.met[order.intent_id]
        if met.priced is None:
            answer: VenueAnswer = DefiniteNo("no-price", met.refusal)
        else:
            book = self._quotes[order.token].book(met.priced.row)
            # Judged as of the book: how long it was waited for, and how old it was, ``price_at`` has ruled.
            at = Moment(max(met.wanted_ns, met.priced.at_ns), book.data_mono_ns)
            answer = decide(
                order,
                self.state.markets.get(order.window),
                book,
                incomplete=False,
                max_age_ns=self._terms.ages.max_age_ns,
                moment=at,
            )
        if isinstance(answer, DefiniteNo) and not met.refusal:
            self.met[order.intent_id] = met._replace(refusal=f"{answer.code}: {answer.text}")
        return answer

    def _advance(self, event: Answered | MarketSeen | SecondPassed, moment: Moment) -> list[Published]:
        self.state, effects = order_flow.step(self.state, event, moment)
        return self._told(effects, moment)

    def _told(self, effects: Iterable[Effect], moment: Moment) -> list[Published]:
        told: list[Published] = []
        for effect in effects:
            match effect:
                case PublishOrder(body) | PublishPosition(body) | PublishFill(body) | PublishPosture(body):
                    told.append(body)
                case _:
                    pass  # commits have no journal here, alerts no reader
        return [*told, self.account(moment)] if told else []


def topic_of(body: Published) -> str:
    """The bus's topic of what an executor tells."""
    match body:
        case OrderState():
            return f"order.{body.window}"
        case PositionState():
            return f"position.{body.window}.{body.outcome}"
        case PostureState():
            return "posture.executor"
        case AccountState():
            return "account.executor"
        case _:
            return f"fill.{getattr(body, 'window', '')}"
