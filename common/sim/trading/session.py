"""Who sends a request of the account side: an API key that is proven, and the address it belongs to."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from aiohttp import web

from common.sim.trading.l2_check import entitled_key
from common.units import SECOND


class Session(NamedTuple):
    """One proven sender."""

    api_key: str
    signer: str
    """Address of the key that made the API key, in lower case."""


class Sessions:
    """Knows senders by the keys made at the venue."""

    def __init__(
        self,
        api_keys: Mapping[str, tuple[str, str]],
        key_owners: Mapping[str, str],
        now_ns: Callable[[], int],
    ) -> None:
        self._api_keys = api_keys
        self._key_owners = key_owners
        self._now_ns = now_ns

    def of(self, request: web.Request, body: bytes = b"") -> Session | None:
        """The sender of a request; None when it proves nothing."""
        key = entitled_key(
            request.headers,
            request.method,
            request.path,
            body,
            self._api_keys,
            self._key_owners,
            self._now_ns() // SECOND,
        )
        return None if key is None else Session(key, self._key_owners[key].lower())

    def of_frame(self, auth: object) -> Session | None:
        """The sender of the first frame of the user channel, which shows all three secrets."""
        if not isinstance(auth, dict):
            return None
        key = auth.get("apiKey")
        if not isinstance(key, str) or self._key_owners.get(key) is None:
            return None
        if self._api_keys.get(key) != (auth.get("secret"), auth.get("passphrase")):
            return None
        return Session(key, self._key_owners[key].lower())


def unauthorized() -> web.Response:
    """The answer to whoever proves nothing."""
    return web.json_response({"error": "Unauthorized/Invalid api key"}, status=401)
