"""The real Telegram process before an emulator by other hands, and where it and our double leave Telegram."""

import asyncio
import time
from typing import Any

import pytest
from aiohttp import ClientSession

from common.chat.verification import verify
from common.core.remote.commands import COMMANDS
from common.messages import StatusReport
from common.runtime.config import load_config
from common.sim.telegram.bot_api import TOKEN, BotApiDouble
from emulator_stage import ANN, EVE, LACKING, USERS, emulator, stage

pytestmark = pytest.mark.procs
READS = [one.name for one in COMMANDS if one.risk == "reads"]
ASKED = {
    "chat_id": str(ANN), "text": "?", "link_preview_options": '{"is_disabled": true}',
    "reply_markup": '{"inline_keyboard": [[{"text": "Yes", "callback_data": "c:1"}]]}',
}  # fmt: skip


def names(value: Any, before: str = "") -> set[str]:
    """Every name in an object, with those above it."""
    if not isinstance(value, dict):
        return set()
    own = {before + name for name in value}
    return own.union(*(names(inner, f"{before}{name}.") for name, inner in value.items()))


async def test_every_reading_command_is_answered_after_a_verified_start() -> None:
    async with stage() as made:
        report = await made.ready()
        assert report.facts["bot"] == "@TestNameBot"
        assert {one["command"] for one in made.double.commands} == {one.name for one in COMMANDS}
        config = load_config(made.base / "config.toml")
        assert await asyncio.to_thread(verify, config) == "TestNameBot"
        await made.until(lambda: made.heard(ANN, "laggard starts."))
        for place, name in enumerate(READS):
            words = f"/{name} telegram" if name == "logs" else f"/{name}"
            await made.emulator.play("command", USERS[place % len(USERS)], words)
        await made.until(lambda: made.log().count('"event": "command"') == len(READS))
        for place, part in {
            "status": "paper: cash 1000.00 $", "positions": "nothing is held", "orders": "no orders yet",
            "trades": "no trades yet", "pnl": "realized 0.00 $", "balance": "cash 1000.00 $ (paper)",
            "risk": "positions 0 of", "version": "laggard ", "help": "/kill: halt",
            "config": "telegram.chat_id = 1001", "why": "The strategist does not answer",
            "window": "The strategist does not answer", "feeds": "The strategist does not answer",
            "procs": "/procs: this process was not started by supervisord",
            "errors": "/errors: this process was not started by supervisord",
            "logs": "/logs telegram: this process was not started by supervisord",
        }.items():  # fmt: skip
            user = USERS[READS.index(place) % len(USERS)]
            await made.until(lambda user=user, part=part: made.heard(user, part))  # type: ignore[misc]
        # The emulator knows no pictures: this one went to our double.
        await made.until(lambda: made.double.sent(USERS[READS.index("chart") % len(USERS)]))
        (chart,) = made.double.sent(USERS[READS.index("chart") % len(USERS)])
        assert chart.picture.startswith(b"\x89PNG")
        assert TOKEN.partition(":")[2] not in made.log() + str(await made.ready())
        assert set(made.between.asked) == {
            "getMe", "setMyCommands", "getChat", "getUpdates", "sendMessage", "sendPhoto"
        }  # fmt: skip


async def test_a_pressed_button_acts_once_and_the_question_is_edited() -> None:
    async with stage() as made:
        await made.ready()
        await made.emulator.play("command", ANN, "/kill")
        shown = await made.question("kill")
        assert [one["text"] for one in shown["reply_markup"]["inline_keyboard"][0]] == [
            "Confirm /kill",
            "Cancel",
        ]
        await made.press(ANN, shown)
        await made.press(ANN, shown)
        await made.until(lambda: made.heard(ANN, "/kill: Done"))
        await made.until(lambda: made.heard(ANN, "/kill: Confirmed."))
        assert made.executor.postures == ["halted"]
        (said,) = [one for one in await made.emulator.said(ANN) if one["message_id"] == shown["message_id"]]
        assert not said["reply_markup"]
        await made.emulator.play("command", ANN, "/resume")
        await made.press(ANN, await made.question("resume"), which=1)
        await made.until(lambda: made.heard(ANN, "/resume", "Cancelled"))
        await made.until(lambda: made.between.asked.count("answerCallbackQuery") == 3)
        assert made.executor.postures == ["halted"]


