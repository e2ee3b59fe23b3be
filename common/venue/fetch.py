"""JSON over HTTP for the checks and the chain: one request, bounded in time and size, from this very host.

Owns how an answer that cannot be used becomes one DependencyMissing that shows nothing of the address but its
host. Never repeats a request, follows no redirect, and uses no proxy of the environment: orders use none, and
the region that counts is the one they come from. Its threads are its own, so that a host that hangs keeps
nobody else's work waiting. ``requests``, because all of this may be slow, and paper trading has it too.
"""

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import ConnectTimeoutError

from common.errors import DependencyMissing

CONNECT_S, READ_S = 3.0, 4.0
WHOLE_S = 5.0
"""For one answer in all: each new byte starts the read limit anew."""
MAX_BYTES = 1 << 20
USER_AGENT = "laggard/0.1"
_CHUNK = 1 << 10
_THREADS = ThreadPoolExecutor(max_workers=24, thread_name_prefix="fetch")
"""More than one run of the checks asks at once, endpoints of the chain that hang included."""


class Unreached(DependencyMissing):
    """No connection was made, so no byte of the request has left."""


async def fetch_json(url: str, ask: Any = None, *, within_s: float | None = None) -> tuple[int, Any]:
    """The HTTP status and the JSON at an address; ``ask`` is posted as JSON.

    ``within_s`` bounds connecting, each wait for bytes, and the whole answer, in place of this module's
    limits. Raises DependencyMissing, and its kind Unreached where the other end certainly heard nothing.
    """
    limits = (CONNECT_S, READ_S, WHOLE_S) if within_s is None else (within_s, within_s, within_s)
    return await asyncio.get_running_loop().run_in_executor(_THREADS, _fetch, url, ask, limits)


def shown_host(url: str) -> str:
    """The part of an address that may be shown: path, query and user may be a key."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2] or "an address without a host"
    except ValueError:
        return "an address that is none"


def _fetch(url: str, ask: Any, limits: tuple[float, float, float]) -> tuple[int, Any]:
    host = shown_host(url)
    connect_s, read_s, whole_s = limits
    ends = time.monotonic() + whole_s
    body = bytearray()
    try:
        with requests.Session() as session:
            session.trust_env = False
            session.headers["User-Agent"] = USER_AGENT
            with session.request(
                "GET" if ask is None else "POST",
                url,
                json=ask,
                timeout=(connect_s, read_s),
                allow_redirects=False,
                stream=True,
            ) as answer:
                for chunk in answer.iter_content(_CHUNK):
                    body += chunk
                    if len(body) > MAX_BYTES:
                        raise DependencyMissing(f"{host} sent more than {MAX_BYTES} bytes")
                    if time.monotonic() > ends:
                        raise DependencyMissing(f"{host} was still sending after {whole_s:g} s")
    except (requests.RequestException, OSError, ValueError) as error:
        # A ValueError: what urllib3 says of an address that is none.
        kind = Unreached if _is_unreached(error) else DependencyMissing
        raise kind(f"{host} does not answer: {type(error).__name__}") from None
    try:
        return answer.status_code, json.loads(body)
    except (ValueError, RecursionError):
        raise DependencyMissing(f"{host} answered HTTP {answer.status_code} and no JSON") from None


def _is_unreached(error: Exception) -> bool:
    """Whether this says that there was never a connection; anything doubtful does not."""
    if isinstance(error, requests.ConnectionError):
        reason = error.args[0] if error.args else None
        reason = getattr(reason, "reason", reason)
        return isinstance(reason, ConnectTimeoutError)
    # What is refused before anything is tried: an address that is none.
    return isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema)
