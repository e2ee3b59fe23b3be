"""A bar on stderr for work that takes long: drawn on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from procs.cli.manner import manner
from procs.cli.show import console, progress

LINE_EVERY_S = 5.0
"""Where nobody watches a bar move, a log is written now and then."""


@contextmanager
def advance(what: str) -> Iterator[Callable[[int, int], None]]:
    """Call what it gives with how much of how much is done."""
    if manner().quiet:
        yield lambda _done, _total: None
    elif sys.stderr.isatty():
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console(stderr=True), transient=True) as bar:
            task = bar.add_task(what, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
    else:
        yield _lines(what)


def _lines(what: str) -> Callable[[int, int], None]:
    last = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= LINE_EVERY_S:
            last = time.monotonic()
            progress(f"{what}: {done} of {total}")

    return tell
