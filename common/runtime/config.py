"""The configuration: a TOML file and LAGGARD_* variables, checked whole, every problem told at once.

Decisions get integers from ``strategy_settings``, ``risk_limits`` and ``order_settings``.
"""

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from common.core.settings import OrderSettings, RiskLimits, StrategySettings
from common.errors import ConfigError
from common.runtime.config_sections import (
    Chainlink,
    Evidence,
    Exchanges,
    Log,
    Markets,
    Metrics,
    Oracles,
    Orders,
    Paper,
    PathNames,
    Redeem,
    Risk,
    Section,
    Speed,
    Strategy,
    Telegram,
    Venue,
    Wallet,
    Watch,
)
from common.runtime.paths import default_config_file
from common.units import SECOND, ppm_exact, ppm_of_percent_exact, price4_exact, usd6_exact

PREFIX = "LAGGARD_"
ALIASES = {"ORACLES": "oracles.routes"}
"""Short names of variables that are set often."""
PLAIN_VARIABLES = {"CONFIG", "SIM", "STATE_DIR", "RUN_DIR", "PRIVATE_KEY", "KEYSTORE_PASSWORD"}
"""LAGGARD_* names that are not configuration keys."""


class Config(Section):
    """Everything that can be configured."""

    mode: Literal["paper", "live"] = "paper"
    markets: Markets = Markets()
    venue: Venue = Venue()
    oracles: Oracles = Oracles()
    chainlink: Chainlink = Chainlink()
    exchanges: Exchanges = Exchanges()
    wallet: Wallet = Wallet()
    strategy: Strategy = Strategy()
    orders: Orders = Orders()
    risk: Risk = Risk()
    evidence: Evidence = Evidence()
    paper: Paper = Paper()
    watch: Watch = Watch()
    speed: Speed = Speed()
    redeem: Redeem = Redeem()
    telegram: Telegram = Telegram()
    metrics: Metrics = Metrics()
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
            sizing=rule.sizing,
            kelly_fraction_ppm=ppm_exact(rule.kelly_fraction),
            kelly_max_usd6=usd6_exact(rule.kelly_max_usd),
            volatility_ppm=ppm_exact(rule.volatility_annual),
            volatility_by_asset=tuple(
                (asset, ppm_exact(text))
                for asset, _, text in (entry.partition("=") for entry in rule.volatility_by_asset)
            ),
            families=rule.families,
            routes=tuple(route for route in self.oracles.routes if route != "exchange"),
            max_divergence_ppm=ppm_of_percent_exact(self.oracles.max_divergence_percent),
            max_tick_age_ns=_ns(rule.max_tick_age_s),
            max_book_age_ns=_ns(rule.max_book_age_s),
            order_life_ns=_ns(rule.order_life_s),
            live=self.mode == "live",
        )

    def order_settings(self) -> OrderSettings:
        """The patience with live orders in integers."""
        return OrderSettings(
            ask_after_ns=_ns(self.orders.ask_after_s),
            absent_after_ns=_ns(self.orders.absent_after_s),
            unknown_hold_ns=_ns(self.orders.unknown_hold_s),
            flatten_max_slippage4=price4_exact(self.orders.flatten_max_slippage),
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
    if config is not None and config.mode == "live":
        problems += _live_problems(config)
    if config is None or problems:
        raise ConfigError(problems)
    return config, {key: origins.get(key, "default") for key in known_keys()}


def _live_problems(config: Config) -> list[str]:
    """What paper trading may leave open and real money may not."""
    wallet, problems = config.wallet, []
    if wallet.kind != "eoa" and not wallet.address:
        problems.append(
            f"wallet.address is missing: a {wallet.kind} wallet is not the key; write the address that holds "
            "the money (laggard check tells what the key owns)"
        )
    if _mistyped(wallet.address):
        problems.append(
            f"wallet.address: {wallet.address} is mistyped: its mixed case does not fit; copy it anew"
        )
    if wallet.session_key and wallet.kind != "deposit":
        problems.append(
            'wallet.session_key: session keys exist for deposit wallets only; wallet.kind = "deposit"'
        )
    if config.strategy.families != ("chainlink",):
        problems.append(
            'strategy.families: real money is judged by the settling stream alone; families = ["chainlink"]'
        )
    return problems


def _mistyped(address: str) -> bool:
    """Whether the mixed case of an address contradicts it (EIP-55); one case alone says nothing."""
    plain = address[2:]
    if plain in (plain.lower(), plain.upper()):
        return False
    try:
        from Crypto.Hash import keccak
    except ImportError:
        return False  # the executor cannot start without it and says so
    marks = keccak.new(digest_bits=256, data=plain.lower().encode()).hexdigest()
    return any(
        letter.isalpha() and letter.isupper() != (mark >= "8")
        for letter, mark in zip(plain, marks, strict=False)
    )


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
    if key.startswith("wallet."):
        # A key pasted in the wrong place is not repeated.
        return f"{key}{where}: {message}"
    return f"{key}{where}: {message}; it is {str(detail['input'])[:60]!r}"


def _nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    return f" (did you mean {close[0]}?)" if close else ""


def _ns(seconds: float) -> int:
    return round(seconds * SECOND)
