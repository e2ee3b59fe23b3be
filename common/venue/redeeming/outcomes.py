"""What is read from the chain to know what a wallet can redeem: each question as a call, each answer decoded.

Also the two ways to say which condition a token belongs to: proven by the contract on the older ledger, told
by the bits of the id on the newer. Asks nobody itself.
"""

from typing import Any, Literal

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError

from common.core.redemption.claims import OUTCOMES
from common.errors import DependencyMissing
from common.venue.redeeming.calldata import (
    Call,
    RedeemContracts,
    condition_bytes,
    selector,
    short_condition,
)
from common.venue.signing.contracts import BRIDGED_USDC
from common.venue.signing.keccak import keccak

Outcome = Literal[0, 1]
BINARY_RESULT_WHOLE = 1_000_000
"""What both outcomes of a result of the newer ledger sum to."""
_RESERVED = ((1 << 64) - 1) << 40
_BINARY = 1
_MODULES = {2: "a negative-risk market", 3: "a combination of markets"}


def ask_denominator(contracts: RedeemContracts, condition_id: str) -> Call:
    """Ask the older ledger for the sum of a condition's numerators; it is 0 until resolved."""
    return _ask(contracts.ctf, "payoutDenominator(bytes32)", condition_bytes(condition_id))


def ask_numerator(contracts: RedeemContracts, condition_id: str, outcome: Outcome) -> Call:
    """Ask the older ledger what share of the denominator an outcome gets."""
    condition = condition_bytes(condition_id)
    return _ask(contracts.ctf, "payoutNumerators(bytes32,uint256)", condition, outcome)


def ask_collection(contracts: RedeemContracts, condition_id: str, outcome: Outcome) -> Call:
    """Ask the older ledger for the collection of one outcome; ``v1_token`` makes the token of it."""
    condition = condition_bytes(condition_id)
    return _ask(contracts.ctf, "getCollectionId(bytes32,bytes32,uint256)", bytes(32), condition, 1 << outcome)


def ask_position(contracts: RedeemContracts, collection: bytes, collateral: str = BRIDGED_USDC) -> Call:
    """Ask the older ledger for the token of a collection; the answer is a number."""
    return _ask(contracts.ctf, "getPositionId(address,bytes32)", collateral, collection)


def ask_balance(token_contract: str, owner: str, token: str) -> Call:
    """Ask either ledger what a wallet holds of a token, in millionths."""
    return _ask(token_contract, "balanceOf(address,uint256)", owner, _token_number(token))


def ask_approved(token_contract: str, owner: str, operator: str) -> Call:
    """Ask either ledger whether a contract may take a wallet's tokens."""
    return _ask(token_contract, "isApprovedForAll(address,address)", owner, operator)


def ask_result(contracts: RedeemContracts, condition_id: str) -> Call:
    """Ask the newer ledger for a condition's result."""
    short = short_condition(condition_id)
    return Call(contracts.binary_module, selector("getResult(bytes31)") + encode(["bytes31"], [short]))


def ask_payout(contracts: RedeemContracts, token: str, size6: int) -> Call:
    """Ask the newer ledger what an amount of a token pays; it reverts until resolved."""
    return _ask(contracts.position_manager, "getPayout(uint256,uint256)", _token_number(token), size6)


def ask_wallet_nonce(wallet: str) -> Call:
    """Ask a Safe or a deposit wallet for its next nonce."""
    return _ask(wallet, "nonce()")


def ask_hub_nonce(contracts: RedeemContracts, owner: str) -> Call:
    """Ask the hub for the next nonce of a proxy's owner."""
    return _ask(contracts.relay_hub, "getNonce(address)", owner)


def read_number(data: bytes) -> int:
    """The answer of every question for one number; raises DependencyMissing for what is none."""
    number: int = _read("uint256", data)
    return number


def read_yes(data: bytes) -> bool:
    """The answer of ``ask_approved``; raises DependencyMissing for what is none."""
    yes: bool = _read("bool", data)
    return yes


def read_collection(data: bytes) -> bytes:
    """The answer of ``ask_collection``; raises DependencyMissing for what is none."""
    collection: bytes = _read("bytes32", data)
    return collection


def read_result(data: bytes) -> tuple[tuple[int, int], int]:
    """Numerators and denominator of ``ask_result``; zeros while open.

    Raises DependencyMissing for a result that is not two shares of a million.
    """
    found: tuple[int, ...] = _read("uint256[]", data)
    if not found:
        return (0, 0), 0
    if len(found) != len(OUTCOMES) or sum(found) != BINARY_RESULT_WHOLE:
        raise DependencyMissing(
            f"a result of {found} is not two shares of a million; the ledger has changed: redeem by hand"
        )
    return (found[0], found[1]), BINARY_RESULT_WHOLE


def v1_token(collection: bytes, collateral: str = BRIDGED_USDC) -> str:
    """The token of a collection, as the older ledger computes it; equal to what ``ask_position`` answers."""
    return str(int.from_bytes(keccak(bytes.fromhex(collateral[2:]) + collection)))


def condition_of_position(token: str) -> tuple[str, Outcome] | None:
    """Condition and outcome of a token of the newer ledger, by its bits; None for one of the older.

    Raises ValueError, with the reason, for a token of that ledger that is of no binary market.
    """
    number = _token_number(token)
    if number & _RESERVED:
        return None
    whole = number.to_bytes(32)
    module, last = whole[0], whole[-1]
    if module != _BINARY:
        what = _MODULES.get(module, f"module {module}, which is unknown here")
        raise ValueError(f"position {token} is of {what}; only binary markets are redeemed")
    if last not in {0, 1}:
        raise ValueError(f"position {token} names outcome {last}; a binary market has 0 and 1")
    return f"0x{whole[:-1].hex()}00", 1 if last else 0


def position_of(condition_id: str, outcome: Outcome) -> str:
    """The token of an outcome on the newer ledger; raises ValueError for a condition that has none there."""
    token = str(int.from_bytes(short_condition(condition_id) + bytes((outcome,))))
    if condition_of_position(token) is None:
        raise ValueError(f"{condition_id} is no condition of the newer ledger: its reserved bits are set")
    return token


def _ask(to: str, signature: str, *arguments: object) -> Call:
    inside = signature.partition("(")[2].removesuffix(")")
    kinds = inside.split(",") if inside else []
    return Call(to, selector(signature) + encode(kinds, arguments))


def _read(kind: str, data: bytes) -> Any:
    # Nothing at all is what an address without a contract answers.
    try:
        (value,) = decode([kind], data)
    except (DecodingError, OverflowError, ValueError):
        shown = f"0x{data[:40].hex()}" if data else "nothing"
        raise DependencyMissing(
            f"the chain answered {shown} where {kind} was asked for; check the contract addresses"
        ) from None
    return value


def _token_number(token: str) -> int:
    # int() reads " 7" and "1_0" as well, and another token would be meant.
    if not (token.isascii() and token.isdigit()) or int(token) >= 1 << 256:
        raise ValueError(f"a token is a decimal number of 256 bits, not {token!r}")
    return int(token)
