"""``laggard prove`` against a real journal, a chain on a socket and an executor that answers."""

import asyncio
import itertools
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zmq.asyncio

from common.core import ledger
from common.core.order_effects import (
    Commit,
)
from common.core.order_events import (
    Answered,
    BookSeen,
    Event,
    MarketSeen,
    Submitted,
    Taken,
    TradeSeen,
)
from common.core.order_state import (
    State,
)
from common.core.settings import RiskLimits, StrategySettings
from common.core.venue_facts import TradeStatus, VenueTrade
from common.messages import Answer, Command, ReadWallet, Request, Status, StatusReport, WalletReport
from common.runtime.clock import SystemClock
from common.runtime.responder import Responder
from common.store.journal import Journal, open_journal
from common.venue.signing.contracts import COLLATERAL, CONDITIONAL_TOKENS, POSITION_MANAGER
from common.venue.token_contract import token_contract
from order_playbook import BANKROLL, Playbook, market, posture
from procs.cli import configuration
from procs.cli import prove as command
from procs.cli.main import laggard, run
from procs.cli.stack import Meeting, Stack, write_meeting

WALLET = "0x" + "ab" * 20
OLD = str(0x5A << 48 | 7)
"""A token of the conditional tokens: its id is a hash."""
NEW = str(1 << 248 | 1)
"""A token of the position manager."""


@dataclass
class Chain:
    """A JSON-RPC endpoint of a chain that holds one wallet."""

    usd6: int
    shares6: dict[tuple[str, str], int]
    """By contract and token."""
    chain_id: int = 137
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Contract and token of each balance that was read; the collateral has no token."""

    def result(self, method: str, params: list[Any]) -> str:
        if method == "eth_chainId":
            return hex(self.chain_id)
        assert method == "eth_call"
        to, data = params[0]["to"], params[0]["data"].removeprefix("0x")
        assert data[8:72] == WALLET[2:].rjust(64, "0")
        if data.startswith("70a08231"):
            assert to == COLLATERAL
            self.asked.append((to, ""))
            return f"0x{self.usd6:064x}"
        assert data.startswith("00fdd58e")
        token = str(int(data[72:], 16))
        self.asked.append((to, token))
        return f"0x{self.shares6.get((to, token), 0):064x}"


@dataclass
class Scene:
    """A live account with its journal, and the chain that holds its wallet."""

    state_dir: Path
    chain: Chain
    play: Playbook
    journal: Journal | None

    def hear(self, *events: Event) -> None:
        """Let the state machine decide and journal it, as the executor does."""
        effects = self.play.hear(*events)
        assert self.journal is not None
        self.journal.commit(*(effect for effect in effects if isinstance(effect, Commit)))

    def buy(self, name: str, token: str, status: TradeStatus = "confirmed") -> None:
        """One order and its one trade of ten shares at 0.50."""
        self.play.at(60)
        self.hear(
            MarketSeen(market(window=name, token_up=token, token_down="2")),
            BookSeen(self.play.book("up", token=token, window=name)),
        )
        self.hear(Submitted(self.play.wish(window=name, token=token), f"r-{name}", f"0x{name}", b"wire"))
        self.trade(name, status)
        self.hear(Answered(f"{name}/up/lag", Taken("matched", 10_000_000)))

    def trade(self, name: str, status: TradeStatus) -> None:
        self.hear(TradeSeen(VenueTrade(f"t-{name}", f"0x{name}", status, 5_000, 10_000_000, 5_000_000)))

    def mine(self, name: str, token: str) -> None:
        fill = next(each for each in self.play.state.books.fills if each.window == name)
        self.chain.usd6 -= fill.cost_usd6 + fill.fee_usd6
        self.chain.shares6[token_contract(token), token] = fill.size6

    def win(self, name: str, token: str) -> None:
        self.play.at(901)
        self.hear(MarketSeen(market(window=name, token_up=token, token_down="2", outcome="up")))

    def stop(self) -> None:
        """The executor ends in order."""
        assert self.journal is not None
        self.journal.close()
        self.journal = None


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    chain = Chain(BANKROLL, {})

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            result = chain.result(request["method"], request["params"])
            body = json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    for name, value in {
        "XDG_CONFIG_HOME": str(tmp_path / "nothing"),
        "LAGGARD_RUN_DIR": str(tmp_path / "run"),
        "LAGGARD_STATE_DIR": str(tmp_path),
        "LAGGARD_MODE": "live",
        "LAGGARD_WALLET__ADDRESS": WALLET,
        "LAGGARD_VENUE__CHAIN_RPC_URLS": f"http://127.0.0.1:{server.server_port}/",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(command, "PAUSE_S", 0.0)
    monkeypatch.setattr(command, "ANSWER_S", 0.05)
    play = Playbook()
    books = msgspec.structs.replace(play.state.books, live=True)
    play.state = State(StrategySettings(live=True), RiskLimits(), books, posture())
    journal = open_journal(tmp_path / "journal-live.sqlite", now_wall_ns=1)
    journal.open_account("live", BANKROLL, ledger.opening(1, 0, BANKROLL), posture())
    made = Scene(tmp_path, chain, play, journal)
    try:
        yield made
    finally:
        if made.journal is not None:
            made.journal.close()
        server.shutdown()
        thread.join(5)
        server.server_close()


@pytest.fixture
def traded(scene: Scene) -> Scene:
    """One trade of each kind of token: one held, one won."""
    for name, token in (("w1", OLD), ("w2", NEW)):
        scene.buy(name, token)
        scene.mine(name, token)
    scene.win("w2", NEW)
    return scene


@dataclass
class Told:
    """What the command said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found

    def line(self, name: str) -> dict[str, Any]:
        (found,) = (line for line in self.json["lines"] if line["name"] == name)
        assert isinstance(found, dict)
        return found


