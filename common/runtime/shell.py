"""The shell of every process: configuration, lock, sockets, heartbeat, guards and exit codes around one body.

It decides nothing about trading. A process that cannot go on ends with the code that says why, and the
supervisor starts it again; start-up is recovery.
"""

import asyncio
import ctypes
import faulthandler
import gc
import os
import signal
import sys
import traceback
from collections.abc import Awaitable, Callable, Collection, Coroutine
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TextIO

import zmq
import zmq.asyncio

from common.errors import EXIT_OK, ConfigError, DependencyMissing, LaggardError
from common.messages import (
    Heartbeat,
    ProcessState,
    SourceCount,
    Status,
    StatusReport,
    TakeSnapshot,
)
from common.runtime import log as logs
from common.runtime.clock import Clock, SystemClock
from common.runtime.config import Config, load_config
from common.runtime.cores import settle_on_cores
from common.runtime.lock import hold_role
from common.runtime.paths import Paths, make_paths, prepare
from common.runtime.publisher import Publisher
from common.runtime.responder import Responder
from common.runtime.subscriber import Subscriber
from common.runtime.trading_key import refuse_in_environment

HEARTBEAT_S = 0.2
HANG_LIMIT_S = 8.0
STOP_GRACE_S = 1.8
"""For a body to end by itself after SIGTERM, orders in flight included; then it is cancelled."""
_PR_SET_PDEATHSIG = 1


@dataclass(slots=True)
class Age:
    """When an input last brought data; its limit is for display and for whoever asks."""

    limit_ns: int
    clock: Clock
    touched_ns: int

    def touch(self) -> None:
        """Data arrived now; call this in the data path and nowhere else."""
        self.touched_ns = self.clock.mono_ns()

    def age_ns(self) -> int:
        """Nanoseconds since the last data, or since the start when there was none."""
        return self.clock.mono_ns() - self.touched_ns

    def stale(self) -> bool:
        """Whether the input has been silent longer than its limit."""
        return self.age_ns() > self.limit_ns


