"""A real process of laggard with a trap in it: ``python -m tests.procs.hanging_process procs.books``.

The module named on the command line runs as it is. Once a file ``trap.<role>`` appears in the run directory,
the process breaks in the way the file says, once, and forgets it with its death; a repairable trap is undone
when the file is taken away again.
"""

import asyncio
import importlib
import os
import runpy
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from common.errors import CallRefused
from common.messages import SCHEMA, Canary, Envelope, Submit
from common.runtime import canary_way, publisher, shell
from common.runtime.publisher import Publisher
from common.runtime.responder import Handler, Responder
from common.runtime.subscriber import Deliver, Subscriber

SLOW_S = 4.0
trap = ""
"""What is broken now; the hanging shapes never get as far as to be undone."""


def busy() -> None:
    while True:
        pass


def deadlock() -> None:
    lock = threading.Lock()
    with lock:
        lock.acquire()


def blocked_write() -> None:
    """As a log or a journal whose disk does not answer: the write never returns."""
    _, full = os.pipe()
    while True:
        os.write(full, bytes(1 << 16))


def c_hang() -> None:
    """C code that holds the interpreter lock: no thread of Python and no signal handler runs meanwhile."""
    sum(range(10**14))


HANGS = {"busy loop": busy, "deadlock": deadlock, "blocked write": blocked_write, "hang in C": c_hang}


async def with_trap(process: shell.Process, body: shell.Body) -> None:
    process.spawn(watch_for(process.run_dir / f"trap.{process.role}"), name="trap")
    await body(process)


async def watch_for(file: Path) -> None:
    while True:
        await asyncio.sleep(0.02)
        look_at(file)


def look_at(file: Path) -> None:
    global trap  # noqa: PLW0603 - one trap a process
    asked = file.read_text() if file.exists() else ""
    if asked in HANGS:
        file.unlink()
        HANGS[asked]()
    trap = asked
    publisher.__dict__["SCHEMA"] = SCHEMA + 1 if trap == "schema" else SCHEMA


def break_the_way() -> None:
    """Let every hop drop, delay or mislabel what it carries while its trap says so."""
    attend, on, send = Subscriber.attend, Responder.on, Publisher.publish
    tell = canary_way.tell

    async def attend_in_trap(self: Subscriber, deliver: Deliver) -> None:
        def deliver_in_trap(envelopes: list[Envelope]) -> None:
            what, _, source = trap.partition(" ")
            held = [each for each in envelopes if what in ("drop", "slow") and source in ("", each.source)]
            if what == "slow" and held:
                asyncio.get_running_loop().call_later(SLOW_S, deliver, held)
            kept = [each for each in envelopes if each not in held] if held else envelopes
            if kept:
                deliver(kept)

        await attend(self, deliver_in_trap)

    def on_in_trap(self: Responder, command: type, handler: Handler) -> None:
        async def answer(asked: Any, request: Any) -> Any:
            if trap == "drop":
                raise CallRefused("dropped", "the trap took it")
            await asyncio.sleep(SLOW_S)
            answered = handler(asked, request)
            return await answered if isinstance(answered, Awaitable) else answered

        def handle(asked: Any, request: Any) -> Any:
            return answer(asked, request) if trap in ("drop", "slow") else handler(asked, request)

        on(self, command, handle if command in (Submit, Canary) else handler)

    def publish_in_trap(self: Publisher, topic: str, *rest: Any, **more: Any) -> Envelope:
        wrong = trap == "topic" and topic.startswith("canary.")
        return send(self, f"lost.{topic}" if wrong else topic, *rest, **more)

    def tell_in_trap(process: shell.Process, canary: Canary, cause: str = "") -> None:
        if trap != "mute":
            tell(process, canary, cause)

    Subscriber.attend = attend_in_trap  # type: ignore[method-assign]
    Responder.on = on_in_trap  # type: ignore[method-assign]
    Publisher.publish = publish_in_trap  # type: ignore[method-assign]
    canary_way.tell = tell_in_trap


def main() -> None:
    run: Callable[..., Any] = shell.run

    def run_with_trap(role: str, body: shell.Body, **options: Any) -> None:
        run(role, lambda process: with_trap(process, body), **options)

    shell.run = run_with_trap  # type: ignore[assignment]
    break_the_way()
    module, *arguments = sys.argv[1:]
    importlib.import_module(module.rpartition(".")[0])
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__")


if __name__ == "__main__":
    main()
