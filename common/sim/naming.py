"""Names of simulated windows: labels, slugs, made-up identifiers and listing texts.

Owns no event and no clock.
"""

import hashlib

RESOLUTION_SPOT = "https://data.chain.link/streams/{asset}-usd"
RESOLUTION_TWAP = "https://data.chain.link/streams/{asset}-usd-twap-{lookback_s}s-streams"
_FULL_NAMES = {"btc": "Bitcoin", "eth": "Ethereum", "sol": "Solana", "xrp": "XRP"}


def window_label(window_s: int) -> str:
    """``15m`` for whole minutes, otherwise ``10s``."""
    return f"{window_s // 60}m" if window_s % 60 == 0 else f"{window_s}s"


def window_slug(asset: str, window_s: int, start_s: int) -> str:
    """The venue's form ``btc-updown-15m-1791241200``."""
    return f"{asset}-updown-{window_label(window_s)}-{start_s}"


def made_up_ids(text: str) -> tuple[str, str, str]:
    """Condition id, Up token and Down token in the venue's form, the same for the same text."""
    condition, up, down = (hashlib.sha256(f"{part}:{text}".encode()).hexdigest() for part in ("c", "u", "d"))
    return f"0x{condition}", str(int(up, 16)), str(int(down, 16))


def question_of(asset: str, start_s: int, end_s: int) -> str:
    """A title like the venue's."""
    return f"{_FULL_NAMES.get(asset, asset.upper())} Up or Down - {start_s} to {end_s} UTC"


def resolution_source(asset: str, twap_lookback_s: int | None) -> str:
    """The stream the listing names as the one that settles."""
    if twap_lookback_s is None:
        return RESOLUTION_SPOT.format(asset=asset)
    return RESOLUTION_TWAP.format(asset=asset, lookback_s=twap_lookback_s)
