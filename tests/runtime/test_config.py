"""The configuration: every problem at once, exact integers, and where each value came from."""

from pathlib import Path

import pytest

from common.core.settings import OrderSettings, RiskLimits, StrategySettings
from common.errors import ConfigError
from common.runtime.config import Config, known_keys, load_config, load_with_origins, value_of
from common.units import SECOND


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "c.toml"
    path.write_text(text)
    return path


def problems_of(path: Path | None, env: dict[str, str]) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        load_config(path, env)
    assert raised.value.exit_code == 78
    return raised.value.problems


def test_the_defaults_are_the_defaults_of_the_core(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, ""), {})
    assert config == Config()
    assert config.strategy_settings() == StrategySettings()
    assert config.risk_limits() == RiskLimits()
    assert config.order_settings() == OrderSettings()


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        'mode = "real"\n[strategy]\nmax_price = "1.2"\nmax_prize = "0.5"\n[risk]\nmax_stake_usd = "-1"\n'
        "[watch]\ntick_stale_s = 0\n[stratgy]\nx = 1\n",
    )
    problems = problems_of(path, {"LAGGARD_STRATEGY__STAKE": "5", "LAGGARD_PAPER__BANKROLL_USD": "much"})
    for part in (
        "mode",
        "strategy.max_price",
        "did you mean strategy.max_price",
        "risk.max_stake_usd",
        "watch.tick_stale_s",
        "did you mean strategy?)",
        "LAGGARD_STRATEGY__STAKE is unknown (did you mean LAGGARD_STRATEGY__STAKE_USD?)",
        "paper.bankroll_usd",
    ):
        assert any(part in problem for problem in problems), (part, problems)
    assert len(problems) == 8
    assert all("\n" not in problem for problem in problems)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("max_price", '"0.62001"'),
        ("max_price", '"0"'),
        ("max_price", '"1"'),
        ("max_price", '"nan"'),
        ("stake_usd", '"0.0000001"'),
        ("stake_usd", '"inf"'),
        ("stake_usd", "0.1"),
        ("min_move_percent", '"0.00001"'),
        ("min_time_left_s", "nan"),
        ("min_time_left_s", "inf"),
        ("max_tick_age_s", "inf"),
    ],
)
def test_what_is_not_exact_or_not_finite_is_refused(tmp_path: Path, key: str, value: str) -> None:
    problems = problems_of(written(tmp_path, f"[strategy]\n{key} = {value}\n"), {})
    assert len(problems) == 1
    assert problems[0].startswith(f"strategy.{key}")


def test_conversion_to_integers_is_exact(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        '[strategy]\nmin_move_percent = "0.0701"\nmax_price = "0.6199"\nstake_usd = "10.000001"\n'
        "min_time_left_s = 300.001\nmax_tick_age_s = 0.1\norder_life_s = 1.3\n"
        '[risk]\nmax_daily_loss_usd = "0.07"\n',
    )
    config = load_config(path, {})
    settings = config.strategy_settings()
    assert settings.min_move_ppm == 701
    assert settings.max_price4 == 6_199
    assert settings.stake_usd6 == 10_000_001
    assert settings.min_time_left_ns == 300_001_000_000
    assert settings.max_tick_age_ns == 100_000_000
    assert settings.order_life_ns == 1_300_000_000
    assert config.risk_limits().max_daily_loss_usd6 == 70_000


def test_the_environment_wins_and_origins_say_so(tmp_path: Path) -> None:
    path = written(tmp_path, 'mode = "paper"\n[strategy]\nmax_price = "0.5"\nstake_usd = "7"\n')
    env = {
        "LAGGARD_STRATEGY__MAX_PRICE": "0.55",
        "LAGGARD_MARKETS__ASSETS": "btc, eth",
        "LAGGARD_RUN_DIR": "/run/x",
        "LAGGARD_SIM": "/sim.json",
        "LAGGARD_RISK__MAX_POSITIONS": "3",
        "HOME": "/home/me",
    }
    config, origins = load_with_origins(path, env)
    assert config.strategy.max_price == "0.55"
    assert config.strategy.stake_usd == "7"
    assert config.markets.assets == ("btc", "eth")
    assert config.paths.run_dir == "/run/x"
    assert config.risk.max_positions == 3
    assert origins["strategy.max_price"] == "environment LAGGARD_STRATEGY__MAX_PRICE"
    assert origins["strategy.stake_usd"] == str(path)
    assert origins["mode"] == str(path)
    assert origins["paths.run_dir"] == "environment LAGGARD_RUN_DIR"
    assert origins["watch.tick_dead_s"] == "default"
    assert list(origins) == known_keys()
    assert [value_of(config, key) for key in known_keys()]


