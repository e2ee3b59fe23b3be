"""The Bot API double under the real client, which must meet in it what it meets at Telegram."""

import asyncio
import datetime
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest
from telegram import Bot, InlineKeyboardButton, InlineKeyboardMarkup
from telegram.error import (
    BadRequest,
    Conflict,
    Forbidden,
    InvalidToken,
    NetworkError,
    RetryAfter,
    TelegramError,
    TimedOut,
)
from telegram.request import HTTPXRequest

from common.sim.telegram.bot_api import TOKEN, BotApiDouble
from common.sim.telegram.faults import Fault
from common.sim.telegram.flood import Flood, FloodLimits
from common.units import SECOND

ANN, EVE = 1001, 6666
GROUP = -100_200_300
PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 64


@pytest.fixture(autouse=True)
def _waits_as_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PTB_TIMEDELTA", "1")  # otherwise the client warns that it will be so


@pytest.fixture
async def api() -> AsyncIterator[BotApiDouble]:
    double = BotApiDouble()
    double.chats.add_user(ANN, "Ann")
    double.chats.add_group(GROUP, "Desk")
    await double.open()
    yield double
    await double.close()


@pytest.fixture
async def bot(api: BotApiDouble) -> AsyncIterator[Bot]:
    async with client(api) as made:
        yield made


def client(api: BotApiDouble, token: str = TOKEN, read_s: float = 2) -> Bot:
    return Bot(
        token,
        base_url=f"{api.url}/bot",
        request=HTTPXRequest(read_timeout=read_s),
        get_updates_request=HTTPXRequest(read_timeout=read_s),
    )


async def test_the_real_client_gets_to_know_itself_and_the_chat(bot: Bot) -> None:
    me = await bot.get_me()
    assert me.is_bot and me.username
    chat = await bot.get_chat(ANN)
    assert (chat.id, chat.type) == (ANN, "private")
    assert (await bot.get_chat(GROUP)).title == "Desk"
    assert await bot.delete_webhook()


@pytest.mark.parametrize("token", ["987654321:" + "A" * 35, "nonsense"])
async def test_a_wrong_token_is_refused(api: BotApiDouble, token: str) -> None:
    with pytest.raises(InvalidToken):
        async with client(api, token) as stranger:
            await stranger.get_me()


async def test_a_wrong_token_answers_401_and_a_malformed_one_404(api: BotApiDouble) -> None:
    async with aiohttp.ClientSession() as session:
        for token, code, text in (
            ("987654321:" + "A" * 35, 401, "Unauthorized"),
            ("nonsense", 404, "Not Found"),
        ):
            async with session.get(f"{api.url}/bot{token}/getMe") as answer:
                assert (answer.status, await answer.json()) == (
                    code,
                    {"ok": False, "error_code": code, "description": text},
                )


async def test_a_message_is_shown_and_edited(api: BotApiDouble, bot: Bot) -> None:
    buttons = InlineKeyboardMarkup([[InlineKeyboardButton("Yes", callback_data="yes")]])
    sent = await bot.send_message(ANN, "<b>5</b> &lt; 6", parse_mode="HTML", reply_markup=buttons)
    (shown,) = api.sent(ANN)
    assert (shown.text, shown.buttons) == ("5 < 6", [[{"text": "Yes", "callback_data": "yes"}]])
    await bot.edit_message_text("done", chat_id=ANN, message_id=sent.message_id)
    (shown,) = api.sent(ANN)
    assert (shown.text, shown.buttons, shown.edited) == ("done", [], 1)
    assert [request.method for request in api.requests if request.chat_id == ANN] == [
        "sendMessage",
        "editMessageText",
    ]


async def test_a_picture_arrives_whole(api: BotApiDouble, bot: Bot) -> None:
    await bot.send_photo(ANN, PNG, caption="equity")
    (shown,) = api.sent(ANN)
    assert (shown.picture, shown.text) == (PNG, "equity")
    with pytest.raises(BadRequest, match="Image_process_failed"):
        await bot.send_photo(ANN, b"no picture")


