"""The events of redeeming, as the real contracts emit them.

Sources: ERC-20 and ERC-1155; ConditionalTokens of Gnosis; the venue's Router and modules.
"""

from collections.abc import Sequence
from typing import NamedTuple

from common.sim.trading.abi_words import WORD, encoded

TRANSFER = 0xDDF252AD1BE2C89B69C2B068FC378DAA952BA7F163C4A11628F55A4DF523B3EF
TRANSFER_SINGLE = 0xC3D58168C5AE7397731D063D5BBF3D657854427343F4C083240F7AACAA2D0F62
TRANSFER_BATCH = 0x4A39DC06D4C0DBC64B70AF90FD698A233A518AA5D07E595D983B8C0526C8F7FB
APPROVAL_FOR_ALL = 0x17307EAB39AB6107E8899845AD3D59BD9653F200F220920489CA2B5937696C31
PAYOUT_REDEMPTION = 0x2682012A4A4F1973119F1C9B90745D1BD91FA2BAB387344F044CB3586864D18D
POSITION_REDEEMED = 0x4FD474B703F46B453536518B4CBC159DFBEA6FD663233763D321A9BC8CCDF97F
ROUTER_POSITION_REDEEMED = 0x81B466B1B365AEA7F5664F9A2D8B3A8591D3244ACFFB5134355AD4DA7FE2366A
NOBODY = "0x" + "00" * 20


class Event(NamedTuple):
    """One event of a contract."""

    contract: str
    topics: tuple[int, ...]
    data: bytes


def transfer(token: str, giver: str, taker: str, amount: int) -> Event:
    """``Transfer(address,address,uint256)`` of ERC-20."""
    return Event(token, (TRANSFER, int(giver, 16), int(taker, 16)), encoded(amount))


def transfer_single(tokens: str, operator: str, giver: str, taker: str, token: int, amount: int) -> Event:
    """``TransferSingle`` of ERC-1155."""
    topics = (TRANSFER_SINGLE, int(operator, 16), int(giver, 16), int(taker, 16))
    return Event(tokens, topics, encoded(token, amount))


def transfer_batch(
    tokens: str, operator: str, giver: str, taker: str, ids: Sequence[int], amounts: Sequence[int]
) -> Event:
    """``TransferBatch`` of ERC-1155."""
    topics = (TRANSFER_BATCH, int(operator, 16), int(giver, 16), int(taker, 16))
    second = (3 + len(ids)) * WORD
    return Event(tokens, topics, encoded(2 * WORD, second, len(ids), *ids, len(amounts), *amounts))


def approval_for_all(tokens: str, owner: str, operator: str, approved: bool) -> Event:
    """``ApprovalForAll(address,address,bool)``."""
    return Event(tokens, (APPROVAL_FOR_ALL, int(owner, 16), int(operator, 16)), encoded(int(approved)))


def payout_redemption(
    tokens: str, redeemer: str, collateral: str, condition: int, index_sets: Sequence[int], payout: int
) -> Event:
    """``PayoutRedemption`` of ConditionalTokens; the redeemer is who called it."""
    topics = (PAYOUT_REDEMPTION, int(redeemer, 16), int(collateral, 16), 0)
    return Event(tokens, topics, encoded(condition, 3 * WORD, payout, len(index_sets), *index_sets))


def position_redeemed(
    module: str, initiator: str, position: int, recipient: str, amount: int, payout: int
) -> Event:
    """``PositionRedeemed`` of a module of the newer ledger."""
    topics = (POSITION_REDEEMED, int(initiator, 16), position, int(recipient, 16))
    return Event(module, topics, encoded(amount, payout))


def router_position_redeemed(router: str, initiator: str, position: int, amount: int) -> Event:
    """``RouterPositionRedeemed`` of the Router."""
    return Event(router, (ROUTER_POSITION_REDEEMED, int(initiator, 16), position), encoded(amount))
