"""The demo's plan fits its run, and its files are what the processes accept."""

from pathlib import Path

import pytest

from common.feeds.oracle.route import Route
from common.feeds.oracle.routes import plan_route
from common.messages import RouteName
from common.runtime.clock import SystemClock
from common.runtime.config import load_config
from common.runtime.paths import make_paths
from common.sim.settings import load_settings
from common.units import SECOND
from procs.cli.demo_config import generated_plan, recording_plan, write_files

NOW_NS = 1_800_000_000 * SECOND
ROUTES: tuple[RouteName, ...] = ("polybolt", "chainlink", "rtds")


@pytest.mark.parametrize(
    ("seconds", "window_s", "cadence"),
    [(None, 60, "1m"), (150, 60, "1m"), (100, 60, "1m"), (99, 44, "44s"), (60, 25, "25s"), (20, 5, "5s")],
)
def test_windows_fit_the_run(seconds: int | None, window_s: int, cadence: str) -> None:
    plan = generated_plan(seconds, 1, 8701, NOW_NS, ROUTES)
    assert (plan.window_s, plan.cadence) == (window_s, cadence)
    assert plan.min_time_left_s == window_s / 3


def test_the_written_files_are_accepted(tmp_path: Path) -> None:
    plan = generated_plan(60, 7, 8701, NOW_NS, ROUTES)
    config_file, sim_file = write_files(plan, tmp_path)
    config = load_config(config_file, {})
    assert config.venue.rtds_url == "ws://127.0.0.1:8701/rtds"
    assert config.venue.gamma_url == "http://127.0.0.1:8701/gamma"
    assert config.markets.cadence == "25s"
    assert config.strategy_settings().max_price4 == 6_200
    assert config.venue.data_url == "http://127.0.0.1:8701/data"
    assert config.oracles.routes == ROUTES
    settings = load_settings(sim_file)
    assert (settings.seed, settings.window_s, settings.starts_at_ns) == (7, 25, NOW_NS)


def test_every_route_of_a_demo_has_what_it_needs(tmp_path: Path) -> None:
    """Also when an earlier demo left its credentials in the same place."""
    for seed in (1, 2):
        plan = generated_plan(60, seed, 8701, NOW_NS, ROUTES)
        config = load_config(write_files(plan, tmp_path)[0], {})
    paths = make_paths(str(tmp_path), str(tmp_path), config.paths.credentials_dir)
    for name in ROUTES:
        route = plan_route(name, config, paths, SystemClock())
        assert isinstance(route, Route), route
        watched = {key for line in route.lines for key in line.watched}
        assert watched == {f"{kind}/{asset}" for kind in ("spot", "twap60") for asset in plan.assets}


def write_ticks(path: Path) -> Path:
    """Forty minutes of made-up ticks in the layout of a tick recording."""
    rows = ["feed_ts_ms,value,full_accuracy_value,server_ts_ms,recv_ms"]
    for second in range(2400):
        stamp = 1_700_000_100_000 + second * 1000
        value = 50_000 + second % 97
        rows.append(f"{stamp},{value}.0,{value}{'0' * 18},{stamp + 1000},{stamp + 1200}")
    path.write_text("\n".join(rows) + "\n")
    return path


def test_a_recording_compresses_every_limit(tmp_path: Path) -> None:
    plan = recording_plan(write_ticks(tmp_path / "ticks.csv"), None, 30.0, 8701, NOW_NS, ROUTES)
    assert plan.speed == pytest.approx(30, rel=0.1)
    assert plan.recording is not None
    assert plan.min_time_left_s * plan.speed <= 300
    config = load_config(write_files(plan, tmp_path)[0], {})
    assert config.markets.cadence == plan.cadence
    assert config.strategy.max_tick_age_s == 0.5
    assert config.strategy.max_book_age_s == 0.5
    assert config.watch.tick_stale_s == 5
    assert config.oracles.watched == ("spot",)


def test_a_recording_at_its_own_speed_keeps_the_limits(tmp_path: Path) -> None:
    plan = recording_plan(write_ticks(tmp_path / "ticks.csv"), None, 1.0, 8701, NOW_NS, ROUTES)
    config = load_config(write_files(plan, tmp_path)[0], {})
    assert (config.strategy.max_tick_age_s, config.watch.tick_dead_s) == (5, 120)
