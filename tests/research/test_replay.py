"""A tape through the engine again: the same bytes each time, and the verdicts that were published then."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from common.core.settings import RiskLimits
from common.errors import DependencyMissing
from common.messages import Envelope, Gate, Verdict
from common.research.replaying.agreement import SYNC_GATE, ToldVerdict, compare
from common.research.replaying.decision_log import settings_digest
from common.research.replaying.replay import measure, replay
from common.store.tape import Record
from common.units import SECOND
from taped_conversation import LATER, TAPED_SECONDS, WINDOW, records, settings, write_tape

ROUTES = ("rtds",)
ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
import sys
from pathlib import Path
from common.core.settings import RiskLimits, StrategySettings
from common.research.replaying.replay import replay
done = replay(Path(sys.argv[1]), ("rtds",), StrategySettings(), RiskLimits(), sys.stdout.buffer.write)
print(done.sha256, file=sys.stderr)
"""


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tape(tmp_path_factory.mktemp("tape"))


def log_of(tape: Path) -> tuple[list[bytes], str]:
    lines: list[bytes] = []
    done = replay(tape, ROUTES, settings(), RiskLimits(), lines.append)
    return lines, done.sha256


def test_every_published_verdict_comes_out_again_upon_the_same_message(tape: Path) -> None:
    done = replay(tape, ROUTES, settings(), RiskLimits())
    agreement = compare(done.live, done.again)
    assert agreement.live > 10
    assert agreement.agreed == agreement.same_cause == agreement.live == agreement.replayed
    assert agreement.differences == ()


def test_the_log_has_the_order_and_says_nothing_of_this_machine(tape: Path) -> None:
    lines, _ = log_of(tape)
    told = [json.loads(line) for line in lines]
    assert [one["order"]["window"] for one in told if "order" in one] == [WINDOW]
    assert told[0] == {"config": settings_digest(settings(), RiskLimits()), "decision_log": 1}
    assert str(tape).encode() not in b"".join(lines)
    # Nothing but decisions: a view, which is a picture, would be the bulk of it.
    assert {key for one in told[1:] for key in one} <= {
        "at", "cause", "mono", "verdict", "order", "alert", "forget"
    }  # fmt: skip


@pytest.mark.parametrize("seed", ["0", "1", "4242"])
def test_three_runs_of_three_interpreters_write_the_same_bytes(tape: Path, seed: str) -> None:
    # Each run orders its sets and dictionaries by another hash.
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tape)],
        capture_output=True,
        env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    lines, sha256 = log_of(tape)
    assert run.stdout == b"".join(lines)
    assert run.stderr.decode().strip() == sha256


def other_interpreters() -> list[str]:
    """Other versions of Python on the path that have the one library a replay needs."""
    names = [f"python3.{minor}" for minor in (11, 12, 13) if minor != sys.version_info.minor]
    found = [path for name in names if (path := shutil.which(name))]
    trials = {path: subprocess.run([path, "-c", "import msgspec"], capture_output=True) for path in found}
    return [path for path, trial in trials.items() if not trial.returncode]


def test_another_version_of_python_writes_the_same_bytes(tape: Path) -> None:
    others = other_interpreters()
    if not others:
        pytest.skip("no other Python 3.11 to 3.13 with msgspec is on the path")
    for python in others:
        run = subprocess.run(
            [python, "-B", "-c", PROGRAM, str(tape)],
            capture_output=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            check=True,
        )
        assert run.stdout == b"".join(log_of(tape)[0]), python


def test_another_configuration_is_another_log(tape: Path) -> None:
    stricter = msgspec.structs.replace(settings(), min_move_ppm=5_000)
    done = replay(tape, ROUTES, stricter, RiskLimits())
    assert done.sha256 != log_of(tape)[1]
    assert done.orders == 0


def test_what_the_strategist_does_not_listen_to_changes_nothing(tape: Path, tmp_path: Path) -> None:
    strange = []
    for one in records():
        strange.append(one)
        envelope = msgspec.msgpack.decode(one.data, type=Envelope)
        foreign = msgspec.structs.replace(envelope, source="oracle-exchange")
        strange.append(
            msgspec.structs.replace(one, source="oracle-exchange", data=msgspec.msgpack.encode(foreign))
        )
        strange.append(Record(one.mono_ns, one.wall_ns, "raw", "books", "frame", b"{}"))
    again = replay(write_tape(tmp_path, strange), ROUTES, settings(), RiskLimits())
    assert again.sha256 == log_of(tape)[1]
    assert again.skipped > 2 * len(TAPED_SECONDS)


def test_a_message_of_an_unknown_version_is_counted_and_not_fatal(tape: Path, tmp_path: Path) -> None:
    strange = [*records(), Record(1, 1, "bus", "books", "market.x", b"\xc1 not a message")]
    done = replay(write_tape(tmp_path, strange), ROUTES, settings(), RiskLimits())
    assert done.skipped == replay(tape, ROUTES, settings(), RiskLimits()).skipped + 1


def test_a_state_directory_stands_for_its_bus_tape(tape: Path, tmp_path: Path) -> None:
    write_tape(tmp_path / "tapes" / "bus")
    write_tape(tmp_path / "tapes" / "raw-books", [Record(1, 1, "raw", "books", "frame", b"{}")])
    assert replay(tmp_path, ROUTES, settings(), RiskLimits()).sha256 == log_of(tape)[1]


