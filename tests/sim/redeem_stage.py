"""Wallets with outcome tokens at the simulated venue, calls that redeem them, and what came of it."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from typing import Any

from eth_abi.abi import decode, encode
from eth_account import Account as Key
from eth_utils.crypto import keccak

from common.sim.script import Listed, Resolved
from common.sim.trading.account_book import COUNTERPARTIES, Entry
from common.sim.trading.contracts import COLLATERAL, CONDITIONAL_TOKENS, POSITION_MANAGER
from stage import LIMIT_S, spec
from trading_stage import CONDITION, DOWN, MARKET, PRIVATE, SIGNER, UP, WALLETS, Floor, played

WALLET = WALLETS["deposit"].lower()
EOA = SIGNER.lower()
GWEI = 10**9
NEW_CONDITION = "0x01" + "cd" * 18 + "00" * 8 + "cd" * 4 + "00"
"""Its tokens are the same number and the outcome."""
NEW_UP, NEW_DOWN = str(int(NEW_CONDITION, 16)), str(int(NEW_CONDITION, 16) + 1)
NEW_MARKET = spec(
    slug="eth-updown-15m-1800000900",
    condition_id=NEW_CONDITION,
    token_up=NEW_UP,
    token_down=NEW_DOWN,
    version="v2",
)
RELAYER_KEY = "11111111-2222-3333-4444-555555555555"
BLOCK_MS = 40
_numbers = itertools.count(1)


class HandClock:
    """A clock that stands until a test moves it on."""

    def __init__(self) -> None:
        self.at_ns = time.time_ns()

    def now_ns(self) -> int:
        return self.at_ns

    def pass_blocks(self, number: int) -> None:
        self.at_ns += number * BLOCK_MS * 1_000_000


def scene_of(scene: Callable[[Floor], Awaitable[Any]], **settings: Any) -> None:
    """Play a scene with fast blocks and a market of each ledger."""

    async def whole(venue: Floor) -> None:
        venue.venue.happen(Listed(NEW_MARKET))
        await scene(venue)

    played(whole, **({"block_ms": BLOCK_MS, "relayer_keys": {RELAYER_KEY: SIGNER}} | settings))


def give(venue: Floor, wallet: str, token: str, size6: int) -> None:
    exchange = venue.venue.venue.trading.exchange
    for book in (exchange.venue_book, exchange.chain_book):
        book.post([Entry(COUNTERPARTIES, wallet, token, size6)])


def resolve(venue: Floor, outcome: str = "Up") -> None:
    venue.venue.happen(Resolved(MARKET.slug, outcome), Resolved(NEW_MARKET.slug, outcome))


async def rpc(venue: Floor, method: str, *params: Any) -> Any:
    """Result or error."""
    asked = {"jsonrpc": "2.0", "id": next(_numbers), "method": method, "params": list(params)}
    status, body = await venue.venue.post("/chain", asked)
    assert status == 200
    return body["result"] if "result" in body else body["error"]


def function(signature: str, *values: Any) -> bytes:
    kinds = signature[signature.index("(") + 1 : -1]
    return bytes(keccak(signature.encode())[:4]) + encode(kinds.split(",") if kinds else (), values)


def redeem_v1(condition: str = CONDITION) -> bytes:
    values = COLLATERAL, bytes(32), bytes.fromhex(condition[2:]), [1, 2]
    return function("redeemPositions(address,bytes32,bytes32,uint256[])", *values)


def redeem_v2(amount: int, outcome: int = 0) -> bytes:
    return function("redeem(bytes31,uint256,uint256)", bytes.fromhex(NEW_CONDITION[2:64]), outcome, amount)


async def read(
    venue: Floor, to: str, signature: str, *values: Any, gives: str = "uint256", at: str = "latest"
) -> Any:
    asked = {"to": to, "data": "0x" + function(signature, *values).hex()}
    result = await rpc(venue, "eth_call", asked, at)
    return result if isinstance(result, dict) else decode((gives,), bytes.fromhex(result[2:]))[0]


async def held(venue: Floor, wallet: str, token: str, at: str = "latest") -> int:
    contract = CONDITIONAL_TOKENS if token in (UP, DOWN) else POSITION_MANAGER
    return int(await read(venue, contract, "balanceOf(address,uint256)", wallet, int(token), at=at))


async def money(venue: Floor, wallet: str, at: str = "latest") -> int:
    return int(await read(venue, COLLATERAL, "balanceOf(address)", wallet, at=at))


def signed(to: str, data: bytes, nonce: int = 0, **changes: int) -> Any:
    fields = {
        "type": 2,
        "chainId": 137,
        "nonce": nonce,
        "to": to,
        "data": data,
        "value": 0,
        "gas": 400_000,
        "maxFeePerGas": 100 * GWEI,
        "maxPriorityFeePerGas": 30 * GWEI,
    }
    return Key.from_key(PRIVATE).sign_transaction(fields | changes)


async def send(venue: Floor, to: str, data: bytes, nonce: int = 0, **changes: int) -> Any:
    """Hash or error."""
    raw = signed(to, data, nonce, **changes).raw_transaction
    return await rpc(venue, "eth_sendRawTransaction", "0x" + raw.hex())


async def receipt_of(venue: Floor, tx_hash: str) -> dict[str, Any]:
    """The receipt once there is one, with a limit."""
    async with asyncio.timeout(LIMIT_S):
        while (found := await rpc(venue, "eth_getTransactionReceipt", tx_hash)) is None:
            await asyncio.sleep(0.005)
    return dict(found)
