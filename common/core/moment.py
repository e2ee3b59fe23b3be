"""The one way time enters the core: an instant handed in by whoever runs it."""

from typing import NamedTuple


class Moment(NamedTuple):
    """Now: the wall clock for the venue's instants, the monotonic clock for ages and deadlines."""

    wall_ns: int
    mono_ns: int


def input_age_ns(observed_ns: int, mono_ns: int, moment: Moment) -> int:
    """Age of an input: by its own stamp or since it reached us, whichever is older."""
    return max(moment.wall_ns - observed_ns, moment.mono_ns - mono_ns)
