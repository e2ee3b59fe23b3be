"""``GET /control/account``: the venue's own truth about money, orders and trades, for tests and audits."""

from typing import Any

from common.sim.trading.account_book import COUNTERPARTIES, FEES, AccountBook
from common.sim.trading.accounts import Account
from common.sim.trading.chain import Chain
from common.sim.trading.exchange import Exchange
from common.sim.trading.orders import VenueOrder
from common.sim.trading.redeeming import REDEEMED


def told(exchange: Exchange, chain: Chain) -> dict[str, Any]:
    """Everything, in integer base units."""
    chain.advance()
    records = exchange.records
    return {
        "accounts": [_account(exchange, account) for account in exchange.accounts.all],
        "orders": [_order(order) for order in records.orders.values()],
        "received": records.received,
        "executed": list(records.executed),
        "duplicates": list(records.duplicates),
        "fees_usd6": exchange.venue_book.balance(FEES),
        "counterparties_usd6": exchange.venue_book.balance(COUNTERPARTIES),
        "redeemed_usd6": -exchange.venue_book.balance(REDEEMED),
        "redemptions": [
            {"transaction": each.tx_hash, "block": each.block, "ok": each.ok, "payer": each.payer}
            for each in chain.mined
        ],
        "sums": {"venue": exchange.venue_book.sums(), "chain": exchange.chain_book.sums()},
    }


def _account(exchange: Exchange, account: Account) -> dict[str, Any]:
    return {
        "signer": account.signer,
        "kind": account.kind,
        "address": account.address,
        "reserved_usd6": exchange.reserved_usd6(account),
        "venue": _holdings(exchange.venue_book, account),
        "chain": _holdings(exchange.chain_book, account),
    }


def _holdings(book: AccountBook, account: Account) -> dict[str, Any]:
    return {"usd6": book.balance(account.address), "tokens": book.tokens(account.address)}


def _order(order: VenueOrder) -> dict[str, Any]:
    return {
        "id": order.order_id,
        "account": order.account.address,
        "token": order.sent.token,
        "side": order.sent.side,
        "status": order.status,
        "text": order.ended_text,
        "maker6": order.sent.maker6,
        "cap4": order.cap4,
        "matched6": order.matched6,
        "spent_usd6": order.spent_usd6,
        "placed_ns": order.placed_ns,
        "trades": [
            {
                "id": trade.trade_id,
                "status": trade.status,
                "price4": trade.price4,
                "size6": trade.size6,
                "cost_usd6": trade.cost_usd6,
                "fee_usd6": trade.fee_usd6,
                "transaction": trade.transaction,
            }
            for trade in order.trades
        ],
    }
