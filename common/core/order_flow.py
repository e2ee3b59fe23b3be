"""The executor's state machine: ``step(state, event, moment)``, the last word on every order.

One intent is one order, one window and strategy is one entry, a position is settled once. Effects are wishes;
nothing here reads a clock, sends or stores. When a commit fails the shell keeps the old state.
"""

import msgspec

from common.core import order_pursuit, order_trades, passport, risk, route_rule
from common.core.account import cash_usd6, day_pnl_usd6, loss_streak, reservations, utc_day
from common.core.holds import expire, halt, hold, shown_posture
from common.core.matching import worst_case_usd6
from common.core.moment import Moment
from common.core.order_outcome import answered, killed
from common.core.order_settlement import market_seen, redeemed
from common.core.order_state import (
    Accept,
    Answered,
    BookSeen,
    CatchUp,
    CaughtUp,
    CommitIntent,
    CommitPosture,
    Completeness,
    Effect,
    Event,
    ForeignSeen,
    HoldAsked,
    JournalFailed,
    LedgerChecked,
    LookedUp,
    MarketSeen,
    NewsSeen,
    Order,
    Place,
    PostureAsked,
    PublishOrder,
    PublishPosture,
    Redeemed,
    Refuse,
    Restarted,
    Result,
    SecondPassed,
    State,
    Submitted,
    TradeSeen,
    commits_first,
)
from common.messages import MarketState, OrderState, PostureState, Submit
from common.units import MILLISECOND, SECOND, price4_text

ACCOUNT_HOLD = "account"
KEEP_MARKETS_NS = 3600 * SECOND
_STRIKE_IS_THE_STRATEGISTS_PART = passport.Strike(1, "spot", "", 0, 0)


def step(state: State, event: Event, moment: Moment) -> Result:
    """Apply one event at one moment; returns a new state and the effects in order, commits first."""
    match event:
        case BookSeen(book):
            held = state.quotes.get(book.token)
            if held is not None and book.data_mono_ns < held.data_mono_ns:
                return state, []
            return msgspec.structs.replace(state, quotes={**state.quotes, book.token: book}), []
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
        case ForeignSeen(what):
            return order_trades.foreign_seen(state, what)
        case LookedUp(intent_id, reading):
            return order_pursuit.looked_up(state, intent_id, reading, moment)
        case CaughtUp(problem):
            why = f"the account's trades could not be read: {problem}" if problem else ""
            return hold(state, ACCOUNT_HOLD, why, moment)
        case HoldAsked(name, reason, for_ns):
            return hold(state, name, reason, moment, for_ns=for_ns)
        case Redeemed(window, outcome, evidence):
            return redeemed(state, window, outcome, evidence, moment)
        case PostureAsked(posture, reason, who, request_id):
            asked = PostureState(posture=posture, reason=reason, who=who, since_ns=moment.wall_ns)
            return _posture_asked(state, asked, request_id)
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
    refusal = _refused_before_risk(state, submit, market, moment)
    if refusal is not None or market is None:
        return state, [refusal or Refuse("unknown-window", "no market data")]
    worst = worst_case_usd6(submit.stake_usd6, submit.limit4, market.fee)
    refusal = _refused_by_risk(state, submit, worst, moment)
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
    )
    books = msgspec.structs.replace(state.books, orders={**state.books.orders, submit.intent_id: order})
    times = (*(at for at in state.order_times_ns if moment.mono_ns - at < 60 * SECOND), moment.mono_ns)
    state = msgspec.structs.replace(state, books=books, order_times_ns=times)
    if order.wire:
        state = order_pursuit.begin(state, order, moment, in_flight=True)
    return state, [
        CommitIntent(order, event.request_id),
        PublishOrder(order.state),
        Place(order, market),
        Accept("working", order.state.order_id),
    ]


