"""The image holds what its processes import: not the whole lock, and nothing less."""

import ast
import configparser
import importlib.metadata
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from procs.cli.main import run
from procs.cli.stack import ROOT

DOCKERFILE = ROOT / "procs" / "service" / "Dockerfile"
ROOMS = ("chat", "core", "feeds", "messages", "runtime", "store", "venue")


def running() -> Iterator[Path]:
    """What the processes are made of; the simulated venue and the research are not in the image."""
    yield from (file for file in (ROOT / "procs").glob("*.py") if file.name != "venue.py")
    for room in ROOMS:
        yield from (ROOT / "common" / room).rglob("*.py")


def imported(file: Path) -> set[str]:
    """Top-level names, also of what is imported late or for types alone."""
    found = set()
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(str(node.module).partition(".")[0])
    return found - sys.stdlib_module_names - {"common", "procs"}


def needed(text: str, seen: set[tuple[str, str]]) -> None:
    """Collect what a requirement brings along, as pip does."""
    asked = Requirement(text)
    name = str(canonicalize_name(asked.name))
    for extra in asked.extras or {""}:
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        for inner in importlib.metadata.requires(name) or []:
            marker = Requirement(inner).marker
            if marker is None or marker.evaluate({"extra": extra}) or marker.evaluate({"extra": ""}):
                needed(inner, seen)


def test_the_image_has_what_its_processes_import() -> None:
    (extras,) = re.findall(r"^ARG EXTRAS=(.*)$", DOCKERFILE.read_text(), re.MULTILINE)
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert set(extras.split(",")) <= set(setup["options.extras_require"])
    for requirement in (f"laggard[{extras}]", "matplotlib"):
        assert requirement.partition("[")[0] in DOCKERFILE.read_text()
    seen: set[tuple[str, str]] = set()
    needed(f"laggard[{extras}]", seen)
    needed("matplotlib", seen)
    there = {name for name, _ in seen}
    assert there.isdisjoint({"pytest", "ruff", "mypy", "numba", "polars", "hypothesis"}), (
        "that is the lean part"
    )
    owners = importlib.metadata.packages_distributions()
    missing = {
        f"{file.relative_to(ROOT)}: {name}"
        for file in running()
        for name in imported(file)
        if there.isdisjoint(str(canonicalize_name(owner)) for owner in owners.get(name, ()))
    }
    assert not missing


@pytest.mark.parametrize("line", ["import polars", "def f():\n    from numba import njit"])
def test_an_import_is_found_wherever_it_stands(tmp_path: Path, line: str) -> None:
    file = tmp_path / "late.py"
    file.write_text(f"import os\nfrom common.units import SECOND\n{line}\n")
    assert len(imported(file)) == 1


@pytest.mark.parametrize(
    ("name", "said", "code"),
    [("polars", "polars is not installed here", 69), ("common.gone", "a mistake in laggard", 1)],
)
def test_a_command_that_the_image_cannot_do_says_what_is_missing(
    name: str, said: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command()
    def judge() -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    assert run(judge, []) == code
    assert said in capsys.readouterr().err
