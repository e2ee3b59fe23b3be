"""Reading JSON over HTTP: one thread per source, bounded in time and size, numbers kept to the last digit.

Owns how a venue's refusal to answer becomes one clear FeedError. Never writes to a venue and never retries:
the caller comes back on its own schedule.
"""

import asyncio
import json
import time
from collections.abc import Callable, Container, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from typing import NoReturn
from urllib.parse import urlsplit

import requests

from common.errors import FeedError
from common.feeds.connection import LOOPBACK, USER_AGENT, shown_host
from common.runtime.clock import Clock
from common.units import SECOND

CONNECT_S, READ_S = 3.0, 5.0
WHOLE_S = 15.0
"""For one answer in all: a server that drips bytes never hits the read limit."""
MAX_BYTES = 16 << 20
DEFAULT_WAIT_S = 5.0
MAX_WAIT_S = 300.0
_CHUNK = 1 << 16
_MEANINGS = {403: "the venue's edge refuses this client or this place", 429: "too many requests"}


class HttpSource:
    """Requests to one base address, one after the other.

    ``sign`` gives more headers for a method and the path with its query exactly as they are sent. ``accept``
    holds every status whose body is an answer: 206 where a part of what was asked is welcome. ``on_headers``
    is told the headers of each answer before its status is judged, and may raise FeedError. Both callbacks
    run in the thread.
    """

    def __init__(
        self,
        base_url: str,
        clock: Clock,
        *,
        max_bytes: int = MAX_BYTES,
        read_s: float = READ_S,
        sign: Callable[[str, str], Mapping[str, str]] | None = None,
        accept: Container[int] = (200,),
        on_headers: Callable[[Mapping[str, str]], None] = lambda _headers: None,
    ) -> None:
        self._base = base_url.rstrip("/")
        self._clock = clock
        self._max_bytes = max_bytes
        self._read_s = read_s
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"http {self.host}")
        self._session = requests.Session()
        self._session.headers.update({"User-Agent": USER_AGENT, "Accept": "application/json"})
        # A proxy of the environment is for the internet, never for this host.
        self._session.trust_env = urlsplit(self._base).hostname not in LOOPBACK
        if sign is not None:
            self._session.auth = _signed_by(sign)
        self._accept = accept
        self._on_headers = on_headers
        self._not_before_ns = 0

    @property
    def host(self) -> str:
        """Who is asked."""
        return shown_host(self._base)

    async def get(self, path: str, params: Mapping[str, str]) -> object:
        """The JSON at ``path``, fractions as Decimal; None where the venue says 404.

        Raises FeedError when there is no usable answer, and at once while the venue asked us to wait.
        """
        self._raise_while_waiting()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._fetch, path, dict(params))

    async def head(self, path: str) -> Mapping[str, str]:
        """The headers at ``path``, whatever the status, unless the venue is busy or broken (429, 5xx).

        Raises FeedError like ``get``.
        """
        self._raise_while_waiting()
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._headers, path)

    def close(self) -> None:
        """Let go of the thread and the connections; a running request is not waited for."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._session.close()

    def _raise_while_waiting(self) -> None:
        wait_ns = self._not_before_ns - self._clock.mono_ns()
        if wait_ns > 0:
            raise FeedError(f"{self.host} asked us to wait; next try in {-(-wait_ns // SECOND)} s")

    def _fetch(self, path: str, params: dict[str, str]) -> object:
        where = f"{self.host}{path}"
        with self._asked("GET", path, params) as answer:
            if answer.status_code == 404:
                return None
            if answer.status_code not in self._accept:
                self._refused(where, answer)
            body = self._body(where, answer)
        return parse_json(body, where)

    def _headers(self, path: str) -> Mapping[str, str]:
        with self._asked("HEAD", path, {}) as answer:
            if answer.status_code == 429 or answer.status_code >= 500:
                self._refused(f"{self.host}{path}", answer)
            return answer.headers

    @contextmanager
    def _asked(self, method: str, path: str, params: dict[str, str]) -> Iterator[requests.Response]:
        where = f"{self.host}{path}"
        try:
            with self._session.request(
                method,
                self._base + path,
                params=params,
                timeout=(CONNECT_S, self._read_s),
                allow_redirects=False,
                stream=True,
            ) as answer:
                self._on_headers(answer.headers)
                yield answer
        except requests.Timeout:
            raise FeedError(f"{where} did not answer within {self._read_s:g} s") from None
        except requests.RequestException as error:
            raise FeedError(f"cannot reach {where}: {_root(error)}") from None

    def _refused(self, where: str, answer: requests.Response) -> NoReturn:
        status = answer.status_code
        meaning = f" ({_MEANINGS[status]})" if status in _MEANINGS else ""
        wait_s = _wait_s(status, answer.headers.get("Retry-After"))
        if wait_s:
            self._not_before_ns = self._clock.mono_ns() + int(wait_s * SECOND)
            meaning += f"; waiting {wait_s:g} s"
        raise FeedError(f"{where} answered HTTP {status}{meaning}")

    def _body(self, where: str, answer: requests.Response) -> bytes:
        body, ends = bytearray(), time.monotonic() + WHOLE_S
        for chunk in answer.iter_content(_CHUNK):
            body += chunk
            if len(body) > self._max_bytes:
                raise FeedError(f"{where} sent more than {self._max_bytes} bytes")
            if time.monotonic() > ends:
                raise FeedError(f"{where} was still sending after {WHOLE_S:g} s")
        return bytes(body)


def _signed_by(
    sign: Callable[[str, str], Mapping[str, str]],
) -> Callable[[requests.PreparedRequest], requests.PreparedRequest]:
    """What sees a request as it will be sent; where there is one, requests leaves ~/.netrc alone."""

    def signed(request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.update(sign(request.method or "", request.path_url))
        return request

    return signed


def parse_json(body: bytes | str, where: str) -> object:
    """A JSON document, fractions as Decimal so that no digit is lost; raises FeedError when it is none."""
    try:
        document: object = json.loads(body, parse_float=Decimal)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise FeedError(f"{where} did not send JSON: {str(error)[:100]}") from None
    return document


def _wait_s(status: int, retry_after: str | None) -> float:
    """How long to leave the venue alone: what it says (seconds), a default after 429, else nothing."""
    try:
        stated = float(retry_after) if retry_after else 0.0
    except ValueError:
        stated = 0.0
    if not 0 < stated < float("inf"):
        stated = DEFAULT_WAIT_S if status == 429 else 0.0
    return min(stated, MAX_WAIT_S) if status in (429, 503) else 0.0


def _root(error: BaseException) -> str:
    """What a chain of wrapped errors began with, in one line."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    text = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return " ".join(text.split())[:160]
