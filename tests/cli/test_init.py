"""``laggard init``: private files, or none; and never a secret on the screen."""

import asyncio
import io
import json
import os
import select
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from eth_account import Account

from common.runtime.config import load_config
from common.runtime.credentials import read_credentials
from common.runtime.paths import make_paths
from common.runtime.trading_key import read_trading_key
from common.sim.faults import read_faults
from common.sim.script import Script
from common.sim.server import Venue
from common.sim.settings import SimSettings
from common.venue.reader_key import wallet_of
from common.venue.signing.wallet import wallets_of
from procs.cli.main import laggard, run

NAMES = ("api_key", "secret", "passphrase")


@contextmanager
def simulated_venue() -> Iterator[tuple[Venue, int]]:
    """The venue in a thread of its own."""
    ready = threading.Event()
    venue = Venue(SimSettings(listen="127.0.0.1:0"), Script("a test", "15m", 900, ("btc",), iter(()), None))
    ports: list[int] = []
    stop: list[Callable[[], object]] = []

    async def serve() -> None:
        over = asyncio.Event()
        loop = asyncio.get_running_loop()
        stop.append(lambda: loop.call_soon_threadsafe(over.set))
        ports.append(await venue.open())
        ready.set()
        await over.wait()
        await venue.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(5)
        yield venue, ports[0]
    finally:
        stop[0]()
        thread.join(5)


