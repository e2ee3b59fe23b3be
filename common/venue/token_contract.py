"""Which contract holds the shares of a token: read from its id. Asks nobody."""

from common.venue.signing.contracts import CONDITIONAL_TOKENS, POSITION_MANAGER

_RESERVED = ((1 << 64) - 1) << 40
"""Zero in every id of the position manager; the ids of the older contract are hashes."""


def token_contract(token: str) -> str:
    """The ERC-1155 contract whose balance counts, as the venue's client infers it from the id.

    Orders are signed by the version of the market; here only the id is at hand, as for what is held.
    """
    return CONDITIONAL_TOKENS if int(token) & _RESERVED else POSITION_MANAGER
