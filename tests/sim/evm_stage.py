"""A chain with every contract planted, redemptions as the trader makes them, and what they come to there."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from common.core.redemption.claims import Claim, Holding, Ledger
from common.runtime.credentials import Secret
from common.sim.evm import plant
from common.sim.evm.node import EvmNode
from common.sim.evm.plant import PlantedCondition
from common.sim.evm.relayer import RELAY
from common.sim.evm.relayer_actions import read_action
from common.sim.evm.rpc_client import RpcRefused
from common.sim.trading.contracts import CHAIN_ID, WalletKind
from common.venue.clob.order_request import Account
from common.venue.redeeming.actions import RelayInfo, relayed_action
from common.venue.redeeming.calldata import Call, RedeemContracts, calls_of, selector
from common.venue.redeeming.transactions import own_gas_call, sign_transaction
from common.venue.signing.keccak import keccak
from common.venue.signing.order_signature import Signer
from common.venue.signing.wallet import wallets_of

PRIVATE = "0x" + "5c" * 32
OTHER_PRIVATE = "0x" + "5d" * 32
SIGNER = Signer(Secret(PRIVATE)).address
HOLDER = wallets_of(SIGNER).safe
STRANGER = "0x" + "ab" * 20
PLACES = RedeemContracts()
GWEI = 10**9
LIMIT_S = 10.0


@asynccontextmanager
async def chain() -> AsyncIterator[EvmNode]:
    """A fresh one."""
    async with EvmNode() as node:
        await plant.plant(node)
        yield node


def account(kind: WalletKind, private: str = PRIVATE) -> Account:
    """The wallet of the first key, moved with this key."""
    return Account(Signer(Secret(private)), kind, getattr(wallets_of(SIGNER), kind), False, CHAIN_ID)


async def wallet_of(node: EvmNode, kind: WalletKind) -> str:
    """The first key's wallet, made and approved."""
    address: str = getattr(wallets_of(SIGNER), kind)
    await plant.give_wallet(node, kind, SIGNER, address)
    return address


async def held(
    node: EvmNode,
    wallet: str,
    ledger: Ledger,
    up6: int,
    down6: int,
    result: tuple[int, int] | None = None,
    seed: int = 1,
) -> PlantedCondition:
    """A condition of which the wallet holds this much."""
    made = await plant.make_condition(node, ledger, seed)
    await plant.give_shares(node, wallet, made, up6, down6)
    if result is not None:
        await plant.resolve(node, made, *result)
    return made


def redeem(condition: PlantedCondition, up6: int = 0, down6: int = 0) -> tuple[Call, ...]:
    """The trader's calls for this much of it."""
    holdings = tuple(
        Holding(token, outcome, size6)
        for outcome, (token, size6) in enumerate(zip(condition.tokens, (up6, down6), strict=True))
        if size6
    )
    return calls_of(Claim(condition.condition_id, condition.ledger, holdings, (1, 0), 1), PLACES)


async def balances(node: EvmNode, wallet: str, condition: PlantedCondition) -> tuple[int, int, int]:
    """Of up, down and pUSD."""
    up, down = [await plant.shares(node, wallet, each, condition.ledger) for each in condition.tokens]
    return up, down, await plant.collateral(node, wallet)


async def make(node: EvmNode, sender: str, calls: Sequence[Call]) -> dict[str, Any]:
    """Let a wallet make calls as if by itself; the last one's receipt."""
    receipt: dict[str, Any] = {}
    for each in calls:
        receipt = await node.rpc("eth_getTransactionReceipt", await node.send_as(sender, each.to, each.data))
    return receipt


async def refusal(node: EvmNode, sender: str, call: Call) -> str:
    """Text and data of a revert; fails where the call succeeds."""
    asked = {"from": sender, "to": call.to, "data": "0x" + call.data.hex()}
    try:
        await node.rpc("eth_call", asked, "latest")
    except RpcRefused as error:
        return f"{error.text} {error.data}"
    raise AssertionError(f"the call to {call.to} succeeds")


def error(signature: str) -> str:
    """Of a contract, as it stands in the data of a revert."""
    return f"0x{selector(signature).hex()}"


def topic(event: str) -> str:
    """How a log names its event."""
    return "0x" + keccak(event.encode()).hex()


async def pay_own_gas(
    node: EvmNode, who: Account, calls: Sequence[Call], *, nonce: int = 0, safe_nonce: int = 0
) -> bool:
    """Send the owner's own transaction; whether it had effect."""
    call = own_gas_call(who, calls, PLACES, safe_nonce=safe_nonce)
    raw, tx_hash = sign_transaction(
        who.signer,
        chain_id=CHAIN_ID,
        nonce=nonce,
        to=call.to,
        data=call.data,
        gas=1_500_000,
        max_fee_wei=100 * GWEI,
        tip_wei=30 * GWEI,
    )
    assert await node.rpc("eth_sendRawTransaction", "0x" + raw.hex()) == tx_hash
    async with asyncio.timeout(LIMIT_S):
        while (receipt := await node.rpc("eth_getTransactionReceipt", tx_hash)) is None:
            await asyncio.sleep(0.005)
    return bool(receipt["status"] == "0x1")


def relayed(
    who: Account, calls: Sequence[Call], *, nonce: int = 0, deadline_s: int = 1 << 40, relay: str = RELAY
) -> Call:
    """What the relayer sends to the chain for a signed action."""
    info = RelayInfo(relay, nonce)
    action = relayed_action(
        who, calls, PLACES, nonce=nonce, deadline_s=deadline_s, relay=info, gas_limit=1_000_000
    )
    read = read_action(action.body, relay)
    return Call(read.to, read.data)
