"""Before a start: Telegram's own reason in one line, and where to find the right chat."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands_stage import ANN, EVE, GROUP, new_double
from common.chat.account import read_account
from common.chat.verification import verify
from common.errors import ConfigError, DependencyMissing
from common.runtime.config import Config, load_config
from common.runtime.credentials import write_credentials
from common.runtime.paths import make_paths
from common.sim.telegram.bot_api import BotApiDouble
from common.sim.telegram.faults import Fault


@pytest.fixture
def double() -> Iterator[BotApiDouble]:
    """A double in a thread of its own: verify() brings its own loop."""
    import asyncio

    made = new_double()
    ready, end = threading.Event(), threading.Event()

    async def serve() -> None:
        await made.open()
        ready.set()
        while not end.is_set():
            await asyncio.sleep(0.01)
        await made.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(5)
    yield made
    end.set()
    thread.join()


def config_of(
    double: BotApiDouble, tmp_path: Path, chat_id: int, token: str | None = None, **more: object
) -> Config:
    if token != "":
        write_credentials(tmp_path / "telegram.json", {"token": token or double.token})
    return Config.model_validate(
        {
            "telegram": {"chat_id": chat_id, "api_url": double.url, "required": True, "answer_s": 1, **more},
            "paths": {"state_dir": str(tmp_path / "state"), "credentials_dir": str(tmp_path)},
        }
    )


def problem_of(config: Config) -> str:
    began = time.monotonic()
    with pytest.raises(ConfigError) as raised:
        verify(config)
    assert time.monotonic() - began < 2
    (problem,) = raised.value.problems
    assert "\n" not in problem
    return problem


def test_the_right_token_and_chat_get_a_message(double: BotApiDouble, tmp_path: Path) -> None:
    assert verify(config_of(double, tmp_path, ANN)) == "laggard_test_bot"
    assert [shown.text for shown in double.sent(ANN)] == ["laggard starts."]


def test_a_wrong_token_is_told_with_telegrams_reason(double: BotApiDouble, tmp_path: Path) -> None:
    wrong = "123456789:AAbbCCddEEffGGhhIIjjKKllMMnnOOppQQr"
    problem = problem_of(config_of(double, tmp_path, ANN, wrong))
    assert "does not take the token" in problem
    assert "copy it anew from @BotFather into" in problem
    assert wrong.partition(":")[2] not in problem


def test_a_wrong_chat_is_told_with_who_wrote_lately(double: BotApiDouble, tmp_path: Path) -> None:
    config = config_of(double, tmp_path, 4711)
    problem = problem_of(config)
    assert "telegram.chat_id 4711: Telegram refuses" in problem
    assert "chat not found" in problem.lower()
    assert "write any message to @laggard_test_bot and start again" in problem
    double.say(ANN, "hello")
    double.say(EVE, "hello", chat_id=GROUP)
    problem = problem_of(config)
    assert f"these wrote to @laggard_test_bot lately: {ANN} (private Ann), {GROUP} (" in problem
    assert len(double.updates.pending) == 2  # it took nothing away from the bot


def test_nobody_there_is_no_wrong_configuration(double: BotApiDouble, tmp_path: Path) -> None:
    double.faults.add(Fault("reset"))
    with pytest.raises(DependencyMissing, match=r"cannot be reached.*telegram.required = false"):
        verify(config_of(double, tmp_path, ANN))


@pytest.mark.parametrize(
    ("chat_id", "allowed", "token", "part"),
    [
        (ANN, (), "", "no Telegram token"),
        (0, (), None, "telegram.chat_id is missing"),
        (GROUP, (), None, "telegram.allowed_users is missing"),
    ],
)
def test_what_is_missing_is_named(
    double: BotApiDouble, tmp_path: Path, chat_id: int, allowed: tuple[int, ...], token: str, part: str
) -> None:
    config = config_of(double, tmp_path, chat_id, token, allowed_users=allowed)
    with pytest.raises(ConfigError, match=part):
        read_account(config, make_paths(None, None, str(tmp_path)))


def test_ids_are_read_from_the_environment_and_checked() -> None:
    config = load_config(
        None, {"LAGGARD_TELEGRAM__ALLOWED_USERS": "7, 8", "LAGGARD_TELEGRAM__CHAT_ID": "-100"}
    )
    assert (config.telegram.allowed_users, config.telegram.chat_id) == ((7, 8), -100)
    for ids, part in (("-5", "no person's id"), ("7, 7", "names 7 twice"), ("ann", "integer")):
        with pytest.raises(ConfigError, match=part):
            load_config(None, {"LAGGARD_TELEGRAM__ALLOWED_USERS": ids})
