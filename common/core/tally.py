"""What the risk check needs of the executor's books, summed beforehand: no order waits for their walk.

Derived and never stored. A sum is believed as long as the part of the books it was made of is in place: books
are replaced, never changed, so the same object has the same sum.
"""

from common.core.account import DAY_NS, day_pnl_usd6, loss_streak, reservation, reservations, utc_day
from common.core.ledger import CASH, Entry
from common.core.order_state import (
    Books,
    Order,
    Tally,
)
from common.core.portfolio import exposure


def counted(last: Tally, books: Books, wall_ns: int) -> Tally:
    """The tally of these books now; of ``last`` stays what was summed from the same parts."""
    day = wall_ns // DAY_NS
    same_results = books.settlements is last.settlements
    same_day = same_results and day == last.day
    same_orders, same_positions = books.orders is last.orders, books.positions is last.positions
    if same_day and same_orders and same_positions and books.entries is last.entries:
        return last
    return Tally(
        books.orders,
        last.reservations if same_orders else reservations(books),
        books.positions,
        last.open if same_positions else exposure(books.positions.values(), ()),
        books.entries,
        _cash(last, books.entries),
        books.settlements,
        day,
        last.day_pnl_usd6
        if same_results and day == last.day
        else day_pnl_usd6(books.settlements, utc_day(wall_ns)),
        last.loss_streak if same_results else loss_streak(books.settlements),
    )


def with_order(tally: Tally, orders: dict[str, Order], order: Order) -> Tally:
    """The tally once a new order is among ``orders``, and nothing else has changed."""
    return Tally(
        orders,
        (*tally.reservations, reservation(order)),
        tally.positions,
        tally.open,
        tally.entries,
        tally.cash_usd6,
        tally.settlements,
        tally.day,
        tally.day_pnl_usd6,
        tally.loss_streak,
    )


def _cash(last: Tally, entries: tuple[Entry, ...]) -> int:
    """The balance of the cash account; entries are only ever added, so what was summed stays summed."""
    known = len(last.entries)
    if known > len(entries) or (known and entries[known - 1] is not last.entries[-1]):
        known = 0
    new = sum(line.amount_usd6 for entry in entries[known:] for line in entry.lines if line.account == CASH)
    return (last.cash_usd6 if known else 0) + new
