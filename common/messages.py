"""Every message between laggard's processes, declared once.

Wire form is msgpack maps; each body carries its tag in ``t``. A reader ignores fields it does not know; a
field may be added with a default, anything else raises SCHEMA. Oracle prices exceed 64 bits and travel as
decimal text of the 1e-18 integer.
"""

from typing import Literal

import msgspec

SCHEMA = 3

Outcome = Literal["up", "down"]
Side = Literal["buy", "sell"]
SeriesKind = Literal["spot", "twap30", "twap60", "binance", "coinbase", "kraken"]
"""``spot`` and the TWAPs are Chainlink's; every exchange is a family of its own."""
RouteName = Literal["chainlink", "polybolt", "rtds", "exchange"]
RouteState = Literal["agree", "late", "held", "frozen", "diverged", "missing"]
"""What one second of one route amounts to beside the others; see ``common.core.route_audit``."""
Basis = Literal["settlement", "proxy, not settlement"]
"""What a trade was judged by: the stream that settles, or a stand-in that does not."""
OutcomeSource = Literal["gamma", "data-api", "clob"]
Official = Literal["up", "down", "split"]
"""What became of a window; a split pays both sides their share of a dollar."""
Posture = Literal["trading", "no-new-orders", "paused", "halted"]
BookStatus = Literal["live", "waiting", "resync", "closed"]
ProcessState = Literal["starting", "ready", "degraded", "disabled", "stopping"]
CheckState = Literal["ok", "warning", "failed", "skipped"]
OrderStatus = Literal["working", "filled", "partial", "killed", "refused"]
TradeStatus = Literal["matched", "mined", "retrying", "confirmed", "failed"]
"""Where a trade is on its way onto the chain; only ``confirmed`` and ``failed`` are final."""
TokenLedger = Literal["v1", "v2"]
"""The contract that keeps a market's tokens: ConditionalTokens or PositionManager."""
RedemptionStatus = Literal["waiting", "under way", "paid", "elsewhere", "failed"]
"""``waiting``: to be redeemed, nothing sent. ``elsewhere``: somebody else's transaction took the tokens."""


class Body(msgspec.Struct, frozen=True, tag_field="t", kw_only=True):
    """Base of everything an envelope can carry."""


class Tick(Body, frozen=True, tag="tick"):
    """One observation of one price series. Topic ``tick.<asset>.<kind>.<route>``."""

    asset: str
    kind: SeriesKind
    route: str
    """Which oracle route brought it, a RouteName in live messages."""
    observed_ns: int
    """The oracle's own stamp, on the wall clock."""
    e18: str
    """The value as decimal text of the 1e-18 integer."""
    relay_ns: int = 0
    """When the relay sent it, on its clock; 0 when it does not say."""
    backfill: bool = False
    bid_e18: str | None = None
    """The oracle's own bid and ask, where the route has them."""
    ask_e18: str | None = None

    @property
    def value(self) -> int:
        """The value in 1e-18 dollars."""
        return int(self.e18)


class FeeSchedule(msgspec.Struct, frozen=True):
    """Taker fee of a market: shares x rate x (p(1-p))^exponent."""

    rate_ppm: int
    exponent: int
    taker_only: bool = True


class OutcomeWitness(msgspec.Struct, frozen=True):
    """What one of the venue's services says of a window's result."""

    source: OutcomeSource
    outcome: Outcome


class MarketState(Body, frozen=True, tag="market"):
    """The venue's half of a window's settlement passport. Topic ``market.<window>``."""

    window: str
    """The slug: ``btc-updown-15m-1791241200``."""
    asset: str
    condition_id: str
    version: str
    token_up: str
    token_down: str
    rule: Literal["spot", "twap", "unknown"]
    lookback_s: int
    """Look-back of a TWAP rule; 0 for spot."""
    start_ns: int
    end_ns: int
    fee: FeeSchedule | None
    taker_delay_ns: int | None
    """How long the venue holds a taker order; None: unknown, so not tradable."""
    tick4: int
    min_size6: int
    accepting: bool
    closed: bool = False
    outcome: Outcome | None = None
    """The official outcome, once the venue published it and none of its services contradicts."""
    witnesses: tuple[OutcomeWitness, ...] = ()
    """Who said what, each source at most once."""
    price_to_beat_e18: str | None = None
    """The venue's own strike where Gamma already shows it; a witness, never the strike."""
    refusals: tuple[str, ...] = ()
    """Why the venue's half alone makes this window untradable; empty when it does not."""


