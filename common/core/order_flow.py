"""The executor's state machine: ``step(state, event, moment)``, the last word on every order.

One intent is one order, one window and strategy is one entry, a position is settled once. Effects are wishes;
nothing here reads a clock, sends or stores. When a commit fails the shell keeps the old state.
"""

import msgspec

from common.core import order_pursuit, order_trades, route_rule
from common.core.holds import STRICTNESS, expire, halt, hold, shown_posture
from common.core.matching import worst_case_usd6
from common.core.moment import Moment
from common.core.order_effects import (
    Accept,
    CatchUp,
    CommitIntent,
    CommitPosture,
    Effect,
    Place,
    PublishOrder,
    PublishPosture,
    Refuse,
    Result,
    commits_first,
)
from common.core.order_events import (
    Answered,
    BookSeen,
    CaughtUp,
    Completeness,
    Event,
    ForeignSeen,
    HoldAsked,
    JournalFailed,
    LedgerChecked,
    LookedUp,
    MarketSeen,
    NewsSeen,
    PostureAsked,
    RecallAsked,
    Redeemed,
    Resolved,
    Restarted,
    SaleSigned,
    SecondPassed,
    Submitted,
    TradeSeen,
)
from common.core.order_outcome import answered, killed
from common.core.order_refusal import refused_before_risk, refused_by_risk
from common.core.order_retreat import recall, sale_signed
from common.core.order_settlement import market_seen, redeemed, resolved
from common.core.order_state import (
    Order,
    State,
)
from common.core.tally import counted, with_order
from common.messages import OrderState, PostureState
from common.units import SECOND

ACCOUNT_HOLD = "account"
KEEP_MARKETS_NS = 3600 * SECOND
WATCHER = "sentinel"
"""The process that watches the others: it tightens, and loosens nothing."""


def step(state: State, event: Event, moment: Moment) -> Result:
    """Apply one event at one moment; returns a new state and the effects in order, commits first."""
    if isinstance(event, BookSeen):
        # Thousands a second: ``quotes`` is the one part of a state that is changed in place.
        book = event.book
        held = state.quotes.get(book.token)
        if held is None or book.data_mono_ns >= held.data_mono_ns:
            state.quotes[book.token] = book
        return state, []
    after, effects = _applied(state, event, moment)
    if after.books is not state.books and not isinstance(event, Submitted):
        # Counted when the books change, so that the next order finds the sums made.
        after = msgspec.structs.replace(after, tally=counted(after.tally, after.books, moment.wall_ns))
    return after, effects


def _applied(state: State, event: Event, moment: Moment) -> Result:
    match event:
        case BookSeen():
            return state, []  # taken in by ``step``
        case MarketSeen(market):
            return market_seen(state, market, moment)
        case Completeness(incomplete):
            return msgspec.structs.replace(state, incomplete=incomplete), []
        case Submitted():
            return _submitted(state, event, moment)
        case Answered(intent_id, answer):
            return answered(state, intent_id, answer, moment)
        case TradeSeen():
            return _trade_seen(state, event, moment)
        case NewsSeen(news):
            return order_pursuit.news_seen(state, news, moment)
        case ForeignSeen(what, token):
            return order_trades.foreign_seen(state, what, token)
        case LookedUp(intent_id, reading):
            return order_pursuit.looked_up(state, intent_id, reading, moment)
        case CaughtUp(problem):
            why = f"the account's trades could not be read: {problem}" if problem else ""
            return hold(state, ACCOUNT_HOLD, why, moment)
        case HoldAsked(name, reason, for_ns):
            return hold(state, name, reason, moment, for_ns=for_ns)
        case Resolved():
            return resolved(state, event, moment)
        case Redeemed(payment):
            return redeemed(state, payment, moment)
        case PostureAsked(posture, reason, who, request_id):
            asked = PostureState(posture=posture, reason=reason, who=who, since_ns=moment.wall_ns)
            return _posture_asked(state, asked, request_id)
        case RecallAsked():
            return recall(state, moment)
        case SaleSigned():
            return sale_signed(state, event, moment)
        case Restarted():
            return _restarted(state, moment)
        case SecondPassed():
            return _second_passed(state, moment)
        case JournalFailed(text):
            return halt(
                state, f"the journal cannot be written: {text}", "journal-failed", moment, saved=False
            )
        case LedgerChecked(text):
            return (
                halt(state, f"the books do not add up: {text}", "ledger-difference", moment)
                if text
                else (state, [])
            )


def followed_windows(state: State, moment: Moment) -> tuple[str, ...]:
    """Windows that have ended and in which something is still to be settled."""
    held = state.books.positions.values()
    return tuple(sorted({p.window for p in held if not p.settled and moment.wall_ns >= p.end_ns}))