async def test_strangers_edits_and_presses_that_say_too_little_get_silence() -> None:
    async with stage() as made:
        await made.ready()
        await made.emulator.play("command", ANN, "/kill")
        shown = await made.question("kill")
        before = made.between.asked.count("sendMessage")
        await made.emulator.play("command", EVE, "/kill")
        await made.press(EVE, shown)
        # It has no edited messages, only messages with the mark of one.
        await made.emulator.play("command", ANN, "/kill", edit_date=int(time.time()))
        # As its own client presses, the message of the button has neither number nor date.
        await made.emulator.play(
            "callback", ANN, shown["reply_markup"]["inline_keyboard"][0][0]["callback_data"]
        )

        async def all_passed_over() -> bool:
            counters = (await made.ready()).counters
            return counters.get("ignored_updates") == 3 and counters.get("malformed_updates") == 1

        await made.until(all_passed_over)
        assert made.log().count('"reason": "stranger"') >= 1
        assert '"reason": "edited message"' in made.log()
        assert await made.emulator.said(EVE) == []
        assert made.between.asked.count("sendMessage") == before
        assert made.executor.done == []
        await made.press(ANN, shown)
        await made.until(lambda: made.heard(ANN, "/kill: Done"))


async def test_a_server_whose_answers_cannot_be_read_ends_nothing() -> None:
    async with stage(mended=False) as made:

        async def tried() -> StatusReport | None:
            report = await made.status()
            return report if report is not None and "TypeError" in report.detail else None

        first = await made.until(tried)
        assert first.state == "degraded"
        assert "its answer cannot be read" in first.detail
        asked = made.between.asked.count("getMe")
        await made.until(lambda: made.between.asked.count("getMe") > asked)
        last = await made.until(tried)
        assert last.boot == first.boot


async def test_what_the_emulator_answers_otherwise_than_the_bot_api() -> None:
    """Each is its fault, by https://core.telegram.org/bots/api; one that is gone is to be taken out here."""
    async with emulator() as outside:
        for method in LACKING:
            status, body = await outside.ask(method, {"chat_id": str(ANN)})
            assert (status, set(body)) == (500, {"message"})  # 404 with ok, error_code and description
        assert "is_bot" not in (await outside.ask("getMe", {}))[1]["result"]
        sent = (await outside.ask("sendMessage", ASKED))[1]["result"]
        assert sent["date"] > 10**12  # seconds
        assert isinstance(sent["link_preview_options"], str)
        edit = {"chat_id": str(ANN), "text": "!"}
        for message_id in (sent["message_id"], 999):  # the message; "message to edit not found"
            answer = await outside.ask("editMessageText", edit | {"message_id": str(message_id)})
            assert answer == (200, {"ok": True, "result": None})
        (said,) = await outside.said(ANN)
        assert said["text"] == "!"
        assert said["reply_markup"]  # an edit without a keyboard takes the keyboard away
        answer = await outside.ask("answerCallbackQuery", {"callback_query_id": "never given"})
        assert answer == (200, {"ok": True, "result": None})
        await outside.play("command", ANN, "/kill")
        async with asyncio.timeout(10):
            while not (found := (await outside.ask("getUpdates", {"timeout": "5"}))[1]["result"]):
                await asyncio.sleep(0.01)  # it holds no request open
        again = {"offset": str(found[0]["update_id"])}
        assert (await outside.ask("getUpdates", again))[1]["result"] == []  # unconfirmed, so given again


