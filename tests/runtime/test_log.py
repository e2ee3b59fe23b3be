"""Log lines: one JSON object each, whoever speaks; secrets never leave."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from common.runtime.credentials import Secret
from common.runtime.log import MASK, configure


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """A place for log lines; afterwards logging is as it was."""
    root = logging.getLogger()
    before = list(root.handlers), root.level
    yield io.StringIO()
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_line_with_who_and_when(stream: io.StringIO) -> None:
    log = configure("books", "b1", stream=stream)
    log.info("feed_down", host="h", reason="two\nlines", odd=object)
    (line,) = lines(stream)
    assert (line["event"], line["role"], line["boot"], line["level"]) == ("feed_down", "books", "b1", "info")
    assert line["ts"].endswith("Z")
    assert line["reason"] == "two\nlines"


def test_the_level_holds_and_libraries_speak_from_warning(stream: io.StringIO) -> None:
    log = configure("books", "b1", "warning", stream)
    log.info("quiet")
    log.warning("loud")
    logging.getLogger("library").info("chatter")
    logging.getLogger("library").warning("trouble %s", 7)
    assert [line["event"] for line in lines(stream)] == ["loud", "trouble 7"]


def test_an_exception_stays_on_one_line(stream: io.StringIO) -> None:
    configure("books", "b1", stream=stream)
    try:
        json.loads("lost")
    except ValueError:
        logging.getLogger("library").exception("failed")
    (line,) = lines(stream)
    assert "JSONDecodeError" in line["exception"]


def test_secrets_of_libraries_are_masked_too(stream: io.StringIO) -> None:
    log = configure("books", "b1", stream=stream)
    secret = "123456789:" + "A" * 35
    log.info("sent", api_key="k", note=f"to {secret}")
    logging.getLogger("library").warning("url %s", secret)
    assert secret not in stream.getvalue()
    assert lines(stream)[0]["api_key"] == MASK


def test_a_secret_is_masked_wherever_it_stands(stream: io.StringIO) -> None:
    log = configure("books", "b1", stream=stream)
    secret = Secret("canary-0x5eed")
    log.info("found", one=secret, inside={"deep": [secret, (secret, 7)]}, plain=["as it is"])
    assert "canary" not in stream.getvalue()
    (line,) = lines(stream)
    assert (line["one"], line["inside"]) == (MASK, {"deep": [MASK, [MASK, 7]]})
    assert line["plain"] == ["as it is"]
