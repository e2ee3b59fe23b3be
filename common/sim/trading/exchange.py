"""The order side of the venue: takes orders in, matches them with the book, lets trades begin.

One place where an order can meet the book, and each meets it once. Knows no socket and no wire format.
"""

import uuid
from collections.abc import Callable
from typing import Protocol

from common.sim.script import MarketSpec
from common.sim.trading.account_book import COLLATERAL_ASSET as MONEY
from common.sim.trading.account_book import (
    COUNTERPARTIES,
    FEES,
    OUTSIDE,
    AccountBook,
    Entry,
    reversed_entries,
)
from common.sim.trading.accounts import Account, Accounts
from common.sim.trading.contracts import EXCHANGES
from common.sim.trading.fault_turns import FaultTurns
from common.sim.trading.liquidity import Fill, Liquidity, taker_fee_usd6, walk, walk_down, with_dust
from common.sim.trading.order_payload import Refused, SentOrder
from common.sim.trading.order_rules import check_money, check_terms
from common.sim.trading.orders import Records, VenueOrder, VenueTrade
from common.sim.trading.signature_check import checked, signed_for_another_version
from common.sim.trading.trade_life import Timers, TradeLife
from common.sim.trading.trading_faults import TradeStep
from common.sim.world import Market, World
from common.units import PRICE4_ONE, ceil_div

NO_MATCH = (
    "no orders found to match with FAK order. FAK orders are partially filled or killed if no match is found."
)
NOT_FILLED = "order couldn't be fully filled. FOK orders are fully filled or killed."
_NAMESPACE = uuid.UUID("6f6d2f5e-93a4-4f0e-9d6c-0b6c1f0c7a11")


class Listener(Protocol):
    """Who is told of everything that happens to orders and trades."""

    def order_happened(self, order: VenueOrder, kind: str) -> None:
        """``kind`` is PLACEMENT, UPDATE or CANCELLATION."""

    def trade_happened(self, trade: VenueTrade) -> None:
        """A trade has a new status, the match being the first."""


