"""Names of simulated windows: labels, slugs, made-up identifiers and listing texts.

Owns no event and no clock.
"""

from common.sim.token_ids import keccak, token_of
from common.sim.trading.contracts import CONDITION_ORACLE

RESOLUTION_SPOT = "https://data.chain.link/streams/{asset}-usd"
RESOLUTION_TWAP = "https://data.chain.link/streams/{asset}-usd-twap-{lookback_s}s-streams"
_FULL_NAMES = {"btc": "Bitcoin", "eth": "Ethereum", "sol": "Solana", "xrp": "XRP"}


def window_label(window_s: int) -> str:
    """``15m`` for whole minutes, otherwise ``10s``."""
    return f"{window_s // 60}m" if window_s % 60 == 0 else f"{window_s}s"


def window_slug(asset: str, window_s: int, start_s: int) -> str:
    """The venue's form ``btc-updown-15m-1791241200``."""
    return f"{asset}-updown-{window_label(window_s)}-{start_s}"


def generated_name(seed: int, slug: str) -> str:
    """What the identifiers of a generated window are made of."""
    return f"{seed}:{slug}"


def made_up_question(text: str) -> bytes:
    """The question whose answer decides the condition that is made up of this text."""
    return keccak(text.encode())


def made_up_ids(text: str) -> tuple[str, str, str]:
    """Condition id, Up token and Down token in the venue's form, the same for the same text.

    The contract of the older ledger has the same condition when the oracle's question is prepared there, and
    makes the same tokens of it.
    """
    condition = keccak(bytes.fromhex(CONDITION_ORACLE[2:]) + made_up_question(text) + (2).to_bytes(32)).hex()
    up, down = (str(token_of(int(condition, 16), outcome)) for outcome in (0, 1))
    return f"0x{condition}", up, down


def question_of(asset: str, start_s: int, end_s: int) -> str:
    """A title like the venue's."""
    return f"{_FULL_NAMES.get(asset, asset.upper())} Up or Down - {start_s} to {end_s} UTC"


def resolution_source(asset: str, twap_lookback_s: int | None) -> str:
    """The stream the listing names as the one that settles."""
    if twap_lookback_s is None:
        return RESOLUTION_SPOT.format(asset=asset)
    return RESOLUTION_TWAP.format(asset=asset, lookback_s=twap_lookback_s)
