"""Somebody with a bot of his own, whose demo runs as he would run it: with nothing but his usual files."""

import asyncio
import os
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from commands_stage import ANN, new_double
from common.runtime.credentials import write_credentials
from common.sim.telegram.bot_api import BotApiDouble
from procs.cli.stack import ROOT


@dataclass
class User:
    """The user's directories, and Telegram."""

    double: BotApiDouble
    base: Path

    @property
    def config_dir(self) -> Path:
        return self.base / "config" / "laggard"

    @property
    def run_dir(self) -> Path:
        """Where this user's own laggard would meet."""
        return self.base / "runtime" / "laggard"

    @property
    def own_state(self) -> Path:
        """What this user's own laggard keeps."""
        return self.base / "state" / "laggard"

    @property
    def demo_dir(self) -> Path:
        return self.base / "demo"

    def configure(self, *, chat_id: int = ANN, token: str = "") -> None:
        """What ``laggard init`` would leave."""
        write_credentials(
            self.config_dir / "credentials" / "telegram.json", {"token": token or self.double.token}
        )
        (self.config_dir / "config.toml").write_text(
            f'[telegram]\nrequired = true\nchat_id = {chat_id}\napi_url = "{self.double.url}"\npoll_s = 1\n'
        )

    async def demo(self, *options: str) -> Process:
        """Start ``bin/demo --telegram``."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("LAGGARD_", "XDG_"))
        }
        places = {f"XDG_{kind.upper()}_HOME": str(self.base / kind) for kind in ("config", "state")}
        return await asyncio.create_subprocess_exec(
            *(
                sys.executable,
                "-P",
                "-m",
                "procs.cli.demo",
                "--telegram",
                "--state",
                str(self.demo_dir),
                *options,
            ),
            cwd=ROOT,
            env={**kept, **places, "XDG_RUNTIME_DIR": str(self.base / "runtime")},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            start_new_session=True,
        )

    async def refused(self, *options: str) -> tuple[int, str, float]:
        """A demo that does not start: exit code, what it says and after how many seconds."""
        began = time.monotonic()
        process = await self.demo(*options)
        try:
            out, err = await asyncio.wait_for(process.communicate(), 20)
        except TimeoutError:
            process.terminate()
            await process.wait()
            raise
        assert out == b""
        assert process.returncode is not None
        return process.returncode, err.decode(), time.monotonic() - began


@asynccontextmanager
async def user(tmp_path: Path) -> AsyncIterator[User]:
    """Somebody, and the Bot API double in place of Telegram."""
    double = new_double()
    await double.open()
    (tmp_path / "runtime").mkdir(mode=0o700)
    try:
        yield User(double, tmp_path)
    finally:
        await double.close()