@pytest.fixture
def prove(capsys: pytest.CaptureFixture[str]) -> Any:
    def run_it(*arguments: str) -> Told:
        code = run(laggard, ["prove", *arguments])
        said = capsys.readouterr()
        return Told(code, said.out, said.err)

    return run_it


def test_every_unit_is_accounted_for_beside_the_open_journal(traded: Scene, prove: Any) -> None:
    told = prove("--json")
    assert (told.code, told.err) == (0, "")
    assert told.json["ok"] is True
    assert told.json["difference_usd6"] == 0
    assert [line["name"] for line in told.json["lines"]] == [
        "books orders",
        "books positions",
        "books ledger",
        "cash",
        "shares w1 up",
        "shares w2 up",
    ]
    assert told.line("cash")["found"] == traded.chain.usd6
    assert told.json["notes"] == [
        "the venue's word is missing: the executor, which has the key, does not run"
    ]
    assert set(traded.chain.asked) == {
        (COLLATERAL, ""),
        (CONDITIONAL_TOKENS, OLD),
        (POSITION_MANAGER, NEW),
    }
    people = prove()
    assert people.code == 0
    assert "every unit is accounted for" in people.out
    assert "the venue's word is missing" in people.out
    assert "10.000000" in people.out


def test_a_stopped_executor_leaves_what_can_be_proven_without_a_trace(traded: Scene, prove: Any) -> None:
    traded.stop()
    before = {each.name: each.stat().st_mtime_ns for each in traded.state_dir.iterdir()}
    assert prove().code == 0
    assert {each.name: each.stat().st_mtime_ns for each in traded.state_dir.iterdir()} == before


def test_one_unit_on_the_chain_is_named_on_the_last_line(traded: Scene, prove: Any) -> None:
    traded.chain.usd6 -= 1
    told = prove("--json")
    assert told.code == 1
    assert (told.json["ok"], told.json["difference_usd6"]) == (False, 1)
    assert told.line("cash")["off"] == -1
    last = told.err.splitlines()[-1]
    assert last.startswith("cash is off by -1 millionths: ")
    assert "a transfer from the wallet of 0.000001 $" in last
    assert "look at the wallet's transfers" in last
    people = prove()
    assert people.code == 1
    assert "-0.000001" in people.out and "-> no booked fact" in people.out
    assert "every unit is accounted for" not in people.out


