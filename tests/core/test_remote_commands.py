"""The words of a command: understood, refused with its usage, or not for this bot."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.core.remote.commands import ALIASES, BY_NAME, COMMANDS, Asked, Misread, read

PROGRAMS = ("books", "executor", "telegram")


def understood(text: str) -> Asked | Misread:
    return read(text, "my_bot", PROGRAMS)


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("/status", Asked("status")),
        ("/Kill", Asked("kill")),
        ("/KILL@My_Bot", Asked("kill")),
        ("  /trades   5 ", Asked("trades", ("5",))),
        ("/logs Books 20", Asked("logs", ("books", "20"))),
        ("/start", Asked("help")),
        ("/start books", Asked("start", ("books",))),
        ("/redeem", Asked("redeem", ("all",))),
        ("/redeem ALL", Asked("redeem", ("all",))),
        ("/redeem 0x" + "aB" * 32, Asked("redeem", ("0x" + "ab" * 32,))),
        ("/redeem btc-updown-15m-1", Asked("redeem", ("btc-updown-15m-1",))),
        ("/mute info 30", Asked("mute", ("info", "30"))),
        ("/stopentry", Asked("noentry")),
        ("/kill now please !!", Asked("kill")),
        ("/why btc-updown-15m-1", Asked("why", ("btc-updown-15m-1",))),
    ],
)
def test_what_is_understood(text: str, asked: Asked) -> None:
    assert understood(text) == asked


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("kill", "commands only"),
        ("", "commands only"),
        ("/", "do not know /"),
        ("/kil", "do not know /kil"),
        ("/logs", "Usage: /logs PROC [n]"),
        ("/logs nobody", "no process nobody: books, executor, telegram"),
        ("/logs books 0", "1 to 50"),
        ("/logs books ²", "1 to 50"),
        ("/trades -1", "1 to 50"),
        ("/trades 1 2", "takes one word"),
        ("/status now", "takes nothing"),
        ("/resume now", "takes nothing"),
        ("/mute critical 5", "critical messages are never muted"),
        ("/mute trade soon", "MINUTES"),
        ("/mute trade", "missing"),
        ("/redeem 0x12", "An id is"),
        ("/restart", "missing"),
    ],
)
def test_what_is_not_understood_is_answered_with_what_would_be(text: str, part: str) -> None:
    found = understood(text)
    assert isinstance(found, Misread)
    assert part in found.answer


def test_another_bots_command_is_met_with_silence() -> None:
    assert understood("/kill@other_bot") == Misread("")
    # Not known yet: rather one halt too many than one too few.
    assert read("/kill@some_bot", "", PROGRAMS) == Asked("kill")


@given(st.text(max_size=200))
def test_no_message_breaks_the_reader(text: str) -> None:
    for said in (text, f"/{text}", f"/logs {text}", f"/mute {text}"):
        found = understood(said)
        assert isinstance(found, Misread) or found.name in BY_NAME


@given(st.text(max_size=60))
def test_what_reduces_risk_is_never_refused_for_its_arguments(text: str) -> None:
    for command in COMMANDS:
        if command.risk == "reduces":
            assert understood(f"/{command.name} {text}") == Asked(command.name)


def test_every_command_and_alias_is_one_telegram_takes() -> None:
    for command in COMMANDS:
        assert command.name.isascii() and command.name.islower() and len(command.name) <= 32
        assert 1 <= len(command.text) <= 256
    assert set(ALIASES.values()) <= BY_NAME.keys()
    assert not ALIASES.keys() & BY_NAME.keys()
