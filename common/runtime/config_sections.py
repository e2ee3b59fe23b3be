"""What can be configured: the sections of the file, their keys and defaults.

Knows no file and no environment. What a value may be is in ``config_values``; below the processes only these
two and ``config`` know pydantic.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from common.messages import RouteName
from common.runtime.config_values import (
    DISTINCT,
    Address,
    FeedId,
    Fraction,
    HttpUrl,
    LoopbackAddress,
    Money,
    Percent,
    Price,
    Seconds,
    UserIds,
    Volatility,
    VolatilityByAsset,
    Waiver,
    WebSocketUrl,
)

Kind = Literal["spot", "twap30", "twap60", "binance"]
Exchange = Literal["coinbase", "kraken", "binance"]
Family = Literal["chainlink", "coinbase", "kraken", "binance"]
WalletKind = Literal["eoa", "proxy", "safe", "deposit"]
ContractName = Literal[
    "ctf",
    "adapter",
    "collateral",
    "position_manager",
    "router",
    "binary_module",
    "proxy_factory",
    "relay_hub",
    "deposit_factory",
    "multisend",
    "auto_redeemer",
]
KeySource = Literal["file", "keystore", "environment"]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Markets(Section):
    """Which windows to look for."""

    assets: tuple[Literal["btc", "eth", "sol", "xrp"], ...] = ("btc", "eth", "sol", "xrp")
    cadence: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,4}[smh]$")] = "15m"
    """The window label of the venue's slugs."""
    lookahead_s: Seconds = 900
    """How far ahead a window may open and still be followed."""
    poll_s: Seconds = 5
    """How often new windows are looked for."""


class Venue(Section):
    """Where the venue is."""

    rtds_url: WebSocketUrl = "wss://ws-live-data.polymarket.com"
    """The venue's old relay of prices."""
    polybolt_url: WebSocketUrl = "wss://ws-live-v2.polymarket.com/ws"
    """The venue's socket of prices."""
    clob_ws_url: WebSocketUrl = "wss://ws-subscriptions-clob.polymarket.com/ws/market"
    """Order books."""
    clob_url: HttpUrl = "https://clob.polymarket.com"
    """Orders."""
    gamma_url: HttpUrl = "https://gamma-api.polymarket.com"
    """Markets and their rules."""
    data_url: HttpUrl = "https://data-api.polymarket.com"
    """Outcomes and what the account holds."""
    clob_user_ws_url: WebSocketUrl = "wss://ws-subscriptions-clob.polymarket.com/ws/user"
    """The account's own orders and trades."""
    geoblock_url: HttpUrl = "https://polymarket.com/api/geoblock"
    """Says whether you may trade from where you are."""
    chain_rpc_urls: Annotated[tuple[HttpUrl, ...], DISTINCT, Field(min_length=1)] = (
        "https://polygon.drpc.org",
        "https://polygon-bor-rpc.publicnode.com",
    )
    """JSON-RPC endpoints of the chain; what decides is asked of the first two, and they must agree."""
    chain_id: Annotated[int, Field(ge=1)] = 137


class Wallet(Section):
    """Who trades with real money, and where the key comes from."""

    kind: WalletKind = "deposit"
    address: Address = ""
    """The wallet that holds the money; only a plain key (eoa) needs none."""
    key_source: KeySource = "file"
    """trading.json or trading.keystore.json in the credentials directory, or LAGGARD_PRIVATE_KEY."""
    session_key: bool = False
    """The key may trade for a deposit wallet but owns nothing."""


class Redeem(Section):
    """How what was won comes back into the wallet."""

    auto: bool = True
    """Redeem by itself; otherwise only on `laggard redeem`."""
    route: Literal["auto", "relayer", "own-gas"] = "auto"
    """Who sends: the venue's relayer where relayer.json is there, else the owner's key with its own POL."""
    relayer_url: HttpUrl = "https://relayer-v2.polymarket.com"
    batch: Annotated[int, Field(ge=1, le=10)] = 10
    """The most conditions one transaction redeems."""
    min_payout_usd: Money = "0"
    """Less than this is left where it is."""
    poll_s: Seconds = 10
    resend_after_s: Seconds = 15
    """The same bytes go out again when nothing has been seen of them for so long."""
    stuck_after_s: Seconds = 75
    """A transaction that is in no block by then is replaced by one that bids a fifth more."""
    late_after_s: Seconds = 600
    """A redemption that is under way for longer is told."""
    retry_after_s: Seconds = 30
    """A condition that failed is left alone for so long, and twice as long each further time."""
    max_fee_gwei: Annotated[int, Field(ge=26, le=100_000)] = 1_000
    """The most bid for a unit of gas."""
    max_pol_per_transaction: Money = "2"
    """The most one transaction may cost."""
    max_pol_per_day: Money = "5"
    """The most all transactions of a day may cost."""
    contracts: Annotated[dict[ContractName, Address], Field(max_length=12)] = {}
    """Other addresses than the built-in ones, should the venue move a contract: `adapter = "0x..."`."""


