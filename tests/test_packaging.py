"""The first contact: setup from nothing, the lock, the import contracts, the guards of the tests."""

import ast
import configparser
import importlib
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ("bin/setup", "bin/test", "bin/check", "bin/demo", "bin/laggard", ".ci/run")
TOOLS = (
    "bash",
    "env",
    "dirname",
    "readlink",
    "cat",
    "cmp",
    "head",
    "tail",
    "mkdir",
    "mv",
    "rm",
    "sleep",
    "uname",
)
IMPORTED_AS = {
    "pycryptodome": "Crypto",
    "polymarket-client": "polymarket",
    "python-telegram-bot": "telegram",
    "pyzmq": "zmq",
}

FAKE_PYTHON = """#!/usr/bin/env bash
# Stands for an interpreter: the real one answers -c; environments and installations are only written down.
set -e
here=$(dirname "$(readlink -f "$0")")
case "$1 $2" in
"-c import ensurepip, venv") [[ ! -e {home}/no-venv ]] ;;
"-c "*) exec {python} "$@" ;;
"-V "*|"-VV "*) cat {home}/version ;;
"-P -m") shift 2; printf '%s\\n' "$@" ;;
"-m venv") mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; echo venv >>{home}/calls ;;
"-m pip")
    echo "pip ${{*: -1}}" >>{home}/calls
    sleep {pause}
    [[ ! -e {home}/pip-fails ]] || {{ echo no space; exit 1; }} ;;
*) exit 9 ;;
esac
"""


def settings() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def declared() -> list[Requirement]:
    parser = settings()
    texts = [parser["options"]["install_requires"], *parser["options.extras_require"].values()]
    lines = [line.strip() for text in texts for line in text.splitlines()]
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def locked() -> dict[str, str]:
    pattern = re.compile(r"^([a-z0-9-]+)==([^ ;]+)(?: ;[^\\]*)? ?\\$", re.MULTILINE)
    return dict(pattern.findall((ROOT / "requirements.lock").read_text()))


# The lock and the declarations.


def test_every_declared_dependency_is_locked_within_its_bounds() -> None:
    versions = locked()
    for requirement in declared():
        name = canonicalize_name(requirement.name)
        assert name in versions, f"{name} is not in requirements.lock"
        assert requirement.specifier.contains(versions[name]), f"{requirement} against {versions[name]}"
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    for requirement in map(Requirement, build):
        assert requirement.specifier.contains(versions[requirement.name])


def test_the_lock_holds_hashes_and_no_places() -> None:
    entries = re.split(r"\n(?=\S)", (ROOT / "requirements.lock").read_text())
    for entry in entries:
        if not entry.startswith("#"):
            assert re.match(r"[a-z0-9-]+==", entry), entry.splitlines()[0]
            assert "--hash=sha256:" in entry, entry.splitlines()[0]
            assert not re.search(r"://|--index|--find-links|-e ", entry), entry.splitlines()[0]


