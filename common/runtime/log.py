"""Structured logs: one JSON line per event on one stream, people's form on a terminal. Masks secrets."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

# Only a terminal shows structlog's rich tracebacks, and loading rich takes longer than all the rest of
# structlog, at every restart: elsewhere structlog finds it absent. Nobody else does.
_RICH_UNSEEN = not sys.stdout.isatty() and "rich" not in sys.modules
if _RICH_UNSEEN:
    sys.modules["rich"] = None  # type: ignore[assignment]
import structlog  # noqa: E402 - see above

if _RICH_UNSEEN:
    del sys.modules["rich"]

from common.runtime.credentials import Secret  # noqa: E402 - see above

Logger = structlog.typing.FilteringBoundLogger

_SECRET_KEY = re.compile(r"(secret|passphrase|private_?key|api_?key|token)$", re.IGNORECASE)
_SECRET_TEXT = re.compile(r"\b0x[0-9a-fA-F]{64}\b(?=.*key)|\b\d{8,10}:[A-Za-z0-9_-]{35}\b")
"""A bot token wherever it stands; a 32-byte hex only where a key is spoken of (order ids look the same)."""
MASK = "***"


def configure(role: str, boot: str, level: str = "info", stream: TextIO | None = None) -> Logger:
    """Send every log line of this process, the libraries' too, to ``stream`` (stdout); returns its logger."""
    out = stream or sys.stdout
    threshold = getattr(logging, level.upper())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        structlog.processors.format_exc_info,
        mask_secrets,
    ]
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if out.isatty() else structlog.processors.JSONRenderer(default=str)
    )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(threshold, logging.WARNING))
    logger: Logger = structlog.get_logger().bind(role=role, boot=boot)
    return logger


def mask_secrets(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace values of secret-sounding keys, secrets wherever they are, and token-shaped text anywhere."""
    for key, value in event.items():
        event[key] = MASK if _SECRET_KEY.search(key) and key != "token" and value else _masked(value)
    return event


def _masked(value: Any) -> Any:
    # JSON would write a secret's content: it is a text.
    if isinstance(value, Secret):
        return MASK
    if isinstance(value, str):
        return _SECRET_TEXT.sub(MASK, value)
    if isinstance(value, dict):
        return {key: _masked(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(inner) for inner in value]
    return value


class Burst:
    """Says when to log something that may come in floods: the first of each ``every_ns``, with the count."""

    def __init__(self, every_ns: int = 10_000_000_000) -> None:
        self._every_ns = every_ns
        self._held: dict[str, tuple[int, int]] = {}

    def note(self, key: str, mono_ns: int) -> int | None:
        """Count one; returns how many there were since the last time it said so, or None to stay silent."""
        since, count = self._held.get(key, (mono_ns - self._every_ns, 0))
        if mono_ns - since >= self._every_ns:
            self._held[key] = (mono_ns, 0)
            return count + 1
        self._held[key] = (since, count + 1)
        return None
