"""One question at a time to a JSON-RPC endpoint, for the doubles of the simulation.

Owns its HTTP session. Repeats nothing and hides no error.
"""

import itertools
import json
from typing import Any

import aiohttp

from common.errors import DependencyMissing

_TIMEOUT_S = 20.0


class RpcRefused(Exception):
    """The endpoint answered with an error object."""

    def __init__(self, method: str, error: dict[str, Any]) -> None:
        super().__init__(f"{method}: {error.get('message')}")
        self.code = int(error.get("code", 0))
        self.text = str(error.get("message", ""))
        self.data = error.get("data")


class RpcClient:
    """Asks one endpoint; close it when done."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._numbers = itertools.count(1)
        self._session: aiohttp.ClientSession | None = None

    async def call(self, method: str, *params: Any) -> Any:
        """The result; raises RpcRefused for an error object and DependencyMissing without an answer."""
        ask = {"jsonrpc": "2.0", "id": next(self._numbers), "method": method, "params": list(params)}
        try:
            answer = json.loads(await self.post(json.dumps(ask).encode()))
        except ValueError:
            raise DependencyMissing(f"the node answered {method} with no JSON; see what it logs") from None
        if "error" in answer:
            raise RpcRefused(method, answer["error"])
        return answer["result"]

    async def post(self, body: bytes) -> bytes:
        """The raw answer to a raw body; raises DependencyMissing when there is none."""
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
            self._session = aiohttp.ClientSession(timeout=timeout)
        headers = {"Content-Type": "application/json"}
        try:
            async with self._session.post(self._url, data=body, headers=headers) as response:
                return await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise DependencyMissing(f"the node does not answer ({error!r}); is it running?") from None

    async def close(self) -> None:
        """Close the session."""
        if self._session is not None:
            await self._session.close()
            self._session = None
