"""What two more of the venue's services say of a window's result: the data API's payouts, the CLOB's flags.

Pure. An answer names one winner, or none yet (None), or is refused by name: a result that is shared, disputed
or about other tokens is never taken for an outcome, and never for silence.
Rules: docs.polymarket.com, "Get resolution state": selector ``condition``, at most 20 ids; payouts in
millionths, in the order of the outcomes. The CLOB's ``/markets/{condition_id}`` flags the winner later.
"""

from collections.abc import Mapping, Sequence

from common.errors import FrameRefused
from common.feeds.market.gamma import clob_condition_id
from common.feeds.market.market_terms import Json, whole
from common.messages import MarketState, Outcome

MOST_CONDITIONS = 20
PAYOUT_ONE = 1_000_000

_RESOLVED = "resolved"
_UNSETTLED = {"extended_review": "extended-review", "was_disputed": "disputed"}


def resolution_rows(payload: object) -> dict[str, list[Json]]:
    """The rows of a ``/v2/resolutions`` answer by condition id, in the order book's form.

    Raises FrameRefused when it is no such answer. A condition without a row is not resolved yet.
    """
    rows = payload.get("data") if isinstance(payload, Mapping) else None
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise FrameRefused("not-resolutions", f"the answer is {type(payload).__name__} without rows in data")
    found: dict[str, list[Json]] = {}
    for row in rows:
        condition = row.get("condition_id")
        if isinstance(condition, str):
            found.setdefault(clob_condition_id(condition), []).append(row)
    return found


def payout_outcome(rows: Sequence[Json], order: tuple[Outcome, Outcome]) -> Outcome | None:
    """The one winner by the rows of one condition, None while there is none.

    ``order`` is the market's order of outcomes at discovery. Raises FrameRefused for a resolution that is
    under review or was disputed, for payouts that are not one whole winner, and for rows that differ.
    """
    told = {_of_row(row, order) for row in rows}
    if len(told) > 1:
        raise FrameRefused("resolutions-differ", f"{len(rows)} rows of one condition say different things")
    return told.pop() if told else None


def winner_outcome(payload: object, market: MarketState) -> Outcome | None:
    """The one winner by the flags of the CLOB's ``/markets/{condition_id}``, None while no token has won.

    Raises FrameRefused when the answer is about another market or other tokens, or names two winners.
    """
    if payload is None:
        raise FrameRefused("unknown-market", "the order book does not know the market")
    if not isinstance(payload, Mapping):
        raise FrameRefused("not-a-market", f"the answer is {type(payload).__name__}")
    condition = payload.get("condition_id")
    if not isinstance(condition, str) or clob_condition_id(condition) != market.condition_id:
        raise FrameRefused("another-market", f"asked for {market.condition_id}, answered {condition!r:.80}")
    tokens = payload.get("tokens")
    if not isinstance(tokens, list) or not all(isinstance(token, Mapping) for token in tokens):
        raise FrameRefused("not-a-market", "tokens are not a list of objects")
    ours: Mapping[object, tuple[str, Outcome]] = {
        market.token_up: ("Up", "up"),
        market.token_down: ("Down", "down"),
    }
    flags: dict[Outcome, bool] = {}
    for token in tokens:
        token_id, winner = token.get("token_id"), token.get("winner")
        name, outcome = ours.get(token_id if isinstance(token_id, str) else None, ("", None))
        if outcome is None or token.get("outcome") != name or outcome in flags:
            raise FrameRefused("other-tokens", "the order book names other tokens or outcomes than discovery")
        if not isinstance(winner, bool):
            raise FrameRefused("winner-flags", f"winner is {winner!r:.40}")
        flags[outcome] = winner
    if len(flags) != 2:
        raise FrameRefused("other-tokens", f"the order book names {len(flags)} of the two tokens")
    won = [outcome for outcome, flag in flags.items() if flag]
    if len(won) > 1:
        raise FrameRefused("winner-flags", "both tokens are called the winner")
    return won[0] if won else None


def _of_row(row: Json, order: tuple[Outcome, Outcome]) -> Outcome | None:
    status = row.get("status")
    if not isinstance(status, str):
        raise FrameRefused("not-resolutions", f"status is {status!r:.40}")
    for flag, reason in _UNSETTLED.items():
        if row.get(flag) not in (None, False):
            raise FrameRefused(reason, f"{flag} is {row.get(flag)!r:.40} while the status is {status[:40]}")
    if status != _RESOLVED:
        return None
    payouts = row.get("payouts")
    parts = [whole(part) for part in payouts] if isinstance(payouts, list) else []
    if parts == [PAYOUT_ONE, 0]:
        return order[0]
    if parts == [0, PAYOUT_ONE]:
        return order[1]
    raise FrameRefused("no-single-winner", f"resolved with payouts {payouts!r:.80}")
