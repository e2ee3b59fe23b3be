"""The executor's live account: its key, its way to the venue, its user channel and its checks.

Joins the parts and runs them; what anything means is for the desk. Never gives up because the venue is away.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from common.core.account import broken_sums
from common.core.order_events import HoldAsked
from common.core.order_outcome import CHECKS_HOLD
from common.errors import ConfigError, DependencyMissing, FeedRefused, FrameRefused, LaggardError
from common.feeds.account.user_channel import user_link
from common.feeds.backoff import Backoff
from common.feeds.connection import USER_AGENT, keep_connected
from common.messages import Answer, ChecksReport, Command, ReadChecks, Request, WalletReport
from common.research.falsification.verdict import evidence_check
from common.runtime.config import Config
from common.runtime.credentials import Secret, read_credentials
from common.runtime.paths import Paths
from common.runtime.shell import Process
from common.runtime.trading_key import TradingKey, close_doors, read_trading_key
from common.units import SECOND
from common.venue.away import Away
from common.venue.checks import NO_WINDOW, ONE_CHECK_S, CheckContext, failures, run_checks
from common.venue.desk import Desk
from common.venue.port import OrderPort
from procs.api_access import HOLD, ApiAccess

if TYPE_CHECKING:
    from common.venue.clob.order_line import OrderLine
    from common.venue.clob.order_request import Account
    from common.venue.live import AccountClient
    from common.venue.live_orders import LiveVenue

LONGEST_PAUSE_S = 30.0
CHECK_EACH_S = 180.0
FAILED_AGAIN_S = 5.0
NOT_CHECKED = ChecksReport(at_ns=0, results=())
CLOB_FIELDS = ("api_key", "secret", "passphrase")


@dataclass(slots=True)
class LiveAccount:
    """A live account before and after it is connected; ``make_account`` reads its key."""

    process: Process
    account: "Account"
    private_key: Secret | None
    """Only until the account is connected."""
    away: Away = field(default_factory=Away)
    client: "AccountClient | None" = None
    access: ApiAccess | None = None
    venue: "LiveVenue | None" = None
    source: str = ""
    """Where the key came from."""
    report: ChecksReport = NOT_CHECKED
    channel: str = "not connected yet"
    """Why the user channel is down; empty while it is up."""
    again: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the checks are to run before their time."""

    async def connect(self) -> OrderPort:
        """Connect to the venue, however long it takes, and give where orders go; raises ConfigError.

        Only once. What takes long is done in threads: the loop has to show that it lives.
        """
        await asyncio.to_thread(_load_client)
        from common.venue.clob.order_line import OrderLine
        from common.venue.clob.order_request import OrderHead
        from common.venue.live import connect
        from common.venue.live_orders import LiveVenue

        process, config = self.process, self.process.config
        file, key = process.paths.credentials_file("clob"), self.private_key
        assert key is not None
        credentials = read_credentials(file, CLOB_FIELDS)
        access = self.access = ApiAccess(process.clock, None if credentials is None else file)
        backoff = Backoff(first_s=1.0, cap_s=LONGEST_PAUSE_S)
        while self.client is None:
            try:
                self.client = await connect(
                    config, key, self.account.address, credentials, on_refused=access.refused.set
                )
            except (FeedRefused, DependencyMissing) as problem:
                self.away.why = str(problem)
                process.set_state("degraded", str(problem))
                process.log.warning("account_away", why=str(problem))
                await asyncio.sleep(backoff.next_wait_s())
        self.private_key = None
        api_key = self.client.api_key
        # In a thread: it reads all certificates.
        line = await asyncio.to_thread(
            OrderLine,
            config.venue.clob_url,
            process.clock,
            user_agent=USER_AGENT,
            answer_s=config.orders.answer_s,
        )
        process.spawn(line.run(), name="order line")
        process.spawn(self._show(line), name="order line's state")
        self.venue = LiveVenue(
            self.account,
            api_key.key.reveal(),
            OrderHead(config.venue.clob_url, api_key, USER_AGENT),
            line,
            self.client,
            process.clock,
            order_life_ns=config.strategy_settings().order_life_ns,
            on_rate_limit=lambda text: process.facts.__setitem__("rate limit", text),
        )
        return self.venue

    async def first_balance(self) -> int:
        """What the account holds before its first order (1e-6 $), however long it takes to learn it."""
        assert self.client is not None
        while True:
            try:
                return (await self.client.balance())[0]
            except DependencyMissing as problem:
                self.process.set_state("degraded", str(problem))
                await asyncio.sleep(1)

    async def hear(self, desk: Desk) -> None:
        """Hear the user channel; while it is down, and until the account was read anew, nothing begins."""
        process, client, access = self.process, self.client, self.access
        assert client is not None
        assert access is not None
        age = process.watch("user channel", int(60 * SECOND))
        process.spawn(
            access.watch(client, lambda why: desk.tell(HoldAsked(HOLD, why)), self._renewed),
            name="credentials",
        )

        def down(why: str) -> None:
            self.channel = why
            desk.tell(HoldAsked("account", f"the user channel is down: {why}"))

        def on_refused(refusal: FrameRefused) -> None:
            process.count(f"refused.{refusal.reason}")
            process.log.warning("frame_refused", reason=refusal.reason, detail=refusal.detail)

        def on_state(up: bool, text: str) -> None:
            if up:
                self.channel = ""
                self.again.set()
                desk.catch_up()
            else:
                down(text)

        while True:
            access.renewed.clear()
            key = client.api_key
            link = user_link(
                process.config.venue.clob_user_ws_url,
                key.key,
                key.secret,
                key.passphrase,
                mono_ns=process.clock.mono_ns(),
                on_event=desk.tell,
                on_refused=on_refused,
                on_state=on_state,
                is_ours=desk.is_ours,
                on_alive=age.touch,
            )
            try:
                await _until(access.renewed, keep_connected(link, process.clock, process.log))
                down("it is opened anew with other API credentials")
            except FeedRefused as refusal:
                down(str(refusal))
                access.refused.set()
                with suppress(TimeoutError):
                    async with asyncio.timeout(LONGEST_PAUSE_S):
                        await access.renewed.wait()

    async def check(self, desk: Desk) -> None:
        """Run the start-up checks now and every few minutes; while one fails, nothing begins."""
        while True:
            self.again.clear()
            report = await run_checks(self._context(desk))
            # Asked here as well: a restart may bring other code or another configuration than was started.
            proof = await asyncio.to_thread(evidence_check, self.process.config, self.process.paths.state_dir)
            self.report = msgspec.structs.replace(report, results=(*report.results, proof))
            problem = failures(self.report.results)
            if problem:
                self.process.log.warning("checks_failed", problem=problem)
            desk.tell(HoldAsked(CHECKS_HOLD, problem))
            try:
                async with asyncio.timeout(FAILED_AGAIN_S if problem else CHECK_EACH_S):
                    await self.again.wait()
            except TimeoutError:
                continue

    async def read_checks(self, command: Command, _request: Request) -> Answer:
        """Answer with the newest checks, or with new ones."""
        assert isinstance(command, ReadChecks)
        if command.anew:
            known = self.report
            self.again.set()
            async with asyncio.timeout(ONE_CHECK_S + 1):
                while self.report is known:
                    await asyncio.sleep(0.02)
        return self.report

    async def read_wallet(self, _command: Command, _request: Request) -> Answer:
        """Answer with the account's balance by the venue's word."""
        try:
            if self.client is None:
                return WalletReport(balance_usd6=None, text=self.away.why, address=self.account.address)
            balance_usd6 = (await self.client.balance())[0]
            return WalletReport(balance_usd6=balance_usd6, address=self.account.address)
        except DependencyMissing as problem:
            return WalletReport(balance_usd6=None, text=str(problem), address=self.account.address)

    def _renewed(self) -> None:
        """Sign orders for the credentials the client uses now."""
        from common.venue.clob.order_request import OrderHead

        assert self.client is not None
        assert self.venue is not None
        key = self.client.api_key
        self.venue.use(key.key.reveal(), OrderHead(self.process.config.venue.clob_url, key, USER_AGENT))
        self.process.log.warning("credentials_renewed")

    async def _show(self, line: "OrderLine") -> None:
        """Keep the state of the order line in the process's status."""
        while True:
            state = line.state()
            text = f"{state.idle} idle, {state.busy} busy, {state.opened} opened, {state.lost} lost"
            self.process.facts["order line"] = text
            await asyncio.sleep(1)

    def _context(self, desk: Desk) -> CheckContext:
        client = self.client
        assert client is not None

        async def book() -> str:
            if not desk.state.markets:
                return NO_WINDOW
            live = [book for book in desk.state.quotes.values() if book.status == "live"]
            if live:
                return f"{len(live)} live books"
            raise LaggardError("not one book is live")

        async def user_channel() -> str:
            if self.channel:
                raise LaggardError(self.channel)
            return "the venue lets us hear what happens to our orders"

        async def journal() -> str:
            problem = broken_sums(desk.state.books)
            doubled = desk.journal.duplicate_orders()
            if problem or doubled:
                raise LaggardError(problem or f"{doubled} orders are doubled")
            return f"{len(desk.state.books.orders)} orders, everything adds up"

        return CheckContext(
            config=self.process.config,
            clock=self.process.clock,
            state_dir=self.process.paths.state_dir,
            signer=self.account.signer.address,
            address=self.account.address,
            key_source=self.source,
            markets=tuple(desk.state.markets.values()),
            balance=client.balance,
            closed_only=client.closed_only,
            book=book,
            user_channel=user_channel,
            journal=journal,
        )


