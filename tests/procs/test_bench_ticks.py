"""The bench from tick to order: its world counts right, its peers answer, and it runs as a user runs it."""

import contextlib
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from common.feeds.market.book_keeper import BookKeeper
from common.feeds.market.clob_market import parse_frame
from common.messages import MarketState
from procs.cli import bench_ticks
from procs.cli.bench_ticks import TARGETS, _judged
from procs.cli.stack import ROOT

# The bench's modules are processes of their own and find each other by this path.
sys.path.insert(0, str(ROOT / "tests"))
from bench import runner
from bench.chat import FULL
from bench.contender import (
    Contender,
    Running,
    Sitting,
    Started,
    end,
    start_bus_floor,
    start_floor,
    start_typical,
)
from bench.figures import Results, Round, summary
from bench.loads import LOADS, NEEDED, Load
from bench.ours import OURS
from bench.plan import (
    A_WINDOW_S,
    ASSETS,
    MOVE_PPM,
    NOISE_PPM,
    WINDOWS_AN_ASSET,
    Plan,
    at_ppm,
    make_plan,
    moved_ppm,
    resting_ppm,
    write_plan,
)
from bench.tape_books import TapeBooks
from bench.world import Measure

# Times mean nothing beside other work.
slow = [pytest.mark.procs, pytest.mark.alone, pytest.mark.slow, pytest.mark.timeout(240)]
SECOND = 1_000_000_000


@pytest.mark.parametrize("seed", range(3))
def test_a_firing_tick_fires_its_own_window_and_no_other(seed: int) -> None:
    plan = make_plan(seed, 1, 0)
    assert len(plan.windows) == 16
    for asset in ASSETS:
        left = [window for window in plan.windows if window.asset == asset]
        for ppm in (-NOISE_PPM, NOISE_PPM):
            price = at_ppm(asset, resting_ppm(asset) + ppm)
            assert not [one for one in left if abs(moved_ppm(price, one.strike_e18)) > MOVE_PPM]
        while left:
            moves = {one.slug: moved_ppm(left[0].fires_e18, one.strike_e18) for one in left}
            fired = [slug for slug, ppm in moves.items() if abs(ppm) > MOVE_PPM]
            assert fired == [left[0].slug]
            assert (moves[left[0].slug] > 0) == (left[0].side == "up")
            left.pop(0)


def test_every_frame_of_the_books_bears_out_the_venues_hash() -> None:
    plan = make_plan(7, 1, 0)
    books, counts = TapeBooks(plan), dict[str, int]()
    keeper = BookKeeper(lambda name: counts.update({name: counts.get(name, 0) + 1}))
    for window in plan.windows:
        market = MarketState(
            window=window.slug,
            asset=window.asset,
            condition_id=window.condition_id,
            version="v1",
            token_up=window.token_up,
            token_down=window.token_down,
            rule="spot",
            lookback_s=0,
            start_ns=window.start_s * SECOND,
            end_ns=(window.start_s + A_WINDOW_S) * SECOND,
            fee=None,
            taker_delay_ns=0,
            tick4=100,
            min_size6=5_000_000,
            accepting=True,
        )
        keeper.follow(market, "up", 0)
        keeper.follow(market, "down", 0)
    assert not keeper.hear(parse_frame(books.snapshots(keeper.tokens())), 0).resync
    tops = 0
    for number in range(1, 1_001):
        best = {token: keeper.best(token) for token in keeper.tokens()}
        heard = keeper.hear(parse_frame(books.frame()), number * SECOND)
        assert not heard.resync
        tops += any(keeper.best(token) != best[token] for token in best)
        proof = keeper.prove(next(iter(heard.changed)), number * SECOND).proof
        assert proof.proven, proof.text
    assert counts.get("proofs.failed", 0) == 0
    assert 60 < tops < 200, "one change in eight moves the best price"


