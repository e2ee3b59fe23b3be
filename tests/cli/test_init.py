"""``laggard init --reader-key``: two private files, or none; and never a secret on the screen."""

import asyncio
import json
import os
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from common.runtime.credentials import read_credentials
from common.sim.faults import read_faults
from common.sim.script import Script
from common.sim.server import Venue
from common.sim.settings import SimSettings
from common.venue.reader_key import wallet_of
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


def test_without_saying_what_to_make_it_names_the_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(laggard, ["init"]) == 2
    assert "--reader-key" in capsys.readouterr().err


def test_without_the_library_it_says_what_to_install(
    venue: Venue, credentials: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "eth_account", None)
    assert make() == 69
    assert "bin/setup" in capsys.readouterr().err
    assert files(credentials) == {}
