"""The note that an unanswered /kill leaves: only who left it takes it back, and a resume takes back none."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from commands_stage import stage
from common.chat.acting import Means
from common.venue.recovery import KILL_SWITCH, leave_marker, read_marker
from procs.telegram_bot import means_of

OURS = "asked for in the chat by telegram:7"


@pytest.fixture
def means(tmp_path: Path) -> Means:
    """As the process has them, with its state in a directory of its own."""
    process = cast(Any, SimpleNamespace(paths=SimpleNamespace(state_dir=tmp_path)))
    return means_of(process, cast(Any, None))


def test_what_was_left_is_taken_back(means: Means, tmp_path: Path) -> None:
    assert means.leave_halt(OURS)
    assert read_marker(tmp_path) == f"{KILL_SWITCH}{OURS}"
    means.lift_halt(OURS)
    assert read_marker(tmp_path) is None


@pytest.mark.parametrize("note", [f"{KILL_SWITCH}fire (cli:me)", "the books do not add up"])
def test_a_note_of_somebody_else_has_the_same_effect_and_stays(
    means: Means, tmp_path: Path, note: str
) -> None:
    leave_marker(tmp_path, note)
    assert means.leave_halt(OURS)
    means.lift_halt(OURS)
    assert read_marker(tmp_path) == note


async def test_a_resume_leaves_the_note_to_the_executor() -> None:
    async with stage() as st:
        st.halts.append("somebody was not answered")
        await st.confirm("/resume")
        await st.said("/resume: Done")
        assert st.halts == ["somebody was not answered"]
