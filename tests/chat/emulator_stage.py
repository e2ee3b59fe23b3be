"""The Telegram process before telegram-test-api, a server by other hands; between them, what that one lacks.

The emulator is left as it is. ``Between`` mends those of its answers that no client of the Bot API takes, and
has our own double answer the methods it does not know; test_emulator.py holds it to exactly these faults.
"""

import asyncio
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import zmq.asyncio
from aiohttp import ClientSession, web

from commands_stage import Executor
from common.errors import CallRefused, CallTimedOut
from common.messages import Status, StatusReport
from common.runtime.calls import call
from common.runtime.clock import SystemClock
from common.runtime.credentials import write_credentials
from common.sim.telegram.bot_api import TOKEN, BotApiDouble
from common.sim.telegram.flood import FloodLimits
from common.sim.telegram.wire import Fields, read_fields

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".emulator"
LACKING = ("getChat", "setMyCommands", "sendPhoto")
"""Methods the bot uses and the emulator answers with 500; our double answers them."""
USERS = (1001, 1002, 1003, 1004, 1005, 1006)
"""Who may command: several, as each private chat gets one message a second."""
ANN, EVE = USERS[0], 6666
LIMIT_S = 20


@dataclass
class Emulator:
    """The program, and the people in it."""

    url: str
    program: asyncio.subprocess.Process
    session: ClientSession

    async def play(self, kind: str, user: int, text: str, **more: Any) -> None:
        """Somebody sends a ``command`` or ``message``, or presses (``callback``); it gets ``more`` fields."""
        line = {"kind": kind, "user": user, "name": f"user {user}", "text": text, "more": more}
        assert self.program.stdin is not None
        self.program.stdin.write(json.dumps(line).encode() + b"\n")
        await self.program.stdin.drain()

    async def ask(self, method: str, fields: Fields) -> tuple[int, Any]:
        """Its own answer to a method of the Bot API, asked with a form as clients do: status and JSON."""
        async with self.session.post(f"{self.url}/bot{TOKEN}/{method}", data=fields) as answer:
            return answer.status, await answer.json()

    async def said(self, user: int) -> list[Fields]:
        """The bot's messages to somebody as they look now, oldest first."""
        async with self.session.post(f"{self.url}/getUpdatesHistory", json={"token": TOKEN}) as answer:
            kept = (await answer.json())["result"]
        return [
            {**one["message"], "message_id": one["messageId"]}
            for one in kept
            if str(one.get("message", {}).get("chat_id")) == str(user)
        ]


