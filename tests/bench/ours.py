"""This project as a contender: its real processes with the live adapter, on a configuration of one route.

What is not timed (listings, account, chain, user channel) is answered by the simulated venue in a process of
its own, and Telegram by its double in another; oracle, books and orders are the world's.
"""

import asyncio
import select
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import zmq.asyncio
from bench.chat import ANN, BOB, PREPARED_S
from bench.contender import Contender, Sitting, Started, end, spawn, tell

from common.errors import CallRefused, CallTimedOut
from common.messages import AccountReport, Command, ReadAccount, Status, StatusReport, Why, WhyReport
from common.runtime.calls import call_all
from common.runtime.clock import SystemClock
from common.runtime.credentials import Secret, write_credentials
from common.sim.telegram.bot_api import TOKEN
from common.venue.signing.order_signature import Signer

KEY = "0x" + "5a" * 32
"""Worth nothing anywhere."""
ROLES = (
    ("executor", "procs.executor", ()),
    ("strategist", "procs.strategist", ()),
    ("recorder", "procs.recorder", ()),
    ("oracle-rtds", "procs.oracle", ("rtds",)),
    ("books", "procs.books", ()),
    ("telegram", "procs.telegram_bot", ()),
)
GATES_OF_THE_TICK = {"move", "book", "ask"}
"""What only a firing tick can open: which book is judged depends on the direction."""
START_S = 20.0


def configuration(sitting: Sitting, signer: str, credentials_dir: Path, api_url: str) -> str:
    """One oracle route, sixteen windows, limits that are never reached."""
    world, back = sitting.plan.listen, f"127.0.0.1:{sitting.plan.back_port}"
    return f"""
mode = "live"
[evidence]
waiver = "No real money: the venue of the bench is simulated."
[wallet]
kind = "eoa"
address = "{signer}"
[markets]
cadence = "15m"
poll_s = 2
[venue]
rtds_url = "ws://{world}/rtds"
clob_ws_url = "ws://{world}/ws/market"
clob_url = "http://{world}/clob"
gamma_url = "http://{back}/gamma"
data_url = "http://{back}/data"
clob_user_ws_url = "ws://{back}/ws/user"
geoblock_url = "http://{back}/geoblock"
chain_rpc_urls = ["http://{back}/chain"]
[paths]
credentials_dir = "{credentials_dir}"
[oracles]
routes = ["rtds"]
kinds = ["spot"]
watched = ["spot"]
[risk]
max_orders_per_minute = 1000
[telegram]
allowed_users = [{ANN}, {BOB}]
api_url = "{api_url}"
answer_s = 1
"""


def start_ours(sitting: Sitting) -> Started:
    """Every process that trades; supervisord and the commands are left out."""
    state_dir = sitting.directory / "state"
    state_dir.mkdir(mode=0o700)
    # Sockets need a short path.
    run_dir = Path(tempfile.mkdtemp(prefix="lg-"))
    credentials_dir = state_dir / "credentials"
    write_credentials(credentials_dir / "trading.json", {"private_key": KEY})
    write_credentials(credentials_dir / "telegram.json", {"token": TOKEN})
    chat = spawn(sitting, "chat", "bench.chat", str(run_dir), str(state_dir / "outbox.sqlite"))
    config_file = state_dir / "bench.toml"
    try:
        api_url = heard(chat, sitting, START_S)
    except BaseException:
        end(chat)
        raise
    config_file.write_text(configuration(sitting, Signer(Secret(KEY)).address, credentials_dir, api_url))
    environment = {
        "LAGGARD_CONFIG": str(config_file),
        "LAGGARD_STATE_DIR": str(state_dir),
        "LAGGARD_RUN_DIR": str(run_dir),
    }
    processes = [
        spawn(sitting, name, module, *arguments, environment=environment) for name, module, arguments in ROLES
    ]
    windows = {window.slug for window in sitting.plan.windows}
    ready, close = asked_of(run_dir, windows)

    def clean_up() -> None:
        close()
        shutil.rmtree(run_dir, ignore_errors=True)

    return Started(processes, ready, tell=partial(tell_chat, chat, sitting), around=[chat], clean_up=clean_up)


def tell_chat(chat: "subprocess.Popen[bytes]", sitting: Sitting, line: str) -> dict[str, int]:
    """Let the chat hang or reports be wanted, or not any more; what has come of it by then."""
    tell(chat, line)
    came: dict[str, int] = heard(chat, sitting, PREPARED_S + START_S)
    return came


def heard(chat: "subprocess.Popen[bytes]", sitting: Sitting, limit_s: float) -> Any:
    """The next line of the process around our Telegram process."""
    assert chat.stdout is not None
    line = chat.stdout.readline() if select.select([chat.stdout], [], [], limit_s)[0] else b""
    if not line:
        log = (sitting.directory / "chat.log").read_text(errors="replace")
        raise RuntimeError(f"the double of Telegram has said nothing: {log[-2000:]}")
    return msgspec.json.decode(line)


def asked_of(run_dir: Path, windows: set[str]) -> tuple[Callable[[], str], Callable[[], None]]:
    """Asks strategist, executor and Telegram process what still stands in the way; lets go of the sockets."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    ctx = zmq.asyncio.Context()

    async def ask() -> str:
        questions: dict[str, Command] = {"strategist": Why(), "executor": ReadAccount(), "telegram": Status()}
        answers = await call_all(
            ctx, run_dir, "bench", questions, clock=SystemClock(), timeout_ns=500_000_000
        )
        why, account, chat = answers["strategist"], answers["executor"], answers["telegram"]
        if isinstance(why, CallTimedOut | CallRefused) or isinstance(account, CallTimedOut | CallRefused):
            return f"strategist: {why!s:.80}; executor: {account!s:.80}"
        assert isinstance(why, WhyReport)
        assert isinstance(account, AccountReport)
        if account.posture.posture != "trading":
            return f"the posture is {account.posture.posture}: {account.posture.reason}"
        if not isinstance(chat, StatusReport) or chat.state != "ready":
            detail = chat.detail if isinstance(chat, StatusReport) else str(chat)
            return f"the Telegram process: {detail:.80}"
        newest = {verdict.window: verdict for verdict in why.verdicts}
        if missing := windows - newest.keys():
            return f"{len(missing)} windows are not known yet"
        for name in windows:
            closed = [
                f"{gate.name}: {gate.value}"
                for gate in newest[name].gates
                if not gate.passed and gate.name not in GATES_OF_THE_TICK
            ]
            if closed:
                return f"{name}: {closed[0]}"
        return ""

    def ready() -> str:
        return asyncio.run_coroutine_threadsafe(ask(), loop).result(timeout=5)

    def close() -> None:
        loop.call_soon_threadsafe(lambda: ctx.destroy(linger=0))
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=5)
        loop.close()

    return ready, close


OURS = Contender("ours", start_ours, "laggard: its processes with the live adapter", needs_venue=True)
