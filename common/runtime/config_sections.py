"""What can be configured: the sections of the file, their defaults and what each value may be.

Knows no file and no environment; beside ``config`` the only module that knows pydantic.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from common.messages import RouteName
from common.units import NotANumber, ppm_exact, ppm_of_percent_exact, price4_exact, usd6_exact


def _money(text: str) -> str:
    try:
        amount = usd6_exact(text)
    except NotANumber as error:
        raise ValueError(str(error)) from None
    if amount < 0:
        raise ValueError("must be dollars, not negative, with at most six decimals")
    return text


def _price(text: str) -> str:
    try:
        price = price4_exact(text)
    except NotANumber as error:
        raise ValueError(str(error)) from None
    if not 0 < price < 10_000:
        raise ValueError("must be a token price between 0 and 1")
    return text


def _percent(text: str) -> str:
    try:
        ppm = ppm_of_percent_exact(text)
    except NotANumber as error:
        raise ValueError(str(error)) from None
    if not 0 <= ppm <= 1_000_000:
        raise ValueError("must be between 0 and 100 percent, with at most four decimals")
    return text


def _fraction(text: str) -> str:
    if not 0 < _ppm(text) <= 1_000_000:
        raise ValueError("must be greater than 0 and at most 1, with at most six decimals")
    return text


def _volatility(text: str) -> str:
    if not 0 < _ppm(text) <= 10_000_000:
        raise ValueError("must be greater than 0 and at most 10 (0.6 is 60 % a year)")
    return text


def _ppm(text: str) -> int:
    try:
        return ppm_exact(text)
    except NotANumber as error:
        raise ValueError(str(error)) from None


def _one_each(entries: tuple[str, ...]) -> tuple[str, ...]:
    for entry in entries:
        _volatility(entry.partition("=")[2])
    _distinct(tuple(entry.partition("=")[0] for entry in entries))
    return entries


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"names {', '.join(twice)} twice")
    return names


Money = Annotated[str, AfterValidator(_money)]
Price = Annotated[str, AfterValidator(_price)]
Percent = Annotated[str, AfterValidator(_percent)]
Fraction = Annotated[str, AfterValidator(_fraction)]
Volatility = Annotated[str, AfterValidator(_volatility)]
AssetVolatility = Annotated[str, Field(pattern=r"^(btc|eth|sol|xrp)=[0-9.]+$")]
Seconds = Annotated[float, Field(gt=0, le=86_400 * 7)]
Kind = Literal["spot", "twap30", "twap60", "binance"]
Exchange = Literal["coinbase", "kraken", "binance"]
Family = Literal["chainlink", "coinbase", "kraken", "binance"]
Address = Annotated[str, Field(pattern=r"^(0x[0-9a-fA-F]{40})?$")]
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
FeedId = Annotated[str, Field(pattern=r"^[a-z0-9]+/(spot|twap30|twap60)=0x[0-9a-fA-F]{64}$")]
WebSocketUrl = Annotated[str, Field(pattern=r"^wss?://")]
HttpUrl = Annotated[str, Field(pattern=r"^https?://")]


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


class Venue(Section):
    """Where the venue is."""

    rtds_url: WebSocketUrl = "wss://ws-live-data.polymarket.com"
    polybolt_url: WebSocketUrl = "wss://ws-live-v2.polymarket.com/ws"
    clob_ws_url: WebSocketUrl = "wss://ws-subscriptions-clob.polymarket.com/ws/market"
    clob_url: HttpUrl = "https://clob.polymarket.com"
    gamma_url: HttpUrl = "https://gamma-api.polymarket.com"
    data_url: HttpUrl = "https://data-api.polymarket.com"
    clob_user_ws_url: WebSocketUrl = "wss://ws-subscriptions-clob.polymarket.com/ws/user"
    geoblock_url: HttpUrl = "https://polymarket.com/api/geoblock"
    chain_rpc_urls: Annotated[tuple[HttpUrl, ...], AfterValidator(_distinct), Field(min_length=1)] = (
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
    max_pol_per_transaction: Money = "2"
    max_pol_per_day: Money = "5"
    contracts: Annotated[dict[ContractName, Address], Field(max_length=12)] = {}
    """Other addresses than the built-in ones, should the venue move a contract: `adapter = "0x..."`."""


class Oracles(Section):
    """Which price routes to run, best first, and which of their series must never fall silent."""

    routes: Annotated[tuple[RouteName, ...], AfterValidator(_distinct), Field(min_length=1)] = (
        "chainlink",
        "polybolt",
        "rtds",
        "exchange",
    )
    """Order is rank; LAGGARD_ORACLES=chainlink,polybolt says the same."""
    kinds: tuple[Kind, ...] = ("spot", "twap30", "twap60", "binance")
    watched: tuple[Kind, ...] = ("spot", "twap60")
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

    names: Annotated[tuple[Exchange, ...], AfterValidator(_distinct)] = ("coinbase", "kraken", "binance")
    coinbase_url: WebSocketUrl = "wss://ws-feed.exchange.coinbase.com"
    kraken_url: WebSocketUrl = "wss://ws.kraken.com/v2"
    binance_url: WebSocketUrl = "wss://stream.binance.com:9443/ws"


class Strategy(Section):
    """The rule; see docs/decisions/0004 for what the move is measured with."""

    min_move_percent: Percent = "0.07"
    min_time_left_s: Annotated[float, Field(ge=0, le=86_400 * 7)] = 300
    max_price: Price = "0.62"
    stake_usd: Money = "10"
    sizing: Literal["fixed", "kelly"] = "fixed"
    """``kelly`` stakes a part of the free cash by a model's probability instead of stake_usd."""
    kelly_fraction: Fraction = "0.25"
    kelly_max_usd: Money = "25"
    """The most one order may cost by Kelly's criterion, fee included; the limits of [risk] hold as well."""
    volatility_annual: Volatility = "0.6"
    """Of the model alone, and yours to estimate: the standard deviation of a year's return."""
    volatility_by_asset: Annotated[tuple[AssetVolatility, ...], AfterValidator(_one_each)] = ()
    """Other values for single assets: ``btc=0.45, sol=0.9``."""
    families: Annotated[tuple[Family, ...], AfterValidator(_distinct)] = ("chainlink",)
    """Best first; every one but chainlink is a stand-in that does not settle, for paper trading only."""
    max_tick_age_s: Seconds = 5
    max_book_age_s: Seconds = 10
    order_life_s: Seconds = 2


