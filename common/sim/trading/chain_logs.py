"""``eth_getLogs``: the events of mined transactions that a filter asks for."""

from typing import Any

from common.sim.trading.chain import Chain
from common.sim.trading.chain_transactions import told_logs


def wanted_logs(chain: Chain, asked: dict[str, Any]) -> list[dict[str, Any]]:
    """Events by block range, contracts and topics, in their order; raises ValueError for a bad range."""
    first, last = (chain.blocks.named(asked.get(end)) for end in ("fromBlock", "toBlock"))
    if first > last:
        raise ValueError("the range ends before it begins")
    contracts = {each.lower() for each in _several(asked.get("address"))}
    topics = [{each.lower() for each in _several(place)} for place in asked.get("topics") or ()]
    return [
        log
        for transaction in sorted(chain.mined, key=lambda each: (each.block or 0, each.place))
        if transaction.block is not None and first <= transaction.block <= last
        for log in told_logs(transaction)
        if not contracts or log["address"] in contracts
        if _fits(log["topics"], topics)
    ]


def _several(wanted: Any) -> list[str]:
    """One, any of several, or anything (empty)."""
    if wanted is None:
        return []
    return [wanted] if isinstance(wanted, str) else list(wanted)


def _fits(has: list[str], wanted: list[set[str]]) -> bool:
    if len(has) < len(wanted):
        return False
    return all(not choices or topic in choices for topic, choices in zip(has, wanted, strict=False))