class BookState(Body, frozen=True, tag="book"):
    """The complete known book of one token, best level first on both sides. Topic ``book.<token>``."""

    token: str
    window: str
    outcome: Outcome
    status: BookStatus
    bids: tuple[tuple[int, int], ...]
    """(price 1e-4 $, size 1e-6 shares)"""
    asks: tuple[tuple[int, int], ...]
    tick4: int
    venue_ns: int
    """The venue's stamp of the last change."""
    data_mono_ns: int
    """Monotonic instant of the last data of this token from the venue."""
    last_trade4: int | None = None
    proven_ns: int = 0
    """The venue's stamp of the newest state whose hash was verified; 0 when none was."""


class Gate(msgspec.Struct, frozen=True):
    """One condition of a decision, as it stood."""

    name: str
    value: str
    threshold: str
    passed: bool


class Verdict(Body, frozen=True, tag="verdict"):
    """Why there is or is no trade in a window now. Topic ``verdict.<window>``."""

    window: str
    asset: str
    decision: Literal["buy_up", "buy_down", "no_trade"]
    gates: tuple[Gate, ...]
    number: int
    """Counts the changes of this window's verdict."""


class WindowView(Body, frozen=True, tag="view"):
    """What the strategist sees of a window. Topic ``view.<window>``."""

    window: str
    asset: str
    start_ns: int
    end_ns: int
    strike_e18: str | None
    strike_source: str
    strike_disputes: int
    """Later, different values for the opening second: counted, never latched."""
    reference_e18: str | None
    reference_family: str
    move_ppm: int | None
    up_bid4: int | None
    up_ask4: int | None
    down_bid4: int | None
    down_ask4: int | None
    tradable: bool
    reason: str
    """Why it is not tradable, or empty."""
    predicted: Outcome | None
    outcome: Outcome | None
    refused: bool = False
    """The venue's half of the passport refuses the window, or it is not its turn by far."""
    strike_obtained_ns: int = 0
    reference_route: str = ""
    basis: Basis = "settlement"
    confidence_ppm: int | None = None
    """How much of the reference is known already rather than estimated: 1000000 once all is averaged."""
    price_to_beat_e18: str | None = None
    closing_e18: str | None = None
    """The settlement stream's value at the closing second, as we received it."""
    witnesses: tuple[OutcomeWitness, ...] = ()


class RouteView(msgspec.Struct, frozen=True):
    """One route in one judged second of one series."""

    route: str
    state: RouteState
    e18: str | None
    """Its value stamped with that second, if it came."""
    lag_ms: int | None
    """From the stamp to our receipt."""
    behind_ms: int | None
    """From the first route's receipt to this one's."""
    text: str = ""


class RouteAudit(Body, frozen=True, tag="routes"):
    """All live routes of one series in one second, side by side. Topic ``oracles.<asset>.<kind>``."""

    asset: str
    kind: SeriesKind
    second_ns: int
    """The oracle second that was judged."""
    state: RouteState
    """That of the worst route; whether it stops orders is in ``hold``."""
    routes: tuple[RouteView, ...]
    seconds: dict[str, int]
    """How many judged seconds had which state, since the start."""
    hold: str = ""
    """Why this series allows no new orders; empty when it does."""


class Submit(Body, frozen=True, tag="submit"):
    """A wish to buy: at most ``stake_usd6`` at no more than ``limit4``. A command to the executor."""

    intent_id: str
    """``<window>/<outcome>/<strategy>``: one intent is one order, however often it is sent."""
    window: str
    asset: str
    token: str
    outcome: Outcome
    strategy: str
    limit4: int
    stake_usd6: int
    decided_ns: int
    decided_mono_ns: int
    cause: str
    """Source, boot and sequence of the message that triggered the decision."""
    verdict_number: int = 0
    basis: Basis = "settlement"


class OrderState(Body, frozen=True, tag="order"):
    """One order as the executor's journal has it. Topic ``order.<window>``."""

    order_id: str
    intent_id: str
    window: str
    asset: str
    token: str
    outcome: Outcome
    limit4: int
    stake_usd6: int
    status: OrderStatus
    reason: str
    filled_size6: int
    cost_usd6: int
    fee_usd6: int
    created_ns: int
    updated_ns: int
    basis: Basis = "settlement"
    unknown: str = ""
    """Why its fate is not known, while it is not; empty when it is, or is awaited in the ordinary way."""
    side: Side = "buy"
    """Of a sale ``limit4`` is the lowest price, ``cost_usd6`` what it brought before the fee, the stake 0."""
    size6: int = 0
    """The shares a sale offers; 0 of a buy, which spends its stake."""


