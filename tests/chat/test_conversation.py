"""Commands from a chat, over the real client and real sockets: nobody else's, never twice, never too late."""

import time

import pytest

from commands_stage import (
    ANN,
    BOB,
    CONDITION,
    EVE,
    GROUP,
    WINDOW,
    held,
    stage,
)
from common.chat.bot_api import BotApi
from common.chat.conversation import Conversation
from common.chat.polling import CONFLICT, CONFLICT_OVER
from common.core.remote.authority import Arrival
from common.messages import CancelAll, Flatten, PostureState, Redeem, RedemptionState, SetPosture
from common.runtime.credentials import Secret
from common.sim.telegram.faults import Fault

OLD = 3600


def old(seconds: int = 120) -> int:
    return int(time.time()) - seconds


@pytest.mark.parametrize(
    ("command", "posture"),
    [("pause", "paused"), ("noentry", "no-new-orders"), ("kill", "halted"), ("resume", "trading")],
)
async def test_a_posture_is_set_once_its_button_is_pressed(command: str, posture: str) -> None:
    async with stage() as st:
        await st.confirm(f"/{command}")
        await st.until(lambda: st.executor.done)
        await st.said(f"/{command}: Done")
        assert st.executor.postures == [posture]
        wish = st.executor.done[0]
        assert isinstance(wish, SetPosture)
        assert wish.who == f"telegram:{ANN}"
        await st.said("Confirmed.")
        assert not any(shown.buttons for shown in st.double.sent(ANN))


async def test_nothing_is_done_before_the_button(  # the question alone changes nothing
) -> None:
    async with stage() as st:
        st.double.say(ANN, "/kill")
        shown = await st.asked("kill")
        assert "Confirm within 30 s" in shown.text
        assert "trading" in shown.text
        await st.idle()
        assert st.executor.done == []


async def test_cancel_cancels_and_the_other_button_is_dead_after_it() -> None:
    async with stage() as st:
        st.double.say(ANN, "/flatten")
        shown = await st.asked("flatten")
        confirm = shown.buttons[0][0]["callback_data"]
        st.press(ANN, 1)
        await st.said("Cancelled")
        st.double.press(ANN, confirm, message_id=shown.message_id)
        await st.idle()
        assert st.executor.done == []


async def test_other_acts_reach_whom_they_are_for() -> None:
    async with stage() as st:
        st.executor.waiting = (
            RedemptionState(
                condition_id=CONDITION,
                window=WINDOW,
                ledger="v1",
                status="waiting",
                payout_usd6=7_000_000,
                at_ns=1,
            ),
        )
        for text in ("/cancelall", "/flatten", "/redeem", f"/redeem {CONDITION}"):
            count = len(st.executor.done)
            await st.confirm(text)
            await st.until(lambda count=count: len(st.executor.done) > count)  # type: ignore[misc]
            await st.until(lambda: not any(one.buttons for one in st.double.sent(ANN)))
        who = f"telegram:{ANN}"
        assert st.executor.done == [
            CancelAll(who=who),
            Flatten(who=who, reason="asked for in the chat"),
            Redeem(conditions=(), who=who, all=True),
            Redeem(conditions=(CONDITION,), who=who),
        ]
        await st.confirm("/mute trade 15")
        await st.until(lambda: st.muted == [("trade", 15)])


async def test_on_paper_there_is_nothing_to_redeem_and_no_venue_to_start() -> None:
    async with stage(mode="paper") as st:
        st.double.say(ANN, "/redeem")
        await st.said("nothing to redeem on paper")
        st.double.say(ANN, "/start venue")
        await st.said("I know no process venue")
        assert not any(one.buttons for one in st.double.sent(ANN))


async def test_a_double_tap_acts_once() -> None:
    async with stage() as st:
        st.double.say(ANN, "/flatten")
        await st.asked("flatten")
        with st.double.faults.holding(Fault("reset", "getUpdates")):
            await st.until(lambda: "polling" in st.line.troubles)
            # All in one batch: each is begun before any of them has ended.
            for _ in range(3):
                st.press(ANN, 0)
        await st.said("/flatten: Done")
        await st.idle()
        assert len(st.executor.done) == 1
        assert st.process.counters["acts"] == 1
        assert "Already confirmed." in st.double.answered.values()