@dataclass(slots=True)
class Process:
    """What a body gets to work with."""

    role: str
    config: Config
    paths: Paths
    clock: Clock
    log: logs.Logger
    ctx: zmq.asyncio.Context
    publisher: Publisher
    responder: Responder
    stopping: asyncio.Event
    group: asyncio.TaskGroup
    state: ProcessState = "starting"
    detail: str = ""
    counters: dict[str, int] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    ages: dict[str, Age] = field(default_factory=dict)
    subscribers: list[Subscriber] = field(default_factory=list)
    started_ns: int = 0

    @property
    def boot(self) -> str:
        """Random per start."""
        return self.publisher.boot

    @property
    def run_dir(self) -> Path:
        """Where the sockets are."""
        return self.paths.run_dir

    def subscribe(self, *sources: str, urgent: Collection[str] = ()) -> Subscriber:
        """Hear these processes, the urgent ones first; their numbering is shown in this process's status."""
        subscriber = Subscriber(self.ctx, self.run_dir, self.role, sources, self.clock, urgent=urgent)
        self.subscribers.append(subscriber)
        return subscriber

    def watch(self, name: str, limit_ns: int) -> Age:
        """Show the age of an input in status and heartbeat."""
        age = Age(limit_ns, self.clock, self.clock.mono_ns())
        self.ages[name] = age
        return age

    def count(self, name: str, by: int = 1) -> None:
        """Add to a counter of the status."""
        self.counters[name] = self.counters.get(name, 0) + by

    def set_count(self, name: str, value: int) -> None:
        """Set a counter of the status."""
        self.counters[name] = value

    def set_state(self, state: ProcessState, detail: str = "") -> None:
        """Say how this process is; logged when it changes."""
        if (state, detail) != (self.state, self.detail):
            self.log.info("state", state=state, detail=detail)
        self.state, self.detail = state, detail

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run a task in the process's group: its failure ends the process."""
        self.group.create_task(work, name=name)

    def keep_warm(self, rehearse: Callable[[], None]) -> None:
        """Run the way from tick to order on made-up input every few milliseconds, where that is configured.

        At a few ticks a second it goes cold, and takes longer. ``rehearse`` has no effect, and one that fails
        ends the rehearsals and nothing else.
        """
        if self.config.mode == "live" and self.config.speed.keep_warm_ms:
            self.spawn(self._rehearse(self.config.speed.keep_warm_ms / 1000, rehearse), name="keep warm")

    async def _rehearse(self, every_s: float, rehearse: Callable[[], None]) -> None:
        try:
            await _each(every_s, rehearse)
        except Exception as error:  # noqa: BLE001 - only speed is lost
            self.count("rehearsals_failed")
            stack = "".join(traceback.format_exception(error))
            self.log.error("rehearsals_ended", problem=f"{type(error).__name__}: {error}", stack=stack)

    def report(self) -> StatusReport:
        """The answer to Status."""
        counts: tuple[SourceCount, ...] = ()
        for subscriber in self.subscribers:
            counts += subscriber.counts()
        return StatusReport(
            role=self.role,
            pid=os.getpid(),
            boot=self.boot,
            state=self.state,
            detail=self.detail,
            uptime_ms=(self.clock.mono_ns() - self.started_ns) // 1_000_000,
            published=self.publisher.seq,
            sources=counts,
            ages_ms=self._ages_ms(),
            counters=dict(self.counters),
            facts=dict(self.facts),
        )

    def heartbeat(self) -> Heartbeat:
        """The sign of life."""
        return Heartbeat(
            role=self.role,
            pid=os.getpid(),
            state=self.state,
            detail=self.detail,
            ages_ms=self._ages_ms(),
            counters=dict(self.counters),
        )

    def _ages_ms(self) -> dict[str, int]:
        return {name: age.age_ns() // 1_000_000 for name, age in self.ages.items()}


async def _each(every_s: float, work: Callable[[], None]) -> None:
    """Call something every so often, without a task being woken for it; raises what it raises."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def turn() -> None:
        if ended.done():
            return  # cancelled: the process is stopping
        try:
            work()
        except Exception as error:  # noqa: BLE001 - raised by whoever waits
            ended.set_exception(error)
        else:
            loop.call_later(every_s, turn)

    loop.call_later(every_s, turn)
    await ended


Body = Callable[[Process], Awaitable[None]]


def run(
    role: str,
    body: Body,
    *,
    log_stream: TextIO | None = None,
    death_signal: int = signal.SIGKILL,
    hang_limit_s: float = HANG_LIMIT_S,
) -> NoReturn:
    """Be the process ``role``: never returns, exits with the code of design §9.

    ``death_signal`` is what the kernel sends when supervisord dies. Logs go to ``log_stream`` (stdout).
    """
    parent = os.getppid()
    os.umask(0o077)
    stream = log_stream or sys.stdout
    die_with_parent(death_signal, parent)
    faulthandler.enable(stream)
    faulthandler.register(signal.SIGUSR1, file=stream, all_threads=True)
    # A start can hang too; the heartbeat takes this over.
    faulthandler.dump_traceback_later(HANG_LIMIT_S, exit=True)
    try:
        refuse_in_environment(os.environ)
        config = load_config()
        paths = make_paths(config.paths.state_dir, config.paths.run_dir, config.paths.credentials_dir)
        prepare(paths)
        if config.mode == "live" and config.speed.pin:
            settle_on_cores(role)
        logger = logs.configure(role, "starting", config.log.level, stream)
        with ExitStack() as held:
            held.enter_context(hold_role(paths.run_dir, role))
            code = asyncio.run(_live(role, body, config, paths, stream, hang_limit_s))
    except ConfigError as error:
        logger = logs.configure(role, "none", stream=stream)
        for problem in error.problems:
            logger.error("configuration_wrong", problem=problem)
        code = error.exit_code
    except LaggardError as error:
        logger = logs.configure(role, "none", stream=stream)
        logger.error("cannot_start", problem=str(error))
        code = error.exit_code
    except Exception as error:  # noqa: BLE001 - the outermost frame
        code = _failed(BaseExceptionGroup("start", [error]), logs.configure(role, "none", stream=stream))
    stream.flush()
    # No interpreter shutdown: a thread stuck in a request must not keep a stopped process alive.
    os._exit(code)


async def _live(
    role: str, body: Body, config: Config, paths: Paths, stream: TextIO, hang_limit_s: float
) -> int:
    clock = SystemClock()
    ctx = zmq.asyncio.Context(1)
    try:
        publisher = Publisher(ctx, paths.run_dir, role, clock)
        responder = Responder(ctx, paths.run_dir, role, clock)
    except zmq.ZMQError as error:
        raise DependencyMissing(
            f"cannot bind the sockets of {role} in {paths.run_dir}: {error}; remove what is in the way"
        ) from error
    logger = logs.configure(role, publisher.boot, config.log.level, stream)
    logger.info("started", pid=os.getpid())
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    code = EXIT_OK
    try:
        async with asyncio.TaskGroup() as group:
            process = Process(
                role, config, paths, clock, logger, ctx, publisher, responder, stopping, group,
                started_ns=clock.mono_ns(),
            )  # fmt: skip
            _dump_on_request(process, stream)
            responder.on(Status, lambda _command, _request: process.report())
            responder.on(TakeSnapshot, lambda _command, _request: publisher.snapshot())
            services = [
                group.create_task(publisher.run(), name="republish"),
                group.create_task(responder.run(), name="answers"),
                group.create_task(_beat(process, hang_limit_s), name="heartbeat"),
            ]
            work = group.create_task(_body(body, process), name="body")
            stop = group.create_task(stopping.wait(), name="stop")
            await asyncio.wait((work, stop), return_when=asyncio.FIRST_COMPLETED)
            process.set_state("stopping", process.detail)
            stopping.set()
            await asyncio.wait((work,), timeout=STOP_GRACE_S)
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                if task not in services:
                    task.cancel()
            for task in services:
                task.cancel()
    except BaseExceptionGroup as failures:
        code = _failed(failures, logger)
    logger.info("ended", code=code)
    return code


async def _body(body: Body, process: Process) -> None:
    # Everything imported and built so far stays: collections need not walk it in the data path. Importing
    # leaves next to no garbage, so a collection before would only lengthen a restart.
    gc.freeze()
    await body(process)


async def _beat(process: Process, hang_limit_s: float) -> None:
    """Heartbeat, and the loop guard: a loop stuck for long dumps every stack and ends, even inside C."""
    while True:
        faulthandler.dump_traceback_later(hang_limit_s, exit=True)
        process.publisher.publish(f"health.{process.role}", process.heartbeat())
        await asyncio.sleep(HEARTBEAT_S)


def _dump_on_request(process: Process, stream: TextIO) -> None:
    """SIGUSR1: every thread's stack at once, even of a stuck loop; then state and tasks."""

    def say() -> None:
        report = process.report()
        process.log.info(
            "stacks",
            state=report.state,
            detail=report.detail,
            ages_ms=report.ages_ms,
            counters=report.counters,
            tasks=[_waiting_at(task) for task in asyncio.all_tasks()],
        )

    # The dump must be registered last: it calls whoever had the signal before it.
    faulthandler.unregister(signal.SIGUSR1)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, say)
    faulthandler.register(signal.SIGUSR1, file=stream, all_threads=True, chain=True)


