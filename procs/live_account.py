"""The executor's live account: its key, its way to the venue, its user channel and the watch on its payouts.

Joins the parts and runs them; what anything means is for the desk. Never gives up because the venue is away.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from common.core.order_state import HoldAsked, NotSent, Order, Refuse, VenueAnswer
from common.core.venue_facts import Reading, Unread
from common.errors import ConfigError, DependencyMissing, FeedRefused, FrameRefused
from common.feeds.account.user_channel import AccountEvent, user_link
from common.feeds.backoff import Backoff
from common.feeds.connection import USER_AGENT, keep_connected
from common.messages import MarketState, Submit
from common.runtime.credentials import read_credentials
from common.runtime.shell import Process
from common.runtime.trading_key import close_doors, read_trading_key
from common.units import SECOND
from common.venue.desk import Desk
from common.venue.port import Activity, OrderPort, Prepared

if TYPE_CHECKING:
    from common.venue.clob.order_request import Account
    from common.venue.live import AccountClient

LONGEST_PAUSE_S = 30.0
CLOB_FIELDS = ("api_key", "secret", "passphrase")


@dataclass(slots=True)
class Away:
    """The order port of a venue that is not connected yet: nothing goes out, nothing is known."""

    why: str = "the venue is not connected yet"
    mode: str = "live"

    def prepare(self, submit: Submit, market: MarketState) -> Prepared | Refuse:
        return Refuse("not-connected", self.why)

    async def place(self, order: Order, market: MarketState) -> VenueAnswer:
        return NotSent(self.why)

    async def look_up(self, order: Order) -> Reading:
        return Unread(self.why)

    async def trades_since(self, since_ns: int, own: Sequence[str]) -> Activity | Unread:
        return Unread(self.why)

    async def cancel(self, order: Order) -> None:
        return


@dataclass(slots=True)
class LiveAccount:
    """A live account before and after it is connected; ``make_account`` reads its key."""

    process: Process
    account: "Account"
    away: Away = field(default_factory=Away)
    client: "AccountClient | None" = None
    venue: OrderPort | None = None

    async def connect(self) -> OrderPort:
        """Connect to the venue, however long it takes, and give where orders go; raises ConfigError."""
        from common.venue.clob.order_line import OrderLine
        from common.venue.clob.order_request import OrderHead
        from common.venue.live import connect
        from common.venue.live_orders import LiveVenue

        process, config = self.process, self.process.config
        credentials = read_credentials(process.paths.credentials_file("clob"), CLOB_FIELDS)
        key = read_trading_key(config, process.paths).private_key
        backoff = Backoff(first_s=1.0, cap_s=LONGEST_PAUSE_S)
        while self.client is None:
            try:
                self.client = await connect(config, key, self.account.address, credentials)
            except (FeedRefused, DependencyMissing) as problem:
                self.away.why = str(problem)
                process.set_state("degraded", str(problem))
                process.log.warning("account_away", why=str(problem))
                await asyncio.sleep(backoff.next_wait_s())
        api_key = self.client.api_key
        line = OrderLine(
            config.venue.clob_url, process.clock, user_agent=USER_AGENT, answer_s=config.orders.answer_s
        )
        process.spawn(line.run(), name="order line")
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
        process, client = self.process, self.client
        assert client is not None
        age = process.watch("user channel", int(60 * SECOND))

        def on_event(event: AccountEvent) -> None:
            age.touch()
            desk.tell(event)

        def on_refused(refusal: FrameRefused) -> None:
            process.count(f"refused.{refusal.reason}")
            process.log.warning("frame_refused", reason=refusal.reason, detail=refusal.detail)

        def on_state(up: bool, text: str) -> None:
            if up:
                age.touch()
                desk.catch_up()
            else:
                desk.tell(HoldAsked("account", f"the user channel is down: {text}"))

        key = client.api_key
        link = user_link(
            process.config.venue.clob_user_ws_url,
            key.key,
            key.secret,
            key.passphrase,
            mono_ns=process.clock.mono_ns(),
            on_event=on_event,
            on_refused=on_refused,
            on_state=on_state,
            is_ours=desk.is_ours,
        )
        while True:
            try:
                await keep_connected(link, process.clock, process.log)
            except FeedRefused as refusal:
                desk.tell(HoldAsked("account", str(refusal)))
                await asyncio.sleep(LONGEST_PAUSE_S)


def make_account(process: Process) -> LiveAccount:
    """Read the key and see that it fits the configured wallet; raises ConfigError with the one fix."""
    try:
        from common.venue.clob.order_request import Account
        from common.venue.signing.order_signature import Signer
        from common.venue.signing.wallet import misfit
    except ImportError as error:
        raise DependencyMissing(
            f"live trading needs laggard's extra `live` ({error.name} is missing); run bin/setup"
        ) from None
    close_doors()
    wallet = process.config.wallet
    key = read_trading_key(process.config, process.paths)
    try:
        signer = Signer(key.private_key)
    except ValueError as error:
        raise ConfigError([f"{key.source}: {error}"]) from None
    address = wallet.address or signer.address
    problem = misfit(wallet.kind, signer.address, address, session=wallet.session_key)
    if problem:
        raise ConfigError([f"the key from {key.source} does not fit: {problem}"])
    process.log.info("account", signer=signer.address, wallet=address, kind=wallet.kind)
    account = Account(signer, wallet.kind, address, wallet.session_key, process.config.venue.chain_id)
    return LiveAccount(process, account)
