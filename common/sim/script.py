"""What a simulated venue does and when: a time-ordered stream of scripted events.

Generated markets and recordings both become such a stream; the player gives it to the servers at the
scripted instants. Owns no socket and no clock: every instant is a wall-clock nanosecond of the run.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

Level = tuple[str, str]
"""Price and size as the venue writes them, for example ``("0.62", "120.5")``."""


@dataclass(frozen=True, slots=True)
class MarketSpec:
    """One Up/Down window as the venue lists it; prices and fees in the venue's own notation."""

    slug: str
    asset: str
    """Lower-case ticker: ``btc``."""
    condition_id: str
    token_up: str
    token_down: str
    start_ns: int
    end_ns: int
    listed_ns: int
    version: str = "v1"
    resolution_source: str = ""
    twap_lookback_s: int | None = None
    """None: the window settles on spot."""
    fee_rate: str = "0.07"
    fee_exponent: int = 1
    taker_delay: bool = True
    tick_size: str = "0.01"
    min_size: str = "5"
    accepting: bool = True
    question: str = ""


@dataclass(frozen=True, slots=True)
class Listed:
    """The market becomes visible to discovery."""

    market: MarketSpec


@dataclass(frozen=True, slots=True)
class Observed:
    """One observation sets out to the clients: an oracle's, or (topic ``crypto_prices``) an exchange's."""

    topic: str
    """``crypto_prices``, ``crypto_prices_chainlink``, ``crypto_prices_twap_thirty`` or ``..._sixty``."""
    symbol: str
    """As on the wire: ``btc/usd`` on Chainlink and TWAP topics, ``btcusdt`` on the Binance topic."""
    observed_ms: int
    value_e18: int
    window_s: int | None = None


@dataclass(frozen=True, slots=True)
class BookSet:
    """The complete book of one token is now this; best level last on both sides, as on the wire."""

    token: str
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


@dataclass(frozen=True, slots=True)
class Traded:
    """A trade was printed on one token."""

    token: str
    price: str
    size: str
    side: str


@dataclass(frozen=True, slots=True)
class TickSizeChanged:
    """The market's price grid changes; the venue sends the old and new tick and then fresh books."""

    slug: str
    new_tick_size: str


@dataclass(frozen=True, slots=True)
class StrikePublished:
    """Gamma's ``eventMetadata.priceToBeat`` becomes this value (it may be wrong, or change)."""

    slug: str
    value_e18: int


@dataclass(frozen=True, slots=True)
class Resolved:
    """The official outcome becomes visible; ``final_e18`` is None when the recording does not know it."""

    slug: str
    outcome: str
    """``Up`` or ``Down``."""
    final_e18: int | None = None


ScriptEvent = Listed | Observed | BookSet | Traded | TickSizeChanged | StrikePublished | Resolved


@dataclass(frozen=True, slots=True)
class Step:
    """One event and the wall-clock instant (ns) at which the venue lets it happen."""

    at_ns: int
    event: ScriptEvent


@dataclass(frozen=True, slots=True)
class Script:
    """A whole run: what it is, how long it takes, and its steps in rising order of ``at_ns``."""

    title: str
    cadence: str
    """The window label used in slugs: ``15m``, ``60s`` ..."""
    window_s: int
    assets: tuple[str, ...]
    steps: Iterator[Step]
    ends_ns: int | None
    """None: generated markets never end."""
    speed: float = 1.0
    oracle: str = "generated"
    book: str = "generated"
    """``generated``, ``recorded`` or ``derived`` (asks computed from the other side's bids)."""
    notes: tuple[str, ...] = field(default=())
    route_delays_ms: Mapping[str, int] = field(default_factory=dict)
    """How much later than its step an oracle's observation is sent on a channel; nothing said is at once."""
