"""How a try reads after each step of its way: bid higher, out, in a block or in none any more, over.

Pure. Decides no step and writes nothing: the first is ``pursuit``'s business, the second the desk's.
"""

import msgspec

from common.core.redemption.attempts import Attempt, ClaimEnd, Inclusion, Signed
from common.core.redemption.gas import Offer
from common.units import SECOND
from common.venue.redeeming.route import Sent


def renewed(attempt: Attempt, version: Signed, offer: Offer) -> Attempt:
    """After it was signed anew for a higher bid; this version is still to be sent."""
    text = f"stuck; bids {offer.max_fee_wei / 1e9:.1f} gwei now"
    return msgspec.structs.replace(attempt, versions=(*attempt.versions, version), sent_ns=0, text=text)


def gone_out(attempt: Attempt, sent: Sent, now_ns: int) -> Attempt:
    """After its newest version went out, for all that is known."""
    return msgspec.structs.replace(
        attempt,
        stage="sent" if attempt.stage == "signed" else attempt.stage,
        sent_ns=now_ns + int(sent.wait_s * SECOND),
        first_sent_ns=attempt.first_sent_ns or now_ns,
        transaction_id=sent.transaction_id or attempt.transaction_id,
        text=sent.text,
    )


def refused(attempt: Attempt, text: str, now_ns: int) -> Attempt:
    """After it was certainly not accepted: over, and nothing happened."""
    ends = tuple(ClaimEnd(claim.condition_id, "refused", 0, text=text) for claim in attempt.claims)
    return msgspec.structs.replace(attempt, stage="ended", ends=ends, ended_ns=now_ns, text=text)


def included(attempt: Attempt, inclusion: Inclusion | None, text: str) -> Attempt:
    """After it was seen in this block, or in none any more."""
    return msgspec.structs.replace(
        attempt,
        stage="sent" if inclusion is None else "included",
        inclusion=inclusion,
        text=text,
        # What fell out of a block goes out again at once.
        sent_ns=0 if inclusion is None else attempt.sent_ns,
    )


def finished(attempt: Attempt, ends: tuple[ClaimEnd, ...], gas_wei: int, text: str, now_ns: int) -> Attempt:
    """After the chain has decided what became of each claim."""
    return msgspec.structs.replace(
        attempt, stage="ended", ends=ends, gas_wei=gas_wei, ended_ns=now_ns, text=text
    )
