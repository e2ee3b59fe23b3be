"""Who the bot is and whom it talks to, from the configuration and the token file. Never talks to Telegram."""

from typing import NamedTuple

from common.core.remote.authority import Authority, chats, people
from common.errors import ConfigError
from common.runtime.config import Config
from common.runtime.credentials import Secret, read_credentials
from common.runtime.paths import Paths

_NO_CHAT = (
    "telegram.chat_id is missing: write your own id there. With any number there and "
    "telegram.required = true, laggard up tells which chats wrote to the bot"
)


class Account(NamedTuple):
    """The bot's side of the conversation."""

    token: Secret
    authority: Authority
    chats: tuple[int, ...]
    """Where to write unasked."""


def read_account(config: Config, paths: Paths) -> Account:
    """What is configured; raises ConfigError saying what is missing."""
    file = paths.credentials_file("telegram")
    found = read_credentials(file, ["token"])
    if found is None:
        raise ConfigError(
            [f'no Telegram token: write {{"token": "..."}} as @BotFather gave it into {file}, chmod 600']
        )
    section = config.telegram
    authority = people(section.allowed_users, section.chat_id)
    places = chats(section.allowed_users, section.chat_id)
    if not places:
        raise ConfigError([_NO_CHAT])
    if not authority.users:
        raise ConfigError(
            ["telegram.allowed_users is missing: a group has no owner; name the ids of who may command"]
        )
    return Account(found["token"], authority, places)
