"""When a demo ends: so many seconds after its processes answer, however long they take to start."""

import asyncio
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from procs.cli import demo_play
from procs.cli.demo_stage import Stage
from procs.cli.stack import Stack


@pytest.mark.parametrize("limit_s", [30.0, 0.9])
async def test_the_seconds_begin_when_all_processes_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit_s: float
) -> None:
    answered: list[float] = []
    asked = 0

    def all_answer(_place: object) -> bool:
        nonlocal asked
        asked += 1
        if asked < 4 or limit_s < 1:
            return False
        answered.append(time.monotonic())
        return True

    monkeypatch.setattr(demo_play, "all_answer", all_answer)
    monkeypatch.setattr(demo_play, "supervisor_pid", lambda _stack: 1)
    monkeypatch.setattr(demo_play, "START_LIMIT_S", limit_s)
    plan: Any = SimpleNamespace(seconds=0.6, recording=None)
    process = SimpleNamespace(pid=1, poll=lambda: None)
    running: Any = SimpleNamespace(stack=Stack(tmp_path / "supervisord.conf"), process=process)
    began = time.monotonic()
    ended = await demo_play._wait_for_end(plan, Stage(tmp_path, tmp_path), running, asyncio.Event())
    assert ended == "time is over"
    assert time.monotonic() - (answered[0] if answered else began + limit_s) >= 0.6
