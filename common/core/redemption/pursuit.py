"""What to do next about a try that is under way: one function of the journal and of what is seen now.

It does not matter whether this process, an earlier one that was killed, or nobody sent the bytes: what is
seen decides. So starting again is nothing special, and every answer may be lost. Reads nothing itself.
"""

import msgspec

from common.core.redemption.attempts import Attempt, ClaimEnd, EndKind, Inclusion, Receipt, RelayerWord
from common.core.redemption.claims import Claim, payout_usd6
from common.core.redemption.effect import Places, judge
from common.core.redemption.gas import GasPolicy, Offer, cost_wei, raised
from common.units import SECOND

WITHOUT_EFFECT: tuple[EndKind, ...] = ("kept", "reverted", "overtaken", "refused", "expired")
DEADLINE_MARGIN_S = 60
"""How long after a deadline the chain's clock must be before it counts."""


class Pace(msgspec.Struct, frozen=True):
    """How long is waited for what."""

    resend_ns: int = 15 * SECOND
    """The same bytes go out again so long after they last did."""
    stuck_ns: int = 75 * SECOND
    """A transaction that is not in a block by then is replaced by one that bids more."""
    late_ns: int = 600 * SECOND
    """After so long an open try is told as late."""
    first_pause_ns: int = 30 * SECOND
    """So long a condition that failed is left alone; twice that after each further time."""


class Limits(msgspec.Struct, frozen=True):
    """What the user allows, and what was spent of it today."""

    gas: GasPolicy
    spent_today_wei: int
    """By transactions that have ended."""


class Sight(msgspec.Struct, frozen=True):
    """Everything that is seen of one try at one block."""

    head: int
    finalized: int
    chain_s: int
    """Time of the finalized block, seconds since 1970."""
    nonce: int
    """Next nonce of the sender at the head."""
    final_nonce: int
    """The same at the finalized block."""
    held: dict[str, int]
    """The wallet's balance of each claimed token at the head."""
    receipts: tuple[Receipt, ...] = ()
    """Of our own transactions: any version, or the one the relayer names."""
    takers: tuple[Receipt, ...] = ()
    """Of other transactions that took claimed tokens, finalized ones only."""
    base_fee_wei: int = 0
    tip_wei: int = 0
    word: RelayerWord | None = None
    found_id: str = ""
    """The relayer's name for our action, found in its list because its answer was lost."""


class Wait(msgspec.Struct, frozen=True):
    """Look again later; ``late`` when a person should know."""

    text: str
    late: bool = False


class Send(msgspec.Struct, frozen=True):
    """Let the newest version go out, byte for byte."""


class Renew(msgspec.Struct, frozen=True):
    """Sign the same call with the same nonce for a higher bid, then send that."""

    offer: Offer


class Include(msgspec.Struct, frozen=True):
    """Note the block it is in, or that it is in none any more."""

    inclusion: Inclusion | None
    text: str


class Adopt(msgspec.Struct, frozen=True):
    """Note the relayer's name for it."""

    transaction_id: str


class Finish(msgspec.Struct, frozen=True):
    """It is over."""

    ends: tuple[ClaimEnd, ...]
    gas_wei: int
    text: str


Move = Wait | Send | Renew | Include | Adopt | Finish


def next_move(
    attempt: Attempt, sight: Sight, now_ns: int, *, limits: Limits, pace: Pace, places: Places
) -> Move:
    """The one next thing to do about an open try."""
    move = _next(attempt, sight, now_ns, limits, pace, places)
    if isinstance(move, Wait) and now_ns - (attempt.first_sent_ns or attempt.created_ns) > pace.late_ns:
        return Wait(move.text, late=True)
    return move


