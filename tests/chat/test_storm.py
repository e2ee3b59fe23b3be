"""Everything at once: strangers, copies, disorder, old messages, faults; and nothing wrong is done."""

import random
import time

import pytest

from commands_stage import ANN, BOB, EVE, GROUP, Stage, stage
from common.messages import CancelAll, SetPosture
from common.sim.telegram.faults import Fault, FaultKind

ADDING = ("/resume", "/flatten", "/redeem", "/redeem all", "/restart books", "/stop books", "/start books")
REDUCING = ("/kill", "/pause", "/noentry", "/cancelall")
FAULTS: tuple[FaultKind, ...] = ("bad gateway", "reset", "html", "malformed", "unauthorized")
TIMES = 150


def one_of_them(st: Stage, dice: random.Random) -> None:
    """Something that must change nothing."""
    text = dice.choice(ADDING + REDUCING)
    match dice.randrange(9):
        case 0:
            st.double.say(EVE, text)
        case 1:
            st.double.say(EVE, text, chat_id=GROUP)
        case 2:
            st.double.say(ANN, text, edited=True)
        case 3:
            st.double.say(BOB, text, forwarded_from=EVE)
        case 4:
            st.double.say(ANN, text, chat_id=GROUP, channel=True)
        case 5:
            st.double.say(
                dice.choice((ANN, BOB)), dice.choice(ADDING), date_s=int(time.time()) - dice.randint(62, 900)
            )
        case 6:
            st.double.updates.repeat(dice.choice(list(st.double.updates._past)))
        case 7:
            pending = [update["update_id"] for update in st.double.updates.pending]
            dice.shuffle(pending)
            st.double.updates.reorder(pending)
        case _:
            shown = dice.choice([one for one in st.double.sent(ANN) if one.text.startswith("/flatten")])
            data = f"c:{dice.choice(('x', 'made-up'))}"
            if shown.buttons:
                data = shown.buttons[0][0]["callback_data"]
            st.double.press(EVE, data, chat_id=ANN, message_id=shown.message_id)


@pytest.mark.parametrize("seed", range(3))
async def test_a_storm_carries_out_what_was_meant_and_nothing_else(seed: int) -> None:
    dice = random.Random(seed)
    async with stage(allowed=(ANN, BOB)) as st:
        st.double.say(ANN, "/flatten")
        await st.asked("flatten")  # left unconfirmed
        meant = 0
        fault = None
        for number in range(TIMES):
            if number % 10 == 0:
                if fault is not None:
                    st.double.faults.lift(fault)
                fault = st.double.faults.add(Fault(dice.choice(FAULTS), "getUpdates", times=2))
            if number % 25 == 24:
                # The owner, through an outage: old, and obeyed.
                st.double.faults.clear()
                st.double.say(ANN, dice.choice(REDUCING), date_s=int(time.time()) - 600)
                meant += 1
                await st.idle()
            one_of_them(st, dice)
        st.double.faults.clear()
        await st.idle()
        assert all(isinstance(one, SetPosture | CancelAll) for one in st.executor.done)
        assert "trading" not in st.executor.postures
        assert 0 < len(st.executor.done) <= meant
        assert st.process.counters["acts"] == meant
        assert st.process.counters["ignored_updates"] > 20
        await st.confirm("/resume")
        await st.until(lambda: st.executor.postures[-1] == "trading")
