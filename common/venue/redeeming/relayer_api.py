"""The venue's relayer over HTTP: one request each, never repeated here, from this very host.

Owns how the end of a request is told: only where no connection was made is an action certainly not sent.
Follows no redirect, uses no proxy of the environment, and shows of addresses their host, of keys nothing.
"""

import asyncio
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple
from urllib.parse import quote

import requests
from urllib3.exceptions import ConnectTimeoutError

from common.core.redemption.attempts import RelayerWord
from common.errors import ConfigError, DependencyMissing
from common.runtime.clock import Clock
from common.units import SECOND
from common.venue.fetch import USER_AGENT, shown_host
from common.venue.redeeming.actions import RELAYER_TYPES, RelayInfo
from common.venue.redeeming.relayer_key import BuilderKey, RelayerKey
from common.venue.redeeming.relayer_replies import (
    Declined,
    Listed,
    Submitted,
    Unclear,
    Verdict,
    document_of,
    read_list,
    read_nonce,
    read_relay,
    read_verdict,
    read_word,
)
from common.venue.signing.wallet import WalletKind

__all__ = ["Declined", "Listed", "RelayerApi", "Submitted", "Unclear"]

CONNECT_S, READ_S, WHOLE_S = 3.0, 10.0, 15.0
"""The whole answer has a limit of its own: each new byte starts the read limit anew."""
MAX_BYTES = 4 << 20
_CHUNK = 1 << 12
_SUBMIT = "/submit"
_RECENT = "/transactions"
_KNOWN = "/v1/account/transactions"
_KNOWN_OLDER = "/transaction"


class _Answer(NamedTuple):
    status: int
    body: bytes
    retry_after: str | None


class _Lost(Exception):
    """No answer, whatever became of the request."""


class _NeverSent(_Lost):
    """No connection was made."""


class RelayerApi:
    """The relayer at one address, for one key; reads raise DependencyMissing for want of a usable answer."""

    def __init__(
        self, base_url: str, key: RelayerKey | BuilderKey, clock: Clock, *, read_s: float = READ_S
    ) -> None:
        self._base = base_url.rstrip("/")
        self._key = key
        self._clock = clock
        self._read_s = read_s
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="relayer")

    def __repr__(self) -> str:
        return f"RelayerApi({self.host})"

    @property
    def host(self) -> str:
        """Who is asked."""
        return shown_host(self._base)

    async def submit(self, body: bytes) -> Verdict:
        """Post an action as it is; raises nothing for any answer, or for none."""
        try:
            answer = await self._asked("POST", _SUBMIT, body=body)
        except _NeverSent as lost:
            return Declined("not-sent", str(lost))
        except _Lost as lost:
            return Unclear(str(lost))
        return read_verdict(answer.status, answer.body, answer.retry_after)

    async def word(self, transaction_id: str) -> RelayerWord | None:
        """What the relayer says of an action; None where it knows of none with this id."""
        answer = await self._read(f"{_KNOWN}/{quote(transaction_id, safe='')}", {})
        if answer.status == 404:
            # A relayer of the older dialect knows no such path, and one that lost an action says the same.
            answer = await self._read(_KNOWN_OLDER, {"id": transaction_id})
            if answer.status == 404:
                return None
        return read_word(document_of(answer.status, answer.body), transaction_id)

    async def recent(self) -> tuple[Listed, ...]:
        """The key's recent actions: among them one whose answer was lost."""
        answer = await self._read(_RECENT, {})
        return read_list(document_of(answer.status, answer.body))

    async def nonce(self, address: str, kind: WalletKind) -> int:
        """The next nonce of a Safe or deposit wallet by the relayer's word, which may be late.

        ``address`` is the owner's. Raises ConfigError for a wallet that has none here.
        """
        if kind not in {"safe", "deposit"}:
            raise ConfigError([f"the relayer keeps no nonce of a wallet of the kind {kind}"])
        told = {"address": address, "type": RELAYER_TYPES[kind]}
        answer = await self._read(f"{_KNOWN}/params", told)
        if answer.status == 404:
            answer = await self._read("/nonce", told)
        return read_nonce(document_of(answer.status, answer.body))

    async def relay_info(self, address: str) -> RelayInfo:
        """Who would carry out the next request of the proxy of this owner, and its nonce at the hub."""
        told = {"address": address, "type": RELAYER_TYPES["proxy"]}
        answer = await self._read("/relay-payload", told)
        return read_relay(document_of(answer.status, answer.body))

    def close(self) -> None:
        """Let go of the threads; a running request is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _read(self, path: str, params: Mapping[str, str]) -> _Answer:
        try:
            return await self._asked("GET", path, params)
        except _Lost as lost:
            raise DependencyMissing(str(lost)) from None

    async def _asked(
        self, method: str, path: str, params: Mapping[str, str] | None = None, body: bytes = b""
    ) -> _Answer:
        # The signed path is the relayer's own; a prefix in front of it is the server's business.
        headers = self._key.headers(self._clock.wall_ns() // SECOND, method, path, body)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._threads, self._exchange, method, path, dict(params or {}), body, headers
        )

    def _exchange(
        self, method: str, path: str, params: dict[str, str], body: bytes, headers: dict[str, str]
    ) -> _Answer:
        ends = time.monotonic() + WHOLE_S
        got = bytearray()
        try:
            with requests.Session() as session:
                session.trust_env = False
                session.headers.update({"User-Agent": USER_AGENT, "Accept": "application/json"})
                if body:
                    session.headers["Content-Type"] = "application/json"
                with session.request(
                    method,
                    self._base + path,
                    params=params,
                    data=body or None,
                    headers=headers,
                    timeout=(CONNECT_S, self._read_s),
                    allow_redirects=False,
                    stream=True,
                ) as answer:
                    for chunk in answer.iter_content(_CHUNK):
                        got += chunk
                        if len(got) > MAX_BYTES:
                            raise _Lost(f"{self.host} sent more than {MAX_BYTES} bytes")
                        if time.monotonic() > ends:
                            raise _Lost(f"{self.host} was still sending after {WHOLE_S:g} s")
                    # A refusal may quote the key it refuses, and is shown to people.
                    heard = self._key.hidden_in(bytes(got))
                    return _Answer(answer.status_code, heard, answer.headers.get("Retry-After"))
        except (requests.RequestException, OSError, ValueError) as error:
            # Its own text may quote the request.
            text = f"{self.host} does not answer: {type(error).__name__}"
            raise (_NeverSent if _is_unreached(error) else _Lost)(text) from None


def _is_unreached(error: Exception) -> bool:
    """Whether there certainly was no connection: refused, unknown name, too slow to connect."""
    reason = error.args[0] if isinstance(error, requests.ConnectionError) and error.args else None
    return isinstance(getattr(reason, "reason", reason), ConnectTimeoutError)