def _next(attempt: Attempt, sight: Sight, now_ns: int, limits: Limits, pace: Pace, places: Places) -> Move:
    receipt = max(_own_receipts(attempt, sight), key=lambda each: each.block, default=None)
    if receipt is not None:
        return _mined(attempt, sight, receipt, places)
    included = attempt.inclusion
    if included is not None and sight.head < included.block:
        return Wait(f"in block {included.block}; the endpoints are behind, at {sight.head}")
    if included is not None:
        text = f"block {included.block} with {included.tx_hash} is not in the chain any more"
        return Include(None, text)
    if sight.found_id and not attempt.transaction_id:
        # Then its hash can be asked for, whatever has become of it.
        return Adopt(sight.found_id)
    if sight.final_nonce > attempt.nonce:
        return _overtaken(attempt, sight, places)
    if sight.nonce > attempt.nonce:
        return Wait(f"nonce {attempt.nonce} is used; its block is not final yet")
    if attempt.route == "own-gas":
        return _unmined(attempt, sight, now_ns, limits, pace)
    return _unrelayed(attempt, sight, now_ns, pace, places)


def _own_receipts(attempt: Attempt, sight: Sight) -> tuple[Receipt, ...]:
    """Also one that was found only by what it took: that is no other's."""
    own = {version.digest for version in attempt.versions}
    return (*sight.receipts, *(each for each in sight.takers if each.tx_hash in own))


def _mined(attempt: Attempt, sight: Sight, receipt: Receipt, places: Places) -> Move:
    inclusion = Inclusion(receipt.tx_hash, receipt.block, receipt.block_hash, receipt.ok)
    if inclusion != attempt.inclusion:
        return Include(inclusion, f"in block {receipt.block}")
    if receipt.block > sight.finalized:
        return Wait(f"in block {receipt.block}, {receipt.block - sight.finalized} blocks from final")
    ends = judge(attempt.claims, attempt.wallet, receipt, places)
    settled = _with_takers(attempt, sight, ends, places)
    if settled is None:
        return Wait("the tokens are gone by another transaction, which is not found or final yet")
    return Finish(settled, receipt.gas_wei if attempt.route == "own-gas" else 0, _summary(settled))


def _overtaken(attempt: Attempt, sight: Sight, places: Places) -> Move:
    """The nonce is used for good, by no transaction we know the hash of."""
    text = f"nonce {attempt.nonce} of {attempt.sender} was used by another transaction"
    ends = tuple(
        ClaimEnd(claim.condition_id, "overtaken", 0, text=f"{text}; the tokens are still here")
        for claim in attempt.claims
    )
    settled = _with_takers(attempt, sight, ends, places)
    if settled is None:
        return Wait(f"{text}, and it is not found or final yet")
    return Finish(settled, 0, _summary(settled))


def _with_takers(
    attempt: Attempt, sight: Sight, ends: tuple[ClaimEnd, ...], places: Places
) -> tuple[ClaimEnd, ...] | None:
    """The ends, those without effect looked up where the tokens are gone; None while that is not known."""
    gone = tuple(
        claim
        for claim, end in zip(attempt.claims, ends, strict=True)
        if end.kind in WITHOUT_EFFECT and not _is_held(claim, sight)
    )
    taken = _taken(gone, attempt.wallet, sight.takers, places)
    if len(taken) < len(gone):
        return None
    settled: list[ClaimEnd] = []
    for claim, end in zip(attempt.claims, ends, strict=True):
        found = taken.get(claim.condition_id)
        # A relayed try whose hash was never told is known by its nonce and by what it did.
        ours = attempt.route == "relayer" and end.kind == "overtaken"
        if found is None:
            settled.append(end)
        elif ours and found.kind == "paid" and found.paid_usd6:
            settled.append(found)
        else:
            settled.append(_foreign(claim, found))
    return tuple(settled)


def taken_by(claim: Claim, wallet: str, takers: tuple[Receipt, ...], places: Places) -> ClaimEnd | None:
    """What somebody else's transaction did with the tokens of a claim; None when none of these took them."""
    found = _taken((claim,), wallet, takers, places).get(claim.condition_id)
    return None if found is None else _foreign(claim, found)


def _taken(
    claims: tuple[Claim, ...], wallet: str, takers: tuple[Receipt, ...], places: Places
) -> dict[str, ClaimEnd]:
    """What became of each claim by the first transaction that took its tokens.

    All claims are judged together, so that no two of them are told the same transfer of money.
    """
    found: dict[str, ClaimEnd] = {}
    for receipt in takers:
        open_claims = tuple(claim for claim in claims if claim.condition_id not in found)
        for end in judge(open_claims, wallet, receipt, places, whole=False):
            if end.burnt:
                found[end.condition_id] = end
    return found


