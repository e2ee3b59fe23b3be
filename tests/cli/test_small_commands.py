"""Orders, version, completion, and the options every command understands."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import click
import msgspec
import pytest

from common.messages import OrderState
from procs.cli import manner, orders, version
from procs.cli.main import COMMANDS, laggard, run
from procs.cli.show import console, progress

ROOT = Path(__file__).resolve().parents[2]
ORDER = OrderState(
    order_id="0x1",
    intent_id="i",
    window="btc-updown-15m-1800000000",
    asset="btc",
    token="t",
    outcome="up",
    limit4=5600,
    stake_usd6=10_000_000,
    status="killed",
    reason="no depth",
    filled_size6=0,
    cost_usd6=0,
    fee_usd6=0,
    created_ns=1,
    updated_ns=0,
)


@pytest.fixture
def two_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    newer = msgspec.structs.replace(
        ORDER, order_id="0x2", status="working", unknown="no answer", created_ns=2
    )

    class Report:
        orders = (ORDER, newer)

    monkeypatch.setattr(orders, "find_place", lambda: type("Place", (), {"run_dir": Path("/nowhere")}))
    monkeypatch.setattr(orders, "ask_account", lambda _run_dir: Report)


@pytest.mark.usefixtures("two_orders")
def test_orders_newest_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(laggard, ["orders"]) == 0
    _, first, second = capsys.readouterr().out.splitlines()
    assert "unknown" in first and "no answer" in first
    assert "killed" in second and "no depth" in second and "0.56" in second
    assert run(laggard, ["orders", "-n", "1", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["schema"], shown["kind"]) == (1, "orders")
    assert [one["order_id"] for one in shown["orders"]] == ["0x2"]


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(laggard, ["version", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["version"][0].isdigit()
    assert {"commit", "python", "messages", "journal", "json"} <= shown.keys()
    for line in (["version"], ["--version"]):
        assert run(laggard, line) == 0
        assert capsys.readouterr().out.startswith(f"laggard {shown['version']}")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"HEAD": "0123456789abcdef\n"}, "0123456789ab"),
        ({"HEAD": "ref: refs/heads/x\n", "refs/heads/x": "fedcba9876543210\n"}, "fedcba987654"),
        (
            {"HEAD": "ref: refs/heads/x\n", "packed-refs": "# pack\nfedcba9876543210 refs/heads/x\n"},
            "fedcba987654",
        ),
        ({"HEAD": "ref: refs/heads/x\n"}, None),
        ({}, None),
    ],
)
def test_the_commit_without_git(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], said: str | None
) -> None:
    for name, text in files.items():
        file = tmp_path / ".git" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.setattr(version, "ROOT", tmp_path)
    assert version.commit() == said


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_of_each_shell(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(laggard, ["completion", shell]) == 0
    assert "_LAGGARD_COMPLETE" in capsys.readouterr().out


def test_completion_knows_commands_and_their_options_and_loads_none_for_names() -> None:
    # Without a program name of its own click derives the variable from the program's: give it ours.
    program = (
        "import sys; sys.argv = ['laggard']\n"
        "from procs.cli.main import main\n"
        "try: main()\n"
        "finally: print(sorted(m for m in ('zmq', 'rich', 'pydantic') if m in sys.modules), file=sys.stderr)"
    )

    def ask(line: str) -> tuple[list[str], str]:
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={
                "COMP_WORDS": line,
                "COMP_CWORD": str(len(line.split(" ")) - 1),
                "_LAGGARD_COMPLETE": "bash_complete",
            },
            capture_output=True,
            text=True,
            timeout=30,
        )
        return [row.partition(",")[2] for row in done.stdout.splitlines()], done.stderr

    names, loaded = ask("laggard co")
    assert {"config", "completion"} <= set(names)
    assert loaded.strip() == "[]"
    options, _ = ask("laggard orders --j")
    assert options == ["--json"]


def test_bash_completes_with_what_is_printed() -> None:
    bash, program = shutil.which("bash"), Path(sys.executable).parent / "laggard"
    if bash is None or not program.exists():
        pytest.skip("bash, or the installed laggard command, is missing")
    script = (
        "source <(laggard completion bash); COMP_WORDS=(laggard pa); COMP_CWORD=1\n"
        'complete -p laggard; _laggard_completion laggard pa laggard; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        [bash, "--norc", "-c", script],
        env={"PATH": f"{program.parent}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.stdout.splitlines()[-1] == "pause", done.stderr
    assert "_laggard_completion laggard" in done.stdout


@pytest.mark.parametrize("line", [["--quiet", "{}"], ["{}", "--quiet"], ["{}", "-q"]])
def test_quiet_stands_anywhere(
    line: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command()
    def speak() -> int:
        progress("half way")
        click.echo("the result")
        return 0

    monkeypatch.setitem(COMMANDS, "speak", ("procs.cli.speak:speak", "Speak."))
    monkeypatch.setitem(sys.modules, "procs.cli.speak", type("Module", (), {"speak": speak}))
    assert run(laggard, [part.format("speak") for part in line]) == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("the result\n", "")
    assert run(laggard, ["speak"]) == 0
    assert capsys.readouterr().err == "half way\n", "what one run was asked for is over with it"


def test_a_mistake_shows_where_only_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    @click.group(params=list(manner.options(hidden=False)))
    def group() -> None:
        pass

    @group.command()
    def fail() -> None:
        raise ZeroDivisionError("by nought")

    assert run(group, ["fail"]) == 1
    err = capsys.readouterr().err
    assert "a mistake in laggard: ZeroDivisionError: by nought" in err
    assert "Traceback" not in err
    assert run(group, ["-v", "fail"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_without_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert run(laggard, ["version"]) == 0
    assert not console().no_color
    assert run(laggard, ["version", "--no-color"]) == 0
    assert console().no_color
    manner.reset()
    monkeypatch.setenv("NO_COLOR", "1")
    assert console().no_color


HEAVY = (
    "aiohttp",
    "common.runtime",
    "distributed",
    "matplotlib",
    "numba",
    "numpy",
    "polars",
    "prometheus_client",
    "pydantic",
    "requests",
    "rich",
    "structlog",
    "telegram",
    "zmq",
)


def test_help_loads_nothing_that_is_slow() -> None:
    program = (
        "import sys; from procs.cli.main import main\n"
        "try: main(['--help'])\n"
        f"finally: print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=30
    )
    assert done.stdout.rstrip().endswith("[]")


SLOW = ("distributed", "matplotlib", "numba", "numpy", "polars", "prometheus_client", "telegram", "aiohttp")


def test_the_help_of_no_command_loads_an_extra() -> None:
    program = (
        "import sys; from procs.cli.main import COMMANDS, laggard, run\n"
        "for name in COMMANDS:\n"
        "    assert name == 'demo' or run(laggard, [name, '--help']) == 0\n"
        f"    loaded = [extra for extra in {SLOW!r} if extra in sys.modules]\n"
        "    assert not loaded, (name, loaded)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 0, done.stderr
