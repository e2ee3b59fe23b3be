"""The commands a person may send from afar: their names, what they risk, and how their words are read.

Knows nothing of who sent them, when, or of how they are carried out.
"""

from collections.abc import Collection, Sequence
from typing import Literal, NamedTuple

import msgspec

Risk = Literal["reads", "reduces", "adds", "quiets"]
"""What a command may do: tell, take risk away, add risk or spend, or silence a lane of messages."""

MAX_LINES = 50
MAX_MUTE_MINUTES = 7 * 24 * 60
_LANES = ("trade", "info", "digest")
"""What may be muted; critical messages and answers never."""


class Command(NamedTuple):
    """One command: ``/name arguments``."""

    name: str
    risk: Risk
    arguments: str
    """As help shows them."""
    text: str


COMMANDS: tuple[Command, ...] = (
    Command("status", "reads", "", "everything on one screen"),
    Command("window", "reads", "", "the current windows: strike, price, books, verdict"),
    Command("feeds", "reads", "", "the routes to the price, and how they agree"),
    Command("positions", "reads", "", "what is held"),
    Command("orders", "reads", "", "the newest orders"),
    Command("trades", "reads", "[n]", "the newest fills"),
    Command("pnl", "reads", "", "profit and loss"),
    Command("balance", "reads", "", "the money"),
    Command("why", "reads", "[window]", "why there is or is no trade"),
    Command("risk", "reads", "", "the limits and what is used of them"),
    Command("procs", "reads", "", "every process"),
    Command("errors", "reads", "", "the newest warnings and errors of all logs"),
    Command("logs", "reads", "PROC [n]", "the end of a log"),
    Command("config", "reads", "[section]", "what is configured"),
    Command("version", "reads", "", "which version runs"),
    Command("chart", "reads", "", "pictures: equity and the current window"),
    Command("help", "reads", "", "this list"),
    Command("pause", "reduces", "", "no orders until /resume"),
    Command("noentry", "reduces", "", "no new orders until /resume"),
    Command("cancelall", "reduces", "", "take back every order"),
    Command("kill", "reduces", "", "halt: nothing is traded until /resume"),
    Command("resume", "adds", "", "trade again"),
    Command("flatten", "adds", "", "no new orders, sell what is held"),
    Command("redeem", "adds", "[all|id]", "bring what was won into the wallet"),
    Command("restart", "adds", "PROC", "stop and start a process"),
    Command("start", "adds", "PROC", "start a process"),
    Command("stop", "adds", "PROC", "stop a process"),
    Command("mute", "quiets", "LANE MINUTES", "silence trade, info or digest; 0 ends it"),
)
BY_NAME = {command.name: command for command in COMMANDS}
ALIASES = {
    "stopentry": "noentry",
    "stopbuy": "noentry",
    "halt": "kill",
    "claim": "redeem",
    "portfolio": "positions",
    "profit": "pnl",
    "cancel_all": "cancelall",
}
"""What people type who come from other bots."""


class Asked(msgspec.Struct, frozen=True):
    """A command as it was understood."""

    name: str
    arguments: tuple[str, ...] = ()

    @property
    def risk(self) -> Risk:
        """What it may do."""
        return BY_NAME[self.name].risk

    def __str__(self) -> str:
        return " ".join((f"/{self.name}", *self.arguments))


class Misread(NamedTuple):
    """A message that is no command, with what to answer; an empty answer is silence."""

    answer: str


def read(text: str, bot_name: str, programs: Collection[str]) -> Asked | Misread:
    """Understand a message; ``programs`` are the processes that may be named.

    While the bot does not know its own name (empty) every addressee is taken for it.
    Case does not matter: a phone writes the first letter large, and a /Kill is meant.
    """
    words = text.split()
    if not words or not words[0].startswith("/"):
        return Misread("I take commands only; /help lists them.")
    name, _, addressee = words[0][1:].lower().partition("@")
    if addressee and bot_name and addressee != bot_name.lower():
        # In a group: another bot is meant.
        return Misread("")
    name = ALIASES.get(name, name)
    arguments = tuple(words[1:])
    if name == "start" and not arguments:
        # What Telegram itself sends when somebody opens the bot.
        name = "help"
    command = BY_NAME.get(name)
    if command is None:
        return Misread(f"I do not know /{name[:32]}; /help lists what I know.")
    problem = _problem(command, arguments, programs)
    if problem:
        return Misread(f"{problem} Usage: /{command.name} {command.arguments}".rstrip())
    if command.risk == "reduces":
        # What reduces risk is never refused for a word too many.
        return Asked(name)
    return Asked(name, tuple(_normal(command, arguments)))


def _problem(command: Command, arguments: Sequence[str], programs: Collection[str]) -> str:
    """What is wrong with the arguments, as a sentence; empty when nothing is."""
    if command.risk == "reduces":
        return ""
    most = len(command.arguments.split())
    if len(arguments) > most:
        return f"/{command.name} takes {('nothing', 'one word', 'two words')[most]} after it."
    needed = sum(not word.startswith("[") for word in command.arguments.split())
    if len(arguments) < needed:
        return "Something is missing."
    match command.name:
        case "logs" | "restart" | "start" | "stop":
            if arguments[0].lower() not in programs:
                return f"I know no process {arguments[0][:40]}: {', '.join(programs)}."
            if len(arguments) > 1 and not _number(arguments[1], 1, MAX_LINES):
                return f"n is a number from 1 to {MAX_LINES}."
        case "trades":
            if arguments and not _number(arguments[0], 1, MAX_LINES):
                return f"n is a number from 1 to {MAX_LINES}."
        case "mute":
            if arguments[0].lower() not in _LANES:
                return f"LANE is one of {', '.join(_LANES)}; critical messages are never muted."
            if not _number(arguments[1], 0, MAX_MUTE_MINUTES):
                return f"MINUTES is a number from 0 to {MAX_MUTE_MINUTES}."
        case "redeem":
            if arguments and arguments[0].lower() != "all" and not _condition(arguments[0]):
                return "An id is 0x and 64 hexadecimal digits, or the name of a window."
        case _:
            pass
    return ""


def _normal(command: Command, arguments: Sequence[str]) -> Sequence[str]:
    words = [word.lower() for word in arguments]
    if command.name == "redeem" and not words:
        return ["all"]
    return words


def _number(text: str, least: int, most: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 6 and least <= int(text) <= most


def _condition(text: str) -> bool:
    word = text.lower()
    if word.startswith("0x"):
        return len(word) == 66 and all(letter in "0123456789abcdef" for letter in word[2:])
    return 0 < len(word) <= 80 and word.replace("-", "").isalnum()