def _foreign(claim: Claim, end: ClaimEnd) -> ClaimEnd:
    text = f"redeemed by {end.tx_hash}, which is not ours"
    if not end.paid_usd6 and payout_usd6(end.burnt, claim.numerators, claim.denominator):
        text = f"{end.tx_hash}, which is not ours, took the tokens and brought no money"
    return msgspec.structs.replace(end, kind="elsewhere", text=text)


def _is_held(claim: Claim, sight: Sight) -> bool:
    return any(sight.held.get(each.token, 0) for each in claim.holdings)


def _unmined(attempt: Attempt, sight: Sight, now_ns: int, limits: Limits, pace: Pace) -> Move:
    """In no block yet, and its nonce is free."""
    if not attempt.sent_ns:
        return Send()
    newest = attempt.newest
    if now_ns - newest.at_ns <= pace.stuck_ns:
        return _again(attempt, now_ns, pace, attempt.text or "sent; in no block yet")
    offer = raised(Offer(newest.max_fee_wei, newest.tip_wei), sight.base_fee_wei, limits.gas)
    if offer is None:
        text = "it is in no block though it bids redeem.max_fee_gwei; raise that or wait for a cheaper hour"
        return _again(attempt, now_ns, pace, text)
    problem = too_dear(newest.gas, offer, limits)
    return _again(attempt, now_ns, pace, f"it bids too little and {problem}") if problem else Renew(offer)


def too_dear(gas: int, offer: Offer, limits: Limits) -> str:
    """Which of the user's limits a transaction would exceed; empty when none."""
    cost = cost_wei(gas, offer)
    if cost > limits.gas.attempt_wei:
        return "bidding more would exceed redeem.max_pol_per_transaction"
    if cost + limits.spent_today_wei > limits.gas.daily_wei:
        return "bidding more would exceed redeem.max_pol_per_day"
    return ""


def _given_up(attempt: Attempt, sight: Sight, places: Places, kind: EndKind, text: str) -> Move:
    """It did not happen; often because somebody else had the tokens first."""
    ends = tuple(ClaimEnd(claim.condition_id, kind, 0, text=text) for claim in attempt.claims)
    settled = _with_takers(attempt, sight, ends, places)
    if settled is None:
        return Wait(f"{text}; the tokens are gone by a transaction that is not found or final yet")
    return Finish(settled, 0, _summary(settled))


def _unrelayed(attempt: Attempt, sight: Sight, now_ns: int, pace: Pace, places: Places) -> Move:
    """Not executed as far as the chain shows, and the wallet's nonce is free."""
    deadline_s = attempt.newest.deadline_s
    if deadline_s and sight.chain_s > deadline_s + DEADLINE_MARGIN_S:
        return _given_up(attempt, sight, places, "expired", "its deadline passed before it was executed")
    word = sight.word
    if word is not None and word.state in ("failed", "invalid"):
        text = f"the relayer says {word.state}: {word.error or 'no reason'}"
        return _given_up(attempt, sight, places, "refused", text)
    if attempt.transaction_id:
        state = word.state if word is not None else "silent"
        # Found in the relayer's list before it was noted as sent: it has had it since it was signed.
        unnoted_ns = attempt.newest.at_ns if attempt.stage == "signed" else 0
        # What it calls mined and the chain does not have fell out of its block: it waits for nothing more.
        patience_ns = 4 * pace.resend_ns if state in ("mined", "confirmed") else pace.late_ns
        if now_ns - (attempt.sent_ns or unnoted_ns) >= patience_ns:
            # The same bytes: of two that name one nonce only one can happen.
            return Send()
        return Wait(f"the relayer has it ({state}); the chain does not show it yet")
    if not attempt.sent_ns:
        return Send()
    return _again(attempt, now_ns, pace, attempt.text or "whether the relayer has it is not known")


def _again(attempt: Attempt, now_ns: int, pace: Pace, text: str) -> Move:
    return Send() if now_ns - attempt.sent_ns >= pace.resend_ns else Wait(text)


def _summary(ends: tuple[ClaimEnd, ...]) -> str:
    texts = dict.fromkeys(end.text or end.kind for end in ends)
    return "; ".join(texts)
