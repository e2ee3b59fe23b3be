"""One JSON-RPC question to one address, and what kind of answer it got.

Owns the difference between an endpoint that said no and one that cannot be used. One question a request,
because public endpoints refuse batches; nothing is repeated. An address may carry a key, so only its host is
shown.
"""

from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

from common.errors import DependencyMissing
from common.venue.fetch import fetch_json, shown_host

T = TypeVar("T")
_ID = 1
_SHORTEST_KEY = 6
_LINE = 120
_VERDICT_STATUSES = (200, 400)
"""Where an error object is about the question; with any other status it is about who asks, or when."""
_LIMIT_CODES = (-32005, -32097, 429)
_REVERTED_CODE = 3
_BUSY_WORDS = (
    "rate limit",
    "ratelimit",
    "too many requests",
    "limit exceeded",
    "quota",
    "timeout",
    "timed out",
    "deadline exceeded",
    "context canceled",
    "internal error",
    "unavailable",
    "upstream",
    "try again",
)


class RpcRefused(DependencyMissing):
    """The endpoint works and answered this question with an error.

    ``code`` and ``said`` are the error's; ``data`` is what came with it as text, mostly what a call reverted
    with. Both texts may hold the key of the address: show them only through ``without_keys``.
    """

    def __init__(self, text: str, *, code: int, said: str, data: str) -> None:
        super().__init__(text)
        self.code = code
        self.said = said
        self.data = data


async def ask(
    url: str, method: str, params: list[Any], read: Callable[[Any], T], within_s: float | None = None
) -> T:
    """The result of one question; ``read`` raises ValueError where it is not what such a result can be.

    Raises RpcRefused, and DependencyMissing where there is no usable answer at all.
    """
    request = {"jsonrpc": "2.0", "id": _ID, "method": method, "params": params}
    status, document = await fetch_json(url, request, within_s=within_s)
    host = shown_host(url)
    error = document.get("error") if isinstance(document, dict) else None
    if not isinstance(document, dict) or status != 200 or "result" not in document or error is not None:
        raise _refusal(url, method, status, document, error)
    if document.get("id") != _ID:
        raise DependencyMissing(f"{host} answered another question than {method}")
    result = document["result"]
    try:
        return read(result)
    except (ValueError, RecursionError):
        said = without_keys(shown(str(result)[: 4 * _LINE]), url)
        raise DependencyMissing(f"{host} answered {method} with what it cannot be: {said}") from None


def shown(value: str) -> str:
    """A text that is not long: a number without its leading zeros, anything else cut."""
    short = value
    if value.startswith("0x") and len(value) == 66:
        short = "0x" + (value[2:].lstrip("0") or "0")
    return short if len(short) <= 40 else f"{short[:40]}..."


def without_keys(text: str, url: str) -> str:
    """What an endpoint said in one printable line, without what of its address may be a key."""
    parts = urlsplit(url)
    secret = [parts.username, parts.password, *parts.path.split("/")]
    secret += [value for _, value in parse_qsl(parts.query)]
    for each in secret:
        for form in {each, unquote(each)} if each and len(each) >= _SHORTEST_KEY else ():
            text = text.replace(form, "***")
    line = " ".join("".join(one if one.isprintable() else " " for one in text).split())
    return line[:_LINE]


def _refusal(url: str, method: str, status: int, document: Any, error: Any) -> DependencyMissing:
    said = error.get("message") if isinstance(error, dict) else error
    text = f"{shown_host(url)} refuses {method} (HTTP {status}): {without_keys(str(said), url)}"
    if not isinstance(error, dict) or document.get("id") != _ID or status not in _VERDICT_STATUSES:
        return DependencyMissing(text)
    code, data = error.get("code"), error.get("data")
    if type(code) is not int or not isinstance(said, str) or "result" in document or _is_busy(code, said):
        return DependencyMissing(text)
    return RpcRefused(text, code=code, said=said, data=data if isinstance(data, str) else "")


def _is_busy(code: int, said: str) -> bool:
    """Whether this tells of the endpoint; what a contract reverted with may use the same words."""
    lower = said.lower()
    if code == _REVERTED_CODE or "revert" in lower:
        return False
    return code in _LIMIT_CODES or any(word in lower for word in _BUSY_WORDS)
