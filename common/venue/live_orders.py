"""The live venue as the executor's order port: signs, sends once, and says what is certain.

The hot path is ours alone: integer amounts, hand-encoded digest, a warm connection. The official client is
behind ``AccountReads``: records, trades and cancellations. Never sends anything twice.
"""

import secrets
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Protocol

import msgspec

from common.core.order_amounts import Amounts, AmountsRefused, buy_amounts, sell_amounts
from common.core.order_effects import (
    Refuse,
)
from common.core.order_events import (
    DefiniteNo,
    NotSent,
    Unknown,
    VenueAnswer,
)
from common.core.order_sale import Sale
from common.core.order_state import (
    Order,
)
from common.core.venue_facts import Reading, Unread
from common.messages import MarketState, Side, Submit
from common.runtime.clock import Clock
from common.units import MILLISECOND, SECOND
from common.venue.clob import order_line
from common.venue.clob.order_line import OrderLine
from common.venue.clob.order_request import SALT_LIMIT, Account, OrderHead, sign_order_of
from common.venue.clob.replies import classify, rate_limit
from common.venue.port import Activity, Prepared
from common.venue.signing.contracts import EXCHANGES


class AccountReads(Protocol):
    """What the venue can be asked about the account; see ``common.venue.live``."""

    async def look_up(self, order_id: str, token_id: str, since_ns: int) -> Reading:
        """One order: record, open orders and trades, in full or Unread."""

    async def trades_since(self, after_ns: int, own: Sequence[str]) -> Activity | Unread:
        """All trades of the account, in full or Unread."""

    async def cancel(self, order_id: str) -> None:
        """Ask to take an order back; raises nothing for a no."""


class LiveVenue:
    """An OrderPort whose orders are real."""

    mode = "live"

    def __init__(
        self,
        account: Account,
        owner: str,
        head: OrderHead,
        line: OrderLine,
        reads: AccountReads,
        clock: Clock,
        *,
        order_life_ns: int,
        on_rate_limit: Callable[[str], None] = lambda _text: None,
    ) -> None:
        """``owner`` is the API key; ``order_life_ns``: how long after its decision an order may go."""
        self._account = account
        self.use(owner, head)
        self._line = line
        self._reads = reads
        self._clock = clock
        self._order_life_ns = order_life_ns
        self._on_rate_limit = on_rate_limit

    def use(self, owner: str, head: OrderHead) -> None:
        """Sign and send with these API credentials from now on; what was signed for others stays here."""
        self._owner, self._head = owner, head
        self._refused_ns: int | None = None
        self._owned = f'"owner":"{owner}"}}'.encode()

    def prepare(self, submit: Submit, market: MarketState) -> Prepared | Refuse:
        """Sign the order of a wish; refuses amounts the venue would not take and unknown versions."""
        stake, limit4 = submit.stake_usd6, submit.limit4
        return self._signed("buy", submit.token, lambda: buy_amounts(stake, limit4, market.tick4), market)

    def _signed(
        self, side: Side, token: str, made: Callable[[], Amounts], market: MarketState
    ) -> Prepared | Refuse:
        if market.version not in EXCHANGES:
            return Refuse("version", f"{market.window} is of version {market.version}; we sign for v1 and v2")
        try:
            amounts = made()
        except AmountsRefused as refused:
            return Refuse(refused.code, str(refused))
        signed = sign_order_of(
            side,
            self._account,
            self._owner,
            token,
            market.version,
            amounts,
            salt=1 + secrets.randbelow(SALT_LIMIT - 1),
            timestamp_ms=self._clock.wall_ns() // MILLISECOND,
        )
        return Prepared(signed.order_id, signed.body)

    def prepare_sale(self, sale: Sale, market: MarketState) -> Prepared | Refuse:
        """Sign a sale of shares; refuses as ``prepare`` does."""
        return self._signed(
            "sell", sale.token, lambda: sell_amounts(sale.size6, sale.limit4, market.tick4), market
        )

    def rehearse(self, submit: Submit, market: MarketState) -> Prepared | Refuse:
        """Make an order and the head of its request, and throw the head away."""
        prepared = self.prepare(submit, market)
        if isinstance(prepared, Prepared):
            self._head.made(prepared.wire, self._clock.wall_ns() // SECOND)
        return prepared

    def place(self, order: Order, market: MarketState) -> Coroutine[Any, Any, VenueAnswer]:
        """Send the journalled bytes, once; an order that has become too old meanwhile stays here."""
        now_ns = self._clock.wall_ns()
        left_ns = self._order_life_ns - (now_ns - order.decided_ns)
        if left_ns < 0:
            age_ms = (now_ns - order.decided_ns) // MILLISECOND
            return _not_sent(f"decided {age_ms} ms ago, too old by the time it could be sent")
        if not order.wire.endswith(self._owned):
            return _not_sent("signed for API credentials that have been replaced since")
        head = self._head.made(order.wire, now_ns // SECOND)
        sent = self._line.send(head, order.wire, open_s=left_ns / SECOND)
        return self._answer(order, sent, now_ns)

    async def _answer(self, order: Order, sent: Awaitable[order_line.Outcome], sent_ns: int) -> VenueAnswer:
        match await sent:
            case order_line.NotSent(text):
                return NotSent(text)
            case order_line.NoAnswer(text):
                return Unknown(text)
            case order_line.Answer(status, headers, body):
                limit = rate_limit(headers)
                if limit:
                    self._on_rate_limit(limit)
                answer = classify(status, headers, body, order.state.order_id, order.state.side)
                if status != 401:
                    self._refused_ns = None
                elif isinstance(answer, DefiniteNo) and answer.code == "credentials":
                    return self._refused(answer, sent_ns)
                return answer

    def _refused(self, answer: DefiniteNo, sent_ns: int) -> DefiniteNo:
        """A refusal of our credentials: the account is looked at before the next order, a second one halts.

        The second is that of an order sent when the first was known: the venue answered us meanwhile.
        """
        if self._refused_ns is None:
            self._refused_ns = self._clock.wall_ns()
        elif sent_ns > self._refused_ns:
            return answer
        return msgspec.structs.replace(answer, consequence="check")

    async def look_up(self, order: Order) -> Reading:
        """Ask the venue for an order and its trades."""
        state = order.state
        return await self._reads.look_up(state.order_id, state.token, state.created_ns)

    async def trades_since(self, since_ns: int, own: Sequence[str]) -> Activity | Unread:
        """All trades of the account since then."""
        return await self._reads.trades_since(since_ns, own)

    async def cancel(self, order: Order) -> None:
        """Ask the venue to take an order back."""
        await self._reads.cancel(order.state.order_id)


async def _not_sent(text: str) -> VenueAnswer:
    return NotSent(text)
