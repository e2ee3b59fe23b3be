"""The key comes from one place, is quoted nowhere, and no other process of the user can read it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from eth_account import Account

from common.errors import ConfigError
from common.runtime.config import Config, load_config
from common.runtime.paths import Paths, make_paths
from common.runtime.trading_key import (
    hand_over,
    handed_file,
    read_trading_key,
    refuse_in_environment,
    take_back,
)

KEY = "0x" + "5a" * 32
PASSWORD = "correct horse"


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    (tmp_path / "run").mkdir(mode=0o700)
    (tmp_path / "credentials").mkdir(mode=0o700)
    return make_paths(str(tmp_path / "state"), str(tmp_path / "run"), str(tmp_path / "credentials"))


def config(source: str, tmp_path: Path, mode: str = "live") -> Config:
    file = tmp_path / "c.toml"
    file.write_text(f'mode = "{mode}"\n[wallet]\nkind = "eoa"\nkey_source = "{source}"\n')
    return load_config(file, {})


def private(file: Path, text: str) -> None:
    file.write_text(text)
    file.chmod(0o600)


def problem(source: str, paths: Paths, tmp_path: Path) -> str:
    with pytest.raises(ConfigError) as raised:
        read_trading_key(config(source, tmp_path), paths)
    assert KEY[2:] not in str(raised.value)
    assert PASSWORD not in str(raised.value)
    return str(raised.value)


def test_a_credential_file(paths: Paths, tmp_path: Path) -> None:
    file = paths.credentials_file("trading")
    assert str(file) in problem("file", paths, tmp_path)
    private(file, json.dumps({"private_key": KEY}))
    found = read_trading_key(config("file", tmp_path), paths)
    assert found.private_key.reveal() == KEY
    assert KEY[2:] not in repr(found)
    file.chmod(0o644)
    assert "chmod 600" in problem("file", paths, tmp_path)


def test_a_keystore(paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    file = paths.credentials_file("trading.keystore")
    assert "no keystore" in problem("keystore", paths, tmp_path)
    private(file, json.dumps(Account.encrypt(KEY, PASSWORD, kdf="pbkdf2", iterations=2)))
    assert "password is missing" in problem("keystore", paths, tmp_path)
    word = file.with_name("trading.password")
    private(word, "wrong")
    assert "does not open" in problem("keystore", paths, tmp_path)
    private(word, PASSWORD + "\n")
    assert read_trading_key(config("keystore", tmp_path), paths).private_key.reveal() == KEY
    word.chmod(0o640)
    assert "chmod 600" in problem("keystore", paths, tmp_path)
    word.unlink()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    private(tmp_path / "laggard-keystore-password", PASSWORD)
    assert read_trading_key(config("keystore", tmp_path), paths).private_key.reveal() == KEY


def test_what_the_environment_held_is_handed_over_and_taken_back(paths: Paths, tmp_path: Path) -> None:
    assert "laggard up" in problem("environment", paths, tmp_path)
    environ = {"LAGGARD_PRIVATE_KEY": KEY, "PATH": "/bin"}
    with pytest.raises(ConfigError, match="LAGGARD_PRIVATE_KEY"):
        refuse_in_environment(environ)
    hand_over(environ, config("environment", tmp_path), paths)
    assert environ == {"PATH": "/bin"}
    refuse_in_environment(environ)
    assert handed_file(paths).stat().st_mode & 0o777 == 0o600
    assert read_trading_key(config("environment", tmp_path), paths).private_key.reveal() == KEY
    hand_over({}, config("environment", tmp_path), paths)  # a start without one leaves none of an earlier run
    assert not handed_file(paths).exists()
    hand_over({"LAGGARD_PRIVATE_KEY": KEY}, config("environment", tmp_path), paths)
    take_back(paths)
    assert not handed_file(paths).exists()
    take_back(paths)


@pytest.mark.parametrize(
    ("source", "mode", "left"),
    [
        ("environment", "live", {"LAGGARD_PRIVATE_KEY"}),
        ("keystore", "live", {"LAGGARD_KEYSTORE_PASSWORD"}),
        ("file", "live", set()),
        ("environment", "paper", set()),
    ],
)
def test_only_what_is_needed_is_handed_over(
    paths: Paths, tmp_path: Path, source: str, mode: str, left: set[str]
) -> None:
    environ = {"LAGGARD_PRIVATE_KEY": KEY, "LAGGARD_KEYSTORE_PASSWORD": PASSWORD, "HOME": "/"}
    hand_over(environ, config(source, tmp_path, mode), paths)
    assert environ == {"HOME": "/"}
    file = handed_file(paths)
    assert set(json.loads(file.read_text()) if file.exists() else {}) == left


def test_a_handed_password_opens_the_keystore(paths: Paths, tmp_path: Path) -> None:
    encrypted = Account.encrypt(KEY, PASSWORD, kdf="pbkdf2", iterations=2)
    private(paths.credentials_file("trading.keystore"), json.dumps(encrypted))
    hand_over({"LAGGARD_KEYSTORE_PASSWORD": PASSWORD}, config("keystore", tmp_path), paths)
    assert read_trading_key(config("keystore", tmp_path), paths).private_key.reveal() == KEY


def test_a_process_with_a_key_in_its_environment_does_not_start(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "LAGGARD_PRIVATE_KEY": KEY, "LAGGARD_RUN_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "procs.recorder"],
        cwd=Path(__file__).parents[2],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 78
    assert "laggard up" in done.stdout
    assert KEY[2:] not in done.stdout + done.stderr


CRASH = """
import os, sys
from common.runtime.trading_key import close_doors
close_doors()
import ctypes, resource
print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE))
sys.stdout.flush()
os.abort()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's doors are Linux's")
def test_no_core_is_left_and_the_memory_is_closed(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CRASH],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode < 0
    assert done.stdout.strip().splitlines()[-1] == "0 (0, 0)"
    assert list(tmp_path.iterdir()) == []


NOBODY = """
import os
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
"""
VICTIM = f"""
import ctypes, sys
from common.runtime.trading_key import close_doors
{NOBODY}
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # as a process is that did not change its user
if sys.argv[1] == "closed":
    close_doors()
print("ready", flush=True)
sys.stdin.read()
"""
NEIGHBOUR = f"""
import sys
{NOBODY}
for name in ("environ", "maps", "mem", "stat"):
    try:
        open(f"/proc/{{sys.argv[1]}}/{{name}}", "rb").close()
    except PermissionError:
        continue
    print(name)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's doors are Linux's")
@pytest.mark.parametrize(("doors", "seen"), [("open", {"environ", "maps"}), ("closed", set())])
def test_another_process_of_the_user_reads_neither_memory_nor_environment(doors: str, seen: set[str]) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        [sys.executable, "-c", VICTIM, doors],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as victim:
        assert victim.stdout is not None
        assert victim.stdout.readline() == "ready\n"
        looked = subprocess.run(
            [sys.executable, "-c", NEIGHBOUR, str(victim.pid)], capture_output=True, text=True, timeout=30
        )
        assert victim.stdin is not None
        victim.stdin.close()
    found = set(looked.stdout.split())
    # A kernel may keep other processes' memory to their parents in any case.
    assert found - {"mem", "stat"} == seen
    assert "stat" in found
    assert doors == "open" or "mem" not in found
