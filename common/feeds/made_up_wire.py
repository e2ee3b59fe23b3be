"""A connection to nowhere: frames that were never sent take the way of those that come over the wire.

Code that runs a few times a second finds the processor's caches cold; run on made-up frames in between it
stays fast. Opens no socket.
"""

import asyncio
from collections.abc import Callable

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from common.feeds.connection import Link, hearing
from common.feeds.prompt_connection import PromptConnection
from common.runtime.clock import Clock


class _Nowhere(asyncio.Transport):
    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


def made_up_wire(link: Link, clock: Clock) -> Callable[[str], None]:
    """Bring a text frame to the link as its connection would; raises what its ``on_frame`` raises.

    Needs a running loop.
    """
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    socket = PromptConnection(ClientProtocol(parse_uri("ws://127.0.0.1"), state=State.OPEN))
    socket.connection_made(_Nowhere())
    socket.cutting = True
    socket.hear = hearing(link, clock, failed)

    def bring(text: str) -> None:
        socket.data_received(Frame(Opcode.TEXT, text.encode()).serialize(mask=False))
        if failed.done():
            failed.result()

    return bring