def _refused_before_risk(
    state: State, submit: Submit, market: MarketState | None, moment: Moment
) -> Refuse | None:
    """The first reason against this wish that is not a risk limit."""
    if submit.intent_id != f"{submit.window}/{submit.outcome}/{submit.strategy}":
        return Refuse(
            "malformed", f"intent {submit.intent_id} does not name its window, outcome and strategy"
        )
    if submit.stake_usd6 <= 0 or submit.limit4 <= 0:
        return Refuse("malformed", "stake and limit must be more than nothing")
    if state.strategy.live and submit.basis != "settlement":
        return Refuse("proxy", f"{submit.basis}: an exchange's price never decides about real money")
    age_ns = moment.mono_ns - submit.decided_mono_ns
    if not 0 <= age_ns <= state.strategy.order_life_ns:
        life = state.strategy.order_life_ns // MILLISECOND
        return Refuse("expired", f"decided {age_ns // MILLISECOND} ms ago; an order lives {life} ms")
    if state.posture.posture != "trading":
        return Refuse(
            "posture", f"{state.posture.posture} since {state.posture.who} said: {state.posture.reason}"
        )
    if state.holds:
        shown = shown_posture(state)
        return Refuse("hold", f"no new orders at present ({shown.who}): {shown.reason}")
    if any(
        (o.state.window, o.strategy) == (submit.window, submit.strategy) for o in state.books.orders.values()
    ):
        return Refuse("already-entered", f"{submit.strategy} has had its one order in {submit.window}")
    if market is None:
        return Refuse("unknown-window", f"books has not told of {submit.window}")
    gap = _market_gap(market, moment)
    if gap:
        return Refuse("passport", gap)
    token = market.token_up if submit.outcome == "up" else market.token_down
    if (submit.token, submit.asset) != (token, market.asset):
        return Refuse("wrong-token", f"{submit.token} is not the {submit.outcome} token of {submit.window}")
    if submit.limit4 >= state.strategy.max_price4:
        return Refuse(
            "price",
            f"limit {price4_text(submit.limit4)} is not below {price4_text(state.strategy.max_price4)}",
        )
    if submit.limit4 % market.tick4:
        return Refuse(
            "price", f"limit {price4_text(submit.limit4)} is not on the grid of {price4_text(market.tick4)}"
        )
    gap = _quote_gap(state, submit, moment)
    return Refuse("stale-book", gap) if gap else None


def _market_gap(market: MarketState, moment: Moment) -> str:
    gap = passport.incomplete(market, _STRIKE_IS_THE_STRATEGISTS_PART, moment)
    if not gap and market.taker_delay_ns is None:
        return "the venue's taker delay is not known"
    return gap


def _quote_gap(state: State, submit: Submit, moment: Moment) -> str:
    quote = state.quotes.get(submit.token)
    if state.incomplete:
        return "messages of the books are missing"
    if quote is None:
        return "there is no book of this token"
    if (quote.window, quote.outcome) != (submit.window, submit.outcome):
        return "the book of this token belongs to another window"
    if quote.status != "live":
        return f"the book is {quote.status}"
    age_ns = moment.mono_ns - quote.data_mono_ns
    if age_ns > state.strategy.max_book_age_ns:
        return f"the book is {age_ns // MILLISECOND} ms old"
    return ""


def _refused_by_risk(state: State, submit: Submit, worst_usd6: int, moment: Moment) -> Refuse | None:
    books = state.books
    book = risk.RiskBook(
        posture=state.posture.posture,
        positions=tuple(books.positions.values()),
        reservations=reservations(books),
        cash_usd6=cash_usd6(books),
        day_pnl_usd6=day_pnl_usd6(books.settlements, utc_day(moment.wall_ns)),
        loss_streak=loss_streak(books.settlements),
        order_times_ns=state.order_times_ns,
    )
    wish = risk.Wish(
        window=submit.window,
        asset=submit.asset,
        outcome=submit.outcome,
        stake_usd6=submit.stake_usd6,
        limit4=submit.limit4,
        worst_usd6=worst_usd6,
    )
    failed = risk.first_failed(risk.check(state.limits, book, wish, moment))
    return Refuse("risk", f"{failed.name}: {failed.value}, must be {failed.threshold}") if failed else None


def _posture_asked(state: State, posture: PostureState, request_id: str) -> Result:
    now = state.posture
    if posture.who == route_rule.WHO and not _routes_may(now, posture):
        return state, [Refuse("posture", f"{now.posture} by {now.who} is not the routes' to change")]
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
    waiting = {p.window for p in state.books.positions.values() if not p.settled}
    waiting |= {r.window for r in reservations(state.books)}
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
