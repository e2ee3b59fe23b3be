"""Help and completion are quick: of all that is installed they load three small packages.

What time that takes depends on the machine; what is loaded does not.
"""

import json
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
QUICK = {"click", "msgspec", "rich", "typing_extensions"}
"""What the command line itself is made of; typing_extensions belongs to msgspec."""

WALK = """
import contextlib, io, json, sys, sysconfig

installed = tuple({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})

def packages():
    files = {name: getattr(module, "__file__", None) or "" for name, module in list(sys.modules.items())}
    return {name.partition(".")[0] for name, file in files.items() if file.startswith(installed)}

# What the interpreter itself loads at its start is not the command line's.
before = packages()

import click
from click.shell_completion import ShellComplete
from procs.cli.main import COMMANDS, laggard, run

COMMANDS.update(json.loads(sys.argv[1]))

def walk(command, path):
    yield path
    if isinstance(command, click.Group):
        with click.Context(command) as context:
            for name in command.list_commands(context):
                yield from walk(command.get_command(context, name), [*path, name])

def shown(path):
    with contextlib.redirect_stdout(io.StringIO()) as said:
        code = run(laggard, [*path, "--help"])
    options = [item.value for item in ShellComplete(laggard, {}, "laggard", "_C").get_completions(path, "--")]
    return code == 0 and "Usage: " in said.getvalue() and "--help" in options

found = []
for path in walk(laggard, []):
    well = shown(path)
    found.append([" ".join(path), well, sorted(packages() - before)])
print(json.dumps(found))
"""


def walked(directory: Path, more: dict[str, tuple[str, str]]) -> dict[str, tuple[bool, set[str]]]:
    """Every command in a fresh interpreter: whether its help was shown, and the packages loaded by then."""
    done = subprocess.run(
        [sys.executable, "-c", WALK, json.dumps(more)],
        cwd=directory,
        env={"PYTHONPATH": f"{ROOT}:{directory}", "HOME": str(directory)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {name: (well, set(loaded)) for name, well, loaded in json.loads(done.stdout)}


def test_no_command_loads_more_than_the_command_line_is_made_of(tmp_path: Path) -> None:
    found = walked(tmp_path, {})
    assert {"", "status", "tape export", "config check"} <= found.keys()
    assert [name for name, (well, _) in found.items() if not well] == []
    for name, (_, loaded) in found.items():
        assert loaded <= QUICK, (
            f"laggard {name} --help loads {', '.join(sorted(loaded - QUICK))}: "
            "import it, or what imports it, in the function that does the work"
        )


def test_a_new_command_that_loads_more_is_found(tmp_path: Path) -> None:
    module = """
        import click
        import zmq

        @click.group()
        def slow(): pass

        @slow.command()
        def inner(): pass
    """
    (tmp_path / "slow_command.py").write_text(textwrap.dedent(module))
    found = walked(tmp_path, {"slow": ("slow_command:slow", "Slow.")})
    assert found["slow inner"][0]
    assert "zmq" in found["slow inner"][1] - QUICK


def test_a_completion_waits_for_no_setup(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    shutil.copy(ROOT / "bin" / "laggard", tmp_path / "bin" / "laggard")
    setup, installed = tmp_path / "bin" / "setup", tmp_path / ".venv" / "bin" / "laggard"
    setup.write_text("#!/bin/sh\necho set up\n")
    setup.chmod(0o755)

    def completed() -> tuple[int, str]:
        done = subprocess.run(
            [tmp_path / "bin" / "laggard"],
            env={"_LAGGARD_COMPLETE": "bash_complete", "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    assert completed() == (0, ""), "nothing is set up, so there is nothing to complete"
    installed.parent.mkdir(parents=True)
    installed.write_text("#!/bin/sh\necho plain,status\n")
    installed.chmod(0o755)
    assert completed() == (0, "plain,status\n")
