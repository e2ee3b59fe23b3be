"""The one way time enters the core: an instant handed in by whoever runs it."""

from typing import NamedTuple


class Moment(NamedTuple):
    """Now: the wall clock for the venue's instants, the monotonic clock for ages and deadlines."""

    wall_ns: int
    mono_ns: int
