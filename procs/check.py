"""The start-up checks as a process of its own, for when the executor does not run: one JSON report on stdout.

It reads the key as the executor does, so that ``laggard check`` itself never has to, asks everything once and
ends. Starts nothing and writes nothing.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import structlog

from common.core.account import broken_sums
from common.errors import ConfigError, DependencyMissing, FeedError, FeedRefused, LaggardError
from common.feeds.account.user_channel import user_link
from common.feeds.connection import Link, Silence, keep_connected
from common.feeds.http import HttpSource
from common.feeds.market.clob_market import first_subscription, parse_frame
from common.feeds.market.discovery import Discovery
from common.feeds.market.market_events import BookSnapshot
from common.messages import CheckResult, ChecksReport, MarketState
from common.research.falsification.verdict import evidence_check
from common.runtime.clock import SystemClock
from common.runtime.config import Config, load_config
from common.runtime.credentials import read_credentials
from common.runtime.paths import Paths, make_paths
from common.runtime.trading_key import close_doors, refuse_in_environment
from common.store.journal_read import read_journal
from common.units import SECOND
from common.venue.checks import NO_WINDOW, SELLING, CheckContext, run_checks
from procs.live_account import CLOB_FIELDS, open_account

HEAR_S = 4.0
ACCOUNT_CHECKS = (
    "key", "chain", "contracts", "balance", "allowance", SELLING, "api key", "standing", "user channel",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Probe:
    """What the checks ask through: made from the configuration alone."""

    config: Config
    paths: Paths
    clock: SystemClock
    markets: tuple[MarketState, ...]
    trouble: str
    """Why the windows could not be listed, or empty."""

    async def book(self) -> str:
        """Hear one book of a window that is listed now."""
        if self.trouble:
            raise LaggardError(self.trouble)
        if not self.markets:
            return NO_WINDOW
        market, heard = self.markets[0], asyncio.Event()

        def on_frame(frame: str | bytes, _recv_ns: int, _mono_ns: int) -> None:
            if any(isinstance(event, BookSnapshot) and event.hash for event in parse_frame(frame)):
                heard.set()

        silence = Silence(limit_ns=30 * SECOND, dead_ns=60 * SECOND)
        greeting = first_subscription([market.token_up])
        link = Link(self.config.venue.clob_ws_url, lambda: [greeting], on_frame, silence)
        await _hear(link, heard, self.clock)
        return f"a book of {market.window} with its hash"

    async def journal(self) -> str:
        """Read the journal, if there is one."""
        found = read_journal(self.paths.journal_file(self.config.mode))
        if found is None:
            return "no journal yet: the first start makes one"
        problem = broken_sums(found.books)
        if problem:
            raise LaggardError(problem)
        return f"{len(found.books.orders)} orders, everything adds up, posture {found.posture.posture}"


async def _hear(link: Link, heard: asyncio.Event, clock: SystemClock) -> None:
    """Run a link until something was heard; raises LaggardError with why nothing was."""
    why = f"connected, but nothing came within {HEAR_S:g} s"

    def on_state(up: bool, text: str) -> None:
        nonlocal why
        why = why if up else text

    link.on_state = on_state
    running = asyncio.ensure_future(keep_connected(link, clock, structlog.get_logger()))
    hearing = asyncio.ensure_future(heard.wait())
    try:
        await asyncio.wait((running, hearing), timeout=HEAR_S, return_when=asyncio.FIRST_COMPLETED)
        if heard.is_set():
            return
        if running.done():
            await running
        raise LaggardError(why)
    finally:
        running.cancel()
        hearing.cancel()
        await asyncio.gather(running, hearing, return_exceptions=True)


async def check(config: Config, paths: Paths) -> ChecksReport:
    """Run every check that makes sense in this mode; one that cannot be run has failed with its reason."""
    report = await _check_outside(config, paths)
    return msgspec.structs.replace(report, results=(*report.results, evidence_check(config, paths.state_dir)))


async def _check_outside(config: Config, paths: Paths) -> ChecksReport:
    clock = SystemClock()
    markets, trouble = await _markets(config, clock)
    probe = Probe(config, paths, clock, markets, trouble)
    if config.mode == "live":
        return await _check_live(probe)

    away = _refused("no account")
    context = _context(probe, "", "", "", away, away, away)
    return await run_checks(context, skip=ACCOUNT_CHECKS, because="paper trading needs no account")


async def _check_live(probe: Probe) -> ChecksReport:
    from common.venue.live import connect

    config, paths = probe.config, probe.paths
    account, key = open_account(config, paths)
    credentials = read_credentials(paths.credentials_file("clob"), CLOB_FIELDS)
    names = (account.signer.address, account.address, key.source)
    try:
        client = await connect(config, key.private_key, account.address, credentials)
    except (FeedRefused, DependencyMissing) as problem:
        away = _refused(str(problem))
        return await run_checks(_context(probe, *names, away, away, away))

    async def user_channel() -> str:
        answered = asyncio.Event()
        known = client.api_key
        link = user_link(
            config.venue.clob_user_ws_url,
            known.key,
            known.secret,
            known.passphrase,
            mono_ns=probe.clock.mono_ns(),
            on_event=lambda _event: answered.set(),
            on_refused=lambda _refusal: None,
            on_state=lambda _up, _text: None,
            is_ours=lambda _order_id: False,
            on_alive=answered.set,
            ping_s=0.5,
        )
        await _hear(link, answered, probe.clock)
        return "the venue answers on the user channel"

    try:
        return await run_checks(_context(probe, *names, client.balance, client.closed_only, user_channel))
    finally:
        await client.close()


def _context(
    probe: Probe,
    signer: str,
    address: str,
    source: str,
    balance: Callable[[], Awaitable[tuple[int, dict[str, int]]]],
    closed_only: Callable[[], Awaitable[bool]],
    user_channel: Callable[[], Awaitable[str]],
) -> CheckContext:
    return CheckContext(
        config=probe.config,
        clock=probe.clock,
        state_dir=_existing(probe.paths.state_dir),
        signer=signer,
        address=address or "0x" + "00" * 20,
        key_source=source,
        markets=probe.markets,
        balance=balance,
        closed_only=closed_only,
        book=probe.book,
        user_channel=user_channel,
        journal=probe.journal,
    )


def _refused(why: str) -> Callable[[], Awaitable[Any]]:
    async def refuse() -> Any:
        raise LaggardError(why)

    return refuse


def _existing(directory: Path) -> Path:
    """The directory, or what of its path exists already."""
    return next(each for each in (directory, *directory.parents) if each.exists())


async def _markets(config: Config, clock: SystemClock) -> tuple[tuple[MarketState, ...], str]:
    """The windows listed now, and why they could not be read."""
    venue = config.venue
    discovery = Discovery(
        gamma=HttpSource(venue.gamma_url, clock),
        clob=HttpSource(venue.clob_url, clock),
        data=HttpSource(venue.data_url, clock),
        assets=frozenset(config.markets.assets),
        cadence=config.markets.cadence,
        lookahead_ns=int(config.markets.lookahead_s * SECOND),
        clock=clock,
        log=structlog.get_logger(),
        on_change=lambda _market: None,
        on_refusal=lambda _reason: None,
        on_silence=lambda _source: None,
    )
    try:
        async with asyncio.timeout(2 * HEAR_S):
            await discovery.refresh()
    except (FeedError, TimeoutError) as error:
        return tuple(discovery.live()), f"the windows cannot be listed: {error}"
    return tuple(discovery.live()), ""


def main() -> None:
    """Print the report and end; the exit code says only that it could be made."""
    logs = structlog.make_filtering_bound_logger(50)
    structlog.configure(wrapper_class=logs, logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        close_doors()
        refuse_in_environment(os.environ)
        config = load_config()
        paths = make_paths(config.paths.state_dir, config.paths.run_dir, config.paths.credentials_dir)
        report = asyncio.run(check(config, paths))
    except ConfigError as error:
        results = tuple(CheckResult("configuration", "failed", problem) for problem in error.problems)
        report = ChecksReport(at_ns=0, results=results)
    except LaggardError as error:
        report = ChecksReport(at_ns=0, results=(CheckResult("start", "failed", str(error)),))
    sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
    sys.stdout.flush()
    # No interpreter shutdown: a thread stuck in a request must not keep a finished check waiting.
    os._exit(0)


if __name__ == "__main__":
    main()
