"""``laggard redeem`` beside a redeemer that answers on real sockets, and what it follows."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import zmq.asyncio

from common.errors import CallRefused
from common.messages import (
    Accepted,
    Answer,
    Command,
    PlanLine,
    PlanRedemption,
    ReadRedemptions,
    Redeem,
    RedemptionPlan,
    RedemptionsReport,
    RedemptionState,
    RedemptionStatus,
    Request,
)
from common.runtime.clock import SystemClock
from common.runtime.responder import Responder
from procs.cli import redeem_follow, redeem_running
from procs.cli.main import laggard, run
from procs.cli.redeem_follow import Follower

ONE, TWO = "0x" + "1" * 64, "0x" + "2" * 64
LATER_NS = 2 * 10**18
"""After any instant of these tests."""


def line(condition: str = ONE, payout6: int = 2_000_000, **fields: Any) -> PlanLine:
    decided: dict[str, Any] = {"decision": "redeem", "route": "relayer", "size6": payout6}
    return PlanLine(condition, "", "v1", payout6, **decided | fields)


def open_of(follower: Follower) -> tuple[str, ...]:
    """Read anew, whatever a check of types thinks to know of it."""
    return follower.open


def silent_of(follower: Follower) -> tuple[str, ...]:
    return follower.silent


def state(
    status: RedemptionStatus, text: str = "", condition: str = ONE, at_ns: int = LATER_NS
) -> RedemptionState:
    return RedemptionState(
        condition_id=condition,
        window="",
        ledger="v1",
        status=status,
        payout_usd6=2_000_000,
        paid_usd6=2_000_000 if status == "paid" else 0,
        at_ns=at_ns,
        tx_hash="0xabc" if status == "paid" else "",
        text=text,
    )


@dataclass
class Redeemer:
    """A stand-in that says what it is told to say."""

    lines: tuple[PlanLine, ...] = ()
    taken: tuple[RedemptionState, ...] = ()
    """What it says once it has taken a wish."""
    problem: str = ""
    refuses: str = ""
    gone: bool = False
    """Answers nothing once it has taken a wish."""
    heard: list[Command] = field(default_factory=list)

    @property
    def wishes(self) -> list[Redeem]:
        return [each for each in self.heard if isinstance(each, Redeem)]

    async def answer(self, command: Command, _request: Request) -> Answer:
        self.heard.append(command)
        if isinstance(command, PlanRedemption):
            names = command.conditions or [each.condition_id for each in self.lines]
            if "nonsense" in names:
                raise CallRefused("unknown-condition", "'nonsense' is neither a condition id nor a window")
            found = self.lines
            if self.wishes:
                found = tuple(line(each, decision="leave", reason="nothing", size6=0) for each in names)
            return RedemptionPlan(lines=found, problem=self.problem)
        if isinstance(command, Redeem):
            if self.refuses:
                raise CallRefused("busy", self.refuses)
            return Accepted(text="")
        if self.wishes and self.gone:
            await asyncio.sleep(3600)
        return RedemptionsReport(redemptions=self.taken if self.wishes else (), problem=self.problem)


@contextmanager
def running(run_dir: Path, redeemer: Redeemer) -> Iterator[Redeemer]:
    """The stand-in in a thread of its own."""
    ready = threading.Event()
    stop: list[Callable[[], object]] = []

    async def serve() -> None:
        ctx = zmq.asyncio.Context()
        responder = Responder(ctx, run_dir, "redeemer", SystemClock())
        for command in (Redeem, ReadRedemptions, PlanRedemption):
            responder.on(command, redeemer.answer)
        loop = asyncio.get_running_loop()
        over = asyncio.Event()
        stop.append(lambda: loop.call_soon_threadsafe(over.set))
        ready.set()
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(responder.run())
            await over.wait()
            task.cancel()
        ctx.destroy(linger=0)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(5)
        yield redeemer
    finally:
        stop[0]()
        thread.join(5)


@pytest.fixture
def run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in {
        "LAGGARD_RUN_DIR": str(tmp_path),
        "LAGGARD_STATE_DIR": str(tmp_path),
        "LAGGARD_MODE": "live",
        "LAGGARD_WALLET__KIND": "eoa",
        "LAGGARD_VENUE__CHAIN_RPC_URLS": "http://127.0.0.1:9/",
        "XDG_CONFIG_HOME": str(tmp_path / "nothing"),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(redeem_running, "LOOK_S", 0.01)
    return tmp_path


def test_on_paper_there_is_nothing_to_redeem(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LAGGARD_MODE", "paper")
    assert run(laggard, ["redeem", "--all"]) == 0
    assert capsys.readouterr().out == "nothing to redeem on paper\n"
    assert run(laggard, ["redeem", "--plan", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["redemptions"] == []


@pytest.mark.parametrize("arguments", [[], ["--all", ONE], ["--yes"]])
def test_what_is_meant_must_be_said(
    run_dir: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(laggard, ["redeem", *arguments]) == 2
    said = capsys.readouterr().err
    assert "CONDITION" in said and "--all" in said


def test_the_plan_of_the_redeemer(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = (
        line(gas_wei=4 * 10**15, max_cost_wei=10**17),
        line(TWO, 0, decision="leave", reason="what is held of it pays nothing"),
    )
    with running(run_dir, Redeemer(lines, problem="too little POL")) as redeemer:
        assert run(laggard, ["redeem", "--plan"]) == 0
        out = capsys.readouterr().out
        for shown in (ONE, TWO, "2.000000 $ to redeem for about 0.0040 POL", "0.1000", "pays nothing"):
            assert shown in out
        assert "at present: too little POL" in out
        assert run(laggard, ["redeem", "--plan", "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert set(told) == {"schema", "kind", "ok", "lines", "problem"}
        assert set(told["lines"][0]) == set(PlanLine.__struct_fields__)
        assert run(laggard, ["redeem", "--plan", "nonsense"]) == 1
        assert "neither a condition id" in capsys.readouterr().err
        assert not redeemer.wishes


def test_it_sends_nothing_unless_a_person_agreed(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running(run_dir, Redeemer((line(),))) as redeemer:
        assert run(laggard, ["redeem", "--all"]) == 2
        assert "--yes" in capsys.readouterr().err
        assert not redeemer.wishes


def test_only_what_was_shown_is_asked_for_and_followed_to_its_end(
    run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (line(), line(TWO, 0, decision="leave", reason="lost"))
    with running(run_dir, Redeemer(lines, (state("paid"),))) as redeemer:
        assert run(laggard, ["redeem", "--all", "--yes", "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert set(told) == {"schema", "kind", "ok", "redemptions", "problem"}
        assert set(told["redemptions"][0]) == set(RedemptionState.__struct_fields__) | {"t"}
        (wish,) = redeemer.wishes
        assert (wish.conditions, wish.all, wish.losers) == ((ONE,), False, False)
        assert wish.who.startswith("cli ")


def test_losers_are_planned_and_asked_for(run_dir: Path) -> None:
    with running(run_dir, Redeemer((line(),), (state("paid"),))) as redeemer:
        assert run(laggard, ["redeem", ONE, "--losers", "--yes"]) == 0
        assert redeemer.wishes[0].losers
        assert all(each.losers for each in redeemer.heard if isinstance(each, PlanRedemption))


def test_each_failure_is_named(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    taken = (state("paid"), state("failed", "mined without effect", TWO))
    with running(run_dir, Redeemer((line(), line(TWO)), taken)):
        assert run(laggard, ["redeem", "--all", "--yes"]) == 1
    said = capsys.readouterr()
    assert "2.000000 $ came back" in said.out
    assert f"{TWO} is not redeemed: mined without effect" in said.err
    assert f"{ONE}: paid: 2.000000 $ by 0xabc" in said.err


def test_what_others_took_meanwhile_is_no_failure(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(redeem_follow, "SILENCE_S", 0.0)
    with running(run_dir, Redeemer((line(),))):
        assert run(laggard, ["redeem", ONE, "--yes"]) == 0
    assert redeem_follow.GONE in capsys.readouterr().out


def test_a_refusal_and_a_silent_redeemer_end_it(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(redeem_running, "ANSWER_S", 0.2)
    monkeypatch.setattr(redeem_running, "DEAF_S", 0.1)
    with running(run_dir, Redeemer((line(),), refuses="the disk is full")):
        assert run(laggard, ["redeem", ONE, "--yes"]) == 1
        assert "the disk is full" in capsys.readouterr().err
    with running(run_dir, Redeemer((line(),), gone=True)):
        assert run(laggard, ["redeem", ONE, "--yes"]) == 4
        assert "stopped answering" in capsys.readouterr().err


def test_status_asks_the_redeemer_or_reads_its_journal(
    run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(laggard, ["redeem", "--status"]) == 0
    assert "nothing was redeemed yet" in capsys.readouterr().out
    stand_in = Redeemer((line(),), (state("paid"),), problem="its endpoints are behind")
    stand_in.heard.append(Redeem(conditions=(), who="test"))
    with running(run_dir, stand_in):
        assert run(laggard, ["redeem", "--status"]) == 0
        out = capsys.readouterr().out
        assert ONE in out and "0xabc" in out and "at present: its endpoints are behind" in out
        assert run(laggard, ["redeem", "--status", "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert set(told) == {"schema", "kind", "ok", "redemptions", "problem"}
        assert set(told["redemptions"][0]) == set(RedemptionState.__struct_fields__) | {"t"}


def test_without_an_address_a_plan_says_so(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(laggard, ["redeem", "--plan"]) == 78
    assert "wallet.address" in capsys.readouterr().err


class Watch:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_an_end_of_before_is_none_of_ours() -> None:
    follower = Follower((line(),), 1_000, mono_s=Watch())
    follower.hear((state("failed", at_ns=999), state("paid", at_ns=999)))
    assert (follower.open, follower.states) == ((ONE,), ())
    follower.hear((state("failed", at_ns=999), state("paid", at_ns=1_000)))
    assert open_of(follower) == ()


def test_a_failure_is_an_end_though_it_waits_to_be_tried_again() -> None:
    follower = Follower((line(),), 0, mono_s=Watch())
    follower.hear((state("failed", "reverted"), state("waiting")))
    assert open_of(follower) == ()
    assert [each.status for each in follower.states] == ["failed"]


def test_what_waits_for_a_reason_is_given_up_and_what_waits_its_turn_is_not() -> None:
    watch = Watch()
    follower = Follower((line(), line(TWO)), 0, mono_s=watch)
    for _ in range(3):
        follower.hear((state("waiting"), state("waiting", "too little POL", TWO)))
        watch.now_s += redeem_follow.PATIENCE_S
    assert open_of(follower) == (ONE,)
    # Under way in between: its patience begins anew.
    follower.hear((state("under way", condition=TWO),))
    follower.hear((state("waiting", "too little POL", TWO),))
    assert open_of(follower) == (ONE, TWO)


def test_a_standing_problem_ends_what_nobody_could_look_at(capsys: pytest.CaptureFixture[str]) -> None:
    watch = Watch()
    follower = Follower((line(),), 0, mono_s=watch)
    follower.hear((), "no endpoint answers")
    assert (follower.states, silent_of(follower)) == ((), ())
    watch.now_s += redeem_follow.SILENCE_S
    for _ in range(2):
        follower.hear((), "no endpoint answers")
    assert (silent_of(follower), open_of(follower)) == ((ONE,), (ONE,))
    watch.now_s += redeem_follow.PATIENCE_S + 1
    assert open_of(follower) == ()
    assert capsys.readouterr().err == f"{ONE}: waiting: no endpoint answers\n"


def test_what_is_heard_of_is_not_silent_and_what_ended_is_not_gone() -> None:
    watch = Watch()
    follower = Follower((line(), line(TWO)), 0, mono_s=watch)
    watch.now_s += redeem_follow.SILENCE_S
    follower.hear((state("under way"), state("paid", condition=TWO)))
    assert silent_of(follower) == ()
    follower.gone(TWO)
    assert [each.status for each in follower.states] == ["under way", "paid"]
    watch.now_s += redeem_follow.SILENCE_S
    assert silent_of(follower) == (ONE,)
    follower.gone(ONE)
    assert [each.text for each in follower.states] == [redeem_follow.GONE, ""]
    assert open_of(follower) == ()


def test_a_try_before_ours_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    follower = Follower((line(),), time.time_ns())
    for _ in range(2):
        follower.hear((state("under way", "sent", TWO),))
    assert capsys.readouterr().err == f"first {TWO}: under way: sent\n"
    assert follower.states == ()