@contextlib.contextmanager
def world(directory: Path) -> Iterator[tuple[Plan, "subprocess.Popen[bytes]", Running]]:
    """A world without a contender."""
    with runner._listener() as listener:
        plan = make_plan(3, listener.getsockname()[1], 0)
        sitting = Sitting(plan, directory)
        write_plan(plan, sitting.plan_file)
        process = runner._start_world(sitting, listener)
        nobody = Contender("nobody", lambda _: Started([], lambda: ""), "")
        try:
            yield plan, process, Running(nobody, nobody.start(sitting), directory)
        finally:
            end(process)


def order(plan: Plan, token: str) -> float:
    """Send an order; how long its answer took."""
    body = json.dumps({"order": {"tokenId": token}}).encode()
    began = time.monotonic()
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(f"http://{plan.listen}/clob/order", data=body, timeout=5)
    assert refusal.value.code == 400
    assert b"no orders found to match with FAK order" in refusal.value.read()
    return time.monotonic() - began


class TestWorld:
    pytestmark = slow

    def test_a_tick_without_an_order_is_lost(self, tmp_path: Path) -> None:
        with world(tmp_path) as (_, process, nobody):
            told = runner._ask(process, nobody, Measure("quiet", 1, 64))
        assert [(shot.after_ns, shot.orders) for shot in told.shots] == [(None, 0)]

    def test_an_order_of_no_tick_goes_astray_and_is_answered_after_ten_milliseconds(
        self, tmp_path: Path
    ) -> None:
        with world(tmp_path) as (plan, process, nobody):
            runner._ask(process, nobody, Measure("quiet", 0, 64))
            assert order(plan, plan.windows[0].token) >= 0.01
            assert runner._ask(process, nobody, Measure("quiet", 1, 64)).strays == 0, "that was before"
            process.stdin.write(b'{"load":"quiet","fires":2,"frames":64}\n')
            process.stdin.flush()
            for window in plan.windows:
                order(plan, "1" + window.token)
            told = json.loads(process.stdout.readline())
        assert told["strays"] == 16

    def test_an_order_that_comes_twice_is_seen(self, tmp_path: Path) -> None:
        with world(tmp_path) as (plan, process, _):
            process.stdin.write(b'{"load":"quiet","fires":1,"frames":64}\n')
            process.stdin.flush()
            # The first to fire is the first window of some asset; its order is sent again and again.
            while not runner.select.select([process.stdout], [], [], 0)[0]:
                for window in plan.windows[::WINDOWS_AN_ASSET]:
                    order(plan, window.token)
            told = json.loads(process.stdout.readline())
        assert told["shots"][0]["orders"] >= 2
        assert told["strays"] > 0


class TestPeers:
    pytestmark = slow

    @pytest.mark.parametrize("start", [start_floor, start_bus_floor, start_typical])
    def test_a_peer_answers_every_tick_once_and_nothing_else(
        self, start: Callable[[Sitting], Started]
    ) -> None:
        results = Results()
        loads = (Load("quiet", 2, frames=64), Load("report", 4, report=True), Load("queued", 2, queued=True))
        runner.run_sitting(Contender("peer", start, ""), loads, 11, results)
        for load in loads:
            (one,) = results.rounds["peer", load.name]
            assert (one.fired, one.lost, one.doubled, one.strays) == (load.fires, 0, 0, 0)
            assert len(one.after_us) == load.fires
            assert all(0 < after < 2_000_000 for after in one.after_us)
            assert one.ticks >= one.fired
        (report,) = results.rounds["peer", "report"]
        assert report.frames_per_s > 1_500


@pytest.mark.procs
@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_ours_has_its_real_chat_hanging_and_its_real_pictures_drawn() -> None:
    results = Results()
    loads = (Load("report", 2, report=True), Load("telegram", 2, telegram=True))
    runner.run_sitting(OURS, loads, 12, results)
    (report,), (telegram,) = (results.rounds["ours", load.name] for load in loads)
    for one in (report, telegram):
        assert (one.fired, one.lost, one.doubled, one.strays) == (2, 0, 0, 0)
        assert one.came["commands"] > 0
    assert report.came["pictures"] > 1
    assert report.came["hung"] == 0
    assert telegram.came["waiting"] >= FULL
    assert telegram.came["hung"] >= 1
    assert telegram.came["alarms"] > 10
    assert telegram.came["pictures"] == 0
    assert summary(results, ("ours",))["reasons"] == []