def test_what_is_imported_is_declared() -> None:
    names = {canonicalize_name(item.name) for item in declared()}
    known = {IMPORTED_AS.get(name, name.replace("-", "_")) for name in names}
    known |= set(sys.stdlib_module_names) | {"common", "procs"}
    for file in [*ROOT.glob("common/**/*.py"), *ROOT.glob("procs/**/*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
            for module in modules:
                assert module.partition(".")[0] in known, f"{file.relative_to(ROOT)} imports {module}"


def test_every_room_is_a_package() -> None:
    for top in ("common", "procs"):
        for file in (ROOT / top).rglob("*.py"):
            assert (file.parent / "__init__.py").is_file(), f"{file.parent} would not be installed"


def test_the_command_leads_somewhere() -> None:
    name, _, target = settings()["options.entry_points"]["console_scripts"].strip().partition(" = ")
    module, _, attribute = target.partition(":")
    assert name == "laggard"
    assert callable(getattr(importlib.import_module(module), attribute))


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_can_be_run(script: str) -> None:
    assert os.access(ROOT / script, os.X_OK)
    subprocess.run(["bash", "-n", ROOT / script], check=True, timeout=10)


# bin/setup against an interpreter that only writes down what it is asked for.


class Checkout:
    """A copy of what bin/setup reads, and a PATH with nothing on it but a few tools."""

    def __init__(self, home: Path, pause_s: float) -> None:
        self.home = home
        self.root = home / "checkout"
        (self.root / "bin").mkdir(parents=True)
        (home / "path").mkdir()
        for name in TOOLS:
            (home / "path" / name).symlink_to(shutil.which(name) or f"/bin/{name}")
        shutil.copy(ROOT / "bin/setup", self.root / "bin/setup")
        for name in ("requirements.lock", "setup.cfg", "pyproject.toml"):
            (self.root / name).write_text(name)
        (home / "version").write_text("Python 3.12.0\n")
        self.python = home / "path" / "python3.12"
        self.python.write_text(FAKE_PYTHON.format(home=home, python=sys.executable, pause=pause_s))
        self.python.chmod(0o755)
        (home / "path" / "cp").symlink_to(shutil.which("cp") or "/bin/cp")

    def give_npm(self, machine: str) -> None:
        """Make this a machine of that kind, with an npm that only writes down what it is asked for."""
        (self.root / EVM).mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            (self.root / EVM / name).write_text(name)
        failing = self.home / "npm-fails"
        npm = (
            f'#!/usr/bin/env bash\necho "npm $1" >>{self.home / "calls"}\n'
            f"[[ ! -e {failing} ]] || {{ echo no space; exit 1; }}\n"
        )
        (self.home / "path/uname").unlink()
        for name, script in (("npm", npm), ("uname", f"#!/usr/bin/env bash\necho {machine}\n")):
            (self.home / "path" / name).write_text(script)
            (self.home / "path" / name).chmod(0o755)

    def start(self) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [self.root / "bin/setup"],
            env={"PATH": str(self.home / "path")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def setup(self) -> tuple[int, str]:
        """The exit code and stderr; stdout must stay empty."""
        with self.start() as process:
            out, err = process.communicate(timeout=20)
        assert out == ""
        return process.returncode, err

    def calls(self) -> list[str]:
        """What was done since the last time this was asked."""
        file = self.home / "calls"
        lines = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return lines


EVM = "common/sim/evm/npm"
EVERYTHING = ["venv", "pip requirements.lock", "pip .", "pip check"]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path, pause_s=0)


def test_setup_is_done_once(checkout: Checkout) -> None:
    assert checkout.setup()[0] == 0
    assert checkout.calls() == EVERYTHING
    assert checkout.setup() == (0, "")
    assert checkout.calls() == []


@pytest.mark.parametrize("changed", ["requirements.lock", "setup.cfg", "pyproject.toml"])
def test_setup_follows_a_change(checkout: Checkout, changed: str) -> None:
    checkout.setup()
    checkout.calls()
    (checkout.root / changed).write_text("other")
    assert checkout.setup()[0] == 0
    assert checkout.calls() == EVERYTHING[1:]


@pytest.mark.parametrize("complete_before", [False, True])
def test_a_failed_setup_never_looks_complete(checkout: Checkout, complete_before: bool) -> None:
    if complete_before:
        checkout.setup()
        (checkout.root / "setup.cfg").write_text("other")
    (checkout.home / "pip-fails").touch()
    code, err = checkout.setup()
    assert code == 69
    assert "no space" in err
    assert "setup.log" in err
    (checkout.home / "pip-fails").unlink()
    checkout.calls()
    assert checkout.setup()[0] == 0
    assert checkout.calls() == EVERYTHING


def test_a_moved_checkout_is_set_up_anew(checkout: Checkout) -> None:
    checkout.setup()
    checkout.calls()
    checkout.root = checkout.root.rename(checkout.home / "elsewhere")
    assert checkout.setup()[0] == 0
    assert checkout.calls() == EVERYTHING


def test_two_setups_at_once_install_once(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path, pause_s=0.5)
    with checkout.start() as first, checkout.start() as second:
        first.communicate(timeout=30)
        second.communicate(timeout=30)
    assert (first.returncode, second.returncode) == (0, 0)
    assert checkout.calls() == EVERYTHING


def test_a_killed_setup_is_repeated(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path, pause_s=1)
    with checkout.start() as process:
        limit = time.monotonic() + 10
        while not (checkout.home / "calls").exists() or "pip" not in (checkout.home / "calls").read_text():
            assert time.monotonic() < limit
            time.sleep(0.01)
        process.kill()
        process.communicate(timeout=10)
    checkout.calls()
    assert checkout.setup()[0] == 0
    assert checkout.calls() == EVERYTHING


def test_setup_without_python_says_what_to_install(checkout: Checkout) -> None:
    checkout.python.unlink()
    code, err = checkout.setup()
    assert code == 69
    assert "no Python 3.11 or later" in err
    assert "apt install python3" in err


def test_setup_without_the_venv_module_says_what_to_install(checkout: Checkout) -> None:
    (checkout.home / "no-venv").touch()
    code, err = checkout.setup()
    assert code == 69
    assert re.search(r"apt install python3\.\d+-venv", err)
    assert not (checkout.root / ".venv").exists()


def test_setup_installs_the_node_once_and_follows_its_lock(checkout: Checkout) -> None:
    checkout.give_npm("Linux x86_64")
    assert checkout.setup()[0] == 0
    assert checkout.calls() == [*EVERYTHING, "npm ci"]
    assert checkout.setup() == (0, "")
    assert checkout.calls() == []
    (checkout.root / EVM / "package-lock.json").write_text("other")
    assert checkout.setup()[0] == 0
    assert checkout.calls() == ["npm ci"]
    (checkout.root / "setup.cfg").write_text("other")
    assert checkout.setup()[0] == 0
    assert checkout.calls() == EVERYTHING[1:]


def test_a_failed_npm_is_named_and_repeated(checkout: Checkout) -> None:
    checkout.give_npm("Linux x86_64")
    (checkout.home / "npm-fails").touch()
    code, err = checkout.setup()
    assert code == 69
    assert "no space" in err
    (checkout.home / "npm-fails").unlink()
    checkout.calls()
    assert checkout.setup()[0] == 0
    assert checkout.calls() == ["npm ci"]


def test_setup_goes_without_the_node_on_other_machines(checkout: Checkout) -> None:
    checkout.give_npm("Darwin arm64")
    code, err = checkout.setup()
    assert code == 0
    assert "go without a real EVM node" in err
    assert checkout.calls() == EVERYTHING
    assert checkout.setup() == (0, "")


# bin/test, and what it asks of pytest.


@pytest.mark.parametrize(
    ("where", "given", "asked"),
    [
        ("tests", ["test_a.py::test_it"], ["-m", "not slow", "test_a.py::test_it"]),
        (".", ["--all", "-k", "it"], ["-m", "slow or not slow", "-k", "it", "{root}/tests"]),
        ("..", ["-k", "it"], ["-m", "not slow", "-k", "it", "{root}/tests"]),
    ],
)
def test_tests_are_run_from_anywhere(
    checkout: Checkout, where: str, given: list[str], asked: list[str]
) -> None:
    checkout.setup()
    shutil.copy(ROOT / "bin/test", checkout.root / "bin/test")
    (checkout.root / "tests").mkdir()
    (checkout.root / "tests/test_a.py").touch()
    link = checkout.home / "linked-test"
    link.symlink_to(checkout.root / "bin/test")
    done = subprocess.run(
        [link, *given],
        cwd=checkout.root / where,
        env={"PATH": str(checkout.home / "path")},
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    root = str(checkout.root)
    expected = ["pytest", "-c", f"{root}/setup.cfg", "--rootdir", root]
    assert done.stdout.splitlines() == expected + [word.format(root=root) for word in asked]


def test_the_whole_suite_runs_in_parts_of_which_one_failing_fails_it(checkout: Checkout) -> None:
    checkout.setup()
    shutil.copy(ROOT / "bin/test", checkout.root / "bin/test")
    (checkout.root / "tests").mkdir()
    (checkout.root / "tests/test_a.py").touch()
    asked = [checkout.root / "bin/test", "--color=no"]
    environment = {"PATH": str(checkout.home / "path")}
    done = subprocess.run(asked, env=environment, capture_output=True, text=True, check=True, timeout=20)
    words = done.stdout.splitlines()
    parts = [words[place + 1] for place, word in enumerate(words) if word == "-m"]
    assert parts == [
        "(not slow) and (alone)",
        "(not slow) and (not procs and not alone)",
        "(not slow) and (live and not alone)",
        "(not slow) and (procs and not live and not alone)",
    ]
    assert words.count("--color=no") == 4
    for half in parts:
        fake = checkout.root / ".venv/bin/python"
        whole = fake.read_text()
        fake.write_text(whole.replace('"-P -m")', f'"-P -m") [[ "$*" != *"{half}"* ]] || exit 5;'))
        done = subprocess.run(asked, env=environment, capture_output=True, text=True, timeout=20)
        assert done.returncode == 5, half
        fake.write_text(whole)


# The import contracts, each against a house that breaks it.

ROOMS = ("core", "runtime", "store", "feeds", "venue", "chat", "sim")
HOUSE = {
    "common/messages": "",
    "common/units": "",
    "common/errors": "",
    "common/core/rule": "import common.units",
    "common/sim/server": "",
    "procs/venue": "import common.sim.server",
    "procs/cli/demo": "import common.sim.server",
    "procs/cli/demo_config": "import common.sim.server",
}


@pytest.mark.parametrize(
    ("file", "line", "broken"),
    [
        ("common/core/a.py", "import math", None),
        ("common/core/a.py", "import zmq", "core is pure"),
        ("common/units.py", "import time", "core is pure"),
        ("common/core/a.py", "import common.runtime", "imports go down"),
        ("common/feeds/a.py", "import common.venue", "imports go down"),
        ("common/chat/a.py", "import common.venue", "imports go down"),
        ("common/chat/a.py", "import common.sim.server", "simulated venue"),
        ("common/store/a.py", "import procs", "common never imports procs"),
        ("procs/executor.py", "import common.sim.server", "simulated venue"),
        ("procs/cli/watch.py", "import common.sim.server", "simulated venue"),
        ("procs/executor.py", "import polymarket", "live adapter"),
        ("common/venue/live.py", "import polymarket", None),
    ],
)
def test_import_contracts(tmp_path: Path, file: str, line: str, broken: str | None) -> None:
    for folder in ("common", "procs", "procs/cli", *(f"common/{room}" for room in ROOMS)):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "__init__.py").touch()
    for module, text in HOUSE.items():
        (tmp_path / f"{module}.py").write_text(f"{text}\n")
    (tmp_path / file).write_text(f"{line}\n")
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache", "--no-logo", ROOT / "setup.cfg"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30,
    )
    verdicts = [row for row in done.stdout.splitlines() if " BROKEN" in row]
    assert done.returncode == (1 if broken else 0), done.stdout + done.stderr
    assert broken is None or any(broken in row for row in verdicts), done.stdout


# The guards in conftest.py, each against a test that needs guarding.


def run_guarded(folder: Path, body: str, **environment: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(ROOT / "tests/conftest.py", folder / "conftest.py")
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = procs\n")
    (folder / "test_guarded.py").write_text(f"import pytest\n{body}")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", folder],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=50,
    )


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        ("socket.socket().connect(('192.0.2.1', 80))", "tried to reach 192.0.2.1:80"),
        ("socket.socket().connect_ex(('192.0.2.1', 80))", "tried to reach 192.0.2.1:80"),
        ("socket.create_connection(('venue.invalid', 80))", "tried to look up venue.invalid"),
    ],
)
def test_the_network_is_refused(tmp_path: Path, call: str, complaint: str) -> None:
    done = run_guarded(tmp_path, f"import socket\ndef test_it():\n    {call}\n")
    assert done.returncode == 1
    assert complaint in done.stdout


def test_loopback_is_allowed(tmp_path: Path) -> None:
    body = """
import socket
def test_it(free_port):
    with socket.create_server(("127.0.0.1", free_port)), socket.create_connection(("localhost", free_port)):
        pass
"""
    assert run_guarded(tmp_path, body).returncode == 0


def test_settings_of_the_caller_are_not_seen(tmp_path: Path) -> None:
    body = "import os\ndef test_it():\n    assert 'LAGGARD_MODE' not in os.environ\n"
    assert run_guarded(tmp_path, body, LAGGARD_MODE="live").returncode == 0


def test_an_orphan_left_behind_is_named_and_ended(tmp_path: Path) -> None:
    body = """
import subprocess
@pytest.mark.procs
def test_it(tmp_path):
    subprocess.run(["sh", "-c", "sleep 600 >&- 2>&- & echo $! >pid"], check=True)
"""
    done = run_guarded(tmp_path, body)
    pid = int((tmp_path / "pid").read_text())
    assert done.returncode == 1
    assert f"left running: {pid} sleep 600" in done.stdout
    limit = time.monotonic() + 5
    while alive(pid):
        assert time.monotonic() < limit
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
