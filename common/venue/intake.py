"""The executor's intake: a wish becomes a signed order on a proven book, in one turn of the loop.

Whether it may is decided by ``common.core.order_flow`` through the desk. Never sends and never writes itself.
"""

from collections.abc import Awaitable

from common.core.moment import Moment
from common.core.order_effects import (
    CommitIntent,
    Refuse,
)
from common.core.order_events import (
    Submitted,
)
from common.core.order_flow import step
from common.errors import CallRefused, CallTimedOut
from common.messages import (
    Answer,
    BookProof,
    BookState,
    Command,
    MarketState,
    ProveBook,
    Refused,
    Request,
    Submit,
)
from common.runtime.calls import call
from common.units import MILLISECOND
from common.venue.desk import Desk
from common.venue.port import Prepared

PROVEN_NS = 1_500 * MILLISECOND
"""Changes of a book for so long may be borne out by no hash yet, and it is traded on all the same."""
PROOF_NS = 300 * MILLISECOND
"""How long books may take to prove a book: whatever else we are told, a halt too, waits behind it."""


class Intake:
    """Answers submits for one desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._unanswered_ns = 0

    def submit(self, command: Command, request: Request) -> Answer | Awaitable[Answer]:
        """Answer a submit; a new order only begins on a book that is proven."""
        assert isinstance(command, Submit)
        market = self._desk.state.markets.get(command.window)
        if (
            market is None
            or command.intent_id in self._desk.state.books.orders
            or self._desk.process.stopping.is_set()
        ):
            return self._without_order(Submitted(command, request.id, ""))
        if proven_of_late(self._desk.state.quotes.get(command.token)):
            return self._begin(command, request, market)
        return self._begin_when_proven(command, request)

    async def _begin_when_proven(self, command: Submit, request: Request) -> Answer:
        event = Submitted(command, request.id, "")
        if self._would_begin(event):
            unproven = await self._unproven(command)
            if unproven:
                return self._desk.noted(Refused(code="book-unproven", text=unproven))
            # Decided anew: much may have happened while books was asked.
            market = self._desk.state.markets.get(command.window)
            if market is not None and command.intent_id not in self._desk.state.books.orders:
                return self._begin(command, request, market)
        return self._without_order(event)

    def _begin(self, command: Submit, request: Request, market: MarketState) -> Answer:
        """Sign, decide and send, all in this turn of the loop."""
        prepared = self._desk.venue.prepare(command, market)
        if not isinstance(prepared, Refuse):
            if self._desk.process.stopping.is_set():
                return Refused(code="stopping", text="the executor is stopping")
            return self._desk.decide(Submitted(command, request.id, prepared.order_id, prepared.wire))
        event = Submitted(command, request.id, "")
        if self._would_begin(event):
            return self._desk.noted(Refused(code=prepared.code, text=prepared.text))
        return self._without_order(event)

    def _without_order(self, event: Submitted) -> Answer:
        """Answer what begins nothing: repetitions and refusals."""
        if self._desk.process.stopping.is_set():
            return Refused(code="stopping", text="the executor is stopping")
        if self._would_begin(event):
            # What stood in its way went while nobody looked: the next try is for the caller to make.
            return Refused(code="busy", text="decided upon while things changed; ask again")
        return self._desk.decide(event)

    def rehearse(self) -> None:
        """Go the way of a submit, journal and venue left out: nothing changes, nothing is kept or sent."""
        desk = self._desk
        market = next((each for each in desk.state.markets.values() if each.outcome is None), None)
        if market is None:
            return
        submit = _made_up(market, desk.state.strategy.max_price4 - market.tick4, desk.moment())
        prepared = desk.venue.rehearse(submit, market)
        if isinstance(prepared, Prepared):
            event = Submitted(submit, "rehearsal", prepared.order_id, prepared.wire)
            _, effects = step(desk.state, event, desk.moment())
            for effect in effects:
                if isinstance(effect, CommitIntent):
                    desk.journal.rehearse(effect)

    def _would_begin(self, event: Submitted) -> bool:
        """Whether this would be a new order now; repetitions and refusals need no book."""
        _, effects = step(self._desk.state, event, self._desk.moment())
        return any(isinstance(effect, CommitIntent) for effect in effects)

    async def _unproven(self, submit: Submit) -> str:
        """Why the book of this token is not proven; empty when it is."""
        if submit.decided_mono_ns <= self._unanswered_ns:
            # Whoever queued up behind that question would make a halt wait for one time-out each.
            return "no proof of the book: books did not answer a moment ago"
        return await self.unproven(submit.token)

    async def unproven(self, token: str) -> str:
        """Ask books, for 300 ms at most, why the book of this token is not proven; empty when it is."""
        process = self._desk.process
        try:
            proof = await call(
                process.ctx,
                process.run_dir,
                "books",
                process.role,
                ProveBook(token=token),
                clock=process.clock,
                timeout_ns=PROOF_NS,
            )
        except (CallTimedOut, CallRefused) as error:
            self._unanswered_ns = process.clock.mono_ns()
            return f"no proof of the book: {error}"
        if not isinstance(proof, BookProof) or proof.token != token:
            return "books answered with something else than the proof of this book"
        return "" if proof.proven else proof.text or "books gave no reason"


def proven_of_late(quote: BookState | None) -> bool:
    """Whether the venue's hash bore this book out, but for its last moments (venue's clock)."""
    return quote is not None and quote.proven_ns > 0 and quote.venue_ns - quote.proven_ns <= PROVEN_NS


def _made_up(market: MarketState, limit4: int, moment: Moment) -> Submit:
    return Submit(
        intent_id=f"{market.window}/up/rehearsal",
        window=market.window,
        asset=market.asset,
        token=market.token_up,
        outcome="up",
        strategy="rehearsal",
        limit4=limit4 // market.tick4 * market.tick4,
        stake_usd6=10_000_000,
        decided_ns=moment.wall_ns,
        decided_mono_ns=moment.mono_ns,
        cause="",
    )
