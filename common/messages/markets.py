"""What ``books`` says and is asked: windows with their terms and results, and the books of their tokens."""

from typing import Literal

import msgspec

from common.messages.body import Body, Outcome

OutcomeSource = Literal["gamma", "data-api", "clob"]
BookStatus = Literal["live", "waiting", "resync", "closed"]


class FeeSchedule(msgspec.Struct, frozen=True):
    """Taker fee of a market: shares x rate x (p(1-p))^exponent."""

    rate_ppm: int
    exponent: int
    taker_only: bool = True


class OutcomeWitness(msgspec.Struct, frozen=True):
    """What one of the venue's services says of a window's result."""

    source: OutcomeSource
    outcome: Outcome


class MarketState(Body, frozen=True, tag="market"):
    """The venue's half of a window's settlement passport. Topic ``market.<window>``."""

    window: str
    """The slug: ``btc-updown-15m-1791241200``."""
    asset: str
    condition_id: str
    version: str
    token_up: str
    token_down: str
    rule: Literal["spot", "twap", "unknown"]
    lookback_s: int
    """Look-back of a TWAP rule; 0 for spot."""
    start_ns: int
    end_ns: int
    fee: FeeSchedule | None
    taker_delay_ns: int | None
    """How long the venue holds a taker order; None: unknown, so not tradable."""
    tick4: int
    min_size6: int
    accepting: bool
    closed: bool = False
    outcome: Outcome | None = None
    """The official outcome, once the venue published it and none of its services contradicts."""
    witnesses: tuple[OutcomeWitness, ...] = ()
    """Who said what, each source at most once."""
    price_to_beat_e18: str | None = None
    """The venue's own strike where Gamma already shows it; a witness, never the strike."""
    refusals: tuple[str, ...] = ()
    """Why the venue's half alone makes this window untradable; empty when it does not."""


class BookState(Body, frozen=True, tag="book"):
    """The complete known book of one token, best level first on both sides. Topic ``book.<token>``."""

    token: str
    window: str
    outcome: Outcome
    status: BookStatus
    bids: tuple[tuple[int, int], ...]
    """(price 1e-4 $, size 1e-6 shares)"""
    asks: tuple[tuple[int, int], ...]
    tick4: int
    venue_ns: int
    """The venue's stamp of the last change."""
    data_mono_ns: int
    """Monotonic instant of the last data of this token from the venue."""
    last_trade4: int | None = None
    proven_ns: int = 0
    """The venue's stamp of the newest state whose hash was verified; 0 when none was."""


class FollowWindows(Body, frozen=True, tag="follow"):
    """Command to books: keep publishing these windows until their outcome is known."""

    windows: tuple[str, ...]


class ProveBook(Body, frozen=True, tag="prove?"):
    """Command to books: verify the venue's hash of this token's book as it is now."""

    token: str


class BookProof(Body, frozen=True, tag="proof"):
    """Answer to ProveBook."""

    token: str
    proven: bool
    venue_ns: int
    """The venue's stamp of the state that was verified."""
    text: str = ""
    """Why it is not proven, or empty."""
