"""Paths, endpoints, locks, clocks and log lines."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from common.errors import DependencyMissing
from common.runtime.clock import ManualClock, SystemClock
from common.runtime.endpoints import ROLES, answer_endpoint, publish_endpoint
from common.runtime.lock import hold_role
from common.runtime.log import MASK, Burst, mask_secrets
from common.runtime.paths import make_paths, prepare, private_directory
from tests.runtime.peers import kill, start

HOLDER = """
import sys, time
from pathlib import Path
from common.runtime.lock import hold_role
with hold_role(Path(sys.argv[1]), "executor"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_places_are_made_private(run_dir: Path) -> None:
    paths = make_paths(str(run_dir / "state"), str(run_dir / "run"))
    (run_dir / "run").mkdir(mode=0o777)
    os.chmod(run_dir / "run", 0o777)
    prepare(paths)
    for directory in (paths.state_dir, paths.run_dir, paths.tape_dir):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_the_run_directory_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert make_paths("/s", None).run_dir == tmp_path / "laggard"
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert make_paths("/s", None).run_dir == Path("/s/run")


def test_a_shared_directory_is_refused_and_left_alone(run_dir: Path) -> None:
    shared = run_dir / "tmp"
    shared.mkdir()
    os.chmod(shared, 0o1777)
    with pytest.raises(DependencyMissing, match="shared"):
        private_directory(shared)
    assert stat.S_IMODE(shared.stat().st_mode) == 0o1777


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_somebody_elses_directory_is_refused(run_dir: Path) -> None:
    other = run_dir / "other"
    other.mkdir()
    os.chown(other, 12345, -1)
    with pytest.raises(DependencyMissing, match="12345"):
        private_directory(other)


def test_a_file_in_the_place_is_refused(run_dir: Path) -> None:
    (run_dir / "f").write_text("")
    with pytest.raises(DependencyMissing):
        private_directory(run_dir / "f")


def test_endpoints_differ_and_their_length_is_checked(run_dir: Path) -> None:
    names = {f(run_dir, role) for role in ROLES for f in (publish_endpoint, answer_endpoint)}
    assert len(names) == 2 * len(ROLES)
    fitting = Path("/" + "x" * (107 - len("/") - len("/books.pub")))
    assert publish_endpoint(fitting, "books").startswith("ipc:///x")
    with pytest.raises(DependencyMissing, match="LAGGARD_RUN_DIR"):
        publish_endpoint(Path(f"{fitting}x"), "books")


@pytest.mark.procs
def test_a_second_holder_is_refused_and_a_dead_one_is_no_holder(run_dir: Path) -> None:
    holder: subprocess.Popen[str] = start(HOLDER, str(run_dir))
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(
            DependencyMissing, match=rf"another executor is running \(pid {holder.pid}\)"
        ) as refused:
            with hold_role(run_dir, "executor"):
                pass
        assert refused.value.exit_code == 69
        with hold_role(run_dir, "books"):
            pass
    finally:
        kill(holder)
    with hold_role(run_dir, "executor"):
        pass


def test_the_manual_clock_moves_only_when_told() -> None:
    clock = ManualClock(5, 7)
    clock.advance(3)
    assert (clock.wall_ns(), clock.mono_ns()) == (8, 10)
    real = SystemClock()
    assert real.mono_ns() <= real.mono_ns()


def test_secrets_are_masked_and_tokens_of_the_venue_are_not() -> None:
    event = {"api_key": "abc", "wallet_private_key": "0x1", "token": "7134", "note": "1234567890:" + "A" * 35}
    masked = mask_secrets(None, "", dict(event))
    assert masked == {"api_key": MASK, "wallet_private_key": MASK, "token": "7134", "note": MASK}


def test_a_burst_is_told_once_with_its_size() -> None:
    burst = Burst(every_ns=100)
    assert [burst.note("a", now) for now in (0, 1, 2, 99)] == [1, None, None, None]
    assert burst.note("b", 50) == 1
    assert burst.note("a", 100) == 4
