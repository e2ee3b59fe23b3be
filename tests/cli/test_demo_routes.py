"""The routes a demo is told to use."""

import pytest

from procs.cli.demo import demo
from procs.cli.main import run


@pytest.mark.parametrize("text", ["", ",", "pyth", "rtds,rtds", "rtds,pyth", "rtds;polybolt"])
def test_a_list_that_is_none_is_refused_before_anything_starts(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(demo, ["--oracles", text]) == 2
    told = capsys.readouterr()
    assert "chainlink, polybolt, rtds, exchange" in told.err
    assert told.out == ""
