"""Planted keys are found nowhere but where they belong: real processes, a real start, a real death."""

import base64
import copy
import gzip
import io
import json
import logging
import os
import pickle
import pprint
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
import requests
import structlog
from eth_account import Account

from canaries import Finder
from common.errors import LaggardError
from common.feeds.connection import USER_AGENT
from common.messages import AccountReport, ReadAccount, Status, StatusReport
from common.runtime.config import known_keys, load_config, value_of
from common.runtime.credentials import Secret, read_credentials, write_credentials
from common.runtime.endpoints import ROLES
from common.runtime.log import configure
from common.runtime.paths import make_paths
from common.runtime.supervisor import process_table, rpc
from common.runtime.trading_key import read_trading_key, refuse_in_environment
from common.venue.clob.l2_auth import ApiKey
from common.venue.clob.order_request import OrderHead
from common.venue.reader_key import Wallet, obtain, wallet_of
from common.venue.signing.order_signature import Signer
from procs.cli.asking import ask
from procs.cli.demo_config import generated_plan, with_live_account, write_files
from procs.cli.demo_stage import free_port
from procs.cli.stack import ROOT, Stack, is_alive, supervisor_pid
from procs.live_account import CLOB_FIELDS, open_account

pytestmark = [pytest.mark.procs, pytest.mark.live, pytest.mark.timeout(300)]

EAGER = {
    "LAGGARD_STRATEGY__MIN_MOVE_PERCENT": "0",
    "LAGGARD_STRATEGY__MIN_TIME_LEFT_S": "0",
    "LAGGARD_STRATEGY__MAX_PRICE": "0.99",
}
"""The first window that opens is traded; the plan's windows are of 15 seconds."""
LIMIT_S = 90.0
"""For what takes a second or two, and much longer on a host that has no time for it."""
WATCH_OPENS = """
import os, sys
def watch(event, arguments):
    if event == "open" and isinstance(arguments[0], str) and arguments[0].startswith({credentials!r}):
        with_what = " ".join(sys.orig_argv[1:])
        line = f"{{os.path.basename(arguments[0])}} {{with_what}}\\n".encode()
        os.write(log, line)
log = os.open({log!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
sys.addaudithook(watch)
"""


@dataclass(frozen=True)
class Planted:
    """A stack that is not running yet, and the secrets in its sources."""

    stack: Stack
    base: Path
    run_dir: Path
    environment: dict[str, str]
    canaries: dict[str, str]
    opened: Path
    """Who opened which file of the credentials."""

    def laggard(self, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """The command line, of this stack instead of the checkout's."""
        code = (
            "from pathlib import Path; import procs.cli.up_down as command; "
            "from procs.cli.stack import Stack; from procs.cli.main import main; "
            f"command.own_stack = lambda: Stack(Path({str(self.stack.conf)!r})); main({list(arguments)!r})"
        )
        return subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env=os.environ | self.environment | environment,
            capture_output=True,
            text=True,
            timeout=90,
        )

    def processes(self) -> dict[str, int]:
        with rpc(self.stack.socket) as server:
            found = {row.name: row.pid for row in process_table(server) if row.pid}
        pid = supervisor_pid(self.stack)
        assert pid is not None
        return {**found, "supervisord": pid}

    def orders(self) -> int:
        answer = ask(self.run_dir, {"executor": ReadAccount()})["executor"]
        return answer.account.orders if isinstance(answer, AccountReport) else 0