def _submitted(state: State, event: Submitted, moment: Moment) -> Result:
    submit = event.submit
    existing = state.books.orders.get(submit.intent_id)
    if existing is not None:
        known = existing.state
        text = f"{known.status}: {known.reason}" if known.reason else known.status
        return state, [Accept(text, known.order_id, repeated=True)]
    market = state.markets.get(submit.window)
    refusal = refused_before_risk(state, submit, market, moment)
    if refusal is not None or market is None:
        return state, [refusal or Refuse("unknown-window", "no market data")]
    worst = worst_case_usd6(submit.stake_usd6, submit.limit4, market.fee)
    tally = counted(state.tally, state.books, moment.wall_ns)
    refusal = refused_by_risk(state, tally, submit, worst, moment)
    if refusal is not None:
        return state, [refusal]
    order = Order(
        state=OrderState(
            order_id=event.order_id,
            intent_id=submit.intent_id,
            window=submit.window,
            asset=submit.asset,
            token=submit.token,
            outcome=submit.outcome,
            limit4=submit.limit4,
            stake_usd6=submit.stake_usd6,
            status="working",
            reason="",
            filled_size6=0,
            cost_usd6=0,
            fee_usd6=0,
            created_ns=moment.wall_ns,
            updated_ns=moment.wall_ns,
            basis=submit.basis,
        ),
        strategy=submit.strategy,
        worst_usd6=worst,
        decided_ns=submit.decided_ns,
        cause=submit.cause,
        verdict_number=submit.verdict_number,
        end_ns=market.end_ns,
        fee=market.fee,
        wire=event.wire,
        condition_id=market.condition_id,
    )
    orders = {**state.books.orders, submit.intent_id: order}
    times = (*(at for at in state.order_times_ns if moment.mono_ns - at < 60 * SECOND), moment.mono_ns)
    state = msgspec.structs.replace(
        state,
        books=msgspec.structs.replace(state.books, orders=orders),
        tally=with_order(tally, orders, order),
        order_times_ns=times,
    )
    if order.wire:
        state = order_pursuit.begin(state, order, moment, in_flight=True)
    return state, [
        CommitIntent(order, event.request_id),
        PublishOrder(order.state),
        Place(order, market),
        Accept("working", order.state.order_id),
    ]


def _posture_asked(state: State, posture: PostureState, request_id: str) -> Result:
    now = state.posture
    if posture.who == route_rule.WHO and not _routes_may(now, posture):
        return state, [Refuse("posture", f"{now.posture} by {now.who} is not the routes' to change")]
    if posture.who == WATCHER and now.posture != "trading" and now.who != route_rule.WHO:
        # What a person decided stays, with its reason; what the routes set they would lift again.
        return state, [Accept(now.posture, repeated=True)]
    if posture.posture != "trading" and STRICTNESS.index(posture.posture) < STRICTNESS.index(now.posture):
        # What is strict gives way to a resume alone: a pause that comes late must not weaken a halt.
        return state, [Accept(now.posture, repeated=True)]
    if (now.posture, now.reason, now.who) == (
        posture.posture,
        posture.reason,
        posture.who,
    ) and state.posture_saved:
        return state, [Accept(now.posture, repeated=True)]
    state = msgspec.structs.replace(state, posture=posture, posture_saved=True)
    return state, [
        CommitPosture(posture, request_id),
        PublishPosture(shown_posture(state)),
        Accept(posture.posture),
    ]


def _routes_may(now: PostureState, asked: PostureState) -> bool:
    """The rule of the oracle routes only tightens, and lifts nothing but what it set itself."""
    if asked.posture == "trading":
        return now.posture == "no-new-orders" and now.who == route_rule.WHO
    return asked.posture == "no-new-orders" and now.posture == "trading"


def _trade_seen(state: State, event: TradeSeen, moment: Moment) -> Result:
    state, effects = order_trades.trade_seen(state, event.trade, moment)
    order = order_trades.order_of(state, event.trade.order_id)
    if order is None or order.state.status != "working":
        return state, effects
    state, more = order_pursuit.conclude(state, order.state.intent_id, moment)
    return state, commits_first([*effects, *more])


def _restarted(state: State, moment: Moment) -> Result:
    """A paper order still working was never matched: killed. One with signed bytes may be anywhere."""
    effects: list[Effect] = []
    for intent_id, order in state.books.orders.items():
        if order.state.status != "working":
            continue
        if order.wire:
            why = "the executor restarted while it was open"
            state = order_pursuit.begin(state, order, moment, in_flight=False, unknown=why)
            continue
        state, more = killed(state, intent_id, "executor restarted before the match", moment)
        effects += more
    if state.books.live:
        state, more = hold(state, ACCOUNT_HOLD, "the account was not read since the start", moment)
        effects += [*more, CatchUp(order_pursuit.unfinished_since_ns(state))]
        state, more = order_pursuit.each_second(state, moment)
        effects += more
    return state, commits_first(effects)


def _second_passed(state: State, moment: Moment) -> Result:
    tally = counted(state.tally, state.books, moment.wall_ns)
    if tally is not state.tally:
        state = msgspec.structs.replace(state, tally=tally)  # so that the next order finds it counted
    waiting = {window for window, _ in tally.open.held} | {r.window for r in tally.reservations}
    markets = {
        name: market
        for name, market in state.markets.items()
        if name in waiting or moment.wall_ns - market.end_ns < KEEP_MARKETS_NS
    }
    if len(markets) != len(state.markets):
        tokens = {token for market in markets.values() for token in (market.token_up, market.token_down)}
        quotes = {token: quote for token, quote in state.quotes.items() if token in tokens}
        state = msgspec.structs.replace(state, markets=markets, quotes=quotes)
    effects: list[Effect] = []
    if not state.posture_saved:
        state = msgspec.structs.replace(state, posture_saved=True)
        effects.append(CommitPosture(state.posture))
    for each in (expire, order_pursuit.each_second, order_trades.warn_of_stuck):
        state, more = each(state, moment)
        effects += more
    return state, commits_first(effects)
