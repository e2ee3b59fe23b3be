"""What came of a chat is read beside the process that has it, and only from its beginning on."""

from pathlib import Path

from common.core.remote.authority import Arrival
from common.core.remote.letters import Letter
from common.runtime.clock import ManualClock
from common.store.chat_tally import read_tally
from common.store.command_log import open_command_log
from common.store.outbox import open_outbox
from common.units import SECOND

START_NS = 1_790_000_000 * SECOND


def letter(text: str) -> Letter:
    return Letter(lane="info", chat_id=7, text=text)


def arrival(number: int) -> Arrival:
    return Arrival(number, "message", user_id=7, chat_id=7, private=True, text="/kill", sent_s=5)


def test_what_is_not_there_yet_is_empty(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    for name in ("missing", "empty"):
        tally = read_tally(tmp_path / name, tmp_path / name, START_NS)
        assert (tally.letters.total(), tally.results.total(), tally.left) == (0, 0, 0)
    assert not (tmp_path / "missing").exists()


def test_letters_count_by_state_from_the_beginning_on(tmp_path: Path) -> None:
    clock = ManualClock(wall=START_NS - 60 * SECOND)
    file = tmp_path / "outbox.sqlite"
    outbox = open_outbox(file, clock)
    before, late, waits = (outbox.put(letter(text)) for text in ("before", "late", "waits"))
    outbox.sent(outbox.begin(before), 1)
    clock.advance(90 * SECOND)
    # Put by an earlier process, sent by this one.
    outbox.sent(outbox.begin(late), 2)
    outbox.refused(outbox.begin(outbox.put(letter("refused"))), "no")
    outbox.begin(outbox.put(letter("on its way")))
    tally = read_tally(file, tmp_path / "none", START_NS)
    assert tally.letters == {"sent": 1, "refused": 1, "sending": 1, "waiting": 1}
    assert tally.left == 2
    outbox.not_sent(outbox.begin(waits))
    outbox.close()
    assert read_tally(file, tmp_path / "none", START_NS).letters["waiting"] == 1


def test_updates_count_by_what_became_of_them(tmp_path: Path) -> None:
    file = tmp_path / "commands.sqlite"
    log = open_command_log(file)
    log.take([arrival(1)], START_NS - 1)
    log.end(1, "answered")
    log.take([arrival(number) for number in (2, 3, 4, 5)], START_NS)
    for number, result in ((2, "answered"), (3, "answered"), (4, "confirmed: Done.")):
        log.end(number, result)
    tally = read_tally(tmp_path / "none", file, START_NS)
    assert tally.results == {"answered": 2, "confirmed: Done.": 1, "": 1}
    log.close()
