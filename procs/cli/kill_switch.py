"""The kill switch for an executor that does not answer: a note in its state directory, obeyed at its start.

Owns the notes that ``laggard halt`` leaves, and touches none that the executor left for itself. Lifts none:
the executor that is resumed does, before it answers; whoever did so after the answer could lift a newer one.
"""

import os
from pathlib import Path

from common.errors import LaggardError
from common.runtime.paths import make_paths
from common.venue.recovery import KILL_SWITCH, leave_marker, read_marker
from procs.cli.configuration import load_config
from procs.cli.stack import own_stack, read_meeting, supervisor_pid

SIGNATURE = KILL_SWITCH


def leave_kill_switch(reason: str) -> bool:
    """Make the executor's next start begin halted; False when the note could not be written.

    A note of the executor itself says more and is kept: it has the same effect.
    """
    directories = state_dirs()
    for directory in directories:
        if not read_marker(directory):
            leave_marker(directory, f"{SIGNATURE}{reason}")
    return bool(directories) and all(read_marker(directory) for directory in directories)


def state_dirs() -> list[Path]:
    """Where the running executor keeps its state; where none runs, where the next one may.

    It has to be the executor that was asked: an environment that names other processes than those of this
    checkout names their state too. A service that is between two starts is in the last starter's note alone.
    Of two such directories each begins halted once: that one executor was resumed says nothing of the other.
    """
    stack = own_stack()
    meeting = read_meeting(stack)
    named = os.environ.get("LAGGARD_RUN_DIR")
    ours = meeting is not None and (not named or Path(named) == Path(meeting.run_dir))
    found = [Path(meeting.state_dir)] if meeting is not None and ours else []
    if found and supervisor_pid(stack) is not None:
        return found
    configured = _configured()
    if configured is None:
        return found
    return [directory for directory in found if directory != configured and directory.is_dir()] + [configured]


def _configured() -> Path | None:
    try:
        paths = load_config().paths
    except LaggardError:
        return None
    return make_paths(paths.state_dir, paths.run_dir).state_dir
