"""The process that is the simulated venue: settings in, loopback servers up, clean end on SIGTERM.

Decides nothing; ``LAGGARD_SIM`` names its JSON settings file.
"""

import asyncio
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from common.errors import EXIT_OK, ConfigError, LaggardError
from common.runtime.shell import die_with_parent
from common.sim.generated import generated_script
from common.sim.recorded.recordings import recording_script
from common.sim.script import Script
from common.sim.server import Venue
from common.sim.settings import SimSettings, load_settings

log = logging.getLogger("venue")


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {"ts_ns": time.time_ns(), "level": record.levelname.lower(), "event": record.getMessage()}
        return json.dumps(line | {"where": record.name})


def settings_from_environment() -> SimSettings:
    """The settings ``LAGGARD_SIM`` names; raises ConfigError when it is unset or the file is unusable."""
    path = os.environ.get("LAGGARD_SIM", "")
    if not path:
        raise ConfigError(["LAGGARD_SIM is not set; point it to the JSON settings of the simulated venue"])
    return load_settings(Path(path))


def script_of(settings: SimSettings, now_ns: int) -> Script:
    """The script these settings ask for."""
    if settings.mode == "recording":
        return recording_script(
            Path(settings.path),
            settings.speed,
            now_ns if settings.starts_at_ns is None else settings.starts_at_ns,
            seconds=settings.seconds,
            book_lag_s=settings.book_lag_s,
        )
    return generated_script(settings, now_ns)


async def serve(settings: SimSettings) -> None:
    """Run the venue until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    venue = Venue(settings, script_of(settings, time.time_ns()))
    await venue.open()
    try:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(venue.run())
            await stop.wait()
            running.cancel()
    finally:
        await venue.close()
    log.info("stopped on request")


def main() -> int:
    """Run the process and return its exit code."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    code = EXIT_OK
    try:
        asyncio.run(serve(settings_from_environment()))
    except* LaggardError as group:
        for error in _leaves(group):
            log.error("%s", error)
            code = error.exit_code
    return code


def _leaves(group: BaseExceptionGroup[LaggardError]) -> Iterator[LaggardError]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


if __name__ == "__main__":
    die_with_parent(signal.SIGKILL, os.getppid())
    sys.exit(main())