def until(met: Callable[[], object], what: str, said: Callable[[], str] = str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not met():
        assert time.monotonic() < deadline, f"not within {LIMIT_S:g} s: {what}\n{said()}"
        time.sleep(0.05)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def planted() -> Iterator[Planted]:
    """A simulated venue with our account, and a key in a keystore whose password is in the environment."""
    # Not pytest's own directory: its path leaves no room for socket names.
    with tempfile.TemporaryDirectory(prefix="lg-", dir="/tmp") as name:
        base = Path(name)
        run_dir, state_dir, venue_dir, spy_dir = (base / part for part in ("run", "state", "venue", "spy"))
        for folder in (run_dir, state_dir, venue_dir, spy_dir):
            folder.mkdir(mode=0o700)
        stack = Stack(base / "supervisord.conf")
        stack.conf.write_bytes((ROOT / "supervisord.conf").read_bytes())
        port = free_port()
        plan = with_live_account(generated_plan(40, 1, port, time.time_ns(), ("rtds",)))
        assert plan.trading_key is not None
        config_file, sim_file = write_files(plan, state_dir)
        credentials = state_dir / "credentials"
        (credentials / "trading.json").unlink()
        password = secrets.token_urlsafe(24)
        encrypted = Account.encrypt(plan.trading_key.reveal(), password, kdf="pbkdf2", iterations=10)
        keystore = credentials / "trading.keystore.json"
        keystore.touch(mode=0o600)
        keystore.write_text(json.dumps(encrypted))
        venue = subprocess.Popen(
            [sys.executable, "-m", "procs.venue"],
            cwd=ROOT,
            env=os.environ
            | {"LAGGARD_CONFIG": str(config_file), "LAGGARD_SIM": str(sim_file)}
            | {"LAGGARD_STATE_DIR": str(venue_dir), "LAGGARD_RUN_DIR": str(venue_dir)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            until(lambda: listens(port), "the venue listens")
            with requests.Session() as session:
                session.trust_env = False
                session.headers["User-Agent"] = USER_AGENT
                wallet = wallet_of(plan.trading_key)
                key = obtain(session, f"http://127.0.0.1:{port}/clob", wallet, int(time.time()))
            write_credentials(
                credentials / "clob.json",
                {
                    "api_key": key.api_key.reveal(),
                    "secret": key.secret.reveal(),
                    "passphrase": key.passphrase.reveal(),
                },
            )
            canaries = {
                "key": plan.trading_key.reveal(),
                "password": password,
                "secret": key.secret.reveal(),
                "passphrase": key.passphrase.reveal(),
                "other key": "0x" + secrets.token_hex(32),
            }
            opened = spy_dir / "opened"
            spy = WATCH_OPENS.format(credentials=str(credentials) + "/", log=str(opened))
            (spy_dir / "sitecustomize.py").write_text(spy)
            environment = {
                "LAGGARD_CONFIG": str(config_file),
                "LAGGARD_STATE_DIR": str(state_dir),
                "LAGGARD_RUN_DIR": str(run_dir),
                "LAGGARD_WALLET__KEY_SOURCE": "keystore",
                "LAGGARD_EVIDENCE__WAIVER": "No real money: the venue of this test is simulated.",
                "PYTHONPATH": str(spy_dir),
                **EAGER,
            }
            yield Planted(stack, base, run_dir, environment, canaries, opened)
        finally:
            venue.kill()
            venue.wait()


def test_planted_keys_are_found_nowhere_else(planted: Planted) -> None:
    finder = Finder(planted.canaries)
    belongs = {("secret", "clob.json"), ("passphrase", "clob.json")}
    started = planted.laggard(
        "up",
        "--live",
        LAGGARD_KEYSTORE_PASSWORD=planted.canaries["password"],
        LAGGARD_PRIVATE_KEY=planted.canaries["other key"],
    )
    try:
        # A loaded host may need longer than the command waits; what counts is that it trades.
        assert started.returncode in (0, 3), started.stdout + started.stderr
        assert not finder.in_bytes((started.stdout + started.stderr).encode(), "laggard up")
        log = planted.stack.log_dir / "executor.log"
        until(planted.orders, "an order", lambda: log.read_text()[-3000:])
        processes = planted.processes()
        os.kill(processes["executor"], signal.SIGUSR1)
        until(lambda: '"stacks"' in log.read_text(), "the stacks are in the log")
        told = ask(planted.run_dir, dict.fromkeys(ROLES, Status()))
        told["account"] = ask(planted.run_dir, {"executor": ReadAccount()})["executor"]
        assert isinstance(told["executor"], StatusReport)
        assert finder.in_bytes(repr(told).encode(), "what processes tell") == set()
        assert finder.in_processes(processes) == set()
        assert finder.in_files(planted.base) == belongs | {("password", "handed.json")}
        memory = {name: finder.in_memory(pid, name) for name, pid in processes.items()}
        if memory["executor"] is not None:
            assert ("key", "executor") in memory["executor"], "nothing is found where something is"
        keepers = ("executor", "redeemer")
        assert {name: found for name, found in memory.items() if found and name not in keepers} == {}

        pid = planted.processes()["executor"]
        os.kill(pid, signal.SIGSEGV)
        until(lambda: not is_alive(pid), "the executor died")
        until(lambda: "Segmentation fault" in log.read_text(), "its death is in the log")
        until(planted.orders, "the executor is back", lambda: log.read_text()[-3000:])
    finally:
        ended = planted.laggard("down")
    assert ended.returncode == 0, ended.stderr
    assert finder.in_files(planted.base) == belongs
    readers = {tuple(line.split(maxsplit=1)) for line in planted.opened.read_text().splitlines()}
    trading = {(name, who) for name, who in readers if name in ("clob.json", "trading.keystore.json")}
    assert {(name, who.split()[-1]) for name, who in trading} == {
        ("clob.json", "procs.executor"),
        ("trading.keystore.json", "procs.executor"),
        ("trading.keystore.json", "procs.redeemer"),
    }, readers


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """A place for log lines; afterwards logging is as it was."""
    root = logging.getLogger()
    before = list(root.handlers), root.level
    yield io.StringIO()
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    structlog.reset_defaults()


def test_no_object_text_or_log_line_shows_a_key(tmp_path: Path, stream: io.StringIO) -> None:
    secret = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    canaries = {
        "key": "0x" + secrets.token_hex(32),
        "password": secrets.token_urlsafe(24),
        "secret": secret,
        "passphrase": secrets.token_hex(32),
    }
    finder = Finder(canaries)
    credentials = tmp_path / "credentials"
    paths = make_paths(str(tmp_path / "state"), str(tmp_path / "run"), str(credentials))
    write_credentials(credentials / "trading.json", {"private_key": canaries["key"]})
    clob = {"api_key": "id", "secret": secret, "passphrase": canaries["passphrase"]}
    write_credentials(credentials / "clob.json", clob)
    environ = {
        "LAGGARD_PRIVATE_KEY": canaries["key"],
        "LAGGARD_KEYSTORE_PASSWORD": canaries["password"],
        "LAGGARD_WALLET__KIND": "eoa",
        "LAGGARD_MODE": "live",
    }
    # Not "" but a file of nobody: the caller's own configuration decides nothing here.
    (tmp_path / "empty.toml").touch()
    config = load_config(tmp_path / "empty.toml", environ)
    trading_key = read_trading_key(config, paths)
    account, _source = open_account(config, paths)
    found = read_credentials(credentials / "clob.json", CLOB_FIELDS)
    assert found is not None
    api_key = ApiKey(account.signer.address, found["api_key"], found["secret"], found["passphrase"])
    head = OrderHead(config.venue.clob_url, api_key, USER_AGENT)
    things: list[Any] = [config, paths, trading_key, account, account.signer, found, api_key, head]
    things.append(Wallet(account.address, trading_key.private_key))
    shown = [
        text for thing in things for text in (repr(thing), str(thing), f"{thing}", pprint.pformat(thing))
    ]
    shown += [str(value_of(config, key)) for key in known_keys()]

    problems: list[Callable[[], object]] = [
        lambda: refuse_in_environment(environ),
        lambda: load_config(tmp_path / "empty.toml", {"LAGGARD_WALLET__ADDRESS": canaries["key"]}),
        lambda: load_config(tmp_path / "empty.toml", {"LAGGARD_WALLET__KIND": canaries["password"]}),
        lambda: load_config(tmp_path / "empty.toml", {"LAGGARD_WALLET__PRIVATE_KEY": canaries["key"]}),
        lambda: Signer(Secret(canaries["key"] + "0")),
        lambda: Signer(Secret("zz" + canaries["key"][4:])),
        lambda: read_credentials(credentials / "trading.json", ("api_key",)),
        lambda: pickle.dumps(trading_key),
        lambda: pickle.dumps(account),
        lambda: msgspec.msgpack.encode(trading_key),
        lambda: copy.deepcopy(found),
    ]
    for problem in problems:
        with pytest.raises((LaggardError, ValueError, TypeError)) as caught:
            problem()
        shown += traceback.format_exception(caught.value)

    log = configure("executor", "b", "debug", stream)
    for thing in things:
        log.error("shown", thing=thing, inside={"deep": [thing]}, private_key=thing)
        logging.getLogger("library").error("shown %s %r", thing, thing)
    for value in (*found.values(), *trading_key):
        log.error("shown", value=value, inside={"deep": [(value,)]})
    logging.getLogger("library").error("shown", exc_info=caught.value)
    assert "shown" in stream.getvalue()
    assert finder.in_bytes("\n".join([*shown, stream.getvalue()]).encode(), "a text") == set()


@pytest.mark.parametrize("write", [lambda text: text.upper(), lambda text: text.removeprefix("0x")])
def test_the_finder_finds(tmp_path: Path, write: Callable[[str], str]) -> None:
    key = "0x" + secrets.token_hex(32)
    finder = Finder({"key": key})
    hidden = {
        "plain": write(key).encode(),
        "raw": b"--" + bytes.fromhex(key[2:]) + b"--",
        "coded": base64.b64encode(bytes.fromhex(key[2:])),
        "sealed.gz": gzip.compress(b"--" + write(key).encode()),
    }
    for name, content in hidden.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "innocent").write_bytes(key.encode()[:-4])
    (tmp_path / f"named-{key}").touch()
    assert {place for _, place in finder.in_files(tmp_path)} == {*hidden, f"the name of named-{key}"}
    sleeping = [sys.executable, "-c", "import sys; print('up', flush=True); sys.stdin.read()"]
    for environment, arguments in (({"A": key}, []), ({}, [key])):
        with subprocess.Popen(
            [*sleeping, *arguments],
            env=os.environ | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            assert len(finder.in_processes({"it": process.pid})) == 1
            assert finder.in_memory(process.pid, "it") in (None, {("key", "it")})
            process.communicate()
