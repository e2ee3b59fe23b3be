"""Makes a redeemer's desk from configuration and the owner's key: which route, which contracts, which limits.

The key is read by the caller and handed over; nothing here reads or keeps a file but the journal and the
relayer's credentials.
"""

from collections.abc import Callable
from typing import NamedTuple

from common.core.redemption.effect import Places
from common.errors import ConfigError
from common.messages import Alert
from common.runtime.clock import Clock
from common.runtime.config import Config
from common.runtime.paths import Paths
from common.store.redemption_journal import open_redemptions
from common.venue.chain.endpoints import Endpoints
from common.venue.chain.view import ChainView
from common.venue.clob.order_request import Account
from common.venue.redeeming.calldata import RedeemContracts, problems_of
from common.venue.redeeming.desk import RedemptionDesk
from common.venue.redeeming.own_gas import OwnGas
from common.venue.redeeming.relayed import Relayed
from common.venue.redeeming.relayer_api import RelayerApi
from common.venue.redeeming.relayer_key import read_relayer_key
from common.venue.redeeming.route import SendRoute
from common.venue.redeeming.settings import settings_of
from common.venue.redeeming.survey import Surveyor


class Readers(NamedTuple):
    """What reads the chain; needs no key."""

    endpoints: Endpoints
    view: ChainView
    surveyor: Surveyor
    contracts: RedeemContracts


def open_readers(config: Config, wallet: str, clock: Clock) -> Readers:
    """Reads of the configured chain and contracts for one wallet; raises ConfigError for unusable ones."""
    contracts = RedeemContracts(**config.redeem.contracts)
    problems = problems_of(contracts)
    if problems:
        raise ConfigError([f"redeem.contracts: {problem}" for problem in problems])
    endpoints = Endpoints(config.venue.chain_rpc_urls, config.venue.chain_id, clock=clock)
    view = ChainView(endpoints)
    return Readers(endpoints, view, Surveyor(view, contracts, wallet), contracts)


def open_desk(
    config: Config, paths: Paths, account: Account, clock: Clock, alert: Callable[[Alert], None]
) -> RedemptionDesk:
    """A desk with its journal open and read.

    Raises ConfigError where no route can send for this wallet, DependencyMissing where another process has
    the journal.
    """
    readers = open_readers(config, account.address.lower(), clock)
    route = _route(config, paths, account, readers, clock)
    journal = open_redemptions(paths.redemptions_file)
    desk = RedemptionDesk(
        wallet=account.address.lower(),
        journal=journal,
        view=readers.view,
        endpoints=readers.endpoints,
        surveyor=readers.surveyor,
        contracts=readers.contracts,
        places=Places(
            readers.contracts.collateral.lower(),
            readers.contracts.ctf.lower(),
            readers.contracts.position_manager.lower(),
            readers.contracts.relay_hub.lower(),
        ),
        route=route,
        settings=settings_of(config),
        clock=clock,
        alert=alert,
    )
    desk.load()
    return desk


def route_name(config: Config, paths: Paths) -> str:
    """Which route redeems for the configured wallet; raises ConfigError where none can."""
    kind, wanted = config.wallet.kind, config.redeem.route
    file = paths.credentials_file("relayer")
    if kind == "eoa":
        if wanted == "relayer":
            raise ConfigError(['the relayer serves no plain key; set redeem.route = "own-gas"'])
        return "own-gas"
    if wanted == "own-gas" and kind == "deposit":
        raise ConfigError(["a deposit wallet redeems through the relayer only; leave redeem.route at auto"])
    if wanted == "own-gas" or (wanted == "auto" and kind != "deposit" and not file.exists()):
        return "own-gas"
    if not file.exists():
        way = f'write {{"key": "...", "address": "0x..."}} into {file}, chmod 600'
        raise ConfigError([f"no relayer key: make one on the venue's settings page, {way}"])
    return "relayer"


def _route(config: Config, paths: Paths, account: Account, readers: Readers, clock: Clock) -> SendRoute:
    if route_name(config, paths) == "own-gas":
        return OwnGas(account, readers.view, readers.endpoints, readers.contracts, clock)
    key = read_relayer_key(paths.credentials_file("relayer"))
    assert key is not None
    api = RelayerApi(config.redeem.relayer_url, key, clock)
    return Relayed(account, readers.view, readers.endpoints, readers.contracts, api, clock)
