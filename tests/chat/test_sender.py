import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from common.core.remote.lanes import MUTABLE
from common.core.remote.letters import Button, Lane, Letter
from common.runtime.clock import SystemClock
from common.sim.telegram.bot_api import TOKEN, BotApiDouble
from common.sim.telegram.faults import Fault
from common.sim.telegram.flood import FloodLimits
from common.store.outbox import open_outbox
from common.units import SECOND
from telegram_stage import ANN, BOB, GROUP, STRICT, LoopClock, Stage, make_double, run_fast, stage

ROOT = Path(__file__).resolve().parents[2]
PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 64


async def test_letters_arrive_as_they_were_written(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        buttons = ((Button("Yes", "y:1"), Button("No", "n:1")),)
        here.outbox.put(Letter(lane="critical", chat_id=ANN, text="halted <now> & here", silent=False))
        here.outbox.put(Letter(lane="reply", chat_id=BOB, text="sure?", buttons=buttons))
        here.outbox.put(Letter(lane="reply", chat_id=GROUP, text="equity", picture=PNG))
        await here.until(lambda: here.outbox.counts() == {"sent": 3})
        ((halted,), (asked,), (chart,)) = (here.api.sent(chat) for chat in (ANN, BOB, GROUP))
        assert (halted.text, halted.silent) == ("halted <now> & here", False)
        assert (asked.text, asked.silent) == ("sure?", True)
        assert [[button["callback_data"] for button in row] for row in asked.buttons] == [["y:1", "n:1"]]
        assert (chart.text, chart.picture) == ("equity", PNG)
        assert here.process.counters["letters_sent"] == 3


async def test_a_card_is_one_message_that_is_edited(tmp_path: Path) -> None:
    async with stage(tmp_path, limits=FloodLimits(private=100)) as here:
        for text in ("placed", "filled", "settled"):
            here.put(text, "trade", key="card:w1")
            await here.until(lambda text=text: here.texts() == [text])
        (card,) = here.api.sent(ANN)
        assert card.edited == 2


async def test_an_edit_that_telegram_refuses_becomes_a_new_message(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        here.put("placed", "trade", key="card:w1")
        await here.until(lambda: here.texts() == ["placed"])
        here.api.chats.known(ANN).shown.clear()  # the user cleared the chat
        here.put("filled", "trade", key="card:w1")
        await here.until(lambda: here.texts() == ["filled"])


async def test_what_telegram_refuses_for_good_is_told_once_and_holds_nobody_up(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        here.put("nobody is there", chat=4711)
        here.put("hello")
        await here.until(lambda: here.texts() == ["hello"])
        await here.until(lambda: here.outbox.counts() == {"sent": 1, "refused": 1})
        assert [each.chat_id for each in here.api.requests].count(4711) == 1


def test_flood_control_of_one_chat_delays_no_other_and_is_obeyed(tmp_path: Path) -> None:
    async def play() -> None:
        async with stage(tmp_path) as here:
            here.api.faults.add(Fault("flood", chat_id=ANN, times=1, seconds=20))
            began_ns = here.process.clock.mono_ns()
            for number in range(3):
                here.put(f"{number}")
                here.put(f"{number}", chat=BOB)
            await here.until(lambda: len(here.texts(BOB)) == 3)
            assert here.process.clock.mono_ns() - began_ns < 10 * SECOND
            assert here.texts(ANN) == []
            await here.until(lambda: len(here.texts(ANN)) == 3, 60)
            assert here.texts(ANN) == ["0", "1", "2"]
            asked = [each for each in here.api.requests if each.chat_id == ANN]
            assert [each.code for each in asked] == [429, 200, 200, 200]
            assert asked[1].mono_ns - asked[0].mono_ns >= 20 * SECOND

    run_fast(play(), 10)


def test_a_chat_that_hangs_delays_no_other(tmp_path: Path) -> None:
    async def play() -> None:
        async with stage(tmp_path, answer_s=15) as here:
            here.api.faults.add(Fault("hang", chat_id=ANN))
            here.put("hangs")
            await here.until(lambda: here.api.requests)
            for number in range(3):
                here.put(f"{number}", chat=BOB)
            await here.until(lambda: len(here.texts(BOB)) == 3, 10)
            here.api.faults.clear()
            await here.until(lambda: here.texts(ANN) == ["(repeated) hangs"], 60)

    run_fast(play(), 5)


def test_a_thousand_events_a_minute_stay_within_the_strictest_limits(tmp_path: Path) -> None:
    """Time runs 10 times as fast; 4 critical letters for each of three chats among 1,000 events for them."""
    chats = (ANN, BOB, GROUP)
    critical: Counter[int] = Counter()

    async def events(here: Stage) -> float:
        dice = random.Random(3)
        began_ns = here.process.clock.mono_ns()
        for number in range(1000):
            chat = dice.choice(chats)
            if number % 250 == 100:
                for each in chats:
                    here.put(f"critical {number}", chat=each)
                    critical[each] += 1
            lane: Lane = dice.choice(["trade", "trade", "trade", "info", "digest"])
            key = f"card:{dice.randrange(16)}" if lane == "trade" else ""
            here.put(f"{lane} {number}", lane, chat, key)
            due_ns = began_ns + number * 60 * SECOND // 1000
            await asyncio.sleep(max(0, due_ns - here.process.clock.mono_ns()) / SECOND)
        return (here.process.clock.mono_ns() - began_ns) / SECOND

    async def play() -> None:
        async with stage(tmp_path, limits=STRICT, answer_s=60) as here:
            assert (
                await events(here) < 180
            )  # a slow machine may be late, or it would not be a thousand a minute
            await here.until(lambda: not [each for each in here.outbox.waiting() if each.lane == "critical"])
            assert here.outbox.waiting()  # the rest would take minutes; nobody need wait for it here
            assert longest_wait_s(here) < 10
            for lane in MUTABLE:
                here.outbox.mute(lane, LoopClock().wall_ns() + 3600 * SECOND)
            await here.until(lambda: not {"waiting", "sending"} & here.outbox.counts().keys(), 60)
            requests = here.api.requests
            assert {each.code for each in requests} == {200}
            for chat in chats:
                at = [each.mono_ns for each in requests if each.chat_id == chat]
                assert min(later - earlier for earlier, later in pairwise(at)) >= SECOND
                if chat < 0:
                    assert all(
                        later - earlier >= 60 * SECOND for earlier, later in zip(at, at[20:], strict=False)
                    )
                arrived = [text for text in here.texts(chat) if text.startswith("critical")]
                assert len(arrived) == critical[chat] == 4
            for chat in chats:
                told = [text for text in here.texts(chat) if "messages were left out" in text]
                assert left_out(here, chat) > 0
                assert sum(int(text.split()[0]) for text in told) + left_out_untold(here, chat) == left_out(
                    here, chat
                )

    run_fast(play(), 10)


def longest_wait_s(here: Stage) -> float:
    """Of a critical letter, until its request left."""
    rows = here.outbox._connection.execute(
        "SELECT max(begun_ns - put_ns) FROM letters WHERE lane = 'critical' AND begun_ns > 0"
    )
    return float(rows.fetchone()[0]) / SECOND


def left_out(here: Stage, chat: int) -> int:
    rows = here.outbox._connection.execute(
        "SELECT count(*) FROM letters WHERE chat_id = ? AND state IN ('left out', 'in doubt')", (chat,)
    )
    return int(rows.fetchone()[0])


def left_out_untold(here: Stage, chat: int) -> int:
    rows = here.outbox._connection.execute("SELECT sum(letters) FROM left_out WHERE chat_id = ?", (chat,))
    return int(rows.fetchone()[0] or 0)


@contextmanager
def faults_in_turn(api: BotApiDouble) -> Iterator[list[Fault]]:
    """Every way in which Telegram can be out of order."""
    kinds = ("hang", "bad gateway", "reset", "html", "lost", "delay")
    yield [Fault(kind, seconds=30) for kind in kinds]


def test_nothing_critical_is_lost_in_an_outage_of_ten_minutes(tmp_path: Path) -> None:
    """Time runs 90 times as fast; 100 s each of six kinds of outage, then a closed port."""
    put: list[str] = []

    async def play() -> None:
        async with stage(tmp_path, answer_s=10) as here:
            with faults_in_turn(here.api) as faults:
                for number, fault in enumerate(faults):
                    with here.api.faults.holding(fault):
                        for part in range(4):
                            put.append(f"critical {number}.{part}")
                            here.put(put[-1])
                            here.put(f"critical {number}.{part}", chat=GROUP)
                            here.put(f"card {part}", "trade", key=f"card:{part}")
                            here.put(f"info {number}.{part}", "info")
                            await asyncio.sleep(25)
            port = int(here.api.url.rpartition(":")[2])
            await here.api.close()
            put.append("critical: port closed")
            here.put(put[-1])
            await asyncio.sleep(20)
            await here.api.open(port)
            await here.until(lambda: not {"waiting", "sending"} & here.outbox.counts().keys(), 3000)
            for chat in (ANN, GROUP):
                arrived = [text.removeprefix("(repeated) ") for text in here.texts(chat)]
                expected = put if chat == ANN else put[:-1]
                assert [text for text in dict.fromkeys(arrived) if text.startswith("critical")] == expected
                twice = [text for text in arrived if text.startswith("critical") and arrived.count(text) > 1]
                marked = [text for text in here.texts(chat) if text.startswith("(repeated) ")]
                assert len(twice) - len(set(twice)) <= len(marked)
            others = Counter(text for text in here.texts(ANN) if text.startswith(("info", "card")))
            assert max(others.values()) == 1
            assert here.process.facts["sending"] == "well"

    run_fast(play(), 90)


def test_in_an_outage_a_harmless_question_is_asked_instead_of_putting_letters_in_doubt(
    tmp_path: Path,
) -> None:
    async def play() -> None:
        async with stage(tmp_path, answer_s=5) as here:
            with here.api.faults.holding(Fault("hang")):
                for number in range(20):
                    here.put(f"info {number}", "info")
                await asyncio.sleep(60)
            await here.until(lambda: not {"waiting", "sending"} & here.outbox.counts().keys(), 90)
            doubtful = here.outbox.counts()["in doubt"]
            assert 1 <= doubtful <= 2
            assert len([text for text in here.texts() if text.startswith("info")]) == 20 - doubtful
            assert any("messages were left out" in text for text in here.texts())

    run_fast(play(), 20)


def test_a_refused_token_stops_nothing_for_good(tmp_path: Path) -> None:
    async def play() -> None:
        async with stage(tmp_path) as here:
            with here.api.faults.holding(Fault("unauthorized")):
                here.put("halted")
                await here.until(lambda: "does not take the token" in here.process.facts.get("sending", ""))
            await here.until(lambda: here.texts() == ["halted"], 90)

    run_fast(play(), 60)


def test_the_pace_outlives_a_restart(tmp_path: Path) -> None:
    # At this speed an answer has a real second: one that is late would be sent and counted again.
    async def play() -> None:
        sent = 0
        async with stage(tmp_path, answer_s=20) as here:
            for number in range(12):
                here.put(f"{number}", chat=GROUP)
            await here.until(lambda: len(here.texts(GROUP)) == 12, 60)
            sent = len(here.api.requests)
        async with stage(tmp_path, answer_s=20) as here:
            for number in range(12, 22):
                here.put(f"{number}", chat=GROUP)
            await here.until(lambda: len(here.texts(GROUP)) == 20 - sent)
            began_ns = here.process.clock.mono_ns()
            await here.until(lambda: len(here.texts(GROUP)) == 10, 90)
            assert here.process.clock.mono_ns() - began_ns > 20 * SECOND

    run_fast(play(), 20)


async def test_what_is_on_its_way_ends_before_the_process_does(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        here.api.faults.add(Fault("delay", method="sendMessage", seconds=0.3))
        here.put("halted")
        await here.until(lambda: here.outbox.counts() == {"sending": 1})
    outbox = open_outbox(tmp_path / "state/outbox.sqlite", LoopClock())
    assert outbox.counts() == {"sent": 1}
    outbox.close()


CHILD = """
import asyncio, sys
from pathlib import Path
sys.path[:0] = ["tests/chat"]
from telegram_stage import make_process
from common.chat.bot_api import BotApi
from common.chat.sender import send_letters
from common.runtime.clock import SystemClock
from common.runtime.credentials import Secret
from common.store.outbox import open_outbox

async def main(directory, token, url):
    async with asyncio.TaskGroup() as group:
        process = make_process(Path(directory), group, clock=SystemClock())
        outbox = open_outbox(process.paths.outbox_file, process.clock)
        await send_letters(process, outbox, BotApi(Secret(token), url))

asyncio.run(main(*sys.argv[1:]))
"""


@contextmanager
def child(directory: Path, api: BotApiDouble) -> Iterator["subprocess.Popen[bytes]"]:
    """A sender in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(directory), TOKEN, api.url], cwd=ROOT, env=os.environ | {}
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(timeout=10)


def put_all(directory: Path, letters: list[Letter]) -> None:
    (directory / "state").mkdir(exist_ok=True)
    outbox = open_outbox(directory / "state/outbox.sqlite", SystemClock())
    for letter in letters:
        outbox.put(letter)
    outbox.close()


@pytest.mark.procs
async def test_killed_between_sending_and_noting_only_what_is_critical_is_repeated(tmp_path: Path) -> None:
    api = make_double()
    await api.open()
    put_all(
        tmp_path,
        [
            Letter(lane="critical", chat_id=ANN, text="halted"),
            Letter(lane="trade", chat_id=BOB, text="filled", key="card:w1"),
        ],
    )
    api.faults.add(Fault("lost", method="sendMessage"))
    with child(tmp_path, api) as first:
        await api.until(lambda: len(api.sent(ANN)) == len(api.sent(BOB)) == 1, 30)
        first.send_signal(signal.SIGKILL)
        assert first.wait(timeout=10) == -signal.SIGKILL
    api.faults.clear()
    with child(tmp_path, api):
        await api.until(lambda: len(api.sent(ANN)) == 2 and len(api.sent(BOB)) == 2, 30)
    assert [shown.text for shown in api.sent(ANN)] == ["halted", "(repeated) halted"]
    filled, left_out = (shown.text for shown in api.sent(BOB))
    assert filled == "filled" and left_out.startswith("1 messages were left out (1 trade)")
    await api.close()


@pytest.mark.procs
@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_killed_again_and_again_nothing_critical_is_lost_and_nothing_else_is_said_twice(
    tmp_path: Path,
) -> None:
    dice = random.Random(11)
    chats = list(range(2001, 2031))
    api = make_double(FloodLimits(private=1000, overall=10_000))
    for chat in chats:
        api.chats.add_user(chat, f"user {chat}")
    await api.open()
    lanes: list[Lane] = ["critical", "reply", "info", "trade"]
    put_all(
        tmp_path,
        [
            Letter(lane=lane, chat_id=chat, text=f"{lane} {n}")
            for chat in chats
            for lane in lanes
            for n in range(4)
        ],
    )
    kills = 0
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        with child(tmp_path, api) as process:
            before = len(api.requests)
            await api.until(lambda before=before: len(api.requests) > before + dice.randrange(12), 60)
            await asyncio.sleep(dice.random() * 0.05)
            process.send_signal(signal.SIGKILL)
            process.wait(timeout=10)
            kills += 1
        outbox = open_outbox(tmp_path / "state/outbox.sqlite", SystemClock())
        left = len([each for each in outbox.waiting() if each.lane == "critical"])
        outbox.close()
        if kills >= 25 and not left:
            break
    for chat in chats:
        texts = [shown.text for shown in api.sent(chat)]
        plain = Counter(text.removeprefix("(repeated) ") for text in texts)
        assert {text for text in plain if text.startswith("critical")} == {f"critical {n}" for n in range(4)}
        unmarked = Counter(text for text in texts if not text.startswith("(repeated) "))
        assert max(unmarked.values()) == 1
    assert kills >= 25
    await api.close()
