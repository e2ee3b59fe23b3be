"""Opens the redeemer's desk with the owner's key, for its process and for ``laggard redeem`` without one."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from common.errors import ConfigError, DependencyMissing
from common.messages import Alert
from common.runtime.clock import Clock
from common.runtime.config import Config
from common.runtime.paths import Paths
from common.runtime.trading_key import read_owner_key

if TYPE_CHECKING:
    from common.venue.clob.order_request import Account
    from common.venue.redeeming.desk import RedemptionDesk


def read_owner(config: Config, paths: Paths) -> "Account":
    """Read the owner's key and see that it fits the wallet; raises ConfigError with the one fix.

    A keystore takes a second or two to open: let a thread do it.
    """
    try:
        from common.venue.clob.order_request import Account
        from common.venue.signing.order_signature import Signer
        from common.venue.signing.wallet import misfit
    except ImportError as error:
        raise DependencyMissing(
            f"redemption needs laggard's extra `live` ({error.name} is missing); run bin/setup"
        ) from None
    wallet = config.wallet
    key = read_owner_key(config, paths)
    try:
        signer = Signer(key.private_key)
    except ValueError as error:
        raise ConfigError([f"{key.source}: {error}"]) from None
    address = wallet.address or signer.address
    problem = misfit(wallet.kind, signer.address, address, session=False)
    if problem:
        raise ConfigError([f"the owner's key from {key.source} does not fit: {problem}"])
    return Account(signer, wallet.kind, address, False, config.venue.chain_id)


def open_owner(
    config: Config, paths: Paths, account: "Account", clock: Clock, alert: Callable[[Alert], None]
) -> "RedemptionDesk":
    """The owner's desk with its journal, to be used in this thread alone.

    Raises ConfigError where nothing can send for this wallet, DependencyMissing where another redeemer has
    the journal.
    """
    from common.venue.redeeming.opening import open_desk

    return open_desk(config, paths, account, clock, alert)
