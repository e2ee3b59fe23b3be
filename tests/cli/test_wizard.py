"""The first configuration: every key explained, never over another file, and no secret in it."""

import io
import itertools
import os
import select
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

from common.runtime.config import Config, known_keys, load_config, value_of
from common.runtime.credentials import read_credentials
from procs.cli.commented_config import commented_config
from procs.cli.main import laggard, run

TOKEN = "123456789:" + "Ab3_-" * 7


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("LAGGARD_CONFIG", raising=False)
    return tmp_path / "laggard"


def answer(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))


def uncommented(text: str) -> str:
    """The file with every default set, as if its reader had removed each #."""
    lines = [
        line[1:] if line.startswith("#") and not line.startswith("# ") else line for line in text.splitlines()
    ]
    return "\n".join(line for line in lines if not line.endswith('= "..."'))


def test_every_key_stands_in_the_file_once_with_its_default(tmp_path: Path) -> None:
    text = commented_config({})
    assert tomllib.loads(text) == {
        name: {} for name, field in Config.model_fields.items() if isinstance(field.default, BaseModel)
    }
    file = tmp_path / "config.toml"
    file.write_text(uncommented(text))
    assert load_config(file, {}) == Config()
    found = tomllib.loads(uncommented(text))
    unset = {key for key in known_keys() if value_of(Config(), key) is None}
    stands = {f"{name}.{key}" for name, inner in found.items() if isinstance(inner, dict) for key in inner}
    stands |= {name for name, inner in found.items() if not isinstance(inner, dict)}
    assert stands | unset == set(known_keys())
    for key in unset:
        assert f'#{key.rpartition(".")[2]} = "..."' in text


def test_every_key_is_explained_above_it() -> None:
    lines = commented_config({}).splitlines()
    explained = 0
    for above, line in itertools.pairwise(lines):
        if line.startswith("#") and not line.startswith("# ") and line != "#":
            assert above.startswith("# ") and above.endswith("."), line
            explained += 1
    assert explained == len(known_keys())
    assert all(len(line) <= 110 for line in lines)


def test_units_ranges_and_choices_come_from_the_types() -> None:
    text = commented_config({})
    for said in (
        "# No order on an oracle price older than this (seconds, more than 0).",
        "# The most open positions (from 1 up to 1000).",
        "# Mode (paper or live).",
        "(dollars, as text)",
        "(percent, as text)",
        "Assets (any of btc, eth, sol, xrp).",
    ):
        assert said in text


