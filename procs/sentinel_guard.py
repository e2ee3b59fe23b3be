"""Who watches the sentinel: a child of it that ends it when it stands still, stopped by a signal included.

supervisord then starts it again. The child is a fork from before the sentinel has threads or sockets; it
waits on one pipe and dies with its parent. Never looks at anything else.
"""

import contextlib
import os
import select
import signal

from common.errors import EXIT_OK
from common.runtime.shell import die_with_parent

LIMIT_S = 8.0
"""Between two signs of life; the sentinel gives several a second."""
FIRST_S = 20.0
"""Until the first one: the sentinel may be waiting for its turn on a busy machine."""


class Guard:
    """The sentinel's end of the pipe."""

    def __init__(self, pid: int, pipe: int) -> None:
        self.pid = pid
        self._pipe = pipe

    def beat(self) -> None:
        """Give a sign of life; harmless when the child is gone or has not read the last ones."""
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(self._pipe, b".")


def start_guard(limit_s: float = LIMIT_S, first_s: float = FIRST_S) -> Guard:
    """Fork the child; call it before any thread, socket or lock exists."""
    parent = os.getpid()
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            die_with_parent(signal.SIGKILL, parent)
            os.close(write_end)
            # supervisord must see these pipes close when the sentinel ends.
            os.closerange(0, 2)
            watch(parent, read_end, limit_s, first_s)
        finally:
            os._exit(EXIT_OK)
    os.close(read_end)
    os.set_blocking(write_end, False)
    return Guard(pid, write_end)


def watch(parent: int, pipe: int, limit_s: float, first_s: float) -> None:
    """Kill the parent once its pipe stays mute for longer than it may; return when it closes."""
    wait_s = first_s
    while True:
        readable, _, _ = select.select([pipe], [], [], wait_s)
        if not readable:
            os.kill(parent, signal.SIGKILL)
            return
        if not os.read(pipe, 4096):
            return
        wait_s = limit_s