class Risk(Section):
    """Limits; the worst case counts."""

    max_stake_usd: Money = "25"
    max_window_usd: Money = "25"
    max_asset_usd: Money = "100"
    max_direction_usd: Money = "150"
    max_positions: Annotated[int, Field(ge=1, le=1000)] = 16
    max_daily_loss_usd: Money = "150"
    max_loss_streak: Annotated[int, Field(ge=1)] = 8
    max_orders_per_minute: Annotated[int, Field(ge=1)] = 12
    min_balance_usd: Money = "0"


class Paper(Section):
    """The paper account."""

    bankroll_usd: Money = "1000"
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
    book_dead_s: Seconds = 180
    discovery_stale_s: Seconds = 120


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


class Speed(Section):
    """What is spent in live mode so that an order leaves sooner; ``bin/bench tick-to-order`` weighs it."""

    pin: bool = True
    """Keep oracles, strategist and executor together on the last processor core, everything else off it."""
    keep_warm_ms: Annotated[float, Field(ge=0, le=100)] = 0
    """How often each of them runs its part of the way on made-up input, to stay in its caches; 0 never.
    Gains where the caches hold all of them, and costs up to a fifth of a core each at 2."""


class PathNames(Section):
    """Where state and sockets are; default: the XDG directories."""

    state_dir: str | None = None
    run_dir: str | None = None
    credentials_dir: str | None = None
    """One file a route: polybolt.json, chainlink.json, each 0600."""


class Log(Section):
    """How much the processes say."""

    level: Literal["debug", "info", "warning", "error"] = "info"