class Exchange:
    """Everything the venue knows of money and orders."""

    def __init__(
        self,
        world: World,
        accounts: Accounts,
        turns: FaultTurns,
        timers: Timers,
        delays_ms: dict[TradeStep, int],
        deposits: dict[str, int],
        listener: Listener,
        now_ns: Callable[[], int],
        may_sell: Callable[[str, str], bool],
    ) -> None:
        """``deposits``: what each wallet has at the start, at the venue and on the chain.

        ``may_sell``: whether a wallet lets the exchange of markets of this version take its tokens.
        """
        wallets = [account.address for account in accounts.all]
        self.accounts = accounts
        self.records = Records()
        self.liquidity = Liquidity()
        self.venue_book = AccountBook(wallets)
        self.chain_book = AccountBook(wallets)
        for book in (self.venue_book, self.chain_book):
            book.post(Entry(OUTSIDE, wallet, MONEY, usd6) for wallet, usd6 in deposits.items())
        self._world = world
        self._waiting: dict[str, VenueOrder] = {}
        """Orders that may still fill, by id."""
        self._turns = turns
        self._timers = timers
        self._listener = listener
        self._now_ns = now_ns
        self._may_sell = may_sell
        self._life = TradeLife(
            self.venue_book, self.chain_book, timers, delays_ms, listener.trade_happened, now_ns
        )

    def admit(self, sent: SentOrder, api_key: str, placed_ns: int) -> VenueOrder:
        """Take an order in that came at this instant, its money reserved; raises Refused.

        It has not met the book yet.
        """
        account, key_signer = self._entitled(sent, api_key)
        market = self._market(sent.token)
        order_id = self._signed(sent, market, account, key_signer)
        if sent.order_type not in ("FAK", "FOK"):
            raise Refused(400, "not simulated: this venue takes fill-and-kill orders only")
        cap4 = check_terms(sent, order_id, market)
        if order_id in self.records.orders:
            self.records.duplicates.append(order_id)
            raise Refused(400, f"order {order_id} is invalid. Duplicated.")
        order = VenueOrder(order_id, account, key_signer, sent, market, cap4, placed_ns)
        if order.sells:
            self._reserve_shares(order)
        else:
            self._reserve_money(order)
        self._waiting[order_id] = order
        self.records.orders[order_id] = order
        return order

    def execute(self, order: VenueOrder) -> None:
        """Let an order meet the book as it is now: it is matched, in part or in full, or killed."""
        if self._waiting.pop(order.order_id, None) is None:
            return
        self.records.executed.append(order.order_id)
        if order.market.outcome is not None:
            self._kill(order, "CANCELED_MARKET_RESOLVED")
            return
        fills = self._walked(order)
        given6 = sum(fill.size6 if order.sells else fill.cost_usd6 for fill in fills)
        if order.sent.order_type == "FOK" and given6 < order.sent.maker6:
            self._kill(order, NOT_FILLED)
        elif not fills:
            self._kill(order, NO_MATCH)
        else:
            (self.liquidity.sell if order.sells else self.liquidity.buy)(order.sent.token, fills)
            order.path = self._turns.trade_path()
            self._match(order, with_dust(fills, order.path.dust6 if order.path else 0, order.market.spec))

    def hold(self, order: VenueOrder, status: str, after_ms: int, *, fills: bool) -> None:
        """Tell an order as delayed or live; later it meets the book, or a delayed one ends without."""
        order.status = "LIVE" if status == "live" else "DELAYED"
        self._listener.order_happened(order, "PLACEMENT")
        if fills:
            self._timers.later(after_ms, lambda: self.execute(order))
        elif order.status == "DELAYED":
            self._timers.later(after_ms, lambda: self._kill(order, NO_MATCH))

    def cancel(self, order: VenueOrder) -> bool:
        """Take a resting order out; a delayed one cannot be, nor one that has ended."""
        if order.status != "LIVE":
            return False
        self._waiting.pop(order.order_id, None)
        order.status = "CANCELED"
        self._listener.order_happened(order, "CANCELLATION")
        return True

    def reserved_usd6(self, account: Account) -> int:
        """What the account's orders may still need."""
        return sum(order.reserved_usd6 for order in self._waiting.values() if order.account is account)

    def _reserve_money(self, order: VenueOrder) -> None:
        """Hold back what a buy may cost; raises Refused when it is not there."""
        needed6 = order.sent.maker6 + _fee_at_cap(order.sent.maker6, order.cap4, order.market.spec)
        check_money(
            self.venue_book.balance(order.account.address),
            self.reserved_usd6(order.account),
            needed6,
            order.account.allowance_usd6,
            EXCHANGES[order.market.spec.version].address,
        )
        order.reserved_usd6 = needed6

    def _reserve_shares(self, order: VenueOrder) -> None:
        """Hold back what a sale offers; raises Refused when the wallet has less on the chain or the venue."""
        wallet, token, offered6 = order.account.address, order.sent.token, order.sent.maker6
        there6 = min(book.balance(wallet, token) for book in (self.venue_book, self.chain_book))
        waiting6 = sum(
            each.reserved6
            for each in self._waiting.values()
            if each.account is order.account and each.sent.token == token
        )
        version = order.market.spec.version
        # An operator may take all of a token or none of it.
        allowed6 = offered6 if self._may_sell(wallet, version) else 0
        check_money(there6, waiting6, offered6, allowed6, EXCHANGES[version].address)
        order.reserved6 = offered6

    def _walked(self, order: VenueOrder) -> list[Fill]:
        """What the book as it is now gives for an order."""
        token, spec = order.sent.token, order.market.spec
        if order.sells:
            bids = self.liquidity.bids(order.market, token)
            return walk_down(bids, order.sent.maker6, order.cap4, spec)
        funds6 = self.venue_book.balance(order.account.address) - self.reserved_usd6(order.account)
        asks = self.liquidity.asks(order.market, token)
        return walk(asks, order.sent.maker6, order.cap4, funds6, spec)

    def _entitled(self, sent: SentOrder, api_key: str) -> tuple[Account, str]:
        """The account an order is for and the address of the key that sends it."""
        key_signer = self.accounts.key_owner(api_key)
        if sent.owner != api_key or key_signer is None:
            raise Refused(400, "the order owner has to be the owner of the API KEY")
        account = self.accounts.of_wallet(sent.maker)
        if account is None:
            raise Refused(400, "maker address not allowed, please use the deposit wallet flow")
        if sent.signature_type != account.signature_type:
            raise Refused(400, "invalid signature")
        named = account.address if account.kind == "deposit" else key_signer
        if sent.signer.lower() != named or not account.lets(key_signer):
            raise Refused(400, "the order signer address has to be the address of the API KEY")
        return account, key_signer

    def _market(self, token: str) -> Market:
        market = self._world.by_token.get(token)
        if market is None or market.outcome is not None:
            raise Refused(400, f"the orderbook {token} does not exist")
        if not market.spec.accepting:
            raise Refused(400, "the market is not yet ready to process new orders")
        return market

    def _signed(self, sent: SentOrder, market: Market, account: Account, key_signer: str) -> str:
        signed = checked(sent, market.spec.version)
        if signed.by == key_signer and signed.session == (key_signer != account.signer):
            return signed.order_id
        if signed_for_another_version(sent, market.spec.version, key_signer):
            raise Refused(400, "order_version_mismatch")
        raise Refused(400, "invalid signature")

    def _match(self, order: VenueOrder, fills: list[Fill]) -> None:
        order.status = "MATCHED"
        begun = [self._trade(order, number, fill) for number, fill in enumerate(fills)]
        order.trades.extend(begun)
        self._listener.order_happened(order, "UPDATE")
        for trade in begun:
            self.records.trades[trade.trade_id] = trade
            self._life.begin(trade)

    def _trade(self, order: VenueOrder, number: int, fill: Fill) -> VenueTrade:
        wallet, token = order.account.address, order.sent.token
        money = Entry(wallet, COUNTERPARTIES, MONEY, fill.cost_usd6)
        shares = Entry(COUNTERPARTIES, wallet, token, fill.size6)
        if order.sells:
            money, shares = reversed_entries((money, shares))
        now_ns = self._now_ns()
        return VenueTrade(
            str(uuid.uuid5(_NAMESPACE, f"{order.order_id} {number}")),
            order,
            fill.price4,
            fill.size6,
            fill.cost_usd6,
            fill.fee_usd6,
            (money, Entry(wallet, FEES, MONEY, fill.fee_usd6), shares),
            now_ns,
            now_ns,
            other_token=order.path is not None and order.path.other_token,
        )

    def _kill(self, order: VenueOrder, text: str) -> None:
        self._waiting.pop(order.order_id, None)
        order.status = "CANCELED"
        order.ended_text = text
        self._listener.order_happened(order, "CANCELLATION")


def _fee_at_cap(usd6: int, cap4: int, spec: MarketSpec) -> int:
    return taker_fee_usd6(ceil_div(usd6 * PRICE4_ONE, cap4), cap4, spec)
