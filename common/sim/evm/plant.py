"""Puts the venue's contracts onto an EVM node, at the addresses they have on the real chain.

ConditionalTokens, the Safe and MultiSend are the real code, from their npm packages; the rest are stand-ins
of our own (``contracts/``). The program under test runs unchanged but for its URLs.
"""

import asyncio
import json
from functools import cache
from importlib.resources import files
from typing import Literal, NamedTuple

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from common.sim.evm.node import MODULES, EvmNode
from common.sim.evm.relayer_actions import MULTI_SEND, PROXY_FACTORY, RELAY_HUB
from common.sim.trading.contracts import (
    ADAPTER,
    AUTO_REDEEMER,
    BINARY_MODULE,
    COLLATERAL,
    CONDITION_ORACLE,
    CONDITIONAL_TOKENS,
    DEPOSIT_FACTORY,
    LEDGERS,
    POSITION_MANAGER,
    ROUTER,
    USDC_E,
    WalletKind,
)

AdapterKind = Literal["CollateralAdapter", "KeepingAdapter", "TakingAdapter", "ShortAdapter"]

_SAFE = "0xd9Db270c1B5E3Bd161E8c8503c55cEABeE709552"
_SAFE_HANDLER = "0xf48f2B2d2a534e402487b3ee7C18c33Aec0Fe5e4"
_PLACES = {
    COLLATERAL: "Money",
    USDC_E: "Money",
    ADAPTER: "CollateralAdapter",
    BINARY_MODULE: "BinaryModule",
    POSITION_MANAGER: "PositionManager",
    ROUTER: "Router",
    AUTO_REDEEMER: "AutoRedeemer",
    PROXY_FACTORY: "ProxyFactory",
    RELAY_HUB: "RelayHub",
    DEPOSIT_FACTORY: "DepositFactory",
}
_GNOSIS = MODULES / "@gnosis.pm"
_SAFE_ARTIFACTS = _GNOSIS / "safe-contracts" / "build" / "artifacts" / "contracts"
_REAL = {
    CONDITIONAL_TOKENS: _GNOSIS / "conditional-tokens-contracts/build/contracts/ConditionalTokens.json",
    _SAFE: _SAFE_ARTIFACTS / "GnosisSafe.sol" / "GnosisSafe.json",
    _SAFE_HANDLER: _SAFE_ARTIFACTS
    / "handler/CompatibilityFallbackHandler.sol/CompatibilityFallbackHandler.json",
    MULTI_SEND: _SAFE_ARTIFACTS / "libraries" / "MultiSend.sol" / "MultiSend.json",
}
_SAFE_PROXY = _SAFE_ARTIFACTS / "proxies" / "GnosisSafeProxy.sol" / "GnosisSafeProxy.json"
_BANK = "0xba00000000000000000000000000000000000001"
"""Makes tokens of the older ledger and gives them away."""
_ZERO = "0x" + "00" * 20
_BOTH = [1, 2]


class PlantedCondition(NamedTuple):
    """A condition on the node and its two tokens."""

    condition_id: str
    ledger: Literal["v1", "v2"]
    tokens: tuple[str, str]
    question: bytes


def call(signature: str, *values: object) -> bytes:
    """The data of a contract call."""
    inside = signature[signature.index("(") + 1 : -1]
    kinds = _split(inside)
    return bytes(keccak(signature.encode())[:4]) + encode(kinds, values)


async def plant(node: EvmNode) -> None:
    """Put all contracts there; a fresh node has none."""
    codes = {place: stand_in(name) for place, name in _PLACES.items()}
    codes |= {place: json.loads(file.read_text())["deployedBytecode"] for place, file in _REAL.items()}
    await asyncio.gather(*(node.rpc("anvil_setCode", place, code) for place, code in codes.items()))


@cache
def _stand_ins() -> dict[str, str]:
    found: dict[str, str] = json.loads((files("common.sim.evm") / "contracts.json").read_text())
    return found


def stand_in(name: str) -> str:
    """The runtime code of one of our own contracts."""
    return _stand_ins()[name]


async def set_adapter(node: EvmNode, kind: AdapterKind) -> None:
    """Let the adapter be the right one, or one that fools its callers."""
    await node.rpc("anvil_setCode", ADAPTER, stand_in(kind))


