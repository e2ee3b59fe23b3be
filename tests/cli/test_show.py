"""What commands print is what was said, whatever it looks like."""

import pytest

from procs.cli.show import add_row, console, table

SAID = ["set [wallet] kind", "[red]no[/red]", "[/x]", "a\\[b]\\", ":warning:", "[link=x]"]


@pytest.mark.parametrize("said", SAID)
def test_a_cell_is_plain_text(said: str, capsys: pytest.CaptureFixture[str]) -> None:
    made = table("name", ">found")
    add_row(made, ["wallet", said, None, 7], style="red")
    console().print(made)
    line = capsys.readouterr().out.splitlines()[1]
    assert line.split() == ["wallet", *said.split(), "-", "7"]