def test_the_file_is_named_by_the_environment(tmp_path: Path) -> None:
    path = written(tmp_path, '[log]\nlevel = "debug"\n')
    assert load_config(None, {"LAGGARD_CONFIG": str(path)}).log.level == "debug"
    assert "name an existing file" in problems_of(None, {"LAGGARD_CONFIG": str(tmp_path / "absent")})[0]


def test_broken_toml_is_one_problem_with_its_place(tmp_path: Path) -> None:
    assert "line 2" in problems_of(written(tmp_path, "[strategy]\nmax_price = = 1\n"), {})[0]


def test_a_section_that_is_no_table_is_told(tmp_path: Path) -> None:
    problems = problems_of(written(tmp_path, "strategy = 5\n"), {"LAGGARD_STRATEGY__MAX_PRICE": "0.5"})
    assert len(problems) == 1
    assert "strategy" in problems[0]


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Config().strategy.max_price = "0.9"


@pytest.mark.parametrize(
    ("section", "key", "value"), [("strategy", "max_price", "0.62"), ("risk", "max_stake_usd", "25")]
)
def test_an_unquoted_amount_is_told_to_be_quoted(tmp_path: Path, section: str, key: str, value: str) -> None:
    (problem,) = problems_of(written(tmp_path, f"[{section}]\n{key} = {value}\n"), {})
    assert f"{section}.{key}" in problem
    assert f'{key} = "{value}"' in problem


def test_no_digit_is_rounded_away(tmp_path: Path) -> None:
    assert (
        load_config(written(tmp_path, ""), {"LAGGARD_STRATEGY__MIN_MOVE_PERCENT": "0.07"})
        .strategy_settings()
        .min_move_ppm
        == 700
    )
    for key, text in (("MIN_MOVE_PERCENT", "0.07" + "0" * 30 + "1"), ("STAKE_USD", "10." + "0" * 35 + "1")):
        assert len(problems_of(written(tmp_path, ""), {f"LAGGARD_STRATEGY__{key}": text})) == 1


def test_one_variable_switches_the_routes_and_their_rank() -> None:
    config, origins = load_with_origins(None, {"LAGGARD_ORACLES": "chainlink, polybolt"})
    assert config.oracles.routes == ("chainlink", "polybolt")
    assert config.strategy_settings().routes == ("chainlink", "polybolt")
    assert origins["oracles.routes"] == "environment LAGGARD_ORACLES"


@pytest.mark.parametrize(
    ("routes", "words"), [("chainlink,pyth", "pyth"), ("rtds,rtds", "rtds twice"), (",", "at least 1")]
)
def test_routes_that_make_no_sense_are_refused(routes: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(None, {"LAGGARD_ORACLES": routes})
    assert words in str(caught.value)


def test_exchanges_are_a_route_but_never_one_that_settles() -> None:
    config = load_config(None, {"LAGGARD_ORACLES": "exchange,rtds"})
    assert config.oracles.routes == ("exchange", "rtds")
    assert config.strategy_settings().routes == ("rtds",)


def test_a_feed_id_is_checked() -> None:
    good = "eth/twap60=0x0002" + "ab" * 30
    assert load_config(None, {"LAGGARD_CHAINLINK__FEEDS": good}).chainlink.feeds == (good,)
    with pytest.raises(ConfigError):
        load_config(None, {"LAGGARD_CHAINLINK__FEEDS": "eth/twap60=0x12"})


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "wallet.address is missing"),
        ('[wallet]\nkind = "safe"\nsession_key = true\naddress = "0x' + "1" * 40 + '"', "session keys"),
        ('[wallet]\nkind = "eoa"\n[strategy]\nfamilies = ["chainlink", "kraken"]', "settling stream alone"),
        ('[wallet]\nkind = "eoa"\naddress = "0x12"', "wallet.address"),
    ],
)
def test_real_money_leaves_less_open(tmp_path: Path, text: str, word: str) -> None:
    file = tmp_path / "c.toml"
    file.write_text(f'mode = "live"\n{text}\n')
    with pytest.raises(ConfigError, match=word):
        load_config(file, {})
    if "0x12" not in text:
        file.write_text(text)
        assert load_config(file, {}).mode == "paper"


