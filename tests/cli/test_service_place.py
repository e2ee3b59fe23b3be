"""Whose state a service has: that of ``laggard up`` by the same user, whoever installs it."""

import os
import pwd
import re
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from procs.cli import service
from procs.cli.main import laggard, run
from procs.cli.stack import Stack

ROOT_ONLY = pytest.mark.skipif(os.getuid() != 0, reason="only root installs for somebody else")


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A stack of nobody, and systemd's directory below it; the user ``nobody`` has a home there."""
    with tempfile.TemporaryDirectory(prefix="lg-", dir="/tmp") as name:
        # pytest's own directories are closed to other users.
        Path(name).chmod(0o711)
        furnish(Path(name), monkeypatch)
        yield Path(name)


def furnish(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = pwd.getpwnam("nobody")
    home = place / "home"
    home.mkdir()
    os.chown(home, nobody.pw_uid if os.getuid() == 0 else -1, -1)
    moved = pwd.struct_passwd((*nobody[:5], str(home), nobody.pw_shell))
    real = pwd.getpwnam
    monkeypatch.setattr(pwd, "getpwnam", lambda name: moved if name == "nobody" else real(name))
    monkeypatch.setattr(service, "own_stack", lambda: Stack(place / "checkout" / "supervisord.conf"))
    monkeypatch.setattr(service, "SYSTEM_DIR", place / "system")
    monkeypatch.setattr(service, "FORMER_STATE", place / "former")
    for name in ("LAGGARD_CONFIG", "LAGGARD_STATE_DIR", "SUDO_USER"):
        monkeypatch.delenv(name, raising=False)


def state_of(unit: str) -> str:
    """The state directory; it is one and the same in every line."""
    (found,) = set(re.findall(r'"(?:LAGGARD_STATE_DIR=)?([^"]+/state/laggard|[^"]+/elsewhere)"', unit))
    assert isinstance(found, str)
    return found


def test_the_state_is_where_that_user_has_it(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(laggard, ["service", "show", "--run-as", "nobody"]) == 0
    unit = capsys.readouterr().out
    assert state_of(unit) == f"{place}/home/.local/state/laggard"
    for line in ("RequiresMountsFor=", "Environment=", "ReadWritePaths="):
        assert re.search(rf"^{line}.*/state/laggard", unit, re.MULTILINE), line


def test_a_configured_state_counts_and_its_home_is_the_users(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = place / "c.toml"
    file.write_text('[paths]\nstate_dir = "~/elsewhere"\ncredentials_dir = "~/secrets"\n')
    assert run(laggard, ["service", "show", "--run-as", "nobody", "--config", str(file)]) == 0
    unit = capsys.readouterr().out
    assert state_of(unit) == f"{place}/home/elsewhere"
    assert f"LAGGARD_PATHS__CREDENTIALS_DIR={place}/home/secrets" in unit


@ROOT_ONLY
def test_root_installs_for_another_user_again_and_again(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nobody = pwd.getpwnam("nobody").pw_uid
    for _ in range(2):
        assert run(laggard, ["service", "install", "--run-as", "nobody"]) == 0, capsys.readouterr().err
        for made in ("checkout/.run", "checkout/.run/log", "home/.local/state/laggard"):
            facts = (place / made).stat()
            assert (facts.st_uid, stat.S_IMODE(facts.st_mode)) == (nobody, 0o700), made
        assert (place / "home" / ".local").stat().st_uid == nobody
        # What root started before would be in the service's way.
        (place / "checkout" / ".run" / "supervisord.pid").write_text("1")
    assert os.getresuid() == (0, 0, 0) and os.getresgid() == (0, 0, 0)


@ROOT_ONLY
def test_no_link_of_the_user_leads_root_astray(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    precious = place / "precious"
    precious.mkdir(mode=0o700)
    (place / "home" / ".local").symlink_to(precious)
    assert run(laggard, ["service", "install", "--run-as", "nobody"]) == 69
    assert "Permission denied" in capsys.readouterr().err
    assert list(precious.iterdir()) == []
    assert not (place / "system").exists()


def test_a_users_own_service_asks_for_no_credential(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Under systemd 252 it would look into /etc/credstore, which is closed to it, and start nothing (243)."""
    assert run(laggard, ["service", "show", "--user"]) == 0
    options = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("#")]
    assert "SyslogIdentifier=laggard" in options
    assert not any(line.startswith("LoadCredential") for line in options)


@ROOT_ONLY
def test_a_service_that_had_a_state_of_its_own_is_not_begun_without_it(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "former").mkdir()
    assert run(laggard, ["service", "install", "--run-as", "nobody"]) == 69
    assert f"move it to {place}/home/.local/state/laggard" in capsys.readouterr().err
    assert not (place / "system").exists()
    (place / "former").rmdir()
    assert run(laggard, ["service", "install", "--run-as", "nobody"]) == 0
