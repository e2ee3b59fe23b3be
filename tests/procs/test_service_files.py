"""Unit, image and dashboard files: right by their own tools, and true to supervisord.conf."""

import configparser
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from supervisor.options import ServerOptions

from procs.cli import service
from procs.cli.main import laggard, run
from procs.cli.stack import ROOT, Stack, read_meeting, supervisor_pid
from procs.cli.up_down import STOP_LIMIT_S

FILES = ROOT / "procs" / "service"


def options(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stack of nobody, and systemd's directory below it."""
    stack = Stack(tmp_path / "checkout" / "supervisord.conf")
    monkeypatch.setattr(service, "own_stack", lambda: stack)
    monkeypatch.setattr(service, "SYSTEM_DIR", tmp_path / "system")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name in ("LAGGARD_CONFIG", "LAGGARD_STATE_DIR", "SUDO_USER"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def systemd_analyze(verb: str, unit: Path, *more: str) -> "subprocess.CompletedProcess[str]":
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed")
    return subprocess.run(
        [program, verb, *more, unit],
        env=os.environ | {"XDG_RUNTIME_DIR": str(unit.parent), "SYSTEMD_PAGER": ""},
        capture_output=True,
        text=True,
        timeout=50,
    )


@pytest.mark.parametrize("scope", [(), ("--user",)])
@pytest.mark.parametrize("configured", [False, True])
def test_systemd_finds_nothing_wrong_with_the_unit(
    place: Path, scope: tuple[str, ...], configured: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    named: tuple[str, ...] = ()
    if configured:
        (place / "a config.toml").write_text('mode = "paper"\n')
        named = ("--config", str(place / "a config.toml"))
    assert run(laggard, ["service", "show", *scope, *named]) == 0
    unit = place / "laggard.service"
    unit.write_text(capsys.readouterr().out)
    assert "@" not in unit.read_text().replace("@system-service", "")
    assert configured == ("LAGGARD_CONFIG=" in unit.read_text())
    done = systemd_analyze("verify", unit, *scope)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_place_with_odd_characters_means_itself(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = place / "100% my checkout"
    python = root / "python"
    root.mkdir()
    python.symlink_to(sys.executable)
    monkeypatch.setattr(service, "ROOT", root)
    monkeypatch.setattr("sys.executable", str(python))
    assert run(laggard, ["service", "show"]) == 0
    unit = place / "laggard.service"
    unit.write_text(capsys.readouterr().out)
    done = systemd_analyze("verify", unit)
    assert (done.returncode, done.stderr) == (0, "")
    monkeypatch.setattr(service, "ROOT", place / "$HOME")
    assert run(laggard, ["service", "show"]) == 78


def test_the_service_can_do_little_else_than_trade(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(laggard, ["service", "show"]) == 0
    unit = place / "laggard.service"
    unit.write_text(capsys.readouterr().out)
    found = options(unit.read_text())
    for name, value in {
        "NoNewPrivileges": "yes",
        "ProtectSystem": "strict",
        "UMask": "0077",
        "KillMode": "mixed",
        "RestartPreventExitStatus": "78",
        "CapabilityBoundingSet": "",
        "LoadCredential": "laggard-keystore-password",
        "RuntimeDirectoryMode": "0700",
    }.items():
        assert found[name] == [value]
    done = systemd_analyze("security", unit, "--offline=true", "--no-pager")
    exposure = re.search(r"exposure level for laggard\.service: ([0-9.]+)", done.stdout)
    assert exposure is not None, done.stderr
    assert float(exposure[1]) < 3


@pytest.mark.parametrize("name", ["laggard.service", "laggard-user.service"])
def test_what_laggard_down_ended_stays_down(name: str) -> None:
    """supervisord ends with 0 when it was told to; killed or crashed, systemd calls it a failure."""
    found = options((FILES / name).read_text())
    assert found["Restart"] == ["on-failure"]
    assert found["RestartPreventExitStatus"] == ["78"]
    assert "SuccessExitStatus" not in found
    # A network that comes up minutes late must not end it for good.
    assert found["StartLimitIntervalSec"] == ["0"] and int(found["RestartSec"][0]) >= 5


@pytest.mark.parametrize("name", ["laggard.service", "laggard-user.service"])
def test_systemd_waits_longer_than_everything_below_it(name: str) -> None:
    (limit,) = options((FILES / name).read_text())["TimeoutStopSec"]
    conf = configparser.RawConfigParser(inline_comment_prefixes=(";",))
    conf.read(ROOT / "supervisord.conf")
    programs = {section: conf[section] for section in conf.sections() if "stopwaitsecs" in conf[section]}
    groups = [section for section in conf.sections() if section.startswith("group:")]
    slowest = sorted((int(inner["stopwaitsecs"]) for inner in programs.values()), reverse=True)
    # Groups end one after another, the programs of a group together; the sentinel is alone.
    assert int(limit) > STOP_LIMIT_S
    assert int(limit) > slowest[0] + 8 * len(groups)


@pytest.mark.parametrize("scope", [(), ("--user",)])
def test_it_is_installed_updated_and_removed(
    place: Path, scope: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(laggard, ["service", "install", *scope]) == 0
    out = capsys.readouterr().out
    file = place / ("config/systemd/user" if scope else "system") / "laggard.service"
    assert str(file) in out and "daemon-reload" in out
    for directory in (place / "checkout" / ".run", place / "state" / "laggard"):
        assert directory.stat().st_mode & 0o777 == 0o700
    file.write_text(file.read_text() + "# an older one\n")
    assert run(laggard, ["service", "install", *scope]) == 0
    assert "an older one" not in file.read_text()
    wanted = file.parent / "default.target.wants"
    wanted.mkdir()
    (wanted / "laggard.service").symlink_to(file)
    assert run(laggard, ["service", "uninstall", *scope]) == 1
    assert "disable --now" in capsys.readouterr().err
    (wanted / "laggard.service").unlink()
    assert run(laggard, ["service", "uninstall", *scope]) == 0
    assert not file.exists()
    assert run(laggard, ["service", "uninstall", *scope]) == 0


def test_a_unit_of_somebody_else_is_left_alone(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = place / "system" / "laggard.service"
    file.parent.mkdir()
    file.write_text("[Service]\nExecStart=/bin/true\n")
    assert run(laggard, ["service", "install"]) == 1
    assert run(laggard, ["service", "uninstall"]) == 1
    assert "not laggard's" in capsys.readouterr().err
    assert "ExecStart=/bin/true" in file.read_text()


@pytest.mark.parametrize(("mode", "live"), [("live", ()), ("paper", ("--live",))])
def test_real_money_is_told_twice(
    place: Path, mode: str, live: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    file = place / "c.toml"
    file.write_text(f'mode = "{mode}"\n[wallet]\naddress = "0x{"12" * 20}"\n')
    assert run(laggard, ["service", "install", "--config", str(file), *live]) == 78
    assert "both" in capsys.readouterr().err
    assert not (place / "system").exists()


def test_a_user_that_is_not_there(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(laggard, ["service", "show", "--run-as", "nobody-of-that-name"]) == 78
    assert "there is no user" in capsys.readouterr().err


# The foreground, which unit and image start.


@pytest.fixture
def bare() -> Iterator[Stack]:
    """The real supervisord.conf without its programs."""
    with tempfile.TemporaryDirectory(prefix="lg-", dir="/tmp") as name:
        stack = Stack(Path(name) / "supervisord.conf")
        text = (ROOT / "supervisord.conf").read_text()
        stack.conf.write_text(text[: text.index("[program:")])
        yield stack


def foreground(stack: Stack) -> "subprocess.Popen[str]":
    program = (
        "from pathlib import Path; from procs.cli import up_down; from procs.cli.stack import Stack\n"
        f"up_down.own_stack = lambda: Stack(Path({str(stack.conf)!r}))\n"
        "from procs.cli.main import main; main(['up', '--foreground'])"
    )
    base = stack.conf.parent
    return subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=os.environ
        | {
            "LAGGARD_STATE_DIR": str(base / "s"),
            "LAGGARD_RUN_DIR": str(base / "r"),
            "XDG_CONFIG_HOME": str(base),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.procs
def test_in_the_foreground_it_becomes_supervisord_itself(bare: Stack) -> None:
    with foreground(bare) as first:
        limit = time.monotonic() + 20
        while supervisor_pid(bare) is None and time.monotonic() < limit and first.poll() is None:
            time.sleep(0.05)
        assert supervisor_pid(bare) == first.pid
        meeting = read_meeting(bare)
        assert meeting is not None and meeting.run_dir == str(bare.conf.parent / "r")
        with foreground(bare) as second:
            out, _ = second.communicate(timeout=20)
        assert second.returncode == 69
        assert f"supervisord pid {first.pid}" in out
        first.send_signal(signal.SIGTERM)
        assert first.wait(20) == 0


# The image.


def dockerfile() -> str:
    return (FILES / "Dockerfile").read_text()


def test_hadolint_finds_nothing() -> None:
    program = shutil.which("hadolint") or shutil.which("hadolint", path=Path(sys.executable).parent)
    if program is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run([program, FILES / "Dockerfile"], capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stdout) == (0, "")


def test_what_the_image_copies_is_there_and_not_ignored() -> None:
    copied = {
        name.removeprefix("./").rstrip("/")
        for line in re.findall(r"^COPY (?!--from)(.*)$", dockerfile(), re.MULTILINE)
        for name in line.split()[:-1]
    }
    ignored = (FILES / "Dockerfile.dockerignore").read_text().splitlines()
    assert "*" in ignored
    assert {line[1:] for line in ignored if line.startswith("!")} == copied
    for name in copied:
        assert (ROOT / name).exists(), name
    assert os.access(FILES / "entrypoint", os.X_OK)
    assert "USER 10001" in dockerfile() and "STOPSIGNAL SIGTERM" in dockerfile()


def test_in_a_container_everything_is_written_to_its_own_output(tmp_path: Path) -> None:
    expressions = re.findall(r"-e '([^']+)'", dockerfile())
    assert len(expressions) == 3
    conf = tmp_path / "supervisord.conf"
    shutil.copy(ROOT / "supervisord.conf", conf)
    edits = [part for expression in expressions for part in ("-e", expression)]
    subprocess.run(["sed", "-i", *edits, conf], check=True, timeout=10)
    (tmp_path / ".run" / "log").mkdir(parents=True)
    read = ServerOptions()
    read.realize(["-c", str(conf)], doc="")
    programs = [program for group in read.process_group_configs for program in group.process_configs]
    assert len(programs) >= 11
    for program in programs:
        logs = {program.stdout_logfile, program.stderr_logfile} - {None}
        assert logs and logs <= {"/dev/fd/1", "/dev/fd/2"}, (program.name, logs)
        for name in ("stdout", "stderr"):
            if getattr(program, f"{name}_logfile") is not None:
                assert getattr(program, f"{name}_logfile_maxbytes") == 0, "a pipe cannot be rotated"


@pytest.mark.parametrize("mounted", [False, True])
def test_a_mounted_configuration_is_used(tmp_path: Path, mounted: bool) -> None:
    script = (FILES / "entrypoint").read_text().replace("/etc/laggard", str(tmp_path))
    (tmp_path / "laggard").write_text('#!/bin/sh\necho "${LAGGARD_CONFIG:-none} $*"\n')
    (tmp_path / "laggard").chmod(0o755)
    if mounted:
        (tmp_path / "config.toml").touch()
    done = subprocess.run(
        ["sh", "-c", script, "entrypoint", "up", "--foreground"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=10,
    )
    assert done.stdout == f"{tmp_path / 'config.toml' if mounted else 'none'} up --foreground\n"


# supervisord.conf as its users expect it.


def test_every_program_is_steered_alike() -> None:
    conf = configparser.RawConfigParser(inline_comment_prefixes=(";",))
    conf.read(ROOT / "supervisord.conf")
    assert conf["unix_http_server"]["chmod"] == "0700"
    assert "inet_http_server" not in conf
    assert "%(ENV_" not in "".join(value for section in conf.sections() for value in conf[section].values())
    grouped = {
        name.strip()
        for section in conf.sections()
        if section.startswith("group:")
        for name in conf[section]["programs"].split(",")
    }
    priorities = {}
    for section in conf.sections():
        kind, _, name = section.partition(":")
        if kind not in ("program", "eventlistener"):
            continue
        inner = conf[section]
        assert inner["startsecs"] == "3", "less would let one that dies at once be reported RUNNING"
        assert (inner["autorestart"], inner["exitcodes"]) == ("unexpected", "0,78"), name
        assert inner["stopsignal"] == "TERM" and int(inner["stopwaitsecs"]) >= 8, name
        stream = "stdout" if kind == "program" else "stderr"
        assert inner[f"{stream}_logfile"].endswith("%(program_name)s.log"), name
        assert inner[f"{stream}_logfile_maxbytes"] and int(inner[f"{stream}_logfile_backups"]) >= 1, name
        if kind == "program":
            assert inner["startretries"] == conf["program:executor"]["startretries"], name
            assert name in grouped and inner["killasgroup"] == inner["stopasgroup"] == "true", name
            priorities[name] = int(inner["priority"])
    assert min(priorities, key=priorities.__getitem__) == "executor", "it starts first and stops last"
    assert conf["program:executor"]["stopwaitsecs"] == "30"