async def test_the_same_update_twice_acts_once() -> None:
    async with stage() as st:
        await st.confirm("/flatten")
        press = st.double.updates._past
        number = max(press)
        await st.said("/flatten: Done")
        for _ in range(3):
            st.double.updates.repeat(number)
        st.double.updates.repeat(min(press))
        await st.until(lambda: st.process.counters.get("repeated_updates", 0) >= 2)
        await st.idle()
        assert len(st.executor.done) == 1
        assert sum("/flatten?" in text or "/flatten: Conf" in text for text in st.texts()) == 1


async def test_updates_out_of_order_are_all_heard_once() -> None:
    with_fault = Fault("bad gateway", "getUpdates")
    async with stage() as st:
        with st.double.faults.holding(with_fault):
            await st.until(lambda: "polling" in st.line.troubles)
            updates = [st.double.say(ANN, text)["update_id"] for text in ("/version", "/help", "/positions")]
            st.double.updates.reorder(updates[::-1])
        await st.said("laggard ")
        await st.said("Telling:")
        await st.said("nothing is held")
        await st.idle()
        assert len(st.texts()) == 3


async def test_only_the_asker_may_press() -> None:
    async with stage() as st:
        st.double.say(ANN, "/resume", chat_id=GROUP)
        await st.asked("resume", GROUP)
        st.press(BOB, 0, GROUP)  # allowed to command, but did not ask
        st.press(EVE, 0, GROUP)
        await st.idle()
        assert st.executor.done == []
        assert st.question(GROUP).buttons  # and still open for its asker
        st.press(ANN, 0, GROUP)
        await st.until(lambda: st.executor.postures == ["trading"])


@pytest.mark.parametrize("how", ["stranger", "group of strangers", "edited", "forwarded", "channel", "press"])
async def test_what_is_not_from_the_owner_gets_silence_and_one_line(how: str) -> None:
    async with stage() as st:
        double = st.double
        double.chats.add_group(-5, "Elsewhere")
        for text in ("/kill", "/status", "/resume", "hello"):
            match how:
                case "stranger":
                    double.say(EVE, text)
                    double.say(EVE, text, chat_id=GROUP)
                case "group of strangers":
                    double.say(ANN, text, chat_id=-5)
                case "edited":
                    double.say(ANN, text, edited=True)
                case "forwarded":
                    double.say(ANN, text, forwarded_from=EVE)
                case "channel":
                    double.say(ANN, text, chat_id=GROUP, channel=True)
                case _:
                    double.say(ANN, "/flatten")
                    await st.asked("flatten")
                    double.press(EVE, st.question().buttons[0][0]["callback_data"], chat_id=ANN)
        expected = {"stranger": 8}.get(how, 4)
        await st.until(lambda: st.process.counters.get("ignored_updates", 0) >= expected)
        await st.idle()
        assert st.executor.done == []
        if how != "press":
            assert st.texts(ANN) == st.texts(EVE) == st.texts(GROUP) == st.texts(-5) == []
        assert st.texts(EVE) == []
        assert st.logged.getvalue().count("update_ignored") == 1


@pytest.mark.parametrize(
    "command", ["resume", "flatten", "redeem", "restart books", "start books", "stop books"]
)
async def test_what_adds_risk_is_refused_when_it_comes_late(command: str) -> None:
    async with stage() as st:
        st.double.say(ANN, f"/{command}", date_s=old(61))
        await st.said("too old, nothing was done")
        await st.idle()
        assert st.executor.done == []
        assert not any(shown.buttons for shown in st.double.sent(ANN))


@pytest.mark.parametrize(
    ("command", "posture"), [("kill", "halted"), ("pause", "paused"), ("noentry", "no-new-orders")]
)
async def test_what_reduces_risk_is_obeyed_at_once_when_it_comes_late(command: str, posture: str) -> None:
    async with stage() as st:
        st.double.say(ANN, f"/{command}", date_s=old(OLD))
        await st.until(lambda: st.executor.postures == [posture])
        await st.said("sent a while ago and is obeyed all the same")