def _waiting_at(task: "asyncio.Task[Any]") -> str:
    """Where a task waits, outermost first; a task itself only knows its outermost frame."""
    places = []
    inner: Any = task.get_coro()
    while (frame := getattr(inner, "cr_frame", None)) is not None:
        places.append(f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}")
        inner = inner.cr_await
    return f"{task.get_name()}: {', '.join(places)}"


def _failed(failures: BaseExceptionGroup[BaseException], logger: logs.Logger) -> int:
    """Log each failure once; the exit code of the first that has one."""
    code = EXIT_OK
    for failure in _leaves(failures):
        if isinstance(failure, asyncio.CancelledError):
            continue
        if isinstance(failure, LaggardError):
            logger.error("ended_by", problem=str(failure), kind=type(failure).__name__)
            code = code or failure.exit_code
        else:
            logger.error(
                "unhandled_exception",
                problem=f"{type(failure).__name__}: {failure}",
                stack="".join(traceback.format_exception(failure)),
            )
            code = code or 1
    return code


def _leaves(failure: BaseException) -> list[BaseException]:
    if isinstance(failure, BaseExceptionGroup):
        return [leaf for inner in failure.exceptions for leaf in _leaves(inner)]
    return [failure]


def die_with_parent(death_signal: int, parent: int) -> None:
    """On Linux let the kernel end this process with its parent; elsewhere the lock alone guards."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, death_signal)
    # The parent may have died before the request was made.
    if os.getppid() != parent:
        os._exit(EXIT_OK)