class Oracles(Section):
    """Which price routes to run, best first, and which of their series must never fall silent."""

    routes: Annotated[tuple[RouteName, ...], DISTINCT, Field(min_length=1)] = (
        "chainlink",
        "polybolt",
        "rtds",
        "exchange",
    )
    """Order is rank; LAGGARD_ORACLES=chainlink,polybolt says the same."""
    kinds: tuple[Kind, ...] = ("spot", "twap30", "twap60", "binance")
    """The series that are asked for."""
    watched: tuple[Kind, ...] = ("spot", "twap60")
    """Those of which silence means trouble."""
    max_divergence_percent: Percent = "0.005"
    """Two routes whose values of one second differ by more than this contradict each other."""


class Chainlink(Section):
    """Chainlink Data Streams."""

    ws_url: WebSocketUrl = "wss://ws.dataengine.chain.link"
    rest_url: HttpUrl = "https://api.dataengine.chain.link"
    feeds: tuple[FeedId, ...] = ()
    """More feeds than the built-in ones, or others in their place: ``eth/twap60=0x0002...``."""


class Exchanges(Section):
    """Public tickers: early warning beside the oracle, never what settles."""

    names: Annotated[tuple[Exchange, ...], DISTINCT] = ("coinbase", "kraken", "binance")
    coinbase_url: WebSocketUrl = "wss://ws-feed.exchange.coinbase.com"
    kraken_url: WebSocketUrl = "wss://ws.kraken.com/v2"
    binance_url: WebSocketUrl = "wss://stream.binance.com:9443/ws"


class Strategy(Section):
    """The rule; see docs/decisions/0004 for what the move is measured with."""

    min_move_percent: Percent = "0.07"
    """The price must have moved more than this from the strike."""
    min_time_left_s: Annotated[float, Field(ge=0, le=86_400 * 7)] = 300
    """More than this must be left of the window."""
    max_price: Price = "0.62"
    """The side in the move's direction must be offered for less than this."""
    stake_usd: Money = "10"
    """What one order may cost."""
    sizing: Literal["fixed", "kelly"] = "fixed"
    """``kelly`` stakes a part of the free cash by a model's probability instead of stake_usd."""
    kelly_fraction: Fraction = "0.25"
    """The part of Kelly's stake that is taken."""
    kelly_max_usd: Money = "25"
    """The most one order may cost by Kelly's criterion, fee included; the limits of [risk] hold as well."""
    volatility_annual: Volatility = "0.6"
    """Of the model alone, and yours to estimate: the standard deviation of a year's return."""
    volatility_by_asset: VolatilityByAsset = ()
    """Other values for single assets: ``btc=0.45, sol=0.9``."""
    families: Annotated[tuple[Family, ...], DISTINCT] = ("chainlink",)
    """Best first; every one but chainlink is a stand-in that does not settle, for paper trading only."""
    max_tick_age_s: Seconds = 5
    """No order on an oracle price older than this."""
    max_book_age_s: Seconds = 10
    """No order on a book that was not heard of for longer than this."""
    order_life_s: Seconds = 2
    """A wish to buy that is older than this is refused."""


class Risk(Section):
    """Limits; the worst case counts."""

    max_stake_usd: Money = "25"
    """The most one order may cost."""
    max_window_usd: Money = "25"
    """The most at risk in one window."""
    max_asset_usd: Money = "100"
    """The most at risk in one asset."""
    max_direction_usd: Money = "150"
    """The most at risk on up, and on down, over all assets."""
    max_positions: Annotated[int, Field(ge=1, le=1000)] = 16
    """The most open positions."""
    max_daily_loss_usd: Money = "150"
    """No new orders for the rest of the UTC day after losing this much."""
    max_loss_streak: Annotated[int, Field(ge=1)] = 8
    """No new orders after so many losses in a row."""
    max_orders_per_minute: Annotated[int, Field(ge=1)] = 12
    """The most orders begun in any minute."""
    min_balance_usd: Money = "0"
    """This much of the cash is never staked."""