async def test_a_late_cancelall_is_obeyed() -> None:
    async with stage() as st:
        st.double.say(ANN, "/cancelall", date_s=old())
        await st.until(lambda: st.executor.done == [CancelAll(who=f"telegram:{ANN}")])


async def test_saying_it_again_confirms_what_reduces_risk_and_nothing_else() -> None:
    async with stage() as st:
        for _ in range(2):
            st.double.say(ANN, "/flatten")
            await st.idle()
        assert st.executor.done == []
        st.double.say(ANN, "/kill")
        await st.asked("kill")
        st.double.say(ANN, "/kill")
        await st.until(lambda: st.executor.postures == ["halted"])


async def test_a_laxer_command_does_not_loosen_a_halt() -> None:
    async with stage() as st:
        st.executor.posture = PostureState(posture="halted", reason="x", who="y", since_ns=5)
        st.double.say(ANN, "/pause", date_s=old())
        await st.said("It is halted already, which is stricter; that stays.")
        st.double.say(ANN, "/noentry")
        await st.said("/noentry: It is halted already")
        await st.idle()
        assert st.executor.done == []
        assert not any(shown.buttons for shown in st.double.sent(ANN))


async def test_a_posture_that_was_tightened_meanwhile_is_not_loosened() -> None:
    async with stage() as st:
        st.double.say(ANN, "/pause")
        await st.asked("pause")
        st.executor.posture = PostureState(posture="halted", reason="x", who="y", since_ns=5)
        st.press(ANN, 0)
        await st.said("/pause: It is halted already")
        assert st.executor.done == []


async def test_a_confirmation_is_bound_to_the_state_that_was_shown() -> None:
    async with stage() as st:
        st.executor.positions = (held(5_000_000),)
        st.double.say(ANN, "/flatten")
        await st.asked("flatten")
        st.executor.positions = (held(6_000_000),)
        st.press(ANN, 0)
        await st.said("the state is not the one you were shown")
        await st.idle()
        assert st.executor.done == []


async def test_a_kill_is_bound_to_no_state() -> None:
    async with stage() as st:
        st.double.say(ANN, "/kill")
        await st.asked("kill")
        st.executor.positions = (held(6_000_000),)
        st.press(ANN, 0)
        await st.until(lambda: st.executor.postures == ["halted"])


async def test_an_expired_button_adds_no_risk() -> None:
    async with stage(life_s=0.2) as st:
        st.double.say(ANN, "/resume")
        shown = await st.asked("resume")
        data = shown.buttons[0][0]["callback_data"]
        await st.said("not confirmed in time; nothing was done")
        assert not any(one.buttons for one in st.double.sent(ANN))
        st.double.press(ANN, data, message_id=shown.message_id)
        await st.idle()
        assert st.executor.done == []
        assert "Too late" in " ".join(st.double.answered.values())


async def test_a_press_that_comes_late_still_kills() -> None:
    async with stage(life_s=0.2) as st:
        st.double.say(ANN, "/kill")
        shown = await st.asked("kill")
        data = shown.buttons[0][0]["callback_data"]
        await st.said("not confirmed in time")
        st.double.press(ANN, data, message_id=shown.message_id)
        await st.until(lambda: st.executor.postures == ["halted"])


async def test_a_slow_reading_command_does_not_delay_a_kill() -> None:
    async with stage() as st:
        started = []

        async def slow(chat_id: int) -> list[object]:
            started.append(chat_id)
            await st.process.stopping.wait()
            return []

        st.conversation.pictures = slow  # type: ignore[assignment]
        for _ in range(20):
            st.double.say(ANN, "/chart")
        await st.until(lambda: len(started) == 16)
        await st.said("I am busy with 16 others")
        st.double.say(ANN, "/kill", date_s=old())
        began = time.monotonic()
        await st.until(lambda: st.executor.postures == ["halted"])
        assert time.monotonic() - began < 1.0
        st.process.stopping.set()


