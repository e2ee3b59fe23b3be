"""One process per role: an exclusive lock that the kernel releases when its holder dies."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.errors import DependencyMissing


@contextmanager
def hold_role(run_dir: Path, role: str) -> Iterator[None]:
    """Be the only ``role`` of this run directory; raises DependencyMissing when another one lives."""
    path = run_dir / f"{role}.lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise DependencyMissing(
            f"cannot open the lock file {path}: {error.strerror}; check the directory"
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            raise DependencyMissing(
                f"another {role} is running (pid {holder}); stop it with "
                f"`supervisorctl -c supervisord.conf stop {role}` or `laggard down`"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)
