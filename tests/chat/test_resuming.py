"""A bot that died in between: what reduces risk is carried out, all else is told, nothing is done twice."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from commands_stage import ANN, BOB, GROUP, Stage, new_double, stage
from common.chat.conversation import Conversation
from common.chat.polling import Pace
from common.core.remote.authority import Arrival
from common.core.remote.commands import Asked
from common.core.remote.confirmation import Confirmation
from common.errors import DataStale, DependencyMissing
from common.sim.telegram.faults import Fault, FaultKind
from common.store.command_log import open_command_log
from common.units import SECOND


@pytest.fixture
def state_dir() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="lg-", dir="/tmp") as name:
        yield Path(name) / "state"


def leave(state_dir: Path, arrivals: list[Arrival], *asked: Confirmation) -> None:
    """What a process leaves that was killed after it had committed these."""
    state_dir.mkdir(mode=0o700, exist_ok=True)
    log = open_command_log(state_dir / "commands.sqlite")
    log.take(arrivals, time.time_ns())
    for one in asked:
        log.ask(one)
    log.close()


def message(number: int, text: str, age_s: int = 1) -> Arrival:
    return Arrival(
        number, "message", user_id=ANN, chat_id=ANN, private=True, text=text, sent_s=int(time.time()) - age_s
    )


def press(number: int, data: str) -> Arrival:
    return Arrival(number, "button", user_id=ANN, chat_id=ANN, private=True, data=data, query_id="1")


def confirmation(name: str, stage: str = "open") -> Confirmation:
    now = time.time_ns()
    return Confirmation("n", Asked(name), ANN, ANN, "", now, now + 30 * SECOND, stage)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "posture"), [("/kill", "halted"), ("/pause", "paused"), ("/noentry", "no-new-orders")]
)
async def test_a_taken_command_that_reduces_risk_is_carried_out_at_the_next_start(
    state_dir: Path, text: str, posture: str
) -> None:
    leave(state_dir, [message(1, text)])
    for _ in range(2):
        async with stage(state_dir=state_dir) as st:
            await st.idle()
            done = st.executor.postures
            if done:
                assert done == [posture]
                await st.said(f"{text}: Done")
    assert done == []  # the second start had nothing left to do


@pytest.mark.parametrize("text", ["/resume", "/flatten", "/redeem", "/restart books"])
async def test_a_taken_command_that_adds_risk_is_not_and_its_author_is_told(
    state_dir: Path, text: str
) -> None:
    leave(state_dir, [message(1, text)])
    async with stage(state_dir=state_dir) as st:
        await st.said(f"{text}: I was restarted while at it")
        await st.idle()
        assert st.executor.done == []


async def test_a_confirmed_kill_is_carried_out_wherever_the_process_died(state_dir: Path) -> None:
    for number, at in enumerate(("open", "used", "expired")):
        place = state_dir.with_name(f"state{number}")
        leave(place, [press(1, "c:n")], confirmation("kill", at))
        async with stage(state_dir=place) as st:
            await st.until(lambda st=st: st.executor.postures == ["halted"])  # type: ignore[misc]
            await st.idle()


async def test_a_confirmed_resume_is_not_repeated(state_dir: Path) -> None:
    for number, at in enumerate(("open", "used")):
        place = state_dir.with_name(f"state{number}")
        leave(place, [press(1, "c:n")], confirmation("resume", at))
        async with stage(state_dir=place) as st:
            await st.said("it may have been carried out or not")
            await st.idle()
            assert st.executor.done == []


async def test_only_the_askers_confirm_is_carried_on(state_dir: Path) -> None:
    for number, at in enumerate(("open", "used")):
        place = state_dir.with_name(f"state{number}")
        other = msgspec.structs.replace(press(2, "c:n"), user_id=BOB, chat_id=GROUP, private=False)
        leave(place, [press(1, "x:n"), other], confirmation("kill", at))
        async with stage(state_dir=place) as st:
            await st.idle()
            assert st.executor.done == []


async def test_buttons_of_the_process_before_work_no_more(state_dir: Path) -> None:
    double = new_double()
    async with stage(state_dir=state_dir, double=double) as st:
        st.double.say(ANN, "/resume")
        shown = await st.asked("resume")
        data = shown.buttons[0][0]["callback_data"]
    async with stage(state_dir=state_dir, double=double) as st:
        await st.said("I was restarted before it was confirmed; nothing was done")
        st.double.press(ANN, data, message_id=shown.message_id)
        await st.idle()
        assert st.executor.done == []
    await double.close()


async def test_updates_that_were_not_confirmed_to_telegram_are_not_done_again(state_dir: Path) -> None:
    """The process dies after acting and before Telegram learns of it: Telegram hands all of it out again."""
    double = new_double()
    async with stage(state_dir=state_dir, double=double) as st:
        await st.confirm("/flatten")
        await st.until(lambda: st.executor.done)
        await st.idle()
        seen = sorted(double.updates._past)
    for number in seen:
        double.updates.repeat(number)
    async with stage(state_dir=state_dir, double=double) as st:
        await st.until(lambda: st.process.counters.get("repeated_updates") == len(seen))
        assert st.executor.done == []
    await double.close()


async def test_a_kill_waits_for_an_executor_that_is_being_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.chat.acting.TRY_NS", SECOND // 10)
    async with stage(executor_away=True) as st:
        st.double.say(ANN, "/kill", date_s=int(time.time()) - 120)
        await st.until(lambda: st.halts)  # its next start begins halted, whatever becomes of this process
        assert "telegram" in st.halts[0]
        async with st.executor.answering():
            await st.until(lambda: st.executor.postures == ["halted"])
            await st.said("/kill: Done")
            # It is in the journal now, with who asked for it.
            assert st.halts == []
            assert len(st.executor.answered) == 1


async def test_a_kill_that_no_executor_answers_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.chat.acting.TRY_NS", SECOND // 20)
    monkeypatch.setattr("common.chat.acting.PATIENCE_S", 0.5)
    async with stage(executor_away=True) as st:
        st.double.say(ANN, "/kill", date_s=int(time.time()) - 120)
        await st.said("NOT DONE: the executor does not answer")
        await st.said("Its next start begins halted.")
        assert len(st.halts) == 1


async def test_what_adds_risk_is_not_even_asked_about_while_nobody_would_do_it() -> None:
    async with stage(executor_away=True) as st:
        st.double.say(ANN, "/resume")
        await st.said("/resume: nothing was done; whoever has to do it does not answer")
        await st.idle()


async def test_a_kill_is_obeyed_on_a_full_disk_and_what_adds_risk_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with stage() as st:

        def full(*_: object) -> frozenset[int]:
            raise DependencyMissing("journal: commands.sqlite could not be written (disk full)")

        monkeypatch.setattr(st.log, "take", full)
        st.double.say(ANN, "/resume", date_s=int(time.time()) - 120)
        update = st.double.say(ANN, "/kill", date_s=int(time.time()) - 120)
        st.double.updates.repeat(update["update_id"])
        await st.until(lambda: st.executor.postures == ["halted"])
        await st.said("/kill: Done")
        st.double.updates.repeat(update["update_id"])
        await st.until(lambda: st.process.counters["repeated_updates"] >= 2)
        assert st.process.counters["acts"] == 1
        assert "disk" in st.line.troubles
        assert not any("/resume" in text for text in st.texts())


async def test_a_line_that_worked_and_went_dead_ends_the_process_and_one_that_never_worked_does_not() -> None:
    pace = Pace(first_s=0.02, most_s=0.05, floor_s=0.01, stale_s=0.5)
    double = new_double()
    await double.open()
    ended: list[BaseException] = []
    try:
        async with stage(double=double, pace=pace, poll_s=0.2) as st:
            await st.until(lambda: st.line.polls)
            double.faults.add(Fault("reset", "getUpdates"))
            await st.process.stopping.wait()
    except* DataStale as stale:
        ended += stale.exceptions
    assert ended
    # The fault holds on: the next process finds an outage and waits for its end.
    async with stage(double=double, pace=pace, poll_s=0.2) as st:
        await st.until(lambda: st.process.ages["polling"].age_ns() > 2 * st.process.ages["polling"].limit_ns)
        double.faults.clear()
        double.say(ANN, "/version")
        await st.said("laggard ")
    await double.close()


@pytest.mark.parametrize("kind", ["unauthorized", pytest.param("flood", marks=pytest.mark.slow)])
async def test_an_answer_that_is_a_refusal_is_no_dead_line(kind: FaultKind) -> None:
    """Each pause is longer than the limit of a dead line, and so are all of them together."""
    pace = Pace(first_s=0.02, most_s=0.05, token_s=1.5, floor_s=0.01, stale_s=0.6)
    async with stage(pace=pace, poll_s=0.4) as st:
        await st.until(lambda: st.line.polls)
        with st.double.faults.holding(Fault(kind, "getUpdates", seconds=2)):
            await st.until(lambda: st.process.counters.get("failed_polls", 0) >= 2)
            polls = st.line.polls
        # The first long poll after the pause brings nothing for a while, which is no silence either.
        await st.until(lambda: st.line.polls >= polls + 2)
        st.double.say(ANN, "/version")
        await st.said("laggard ")


async def test_a_failure_of_ours_is_told_and_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with stage() as st:

        async def broken(self: Conversation, *_: object) -> str:
            raise RuntimeError("bug")

        monkeypatch.setattr(Conversation, "_read", broken)
        st.double.say(ANN, "/status")
        await st.said("Something went wrong inside me")
        monkeypatch.undo()
        st.double.say(ANN, "/version")
        await st.said("laggard ")
        assert_logged(st, "command_failed")


def assert_logged(st: Stage, event: str) -> None:
    assert f'"event": "{event}"' in st.logged.getvalue()
