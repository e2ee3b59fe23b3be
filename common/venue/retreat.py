"""The executor's way out: takes back what is open, and sells what is held, each position said by itself.

Order is everything: no new orders first, durably, then cancel, then sell. What may be sold is planned by
``common.core.order_sale``; nothing is tried twice here, whoever wants more asks again.
"""

import asyncio
from collections.abc import Callable

from common.core import route_rule
from common.core.order_effects import Refuse
from common.core.order_events import PostureAsked, RecallAsked, SaleSigned
from common.core.order_sale import Kept, Sale, held, planned, told, told_kept
from common.messages import (
    Accepted,
    Answer,
    CancelAll,
    Command,
    Flatten,
    PositionState,
    Refused,
    Request,
)
from common.venue.desk import Desk
from common.venue.intake import Intake, proven_of_late


class Retreat:
    """Answers cancel-all and flatten for one desk."""

    def __init__(self, desk: Desk, intake: Intake, trouble: Callable[[], str] = lambda: "") -> None:
        """``trouble``: what is known to make the venue refuse every sale, in one line."""
        self._desk = desk
        self._intake = intake
        self._trouble = trouble

    def cancel_all(self, command: Command, _request: Request) -> Answer:
        """Ask every open order back at once; whether it worked is told by the orders themselves."""
        assert isinstance(command, CancelAll)
        self._desk.process.log.warning("cancel_all", who=command.who)
        return self._desk.decide(RecallAsked())

    async def flatten(self, command: Command, request: Request) -> Answer:
        """Stop new orders, ask the open ones back, send one sale for each position that can be sold.

        Answers once the sales are sent, in one line a position; a journal that cannot take it refuses, and
        nothing is sold then.
        """
        assert isinstance(command, Flatten)
        desk = self._desk
        if desk.process.stopping.is_set():
            return Refused(code="stopping", text="the executor is stopping")
        desk.process.log.warning("flatten", who=command.who, reason=command.reason)
        latched = desk.state.posture
        # What the oracle routes stopped they start again by themselves: a person's word has to stand instead.
        if latched.posture == "trading" or latched.who == route_rule.WHO:
            reason = command.reason or "flatten"
            stopped = desk.decide(PostureAsked("no-new-orders", reason, command.who))
            if isinstance(stopped, Refused):
                return stopped
        recalled = desk.decide(RecallAsked())
        if isinstance(recalled, Refused):
            return recalled
        lines = [f"posture {desk.state.posture.posture}"]
        lines.append(recalled.text if isinstance(recalled, Accepted) else "")
        unproven = await self._unproven()
        lines += [self._sell(position, unproven, request.id) for position in held(desk.state)]
        if len(lines) == 2:
            lines.append("nothing is held")
        elif trouble := self._trouble():
            # They are sent all the same: what is known may be minutes old, and a refusal costs nothing.
            lines.append(f"approval to sell: {trouble}")
        return Accepted(text="\n".join(lines))

    async def _unproven(self) -> dict[str, str]:
        """Of the tokens that would be sold now, those whose book is not proven, and why.

        All are asked for at once: whatever else the executor is told, a halt too, waits behind this.
        """
        state, moment = self._desk.state, self._desk.moment()
        plans = [planned(state, position, {}, moment) for position in held(state)]
        tokens = [
            plan.token
            for plan in plans
            if isinstance(plan, Sale) and not proven_of_late(state.quotes.get(plan.token))
        ]
        answers = await asyncio.gather(*(self._intake.unproven(token) for token in tokens))
        return {token: why for token, why in zip(tokens, answers, strict=True) if why}

    def _sell(self, position: PositionState, unproven: dict[str, str], request_id: str) -> str:
        """Plan, sign, write ahead and send, all in this turn of the loop; what is to be said of it."""
        desk = self._desk
        plan = planned(desk.state, position, unproven, desk.moment())
        market = desk.state.markets.get(position.window)
        if isinstance(plan, Kept) or market is None:
            return told_kept(plan) if isinstance(plan, Kept) else ""
        prepared = desk.venue.prepare_sale(plan, market)
        if isinstance(prepared, Refuse):
            return _stays(plan, f"{prepared.code}: {prepared.text}")
        answer = desk.decide(SaleSigned(plan, request_id, prepared.order_id, prepared.wire))
        if isinstance(answer, Refused):
            return _stays(plan, f"{answer.code}: {answer.text}")
        return told(plan)


def _stays(sale: Sale, why: str) -> str:
    return told_kept(Kept(sale.window, sale.outcome, sale.size6, why))
