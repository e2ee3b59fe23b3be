"""Completion in real interactive shells: a person at a terminal presses Tab."""

import fcntl
import os
import pty
import re
import select
import shutil
import signal
import struct
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from procs.cli.completion import LINES
from procs.cli.stack import ROOT

PROMPT = "ready> "
LIMIT_S = 12.0
KILL_LINE = "\x15"
STARTS = {
    "bash": (
        ".bashrc",
        f'PS1="{PROMPT}"\nbind "set completion-query-items 0"\nbind "set page-completions off"\n',
    ),
    "zsh": (".zshrc", f'PROMPT="{PROMPT}"\n'),
    "fish": (
        ".config/fish/config.fish",
        f"function fish_prompt; echo -n '{PROMPT}'; end\nfunction fish_greeting; end\n",
    ),
}
_ESCAPES = re.compile(r"\x1b(\[[0-9;?]*[ -/]*[@-~]|\][^\x07]*\x07|\(B|[=>])|\r|\x07|.\x08")


class Terminal:
    """A shell on a terminal of its own, and what it has shown so far."""

    def __init__(self, shell: str, home: Path, path: str) -> None:
        self.shell = shell
        program = shutil.which(shell)
        assert program is not None
        environment = {"HOME": str(home), "PATH": path, "TERM": "xterm", "LANG": "C.UTF-8"}
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.chdir(home)
            os.execve(program, [shell, "-i"], environment)
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 60, 200, 0, 0))
        self.shown = ""

    def type(self, keys: str) -> None:
        self.shown = ""
        os.write(self.terminal, keys.encode())

    def until(self, *wanted: str) -> str:
        """Everything since the last key, once it shows all that is wanted."""
        limit = time.monotonic() + LIMIT_S
        while time.monotonic() < limit:
            text = _ESCAPES.sub("", self.shown)
            if all(one in text for one in wanted):
                return text
            if select.select([self.terminal], [], [], 0.2)[0]:
                more = os.read(self.terminal, 1 << 16).decode("utf-8", "replace")
                self.shown += more
                # A terminal tells what it is and where its cursor stands; newer shells wait for that.
                if "\x1b[6n" in more:
                    os.write(self.terminal, b"\x1b[1;1R")
                if "\x1b[c" in more or "\x1b[0c" in more:
                    os.write(self.terminal, b"\x1b[?62c")
        raise AssertionError(f"{wanted} never came: {self.shown!r}")

    def close(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        # First, or the end of the shell waits for somebody to read what it still shows.
        os.close(self.terminal)
        os.waitpid(self.pid, 0)


@pytest.fixture(params=list(LINES))
def terminal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Terminal]:
    """A shell that was taught as the help says, in a home of its own; laggard is on its PATH."""
    shell = str(request.param)
    installed = Path(sys.executable).parent / "laggard"
    if shutil.which(shell) is None or not installed.exists():
        pytest.skip(f"{shell}, or the installed laggard command, is missing")
    name, text = STARTS[shell]
    start = tmp_path / name
    start.parent.mkdir(parents=True, exist_ok=True)
    taught = (
        "laggard completion fish | source" if shell == "fish" else f'eval "$(laggard completion {shell})"'
    )
    start.write_text(f"{text}{taught}\n")
    opened = Terminal(shell, tmp_path, f"{installed.parent}:/usr/bin:/bin")
    try:
        opened.until(PROMPT)
        yield opened
    finally:
        opened.close()


def test_tab_completes_commands_options_and_their_descriptions(terminal: Terminal) -> None:
    for typed, last in (("laggard pau", "pause "), ("laggard orders --j", "--json ")):
        terminal.type(f"{KILL_LINE}{typed}\t")
        terminal.until(last)
    terminal.type(f"{KILL_LINE}laggard co\t\t")
    terminal.until("config", "completion")
    if terminal.shell != "bash":
        # The others tell what each is for, and all of it.
        terminal.until("Show or check the configuration.", "Print the completion for bash, zsh or fish.")


def test_tab_completes_the_names_of_processes(terminal: Terminal) -> None:
    if not (ROOT / ".run" / "log" / "executor.log").exists():
        pytest.skip("nothing ever ran in this checkout, so no process has a log to name")
    terminal.type("laggard logs exe\t")
    terminal.until("executor ")


def test_the_very_program_that_is_typed_is_asked(terminal: Terminal, tmp_path: Path) -> None:
    # As in bin/laggard: it is not on PATH, and a laggard that is may be another checkout's.
    other = tmp_path / "other" / "laggard"
    other.parent.mkdir()
    answers = "zsh*) printf 'plain\\nelsewhere\\n_\\n' ;; *) echo plain,elsewhere ;;"
    other.write_text(f"#!/bin/sh\ncase $_LAGGARD_COMPLETE in {answers} esac\n")
    other.chmod(0o755)
    for typed in ("other/laggard", "~/other/laggard"):
        terminal.type(f"{KILL_LINE}{typed} else\t")
        terminal.until("elsewhere ")
