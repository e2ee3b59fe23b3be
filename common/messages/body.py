"""What every message is made of: the base of all bodies, and the words that several speakers use."""

from typing import Literal

import msgspec

Outcome = Literal["up", "down"]
Basis = Literal["settlement", "proxy, not settlement"]
"""What a trade was judged by: the stream that settles, or a stand-in that does not."""


class Body(msgspec.Struct, frozen=True, tag_field="t", kw_only=True):
    """Base of everything an envelope can carry."""