class Fill(Body, frozen=True, tag="fill"):
    """One fill of one order. Topic ``fill.<window>``."""

    trade_id: str
    order_id: str
    window: str
    asset: str
    token: str
    outcome: Outcome
    price4: int
    size6: int
    cost_usd6: int
    fee_usd6: int
    at_ns: int
    status: TradeStatus = "confirmed"
    """A failed trade was booked and unbooked: its shares never came."""
    side: Side = "buy"
    """Of a sale ``cost_usd6`` is what it brought before the fee."""
    released_usd6: int = 0
    """What the shares of a sale had cost on average, rounded up; 0 of a buy."""


class PositionState(Body, frozen=True, tag="position"):
    """What is held in one window's token, and what became of it. Topic ``position.<window>.<outcome>``."""

    window: str
    asset: str
    token: str
    outcome: Outcome
    size6: int
    cost_usd6: int
    fee_usd6: int
    end_ns: int
    settled: bool
    official: Official | None = None
    payout_usd6: int = 0
    pnl_usd6: int = 0
    basis: Basis = "settlement"
    redeemed: str = ""
    """What shows that the payout reached the wallet; empty while it has not, and always on paper."""
    condition_id: str = ""
    """What its token is redeemed by; empty in what an earlier version bought."""
    numerator: int = 0
    """Of a split this side's share of a dollar is ``numerator / denominator``; 0 of every other outcome."""
    denominator: int = 0
    sold6: int = 0
    """Shares that were sold again; ``size6`` and ``cost_usd6`` are what is left, ``fee_usd6`` is all fees."""
    realized_usd6: int = 0
    """What sales brought beyond what their shares cost, before fees; part of ``pnl_usd6`` once settled."""


class PostureState(Body, frozen=True, tag="posture"):
    """What the executor is allowed to do, durable. Topic ``posture.executor``."""

    posture: Posture
    reason: str
    who: str
    since_ns: int


class AccountState(Body, frozen=True, tag="account"):
    """The executor's money, from its ledger. Topic ``account.executor``."""

    mode: str
    cash_usd6: int
    open_cost_usd6: int
    realized_pnl_usd6: int
    day: str
    """UTC day of ``day_pnl_usd6``: ``2026-11-24``."""
    day_pnl_usd6: int
    fees_usd6: int
    orders: int
    fills: int
    duplicate_orders: int
    ledger_difference_usd6: int
    """What the ledger and an independent sum over orders, fills and payouts differ by: must be 0."""
    loss_streak: int = 0
    redeemable_usd6: int = 0
    """Won and not yet in the wallet."""
    unknown_orders: int = 0
    provisional_fills: int = 0
    """Matched, but not yet final on the chain."""


class ResolutionState(Body, frozen=True, tag="resolution"):
    """A condition's result as the chain has it, told once it is final. Topic ``resolution.<condition>``."""

    condition_id: str
    """``0x`` and 64 hexadecimal digits in lower case."""
    window: str
    """Empty where nobody told whose condition it is."""
    numerators: tuple[int, int]
    """Up's and Down's share of ``denominator``."""
    denominator: int
    block: int
    """The final block at which it was read."""


class RedemptionState(Body, frozen=True, tag="redemption"):
    """Where the redemption of one condition stands. Topic ``redemption.<condition>``."""

    condition_id: str
    window: str
    """Empty where nobody told whose condition it is."""
    ledger: TokenLedger
    status: RedemptionStatus
    payout_usd6: int
    """What the tokens are worth by the condition's result."""
    at_ns: int
    paid_usd6: int = 0
    """What arrived in the wallet, surplus included; final where the status is paid or elsewhere."""
    surplus_usd6: int = 0
    """What arrived beyond the computed payout: somebody's dust in the contract."""
    tx_hash: str = ""
    log_index: int = -1
    """Of the transfer that brought the money; -1 where there is none."""
    tokens: tuple[tuple[str, int], ...] = ()
    """(token, 1e-6 shares) that left the wallet."""
    route: str = ""
    text: str = ""
    """Why it is where it is, for people."""


class Heartbeat(Body, frozen=True, tag="heartbeat"):
    """A process's sign of life, stamped in its data path. Topic ``health.<role>``."""

    role: str
    pid: int
    state: ProcessState
    detail: str
    ages_ms: dict[str, int]
    """Age of each watched input on the monotonic clock."""
    counters: dict[str, int]


class Alert(Body, frozen=True, tag="alert"):
    """Something a person should know. Topic ``alert.<code>``."""

    level: Literal["info", "warning", "critical"]
    code: str
    text: str


