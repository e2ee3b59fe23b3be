"""What the executor has against a wish: the first reason, in a fixed order, limits last. Changes nothing."""

from common.core import passport, risk
from common.core.holds import shown_posture
from common.core.moment import Moment
from common.core.order_effects import Refuse
from common.core.order_sale import STRATEGY as SALES
from common.core.order_state import State, Tally
from common.messages import MarketState, Outcome, Submit
from common.units import MILLISECOND, price4_text

_OUTCOMES: tuple[Outcome, ...] = ("up", "down")
_STRIKE_IS_THE_STRATEGISTS_PART = passport.Strike(1, "spot", "", 0, 0)


def refused_before_risk(
    state: State, submit: Submit, market: MarketState | None, moment: Moment
) -> Refuse | None:
    """The first reason against this wish that is not a risk limit."""
    if submit.intent_id != f"{submit.window}/{submit.outcome}/{submit.strategy}":
        return Refuse(
            "malformed", f"intent {submit.intent_id} does not name its window, outcome and strategy"
        )
    if submit.strategy.startswith(f"{SALES}/"):
        return Refuse("malformed", f"{submit.strategy} is the name of a sale, and a wish only buys")
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
    if _entered(state, submit):
        return Refuse("already-entered", f"{submit.strategy} has had its one order in {submit.window}")
    if market is None:
        return Refuse("unknown-window", f"books has not told of {submit.window}")
    gap = _market_gap(market, moment)
    if gap:
        return Refuse("passport", gap)
    if not state.foreign_tokens.isdisjoint((market.token_up, market.token_down)):
        text = f"{submit.window} was traded with this account, and the journal knows nothing of it"
        return Refuse("foreign", text)
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


def _entered(state: State, submit: Submit) -> bool:
    """Whether this strategy has had an order in this window: every intent names window, outcome, strategy."""
    for outcome in _OUTCOMES:
        held = state.books.orders.get(f"{submit.window}/{outcome}/{submit.strategy}")
        if held is not None and (held.state.window, held.strategy) == (submit.window, submit.strategy):
            return True
    return False


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


def refused_by_risk(
    state: State, tally: Tally, submit: Submit, worst_usd6: int, moment: Moment
) -> Refuse | None:
    """The first risk limit that this wish would break."""
    book = risk.RiskBook(
        posture=state.posture.posture,
        open=tally.open,
        reservations=tally.reservations,
        cash_usd6=tally.cash_usd6,
        day_pnl_usd6=tally.day_pnl_usd6,
        loss_streak=tally.loss_streak,
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
    figures = risk.weigh(book, wish, moment)
    if all(risk.passed(state.limits, figures)):
        return None
    failed = risk.first_failed(risk.gates(state.limits, figures))
    return Refuse("risk", f"{failed.name}: {failed.value}, must be {failed.threshold}") if failed else None
