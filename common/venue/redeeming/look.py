"""One look at an open try: its nonce, its receipts, the tokens, and who else took them, all at one block."""

import asyncio

from common.core.redemption.attempts import Attempt, ClaimEnd, Receipt
from common.core.redemption.claims import Claim
from common.core.redemption.effect import TRANSFER_BATCH, TRANSFER_SINGLE, Places, took
from common.core.redemption.pursuit import Sight, taken_by
from common.venue.chain.endpoints import Endpoints
from common.venue.chain.fees import gas_prices
from common.venue.chain.view import ChainView, Head
from common.venue.redeeming.route import SendRoute
from common.venue.redeeming.survey import Surveyor

SEARCHED_BLOCKS = 50_000
"""How far back the transaction of somebody else is looked for: more than a day."""


async def look(
    attempt: Attempt,
    route: SendRoute,
    view: ChainView,
    endpoints: Endpoints,
    surveyor: Surveyor,
    places: Places,
) -> Sight:
    """Everything ``next_move`` needs; raises DependencyMissing."""
    head = await view.head()
    word, nonces, chain_s, prices, holdings = await asyncio.gather(
        route.word(attempt),
        asyncio.gather(route.nonce(head.number), route.nonce(head.finalized)),
        view.block_time_s(head.finalized),
        gas_prices(endpoints),
        asyncio.gather(*(surveyor.held(claim.condition_id, head.number) for claim in attempt.claims)),
    )
    held = {each.token: each.size6 for pair in holdings for each in pair}
    receipts = await _own_receipts(attempt, view, word.word.tx_hash if word.word is not None else "")
    own = {receipt.tx_hash for receipt in receipts}
    gone = tuple(claim for claim in attempt.claims if not any(held[each.token] for each in claim.holdings))
    takers = (
        await taken_from(view, places, attempt.wallet, gone, attempt.block, head.finalized) if gone else ()
    )
    return Sight(
        head=head.number,
        finalized=head.finalized,
        chain_s=chain_s,
        nonce=nonces[0],
        final_nonce=nonces[1],
        held=held,
        receipts=receipts,
        takers=tuple(each for each in takers if each.tx_hash not in own),
        base_fee_wei=prices.base_fee_wei,
        tip_wei=prices.tip_wei,
        word=word.word,
        found_id=word.found_id,
    )


async def taken_from(
    view: ChainView, places: Places, wallet: str, claims: tuple[Claim, ...], first: int, last: int
) -> tuple[Receipt, ...]:
    """Receipts of the transactions that moved tokens of these claims out of the wallet in these blocks."""
    topics = ((TRANSFER_SINGLE, TRANSFER_BATCH), None, "0x" + wallet[2:].rjust(64, "0"))
    contracts = tuple({places.ledger(claim.ledger) for claim in claims})
    logs = await view.logs(contracts, topics, first, last)
    hashes = dict.fromkeys(each for claim in claims for each in took(logs, claim, wallet, places))
    found = await asyncio.gather(*(view.receipt(each) for each in hashes))
    return tuple(each for each in found if each is not None and each.block <= last)


async def redeemed_by_others(
    view: ChainView, places: Places, wallet: str, claim: Claim, head: Head, since_blocks: int
) -> ClaimEnd | None:
    """Who took the tokens of a claim that nobody of us redeemed; None when it is not found.

    Looks back from the newest final block, at most so many blocks and a day.
    """
    first = max(0, head.finalized - min(since_blocks, SEARCHED_BLOCKS))
    return taken_by(
        claim, wallet, await taken_from(view, places, wallet, (claim,), first, head.finalized), places
    )


async def _own_receipts(attempt: Attempt, view: ChainView, told_hash: str) -> tuple[Receipt, ...]:
    if attempt.route == "own-gas":
        hashes = [version.digest for version in attempt.versions]
    else:
        known = attempt.inclusion.tx_hash if attempt.inclusion is not None else ""
        hashes = [each for each in dict.fromkeys((told_hash, known)) if each]
    found = await asyncio.gather(*(view.receipt(each) for each in hashes))
    return tuple(each for each in found if each is not None)
