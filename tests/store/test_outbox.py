import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from common.core.remote.letters import LANES, Button, Lane, Letter
from common.errors import DependencyMissing, InvariantBroken
from common.runtime.clock import ManualClock
from common.store.database import WrittenByAnother
from common.store.outbox import KEPT_NS, Outbox, open_outbox
from common.store.outbox_rows import LEFT_OUT, MOST_WAITING
from common.units import SECOND

ANN, BOB = 1001, 1002
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(wall=1_790_000_000 * SECOND)


@pytest.fixture
def reopen(tmp_path: Path, clock: ManualClock) -> Iterator[Callable[[], Outbox]]:
    opened: list[Outbox] = []

    def again() -> Outbox:
        for each in opened:
            each.close()
        opened[:] = [open_outbox(tmp_path / "outbox.sqlite", clock)]
        return opened[0]

    yield again
    for each in opened:
        each.close()


@pytest.fixture
def outbox(reopen: Callable[[], Outbox]) -> Outbox:
    return reopen()


def letter(
    lane: Lane = "info", text: str = "hello", key: str = "", chat: int = ANN, picture: bytes = b""
) -> Letter:
    return Letter(lane=lane, chat_id=chat, text=text, key=key, picture=picture)


def send(outbox: Outbox, number: int, message_id: int = 7) -> str:
    dispatch = outbox.begin(number)
    outbox.sent(dispatch, dispatch.message_id or message_id)
    return dispatch.letter.text


def put_many(outbox: Outbox, one: Letter) -> None:
    for _ in range(50):
        outbox.put(one)


def texts(outbox: Outbox) -> list[str]:
    """What waits, as it would go out."""
    return [outbox.begin(each.number).letter.text for each in outbox.waiting()]


def test_a_letter_survives_as_it_was_put(outbox: Outbox, reopen: Callable[[], Outbox]) -> None:
    sent = Letter(
        lane="reply", chat_id=ANN, text="sure?", buttons=((Button("Yes", "y"), Button("No", "n")),),
        picture=b"png", silent=False,
    )  # fmt: skip
    number = outbox.put(sent)
    outbox = reopen()
    assert outbox.waiting() == [(number, "reply", ANN)]
    assert outbox.begin(number).letter == sent


def test_what_is_put_is_on_disk_before_put_returns(tmp_path: Path) -> None:
    code = f"""
import os, signal
from pathlib import Path
from common.core.remote.letters import Letter
from common.runtime.clock import SystemClock
from common.store.outbox import open_outbox
outbox = open_outbox(Path({str(tmp_path / "outbox.sqlite")!r}), SystemClock())
outbox.put(Letter(lane="critical", chat_id=1, text="halted"))
os.kill(os.getpid(), signal.SIGKILL)
"""
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == -9, ended.stderr
    outbox = open_outbox(tmp_path / "outbox.sqlite", ManualClock())
    assert texts(outbox) == ["halted"]
    outbox.close()


def test_later_letters_of_a_key_replace_what_waits_and_edit_what_was_sent(outbox: Outbox) -> None:
    first = outbox.put(letter("trade", "placed", "w1"))
    assert outbox.put(letter("trade", "filled", "w1")) == first
    assert outbox.put(letter("trade", "filled", "w1", chat=BOB)) != first
    dispatch = outbox.begin(first)
    assert (dispatch.letter.text, dispatch.message_id) == ("filled", 0)
    later = outbox.put(letter("trade", "confirmed", "w1"))
    assert later != first
    outbox.sent(dispatch, 42)
    assert outbox.begin(later).message_id == 42


def test_what_a_message_shows_already_is_not_sent_again(outbox: Outbox, reopen: Callable[[], Outbox]) -> None:
    number = outbox.put(letter("trade", "filled", "w1"))
    send(outbox, number)
    outbox = reopen()
    assert outbox.put(letter("trade", "filled", "w1")) == number
    assert outbox.waiting() == []
    assert outbox.is_shown(ANN, "w1") and not outbox.is_shown(BOB, "w1")
    assert outbox.put(letter("trade", "settled", "w1")) != number
    assert len(outbox.waiting()) == 1


