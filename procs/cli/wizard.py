"""``laggard init`` without a key to make: asks a little and writes a configuration with every key explained.

Owns the questions. Overwrites nothing; the bot token goes into a private file of its own and onto no screen.
"""

import os
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import click
from pydantic import ValidationError

from common.errors import DependencyMissing
from common.runtime.config import Config, load_config, value_of
from common.runtime.credentials import Secret, write_credentials, write_private
from common.runtime.paths import default_config_file, make_paths
from procs.cli.commented_config import commented_config

_TOKEN = re.compile(r"[0-9]{6,}:[A-Za-z0-9_-]{30,}")

FORMS = {"wallet.address": "an address is 0x and 40 hexadecimal digits"}
"""What a wrong answer is told where the rule itself is no sentence."""


class Question(NamedTuple):
    """One key a first start should decide about."""

    key: str
    text: str


FIRST = (
    Question("mode", "Trade on paper, or live with real money"),
    Question("markets.assets", "Assets, separated by commas"),
    Question("oracles.routes", "Routes to the oracle's price, best first"),
    Question("strategy.stake_usd", "Dollars for one order"),
    Question("risk.max_daily_loss_usd", "Stop for the day after losing so many dollars"),
    Question("risk.max_positions", "The most open positions"),
)
LIVE = (
    Question("wallet.kind", "Kind of wallet (eoa, proxy, safe, deposit)"),
    Question("wallet.address", "The wallet that holds the money"),
)
TELEGRAM = (
    Question("telegram.chat_id", "Chat to write to (a group's is negative)"),
    Question("telegram.allowed_users", "User ids that may command, separated by commas"),
)


def write_config(config_file: Path | None, *, defaults: bool) -> int:
    """Ask, or with ``defaults`` do not, and write the file: exit 1 when there is one already."""
    named = os.environ.get("LAGGARD_CONFIG")
    file = config_file or (Path(named) if named else default_config_file())
    if os.path.lexists(file):
        click.echo(
            f"there is a configuration already: {file}; nothing was changed. Edit it, or move it aside",
            err=True,
        )
        return 1
    token_file = make_paths(None, None, os.environ.get("LAGGARD_PATHS__CREDENTIALS_DIR")).credentials_file(
        "telegram"
    )
    chosen: dict[str, object] = {}
    token: Secret | None = None
    if not defaults:
        click.echo(f"This writes {file}. Enter keeps what is in brackets; Ctrl-C writes nothing.", err=True)
        ask_all(FIRST, chosen)
        if chosen.get("mode") == "live":
            ask_all(LIVE, chosen)
        kept = os.path.lexists(token_file)
        token = None if kept else ask_token()
        if kept:
            click.echo(f"the bot token in {token_file} is kept", err=True)
        if kept or token is not None:
            ask_people(chosen)
    text = commented_config(chosen)
    check(text)
    try:
        if token is not None:
            write_credentials(token_file, {"token": token.reveal()})
            click.echo(f"token   {token_file}")
        write_private(file, text.encode())
    except OSError as error:
        raise DependencyMissing(f"cannot write {error.filename}: {error.strerror}; mend that") from None
    click.echo(f"config  {file}")
    click.echo(_next(chosen, file))
    return 0


def ask_all(questions: tuple[Question, ...], chosen: dict[str, object]) -> None:
    """Ask each question until its answer may stand in the file; what is the default is not written."""
    for question in questions:
        default = value_of(Config(), question.key)
        shown = ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
        while True:
            answer = click.prompt(question.text, default=shown, show_default=bool(shown), err=True)
            try:
                value = _read(question.key, answer)
            except ValidationError as error:
                told = error.errors()[0]["msg"].removeprefix("Value error, ")
                click.echo(f"  {FORMS.get(question.key, told)}", err=True)
            else:
                break
        if value != default:
            chosen[question.key] = value


def ask_people(chosen: dict[str, object]) -> None:
    """Ask for chat and users until there is somebody to write to."""
    while True:
        ask_all(TELEGRAM, chosen)
        if chosen.get("telegram.chat_id") or chosen.get("telegram.allowed_users"):
            return
        click.echo("  the bot needs a chat or a user to write to: give one of the two", err=True)


def ask_token() -> Secret | None:
    """The bot token, unseen on a terminal; None when Telegram is not wanted."""
    text = "Telegram bot token from @BotFather (nothing: no Telegram)"
    while True:
        if sys.stdin.isatty():
            entered = click.prompt(text, default="", hide_input=True, show_default=False, err=True)
        else:
            entered = sys.stdin.readline()
        entered = entered.strip()
        if not entered:
            return None
        if _TOKEN.fullmatch(entered):
            return Secret(entered)
        click.echo("  this is no bot token: those look like 123456789:AA...", err=True)


def check(text: str) -> None:
    """Load the text as every process will; raises ConfigError with every problem."""
    with tempfile.NamedTemporaryFile("w", suffix=".toml", encoding="utf-8") as trial:
        trial.write(text)
        trial.flush()
        load_config(Path(trial.name), {})


def _read(key: str, answer: str) -> object:
    """One answer as its key's value; raises ValidationError."""
    value: object = answer
    if isinstance(value_of(Config(), key), tuple):
        value = [part.strip() for part in answer.split(",") if part.strip()]
    section, _, inner = key.rpartition(".")
    return value_of(Config.model_validate({section: {inner: value}} if section else {inner: value}), key)


def _next(chosen: Mapping[str, object], file: Path) -> str:
    where = "" if file == default_config_file() else f"LAGGARD_CONFIG={file} "
    if chosen.get("mode") == "live":
        return f"Next: laggard init --trading-key, then {where}laggard check, then {where}laggard up --live"
    return f"Next: {where}laggard up, then {where}laggard status"
