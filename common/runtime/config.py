"""The configuration: a TOML file and LAGGARD_* variables, checked whole, every problem told at once.

The only module that knows pydantic. Decisions get integers from ``strategy_settings`` and ``risk_limits``.
"""

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from common.core.settings import RiskLimits, StrategySettings
from common.errors import ConfigError
from common.messages import RouteName
from common.runtime.paths import default_config_file
from common.units import SECOND, NotANumber, ppm_of_percent_exact, price4_exact, usd6_exact

PREFIX = "LAGGARD_"
ALIASES = {"ORACLES": "oracles.routes"}
"""Short names of variables that are set often."""
PLAIN_VARIABLES = {"CONFIG", "SIM", "STATE_DIR", "RUN_DIR"}
"""LAGGARD_* names that are not configuration keys."""


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


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"names {', '.join(twice)} twice")
    return names


Money = Annotated[str, AfterValidator(_money)]
Price = Annotated[str, AfterValidator(_price)]
Percent = Annotated[str, AfterValidator(_percent)]
Seconds = Annotated[float, Field(gt=0, le=86_400 * 7)]
Kind = Literal["spot", "twap30", "twap60", "binance"]
Exchange = Literal["coinbase", "kraken", "binance"]
Family = Literal["chainlink", "coinbase", "kraken", "binance"]
FeedId = Annotated[str, Field(pattern=r"^[a-z0-9]+/(spot|twap30|twap60)=0x[0-9a-fA-F]{64}$")]
WebSocketUrl = Annotated[str, Field(pattern=r"^wss?://")]
HttpUrl = Annotated[str, Field(pattern=r"^https?://")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Markets(_Section):
    """Which windows to look for."""

    assets: tuple[Literal["btc", "eth", "sol", "xrp"], ...] = ("btc", "eth", "sol", "xrp")
    cadence: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,4}[smh]$")] = "15m"
    """The window label of the venue's slugs."""
    lookahead_s: Seconds = 900
    """How far ahead a window may open and still be followed."""
    poll_s: Seconds = 5


class Venue(_Section):
    """Where the venue is."""

    rtds_url: WebSocketUrl = "wss://ws-live-data.polymarket.com"
    polybolt_url: WebSocketUrl = "wss://ws-live-v2.polymarket.com/ws"
    clob_ws_url: WebSocketUrl = "wss://ws-subscriptions-clob.polymarket.com/ws/market"
    clob_url: HttpUrl = "https://clob.polymarket.com"
    gamma_url: HttpUrl = "https://gamma-api.polymarket.com"
    data_url: HttpUrl = "https://data-api.polymarket.com"


class Oracles(_Section):
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


class Chainlink(_Section):
    """Chainlink Data Streams."""

    ws_url: WebSocketUrl = "wss://ws.dataengine.chain.link"
    rest_url: HttpUrl = "https://api.dataengine.chain.link"
    feeds: tuple[FeedId, ...] = ()
    """More feeds than the built-in ones, or others in their place: ``eth/twap60=0x0002...``."""


class Exchanges(_Section):
    """Public tickers: early warning beside the oracle, never what settles."""

    names: Annotated[tuple[Exchange, ...], AfterValidator(_distinct)] = ("coinbase", "kraken", "binance")
    coinbase_url: WebSocketUrl = "wss://ws-feed.exchange.coinbase.com"
    kraken_url: WebSocketUrl = "wss://ws.kraken.com/v2"
    binance_url: WebSocketUrl = "wss://stream.binance.com:9443/ws"


class Strategy(_Section):
    """The rule; see docs/decisions/0004 for what the move is measured with."""

    min_move_percent: Percent = "0.07"
    min_time_left_s: Annotated[float, Field(ge=0, le=86_400 * 7)] = 300
    max_price: Price = "0.62"
    stake_usd: Money = "10"
    families: Annotated[tuple[Family, ...], AfterValidator(_distinct)] = ("chainlink",)
    """Best first; every one but chainlink is a stand-in that does not settle, for paper trading only."""
    max_tick_age_s: Seconds = 5
    max_book_age_s: Seconds = 10
    order_life_s: Seconds = 2


class Risk(_Section):
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


class Paper(_Section):
    """The paper account."""

    bankroll_usd: Money = "1000"
    max_fill_age_s: Seconds = 5
    """A paper order never fills on a book whose data is older than this."""


class Watch(_Section):
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


class PathNames(_Section):
    """Where state and sockets are; default: the XDG directories."""

    state_dir: str | None = None
    run_dir: str | None = None
    credentials_dir: str | None = None
    """One file a route: polybolt.json, chainlink.json, each 0600."""


class Log(_Section):
    """How much the processes say."""

    level: Literal["debug", "info", "warning", "error"] = "info"