def test_a_waiting_letter_is_as_urgent_and_loud_as_the_loudest_of_its_key(outbox: Outbox) -> None:
    outbox.put(msgspec.structs.replace(letter("trade", "filled", "w1"), silent=False))
    outbox.put(letter("info", "confirmed", "w1"))
    ((number, lane, _),) = outbox.waiting()
    assert (lane, outbox.begin(number).letter.silent) == ("trade", False)


def test_nothing_critical_is_replaced_edited_or_left_out(outbox: Outbox) -> None:
    numbers = [outbox.put(letter("critical", f"{number}", "halted")) for number in range(200)]
    assert [each.number for each in outbox.waiting()] == numbers
    send(outbox, numbers[0])
    assert outbox.begin(numbers[1]).message_id == 0


@pytest.mark.parametrize("lane", ["reply", "trade", "info", "digest"])
def test_the_oldest_of_a_full_lane_are_left_out_and_a_letter_says_how_many(
    outbox: Outbox, lane: Lane
) -> None:
    most = MOST_WAITING[lane]
    outbox.put(letter("critical", "first"))
    outbox.put(letter(lane, "of another chat", chat=BOB))
    for number in range(most + 3):
        outbox.put(letter(lane, f"{number}"))
    notice = f"3 messages were left out (3 {lane})"
    said = texts(outbox)
    assert [text for text in said if text.isdigit()] == [str(number) for number in range(3, most + 3)]
    assert (
        [text for text in said if text.startswith(notice)] and "first" in said and "of another chat" in said
    )


def test_what_was_left_out_is_told_once(outbox: Outbox) -> None:
    for number in range(MOST_WAITING["trade"] + 2):
        outbox.put(letter("trade", f"{number}"))
    (notice,) = [each.number for each in outbox.waiting() if each.lane == "info"]
    assert send(outbox, notice).startswith("2 messages")
    outbox.put(letter("trade", "one more"))
    (notice,) = [each.number for each in outbox.waiting() if each.lane == "info"]
    dispatch = outbox.begin(notice)
    assert dispatch.letter.text.startswith("1 messages") and dispatch.message_id == 0


@pytest.mark.parametrize("how", ["restart", "no answer"])
def test_only_what_is_critical_is_sent_again_when_in_doubt(
    outbox: Outbox, reopen: Callable[[], Outbox], how: str
) -> None:
    shown = outbox.put(letter("trade", "placed", "w1"))
    send(outbox, shown, 42)
    for each in (
        letter("critical", "halted"), letter("reply", "42"), letter("trade", "filled", "w1"),
        letter("trade", "placed", "w2"), letter("digest", "day"),
    ):  # fmt: skip
        dispatch = outbox.begin(outbox.put(each))
        if how == "no answer":
            outbox.in_doubt(dispatch)
    if how == "restart":
        outbox = reopen()
    found = [outbox.begin(each.number) for each in outbox.waiting()]
    assert {each.letter.text[:20]: each.message_id for each in found} == {
        "(repeated) halted": 0,
        "filled": 42,
        "3 messages were left": 0,
    }
    (notice,) = [each.letter.text for each in found if each.letter.key == LEFT_OUT]
    assert "1 reply, 1 trade, 1 digest" in notice


def test_what_certainly_was_not_sent_waits_again_unless_a_newer_one_says_it(outbox: Outbox) -> None:
    first, second = (outbox.begin(outbox.put(letter("trade", "placed", key))) for key in ("w1", "w2"))
    newer = outbox.put(letter("trade", "filled", "w2"))
    outbox.not_sent(first)
    outbox.not_sent(second)
    assert [each.number for each in outbox.waiting()] == [first.number, newer]
    assert outbox.begin(first.number).letter.text == "placed"


def test_a_refused_edit_becomes_a_message_and_a_refused_picture_its_words(outbox: Outbox) -> None:
    send(outbox, outbox.put(letter("trade", "placed", "w1")), 42)
    edit = outbox.begin(outbox.put(letter("trade", "filled", "w1")))
    assert outbox.refused(edit, "message to edit not found")
    assert outbox.begin(edit.number).message_id == 0
    picture = outbox.begin(outbox.put(letter("reply", "equity", picture=b"png")))
    assert outbox.refused(picture, "IMAGE_PROCESS_FAILED")
    again = outbox.begin(picture.number).letter
    assert again.picture == b"" and "IMAGE_PROCESS_FAILED" in again.text
    assert not outbox.refused(outbox.begin(outbox.put(letter())), "chat not found")
    assert outbox.counts()["refused"] == 1
    assert outbox.waiting() == []


