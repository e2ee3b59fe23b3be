"""What commands print is what was said, whatever it looks like."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from procs.cli.show import add_row, console, table

ROOT = Path(__file__).resolve().parents[2]
SAID = ["set [wallet] kind", "[red]no[/red]", "[/x]", "a\\[b]\\", ":warning:", "[link=x]"]


def test_a_reader_that_leaves_is_no_failure() -> None:
    program = (
        "import sys, click; from procs.cli.main import run\n"
        "from procs.cli.show import add_row, console, table\n"
        "@click.command()\n"
        "def long():\n"
        "    made = table('name')\n"
        "    for number in range(20_000): add_row(made, ['a line of a long table', number][:1])\n"
        "    console().print(made)\n"
        "sys.exit(run(long, []))"
    )
    read, write = os.pipe()
    with tempfile.TemporaryFile() as err:
        child = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=write, stderr=err)
        os.close(write)
        assert os.read(read, 4) == b"name"
        os.close(read)
        code = child.wait(30)
        err.seek(0)
        assert (code, err.read()) == (0, b"")


@pytest.mark.parametrize("said", SAID)
def test_a_cell_is_plain_text(said: str, capsys: pytest.CaptureFixture[str]) -> None:
    made = table("name", ">found")
    add_row(made, ["wallet", said, None, 7], style="red")
    console().print(made)
    line = capsys.readouterr().out.splitlines()[1]
    assert line.split() == ["wallet", *said.split(), "-", "7"]