def test_a_load_that_did_not_weigh_is_told() -> None:
    results = Results()
    weighed = {"waiting": FULL, "hung": 1, "commands": 1, "alarms": 0, "pictures": 1}
    for load in ("telegram", "report"):
        results.rounds["ours", load] = [Round(frames_per_s=2_000, came=dict(weighed)) for _ in range(2)]
    assert summary(results, ("ours",))["reasons"] == []
    for load, what, least, words in NEEDED:
        came = results.rounds["ours", load][1].came
        came[what] = least - 1
        assert summary(results, ("ours",))["reasons"] == [f"ours {load}: in some round {words}"]
        came[what] = least


def test_the_interval_of_a_ratio_has_it_inside_and_needs_two_rounds() -> None:
    results = Results()
    for load, values in (("books", (10.0, 12.0, 14.0)), ("telegram", (10.0, 30.0, 50.0))):
        results.rounds["ours", load] = [Round([value], fired=1, frames_per_s=2_000) for value in values]
    results.rounds["ours", "report"] = [Round([1.0], fired=1, frames_per_s=2_000)]
    told = summary(results, ("ours",))
    (low, high) = told["intervals"]["ours telegram/books p99"]
    assert low < told["ratios"]["ours telegram/books p99"] == 2.5 < high
    assert 0.7 < low < 1
    assert 3 < high <= 5
    assert "ours report/books p99" not in told["intervals"]


def test_ratios_are_of_medians_of_rounds_and_what_is_lost_is_told() -> None:
    results = Results(priority="none")
    for name, values in (("ours", (10.0, 90.0, 20.0)), ("typical", (100.0, 400.0, 200.0))):
        results.rounds[name, "books"] = [
            Round(after_us=[value, value * 2, value * 3], fired=3, frames_per_s=2_000) for value in values
        ]
    results.rounds["ours", "report"] = [Round(after_us=[50.0], fired=2, lost=1, frames_per_s=100)]
    told = summary(results, ("ours", "typical"))
    assert told["results"]["ours"]["books"]["p50_us"] == 40.0
    assert told["results"]["ours"]["books"]["p99_us"] == 60.0
    assert told["ratios"]["ours/typical books p50"] == 0.1
    assert told["reasons"] == ["ours report: 1 ticks lost", "ours report: only 100 book frames a second"]
    judged = {one["ratio"]: one for one in _judged(told["ratios"])}
    assert judged["ours/typical books p50"]["met"] is True
    assert judged["ours/floor books p50"] == {
        "ratio": "ours/floor books p50",
        "most": 2.0,
        "reached": None,
        "met": False,
    }
    assert len(judged) == len(TARGETS)
    assert bench_ticks.LOADS == LOADS


@pytest.mark.procs
@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_quick_bench_as_a_user_runs_it() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "procs.cli.bench", "tick-to-order", "--quick", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=380,
        check=False,
    )
    told = json.loads(done.stdout)
    assert done.returncode == (1 if told["reasons"] else 0), done.stderr[-2000:]
    assert told["results"].keys() == {"typical", "ours", "floor", "bus-floor"}
    for name, rows in told["results"].items():
        assert rows.keys() == set(told["loads"])
        for row in rows.values():
            assert row["fired"] == row["orders"] + row["lost"]
            assert row["doubled"] == 0
        assert name == "ours" or not any(row["lost"] for row in rows.values())
    assert sum(row["orders"] for row in told["results"]["ours"].values()) > 15
    assert all(one["reached"] for one in told["targets"])