def test_defaults_ask_nothing_and_write_a_right_file(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(laggard, ["init", "--defaults"]) == 0
    file = home / "config.toml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert load_config(file, {}) == Config()
    captured = capsys.readouterr()
    assert str(file) in captured.out and "laggard up" in captured.out
    assert run(laggard, ["config", "check"]) == 0


def test_a_file_is_never_replaced(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home.mkdir()
    (home / "config.toml").symlink_to(home / "nowhere")
    assert run(laggard, ["init", "--defaults"]) == 1
    assert str(home / "config.toml") in capsys.readouterr().err
    assert not (home / "nowhere").exists()


def test_answers_are_checked_one_by_one_and_only_what_differs_is_set(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer(
        monkeypatch,
        "gamble", "paper",
        "btc,doge", "btc, eth",
        "",
        "ten", "12.5",
        "",
        "0", "3",
        "",
    )  # fmt: skip
    assert run(laggard, ["init"]) == 0
    err = capsys.readouterr().err
    assert err.count("Input should be") == 3
    found = tomllib.loads((home / "config.toml").read_text())
    assert {name: inner for name, inner in found.items() if inner} == {
        "markets": {"assets": ["btc", "eth"]},
        "strategy": {"stake_usd": "12.5"},
        "risk": {"max_positions": 3},
    }
    assert not (home / "credentials").exists()


def test_real_money_needs_its_wallet(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer(monkeypatch, "live", "", "", "", "", "", "deposit", "", "")
    assert run(laggard, ["init"]) == 78
    assert "wallet.address" in capsys.readouterr().err
    assert not home.exists()
    address = "0x" + "12" * 20
    answer(monkeypatch, "live", "", "", "", "", "", "safe", "0x12", address, "")
    assert run(laggard, ["init"]) == 0
    found = load_config(home / "config.toml", {})
    assert (found.mode, found.wallet.kind, found.wallet.address) == ("live", "safe", address)
    captured = capsys.readouterr()
    assert "laggard up --live" in captured.out
    assert "an address is 0x and 40 hexadecimal digits" in captured.err


def test_a_bot_has_somebody_to_write_to(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer(monkeypatch, "", "", "", "", "", "", TOKEN, "0", "", "", "77")
    assert run(laggard, ["init"]) == 0
    assert "needs a chat or a user to write to" in capsys.readouterr().err
    found = load_config(home / "config.toml", {}).telegram
    assert (found.chat_id, found.allowed_users) == (0, (77,))


def test_the_token_goes_into_a_private_file_and_nowhere_else(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer(monkeypatch, "", "", "", "", "", "", "no token", TOKEN, "-1001234", "77, 78")
    assert run(laggard, ["init"]) == 0
    file = home / "credentials" / "telegram.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    kept = read_credentials(file, ("token",))
    assert kept is not None and kept["token"].reveal() == TOKEN
    captured = capsys.readouterr()
    text = (home / "config.toml").read_text()
    assert TOKEN not in captured.out + captured.err + text
    found = load_config(home / "config.toml", {})
    assert (found.telegram.chat_id, found.telegram.allowed_users) == (-1001234, (77, 78))


def test_on_a_terminal_the_token_is_not_shown(home: Path) -> None:
    screen, terminal = os.openpty()
    shown = b""

    def until(text: bytes) -> None:
        nonlocal shown
        while text not in shown:
            assert select.select([screen], [], [], 20)[0], shown
            shown += os.read(screen, 1000)

    command = "from procs.cli.main import main; main(['init'])"
    with subprocess.Popen(
        [sys.executable, "-c", command],
        cwd=Path(__file__).parents[2],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    ) as asking:
        for question in (
            b"live with real money",
            b"Assets",
            b"Routes",
            b"one order",
            b"losing",
            b"positions",
        ):
            until(question)
            os.write(screen, b"\n")
        until(b"no Telegram): ")
        os.write(screen, TOKEN.encode() + b"\n")
        until(b"Chat to write to")
        os.write(screen, b"5\n")
        until(b"User ids")
        os.write(screen, b"\n")
        until(b"laggard status")
        assert asking.wait(20) == 0
    os.close(terminal)
    os.close(screen)
    assert TOKEN[10:].encode() not in shown
    kept = read_credentials(home / "credentials" / "telegram.json", ("token",))
    assert kept is not None and kept["token"].reveal() == TOKEN


def test_a_token_that_is_there_is_kept(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "credentials").mkdir(parents=True)
    (home / "credentials" / "telegram.json").write_text('{"token": "old"}')
    answer(monkeypatch, "", "", "", "", "", "", "5", "")
    assert run(laggard, ["init"]) == 0
    assert (home / "credentials" / "telegram.json").read_text() == '{"token": "old"}'
    assert load_config(home / "config.toml", {}).telegram.chat_id == 5


def test_ending_early_writes_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, "paper", "btc")
    assert run(laggard, ["init"]) == 130
    assert not home.exists()


@pytest.mark.parametrize(
    "options", [("--defaults", "--reader-key"), ("--defaults", "--trading-key"), ("--replace",)]
)
def test_options_that_make_no_sense_write_nothing(home: Path, options: tuple[str, ...]) -> None:
    assert run(laggard, ["init", *options]) == 2
    assert not home.exists()
