"""Keccak-256, the hash of the chain. Holds nothing but the sponge of each thread.

pycryptodome makes and destroys an object for each hash, which costs several times the hash itself. The sponge
behind that can be kept and reset, by a door that is not public: it is used only where it gives the public
one's answers when this module is loaded, and otherwise the public one is.
"""

import threading
from collections.abc import Callable
from typing import Any

from Crypto.Hash import keccak as _public
from Crypto.Util import _raw_api

_RAW: Any = _raw_api
"""Its stubs leave half of it out."""
_LENGTH, _PADDING = _RAW.c_size_t(32), _RAW.c_ubyte(1)
_RATE = 136
"""Bytes per block: a sponge used wrongly goes wrong at its edge first."""
_TRIED = (0, 1, _RATE - 1, _RATE, _RATE + 1, 3 * _RATE + 7)


def plain(data: bytes) -> bytes:
    """Keccak-256 by the public door."""
    return _public.new(digest_bits=256, data=data).digest()


class _Sponge(threading.local):
    """One per thread: between its reset and its digest another thread may come."""

    def __init__(self) -> None:
        library: Any = _public._raw_keccak_lib  # type: ignore[attr-defined]  # noqa: SLF001
        pointer = _RAW.VoidPointer()
        if library.keccak_init(pointer.address_of(), _RAW.c_size_t(2 * 32), _RAW.c_ubyte(24)):
            raise ValueError("no sponge")
        self.state = pointer.get()
        self.out = _RAW.create_string_buffer(32)
        self.reset, self.absorb = library.keccak_reset, library.keccak_absorb
        self.digest = library.keccak_digest


def kept() -> Callable[[bytes], bytes] | None:
    """Keccak-256 over sponges that are kept; None where this pycryptodome does not let us."""
    size, content = _RAW.c_size_t, _RAW.get_raw_buffer

    def hashed(data: bytes) -> bytes:
        state = sponge.state
        sponge.reset(state)
        sponge.absorb(state, data, size(len(data)))
        sponge.digest(state, sponge.out, _LENGTH, _PADDING)
        return bytes(content(sponge.out))

    try:
        sponge = _Sponge()
        right = all(hashed(bytes(length)) == plain(bytes(length)) for length in _TRIED)
    except (AttributeError, TypeError, ValueError, OSError):
        return None
    return hashed if right else None


keccak: Callable[[bytes], bytes] = kept() or plain
"""Keccak-256."""
