"""The live account beside a loop that must not stand still, and a channel that is silent but lives."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
import structlog

from common.core.order_events import (
    Event,
    HoldAsked,
)
from common.runtime.clock import SystemClock
from common.runtime.config import load_config
from common.runtime.paths import make_paths
from common.runtime.shell import Process
from executor_stage import ROOT, until
from live_stage import LiveStage, live_stage
from procs import live_account
from procs.live_account import LiveAccount, make_account

CONNECT = """
import asyncio, builtins, json, sys, threading, time
from pathlib import Path
import ssl, structlog
from common.runtime import credentials, trading_key
from common.runtime.clock import SystemClock
from common.runtime.config import load_config
from common.runtime.paths import make_paths
from common.runtime.shell import Process
from procs import live_account
found = {"imported": [], "contexts": [], "key": 0}
main = threading.main_thread()

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name in ("polymarket", "common.venue.live", "h11"):
            found["imported"].append(threading.current_thread() is main)

sys.meta_path.insert(0, Watch())
real_context, real_bytes = ssl.create_default_context, credentials.private_bytes

def context(*arguments, **options):
    found["contexts"].append(threading.current_thread() is main)
    return real_context(*arguments, **options)

def private_bytes(file):
    found["key"] += file.name == "trading.json"
    return real_bytes(file)

ssl.create_default_context, credentials.private_bytes = context, private_bytes

async def body():
    loop, gaps = asyncio.get_running_loop(), []

    async def beat():
        last = loop.time()
        while True:
            await asyncio.sleep(0.001)
            gaps.append(loop.time() - last)
            last = loop.time()

    config = load_config()
    paths = make_paths(config.paths.state_dir, config.paths.run_dir, config.paths.credentials_dir)
    async with asyncio.TaskGroup() as group:
        process = Process(
            role="executor", config=config, paths=paths, clock=SystemClock(), log=structlog.get_logger(),
            ctx=None, publisher=None, responder=None, stopping=asyncio.Event(), group=group,
        )
        live = live_account.make_account(process)
        beating = group.create_task(beat())
        await asyncio.sleep(0.02)
        gaps.clear()
        began = loop.time()
        await live.connect()
        found["took"] = loop.time() - began
        await asyncio.sleep(0.01)
        found["gap"] = max(gaps)
        found["kept"] = live.private_key is not None
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
    print(json.dumps(found))

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
asyncio.run(body())
"""


def credentials_in(directory: Path) -> None:
    directory.mkdir(mode=0o700)
    clob = {"api_key": "a", "secret": "c2VjcmV0", "passphrase": "p"}
    for name, values in {"trading": {"private_key": "0x" + "5a" * 32}, "clob": clob}.items():
        (directory / f"{name}.json").touch(mode=0o600)
        (directory / f"{name}.json").write_text(json.dumps(values))


@pytest.mark.procs
@pytest.mark.live
def test_the_loop_goes_on_while_the_account_is_connected_and_the_key_is_read_once(tmp_path: Path) -> None:
    credentials_in(tmp_path / "credentials")
    (tmp_path / "empty.toml").touch()
    done = subprocess.run(
        [sys.executable, "-P", "-c", CONNECT],
        cwd=ROOT,
        env=os.environ
        | {
            "LAGGARD_CONFIG": str(tmp_path / "empty.toml"),
            "LAGGARD_MODE": "live",
            "LAGGARD_WALLET__KIND": "eoa",
            "LAGGARD_PATHS__CREDENTIALS_DIR": str(tmp_path / "credentials"),
            "LAGGARD_STATE_DIR": str(tmp_path / "state"),
            "LAGGARD_RUN_DIR": str(tmp_path / "run"),
            "LAGGARD_VENUE__CLOB_URL": "https://127.0.0.1:1",
        },
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    found = json.loads(done.stdout)
    assert len(found["imported"]) == 3
    assert len(found["contexts"]) > 5
    assert not any(found["imported"] + found["contexts"]), "on the loop"
    # The import alone is more than half of it, the certificates are a quarter.
    assert found["gap"] < found["took"] / 6, found
    assert (found["key"], found["kept"]) == (1, False)


@dataclass
class Told:
    """A desk that keeps what it is told."""

    events: list[Event] = field(default_factory=list)
    read_anew: int = 0

    def tell(self, event: Event) -> None:
        self.events.append(event)

    def catch_up(self) -> None:
        self.read_anew += 1

    def is_ours(self, _order_id: str) -> bool:
        return False

    def holds(self, name: str) -> list[str]:
        return [one.reason for one in self.events if isinstance(one, HoldAsked) and one.name == name]


@asynccontextmanager
async def account(live: LiveStage) -> AsyncIterator[LiveAccount]:
    """The account in this process, connected."""
    environment = {"LAGGARD_CONFIG": "", **live.on.environment}
    config = load_config(None, environment)
    paths = make_paths(config.paths.state_dir, config.paths.run_dir, config.paths.credentials_dir)
    nothing = cast("Any", None)
    async with asyncio.TaskGroup() as group:
        process = Process(
            role="executor",
            config=config,
            paths=paths,
            clock=SystemClock(),
            log=structlog.get_logger(),
            ctx=nothing,
            publisher=nothing,
            responder=nothing,
            stopping=asyncio.Event(),
            group=group,
        )
        before = asyncio.all_tasks()
        made = make_account(process)
        await made.connect()
        try:
            yield made
        finally:
            assert made.client is not None
            await made.client.close()
            for task in asyncio.all_tasks() - before:
                task.cancel()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pings many times a second, and doors that stay as they are: this process runs other tests too."""
    monkeypatch.setattr(live_account, "user_link", partial(live_account.user_link, ping_s=0.02))
    monkeypatch.setattr(live_account, "close_doors", lambda: None)


@pytest.mark.usefixtures("quick")
def test_a_silent_channel_that_lives_is_not_shown_as_old() -> None:
    async def play() -> None:
        async with live_stage() as live, account(live) as one:
            desk = Told()
            one.process.spawn(one.hear(cast("Any", desk)), name="account")
            await until(lambda: desk.read_anew)
            age = one.process.ages["user channel"]
            for _ in range(3):
                touched_ns = age.touched_ns
                await until(lambda since=touched_ns: age.touched_ns > since)
            assert desk.events == []
            assert one.channel == ""

    asyncio.run(play())


@pytest.mark.usefixtures("quick")
def test_a_channel_that_refuses_us_lets_the_credentials_be_looked_into() -> None:
    """The venue only ends the connection: whether it is the credentials is for a signed request to tell."""

    async def play() -> None:
        async with live_stage() as live, account(live) as one:
            known = dict(live.venue.api_keys)
            live.venue.api_keys.clear()
            desk = Told()
            one.process.spawn(one.hear(cast("Any", desk)), name="account")
            began = time.monotonic()
            await until(lambda: desk.read_anew, limit_s=20)
            assert time.monotonic() - began < live_account.LONGEST_PAUSE_S
            assert any("right after our credentials" in why for why in desk.holds("account"))
            assert desk.holds("credentials") == ["the venue refuses our API credentials", ""]
            assert live.venue.api_keys == known, "the simulated venue makes the same ones again"

    asyncio.run(play())
