"""A real recorder beside publishers that die and disks that fill."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from common.errors import CallRefused, CallTimedOut
from common.messages import Envelope, Status, StatusReport
from common.runtime.calls import call
from common.store.tape import Record, read, verify
from executor_stage import ROOT, Stage, stage, until

pytestmark = pytest.mark.procs

NO_RESERVE = "import common.store.tape_writer as w; w.TapeWriter.__init__.__kwdefaults__['reserve_bytes'] = 0"


def start_recorder(on: Stage, before: str = NO_RESERVE) -> subprocess.Popen[bytes]:
    code = f"{before}\nimport runpy; runpy.run_module('procs.recorder', run_name='__main__')"
    with (on.run_dir / "recorder.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env=os.environ | on.environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    on.processes.append(process)
    return process


async def status(on: Stage) -> StatusReport:
    """What the recorder says of itself, as soon as it says anything."""
    for _ in range(50):
        try:
            answer = await call(
                on.ctx, on.run_dir, "recorder", "cli", Status(), clock=on.clock, timeout_ns=300_000_000
            )
        except (CallTimedOut, CallRefused):
            continue
        assert isinstance(answer, StatusReport)
        return answer
    raise AssertionError((on.run_dir / "recorder.log").read_text()[-3000:])


async def counted(on: Stage, name: str, least: int) -> StatusReport:
    while (report := await status(on)).counters.get(name, 0) < least:
        await asyncio.sleep(0.05)
    return report


def tape(on: Stage) -> Path:
    return on.state_dir / "tapes"


async def test_every_message_is_on_the_tape_across_kills_of_everybody() -> None:
    async with stage() as on, asyncio.timeout(50):
        recorder = start_recorder(on)
        on.start()
        await on.report()
        for number in range(5):
            on.open_window(f"w{number}", lasts_s=60)
            await on.submit(f"w{number}")
        # The first start must have been heard before it is ended.
        while not heard(await counted(on, "records", 1), "executor"):
            await asyncio.sleep(0.02)
        on.kill()
        on.start()
        await on.report()
        report = await counted(on, "records", 40)
        assert report.counters["holes"] == 0
        recorder.kill()
        recorder.wait(timeout=10)
        recorder = start_recorder(on)
        await counted(on, "records", 20)
        recorder.send_signal(signal.SIGTERM)
        await until(lambda: recorder.poll() is not None)
        assert recorder.returncode == 0
        check = verify(tape(on))
        assert check.segments == 2
        # The recorder's own absence is one hole for each publisher it heard before and after.
        assert len(check.holes) == len({(hole.source, hole.boot) for hole in check.holes}) <= 2
        by_boot: dict[tuple[str, str], list[int]] = {}
        for record in read(tape(on)):
            if record.kind == "bus":
                envelope = decoded(record)
                by_boot.setdefault((envelope.source, envelope.boot), []).append(envelope.seq)
        assert len([key for key in by_boot if key[0] == "executor"]) == 2
        assert all(numbers == sorted(set(numbers)) for numbers in by_boot.values())


def heard(report: StatusReport, source: str) -> bool:
    return any(seen.source == source and seen.received for seen in report.sources)


def decoded(record: Record) -> Envelope:
    import msgspec

    return msgspec.msgpack.decode(record.data, type=Envelope)


async def test_a_full_disk_degrades_the_recorder_and_it_recovers_by_itself() -> None:
    async with stage() as on, asyncio.timeout(50):
        limit = (
            "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))"
        )
        recorder = start_recorder(on, f"{NO_RESERVE}\n{limit}")
        await status(on)
        for number in range(60):
            on.open_window(f"w{number}", lasts_s=60)
        report = await counted(on, "dropped", 1)
        assert recorder.poll() is None
        before = report.counters["records"]
        # Larger than what is published at once each second: a smaller one may never take a flush again.
        report = await counted(on, "records", before + 1)
        assert report.counters["segments"] >= 2
        log = (on.run_dir / "recorder.log").read_text()
        assert "recording-failed" in log
        assert recorder.poll() is None
        recorder.kill()
        recorder.wait(timeout=10)
        check = verify(tape(on))
        assert check.records > 0
        assert check.tears == ()
