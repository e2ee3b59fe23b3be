"""A demo that was to be seen in Telegram and cannot be says why in one line, and starts nothing."""

import os
from pathlib import Path

import pytest

from commands_stage import ANN, EVE
from common.runtime.lock import hold_role
from common.sim.telegram.faults import Fault
from demo_chat_stage import User, user

pytestmark = [pytest.mark.procs, pytest.mark.timeout(60)]

WRONG = "123456789:AAbbCCddEEffGGhhIIjjKKllMMnnOOppQQr"
LIMIT_S = 2.0


def nothing_began(who: User) -> bool:
    return not who.demo_dir.exists() and not who.own_state.exists()


async def test_a_wrong_token_is_told_with_telegrams_reason(tmp_path: Path) -> None:
    async with user(tmp_path) as who:
        who.configure(token=WRONG)
        code, said, took_s = await who.refused()
        (line,) = said.splitlines()
        assert code == 78
        assert "Telegram does not take the token: " in line
        assert f"copy it anew from @BotFather into {who.config_dir / 'credentials' / 'telegram.json'}" in line
        assert WRONG.partition(":")[2] not in said
        assert took_s < LIMIT_S
        assert nothing_began(who)


async def test_a_wrong_chat_is_told_with_who_wrote_lately(tmp_path: Path) -> None:
    async with user(tmp_path) as who:
        who.configure(chat_id=4711)
        who.double.say(ANN, "hello")
        code, said, took_s = await who.refused()
        (line,) = said.splitlines()
        assert code == 78
        assert "telegram.chat_id 4711: Telegram refuses: Chat not found" in line
        assert f"these wrote to @laggard_test_bot lately: {ANN} (private Ann)" in line
        assert took_s < LIMIT_S
        assert nothing_began(who)


async def test_without_a_token_it_says_where_to_put_it(tmp_path: Path) -> None:
    async with user(tmp_path) as who:
        code, said, _ = await who.refused()
        assert code == 78
        assert f"into {who.config_dir / 'credentials' / 'telegram.json'}" in said
        assert nothing_began(who)


async def test_an_outage_is_told_with_the_way_around_it(tmp_path: Path) -> None:
    async with user(tmp_path) as who:
        who.configure()
        who.double.faults.add(Fault("reset"))
        code, said, _ = await who.refused()
        assert code == 69
        assert "Telegram cannot be reached" in said
        assert "or run the demo without --telegram" in said
        assert nothing_began(who)


async def test_what_was_sent_to_the_users_own_laggard_is_left_to_it(tmp_path: Path) -> None:
    """Were it taken by the demo, the one it was meant for would begin to trade."""
    async with user(tmp_path) as who:
        who.configure()
        who.double.say(ANN, "hello")
        who.double.say(EVE, "/pause")
        who.double.say(ANN, "/kill")
        code, said, _ = await who.refused()
        assert code == 69
        assert said.startswith("/kill: sent to the bot while nobody listened")
        assert "/pause" not in said
        assert len(who.double.updates.pending) == 3
        assert who.double.sent(ANN) == []
        assert nothing_began(who)


async def test_two_on_one_token_are_not_begun(tmp_path: Path) -> None:
    async with user(tmp_path) as who:
        who.configure()
        who.run_dir.mkdir(mode=0o700)
        with hold_role(who.run_dir, "telegram"):
            code, said, _ = await who.refused()
        assert code == 69
        assert f"another telegram is running (pid {os.getpid()})" in said
        assert who.double.requests == []
        assert nothing_began(who)