@pytest.fixture
def credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the files go; everything else is of nobody."""
    config = tmp_path / "config.toml"
    config.touch()
    monkeypatch.setenv("LAGGARD_CONFIG", str(config))
    monkeypatch.setenv("LAGGARD_PATHS__CREDENTIALS_DIR", str(tmp_path / "credentials"))
    return tmp_path / "credentials"


@pytest.fixture
def venue(credentials: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Venue]:
    with simulated_venue() as (running, port):
        monkeypatch.setenv("LAGGARD_VENUE__CLOB_URL", f"http://127.0.0.1:{port}/clob")
        yield running


def make(*more: str) -> int:
    return run(laggard, ["init", "--reader-key", *more])


def files(directory: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in directory.iterdir()} if directory.exists() else {}


def test_a_key_is_made_that_the_venue_lets_in(
    venue: Venue, credentials: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert make() == 0
    key = read_credentials(credentials / "polybolt.json", NAMES)
    wallet = read_credentials(credentials / "reader-wallet.json", ("address", "private_key"))
    assert key is not None
    assert wallet is not None
    secret, passphrase = venue.api_keys[key["api_key"].reveal()]
    assert (secret, passphrase) == (key["secret"].reveal(), key["passphrase"].reveal())
    assert wallet_of(wallet["private_key"]).address == wallet["address"].reveal()
    for file in credentials.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(credentials.stat().st_mode) == 0o700
    shown = "".join(capsys.readouterr())
    assert wallet["address"].reveal() in shown
    assert str(credentials / "polybolt.json") in shown
    assert "reads prices" in shown
    assert "holds no money" in shown
    assert "Never send anything" in shown
    for hidden in (*key.values(), wallet["private_key"]):
        assert hidden.reveal() not in shown
        assert hidden.reveal().removeprefix("0x") not in shown


@pytest.mark.parametrize("present", ["polybolt.json", "reader-wallet.json"])
def test_an_existing_key_is_left_as_it_is(
    venue: Venue, credentials: Path, capsys: pytest.CaptureFixture[str], present: str
) -> None:
    credentials.mkdir()
    (credentials / present).write_text("precious")
    assert make() == 1
    assert files(credentials) == {present: b"precious"}
    assert venue.api_keys == {}
    text = capsys.readouterr().err
    assert str(credentials / present) in text
    assert "--replace" in text


def test_even_a_link_that_leads_nowhere_is_left(venue: Venue, credentials: Path) -> None:
    credentials.mkdir()
    (credentials / "polybolt.json").symlink_to(credentials / "nowhere")
    assert make() == 1


def test_replacing_moves_the_old_files_aside(venue: Venue, credentials: Path) -> None:
    assert make() == 0
    old = files(credentials)
    assert make("--replace") == 0
    now = files(credentials)
    assert len(now) == 4
    for name, content in old.items():
        assert now[name] != content
        (aside,) = (each for each in now if each not in old and each.startswith(name.removesuffix("json")))
        assert now[aside] == content
    assert len(venue.api_keys) == 2
    assert make("--replace") == 0
    assert len(files(credentials)) == 6


def test_replacing_nothing_is_making(venue: Venue, credentials: Path) -> None:
    assert make("--replace") == 0
    assert sorted(files(credentials)) == ["polybolt.json", "reader-wallet.json"]


def test_a_key_that_was_never_made_cannot_be_told(venue: Venue, credentials: Path) -> None:
    venue.board.replace(
        read_faults(
            json.dumps([{"kind": "http", "family": "clob", "status": 400, "path": "/api-key"}]).encode()
        )
    )
    assert make() == 1, "nobody has made a key for this wallet"
    assert files(credentials) == {}


@pytest.mark.parametrize("status", [400, 401, 403, 429, 451])
@pytest.mark.parametrize("replace", [(), ("--replace",)])
def test_a_refusal_is_told_and_nothing_is_written(
    venue: Venue,
    credentials: Path,
    capsys: pytest.CaptureFixture[str],
    status: int,
    replace: tuple[str, ...],
) -> None:
    if replace:
        credentials.mkdir()
        (credentials / "polybolt.json").write_text("precious")
    before = files(credentials)
    venue.board.replace(
        read_faults(
            json.dumps([{"kind": "http", "family": "clob", "status": status, "path": "/auth"}]).encode()
        )
    )
    assert make(*replace) == 1
    assert files(credentials) == before
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "the venue refused" in captured.err
    assert "refused by the simulated venue" in captured.err
    assert captured.err.count("\n") == 1


def test_a_venue_in_trouble_is_one_line(
    venue: Venue, credentials: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    venue.board.replace(read_faults(b'[{"kind":"http","family":"clob","status":503}]'))
    assert make() == 69
    assert files(credentials) == {}
    assert capsys.readouterr().err.count("\n") == 1


def test_a_network_that_is_down_is_one_line(
    credentials: Path, free_port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LAGGARD_VENUE__CLOB_URL", f"http://127.0.0.1:{free_port}/clob")
    assert make() == 69
    assert files(credentials) == {}
    text = capsys.readouterr().err
    assert text.startswith(f"cannot reach 127.0.0.1:{free_port}: ")
    assert text.count("\n") == 1


def test_a_key_is_never_asked_for_in_clear_text(
    credentials: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LAGGARD_VENUE__CLOB_URL", "http://clob.example.test")
    assert make() == 78
    assert "https" in capsys.readouterr().err


def test_a_directory_that_cannot_be_written_is_told(
    venue: Venue, credentials: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    credentials.write_text("a file in the way")
    assert make() == 69
    text = capsys.readouterr().err
    assert str(credentials) in text
    assert text.count("\n") == 1


def test_the_files_lie_where_the_configuration_says_by_default(
    venue: Venue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LAGGARD_PATHS__CREDENTIALS_DIR")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    assert make() == 0
    assert sorted(os.listdir(tmp_path / "home/laggard/credentials")) == [
        "polybolt.json",
        "reader-wallet.json",
    ]


def test_without_the_library_it_says_what_to_install(
    venue: Venue, credentials: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "eth_account", None)
    assert make() == 69
    assert "bin/setup" in capsys.readouterr().err
    assert files(credentials) == {}


KEY = "0x" + "5a" * 32
"""Worth nothing anywhere."""
ADDRESS = "0xa8049bB68181799124F98E467DD749e120abFA64"
PASSWORD = "correct horse "


def store(monkeypatch: pytest.MonkeyPatch, entered: str, *more: str) -> tuple[int, list[str]]:
    """The exit code, and whether the doors were closed before anything was read."""
    order: list[str] = []

    class Entered(io.StringIO):
        def readline(self, *sizes: int) -> str:
            order.append("read")
            return super().readline(*sizes)

    # Not in the process that runs all the other tests.
    monkeypatch.setattr("procs.cli.store_key.close_doors", lambda: order.append("closed"))
    monkeypatch.setattr("sys.stdin", Entered(entered))
    return run(laggard, ["init", "--trading-key", *more]), order


def test_a_trading_key_is_stored_and_its_wallets_are_shown(
    credentials: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert store(monkeypatch, f"  {KEY.upper().replace('0X', '')}\n") == (0, ["closed", "read"])
    found = read_credentials(credentials / "trading.json", ("private_key",))
    assert found is not None
    assert found["private_key"].reveal() == KEY
    assert sorted(files(credentials)) == ["trading.json"]
    shown = "".join(capsys.readouterr())
    assert KEY[2:] not in shown.lower()
    for text in (ADDRESS, *wallets_of(ADDRESS), str(credentials / "trading.json"), 'key_source = "file"'):
        assert text in shown


def test_a_keystore_opens_with_its_password_alone(
    credentials: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert store(monkeypatch, f"{KEY}\n{PASSWORD}\n", "--keystore")[0] == 0
    file = credentials / "trading.keystore.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert KEY[2:] not in file.read_text()
    shown = "".join(capsys.readouterr())
    assert KEY[2:] not in shown
    assert PASSWORD.strip() not in shown
    assert "trading.password" in shown
    word = credentials / "trading.password"
    word.touch(mode=0o600)
    word.write_text(PASSWORD + "\n")
    config = load_config(None, {"LAGGARD_WALLET__KEY_SOURCE": "keystore"})
    paths = make_paths(str(tmp_path), str(tmp_path), str(credentials))
    assert read_trading_key(config, paths).private_key.reveal() == KEY


@pytest.mark.parametrize("name", ["trading.json", "trading.keystore.json"])
def test_a_trading_key_is_never_replaced(
    credentials: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    credentials.mkdir()
    (credentials / name).symlink_to(credentials / "nowhere")
    more = ["--keystore"] if "keystore" in name else []
    assert store(monkeypatch, f"{KEY}\n{PASSWORD}\n", *more) == (1, ["closed"])
    assert str(credentials / name) in capsys.readouterr().err
    assert not (credentials / "nowhere").exists()


@pytest.mark.parametrize(
    "entered", ["", "0x12", KEY + "00", "0x" + "zz" * 32, "0x" + "00" * 32, "0x" + "ff" * 32]
)
def test_what_is_no_key_is_not_stored_and_not_repeated(
    credentials: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], entered: str
) -> None:
    assert store(monkeypatch, entered + "\n")[0] == 1
    assert files(credentials) == {}
    text = "".join(capsys.readouterr())
    assert "nothing was stored" in text
    assert len(entered) < 8 or entered[2:] not in text


def test_a_keystore_needs_a_password(
    credentials: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert store(monkeypatch, f"{KEY}\n\n", "--keystore")[0] == 1
    assert "password" in capsys.readouterr().err
    assert files(credentials) == {}


@pytest.mark.parametrize(
    "options",
    [
        ("--reader-key", "--trading-key"),
        ("--reader-key", "--keystore"),
        ("--trading-key", "--replace"),
        ("--trading-key", KEY),
        ("--keystore",),
    ],
)
def test_options_that_make_no_sense_make_nothing(credentials: Path, options: tuple[str, ...]) -> None:
    assert run(laggard, ["init", *options]) == 2
    assert files(credentials) == {}


def test_a_directory_a_trading_key_cannot_be_written_to_is_told(
    credentials: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    credentials.write_text("a file in the way")
    assert store(monkeypatch, KEY + "\n")[0] == 69
    assert str(credentials) in capsys.readouterr().err


def test_on_a_terminal_nothing_that_is_entered_is_shown(credentials: Path, tmp_path: Path) -> None:
    screen, terminal = os.openpty()
    shown = b""

    def until(text: bytes, times: int = 1) -> None:
        nonlocal shown
        while shown.count(text) < times:
            assert select.select([screen], [], [], 20)[0], shown
            shown += os.read(screen, 1000)

    command = "from procs.cli.main import main; main(['init', '--trading-key', '--keystore'])"
    with subprocess.Popen(
        [sys.executable, "-c", command],
        cwd=Path(__file__).parents[2],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    ) as asking:
        until(b"Private key: ")
        os.write(screen, KEY.encode() + b"\n")
        until(b"Password of the keystore: ")
        os.write(screen, b"battery\n")
        until(b"Repeat for confirmation: ")
        os.write(screen, b"staple\n")
        until(b"Password of the keystore: ", 2)
        os.write(screen, b"battery\n")
        until(b"Repeat for confirmation: ", 2)
        os.write(screen, b"battery\n")
        until(b"laggard up.")
        assert asking.wait(20) == 0
    os.close(terminal)
    os.close(screen)
    assert ADDRESS.encode() in shown
    assert KEY[2:].encode() not in shown
    assert b"battery" not in shown
    opened = Account.decrypt(json.loads((credentials / "trading.keystore.json").read_text()), "battery")
    assert "0x" + bytes(opened).hex() == KEY
