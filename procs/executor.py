"""The executor process: the journal's only writer and the only place where an order begins.

Recovery comes before the first answer. Decides nothing itself.
"""

import asyncio
import signal
from functools import partial

from common.core.account import broken_sums
from common.core.order_events import (
    HoldAsked,
    LedgerChecked,
    PostureAsked,
    Restarted,
)
from common.core.order_flow import followed_windows
from common.core.order_outcome import CHECKS_HOLD
from common.errors import CallRefused, CallTimedOut, InvariantBroken
from common.messages import (
    BookState,
    Canary,
    CancelAll,
    Envelope,
    Flatten,
    FollowWindows,
    ReadAccount,
    ReadChecks,
    ReadWallet,
    SetPosture,
    Submit,
)
from common.runtime.calls import call
from common.runtime.canary_way import end_way, tell_heard
from common.runtime.shell import Process, run
from common.store.journal import Journal, open_journal
from common.units import MILLISECOND, SECOND
from common.venue.checks import sale_trouble
from common.venue.desk import Desk
from common.venue.intake import Intake
from common.venue.postures import set_posture
from common.venue.recovery import MARKER, leave_marker, read_marker, recover
from common.venue.redemption_news import hear_redeemer
from common.venue.retreat import Retreat
from procs.live_account import LiveAccount, make_account

ROLE = "executor"
DRAIN_NS = 1_500 * MILLISECOND
"""How long a stopping executor waits for orders in flight."""
REMEMBERED_TOPICS = 10_000


def begin(process: Process) -> Journal:
    """Open the journal; one that is broken makes the next start begin halted."""
    try:
        file = process.paths.journal_file(process.config.mode)
        return open_journal(file, now_wall_ns=process.clock.wall_ns())
    except InvariantBroken as error:
        leave_marker(process.paths.state_dir, str(error))
        raise


def start(process: Process, journal: Journal, live: LiveAccount | None, balance_usd6: int | None) -> Desk:
    """Recover: read the journal, decide or pursue what was left working, prove the books, obey the marker."""
    state_dir = process.paths.state_dir
    try:
        state = recover(journal, process.config, process.clock, process.log, balance_usd6)
        desk = Desk(process, journal, state)
        if live is not None:
            desk.trade_with(live.venue or live.away, live.again.set)
    except InvariantBroken as error:
        leave_marker(state_dir, str(error))
        raise
    broken_off = read_marker(state_dir)
    if broken_off is not None:
        desk.advance(PostureAsked("halted", f"came back after: {broken_off}", ROLE))
        (state_dir / MARKER).unlink(missing_ok=True)
    if live is not None:
        desk.advance(HoldAsked(CHECKS_HOLD, "the start-up checks have not run yet"))
    desk.advance(Restarted())
    desk.advance(LedgerChecked(broken_sums(desk.state.books)))
    return desk


async def executor(process: Process) -> None:
    """Run until the process is told to stop; then wait for orders in flight."""
    # A keystore takes a second or two to open, and a loop that stands still for long is taken for dead.
    live = await asyncio.to_thread(make_account, process) if process.config.mode == "live" else None
    journal = begin(process)
    balance_usd6 = None
    if live is not None and journal.read() is None:
        # A live account opens with what is in it.
        await live.connect()
        balance_usd6 = await live.first_balance()
    desk = start(process, journal, live, balance_usd6)
    intake = Intake(desk)
    process.responder.on(Submit, intake.submit)
    process.keep_warm(intake.rehearse)
    process.responder.on(Canary, partial(end_way, process))
    process.responder.on(SetPosture, partial(set_posture, desk))
    retreat = Retreat(desk, intake, lambda: "" if live is None else sale_trouble(live.report.results))
    process.responder.on(CancelAll, retreat.cancel_all)
    process.responder.on(Flatten, retreat.flatten)
    process.responder.on(ReadAccount, desk.read_account)
    if live is not None:
        process.responder.on(ReadChecks, live.read_checks)
        process.responder.on(ReadWallet, live.read_wallet)
    desk.publish_everything()
    process.spawn(listen(process, desk), name="books")
    process.spawn(each_second(process, desk), name="seconds")
    process.spawn(follow(process, desk), name="settlements")
    if live is not None:
        process.spawn(listen_to_redeemer(process, desk), name="redeemer")
        process.spawn(trade_live(live, desk), name="account")
    process.set_state("ready", "")
    await process.stopping.wait()
    deadline_ns = process.clock.mono_ns() + DRAIN_NS
    while desk.working() and process.clock.mono_ns() < deadline_ns:
        await asyncio.sleep(0.02)


async def trade_live(live: LiveAccount, desk: Desk) -> None:
    """Connect the account, then hear it for as long as the process lives."""
    desk.trade_with(live.venue or await live.connect(), live.again.set)
    process = live.process
    process.spawn(live.check(desk), name="checks")
    await live.hear(desk)


async def listen(process: Process, desk: Desk) -> None:
    """Hear books."""
    subscriber = process.subscribe("books")
    age = process.watch("books", int(process.config.watch.book_stale_s * SECOND))
    newest: dict[str, tuple[str, int]] = {}

    def deliver(envelopes: list[Envelope]) -> None:
        news = [envelope for envelope in envelopes if is_news(newest, envelope)]
        desk.hear(news, "books" in subscriber.unsynced())
        tell_heard(process, news)
        if any(isinstance(envelope.body, BookState) for envelope in envelopes):
            age.touch()

    await subscriber.attend(deliver)


async def listen_to_redeemer(process: Process, desk: Desk) -> None:
    """Hear what the chain made of our tokens; without a redeemer a payout stays owed."""
    await process.subscribe("redeemer").attend(partial(hear_redeemer, desk))


def is_news(newest: dict[str, tuple[str, int]], envelope: Envelope) -> bool:
    """Whether this is newer than what was heard on its topic; a snapshot may bring what is older."""
    boot, seq = newest.get(envelope.topic, ("", 0))
    if boot == envelope.boot and envelope.seq <= seq:
        return False
    if len(newest) >= REMEMBERED_TOPICS:
        newest.clear()
    newest[envelope.topic] = (envelope.boot, envelope.seq)
    return True


async def each_second(process: Process, desk: Desk) -> None:
    """Time for what nobody reports."""
    number = 0
    while True:
        number += 1
        desk.second(number)
        books = process.ages.get("books")
        if books is not None and books.stale():
            process.set_state("degraded", "no word from books")
        else:
            process.set_state("ready", "")
        await asyncio.sleep(1)


async def follow(process: Process, desk: Desk) -> None:
    """Ask books for the windows in which something is still to be settled, also those of earlier runs."""
    while True:
        windows = followed_windows(desk.state, desk.moment())
        if windows:
            try:
                await call(
                    process.ctx,
                    process.run_dir,
                    "books",
                    ROLE,
                    FollowWindows(windows=windows),
                    clock=process.clock,
                )
            except (CallTimedOut, CallRefused):
                process.count("follow_failures")
        process.set_count("unsettled", len(windows))
        await asyncio.sleep(1)


if __name__ == "__main__":
    run(ROLE, executor, death_signal=signal.SIGTERM)