def test_a_host_that_was_started_anew_begins_with_an_engine_that_knows_nothing(
    tape: Path, tmp_path: Path
) -> None:
    later_ns = 10 * 86_400 * SECOND
    second_life = [
        msgspec.structs.replace(one, mono_ns=one.mono_ns - 9_000 * SECOND, wall_ns=one.wall_ns + later_ns)
        for one in records()
    ]
    done = replay(write_tape(tmp_path, [*records(), *second_life]), ROUTES, settings(), RiskLimits())
    once = replay(tape, ROUTES, settings(), RiskLimits())
    assert (done.reboots, once.reboots) == (1, 0)
    # Ten days later the windows are long over: nothing is told of them a second time.
    assert done.verdicts == once.verdicts
    assert done.counts["windows_seen"] == once.counts["windows_seen"] == 2


REBORN_AT = 415
"""Fifteen seconds after the first life entered its window: the second knows nothing of that wish."""


def test_a_strategist_that_was_started_anew_is_followed_with_the_state_the_others_published(
    tmp_path: Path,
) -> None:
    done = replay(write_tape(tmp_path, records(reborn_at=REBORN_AT)), ROUTES, settings(), RiskLimits())
    agreement = compare(done.live, done.again)
    assert (done.restarts, done.reboots) == (1, 0)
    assert agreement.live > 10
    assert agreement.agreed + agreement.not_compared == agreement.live
    assert agreement.good
    assert agreement.differences == ()
    # What the second life said upon what had been said before it is known as such, and nothing else is.
    upon_snapshots = [one for one in done.live if one.upon_snapshot]
    assert upon_snapshots
    assert len(upon_snapshots) < agreement.live // 2
    # Nobody told the second life of the first one's wish, so it wished again, and did so from a snapshot.
    assert done.orders == 2


def test_what_a_publisher_had_stopped_saying_is_no_state_of_a_new_start(tmp_path: Path) -> None:
    """The executor fell silent long before: nobody would have told the new strategist of its account."""
    silent = [
        one for one in records(reborn_at=REBORN_AT)
        if one.source != "executor" or one.mono_ns < (10_000 + REBORN_AT - 5) * SECOND
    ]  # fmt: skip
    done = replay(write_tape(tmp_path, silent), ROUTES, settings(), RiskLimits())
    assert (done.restarts, done.orders) == (1, 1)


def test_what_was_said_while_messages_were_missing_is_counted_and_not_compared() -> None:
    def said(number: int, *failed: str) -> ToldVerdict:
        return verdict(number, *failed, gates=("input complete", "move", "ask"))

    live = [said(1, "move"), said(2, "input complete", "move"), said(3, "move"), said(4, "ask")]
    agreement = compare(live, [said(1, "move"), said(2, "ask")])
    assert (agreement.agreed, agreement.live, agreement.not_compared) == (2, 4, 2)
    assert agreement.good
    # Said again without a gap before it, or another thing after one: these are held against the replay.
    assert compare([said(1, "move"), said(2, "move")], [said(1, "move")]).not_compared == 0
    other = compare([said(1, "move"), said(2, "input complete"), said(3, "ask")], [said(1, "move")])
    assert (other.not_compared, other.good) == (1, False)


def test_a_new_start_that_says_the_same_again_is_the_same_verdict() -> None:
    live = [verdict(7, "move"), verdict(1, "move")._replace(cause="d/1")]
    assert compare(live, [verdict(7, "move")]).not_compared == 1


def test_what_was_said_in_the_middle_of_snapshots_is_counted_and_not_compared() -> None:
    halfway = verdict(2, "ask")._replace(upon_snapshot=True)
    agreement = compare([verdict(1, "move"), halfway], [verdict(1, "move")])
    assert (agreement.agreed, agreement.not_compared, agreement.differences) == (1, 1, ())


def test_a_strategist_that_was_never_in_sync_shows_nothing() -> None:
    live = [verdict(n, SYNC_GATE, gates=(SYNC_GATE, "move")) for n in range(1, 4)]
    assert not compare(live, [verdict(1, "move")]).good


def test_the_gate_of_missing_messages_is_one_of_the_engine(tape: Path) -> None:
    first = replay(tape, ROUTES, settings(), RiskLimits()).live[0].verdict
    assert SYNC_GATE in {gate.name for gate in first.gates}


def test_no_tape_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DependencyMissing, match="laggard record"):
        replay(tmp_path, ROUTES, settings(), RiskLimits())


def verdict(
    number: int, *failed: str, window: str = LATER, gates: tuple[str, ...] = ("move", "ask")
) -> ToldVerdict:
    judged = tuple(Gate(name, "", "", name not in failed) for name in gates)
    return ToldVerdict(
        Verdict(window=window, asset="btc", decision="no_trade", gates=judged, number=number), f"c/{number}"
    )


def test_a_verdict_that_only_one_side_has_is_listed_and_the_rest_agrees() -> None:
    live = [verdict(1, "move"), verdict(2, "ask"), verdict(3, "move")]
    again = [verdict(1, "move"), verdict(2, "move", "ask"), verdict(3, "ask"), verdict(4, "move")]
    agreement = compare(live, again)
    assert (agreement.agreed, agreement.same_cause) == (3, 1)
    (one,) = agreement.differences
    assert one.live == ()
    assert one.replayed == ("no_trade (2 gates; failed: move, ask)",)


def test_a_verdict_repeated_each_second_counts_once() -> None:
    agreement = compare([verdict(1, "move")] * 5, [verdict(1, "move")])
    assert (agreement.live, agreement.agreed) == (1, 1)


def test_every_stage_is_timed_by_itself(tape: Path) -> None:
    speed = measure(tape, ROUTES, settings(), RiskLimits())
    assert speed.events == replay(tape, ROUTES, settings(), RiskLimits()).events
    assert min(speed.read_per_s, speed.decode_per_s, speed.step_per_s) > 0
