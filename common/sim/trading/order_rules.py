"""What the venue takes as an order of a market: amounts, price grid, money. Refuses in the venue's own words.

Source of the texts: the venue's error codes page and bodies seen in production.
"""

from decimal import Decimal

from common.sim.trading.order_payload import Refused, SentOrder
from common.sim.world import Market
from common.units import PRICE4_ONE, USD6_ONE, ceil_div, price4_text

_AMOUNT_DECIMALS = {"0.1": 3, "0.01": 4, "0.005": 5, "0.0025": 6, "0.001": 5, "0.0001": 6}
"""Decimals of what a market order asks for, by the grid of its market."""
_MAKER_STEP6 = 10_000


def check_terms(order: SentOrder, order_id: str, market: Market) -> int:
    """The price limit (1e-4 $) of a good order; raises Refused with the venue's text.

    It is dollars by shares on the finest grid: what is asked for is cut when an order is made, which leaves
    the quotient of a buy a hair above the price that was meant, and that of a sale below.
    """
    if order.side == "BUY" and order.maker6 < USD6_ONE:
        raise Refused(
            400, f"invalid amount for a marketable BUY order (${_dollars(order.maker6)}), min size: 1"
        )
    decimals = _AMOUNT_DECIMALS[market.tick_size]
    if order.maker6 % _MAKER_STEP6 or order.taker6 % 10 ** (6 - decimals):
        raise Refused(
            400,
            f"invalid amounts, the market {order.side.lower()} orders maker amount supports a max accuracy "
            f"of 2 decimals, taker amount a max of {decimals} decimals",
        )
    tick4 = int(Decimal(market.tick_size) * PRICE4_ONE)
    cap4 = order.maker6 * PRICE4_ONE // order.taker6 if order.taker6 else PRICE4_ONE
    if order.side == "SELL":
        cap4 = ceil_div(order.taker6 * PRICE4_ONE, order.maker6) if order.maker6 else 0
    if cap4 % tick4 or not tick4 <= cap4 <= PRICE4_ONE - tick4:
        raise Refused(
            400,
            f"order {order_id} is invalid. Price ({price4_text(cap4)}) "
            f"breaks minimum tick size rule: {market.tick_size}",
        )
    return cap4


def check_money(balance6: int, waiting6: int, needed6: int, allowance6: int, spender: str) -> None:
    """Raise Refused when an order needs more (dollars or shares) than there is, or the exchange may take."""
    if balance6 - waiting6 < needed6:
        matched = f", sum of matched orders: {waiting6}" if waiting6 else ""
        raise Refused(
            400,
            "not enough balance / allowance: the balance is not enough -> "
            f"balance: {balance6}{matched}, order amount: {needed6}",
        )
    if allowance6 < needed6:
        raise Refused(
            400,
            "not enough balance / allowance: the allowance is not enough -> "
            f"spender: {spender}, allowance: {allowance6}, order amount: {needed6}",
        )


def _dollars(usd6: int) -> str:
    whole, rest = divmod(usd6, USD6_ONE)
    return f"{whole}.{rest:06d}".rstrip("0").rstrip(".")