class Canary(Body, frozen=True, tag="canary"):
    """A mark each feed sends the way of its data; who hears it passes it on and publishes it too.

    It changes nothing. Topic ``canary.<feed>``; also a command to the executor, which always refuses it.
    """

    feed: str
    """Role of the process it began in."""
    number: int
    """1, 2, 3 … per start of the feed."""
    boot: str
    """The start of the feed."""


class Status(Body, frozen=True, tag="status?"):
    """Command: report yourself."""


class TakeSnapshot(Body, frozen=True, tag="snapshot?"):
    """Command: give your whole published state."""


class Why(Body, frozen=True, tag="why?"):
    """Command to the strategist: the verdicts of one window, or of all current ones."""

    window: str | None = None


class FollowWindows(Body, frozen=True, tag="follow"):
    """Command to books: keep publishing these windows until their outcome is known."""

    windows: tuple[str, ...]


class SetPosture(Body, frozen=True, tag="set-posture"):
    """Command to the executor: change what it may do."""

    posture: Posture
    reason: str
    who: str


class CancelAll(Body, frozen=True, tag="cancel-all"):
    """Command to the executor: take back each order that rests or whose fate is open; harmless repeated."""

    who: str


class Flatten(Body, frozen=True, tag="flatten"):
    """Command to the executor: no new orders, take back what rests, sell what is held and can be sold."""

    who: str
    reason: str = ""


class ReadAccount(Body, frozen=True, tag="account?"):
    """Command to the executor: positions, recent orders and the account."""


class ReadOracles(Body, frozen=True, tag="oracles?"):
    """Command to the strategist: the newest audit of every series."""


class ProveBook(Body, frozen=True, tag="prove?"):
    """Command to books: verify the venue's hash of this token's book as it is now."""

    token: str


class ReadChecks(Body, frozen=True, tag="checks?"):
    """Command to the executor: the start-up checks; ``anew`` runs them first."""

    anew: bool = False


class ReadWallet(Body, frozen=True, tag="wallet?"):
    """Command to the executor, which alone has the keys: ask the venue for the account's balance."""


class Redeem(Body, frozen=True, tag="redeem"):
    """Command to the redeemer: redeem these conditions now; given again it changes nothing."""

    conditions: tuple[str, ...]
    who: str
    all: bool = False
    """Everything that is worth something, instead of ``conditions``."""
    losers: bool = False
    """Burn tokens that pay nothing as well."""


class ReadRedemptions(Body, frozen=True, tag="redemptions?"):
    """Command to the redeemer: all redemptions that changed since this instant."""

    since_ns: int = 0


class PlanRedemption(Body, frozen=True, tag="plan?"):
    """Command to the redeemer: say what would be redeemed and what it would cost; empty means everything."""

    conditions: tuple[str, ...] = ()
    losers: bool = False
    """Burn tokens that pay nothing as well."""


class SourceCount(msgspec.Struct, frozen=True):
    """How one subscriber saw one publisher's numbering."""

    source: str
    boot: str
    first_seq: int
    last_seq: int
    received: int
    missed: int
    """Numbers noticed as missing."""
    repeated: int
    """Numbers at or below the last one: ignored."""
    gaps: int
    """Times at which something was missing."""


class StatusReport(Body, frozen=True, tag="status"):
    """Answer to Status."""

    role: str
    pid: int
    boot: str
    state: ProcessState
    detail: str
    uptime_ms: int
    published: int
    """Last sequence number published."""
    sources: tuple[SourceCount, ...]
    ages_ms: dict[str, int]
    counters: dict[str, int]
    facts: dict[str, str]


class Snapshot(Body, frozen=True, tag="snapshot"):
    """Answer to TakeSnapshot: the messages that make up the state up to ``seq``."""

    boot: str
    seq: int
    envelopes: tuple["Envelope", ...]


class WhyReport(Body, frozen=True, tag="why"):
    """Answer to Why, oldest verdict first within a window."""

    verdicts: tuple[Verdict, ...]
    views: tuple[WindowView, ...]


class RouteReport(msgspec.Struct, frozen=True):
    """One configured route, as its process last said."""

    route: str
    rank: int
    state: str
    detail: str
    series: tuple[str, ...]
    """What it carries: ``spot/btc``."""


class ExchangeView(msgspec.Struct, frozen=True):
    """The newest price of one exchange, beside the oracle: early warning, never what settles."""

    asset: str
    exchange: SeriesKind
    e18: str
    age_ms: int
    from_spot_ppm: int | None
    """How far it is from the newest Chainlink spot; a standing offset between the two is normal."""


class OraclesReport(Body, frozen=True, tag="oracles"):
    """Answer to ReadOracles."""

    routes: tuple[RouteReport, ...]
    audits: tuple[RouteAudit, ...]
    exchanges: tuple[ExchangeView, ...] = ()