def test_a_muted_lane_is_silent_until_then_and_nothing_urgent_can_be(
    outbox: Outbox, clock: ManualClock
) -> None:
    outbox.put(letter("trade", "before"))
    outbox.mute("trade", clock.wall_ns() + 60 * SECOND)
    for lane in LANES:
        outbox.put(letter(lane, lane))
    assert texts(outbox) == ["critical", "reply", "info", "digest"]
    clock.advance(60 * SECOND)
    assert outbox.begin(outbox.put(letter("trade", "after"))).letter.text == "after"
    for lane in ("critical", "reply"):
        with pytest.raises(ValueError, match="cannot be muted"):
            outbox.mute(lane, clock.wall_ns() + 1)  # type: ignore[arg-type]


def test_an_alarm_gets_out_even_where_nothing_can_be_written(outbox: Outbox) -> None:
    outbox._connection.execute("PRAGMA max_page_count = 1")
    big = "x" * 4000
    with pytest.raises(DependencyMissing, match="free space"):
        put_many(outbox, letter("info", big))
    number = outbox.put(letter("critical", "the disk is full" + big))
    assert number < 0
    assert outbox.waiting()[0].number == number
    dispatch = outbox.begin(number)
    outbox.in_doubt(dispatch)
    outbox.not_sent(dispatch)
    assert outbox.begin(number).letter.text.startswith("the disk is full")
    outbox.sent(dispatch, 1)
    assert number not in [each.number for each in outbox.waiting()]


def test_a_text_longer_than_telegram_takes_is_cut(outbox: Outbox) -> None:
    assert len(outbox.begin(outbox.put(letter(text="x" * 5000))).letter.text) < 4096
    assert len(outbox.begin(outbox.put(letter(text="x" * 5000, picture=b"png"))).letter.text) == 1024


def test_old_letters_are_forgotten_open_ones_are_not(
    outbox: Outbox, clock: ManualClock, reopen: Callable[[], Outbox]
) -> None:
    send(outbox, outbox.put(letter("trade", "old", "w1")))
    outbox.put(letter("critical", "never sent"))
    clock.advance(KEPT_NS + 1)
    outbox = reopen()
    assert outbox.counts() == {"waiting": 1}
    assert not outbox.is_shown(ANN, "w1")


def test_a_sent_picture_takes_no_space(outbox: Outbox, tmp_path: Path) -> None:
    send(outbox, outbox.put(letter(picture=b"pixels" * 50_000)))
    (body,) = outbox._connection.execute("SELECT body FROM letters").fetchone()
    assert len(body) < 200


def test_what_went_out_lately_is_known_after_a_restart(
    outbox: Outbox, clock: ManualClock, reopen: Callable[[], Outbox]
) -> None:
    since = clock.wall_ns()
    clock.advance(5)
    send(outbox, outbox.put(letter()))
    assert reopen().begun_since(since) == [(ANN, since + 5)]


def test_putting_wakes_the_sender(outbox: Outbox) -> None:
    woken: list[int] = []
    outbox.on_put = lambda: woken.append(1)
    outbox.put(letter())
    assert woken == [1]


def test_a_letter_is_begun_once(outbox: Outbox) -> None:
    number = outbox.put(letter())
    outbox.begin(number)
    with pytest.raises(InvariantBroken, match="does not wait"):
        outbox.begin(number)


def test_one_writer_private_and_no_other_file(outbox: Outbox, clock: ManualClock, tmp_path: Path) -> None:
    assert os.stat(outbox.path).st_mode & 0o777 == 0o600
    with pytest.raises(WrittenByAnother):
        open_outbox(outbox.path, clock)
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE t (a)")
    with pytest.raises(InvariantBroken, match="not an outbox"):
        open_outbox(other, clock)
    newer = tmp_path / "newer.sqlite"
    open_outbox(newer, clock).close()
    with sqlite3.connect(newer) as connection:
        connection.execute("PRAGMA user_version = 9")
    connection.close()
    with pytest.raises(DependencyMissing, match="version 9"):
        open_outbox(newer, clock)