def make_account(process: Process) -> LiveAccount:
    """Close the doors, read the key and see that it fits the wallet; raises ConfigError with the one fix."""
    close_doors()
    account, key = open_account(process.config, process.paths)
    process.log.info(
        "account", signer=account.signer.address, wallet=account.address, kind=account.kind, key=key.source
    )
    return LiveAccount(process, account, key.private_key, source=key.source)


def open_account(config: Config, paths: Paths) -> "tuple[Account, TradingKey]":
    """The configured account and its key, which is read here alone; raises ConfigError with the one fix."""
    try:
        from common.venue.clob.order_request import Account
        from common.venue.signing.order_signature import Signer
        from common.venue.signing.wallet import misfit
    except ImportError as error:
        raise DependencyMissing(
            f"live trading needs laggard's extra `live` ({error.name} is missing); run bin/setup"
        ) from None
    wallet = config.wallet
    key = read_trading_key(config, paths)
    try:
        signer = Signer(key.private_key)
    except ValueError as error:
        raise ConfigError([f"{key.source}: {error}"]) from None
    address = wallet.address or signer.address
    problem = misfit(wallet.kind, signer.address, address, session=wallet.session_key)
    if problem:
        raise ConfigError([f"the key from {key.source} does not fit: {problem}"])
    account = Account(signer, wallet.kind, address, wallet.session_key, config.venue.chain_id)
    return account, key


def _load_client() -> None:
    """Load the official client and what comes with it: more than a second of work."""
    import common.venue.live
    import common.venue.live_orders  # noqa: F401


async def _until(event: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Do this until the event comes; raises what it raises."""
    doing, waiting = asyncio.ensure_future(work), asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait((doing, waiting), return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            await doing
    finally:
        doing.cancel()
        waiting.cancel()
        await asyncio.gather(doing, waiting, return_exceptions=True)