class BookProof(Body, frozen=True, tag="proof"):
    """Answer to ProveBook."""

    token: str
    proven: bool
    venue_ns: int
    """The venue's stamp of the state that was verified."""
    text: str = ""
    """Why it is not proven, or empty."""


class AccountReport(Body, frozen=True, tag="account-report"):
    """Answer to ReadAccount."""

    account: AccountState
    posture: PostureState
    positions: tuple[PositionState, ...]
    orders: tuple[OrderState, ...]


class CheckResult(msgspec.Struct, frozen=True):
    """One start-up check: what was found, in one line, and the one thing that mends it."""

    name: str
    state: CheckState
    text: str
    fix: str = ""


class ChecksReport(Body, frozen=True, tag="checks"):
    """Answer to ReadChecks."""

    at_ns: int
    """Wall instant at which they ended; 0 while they have not."""
    results: tuple[CheckResult, ...]


class WalletReport(Body, frozen=True, tag="wallet"):
    """Answer to ReadWallet."""

    balance_usd6: int | None
    """Collateral by the venue's word; None where it could not be asked, as on paper."""
    text: str = ""
    address: str = ""
    """The wallet that holds the money."""


class RedemptionsReport(Body, frozen=True, tag="redemptions"):
    """Answer to ReadRedemptions, newest change last."""

    redemptions: tuple[RedemptionState, ...]
    problem: str = ""
    """Why nothing is redeemed at present, or empty."""


class PlanLine(msgspec.Struct, frozen=True):
    """What would be done about one condition."""

    condition_id: str
    window: str
    ledger: TokenLedger
    payout_usd6: int
    decision: Literal["redeem", "leave"]
    reason: str = ""
    """Why it is left, or empty."""
    route: str = ""
    gas_wei: int = 0
    """What it costs at the present price of gas; 0 where the relayer pays."""
    max_cost_wei: int = 0
    """The most it can cost."""
    size6: int = 0
    """How many shares are held of it."""


class RedemptionPlan(Body, frozen=True, tag="plan"):
    """Answer to PlanRedemption."""

    lines: tuple[PlanLine, ...]
    problem: str = ""
    """Why the plan is not whole, or empty."""


class Accepted(Body, frozen=True, tag="accepted"):
    """The command was carried out, or had been before; ``repeated`` says which."""

    text: str = ""
    order_id: str = ""
    repeated: bool = False


class Refused(Body, frozen=True, tag="refused"):
    """The command was not carried out; ``code`` is stable, ``text`` is for people."""

    code: str
    text: str


Published = (
    Tick
    | MarketState
    | BookState
    | Verdict
    | WindowView
    | RouteAudit
    | OrderState
    | Fill
    | PositionState
    | PostureState
    | AccountState
    | ResolutionState
    | RedemptionState
    | Heartbeat
    | Alert
    | Canary
)
Command = (
    Status
    | TakeSnapshot
    | Why
    | FollowWindows
    | SetPosture
    | CancelAll
    | Flatten
    | ReadAccount
    | ReadOracles
    | ProveBook
    | ReadChecks
    | ReadWallet
    | Redeem
    | ReadRedemptions
    | PlanRedemption
    | Submit
    | Canary
)
Answer = (
    StatusReport
    | Snapshot
    | WhyReport
    | AccountReport
    | OraclesReport
    | BookProof
    | ChecksReport
    | WalletReport
    | RedemptionsReport
    | RedemptionPlan
    | Accepted
    | Refused
)


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """A published message with its origin and its three times."""

    schema: int
    source: str
    """Role of the publisher: ``oracle-rtds``."""
    boot: str
    """Random per start of the publisher."""
    seq: int
    """1, 2, 3 … per (source, boot), over all topics."""
    topic: str
    ts_event_ns: int
    """Wall clock of whoever made the fact (oracle, venue); 0 when it is our own."""
    ts_recv_ns: int
    """Our wall clock when the fact reached us."""
    mono_ns: int
    """Our monotonic clock when it was published."""
    cause: str
    """``source/boot/seq`` of the message that led to this one, or empty."""
    body: Published


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A command on the wire; refused by the callee once ``expires_mono_ns`` has passed."""

    schema: int
    id: str
    caller: str
    expires_mono_ns: int
    body: Command


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to the request with the same id."""

    schema: int
    id: str
    body: Answer


def envelope_id(envelope: Envelope) -> str:
    """The form in which another message names this one as its cause."""
    return f"{envelope.source}/{envelope.boot}/{envelope.seq}"
