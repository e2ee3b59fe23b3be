"""What the redeemer publishes, told to the executor's books: results and payments the chain has made final.

Decides nothing: what is already booked, and what has to wait, is known by the books.
"""

from common.core.ledger import Payment
from common.core.order_events import Event, Redeemed, Resolved
from common.errors import DependencyMissing
from common.messages import Envelope, Published, RedemptionState, ResolutionState
from common.venue.desk import Desk


def hear_redeemer(desk: Desk, envelopes: list[Envelope]) -> None:
    """Take in what the redeemer says; it says all of it again each second."""
    for envelope in envelopes:
        event = redemption_event(envelope.body)
        if event is None:
            continue
        try:
            desk.advance(event)
        except DependencyMissing as error:
            desk.process.log.warning("journal_failing", problem=str(error))


def redemption_event(body: Published) -> Event | None:
    """What a message of the redeemer tells the books; None where nothing is final yet."""
    match body:
        case ResolutionState():
            evidence = f"{body.condition_id} at block {body.block}"
            return Resolved(body.window, body.numerators, body.denominator, body.condition_id, evidence)
        case RedemptionState(status="paid" | "elsewhere"):
            payment = Payment(
                evidence=f"{body.tx_hash}:{body.log_index}",
                condition_id=body.condition_id,
                window=body.window,
                paid_usd6=body.paid_usd6,
                surplus_usd6=body.surplus_usd6,
                tokens=body.tokens,
                elsewhere=body.status == "elsewhere",
            )
            return Redeemed(payment)
        case _:
            return None
