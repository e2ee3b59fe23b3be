"""What nodes say when they do not take a transaction, in the words of each kind of node. Asks nobody.

Bor and Geth, Erigon, Nethermind, Besu, OpenEthereum and Anvil word it differently, and none has a code of its
own for each case. Letters alone are compared, so ``AlreadyKnown`` and ``already known`` are one.
"""

import re
from typing import Literal

from common.venue.chain.rpc import RpcRefused

Word = Literal["accepted", "nonce-used", "underpriced", "no-coin", "refused", "unknown"]
_INTERNAL_CODE = -32603
_NO_COIN = (
    "insufficientfunds",
    "insufficientbalance",
    "insufficientsenderbalance",
    "insufficientmaxfeepergasforsenderbalance",
    "upfrontcostexceeds",
    "gasrequiredexceedsallowance",
)
WORDS: tuple[tuple[Word, tuple[str, ...]], ...] = (
    (
        "accepted",
        (
            "alreadyknown",
            "knowntransaction",
            "alreadyimported",
            "alreadyinmempool",
            "alreadyexists",
            "existingtxwithsamehash",
        ),
    ),
    ("nonce-used", ("noncetoolow", "nonceistoolow", "oldnonce")),
    (
        "underpriced",
        (
            "underpriced",
            "couldnotreplaceexistingtx",
            "replacementnotallowed",
            "ownnoncealreadyused",
            "anothertransactionwithsamenonce",
            "feetoolow",
            "gaspricetoolow",
            "gaspriceistoolow",
        ),
    ),
    ("no-coin", _NO_COIN),
)
"""What is looked for, in this order."""


def word_of(error: RpcRefused) -> Word:
    """What a refused transaction was refused for; ``unknown`` where the node failed while it had it."""
    said = _letters(f"{error.said} {error.data}")
    for word, phrases in WORDS:
        if any(phrase in said for phrase in phrases):
            return word
    return "unknown" if error.code == _INTERNAL_CODE else "refused"


def is_no_coin(error: RpcRefused) -> bool:
    """Whether an estimate failed because the sender cannot pay for it."""
    said = _letters(error.said)
    # A contract that reverts may use the same words of a token.
    return "revert" not in said and any(phrase in said for phrase in _NO_COIN)


def _letters(text: str) -> str:
    return re.sub(r"[^a-z]", "", text.lower())
