"""The chain through JSON-RPC: what is read of it, what it costs to write to it, and how bytes are sent to it.

``ChainReader`` is here for whoever only reads balances; the rest needs the extra ``live`` and is imported
from its module.
"""

from common.venue.chain.reader import ChainReader

__all__ = ["ChainReader"]