def test_a_redemption_that_nobody_booked_is_named(traded: Scene, prove: Any) -> None:
    traded.chain.usd6 += traded.chain.shares6.pop((POSITION_MANAGER, NEW))
    told = prove("--json")
    assert told.code == 1
    assert told.json["difference_usd6"] == 0
    assert "w2 up was redeemed and is not booked yet (10.000000 $)" in told.line("cash")["text"]
    assert told.err.splitlines()[-1].startswith("cash is off by 10000000 millionths: w2 up was redeemed")


def test_without_the_chain_nothing_is_claimed(traded: Scene, prove: Any) -> None:
    traded.chain.chain_id = 1
    told = prove("--json")
    assert (told.code, told.out) == (69, "")
    assert "the chain cannot be read" in told.err and "--offline" in told.err
    offline = prove("--json", "--offline")
    assert offline.code == 0
    assert {line["name"].split()[0] for line in offline.json["lines"]} == {"books"}
    assert traded.chain.asked == []
    assert "the books add up; no wallet was asked" in prove("--offline").out


def test_paper_money_is_in_no_wallet(
    traded: Scene, prove: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LAGGARD_MODE", "paper")
    missing = prove()
    assert missing.code == 69
    assert "there is no journal at" in missing.err
    assert not (tmp_path / "journal.sqlite").exists()
    journal = open_journal(tmp_path / "journal.sqlite", now_wall_ns=1)
    journal.open_account("paper", BANKROLL, ledger.opening(1, 0, BANKROLL), posture())
    told = prove("--json")
    assert (told.code, told.json["mode"]) == (0, "paper")
    assert traded.chain.asked == []
    journal.close()


def test_a_broken_journal_is_told_in_one_line(traded: Scene, prove: Any) -> None:
    traded.stop()
    file = traded.state_dir / "journal-live.sqlite"
    file.write_bytes(file.read_bytes()[:-4096])
    told = prove("--json")
    assert (told.code, told.out) == (70, "")
    assert len(told.err.splitlines()) == 1
    assert "nothing was changed" in told.err


def test_an_address_is_needed(traded: Scene, prove: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAGGARD_WALLET__KIND", "eoa")
    monkeypatch.setenv("LAGGARD_WALLET__ADDRESS", "")
    told = prove()
    assert told.code == 69
    assert "wallet.address is not configured" in told.err


def test_a_named_configuration_says_what_is_proven(
    traded: Scene, prove: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("LAGGARD_WALLET__ADDRESS")
    monkeypatch.delenv("LAGGARD_MODE")
    file = tmp_path / "laggard.toml"
    file.write_text(f'mode = "live"\n[wallet]\naddress = "{WALLET}"\n')
    assert prove("--json", "--config", str(file)).json["mode"] == "live"


def test_what_runs_says_which_account_is_proven(
    traded: Scene, prove: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("MODE", "WALLET__ADDRESS", "RUN_DIR", "STATE_DIR"):
        monkeypatch.delenv(f"LAGGARD_{name}")
    file = tmp_path / "started.toml"
    file.write_text(f'mode = "live"\n[wallet]\naddress = "{WALLET}"\n')
    home = tmp_path / "home"
    stack = Stack(home / "supervisord.conf")
    stack.home.mkdir(parents=True)
    write_meeting(stack, Meeting(str(tmp_path / "run"), str(tmp_path), str(file), "up"))
    monkeypatch.setattr(configuration, "own_stack", lambda: stack)
    monkeypatch.setattr(configuration, "supervisor_pid", lambda _: 1)
    assert prove("--json").json["mode"] == "live"
    # What the caller names goes before the note of what runs.
    other = tmp_path / "other.toml"
    other.write_text(f'mode = "paper"\n[paths]\nstate_dir = "{tmp_path / "other"}"\n')
    assert str(tmp_path / "other") in prove("--json", "--config", str(other)).err
    with monkeypatch.context() as named:
        named.setenv("LAGGARD_RUN_DIR", str(tmp_path / "run"))
        named.setenv("LAGGARD_CONFIG", str(other))
        assert str(tmp_path / "other") in prove("--json").err
    # Where nothing runs the note is of the past, and the caller's own configuration counts.
    monkeypatch.setattr(configuration, "supervisor_pid", lambda _: None)
    monkeypatch.setenv("LAGGARD_STATE_DIR", str(tmp_path))
    assert "there is no journal at" in prove("--json").err


def before_the_chain(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """Let something happen after the journal was read and before the chain is."""
    original = command._chain

    async def acted(config: Any, address: str, books: Any) -> Any:
        act()
        return await original(config, address, books)

    monkeypatch.setattr(command, "_chain", acted)


def test_what_is_on_its_way_is_read_again(scene: Scene, prove: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.buy("w1", OLD, "matched")
    assert prove("--json").code == 0
    scene.mine("w1", OLD)
    early = prove("--json")
    assert early.code == 1
    assert early.err.count("reading again") == 2
    assert "is on the chain already" in early.err.splitlines()[-1]
    assert early.json["notes"][1:] == []
    # The news comes while it is looked at: the next reading adds up.
    before_the_chain(monkeypatch, lambda: scene.trade("w1", "mined"))
    late = prove("--json")
    assert late.code == 0
    assert late.err.count("reading again") == 1


def test_an_account_that_never_stands_still_is_said_to_move(
    scene: Scene, prove: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = (f"w{number}" for number in itertools.count())
    before_the_chain(monkeypatch, lambda: scene.buy(next(names), OLD, "matched"))
    told = prove("--json")
    assert told.err.count("reading again") == 2
    assert "the account moved during each of 3 proofs" in told.json["notes"][-1]


@contextmanager
def executor(run_dir: Path, wallet: Answer) -> Iterator[None]:
    """An executor in a thread of its own that tells its status and the venue's word."""
    report = StatusReport(
        role="executor",
        pid=1,
        boot="b",
        state="ready",
        detail="",
        uptime_ms=1,
        published=0,
        sources=(),
        ages_ms={},
        counters={},
        facts={},
    )
    run_dir.mkdir(mode=0o700, exist_ok=True)
    ready = threading.Event()
    stop: list[Callable[[], object]] = []

    def tell(body: Command, _request: Request) -> Answer:
        return wallet if isinstance(body, ReadWallet) else report

    async def serve() -> None:
        ctx = zmq.asyncio.Context()
        responder = Responder(ctx, run_dir, "executor", SystemClock())
        responder.on(Status, tell)
        responder.on(ReadWallet, tell)
        loop = asyncio.get_running_loop()
        over = asyncio.Event()
        stop.append(lambda: loop.call_soon_threadsafe(over.set))
        ready.set()
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(responder.run())
            await over.wait()
            task.cancel()
        ctx.destroy(linger=0)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(5)
        yield
    finally:
        stop[0]()
        thread.join(5)


def test_the_venues_word_comes_from_the_executor(
    traded: Scene, prove: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "ANSWER_S", 2.0)
    run_dir = traded.state_dir / "run"
    with executor(run_dir, WalletReport(balance_usd6=traded.chain.usd6)):
        told = prove("--json")
    assert (told.code, told.json["notes"]) == (0, [])
    assert told.line("venue")["found"] == traded.chain.usd6
    with executor(run_dir, WalletReport(balance_usd6=traded.chain.usd6 + 1)):
        late = prove("--json")
    assert late.code == 1
    assert late.err.startswith("venue is off by 1 millionths: the venue's copy of the balance lags")
    with executor(run_dir, WalletReport(balance_usd6=None, text="the venue is away")):
        away = prove("--json")
    assert (away.code, away.json["notes"]) == (0, ["the venue's word is missing: the venue is away"])


def test_a_key_without_a_configured_address_is_asked_of_the_executor(
    traded: Scene, prove: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "ANSWER_S", 2.0)
    monkeypatch.setenv("LAGGARD_WALLET__KIND", "eoa")
    monkeypatch.setenv("LAGGARD_WALLET__ADDRESS", "")
    with executor(traded.state_dir / "run", WalletReport(balance_usd6=None, text="later", address=WALLET)):
        told = prove("--json")
    assert (told.code, told.line("cash")["found"]) == (0, traded.chain.usd6)


def test_an_account_at_rest_is_read_once(traded: Scene, prove: Any) -> None:
    traded.chain.usd6 += 5
    told = prove("--json")
    assert told.code == 1
    assert "reading again" not in told.err
    assert traded.chain.asked.count((COLLATERAL, "")) == 1
