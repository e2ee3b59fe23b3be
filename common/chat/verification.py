"""Whether Telegram agrees with what is configured: asked by ``laggard up`` before anything starts.

Repeats no token.
"""

import asyncio
from collections.abc import Iterable

from common.chat.account import Account, read_account
from common.chat.bot_api import BadToken, BotApi, Flooded, Refused, Unreachable
from common.errors import ConfigError, DependencyMissing
from common.runtime.config import Config
from common.runtime.paths import make_paths

LIMIT_S = 8.0
"""For all of the questions before a start; each of them usually takes a few tenths of a second."""
_MOST_CHATS = 5


def verify(config: Config, greeting: str = "laggard starts.") -> str:
    """Ask Telegram whether token and chats are right, and greet each; returns the bot's name.

    Raises ConfigError with Telegram's reason when they are not, DependencyMissing when it cannot be asked.
    """
    paths = make_paths(config.paths.state_dir, config.paths.run_dir, config.paths.credentials_dir)
    account = read_account(config, paths)
    return asyncio.run(_verify(config, account, str(paths.credentials_file("telegram")), greeting))


async def _verify(config: Config, account: Account, file: str, greeting: str) -> str:
    api: BotApi | None = None
    try:
        async with asyncio.timeout(LIMIT_S):
            api = BotApi(account.token, config.telegram.api_url, answer_s=config.telegram.answer_s)
            name = await api.get_me()
            for chat_id in account.chats:
                await _greet(api, name, chat_id, greeting)
    except BadToken as error:
        raise ConfigError([f"{error}; copy it anew from @BotFather into {file}"]) from None
    except (Unreachable, TimeoutError) as error:
        said = str(error) or f"Telegram cannot be reached: no answer within {LIMIT_S:g} s"
        raise DependencyMissing(
            f"{said}; try again, or set telegram.required = false to start without it"
        ) from None
    finally:
        if api is not None:
            await api.close()
    return name


async def _greet(api: BotApi, name: str, chat_id: int, greeting: str) -> None:
    try:
        await api.get_chat(chat_id)
        await api.send_text(chat_id, greeting, silent=True)
    except Flooded:
        return  # it knows the chat well
    except Refused as refusal:
        raise ConfigError([f"telegram.chat_id {chat_id}: {refusal}; {await find_chats(api, name)}"]) from None


async def find_chats(api: BotApi, name: str) -> str:
    """Where to look for the right chat id: at best those that wrote to the bot lately."""
    try:
        found = list(_chats_in(await api.get_updates(None, 0)))
    except (Flooded, Refused, Unreachable, BadToken):
        found = []
    if not found:
        return f"write any message to @{name} and start again: this line will then name the chat's id"
    return f"these wrote to @{name} lately: {', '.join(dict.fromkeys(found))}"


def _chats_in(updates: Iterable[object]) -> Iterable[str]:
    """The chats of updates, in words; confirms none of them."""
    seen = 0
    for update in updates:
        if not isinstance(update, dict):
            continue
        for part in ("message", "edited_message", "channel_post", "my_chat_member"):
            chat = part in update and isinstance(update[part], dict) and update[part].get("chat")
            if isinstance(chat, dict) and isinstance(chat.get("id"), int) and seen < _MOST_CHATS:
                seen += 1
                name = str(chat.get("title") or chat.get("first_name") or chat.get("username") or "")
                plain = "".join(letter for letter in name[:30] if letter.isprintable())
                yield f"{chat['id']} ({chat.get('type', 'chat')} {plain})"
