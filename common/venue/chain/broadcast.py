"""The same bytes to every endpoint that is well, once, and what is known after that.

Never signs, never sends a second time: whether bytes go out again is decided elsewhere, by what the chain
shows. A broadcast that nobody answered intelligibly may still have been taken, so it is ``unknown``, never
failed.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

from common.errors import DependencyMissing
from common.venue.chain import shapes
from common.venue.chain.endpoints import Endpoint, Endpoints
from common.venue.chain.refusals import Word, word_of
from common.venue.chain.rpc import RpcRefused
from common.venue.fetch import Unreached
from common.venue.signing.keccak import keccak

_DEFINITE: tuple[Word, ...] = ("accepted", "nonce-used", "underpriced", "no-coin")
"""The first of these that anybody says is what counts."""


class Broadcast(NamedTuple):
    """What is known after a broadcast; ``text`` says who said what."""

    kind: Word
    text: str


class Told(NamedTuple):
    """What one endpoint said."""

    kind: Word
    text: str
    reached: bool = True
    """Whether it may have heard the bytes."""


async def broadcast(endpoints: Endpoints, raw: bytes, tx_hash: str) -> Broadcast:
    """Send a signed transaction to all endpoints that are well, side by side, each once.

    Never raises for what endpoints do; ValueError when the hash is not that of the bytes.
    """
    tx_hash = tx_hash.lower()
    if f"0x{keccak(raw).hex()}" != tx_hash:
        raise ValueError("the hash is not that of the transaction; nothing was sent")
    healthy = endpoints.healthy
    told = await asyncio.gather(*(_sent(one, raw, tx_hash) for one in healthy))
    aside = [Told("unknown", one.set_aside, reached=False) for one in endpoints.all if one not in healthy]
    return verdict([*told, *aside])


def verdict(told: Sequence[Told]) -> Broadcast:
    """What all of them together mean; ``refused`` only where nobody can have taken it."""
    text = "; ".join(one.text for one in told if one.text)
    kinds = {one.kind for one in told}
    for kind in _DEFINITE:
        if kind in kinds:
            return Broadcast(kind, text)
    doubtful = any(one.kind == "unknown" and one.reached for one in told)
    return Broadcast("refused" if "refused" in kinds and not doubtful else "unknown", text)


async def _sent(endpoint: Endpoint, raw: bytes, tx_hash: str) -> Told:
    def read(value: Any) -> str:
        return shapes.word(value)

    try:
        answer = await endpoint.ask("eth_sendRawTransaction", [f"0x{raw.hex()}"], read)
    except Unreached as error:
        return Told("unknown", str(error), reached=False)
    except RpcRefused as error:
        return Told(word_of(error), f"{endpoint.host}: {endpoint.without_keys(error.said)}")
    except DependencyMissing as error:
        return Told("unknown", str(error))
    if answer != tx_hash:
        return Told("unknown", f"{endpoint.host} took it as {answer}, which is not its hash {tx_hash}")
    return Told("accepted", f"{endpoint.host} took it")
