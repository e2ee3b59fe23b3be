"""A WebSocket whose whole text messages are heard in the very callback that reads them off the socket.

The library takes a frame apart in many steps and wakes a task for each message, one turn of the loop later.
Here whole frames are cut first. A text message goes straight to whoever hears; every other frame is left to
the library: what comes before anyone hears, messages in pieces, binary ones, text that is none, pings and
closes.
"""

import asyncio
from collections.abc import Callable

from websockets.asyncio.client import ClientConnection
from websockets.protocol import State

READ_BYTES = 1 << 16
_END_OF_ANSWER = b"\r\n\r\n"
_WHOLE_TEXT = 0x81


class PromptConnection(ClientConnection, asyncio.BufferedProtocol):
    """The library's connection; ``recv`` brings what ``hear`` does not. Order is kept between the two."""

    hear: Callable[[str], None] | None = None
    """Must not raise."""
    cutting: bool | None = None
    """Whether the library stands between two frames; None before the answer to the handshake."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Read into one buffer: without it every read asks for 256 KiB of new memory, and pages it in."""
        self._buffer = memoryview(bytearray(READ_BYTES))
        self._begun = bytearray()
        """The beginning of a frame of which the rest is still to come."""
        self._needed = 0
        """The length of that frame; 0 while it is not known."""
        super().connection_made(transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to read to."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """So much was read."""
        self.data_received(bytes(self._buffer[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Cut what was read into frames."""
        if not self.cutting:
            if self.cutting is None:
                # Frames begin where the answer ends. Unless it comes in one piece the library does it all.
                self.cutting = data.endswith(_END_OF_ANSWER) and data.count(_END_OF_ANSWER) == 1
            super().data_received(data)
            return
        if self._begun:
            self._begun += data
            if len(self._begun) < self._needed:
                return
            data = bytes(self._begun)
            self._begun.clear()
        self._needed = 0
        start, have, most = 0, len(data), self.protocol.max_size
        while have - start >= 2:
            size, header = data[start + 1], 2
            if size >= 126:
                header = 4 if size == 126 else 10
                if have - start < header:
                    break
                size = int.from_bytes(data[start + 2 : start + header], "big")
            if data[start + 1] > 127 or (most is not None and size > most):
                # Masked or too long: the library says so to the other end, and all is over.
                self.cutting = False
                super().data_received(data[start:])
                return
            end = start + header + size
            if end > have:
                self._needed = end - start
                break
            if data[start] != _WHOLE_TEXT or not self._heard(data[start + header : end]):
                super().data_received(data[start:end])
            start = end
        self._begun += data[start:]

    def _heard(self, payload: bytes) -> bool:
        """Hear a whole text message, unless an earlier one is not complete or still waits for ``recv``."""
        if self.hear is None or self.protocol.cur_size is not None or len(self.recv_messages.frames):
            return False
        if self.protocol.state is not State.OPEN:
            return False
        try:
            text = payload.decode()
        except UnicodeDecodeError:
            # recv meets it again, and fails the connection as the protocol wants.
            return False
        self.hear(text)
        return True