@asynccontextmanager
async def emulator() -> AsyncIterator[Emulator]:
    """The emulator on a free port; skips the test where it is not installed."""
    node = shutil.which("node")
    if node is None or not (FOLDER / "node_modules/telegram-test-api").is_dir():
        pytest.skip("no Telegram emulator: bin/setup --tests installs it into .emulator with npm")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = await asyncio.create_subprocess_exec(
        node, str(ROOT / "tests/emulator/serve.cjs"), str(FOLDER), str(port), TOKEN,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with ClientSession() as session, asyncio.timeout(None) as limit:
            assert program.stdout is not None
            limit.reschedule(asyncio.get_running_loop().time() + LIMIT_S)
            assert await program.stdout.readline() == b"ready\n"
            limit.reschedule(None)
            yield Emulator(f"http://127.0.0.1:{port}", program, session)
    finally:
        if program.returncode is None:
            program.kill()
        await program.wait()


@dataclass
class Between:
    """Stands where the bot looks for Telegram."""

    emulator: Emulator
    double: BotApiDouble
    mending: bool = True
    """False: the emulator's own answers, as they are."""
    asked: list[str] = field(default_factory=list)
    url: str = ""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        app = web.Application(client_max_size=2**25)
        app.router.add_post("/bot{token}/{method}", self._serve)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield
        finally:
            await runner.cleanup()

    async def _serve(self, request: web.Request) -> web.Response:
        method = request.match_info["method"]
        self.asked.append(method)
        session = self.emulator.session
        if method in LACKING:
            kind = {"Content-Type": request.headers.get("Content-Type", "")}
            async with session.post(
                self.double.url + request.path, data=await request.read(), headers=kind
            ) as answer:
                return web.Response(
                    status=answer.status, body=await answer.read(), content_type=answer.content_type
                )
        # As JSON: what is an object in a form's JSON text it echoes as that text.
        fields = await read_fields(request)
        if method == "editMessageText":
            fields.setdefault("reply_markup", None)  # it would keep the keyboard
        async with session.post(self.emulator.url + request.path, json=fields) as answer:
            body = await answer.json()
            if self.mending:
                mended(method, fields, body)
            return web.json_response(body, status=answer.status)


def mended(method: str, fields: Fields, body: Any) -> None:
    """Make an answer of the emulator one of the Bot API, in place; why, each time.

    https://core.telegram.org/bots/api#user #message #editmessagetext
    """
    match method:
        case "getMe":
            body["result"]["is_bot"] = True  # a field every User has
        case "sendMessage":
            body["result"]["date"] //= 1000  # dates are seconds; it counts milliseconds
        case "editMessageText":
            # The edited message is answered, where it answers null.
            chat = {"id": int(fields["chat_id"]), "type": "private"}
            body["result"] = {
                "message_id": int(fields["message_id"]), "date": int(time.time()), "chat": chat,
                "text": fields["text"],
            }  # fmt: skip


@dataclass
class Stage:
    """The bot's process with everything around it."""

    emulator: Emulator
    double: BotApiDouble
    between: Between
    executor: Executor
    base: Path
    ctx: zmq.asyncio.Context

    @property
    def run_dir(self) -> Path:
        return self.base / "run"

    def log(self) -> str:
        return (self.base / "telegram.log").read_text()

    async def texts(self, user: int = ANN) -> list[str]:
        return [one["text"] for one in await self.emulator.said(user)]

    async def heard(self, user: int, *parts: str) -> bool:
        """Whether one of the bot's messages has all of these parts."""
        return any(all(part in text for part in parts) for text in await self.texts(user))

    async def until(self, condition: Callable[[], Any], limit_s: float = LIMIT_S) -> Any:
        """Wait for something true of what is awaited; returns it."""
        deadline = time.monotonic() + limit_s
        while True:
            found = condition()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return found
            assert time.monotonic() < deadline, f"waited too long; {await self.texts()}\n{self.log()[-3000:]}"
            await asyncio.sleep(0.02)

    async def status(self) -> StatusReport | None:
        try:
            found = await call(
                self.ctx, self.run_dir, "telegram", "test", Status(), clock=SystemClock(), timeout_ns=10**9
            )
        except (CallTimedOut, CallRefused):
            return None
        return found if isinstance(found, StatusReport) else None

    async def ready(self) -> StatusReport:
        async def ready() -> StatusReport | None:
            report = await self.status()
            return report if report is not None and report.state == "ready" else None

        found = await self.until(ready)
        assert isinstance(found, StatusReport)
        return found

    async def question(self, name: str, user: int = ANN) -> Fields:
        """The newest message about a command that has buttons."""

        async def newest() -> Fields | None:
            return next(
                (
                    one
                    for one in reversed(await self.emulator.said(user))
                    if one["text"].startswith(f"/{name}")
                    and (one.get("reply_markup") or {}).get("inline_keyboard")
                ),
                None,
            )

        found: Fields = await self.until(newest)
        return found

    async def press(self, user: int, shown: Fields, which: int = 0) -> None:
        """Press a button of a message; what its own client leaves out of the message is filled in."""
        await self.emulator.play(
            "callback",
            user,
            shown["reply_markup"]["inline_keyboard"][0][which]["callback_data"],
            message={"message_id": shown["message_id"], "date": int(time.time()), "text": shown["text"]},
        )


def write_config(base: Path, api_url: str) -> Path:
    """A configuration of the bot alone, with its token."""
    for directory in ("run", "state"):
        (base / directory).mkdir(mode=0o700)
    write_credentials(base / "credentials" / "telegram.json", {"token": TOKEN})
    file = base / "config.toml"
    file.write_text(
        f'[paths]\nstate_dir = "{base}/state"\nrun_dir = "{base}/run"\n'
        f'credentials_dir = "{base}/credentials"\n'
        f"[telegram]\nchat_id = {ANN}\nallowed_users = {list(USERS)}\n"
        f'api_url = "{api_url}"\npoll_s = 1\nanswer_s = 2\n'
    )
    return file


@asynccontextmanager
async def telegram_process(config: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """The process as supervisord starts it, with its output in ``telegram.log`` beside the configuration."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("LAGGARD_")}
    with (config.parent / "telegram.log").open("wb") as log:
        program = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "procs.telegram_bot",
            cwd=ROOT, env=kept | {"LAGGARD_CONFIG": str(config)}, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        yield program
    finally:
        if program.returncode is None:
            program.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(LIMIT_S):
                await program.wait()
        except TimeoutError:
            program.kill()
            await program.wait()
            raise


@asynccontextmanager
async def stage(*, mended: bool = True) -> AsyncIterator[Stage]:
    """The bot's process, the emulator, an executor; ends all of it."""
    with tempfile.TemporaryDirectory(prefix="lg-", dir="/tmp") as name:
        base = Path(name)
        double = BotApiDouble(limits=FloodLimits(private=10**6))
        for user in USERS:
            double.chats.add_user(user, f"user {user}")
        ctx = zmq.asyncio.Context()
        try:
            async with emulator() as outside:
                await double.open()
                between = Between(outside, double, mended)
                async with between.serving():
                    config = write_config(base, between.url)
                    executor = Executor(ctx, base / "run")
                    async with executor.answering(), telegram_process(config):
                        yield Stage(outside, double, between, executor, base, ctx)
        finally:
            await double.close()
            ctx.destroy(linger=0)
