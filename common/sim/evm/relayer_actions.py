"""What a customer submits to the relayer, who signed it, and the one call that carries it out on the chain.

Signatures are checked with eth-account's own typed data; nothing is shared with the signing of the trader.
Sources: the official client's envelopes; the GnosisSafe 1.3.0, GSN v1 and deposit wallet contracts.
"""

import json
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from eth_abi.abi import decode, encode
from eth_account import Account
from eth_account.messages import encode_defunct, encode_typed_data
from eth_utils.crypto import keccak

from common.sim.trading.contracts import CHAIN_ID, DEPOSIT_FACTORY

RelayedKind = Literal["SAFE", "PROXY", "WALLET"]

PROXY_FACTORY = "0xaB45c5A4B0c941a2F231C04C3f49182e1A254052"
RELAY_HUB = "0xD216153c06E857cD7f72665E0aF1d7D82172F494"
MULTI_SEND = "0xA238CBeb142c10Ef7Ad8442C6D1f9E89e07e7761"
_ZERO = "0x" + "00" * 20
_CALLS = "(address,uint256,bytes)[]"
_BATCHES = f"(address,uint256,uint256,{_CALLS})[]"
_PROXY_CALLS = "(uint8,address,uint256,bytes)[]"
_SAFE_FIELDS = (
    ("to", "address"),
    ("value", "uint256"),
    ("data", "bytes"),
    ("operation", "uint8"),
    ("safeTxGas", "uint256"),
    ("baseGas", "uint256"),
    ("gasPrice", "uint256"),
    ("gasToken", "address"),
    ("refundReceiver", "address"),
    ("nonce", "uint256"),
)
_CALL_FIELDS = (("target", "address"), ("value", "uint256"), ("data", "bytes"))
_BATCH_FIELDS = (
    ("wallet", "address"),
    ("nonce", "uint256"),
    ("deadline", "uint256"),
    ("calls", "Call[]"),
)


class ActionRefused(Exception):
    """Why an action is not taken in, in the relayer's words."""


class Inner(NamedTuple):
    """A call that the wallet makes."""

    to: str
    value: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Action:
    """One action as it was submitted; addresses in lower case."""

    kind: RelayedKind
    owner: str
    wallet: str
    nonce: int
    calls: tuple[Inner, ...]
    signed_by: str
    """Whom the signature shows; empty for nobody."""
    to: str
    """The contract the relayer's transaction goes to, and what it carries."""
    data: bytes
    deadline_s: int
    """0: never."""
    told: dict[str, Any]
    """The body as it came."""


def read_action(body: bytes, relay: str) -> Action:
    """The action in a body of ``POST /submit``, to be sent from ``relay``; raises ActionRefused."""
    try:
        told = json.loads(body)
        read = _READERS.get(told["type"], _unknown)
        return read(told, relay)
    except ActionRefused:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a library makes of an odd body, it is a bad request
        raise ActionRefused(f"invalid request body: {type(error).__name__}") from None


def _unknown(told: dict[str, Any], _relay: str) -> Action:
    raise ActionRefused(f"invalid transaction type {told['type']}")


def selector(signature: str) -> bytes:
    """The first four bytes of a function's call data."""
    return bytes(keccak(signature.encode())[:4])


def _safe(told: dict[str, Any], _relay: str) -> Action:
    params, wallet = told["signatureParams"], told["proxyWallet"]
    data, nonce, operation = _bytes(told["data"]), int(told["nonce"]), int(params["operation"])
    value = int(told.get("value", "0"))
    fees = [int(params[name]) for name in ("safeTxnGas", "baseGas", "gasPrice")]
    places = [params["gasToken"], params["refundReceiver"]]
    message = [told["to"], value, data, operation, *fees, *places]
    names = [name for name, _ in _SAFE_FIELDS]
    typed = {
        "domain": {"chainId": CHAIN_ID, "verifyingContract": wallet},
        "types": _types(
            EIP712Domain=(("chainId", "uint256"), ("verifyingContract", "address")), SafeTx=_SAFE_FIELDS
        ),
        "primaryType": "SafeTx",
        "message": dict(zip(names, [*message, nonce], strict=True)),
    }
    signature = _bytes(told["signature"])
    execute = "execTransaction(" + ",".join(kind for _, kind in _SAFE_FIELDS[:-1]) + ",bytes)"
    kinds = [*(kind for _, kind in _SAFE_FIELDS[:-1]), "bytes"]
    calls = (Inner(told["to"].lower(), value, data),) if operation == 0 else _multi_send(told["to"], data)
    return Action(
        kind="SAFE",
        owner=told["from"].lower(),
        wallet=wallet.lower(),
        nonce=nonce,
        calls=calls,
        signed_by=_safe_signer(typed, signature),
        to=wallet,
        data=selector(execute) + encode(kinds, [*message, signature]),
        deadline_s=0,
        told=told,
    )


