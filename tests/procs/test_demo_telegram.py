"""The whole demo in its user's own Telegram: he reads, he stops it, and his token stays where he keeps it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from commands_stage import ANN, EVE
from common.messages import AccountReport, ReadAccount
from common.sim.telegram.chats import Shown
from common.sim.telegram.faults import Fault
from demo_chat_stage import User, user
from procs.cli.asking import ask
from procs.cli.stack import ROOT, own_stack, supervisor_pid

pytestmark = [pytest.mark.procs, pytest.mark.alone, pytest.mark.slow, pytest.mark.timeout(180)]

SECONDS = 45
HANGING_SECONDS = 30
DIRECT = ("A demo of laggard starts.", "This is a demo: ", "The demo is over: ")
"""What the command itself writes; everything else is the telegram process's."""


@pytest.fixture(autouse=True)
def _no_process_left() -> None:
    """The demo ends its own processes; what it had to kill is among its reasons."""


class Watched:
    """A running demo as its user sees it."""

    def __init__(self, who: User, process: asyncio.subprocess.Process) -> None:
        self.who, self.process = who, process
        self.err: list[str] = []
        self._reading = asyncio.get_running_loop().create_task(self._read())  # kept here

    async def _read(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.err.append(line.decode().rstrip())

    def texts(self) -> list[str]:
        return [shown.text for shown in self.who.double.sent(ANN)]

    async def until(self, met: Callable[[], object], limit_s: float, what: str) -> None:
        deadline = time.monotonic() + limit_s
        while not met():
            assert time.monotonic() < deadline, f"{what}; {self.texts()}; {self.err}"
            assert self.process.returncode is None, f"{what}; {self.err}"
            await asyncio.sleep(0.05)

    async def said(self, part: str, limit_s: float = 15) -> None:
        await self.until(lambda: any(part in text for text in self.texts()), limit_s, f"it says {part!r}")

    def held(self) -> bool:
        """Whether an answer names a position."""
        return any("-updown-" in text and ", cost " in text for text in self.texts())

    def told(self, label: str) -> Path:
        """A directory the demo names to people."""
        line = next(line for line in self.err if label in line)
        return Path(line.rpartition(label)[2].partition(",")[0])

    async def account(self) -> AccountReport:
        run_dir = self.told("sockets in ")
        answer = (await asyncio.to_thread(ask, run_dir, {"executor": ReadAccount()}))["executor"]
        assert isinstance(answer, AccountReport)
        return answer

    async def result(self, limit_s: float) -> dict[str, Any]:
        assert self.process.stdout is not None
        text = await asyncio.wait_for(self.process.stdout.read(), limit_s)
        await asyncio.wait_for(self.process.wait(), 10)
        await self._reading
        found: dict[str, Any] = json.loads(text)
        return found


@pytest.fixture
async def demo(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Watched]:
    if supervisor_pid(own_stack()) is not None:
        pytest.skip("laggard is running from this checkout; stop it with `laggard down`")
    async with user(tmp_path) as who:
        who.configure()
        process = await who.demo("--seconds", str(getattr(request, "param", SECONDS)), "--json")
        watched = Watched(who, process)
        try:
            yield watched
        finally:
            if process.returncode is None:
                process.terminate()
                await asyncio.wait_for(process.wait(), 60)


def holds(token: str, directories: Iterable[Path]) -> list[Path]:
    """Files, links not followed, that hold the token."""
    return [
        file
        for directory in directories
        for file in directory.rglob("*")
        if file.is_file() and not file.is_symlink() and token.encode() in file.read_bytes()
    ]


def shown_by_processes(token: str) -> list[Path]:
    """Command lines and environments of every process that hold the token."""
    found = []
    for file in (*Path("/proc").glob("[0-9]*/cmdline"), *Path("/proc").glob("[0-9]*/environ")):
        try:
            content = file.read_bytes()
        except OSError:
            continue  # it ended, or shows itself to nobody
        if token.encode() in content:
            found.append(file)
    return found


async def test_a_user_reads_and_stops_the_demo_in_his_chat(demo: Watched) -> None:
    who, double = demo.who, demo.who.double
    secret = double.token.partition(":")[2]
    await demo.said("This is a demo: generated ")
    await demo.said("laggard tells from now on: paper, trading", 40)
    await demo.said("bought", 40)
    double.say(EVE, "/kill")
    double.say(ANN, "/status")
    await demo.said("orders of unknown fate")
    double.say(ANN, "/positions")
    await demo.until(lambda: "nothing is held" in demo.texts() or demo.held(), 15, "it says what is held")
    state_dir, run_dir = demo.told("state in "), demo.told("sockets in ")
    assert (state_dir / "credentials" / "telegram.json").is_symlink()
    assert holds(secret, (state_dir, run_dir, ROOT / ".run")) == []
    assert shown_by_processes(secret) == []

    await demo.said("settled", 40)
    double.say(ANN, "/pause")

    def question() -> Shown | None:
        return next((one for one in double.sent(ANN) if one.buttons and one.text.startswith("/pause")), None)

    await demo.until(question, 10, "it asks for confirmation")
    shown = question()
    assert shown is not None
    double.press(ANN, shown.buttons[0][0]["callback_data"], message_id=shown.message_id)
    await demo.said("/pause: Done")
    paused = await demo.account()
    assert (paused.posture.posture, paused.posture.who) == ("paused", f"telegram:{ANN}")

    result = await demo.result(SECONDS + 60)
    assert result["reasons"] == [], demo.err
    assert demo.process.returncode == 0
    assert result["orders"] == paused.account.orders
    chat = result["chat"]
    letters = [
        one
        for one in double.requests
        if one.happened
        and one.chat_id == ANN
        and one.method in ("sendMessage", "editMessageText", "sendPhoto")
        and not one.text.startswith(DIRECT)
    ]
    assert chat["messages_sent"] == len(letters)
    assert chat["messages_undelivered"] == sum(chat["undelivered"].values())
    assert (chat["commands_answered"], chat["commands_obeyed"], chat["commands_failed"]) == (2, 1, 0)
    assert (chat["bot"], chat["chats"], chat["updates_heard"]) == ("@laggard_test_bot", 1, 4)
    assert demo.texts()[-1].startswith(f"The demo is over: {result['orders']} orders")
    assert double.updates.pending == ()
    assert double.sent(EVE) == []

    assert not (state_dir / "credentials" / "telegram.json").is_symlink()
    assert holds(secret, (state_dir, ROOT / ".run")) == []
    assert secret not in json.dumps(result) + "".join(demo.err)
    assert (state_dir / "outbox.sqlite").exists()
    assert not who.own_state.exists()


@pytest.mark.parametrize("demo", [HANGING_SECONDS], indirect=True)
async def test_a_telegram_that_hangs_costs_messages_and_no_trade(demo: Watched) -> None:
    await demo.said("laggard tells from now on: ", 40)
    demo.who.double.faults.add(Fault("hang"))
    began = time.monotonic()
    result = await demo.result(HANGING_SECONDS + 60)
    assert time.monotonic() - began < HANGING_SECONDS + 40
    assert result["reasons"] == [], demo.err
    assert demo.process.returncode == 0
    assert result["orders_filled"] > 0
    assert result["chat"]["messages_undelivered"] > 0
    assert any(line.startswith("not told in the chat: ") for line in demo.err)
