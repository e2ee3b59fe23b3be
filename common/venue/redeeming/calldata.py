"""Which contracts redeem, and the calls that turn a claim into money.

The older ledger is redeemed through the venue's adapter, never on ConditionalTokens itself: that call
succeeds, pays nothing and keeps the tokens. Signs nothing and sends nothing.
"""

import re
from collections import defaultdict
from typing import NamedTuple

import msgspec
from eth_abi.abi import encode

from common.core.redemption.claims import Claim
from common.venue.signing import contracts as known
from common.venue.signing.keccak import keccak

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_NOWHERE = "0x" + "0" * 40
_ROOT_COLLECTION = bytes(32)
_BOTH_OUTCOMES = (1, 2)


class Call(NamedTuple):
    """One call to a contract; none of ours carries coin."""

    to: str
    data: bytes


class RedeemContracts(msgspec.Struct, frozen=True):
    """Every contract that a redemption names."""

    ctf: str = known.CONDITIONAL_TOKENS
    adapter: str = known.COLLATERAL_ADAPTER
    collateral: str = known.COLLATERAL
    position_manager: str = known.POSITION_MANAGER
    router: str = known.ROUTER
    binary_module: str = known.BINARY_MODULE
    proxy_factory: str = known.PROXY_FACTORY
    relay_hub: str = known.RELAY_HUB
    deposit_factory: str = known.DEPOSIT_FACTORY
    multisend: str = known.MULTISEND
    auto_redeemer: str = known.AUTO_REDEEMER


def selector(signature: str) -> bytes:
    """The four bytes that name a function."""
    return keccak(signature.encode())[:4]


_REDEEM_V1 = selector("redeemPositions(address,bytes32,bytes32,uint256[])")
_REDEEM_V2 = selector("redeem(bytes31,uint256,uint256)")


def problems_of(contracts: RedeemContracts) -> list[str]:
    """Everything that makes these contracts unusable, each a sentence with its cure."""
    named: dict[str, str] = msgspec.structs.asdict(contracts)
    problems = [
        f"{name} is no address but {address!r}; give 0x and 40 hexadecimal digits"
        for name, address in named.items()
        if not _ADDRESS.fullmatch(address) or address == _NOWHERE
    ]
    if problems:
        return problems
    users: dict[str, list[str]] = defaultdict(list)
    for name, address in named.items():
        users[address.lower()].append(name)
    for address in known.RETIRED:
        problems += [
            f"{name} is {address}, which the venue has given up; take the one of its present contract list"
            for name in users.get(address.lower(), ())
        ]
    if "adapter" in users.get(known.NEG_RISK_COLLATERAL_ADAPTER.lower(), ()):
        problems.append(
            "adapter is the one for negative-risk markets, which Up/Down markets never are; "
            f"take {known.COLLATERAL_ADAPTER}"
        )
    for names in users.values():
        if names == ["ctf", "adapter"]:
            problems.append(
                "adapter is the same address as ctf: redeemed there, tokens pay nothing and stay; "
                f"take {known.COLLATERAL_ADAPTER}"
            )
        elif len(names) > 1:
            problems.append(f"{' and '.join(names)} have the same address; each is a contract of its own")
    return problems


def calls_of(claim: Claim, contracts: RedeemContracts) -> tuple[Call, ...]:
    """The calls that redeem a claim, to be made by the wallet that holds the tokens.

    On the older ledger one call takes whatever is held of both outcomes; on the newer each holding is named
    with exactly the amount that was read. Raises ValueError for a condition of the wrong form.
    """
    if claim.ledger == "v1":
        arguments = encode(
            ["address", "bytes32", "bytes32", "uint256[]"],
            [contracts.collateral, _ROOT_COLLECTION, condition_bytes(claim.condition_id), _BOTH_OUTCOMES],
        )
        return (Call(contracts.adapter, _REDEEM_V1 + arguments),)
    short = short_condition(claim.condition_id)
    return tuple(
        Call(
            contracts.router,
            _REDEEM_V2 + encode(["bytes31", "uint256", "uint256"], [short, each.outcome_index, each.size6]),
        )
        for each in claim.holdings
    )


def condition_bytes(condition_id: str) -> bytes:
    """The 32 bytes of a condition id; raises ValueError for what is none."""
    # fromhex passes over blanks: another condition would be named than the one that was read.
    if not re.fullmatch(r"0x[0-9a-fA-F]{64}", condition_id):
        raise ValueError(f"a condition id is 0x and 64 hexadecimal digits, not {condition_id!r}")
    return bytes.fromhex(condition_id[2:])


def short_condition(condition_id: str) -> bytes:
    """The 31 bytes by which the newer ledger knows a condition; raises ValueError for one of the older."""
    whole = condition_bytes(condition_id)
    if whole[-1]:
        raise ValueError(f"{condition_id} is no condition of the newer ledger: its last byte is not zero")
    return whole[:-1]