class Config(_Section):
    """Everything that can be configured."""

    mode: Literal["paper"] = "paper"
    markets: Markets = Markets()
    venue: Venue = Venue()
    oracles: Oracles = Oracles()
    chainlink: Chainlink = Chainlink()
    exchanges: Exchanges = Exchanges()
    strategy: Strategy = Strategy()
    risk: Risk = Risk()
    paper: Paper = Paper()
    watch: Watch = Watch()
    paths: PathNames = PathNames()
    log: Log = Log()

    def strategy_settings(self) -> StrategySettings:
        """The rule in integers."""
        rule = self.strategy
        return StrategySettings(
            min_move_ppm=ppm_of_percent_exact(rule.min_move_percent),
            min_time_left_ns=_ns(rule.min_time_left_s),
            max_price4=price4_exact(rule.max_price),
            stake_usd6=usd6_exact(rule.stake_usd),
            families=rule.families,
            routes=tuple(route for route in self.oracles.routes if route != "exchange"),
            max_divergence_ppm=ppm_of_percent_exact(self.oracles.max_divergence_percent),
            max_tick_age_ns=_ns(rule.max_tick_age_s),
            max_book_age_ns=_ns(rule.max_book_age_s),
            order_life_ns=_ns(rule.order_life_s),
        )

    def risk_limits(self) -> RiskLimits:
        """The limits in integers."""
        risk = self.risk
        return RiskLimits(
            max_stake_usd6=usd6_exact(risk.max_stake_usd),
            max_window_usd6=usd6_exact(risk.max_window_usd),
            max_asset_usd6=usd6_exact(risk.max_asset_usd),
            max_direction_usd6=usd6_exact(risk.max_direction_usd),
            max_positions=risk.max_positions,
            max_daily_loss_usd6=usd6_exact(risk.max_daily_loss_usd),
            max_loss_streak=risk.max_loss_streak,
            max_orders_per_minute=risk.max_orders_per_minute,
            min_balance_usd6=usd6_exact(risk.min_balance_usd),
        )


def load_config(path: Path | None = None, env: Mapping[str, str] | None = None) -> Config:
    """Read file and environment; raises ConfigError with every problem, its place and its cure."""
    return load_with_origins(path, env)[0]


def load_with_origins(
    path: Path | None = None, env: Mapping[str, str] | None = None
) -> tuple[Config, dict[str, str]]:
    """The configuration, and for each dotted key where its value came from."""
    env = os.environ if env is None else env
    problems: list[str] = []
    values, origins = _from_file(path, env, problems)
    for name in sorted(env):
        if name.startswith(PREFIX) and name.removeprefix(PREFIX) not in PLAIN_VARIABLES:
            _from_variable(name, env[name], values, origins, problems)
    for variable, key in (("LAGGARD_STATE_DIR", "state_dir"), ("LAGGARD_RUN_DIR", "run_dir")):
        if env.get(variable):
            values.setdefault("paths", {})[key] = env[variable]
            origins[f"paths.{key}"] = f"environment {variable}"
    config: Config | None = None
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        problems += [_problem(detail, origins) for detail in error.errors()]
    if config is None or problems:
        raise ConfigError(problems)
    return config, {key: origins.get(key, "default") for key in known_keys()}


def known_keys() -> list[str]:
    """Every dotted key there is, in the order of the sections."""
    keys = []
    for name, field in Config.model_fields.items():
        if isinstance(field.default, BaseModel):
            keys += [f"{name}.{inner}" for inner in type(field.default).model_fields]
        else:
            keys.append(name)
    return keys


def value_of(config: Config, key: str) -> object:
    """The value of one dotted key."""
    found: object = config
    for part in key.split("."):
        found = getattr(found, part)
    return found


def _from_file(
    path: Path | None, env: Mapping[str, str], problems: list[str]
) -> tuple[dict[str, Any], dict[str, str]]:
    named = path or (Path(env["LAGGARD_CONFIG"]) if env.get("LAGGARD_CONFIG") else None)
    file = named or default_config_file()
    if named is None and not file.exists():
        return {}, {}
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        problems.append(f"cannot read the configuration {file}: {error.strerror}; name an existing file")
        return {}, {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems.append(f"{file} is not valid TOML: {error}; mend that line")
        return {}, {}
    origins = {}
    for name, value in values.items():
        if isinstance(value, dict):
            origins.update({f"{name}.{inner}": str(file) for inner in value})
        else:
            origins[name] = str(file)
    return values, origins


def _from_variable(
    name: str, text: str, values: dict[str, Any], origins: dict[str, str], problems: list[str]
) -> None:
    short = name.removeprefix(PREFIX)
    key = ALIASES.get(short, short.lower().replace("__", "."))
    if key not in known_keys():
        problems.append(
            f"the environment variable {name} is unknown{_nearest(name, _variables())}; unset or correct it"
        )
        return
    value: Any = text
    section, _, inner = key.rpartition(".")
    if isinstance(value_of(Config(), key), tuple):
        value = [part.strip() for part in text.split(",") if part.strip()]
    target = values.setdefault(section, {}) if section else values
    if isinstance(target, dict):
        target[inner] = value
    origins[key] = f"environment {name}"


def _variables() -> list[str]:
    return [PREFIX + key.upper().replace(".", "__") for key in known_keys()] + [
        PREFIX + v for v in (*PLAIN_VARIABLES, *ALIASES)
    ]


def _problem(detail: Any, origins: dict[str, str]) -> str:
    key = ".".join(str(part) for part in detail["loc"] if not isinstance(part, int))
    where = f" (from {origins[key]})" if key in origins else ""
    if detail["type"] == "extra_forbidden":
        known = known_keys() if "." in key else list(Config.model_fields)
        return f"{key}{where} is unknown{_nearest(key, known)}; remove or correct it"
    if detail["type"] == "string_type" and isinstance(detail["input"], int | float):
        # A TOML number is a binary float and would lose digits of money.
        return f'{key}{where}: amounts are text; write {key.rpartition(".")[2]} = "{detail["input"]}"'
    message = detail["msg"].removeprefix("Value error, ")
    return f"{key}{where}: {message}; it is {str(detail['input'])[:60]!r}"


def _nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    return f" (did you mean {close[0]}?)" if close else ""


def _ns(seconds: float) -> int:
    return round(seconds * SECOND)
