"""The telegram process: tells people what happens and takes their commands. Decides nothing about trading.

Nothing waits for it: whatever Telegram does, the other processes do not notice.
"""

import asyncio
import importlib
from functools import partial
from typing import TYPE_CHECKING

from common.chat.account import Account, read_account
from common.core.remote.commands import COMMANDS
from common.core.remote.letters import Lane, Letter
from common.core.remote.traces import Traces
from common.errors import EXIT_STALE, ConfigError, DependencyMissing, LaggardError
from common.messages import Alert
from common.runtime.shell import Process, run
from common.units import SECOND
from common.venue.recovery import MARKER, leave_marker, read_marker
from procs.cli.kill_switch import SIGNATURE

if TYPE_CHECKING:
    from common.chat.acting import Means
    from common.chat.bot_api import BotApi
    from common.chat.line import Line
    from common.store.outbox import Outbox

ROLE = "telegram"
RETRY_S = (1.0, 2.0, 5.0)
TOKEN_RETRY_S = 60.0
LEAVE_S = 1.5
"""Between the answer to /restart telegram and the restart."""


class RestartAsked(LaggardError):
    """Somebody asked this process to start anew."""

    exit_code = EXIT_STALE


async def telegram(process: Process) -> None:
    """Run until the process is told to stop."""
    try:
        account = read_account(process.config, process.paths)
    except (ConfigError, DependencyMissing) as error:
        process.set_state("disabled", str(error))
        await process.stopping.wait()
        return
    # Loading the library and what is built on it takes up to seconds on a busy machine: beside the heartbeat.
    for name in ("bot_api", "conversation", "charts", "telling"):
        await asyncio.to_thread(importlib.import_module, f"common.chat.{name}")
    await converse(process, account)


async def converse(process: Process, account: Account) -> None:
    """Tell and obey; nothing in here ends because Telegram cannot be reached."""
    from common.chat.bot_api import BadToken, BotApi
    from common.chat.charts import charts
    from common.chat.conversation import Conversation
    from common.chat.line import Line
    from common.chat.polling import poll
    from common.chat.sender import send_letters
    from common.chat.telling import tell
    from common.store.command_log import open_command_log
    from common.store.outbox import open_outbox

    section = process.config.telegram
    try:
        api = BotApi(account.token, section.api_url, answer_s=section.answer_s)
    except BadToken as error:
        process.set_state("disabled", f"{error}; copy it anew from @BotFather")
        await process.stopping.wait()
        return
    # Never closed: tasks may use them until the process is gone, and its end releases them.
    log = open_command_log(process.paths.commands_file)
    outbox = open_outbox(process.paths.outbox_file, process.clock)
    line = Line(process.clock)
    line.trouble("start", "Telegram has not answered yet")
    process.spawn(show(process, line), name="state")
    process.spawn(send_letters(process, outbox, api), name="sender")
    traces = Traces()
    process.spawn(tell(process, outbox, account.chats, traces), name="telling")
    conversation = Conversation(
        process=process,
        log=log,
        put=outbox.put,
        answer_button=lambda query_id, text: process.spawn(
            answer_press(api, query_id, text), name=f"press {query_id}"
        ),
        means=means_of(process, outbox),
        authority=account.authority,
        line=line,
        pictures=partial(charts, process, traces),
    )
    # Before Telegram answers: a /kill that was taken does not wait for it.
    conversation.resume()
    conversation.bot_name = name = await introduced(process, api, line)
    process.spawn(check_chats(api, account, line, name), name="chats")
    alarm = partial(tell_people, process, outbox, account)
    process.spawn(poll(process, api, line, conversation.hear, alarm), name="polling")
    await process.stopping.wait()


async def show(process: Process, line: "Line") -> None:
    """Keep the status true."""
    while not process.stopping.is_set():
        line.show(process)
        await asyncio.sleep(1)


async def introduced(process: Process, api: "BotApi", line: "Line") -> str:
    """The bot's own name, asked until Telegram tells it; also sets the menu of commands."""
    from common.chat.bot_api import ApiError, BadToken

    tries = 0
    while True:
        try:
            name = await api.get_me()
            await api.set_commands([(one.name, one.text) for one in COMMANDS])
        except ApiError as error:
            line.trouble("start", str(error))
            line.show(process)
            pause_s = TOKEN_RETRY_S if isinstance(error, BadToken) else RETRY_S[min(tries, len(RETRY_S) - 1)]
            tries += 1
            await asyncio.sleep(pause_s)
        else:
            line.well("start")
            process.facts["bot"] = f"@{name}"
            return name


async def check_chats(api: "BotApi", account: Account, line: "Line", name: str) -> None:
    """Say which configured chat Telegram does not know, until it does."""
    from common.chat.bot_api import ApiError, Refused

    left = list(account.chats)
    while left:
        for chat_id in tuple(left):
            try:
                await api.get_chat(chat_id)
            except Refused as refusal:
                line.trouble(
                    f"chat {chat_id}", f"chat {chat_id}: {refusal}; write to @{name} from there first"
                )
            except ApiError:
                continue
            else:
                line.well(f"chat {chat_id}")
                left.remove(chat_id)
        if left:
            await asyncio.sleep(TOKEN_RETRY_S)


def tell_people(process: Process, outbox: "Outbox", account: Account, alert: Alert) -> None:
    """Say something about this process itself, in the chats and on the bus."""
    process.publisher.publish(f"alert.{alert.code}", alert)
    loud = alert.level == "critical"
    for chat_id in account.chats:
        try:
            outbox.put(Letter("critical" if loud else "info", chat_id, alert.text, silent=not loud))
        except DependencyMissing as error:
            process.log.error("letter_not_written", problem=str(error))


async def answer_press(api: "BotApi", query_id: str, text: str) -> None:
    """Tell the presser at once; the message itself is edited through the outbox, so this may fail."""
    from common.chat.bot_api import ApiError

    try:
        await api.answer_button(query_id, text)
    except ApiError:
        return


def means_of(process: Process, outbox: "Outbox") -> "Means":
    """What acts outside the bus."""
    from common.chat import programs
    from common.chat.acting import Means

    directory = process.paths.state_dir

    def leave_halt(reason: str) -> bool:
        # A note of the executor itself says more and has the same effect.
        if not read_marker(directory):
            leave_marker(directory, f"{SIGNATURE}{reason}")
        return bool(read_marker(directory))

    def lift_halt(reason: str) -> None:
        # Whoever left another note was not answered, and counts on it.
        if read_marker(directory) == f"{SIGNATURE}{reason}":
            (directory / MARKER).unlink(missing_ok=True)

    def mute(lane: Lane, minutes: int) -> None:
        outbox.mute(lane, process.clock.wall_ns() + minutes * 60 * SECOND)

    async def restart_later() -> None:
        await asyncio.sleep(LEAVE_S)
        raise RestartAsked("somebody asked for a restart of this process")

    async def stop_later() -> None:
        await asyncio.sleep(LEAVE_S)
        await asyncio.to_thread(programs.change, "stop", ROLE)

    return Means(
        leave_halt=leave_halt,
        lift_halt=lift_halt,
        mute=mute,
        restart_self=lambda: process.spawn(restart_later(), name="restart"),
        stop_self=lambda: process.spawn(stop_later(), name="stop"),
    )


if __name__ == "__main__":
    run(ROLE, telegram)