class Evidence(Section):
    """What real money may go by: ``laggard falsify`` makes a verdict, ``laggard up --live`` asks for it."""

    verdict: str = ""
    """The verdict file; otherwise verdict.json beside the journal."""
    waiver: Waiver = ""
    """A sentence of your own in place of a supported verdict; it is shown at every start."""


class Paper(Section):
    """The paper account."""

    bankroll_usd: Money = "1000"
    """What a new paper account begins with; an existing one keeps its own."""
    max_fill_age_s: Seconds = 5
    """A paper order never fills on a book whose data is older than this."""


class Watch(Section):
    """When silence means trouble."""

    tick_stale_s: Seconds = 20
    """A watched series silent for this long makes its connection be made anew."""
    tick_dead_s: Seconds = 120
    """All watched series silent for this long, though connected, end the process (75)."""
    book_quiet_s: Seconds = 5
    """The book of a running window unchanged for this long is compared with the venue's REST copy."""
    book_stale_s: Seconds = 30
    """A book silent for this long makes its connection be made anew."""
    book_dead_s: Seconds = 180
    """All books silent for this long, though connected, end the process (75)."""
    discovery_stale_s: Seconds = 120
    """A search for windows that has not worked for this long is shown as stale."""


class Orders(Section):
    """How long the fate of a live order may stay open."""

    answer_s: Annotated[float, Field(gt=0, le=60)] = 10
    """The venue's answer is waited for so long; then it is asked what became of the order."""
    ask_after_s: Seconds = 2
    """An order whose answer or trades have not come by then is asked for."""
    absent_after_s: Seconds = 30
    """The venue not knowing an order is believed only so long after it can last have been on its way."""
    unknown_hold_s: Annotated[float, Field(gt=0, le=60)] = 10
    """An order of unknown fate stops all new ones after this."""
    flatten_max_slippage: Price = "0.10"
    """`laggard flatten` sells no further below the best bid than this."""


class Speed(Section):
    """What is spent in live mode so that an order leaves sooner; ``bin/bench tick-to-order`` weighs it."""

    pin: bool = True
    """Keep oracles, strategist and executor together on the last processor core, everything else off it."""
    keep_warm_ms: Annotated[float, Field(ge=0, le=100)] = 2
    """How often each of them runs its part of the way on made-up input, to stay in the caches; 0 never.
    Costs a tenth of a core in all. Gained a third of the time with 1 MiB of second-level cache, nothing with
    half of that."""


class PathNames(Section):
    """Where state and sockets are; default: the XDG directories."""

    state_dir: str | None = None
    """Journal, tapes and what else must outlive a run."""
    run_dir: str | None = None
    """Sockets and locks; a short path."""
    credentials_dir: str | None = None
    """One file a route: polybolt.json, chainlink.json, each 0600."""


class Telegram(Section):
    """The bot that tells and obeys: disabled without telegram.json (the token) or without a chat."""

    required: bool = False
    """`laggard up` starts nothing while Telegram refuses the token or the chat, or does not answer."""
    chat_id: int = 0
    """Where to write: a person's id, or a group's (negative); 0: to each allowed user in private."""
    allowed_users: UserIds = ()
    """Ids of the people who may command; empty: the person whose private chat `chat_id` is."""
    api_url: HttpUrl = "https://api.telegram.org"
    poll_s: Annotated[float, Field(gt=0, le=50)] = 10
    """How long Telegram may hold a request for news open."""
    answer_s: Annotated[float, Field(gt=0, le=60)] = 5
    """Telegram's answer to anything else is waited for so long."""
    digest_hour_utc: Annotated[int, Field(ge=0, le=23)] = 0
    """When the day's digest is sent."""


class Metrics(Section):
    """Figures of all processes for Prometheus, served by the recorder to this host alone."""

    listen: LoopbackAddress = ""
    """Where: `127.0.0.1:9464`; empty: nowhere."""


class Log(Section):
    """How much the processes say."""

    level: Literal["debug", "info", "warning", "error"] = "info"
