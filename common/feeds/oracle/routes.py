"""The oracle routes by name; each is loaded only by the process that runs it."""

from importlib import import_module

from common.errors import ConfigError
from common.feeds.oracle.route import Disabled, Route
from common.messages import RouteName
from common.runtime.clock import Clock
from common.runtime.config import Config
from common.runtime.paths import Paths

MODULES: dict[RouteName, str] = {
    "chainlink": "common.feeds.oracle.chainlink",
    "polybolt": "common.feeds.oracle.polybolt",
    "rtds": "common.feeds.oracle.rtds",
    "exchange": "common.feeds.oracle.exchange",
}


def plan_route(name: RouteName, config: Config, paths: Paths, clock: Clock) -> Route | Disabled:
    """What this route is for this configuration, or why it is not run."""
    if name not in config.oracles.routes:
        return Disabled(f"not chosen: add {name} to oracles.routes, or to LAGGARD_ORACLES, to run it")
    try:
        planned: Route | Disabled = import_module(MODULES[name]).plan(config, paths, clock)
    except ConfigError as error:
        return Disabled("; ".join(error.problems))
    return planned
