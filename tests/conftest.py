"""What every test may use, and the guards: no network, no settings of the caller, no process left behind."""

import ipaddress
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SHARED_DATA = Path(__file__).resolve().parents[1] / "../shared/data"
RUN_MARK = f"TEST_RUN_MARK={os.getpid()}.{time.time_ns()}"
"""In the environment of every process this run starts, orphans included."""
LEAVE_LIMIT_S = 5


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Recorded venue data beside the checkout; a test that asks for it skips where there is none."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"recorded venue data is not part of the repository; none at {SHARED_DATA}")
    return SHARED_DATA.resolve()


@pytest.fixture
def free_port() -> int:
    """A loopback TCP port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session", autouse=True)
def _loopback_only() -> Iterator[None]:
    """Refuse every connect of this process that would leave the machine; child processes are not covered."""
    patch = pytest.MonkeyPatch()
    for name in ("connect", "connect_ex"):
        patch.setattr(socket.socket, name, _guarded(getattr(socket.socket, name)))
    patch.setattr(socket, "getaddrinfo", _guarded_lookup(socket.getaddrinfo))
    yield
    patch.undo()


@pytest.fixture(scope="session", autouse=True)
def _clean_environment() -> Iterator[None]:
    """The caller's LAGGARD_* settings decide nothing in a test."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("LAGGARD_")]:
            patch.delenv(name)
        name, _, value = RUN_MARK.partition("=")
        patch.setenv(name, value)
        yield


@pytest.fixture(autouse=True)
def _no_process_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test marked procs ends every process it started, grandchildren and orphans included (Linux)."""
    if request.node.get_closest_marker("procs") is None:
        yield
        return
    before = _started_by_us().keys()
    yield
    limit = time.monotonic() + LEAVE_LIMIT_S
    while (left := _started_by_us()).keys() - before and time.monotonic() < limit:
        time.sleep(0.02)
    leaked = {pid: command for pid, command in left.items() if pid not in before}
    for pid in leaked:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    if leaked:
        pytest.fail("left running: " + "; ".join(f"{pid} {command}" for pid, command in leaked.items()))


def _started_by_us() -> dict[int, str]:
    """Living processes, other than this one, that carry the mark of this run: pid and command line."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # A zombie has an empty environment, so it does not count.
            environment = (folder / "environ").read_bytes().split(b"\0")
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue
        if RUN_MARK.encode() in environment and folder.name != str(os.getpid()):
            found[int(folder.name)] = command
    return found


def _guarded(original: Any) -> Any:
    def connect(self: socket.socket, address: Any) -> Any:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(address[0]):
            raise RuntimeError(f"a test tried to reach {address[0]}:{address[1]}; tests stay on loopback")
        return original(self, address)

    return connect


def _guarded_lookup(original: Any) -> Any:
    def getaddrinfo(host: str | bytes | None, *arguments: Any, **options: Any) -> Any:
        text = host.decode() if isinstance(host, bytes) else host
        if text and text != "localhost" and not _is_address(text):
            raise RuntimeError(f"a test tried to look up {text}; tests stay on loopback")
        return original(host, *arguments, **options)

    return getaddrinfo


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (
        _is_address(host) and ipaddress.ip_address(host.partition("%")[0]).is_loopback
    )
