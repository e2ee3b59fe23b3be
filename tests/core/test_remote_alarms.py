import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.core.moment import Moment
from common.core.remote.advice import ADVICE, ENDED_BY, GENERAL, advice_for, family_of
from common.core.remote.alarms import FAMILY_NS, HOLD_GAP_NS, SAME_NS, Alarms, Say, take, tick
from common.messages import AccountState, Alert, Heartbeat, PostureState
from common.units import SECOND

ROOT = Path(__file__).resolve().parents[2]
WALL_NS = 1_790_000_000 * SECOND


class Watch:
    """The alarms with a clock beside them; everything that was said is kept."""

    def __init__(self) -> None:
        self.alarms = Alarms()
        self.at_ns = 0
        self.said: list[Say] = []

    def now(self) -> Moment:
        return Moment(WALL_NS + self.at_ns, self.at_ns)

    def hear(self, body: object) -> list[Say]:
        said = take(self.alarms, body, self.now())
        self.said += said
        return said

    def pass_s(self, seconds: float, *bodies: object) -> list[Say]:
        """Let time pass, a tick each second, hearing these each second; returns what was said."""
        said: list[Say] = []
        for _ in range(int(seconds)):
            self.at_ns += SECOND
            for body in bodies:
                said += take(self.alarms, body, self.now())
            said += tick(self.alarms, self.now())
        self.said += said
        return said


def alert(code: str, level: str = "critical", text: str = "something is wrong") -> Alert:
    return Alert(level=level, code=code, text=text)  # type: ignore[arg-type]


def beat(role: str = "books", state: str = "ready", detail: str = "") -> Heartbeat:
    return Heartbeat(role=role, pid=1, state=state, detail=detail, ages_ms={}, counters={})  # type: ignore[arg-type]


def posture(
    name: str, reason: str = "because", who: str = "executor", since_ns: int = WALL_NS
) -> PostureState:
    return PostureState(posture=name, reason=reason, who=who, since_ns=since_ns)  # type: ignore[arg-type]


def account(unknown: int = 0, provisional: int = 0) -> AccountState:
    return AccountState(
        mode="paper", cash_usd6=0, open_cost_usd6=0, realized_pnl_usd6=0, day="2026-11-26", day_pnl_usd6=0,
        fees_usd6=0, orders=0, fills=0, duplicate_orders=0, ledger_difference_usd6=0, unknown_orders=unknown,
        provisional_fills=provisional,
    )  # fmt: skip


def test_an_alarm_says_what_was_done_and_what_can_be_done_with_sound() -> None:
    (said,) = Watch().hear(alert("fatal.books", text="supervisord gave up on books"))
    assert (said.lane, said.sound) == ("critical", True)
    assert "supervisord gave up on books" in said.text
    assert "Done: it is started again after ever longer waits." in said.text
    assert "You can: /logs books says why it ends." in said.text
    assert "14:13:20 UTC" in said.text


def test_a_warning_is_told_quietly() -> None:
    assert [(said.lane, said.sound) for said in Watch().hear(alert("canary.books", "warning"))] == [
        ("info", False)
    ]


def test_an_open_alarm_is_told_once_and_its_end_with_how_long_and_how_often() -> None:
    watch = Watch()
    assert len(watch.hear(alert("redemption-blocked"))) == 1
    for _ in range(3):
        watch.pass_s(10)
        assert watch.hear(alert("redemption-blocked", text="still")) == []
    (over,) = watch.hear(alert("redemption-blocked", "info", "over"))
    assert (over.lane, over.sound) == ("critical", False)
    assert "over: redemption-blocked" in over.text and "30 s" in over.text and "4 times" in over.text
    assert len(watch.hear(alert("redemption-blocked"))) == 1


@pytest.mark.parametrize(
    ("raised", "ended"),
    [
        (alert("recording-failed", "warning"), alert("recording-resumed", "info", "recording goes on")),
        (alert("crash-loop.books"), alert("crash-loop.books-over", "info", "books was started again")),
        (alert("redemption-late", "warning"), alert("redemption-late", "info", "over")),
        (alert("order-unknown"), account()),
        (alert("trade-stuck", "warning"), account()),
    ],
)
def test_every_alarm_with_an_end_is_followed_by_an_all_clear(raised: Alert, ended: object) -> None:
    watch = Watch()
    (said,) = watch.hear(raised)
    watch.hear(account(unknown=1, provisional=1))
    assert raised.code in watch.alarms.open
    (over,) = watch.hear(ended)
    assert over.text.startswith("\N{LARGE GREEN CIRCLE} over") and over.lane == said.lane
    assert not watch.alarms.open
    assert watch.hear(ended) == []


