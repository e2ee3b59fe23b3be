"""The settings every decision depends on, as integers; made by the configuration, read by the core."""

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