async def pause_adapter(node: EvmNode, paused: bool) -> None:
    """The venue's switch."""
    await node.send_as(_BANK, ADAPTER, call("setPaused(bool)", paused))


async def give_wallet(node: EvmNode, kind: WalletKind, owner: str, address: str) -> None:
    """Make the wallet of an owner at its address, with every approval that redemption needs."""
    if kind == "safe":
        await node.rpc("anvil_setCode", address, json.loads(_SAFE_PROXY.read_text())["deployedBytecode"])
        await node.rpc("anvil_setStorageAt", address, "0x0", "0x" + _SAFE[2:].lower().rjust(64, "0"))
        setup = call(
            "setup(address[],uint256,address,bytes,address,address,uint256,address)",
            *([owner], 1, _ZERO, b"", _SAFE_HANDLER, _ZERO, 0, _ZERO),
        )
        await node.send_as(_BANK, address, setup)
    elif kind == "proxy":
        await node.rpc("anvil_setCode", address, stand_in("ProxyWallet"))
        await node.send_as(_BANK, PROXY_FACTORY, call("setWallet(address,address)", owner, address))
    elif kind == "deposit":
        await node.rpc("anvil_setCode", address, stand_in("DepositWallet"))
        await node.send_as(_BANK, address, call("setOwner(address)", owner))
    for ledger, operators in (
        (CONDITIONAL_TOKENS, (ADAPTER, AUTO_REDEEMER)),
        (POSITION_MANAGER, (ROUTER, AUTO_REDEEMER)),
    ):
        for operator in operators:
            await approve(node, address, ledger, operator, True)


async def approve(node: EvmNode, wallet: str, ledger: str, operator: str, given: bool) -> None:
    """Give or take a wallet's approval for an operator."""
    await node.send_as(wallet, ledger, call("setApprovalForAll(address,bool)", operator, given))


async def make_condition(node: EvmNode, ledger: Literal["v1", "v2"], seed: int) -> PlantedCondition:
    """An unresolved condition with two outcomes."""
    question = keccak(seed.to_bytes(32))
    if ledger == "v2":
        # First byte 1 says binary; eight bytes of an id are reserved and zero.
        short = b"\x01" + question[:18] + bytes(8) + question[18:22]
        up, down = (int.from_bytes(short + bytes((outcome,))) for outcome in (0, 1))
        return PlantedCondition(f"0x{short.hex()}00", "v2", (str(up), str(down)), question)
    return await prepare_condition(node, question)


async def prepare_condition(node: EvmNode, question: bytes) -> PlantedCondition:
    """The condition of the older ledger that the oracle answers with this question."""
    await node.send_as(
        _BANK,
        CONDITIONAL_TOKENS,
        call("prepareCondition(address,bytes32,uint256)", CONDITION_ORACLE, question, 2),
    )
    condition = keccak(bytes.fromhex(CONDITION_ORACLE[2:]) + question + (2).to_bytes(32))
    tokens = [await _v1_token(node, condition, index_set) for index_set in _BOTH]
    return PlantedCondition("0x" + condition.hex(), "v1", (tokens[0], tokens[1]), question)


async def give_shares(node: EvmNode, wallet: str, condition: PlantedCondition, up6: int, down6: int) -> None:
    """Let a wallet hold this much more of both outcomes."""
    if condition.ledger == "v2":
        for token, size6 in zip(condition.tokens, (up6, down6), strict=True):
            if size6:
                mint = call("mint(address,uint256,uint256)", wallet, int(token), size6)
                await node.send_as(_BANK, POSITION_MANAGER, mint)
        return
    most = max(up6, down6)
    await node.send_as(_BANK, USDC_E, call("mint(address,uint256)", _BANK, most))
    await node.send_as(_BANK, USDC_E, call("approve(address,uint256)", CONDITIONAL_TOKENS, most))
    split = call(
        "splitPosition(address,bytes32,bytes32,uint256[],uint256)",
        *(USDC_E, bytes(32), bytes.fromhex(condition.condition_id[2:]), _BOTH, most),
    )
    await node.send_as(_BANK, CONDITIONAL_TOKENS, split)
    for token, size6 in zip(condition.tokens, (up6, down6), strict=True):
        if size6:
            await _move(node, "v1", _BANK, wallet, token, size6)


