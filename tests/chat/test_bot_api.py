"""The Bot API's client: five kinds of failure, told apart; and the token nowhere."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from commands_stage import ANN, EVE, GROUP, new_double
from common.chat.bot_api import BadToken, BotApi, Flooded, OtherPoller, Refused, Unreachable
from common.core.remote.letters import Button
from common.runtime.credentials import Secret
from common.sim.telegram.bot_api import BotApiDouble
from common.sim.telegram.faults import Fault

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 64


@pytest.fixture
async def double() -> AsyncIterator[BotApiDouble]:
    made = new_double()
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def api(double: BotApiDouble) -> AsyncIterator[BotApi]:
    made = BotApi(Secret(double.token), double.url, answer_s=0.3)
    yield made
    await made.close()


async def test_what_is_sent_arrives(double: BotApiDouble, api: BotApi) -> None:
    assert await api.get_me() == "laggard_test_bot"
    assert await api.get_chat(ANN) == "Ann"
    assert await api.get_chat(GROUP) == "Desk"
    number = await api.send_text(ANN, "1.5! <b> & *_[", ((Button("Yes", "c:1"),),), silent=False)
    (shown,) = double.sent(ANN)
    assert (shown.message_id, shown.text, shown.silent) == (number, "1.5! <b> & *_[", False)
    assert shown.buttons[0][0]["callback_data"] == "c:1"
    await api.edit_text(ANN, number, "changed")
    await api.edit_text(ANN, number, "changed")  # it is so already: no error
    assert (double.sent(ANN)[0].text, double.sent(ANN)[0].buttons) == ("changed", [])
    await api.send_picture(ANN, PNG, "a chart")
    assert double.sent(ANN)[1].picture == PNG
    await api.set_commands([("status", "all")])
    assert double.commands == [{"command": "status", "description": "all"}]


async def test_a_press_is_answered(double: BotApiDouble, api: BotApi) -> None:
    await api.send_text(ANN, "?", ((Button("Yes", "c:1"),),))
    double.press(ANN, "c:1")
    (update,) = await api.get_updates(None, 0)
    assert isinstance(update, dict)
    await api.answer_button(update["callback_query"]["id"], "x" * 300)
    assert list(double.answered.values()) == ["x" * 200]


@pytest.mark.parametrize(
    ("fault", "error", "maybe"),
    [
        ("bad gateway", Unreachable, True),
        ("html", Unreachable, True),
        ("misshapen", Unreachable, True),
        ("reset", Unreachable, True),
        ("hang", Unreachable, True),
        ("flood", Flooded, None),
        ("unauthorized", BadToken, None),
    ],
)
async def test_a_fault_is_of_its_kind(
    double: BotApiDouble, api: BotApi, fault: str, error: type[Exception], maybe: bool | None
) -> None:
    with double.faults.holding(Fault(fault, seconds=3)):  # type: ignore[arg-type]
        with pytest.raises(error) as raised:
            await api.send_text(ANN, "hello")
        with pytest.raises(error):
            await api.get_updates(None, 0)
    if isinstance(raised.value, Unreachable):
        assert raised.value.maybe_delivered == maybe
    if isinstance(raised.value, Flooded):
        assert raised.value.retry_after_s == 3


async def test_what_never_left_cannot_have_been_delivered(double: BotApiDouble, api: BotApi) -> None:
    await double.close()
    with pytest.raises(Unreachable) as raised:
        await api.send_text(ANN, "hello")
    assert not raised.value.maybe_delivered


async def test_an_unknown_chat_and_a_blocked_one_are_refused_for_good(
    double: BotApiDouble, api: BotApi
) -> None:
    with pytest.raises(Refused, match=r"(?i)chat not found"):
        await api.send_text(12345, "hello")
    double.chats.set_state(EVE, "blocked")
    with pytest.raises(Refused, match="blocked"):
        await api.send_text(EVE, "hello")
    with pytest.raises(Refused, match="too long"):
        await api.send_text(ANN, "x" * 5000)


async def test_the_older_of_two_pollers_is_told(double: BotApiDouble, api: BotApi) -> None:
    other = BotApi(Secret(double.token), double.url, answer_s=0.3)
    async with asyncio.TaskGroup() as tasks:
        older = tasks.create_task(_polled(api))
        async with asyncio.timeout(5):
            while not double.updates.polled:
                await asyncio.sleep(0.01)
        await other.get_updates(None, 0)
    assert isinstance(older.result(), OtherPoller)
    await other.close()


async def _polled(api: BotApi) -> Exception | None:
    try:
        await api.get_updates(None, 3)
    except OtherPoller as error:
        return error
    return None


async def test_a_malformed_update_hides_no_other(double: BotApiDouble, api: BotApi) -> None:
    double.updates.put({"message": {"date": "yesterday", "chat": 7}})
    double.say(ANN, "/kill")
    found = await api.get_updates(None, 0)
    assert len(found) == 2


@pytest.mark.parametrize("token", ["", "nonsense", "123456789:AAbbCCddEEffGGhhIIjjKKllMMnnOOppQQr"])
async def test_the_token_is_in_no_error_no_log_and_no_repr(
    double: BotApiDouble, token: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    said = ""
    api = None
    try:
        api = BotApi(Secret(token), double.url, answer_s=0.3)
        said += repr(api)
        await api.get_me()
    except BadToken as error:
        said += str(error) + repr(error)
    assert "does not take the token" in said
    if api is not None:
        await api.close()
    if token:
        assert token not in said + caplog.text
        assert token.rpartition(":")[2] not in said + caplog.text


async def test_faults_tell_no_token(
    double: BotApiDouble, api: BotApi, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    said = ""
    for kind in ("bad gateway", "html", "reset", "hang", "flood", "unauthorized"):
        with double.faults.holding(Fault(kind)):  # type: ignore[arg-type]
            try:
                await api.get_updates(None, 0)
            except Exception as error:  # noqa: BLE001 - all of them
                said += f"{error!r} {error} {error.__cause__!r}"
    await double.close()
    try:
        await api.get_me()
    except Unreachable as error:
        said += f"{error!r} {error} {error.__cause__!r}"
    assert said
    assert double.token.rpartition(":")[2] not in said + caplog.text