async def test_our_double_says_nothing_the_emulator_does_not_but_for_what_telegram_does() -> None:
    double = BotApiDouble()
    double.chats.add_user(ANN, "Ann")
    async with emulator() as outside:
        await double.open()
        try:
            async with outside.session.post(f"{double.url}/bot{TOKEN}/sendMessage", data=ASKED) as answer:
                ours = (await answer.json())["result"]
        finally:
            await double.close()
        theirs = (await outside.ask("sendMessage", ASKED))[1]["result"]
        author = {"from", "from.id", "from.is_bot", "from.first_name", "from.username"}
        assert names(ours) - names(theirs) == author | {"link_preview_options.is_disabled"}
        assert names(theirs) - names(ours) == {"chat_id"}
        await outside.play("command", ANN, "/status now")
        await outside.play("callback", ANN, "c:1")
        async with asyncio.timeout(10):
            updates: list[Any] = []
            while len(updates) < 2:
                updates += (await outside.ask("getUpdates", {}))[1]["result"]
        written, pressed = double.say(ANN, "/status now"), double.press(ANN, "c:1")
        assert names(written) <= names(updates[0])
        assert updates[0]["message"]["entities"] == [dict(one) for one in written["message"]["entities"]]
        assert names(updates[0]) - names(written) == {
            "message.botToken",  # no such field: it is where its client says which bot is meant
            "message.chat.title",  # of groups only
            "message.chat.username", "message.from.username",  # optional, and our people have none
        }  # fmt: skip
        assert names(pressed) - names(updates[1]) == {
            f"callback_query.{name}" for name in (
                "chat_instance", "message.message_id", "message.date", "message.text", "message.reply_markup",
                "message.reply_markup.inline_keyboard", "message.link_preview_options",
                "message.link_preview_options.is_disabled",
            )
        }  # fmt: skip
        assert pressed["callback_query"]["message"]["from"]["is_bot"]  # whose button it is
        assert not updates[1]["callback_query"]["message"]["from"]["is_bot"]


async def test_our_double_refuses_in_the_words_of_telegrams_own_server() -> None:
    """As https://github.com/tdlib/telegram-bot-api, Client.cpp, and what it calls word them."""
    double = BotApiDouble()
    double.chats.add_user(ANN, "Ann")
    double.chats.add_group(-7, "Desk")
    double.chats.set_state(-7, "kicked")
    button = "can't parse inline keyboard button: "
    await double.open()
    try:
        async with ClientSession() as session:
            for method, fields, code, words in (
                ("sendPigeon", {}, 404, "Not Found: method not found"),
                ("sendMessage", {"text": "?"}, 400, "Bad Request: chat_id is empty"),
                ("sendMessage", {"chat_id": -7, "text": "?"}, 403,
                 "Forbidden: bot was kicked from the supergroup chat"),
                ("sendMessage", asking({"callback_data": "x"}), 400,
                 f'Bad Request: {button}Can\'t find field "text"'),
                ("sendMessage", asking({"text": "x"}), 400,
                 f"Bad Request: {button}Text buttons are unallowed in the inline keyboard"),
                ("sendMessage", asking({"text": "x", "callback_data": "y" * 65}), 400,
                 "Bad Request: BUTTON_DATA_INVALID"),
                ("setMyCommands", {}, 400, "Bad Request: can't parse commands JSON object"),
                ("setMyCommands", menu("", "x"), 400, "Bad Request: command must be non-empty"),
                ("setMyCommands", menu("x" * 33, "x"), 400, "Bad Request: command length must not exceed 32"),
                ("setMyCommands", menu("x", ""), 400, "Bad Request: command description must be non-empty"),
                ("setMyCommands", menu("x", "x" * 257), 400,
                 "Bad Request: command description length must not exceed 256"),
                ("setMyCommands", menu("X", "x"), 400, "Bad Request: BOT_COMMAND_INVALID"),
            ):  # fmt: skip
                async with session.post(f"{double.url}/bot{TOKEN}/{method}", json=fields) as answer:
                    said = {"ok": False, "error_code": code, "description": words}
                    assert (answer.status, await answer.json()) == (code, said)
    finally:
        await double.close()


def asking(button: dict[str, str]) -> dict[str, Any]:
    return {"chat_id": ANN, "text": "?", "reply_markup": {"inline_keyboard": [[button]]}}


def menu(command: str, description: str) -> dict[str, Any]:
    return {"commands": [{"command": command, "description": description}]}