async def test_what_can_not_be_sent_is_refused_in_telegrams_words(api: BotApiDouble, bot: Bot) -> None:
    for chat_id, text, mode, words in (
        (4711, "hello", None, "Chat not found"),
        (ANN, "x" * 4097, None, "Message is too long"),
        (ANN, "\N{ROCKET}" * 2049, None, "Message is too long"),
        (ANN, " ", None, "Message text is empty"),
        (ANN, "<x>1</x>", "HTML", 'Can\'t parse entities: unsupported start tag "x" at byte offset 0'),
        (ANN, "<b>1</i>", "HTML", "Can't parse entities: unmatched end tag at byte offset 4"),
        (ANN, "<b>1", "HTML", "Can't parse entities: can't find end tag corresponding to start tag \"b\""),
    ):
        with pytest.raises(BadRequest) as refusal:
            await bot.send_message(chat_id, text, parse_mode=mode)
        assert words.lower() in str(refusal.value).lower()
    sent = await bot.send_message(ANN, "same")
    with pytest.raises(BadRequest, match="Message is not modified"):
        await bot.edit_message_text("same", chat_id=ANN, message_id=sent.message_id)
    with pytest.raises(BadRequest, match="Message to edit not found"):
        await bot.edit_message_text("x", chat_id=ANN, message_id=1)
    long = InlineKeyboardMarkup([[InlineKeyboardButton("Yes", callback_data="y" * 65)]])
    with pytest.raises(BadRequest, match="Button_data_invalid"):
        await bot.send_message(ANN, "ask", reply_markup=long)


@pytest.mark.parametrize("state", ["blocked", "not started", "kicked", "bot"])
async def test_a_closed_chat_is_forbidden(api: BotApiDouble, bot: Bot, state: str) -> None:
    api.chats.set_state(ANN, state)  # type: ignore[arg-type]
    with pytest.raises(Forbidden):
        await bot.send_message(ANN, "hello")


async def test_flood_control_names_the_wait_and_spares_other_chats(api: BotApiDouble, bot: Bot) -> None:
    for number in range(3):
        await bot.send_message(ANN, f"{number}")
    with pytest.raises(RetryAfter) as flood:
        await bot.send_message(ANN, "4")
    assert flood.value.retry_after == datetime.timedelta(seconds=3)
    assert len(api.sent(ANN)) == 3
    await bot.send_message(GROUP, "not me")


def test_flood_control_counts_a_group_by_the_minute_and_all_by_the_second() -> None:
    flood = Flood(FloodLimits())
    assert [flood.admit(GROUP, number) for number in range(21)] == [0] * 20 + [60]
    assert flood.admit(GROUP, 59 * SECOND) == 2
    assert flood.admit(GROUP, 61 * SECOND) == 0
    flood = Flood(FloodLimits())
    assert [flood.admit(chat, 5) for chat in range(1, 32)] == [0] * 30 + [1]


async def test_a_poll_waits_for_an_update_and_confirms_by_offset(api: BotApiDouble, bot: Bot) -> None:
    poll = asyncio.ensure_future(bot.get_updates(timeout=5))
    await asyncio.sleep(0)
    said = api.say(ANN, "/status")
    started = time.monotonic()
    (update,) = await poll
    assert time.monotonic() - started < 2
    assert update.message is not None
    assert (update.message.text, update.message.from_user.id) == ("/status", ANN)  # type: ignore[union-attr]
    # Not confirmed: it comes again. Confirmed: the poll is empty.
    assert [each.update_id for each in await bot.get_updates(timeout=0)] == [said["update_id"]]
    assert await bot.get_updates(offset=update.update_id + 1, timeout=0) == ()
    assert await bot.get_updates(timeout=0) == ()


async def test_the_newer_poller_ends_the_older(api: BotApiDouble, bot: Bot) -> None:
    async with client(api) as second:
        older = asyncio.ensure_future(bot.get_updates(timeout=5))
        await poll_is_waiting(api)
        newer = asyncio.ensure_future(second.get_updates(timeout=5))
        with pytest.raises(Conflict, match="terminated by other getUpdates request"):
            await older
        api.say(ANN, "/help")
        assert len(await newer) == 1


async def poll_is_waiting(api: BotApiDouble) -> None:
    async with asyncio.timeout(5):
        while not api.updates.polled:
            await asyncio.sleep(0.005)


