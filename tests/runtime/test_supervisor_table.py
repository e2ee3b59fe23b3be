"""supervisord's table as the rest of us reads it."""

from types import SimpleNamespace
from typing import Any

import pytest

from common.runtime.supervisor import process_table


@pytest.mark.parametrize(
    ("state", "stopped_s", "said", "shown"),
    [
        ("STOPPED", 1_795_737_600, "Nov 27 12:00 AM", "since 2026-11-27 00:00 UTC"),
        ("EXITED", 1_795_789_800, "Nov 27 02:30 PM", "since 2026-11-27 14:30 UTC"),
        ("STOPPED", 0, "Not started", "Not started"),
        ("RUNNING", 1_795_737_600, "pid 7, uptime 0:00:05", "pid 7, uptime 0:00:05"),
        ("FATAL", 1_795_737_600, "Exited too quickly", "Exited too quickly"),
    ],
)
def test_when_a_program_was_stopped_is_told_in_utc(state: str, stopped_s: int, said: str, shown: str) -> None:
    told = {
        "name": "books", "group": "feeds", "statename": state, "pid": 0, "start": 1, "stop": stopped_s,
        "description": said,
    }  # fmt: skip
    proxy: Any = SimpleNamespace(supervisor=SimpleNamespace(getAllProcessInfo=lambda: [told]))
    (row,) = process_table(proxy)
    assert row.detail == shown
