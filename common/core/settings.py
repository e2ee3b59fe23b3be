"""The settings every decision depends on, as integers; made by the configuration, read by the core."""

from typing import Literal

import msgspec


class StrategySettings(msgspec.Struct, frozen=True):
    """The ``lag`` rule and its guards; the defaults are the published rule."""

    name: str = "lag"
    min_move_ppm: int = 700
    """The move from the strike must be greater than this."""
    min_time_left_ns: int = 300_000_000_000
    """The time left must be greater than this."""
    max_price4: int = 6_200
    """The ask must be less than this."""
    stake_usd6: int = 10_000_000
    """What one order spends before its fee; with Kelly sizing it is not used."""
    sizing: Literal["fixed", "kelly"] = "fixed"
    kelly_fraction_ppm: int = 250_000
    """The part of what Kelly's criterion says that is staked."""
    kelly_max_usd6: int = 25_000_000
    """No order by Kelly's criterion costs more than this, fee included."""
    volatility_ppm: int = 600_000
    """Standard deviation of a year's logarithmic return, as a year of 365 days: 0.6 is 60 %."""
    volatility_by_asset: tuple[tuple[str, int], ...] = ()
    """The same for single assets, which then have no use for the common one."""
    families: tuple[str, ...] = ("chainlink",)
    """Price families a window may be judged by, best first; each is only ever compared with itself."""
    routes: tuple[str, ...] = ("chainlink", "polybolt", "rtds")
    """Oracle routes by rank, best first."""
    max_divergence_ppm: int = 50
    """Values of one second on two routes that differ by more than this contradict each other."""
    live: bool = False
    """Real money: then nothing but the settling family judges a window."""
    max_tick_age_ns: int = 5_000_000_000
    """Oracle data older than this, since it reached us or since its own stamp, decides nothing."""
    max_book_age_ns: int = 10_000_000_000
    """A book whose token was silent longer than this decides nothing."""
    order_life_ns: int = 2_000_000_000
    """An order command expires after this."""


class RiskLimits(msgspec.Struct, frozen=True):
    """Limits checked by strategist and executor alike; worst case counts (open + in flight + unknown)."""

    max_stake_usd6: int = 25_000_000
    max_window_usd6: int = 25_000_000
    max_asset_usd6: int = 100_000_000
    max_direction_usd6: int = 150_000_000
    """All open cost that wins together: every Up, or every Down."""
    max_positions: int = 16
    max_daily_loss_usd6: int = 150_000_000
    max_loss_streak: int = 8
    max_orders_per_minute: int = 12
    min_balance_usd6: int = 0


class OrderSettings(msgspec.Struct, frozen=True):
    """How long the fate of a live order may stay open, and when its absence is believed."""

    ask_after_ns: int = 2_000_000_000
    """An order whose answer or trades have not come by then is asked for."""
    absent_after_ns: int = 30_000_000_000
    """The venue not knowing an order counts only this long after nothing of it can be on its way."""
    unknown_hold_ns: int = 10_000_000_000
    """An order of unknown fate stops all new ones after this."""
    flatten_max_slippage4: int = 1_000
    """A sale of what is held goes no further below the best bid than this."""