async def test_only_wanted_kinds_are_kept(api: BotApiDouble, bot: Bot) -> None:
    await bot.get_updates(timeout=0, allowed_updates=["message"])
    api.say(ANN, "/kill", edited=True)
    api.say(ANN, "/status")
    assert [update.message is not None for update in await bot.get_updates(timeout=0)] == [True]


async def test_people_forward_edit_press_and_lie_about_time(api: BotApiDouble, bot: Bot) -> None:
    button = InlineKeyboardMarkup([[InlineKeyboardButton("Yes", callback_data="yes:1")]])
    asked = await bot.send_message(GROUP, "sure?", reply_markup=button)
    api.say(ANN, "/kill", edited=True, date_s=1_700_000_000)
    api.say(ANN, "/kill", forwarded_from=EVE)
    api.say(EVE, "/kill", chat_id=GROUP)
    api.press(EVE, "yes:1", chat_id=GROUP)
    edited, forwarded, foreign, pressed = await bot.get_updates(timeout=0)
    assert edited.message is None and edited.edited_message is not None
    assert edited.edited_message.date.timestamp() == 1_700_000_000
    assert forwarded.message is not None and forwarded.message.forward_origin is not None
    assert foreign.message is not None and foreign.message.chat.id == GROUP
    query = pressed.callback_query
    assert query is not None and query.message is not None
    assert (query.from_user.id, query.data, query.message.message_id) == (EVE, "yes:1", asked.message_id)
    assert await bot.answer_callback_query(query.id, "no")
    assert api.answered == {query.id: "no"}
    with pytest.raises(BadRequest, match="Query is too old"):
        await bot.answer_callback_query("4711")


async def test_updates_are_repeated_and_reordered(api: BotApiDouble, bot: Bot) -> None:
    first, second = (api.say(ANN, text)["update_id"] for text in ("/pause", "/resume"))
    api.updates.reorder([second, first])
    assert [update.update_id for update in await bot.get_updates(timeout=0)] == [second, first]
    await bot.get_updates(offset=second + 1, timeout=0)
    api.updates.repeat(first)
    assert [update.update_id for update in await bot.get_updates(offset=second + 1, timeout=0)] == [first]


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("hang", TimedOut),
        ("lost", TimedOut),
        ("bad gateway", NetworkError),
        ("reset", NetworkError),
        ("html", TelegramError),
        ("flood", RetryAfter),
        ("unauthorized", InvalidToken),
    ],
)
async def test_a_fault_is_what_the_client_calls_it(
    api: BotApiDouble, kind: str, error: type[TelegramError]
) -> None:
    async with client(api, read_s=0.2) as bot:
        fault = Fault(kind, method="sendMessage", times=1)  # type: ignore[arg-type]
        api.faults.add(fault)
        with pytest.raises(error):
            await bot.send_message(ANN, "hello")
        assert [shown.text for shown in api.sent(ANN)] == (["hello"] if kind == "lost" else [])
        api.faults.clear()
        await bot.send_message(ANN, "again")
        assert api.sent(ANN)[-1].text == "again"


async def test_a_malformed_update_stays_until_it_is_confirmed(api: BotApiDouble, bot: Bot) -> None:
    with api.faults.holding(Fault("malformed")):
        with pytest.raises(Exception):  # noqa: B017 - whatever the client makes of it
            await bot.get_updates(timeout=0)
    assert await bot.get_updates(timeout=0) == ()


async def test_commands_are_checked(api: BotApiDouble, bot: Bot) -> None:
    assert await bot.set_my_commands([("status", "How it is")])
    assert api.commands == [{"command": "status", "description": "How it is"}]
    with pytest.raises(BadRequest, match="Bot_command_invalid"):
        await bot.set_my_commands([("Status!", "How it is")])


async def test_it_comes_back_on_the_same_port(api: BotApiDouble, bot: Bot) -> None:
    port = int(api.url.rpartition(":")[2])
    await api.close()
    with pytest.raises(NetworkError):
        await bot.send_message(ANN, "hello")
    await api.open(port)
    await bot.send_message(ANN, "hello")
    assert [shown.text for shown in api.sent(ANN)] == ["hello"]