def test_real_money_reaches_the_decisions(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('mode = "live"\n[wallet]\nkind = "eoa"\n[orders]\nabsent_after_s = 40\n')
    config = load_config(file, {})
    assert config.strategy_settings().live
    assert not Config().strategy_settings().live
    assert config.order_settings().absent_after_ns == 40 * SECOND


# Of EIP-55 itself.
ADDRESS = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"


@pytest.mark.parametrize("address", [ADDRESS, ADDRESS.lower(), "0x" + ADDRESS[2:].upper()])
def test_an_address_of_real_money_is_read_in_any_proper_case(tmp_path: Path, address: str) -> None:
    path = written(tmp_path, f'mode = "live"\n[wallet]\naddress = "{address}"\n')
    assert load_config(path, {}).wallet.address == address


@pytest.mark.parametrize("address", [ADDRESS.replace("5aA", "5aa"), ADDRESS.replace("5aA", "5bA")])
def test_a_mistyped_address_is_refused(tmp_path: Path, address: str) -> None:
    (problem,) = problems_of(written(tmp_path, f'mode = "live"\n[wallet]\naddress = "{address}"\n'), {})
    assert "mistyped" in problem
    assert address in problem


def test_a_key_in_the_place_of_an_address_is_not_repeated(tmp_path: Path) -> None:
    (problem,) = problems_of(written(tmp_path, f'[wallet]\naddress = "0x{"5a" * 32}"\n'), {})
    assert problem.startswith("wallet.address")
    assert "5a5a" not in problem


def test_kelly_reaches_the_decisions(tmp_path: Path) -> None:
    text = (
        '[strategy]\nsizing = "kelly"\nkelly_fraction = "0.1"\nkelly_max_usd = "12.5"\n'
        'volatility_annual = "0.55"\nvolatility_by_asset = ["sol=0.9", "xrp=1"]\n'
    )
    settings = load_config(written(tmp_path, text), {}).strategy_settings()
    assert settings.sizing == "kelly"
    assert settings.kelly_fraction_ppm == 100_000
    assert settings.kelly_max_usd6 == 12_500_000
    assert settings.volatility_ppm == 550_000
    assert settings.volatility_by_asset == (("sol", 900_000), ("xrp", 1_000_000))
    by_variable = load_config(None, {"LAGGARD_STRATEGY__VOLATILITY_BY_ASSET": "btc=0.4, eth=0.5"})
    assert by_variable.strategy.volatility_by_asset == ("btc=0.4", "eth=0.5")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("sizing", '"half"'),
        ("kelly_fraction", '"0"'),
        ("kelly_fraction", '"1.000001"'),
        ("kelly_fraction", '"0.0000001"'),
        ("kelly_fraction", "0.25"),
        ("kelly_max_usd", '"-1"'),
        ("volatility_annual", '"0"'),
        ("volatility_annual", '"60"'),
        ("volatility_annual", '"high"'),
        ("volatility_by_asset", '["doge=0.5"]'),
        ("volatility_by_asset", '["btc=0"]'),
        ("volatility_by_asset", '["btc=."]'),
        ("volatility_by_asset", '["btc=0.5", "btc=0.6"]'),
    ],
)
def test_sizes_that_make_no_sense_are_refused(tmp_path: Path, key: str, value: str) -> None:
    (problem,) = problems_of(written(tmp_path, f"[strategy]\n{key} = {value}\n"), {})
    assert problem.startswith(f"strategy.{key}")