def _multi_send(to: str, data: bytes) -> tuple[Inner, ...]:
    """The calls of a delegatecall, which only MultiSend may get."""
    if to.lower() != MULTI_SEND.lower() or data[:4] != selector("multiSend(bytes)"):
        raise ActionRefused(f"call blocked: delegatecall to {to} is not permitted")
    (packed,) = decode(["bytes"], data[4:])
    calls = []
    while packed:
        operation, to_, value, size = packed[0], packed[1:21], packed[21:53], packed[53:85]
        end = 85 + int.from_bytes(size, "big")
        if operation != 0 or len(packed) < end:
            raise ActionRefused("call blocked: a nested delegatecall is not permitted")
        calls.append(Inner("0x" + to_.hex(), int.from_bytes(value, "big"), packed[85:end]))
        packed = packed[end:]
    return tuple(calls)


def _safe_signer(typed: dict[str, Any], signature: bytes) -> str:
    """A v of 31 and 32 marks a personal message over the digest, v of 27 and 28 the digest itself."""
    signable = encode_typed_data(full_message=typed)
    if len(signature) != 65 or signature[64] not in (27, 28, 31, 32):
        return ""
    if signature[64] < 31:
        return _recovered(signable, signature)
    digest = keccak(b"\x19" + signable.version + signable.header + signable.body)
    return _recovered(encode_defunct(primitive=digest), signature[:64] + bytes([signature[64] - 4]))


def _proxy(told: dict[str, Any], relay: str) -> Action:
    params, owner, data = told["signatureParams"], told["from"], _bytes(told["data"])
    if told["to"].lower() != PROXY_FACTORY.lower() or params["relayHub"].lower() != RELAY_HUB.lower():
        raise ActionRefused("call blocked: another factory or hub is not permitted")
    if params["relay"].lower() != relay.lower():
        raise ActionRefused("invalid relay: ask /relay-payload for the address to sign for")
    numbers = [
        int(params["relayerFee"]),
        int(params["gasPrice"]),
        int(params["gasLimit"]),
        int(told["nonce"]),
    ]
    digest = keccak(
        b"rlx:"
        + _bytes(owner)
        + _bytes(told["to"])
        + data
        + b"".join(each.to_bytes(32, "big") for each in numbers)
        + _bytes(params["relayHub"])
        + _bytes(params["relay"])
    )
    signature = _bytes(told["signature"])
    if data[:4] != selector(f"proxy({_PROXY_CALLS})"):
        raise ActionRefused("call blocked: a function of the factory other than proxy is not permitted")
    (made,) = decode([_PROXY_CALLS], data[4:])
    kinds = ["address", "address", "bytes", "uint256", "uint256", "uint256", "uint256", "bytes", "bytes"]
    relayed = encode(kinds, [owner, told["to"], data, *numbers, signature, b""])
    return Action(
        kind="PROXY",
        owner=owner.lower(),
        wallet=told["proxyWallet"].lower(),
        nonce=int(told["nonce"]),
        calls=tuple(Inner(to.lower(), value, inner) for _, to, value, inner in made),
        signed_by=_recovered(encode_defunct(primitive=digest), signature),
        to=RELAY_HUB,
        data=selector(f"relayCall({','.join(kinds)})") + relayed,
        deadline_s=0,
        told=told,
    )


def _wallet(told: dict[str, Any], _relay: str) -> Action:
    params = told["depositWalletParams"]
    wallet, nonce, deadline_s = params["depositWallet"], int(told["nonce"]), int(params["deadline"])
    if told["to"].lower() != DEPOSIT_FACTORY.lower():
        raise ActionRefused("call blocked: another wallet factory is not permitted")
    calls = [(each["target"], int(each["value"]), _bytes(each["data"])) for each in params["calls"]]
    names = [name for name, _ in _CALL_FIELDS]
    domain = (
        ("name", "string"),
        ("version", "string"),
        ("chainId", "uint256"),
        ("verifyingContract", "address"),
    )
    typed = {
        "domain": {
            "name": "DepositWallet",
            "version": "1",
            "chainId": CHAIN_ID,
            "verifyingContract": wallet,
        },
        "types": _types(EIP712Domain=domain, Batch=_BATCH_FIELDS, Call=_CALL_FIELDS),
        "primaryType": "Batch",
        "message": {
            "wallet": wallet,
            "nonce": nonce,
            "deadline": deadline_s,
            "calls": [dict(zip(names, each, strict=True)) for each in calls],
        },
    }
    signature = _bytes(told["signature"])
    signed_by = _recovered(encode_typed_data(full_message=typed), signature) if len(signature) == 65 else ""
    batch = (wallet, nonce, deadline_s, calls)
    return Action(
        kind="WALLET",
        owner=told["from"].lower(),
        wallet=wallet.lower(),
        nonce=nonce,
        calls=tuple(Inner(to.lower(), value, data) for to, value, data in calls),
        signed_by=signed_by,
        to=DEPOSIT_FACTORY,
        data=selector(f"proxy({_BATCHES},bytes[])") + encode([_BATCHES, "bytes[]"], [[batch], [signature]]),
        deadline_s=deadline_s,
        told=told,
    )


def _types(**types: tuple[tuple[str, str], ...]) -> dict[str, list[dict[str, str]]]:
    return {name: [{"name": field, "type": kind} for field, kind in fields] for name, fields in types.items()}


def _recovered(signable: Any, signature: bytes) -> str:
    try:
        return str(Account.recover_message(signable, signature=signature)).lower()
    except Exception:  # noqa: BLE001 - whatever the library makes of odd bytes, nobody signed
        return ""


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


_READERS = {"SAFE": _safe, "PROXY": _proxy, "WALLET": _wallet}