async def set_shares(
    node: EvmNode, wallet: str, condition: PlantedCondition, outcome: Literal[0, 1], size6: int
) -> None:
    """Let a wallet hold exactly this much of one outcome; the other stays as it is."""
    token = condition.tokens[outcome]
    more = size6 - await shares(node, wallet, token, condition.ledger)
    if more > 0:
        await give_shares(node, wallet, condition, *((more, 0) if outcome == 0 else (0, more)))
    elif more < 0:
        await _move(node, condition.ledger, wallet, _BANK, token, -more)


async def resolve(node: EvmNode, condition: PlantedCondition, up: int, down: int) -> None:
    """Write the result: shares of their sum, of a million on the newer ledger."""
    if condition.ledger == "v2":
        whole = up + down
        result = call(
            "setResult(bytes31,uint256,uint256)",
            *(bytes.fromhex(condition.condition_id[2:-2]), up * 10**6 // whole, 10**6 - up * 10**6 // whole),
        )
        await node.send_as(_BANK, BINARY_MODULE, result)
        return
    report = call("reportPayouts(bytes32,uint256[])", condition.question, [up, down])
    await node.send_as(CONDITION_ORACLE, CONDITIONAL_TOKENS, report)


async def auto_redeem(node: EvmNode, wallet: str, condition: PlantedCondition) -> str:
    """Let the venue redeem for a holder; the hash of its transaction."""
    if condition.ledger == "v1":
        data = call("redeemFor(address,bytes32)", wallet, bytes.fromhex(condition.condition_id[2:]))
        return await node.send_as(_BANK, AUTO_REDEEMER, data)
    tx_hash = ""
    for token in condition.tokens:
        if await shares(node, wallet, token, "v2"):
            data = call("redeemPositionFor(address,uint256)", wallet, int(token))
            tx_hash = await node.send_as(_BANK, AUTO_REDEEMER, data)
    return tx_hash


async def leave_dust(node: EvmNode, usd6: int) -> None:
    """Money somebody left in the adapter; the next caller gets it."""
    await node.send_as(_BANK, USDC_E, call("mint(address,uint256)", ADAPTER, usd6))


async def mint_collateral(node: EvmNode, wallet: str, usd6: int) -> None:
    """Let a wallet have this much more pUSD."""
    await node.send_as(_BANK, COLLATERAL, call("mint(address,uint256)", wallet, usd6))


async def burn_collateral(node: EvmNode, wallet: str, usd6: int) -> None:
    """Let a wallet have this much less pUSD; raises RuntimeError when it has not so much."""
    await node.send_as(_BANK, COLLATERAL, call("burn(address,uint256)", wallet, usd6))


async def collateral(node: EvmNode, wallet: str, block: str = "latest") -> int:
    """A wallet's pUSD in millionths."""
    return await _number(node, COLLATERAL, call("balanceOf(address)", wallet), block)


async def shares(
    node: EvmNode, wallet: str, token: str, ledger: Literal["v1", "v2"], block: str = "latest"
) -> int:
    """A wallet's balance of one token."""
    asked = call("balanceOf(address,uint256)", wallet, int(token))
    return await _number(node, LEDGERS[ledger], asked, block)


async def _move(
    node: EvmNode, ledger: Literal["v1", "v2"], giver: str, taker: str, token: str, size6: int
) -> None:
    transfer = "safeTransferFrom(address,address,uint256,uint256,bytes)"
    await node.send_as(giver, LEDGERS[ledger], call(transfer, giver, taker, int(token), size6, b""))


async def _v1_token(node: EvmNode, condition: bytes, index_set: int) -> str:
    asked = call("getCollectionId(bytes32,bytes32,uint256)", bytes(32), condition, index_set)
    collection = bytes.fromhex((await _read(node, CONDITIONAL_TOKENS, asked))[2:])
    return str(int.from_bytes(keccak(bytes.fromhex(USDC_E[2:]) + collection)))


async def _number(node: EvmNode, to: str, data: bytes, block: str) -> int:
    return int(await _read(node, to, data, block), 16)


async def _read(node: EvmNode, to: str, data: bytes, block: str = "latest") -> str:
    answer: str = await node.rpc("eth_call", {"to": to, "data": "0x" + data.hex()}, block)
    return answer


def _split(kinds: str) -> list[str]:
    """The types of a signature without tuples."""
    return kinds.split(",") if kinds else []
