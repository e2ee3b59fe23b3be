"""The calls of a redemption made without effect, from the wallet that holds the tokens. Sends nothing."""

from typing import NamedTuple

import msgspec

from common.core.redemption.claims import Claim
from common.venue.chain.reverts import CallReverted
from common.venue.chain.view import ChainView
from common.venue.redeeming.calldata import RedeemContracts, calls_of


class Tried(NamedTuple):
    """Which claims would succeed now, and why the others would not."""

    ready: tuple[Claim, ...]
    refused: tuple[tuple[Claim, str], ...]


async def dry_run(
    claims: tuple[Claim, ...], view: ChainView, contracts: RedeemContracts, wallet: str, block: int
) -> Tried:
    """Try every call of every claim at a block; raises DependencyMissing."""
    ready: list[Claim] = []
    refused: list[tuple[Claim, str]] = []
    for claim in claims:
        try:
            for call in calls_of(claim, contracts):
                await view.call(call.to, call.data, block, wallet)
        except CallReverted as error:
            refused.append((claim, f"a dry-run reverts: {error}"))
        else:
            ready.append(claim)
    return Tried(tuple(ready), tuple(refused))


def one_call_each(claims: tuple[Claim, ...]) -> tuple[Claim, ...]:
    """The claims cut to what one call redeems: the other outcome of a split comes next."""
    return tuple(
        msgspec.structs.replace(each, holdings=each.holdings[:1]) if each.ledger == "v2" else each
        for each in claims
    )