def test_something_new_under_an_open_alarm_is_told_within_a_minute() -> None:
    watch = Watch()
    watch.hear(alert("order-unknown", text="w1"))
    watch.hear(alert("order-unknown", text="w2"))
    watch.hear(alert("order-unknown", text="w3"))
    (said,) = watch.pass_s(FAMILY_NS // SECOND)
    assert said.sound and "w3" in said.text
    assert watch.pass_s(600) == []


def test_an_alarm_that_grew_critical_is_told_again() -> None:
    watch = Watch()
    watch.hear(alert("order-unknown", "warning"))
    (said,) = watch.hear(alert("order-unknown", "critical"))
    assert said.sound
    assert watch.hear(alert("order-unknown", "warning")) == []


def test_a_process_alarm_ends_when_the_process_has_been_well_for_a_while_and_not_before() -> None:
    watch = Watch()
    watch.pass_s(60, beat())
    watch.hear(alert("silent.books", "warning"))
    assert watch.pass_s(3) == []  # silent it is
    assert watch.pass_s(15, beat(state="starting")) == []
    assert watch.pass_s(19, beat()) == []
    (over,) = watch.pass_s(3, beat())
    assert "books is ready again" in over.text


def test_a_process_that_is_silent_just_now_is_not_called_well() -> None:
    watch = Watch()
    watch.hear(alert("fatal.books"))
    watch.pass_s(10, beat())
    assert watch.pass_s(14) == []


def test_a_process_without_a_sign_of_life_is_alarmed_and_its_return_told() -> None:
    watch = Watch()
    watch.pass_s(5, beat("executor"), beat("recorder"))
    said = watch.pass_s(30)
    assert sorted((each.lane, each.sound) for each in said) == [("critical", True), ("info", False)]
    assert "no sign of life" in said[0].text
    # It may as well have been stopped on request.
    assert "leaves alone what somebody stopped" in said[0].text and "/start " in said[0].text
    over = watch.pass_s(40, beat("executor"), beat("recorder"))
    assert len(over) == 2 and all("over: no-sign." in each.text for each in over)


def test_whoever_stood_still_alarms_nobody() -> None:
    watch = Watch()
    watch.pass_s(5, beat("executor"))
    watch.at_ns += 300 * SECOND  # no ticks: this process hung
    assert watch.pass_s(10) == []
    assert len(watch.pass_s(10)) == 1


def test_a_process_that_is_stopped_is_not_missed() -> None:
    watch = Watch()
    watch.pass_s(2, beat("executor", "stopping"))
    assert watch.pass_s(60) == []


def test_a_short_trouble_of_a_feed_is_not_worth_a_message_a_long_one_is() -> None:
    watch = Watch()
    watch.pass_s(5, beat("oracle-rtds"))
    assert watch.pass_s(50, beat("oracle-rtds", "degraded", "cannot hear")) == []
    assert watch.pass_s(30, beat("oracle-rtds")) == []
    (said,) = watch.pass_s(200, beat("oracle-rtds", "degraded", "cannot hear"))
    assert "oracle-rtds: cannot hear" in said.text
    (over,) = watch.pass_s(60, beat("oracle-rtds"))
    assert "over: degraded.oracle-rtds" in over.text


def test_events_are_told_once_for_the_same_words_and_critical_ones_always() -> None:
    watch = Watch()
    for number in range(5):
        assert len(watch.hear(alert("strike-contradicted", text=f"w{number}"))) == 1
        assert watch.hear(alert("strike-contradicted", text=f"w{number}")) == []
    watch.pass_s(SAME_NS // SECOND + 1)
    assert len(watch.hear(alert("strike-contradicted", text="w1"))) == 1
    assert not watch.alarms.open


def test_a_flood_of_warnings_of_one_kind_is_two_letters_a_minute() -> None:
    watch = Watch()
    first = watch.hear(alert("strike-disputed", "warning", "w0"))
    assert [watch.hear(alert("strike-disputed", "warning", f"w{n}")) for n in range(1, 40)] == [[]] * 39
    later = watch.pass_s(FAMILY_NS // SECOND)
    assert (len(first), len(later)) == (1, 1)
    assert later[0].text.startswith("39 more of strike-disputed") and "w39" in later[0].text


def test_news_without_trouble_is_told_quietly() -> None:
    watch = Watch()
    (said,) = watch.hear(alert("redemption-paid", "info", "btc: paid 17.24 $"))
    assert (said.lane, said.sound) == ("info", False) and "paid 17.24 $" in said.text
    assert watch.hear(alert("silent.books-over", "info", "again")) == []


@pytest.mark.parametrize("name", ["paused", "halted"])
def test_a_latched_posture_is_told_within_a_second_and_so_is_its_end(name: str) -> None:
    watch = Watch()
    watch.hear(posture("trading"))
    assert watch.pass_s(5) == []
    watch.hear(posture(name, "the ledger is off"))
    (said,) = watch.pass_s(1)
    assert (said.lane, said.sound) == ("critical", True)
    assert f"{name} since" in said.text and "the ledger is off" in said.text and "You can: " in said.text
    assert watch.pass_s(10, posture(name, "the ledger is off")) == []
    watch.hear(posture("trading", "looked at it", "telegram:7"))
    (back,) = watch.pass_s(1)
    assert "trading since" in back.text and "telegram:7" in back.text and not back.sound


def test_what_a_person_did_makes_no_sound() -> None:
    watch = Watch()
    watch.hear(posture("trading"))
    watch.hear(posture("halted", "asked", "telegram:7"))
    (said,) = watch.pass_s(1)
    assert not said.sound


def test_no_latched_change_is_lost_however_fast_they_come() -> None:
    watch = Watch()
    watch.hear(posture("trading"))
    for name in ("halted", "trading", "paused"):
        watch.hear(posture(name, who="cli ann"))
    assert [said.text.split()[1] for said in watch.pass_s(1)] == ["halted", "trading", "paused"]


@pytest.mark.parametrize("alert_first", [True, False])
def test_a_halt_and_its_alarm_are_one_message_and_one_all_clear(alert_first: bool) -> None:
    watch = Watch()
    watch.hear(posture("trading"))
    bodies = [posture("halted", "403"), alert("venue-refuses", text="halted: 403")]
    for body in reversed(bodies) if alert_first else bodies:
        watch.hear(body)
    watch.pass_s(30, posture("halted", "403"))
    (said,) = watch.said
    assert "laggard check" in said.text
    watch.hear(posture("trading", "mended", "cli ann"))
    (back,) = watch.pass_s(30)
    assert "trading since" in back.text and "over: venue-refuses" in back.text


def test_a_hold_is_told_when_it_stands_and_its_flapping_is_counted() -> None:
    watch = Watch()
    watch.hear(posture("trading"))
    watch.hear(posture("no-new-orders", "routes contradict each other", "routes"))
    assert watch.pass_s(2) == []
    (said,) = watch.pass_s(2)
    assert said.lane == "critical" and not said.sound and "routes contradict" in said.text
    for _ in range(100):
        for name in ("trading", "no-new-orders"):
            watch.pass_s(4, posture(name, "flaps", "routes"))
    told = len(watch.said)
    assert 10 <= told <= 800 * SECOND // HOLD_GAP_NS + 2
    assert any("times since the last message" in each.text for each in watch.said)


def test_a_hold_of_two_seconds_is_only_counted() -> None:
    watch = Watch()
    watch.pass_s(5, posture("trading"))
    for _ in range(4):
        watch.pass_s(2, posture("no-new-orders", "a", "routes"))
        watch.pass_s(5, posture("trading"))
    assert watch.said == []
    assert watch.alarms.short_holds == 4


def test_after_a_start_what_stands_in_the_way_is_told() -> None:
    watch = Watch()
    watch.hear(posture("halted", "since yesterday"))
    (said,) = watch.pass_s(1)
    assert "halted since" in said.text


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.integers(0, 3)), max_size=60))
def test_alarms_and_all_clears_alternate_whatever_comes(events: list[tuple[int, bool, int]]) -> None:
    """Per code: raised, over, raised, ...; what is open at the end is what was raised last."""
    watch = Watch()
    standing: dict[str, bool] = {}
    for number, raised, pause in events:
        code = f"canary.hop{number}"
        before = len(watch.said)
        watch.hear(alert(code) if raised else alert(f"{code}-over", "info"))
        assert len(watch.said) - before == (standing.get(code, False) != raised)
        standing[code] = raised
        watch.pass_s(pause)
    assert set(watch.alarms.open) == {code for code, raised in standing.items() if raised}


def test_families_and_shorter_names() -> None:
    assert family_of("redemption-refused-0x12345678") == "redemption-refused"
    assert family_of("fatal.oracle-rtds") == "fatal"
    assert advice_for("nobody-knows") is GENERAL
    assert set(ENDED_BY.values()) <= set(ADVICE)


def test_every_alarming_code_of_the_source_has_advice() -> None:
    """A new alert without a line in the table turns this red."""
    sources = [
        *ROOT.glob("common/core/**/*.py"),
        *ROOT.glob("common/venue/**/*.py"),
        *ROOT.glob("procs/*.py"),
    ]
    wanted = set()
    for path in sources:
        text = path.read_text()
        wanted |= set(re.findall(r'level="(?:warning|critical)",\s*code=f?"([a-z-]+)', text))
        wanted |= set(re.findall(r'Say\(\s*"(?:warning|critical)",\s*f?"([a-z-]+)', text))
        wanted |= set(re.findall(r'_tell\(\s*f?"([a-z-]+)', text))
    wanted = {code.rstrip("-") for code in wanted}
    assert len(wanted) > 20
    assert {code for code in wanted if advice_for(code) is GENERAL} <= {"redemption"}
