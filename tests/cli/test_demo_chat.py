"""What the demo writes for its chat, says in it, and counts of it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from commands_stage import ANN, BOB, new_double
from common.chat.account import Account
from common.core.remote.authority import Arrival, people
from common.core.remote.letters import Letter
from common.errors import ConfigError
from common.runtime.clock import ManualClock
from common.runtime.config import load_config
from common.runtime.config_sections import Telegram
from common.runtime.credentials import Secret, read_credentials, write_credentials
from common.runtime.paths import make_paths
from common.sim.telegram.bot_api import BotApiDouble
from common.sim.telegram.faults import Fault
from common.store.command_log import open_command_log
from common.store.outbox import open_outbox
from common.units import SECOND
from procs.cli import demo_chat
from procs.cli.demo_chat import Chat
from procs.cli.demo_config import generated_plan, remove_token_link, with_chat, write_files

NOW_NS = 1_800_000_000 * SECOND
RESULT: dict[str, Any] = {"orders": 3, "positions_settled": 2, "realized_pnl_usd6": 1_500_000}


@pytest.fixture
async def double() -> AsyncIterator[BotApiDouble]:
    made = new_double()
    await made.open()
    yield made
    await made.close()


def chat_of(double: BotApiDouble, folder: Path) -> Chat:
    file = folder / "own" / "telegram.json"
    write_credentials(file, {"token": double.token})
    account = Account(Secret(double.token), people((ANN, BOB), 0), (ANN, BOB))
    section = Telegram(required=True, allowed_users=(ANN, BOB), api_url=double.url, poll_s=2.5, answer_s=1)
    return Chat("laggard_test_bot", section, account, file, NOW_NS)


async def test_the_written_files_lead_to_the_token_and_hold_it_nowhere(
    double: BotApiDouble, tmp_path: Path
) -> None:
    state_dir = tmp_path / "demo"
    state_dir.mkdir()
    plan = generated_plan(60, 1, 8701, NOW_NS, ("rtds",))
    chat = chat_of(double, tmp_path)
    for _ in range(2):
        config = load_config(write_files(with_chat(plan, chat), state_dir)[0], {})
    assert config.telegram == chat.section.model_copy(update={"required": False})
    token_file = make_paths(str(state_dir), None, config.paths.credentials_dir).credentials_file("telegram")
    found = read_credentials(token_file, ["token"])
    assert found is not None
    assert found["token"].reveal() == double.token
    assert token_file.is_symlink()
    secret = double.token.partition(":")[2]
    written = [file for file in state_dir.rglob("*") if file.is_file() and not file.is_symlink()]
    assert written
    assert not any(secret in file.read_text() for file in written)
    assert secret not in repr(with_chat(plan, chat))
    remove_token_link(state_dir)
    assert not token_file.is_symlink()
    assert chat.token_file.exists()


async def test_a_later_demo_without_a_chat_is_disabled_there(double: BotApiDouble, tmp_path: Path) -> None:
    plan = generated_plan(60, 1, 8701, NOW_NS, ("rtds",))
    write_files(with_chat(plan, chat_of(double, tmp_path)), tmp_path)
    config = load_config(write_files(plan, tmp_path)[0], {})
    assert config.telegram == Telegram()
    assert not (tmp_path / "credentials" / "telegram.json").is_symlink()


async def test_a_token_somebody_keeps_there_is_never_replaced(double: BotApiDouble, tmp_path: Path) -> None:
    kept = tmp_path / "credentials" / "telegram.json"
    write_credentials(kept, {"token": "another"})
    plan = generated_plan(60, 1, 8701, NOW_NS, ("rtds",))
    with pytest.raises(ConfigError, match="move it away or name another --state"):
        write_files(with_chat(plan, chat_of(double, tmp_path)), tmp_path)
    remove_token_link(tmp_path)
    assert "another" in kept.read_text()


async def test_greeting_and_farewell_reach_every_chat_though_it_has_to_wait(
    double: BotApiDouble, tmp_path: Path
) -> None:
    chat = chat_of(double, tmp_path)
    double.faults.add(Fault("flood", chat_id=ANN, times=1, seconds=1))
    await asyncio.to_thread(chat.introduce, "some markets")
    await asyncio.to_thread(chat.take_leave, RESULT)
    for person in (ANN, BOB):
        greeting, farewell = (shown.text for shown in double.sent(person))
        assert greeting.startswith("This is a demo: some markets. The venue is simulated")
        assert farewell.startswith("The demo is over: 3 orders, 2 positions settled, 1.50 $ of play money.")


async def test_an_outage_delays_a_demo_within_limits_and_ends_it_not(
    double: BotApiDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo_chat, "SAY_LIMIT_S", 0.3)
    double.faults.add(Fault("hang"))
    async with asyncio.timeout(2):
        await asyncio.to_thread(chat_of(double, tmp_path).take_leave, RESULT)
    assert "not told in the chat: Telegram did not answer in time" in capsys.readouterr().err


async def test_what_came_of_the_chat_is_counted(double: BotApiDouble, tmp_path: Path) -> None:
    chat = chat_of(double, tmp_path)
    paths = make_paths(str(tmp_path), None)
    nothing = chat.outcome(tmp_path)
    assert (nothing["messages_sent"], nothing["messages_undelivered"], nothing["updates_heard"]) == (0, 0, 0)
    log = open_command_log(paths.commands_file)
    results = (
        "answered", "answered", "asked for confirmation", "confirmed: Done.", "late: Done: paused.",
        "said twice: It is halted already, which is stricter; that stays.",
        "confirmed: NOT DONE: the executor does not answer.", "confirmed: Refused: no (why).",
        "confirmed: UNKNOWN: the executor did not answer", "confirmed: FAILED: no such program.",
        "Nothing was done: the state is not the one you were shown.", "pressed twice",
    )  # fmt: skip
    for number, result in enumerate(results):
        log.take([Arrival(number, "message", user_id=ANN)], NOW_NS)
        log.end(number, result)
    log.close()
    outbox = open_outbox(paths.outbox_file, ManualClock(wall=NOW_NS))
    for place in range(4):
        outbox.put(Letter(lane="trade", chat_id=ANN, text=f"letter {place}"))
    outbox.sent(outbox.begin(1), 7)
    outbox.refused(outbox.begin(2), "no")
    outbox.in_doubt(outbox.begin(3))
    found = chat.outcome(tmp_path)
    outbox.close()
    # What was left out is told by one more letter, which waits as well.
    assert found["undelivered"] == {"waiting": 2, "refused": 1, "in doubt": 1}
    assert (found["messages_sent"], found["messages_undelivered"]) == (1, 4)
    assert found["updates_heard"] == len(results)
    assert (found["commands_answered"], found["commands_obeyed"], found["commands_failed"]) == (2, 3, 4)
