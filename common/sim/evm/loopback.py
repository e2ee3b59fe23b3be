"""A web application on a free or given port of the loopback interface, and the ways to leave a client alone.

Never listens on anything but loopback.
"""

import asyncio
from typing import NoReturn

from aiohttp import web

from common.errors import DependencyMissing

_HOST = "127.0.0.1"
_SHUTDOWN_S = 0.2


class Loopback:
    """One listening application."""

    def __init__(self, app: web.Application, name: str) -> None:
        """``name`` is what it is called in errors."""
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_S)
        self._name = name

    async def open(self, port: int = 0) -> str:
        """Listen, and give the base address; raises DependencyMissing when the port is taken."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, _HOST, port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise DependencyMissing(
                f"the {self._name} cannot listen on {_HOST}:{port}: {error.strerror}; name another port"
            ) from None
        return f"http://{_HOST}:{self._runner.addresses[0][1]}"

    async def close(self) -> None:
        """End every connection and stop listening."""
        await self._runner.cleanup()


def cut(request: web.Request) -> web.Response:
    """End the connection as a broken line does; what is returned reaches nobody."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def silence() -> NoReturn:
    """Never answer while the connection stays open; closing the server ends it."""
    await asyncio.get_running_loop().create_future()
    raise AssertionError("nobody completes this future")