async def test_a_kill_in_one_batch_is_begun_before_what_came_ahead_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun: list[int] = []
    work = Conversation._work

    async def watched(self: Conversation, arrival: Arrival, late: bool) -> None:
        begun.append(arrival.update_id)
        await work(self, arrival, late)

    monkeypatch.setattr(Conversation, "_work", watched)
    async with stage() as st:
        with st.double.faults.holding(Fault("reset", "getUpdates")):
            await st.until(lambda: "polling" in st.line.troubles)
            texts = ("/resume", "/positions", "/flatten", "/kill", "/pause")
            numbers = [st.double.say(ANN, text, date_s=old())["update_id"] for text in texts]
        await st.idle()
        assert begun == [numbers[each] for each in (3, 4, 1, 0, 2)]


async def test_a_kill_sent_in_an_outage_is_obeyed_after_it() -> None:
    """The outage of 10 minutes is told by the messages' dates and lasts as long as the faults hold."""
    for kind in ("hang", "bad gateway", "reset", "html", "flood"):
        async with stage() as st:
            fault = st.double.faults.add(Fault(kind, seconds=1))  # type: ignore[arg-type]
            await st.until(lambda st=st: "polling" in st.line.troubles)  # type: ignore[misc]
            st.double.say(ANN, "/kill", date_s=old(600))
            st.double.say(ANN, "/resume", date_s=old(300))
            st.double.faults.lift(fault)
            await st.until(lambda st=st: st.executor.postures == ["halted"])  # type: ignore[misc]
            await st.said("/kill: Done")
            await st.said("/resume was sent 3")
            assert st.executor.postures == ["halted"]


async def test_a_refused_token_leaves_the_bot_asking(  # one 401 makes the library's own poller deaf for ever
) -> None:
    async with stage() as st:
        with st.double.faults.holding(Fault("unauthorized", "getUpdates")):
            await st.until(lambda: "does not take the token" in st.line.troubles.get("polling", ""))
            st.line.show(st.process)
            assert st.process.state == "degraded"
        st.double.say(ANN, "/version")
        await st.said("laggard ")
        st.line.show(st.process)
        assert st.process.state == "ready"


async def test_a_malformed_update_is_passed_over() -> None:
    async with stage() as st:
        with st.double.faults.holding(Fault("malformed", "getUpdates", times=1)):
            st.double.say(ANN, "/status")
            await st.until(lambda: st.process.counters.get("malformed_updates"))
        st.double.say(ANN, "/version")
        await st.said("laggard ")
        assert st.process.counters["malformed_updates"] == 1


async def test_another_poller_stops_what_adds_risk_until_it_is_gone() -> None:
    async with stage() as st:
        other = BotApi(Secret(st.double.token), st.double.url, answer_s=0.5)
        st.double.say(ANN, "/resume")
        await st.asked("resume")
        await other.get_updates(None, 0)
        await st.until(st.line.contested)
        st.press(ANN, 0)
        await st.said("Nothing was done; another program polls with the same bot token")
        st.double.say(ANN, "/flatten")
        await st.said("/flatten: nothing was done; another program")
        st.double.say(ANN, "/kill", date_s=old())
        await st.until(lambda: st.executor.postures == ["halted"])
        st.line.show(st.process)
        assert st.process.state == "degraded"
        await other.close()
        await st.until(lambda: not st.line.contested())
        await st.confirm("/resume")
        await st.until(lambda: st.executor.postures == ["halted", "trading"])
        await st.until(lambda: st.alarms == [CONFLICT, CONFLICT_OVER])


async def test_secrets_are_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    async with stage() as st:
        token = st.double.token
        for kind in ("bad gateway", "unauthorized", "html", "flood", "reset"):
            with st.double.faults.holding(Fault(kind, times=2, seconds=1)):  # type: ignore[arg-type]
                st.double.say(ANN, "/status")
                await st.until(lambda: st.line.troubles or True)
        st.double.say(ANN, "/config telegram")
        await st.said("telegram.chat_id")
        seen = st.logged.getvalue() + repr(st.api) + " ".join(st.texts()) + str(st.process.facts)
        assert token not in seen
        assert token.split(":")[1] not in seen
