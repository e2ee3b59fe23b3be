"""How the owner of a wallet agrees to calls from it: what is hashed, and what the wallet checks.

One way for each kind: a Safe's transaction, a proxy's relayed request, a deposit wallet's batch. Who carries
it to the chain and pays is decided elsewhere. Source: the official client's signing, the wallets' contracts.
"""

from collections.abc import Sequence
from typing import NamedTuple

from eth_abi.abi import encode
from eth_abi.packed import encode_packed

from common.venue.redeeming.calldata import Call, RedeemContracts, selector
from common.venue.signing.keccak import keccak
from common.venue.signing.order_digest import address_word, word
from common.venue.signing.order_signature import Signer

NOBODY = "0x" + "0" * 40
_SAFE_DOMAIN_HASH = keccak(b"EIP712Domain(uint256 chainId,address verifyingContract)")
_SAFE_HASH = keccak(
    b"SafeTx(address to,uint256 value,bytes data,uint8 operation,uint256 safeTxGas,uint256 baseGas,"
    b"uint256 gasPrice,address gasToken,address refundReceiver,uint256 nonce)"
)
_BATCH_DOMAIN_HASH = keccak(
    b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
_CALL_TYPE = b"Call(address target,uint256 value,bytes data)"
_CALL_HASH = keccak(_CALL_TYPE)
_BATCH_HASH = keccak(b"Batch(address wallet,uint256 nonce,uint256 deadline,Call[] calls)" + _CALL_TYPE)
_PERSONAL = b"\x19Ethereum Signed Message:\n32"
_SAFE_PERSONAL_V = 4
"""What a Safe wants added to v where the owner signed the digest as a message."""
_MULTISEND = selector("multiSend(bytes)")
_PROXY = selector("proxy((uint8,address,uint256,bytes)[])")
_PROXY_CALL = 1


class SafeStep(NamedTuple):
    """The one call that a Safe makes."""

    to: str
    data: bytes
    operation: int
    """0 calls, 1 runs the other's code as its own."""


class ProxyTerms(NamedTuple):
    """What a proxy's owner agrees to beside the calls; its fee and gas price are always 0."""

    nonce: int
    gas_limit: int
    relay: str
    """Only this address can carry it out."""


def safe_step(calls: Sequence[Call], contracts: RedeemContracts) -> SafeStep:
    """One call as it is; several packed for MultiSend, which makes all of them or none."""
    if len(calls) == 1:
        return SafeStep(calls[0].to, calls[0].data, 0)
    packed = b"".join(
        encode_packed(
            ["uint8", "address", "uint256", "uint256", "bytes"],
            [0, call.to, 0, len(call.data), call.data],
        )
        for call in calls
    )
    return SafeStep(contracts.multisend, _MULTISEND + encode(["bytes"], [packed]), 1)


def safe_digest(safe: str, step: SafeStep, nonce: int, chain_id: int) -> bytes:
    """What the Safe's owner signs; the Safe logs the same hash when it has happened."""
    contents = keccak(
        _SAFE_HASH
        + address_word(step.to)
        + word(0)
        + keccak(step.data)
        + word(step.operation)
        + word(0) * 3
        + address_word(NOBODY) * 2
        + word(nonce)
    )
    domain = keccak(_SAFE_DOMAIN_HASH + word(chain_id) + address_word(safe))
    return keccak(b"\x19\x01" + domain + contents)


def safe_signature(signer: Signer, digest: bytes) -> bytes:
    """The owner's word as a message, in the form a Safe tells apart by its v of 31 or 32."""
    signature = _as_message(signer, digest)
    return signature[:-1] + bytes((signature[-1] + _SAFE_PERSONAL_V,))


def proxy_data(calls: Sequence[Call]) -> bytes:
    """What the factory is told, so that the proxy of whoever asks makes these calls."""
    made = [(_PROXY_CALL, call.to, 0, call.data) for call in calls]
    return _PROXY + encode(["(uint8,address,uint256,bytes)[]"], [made])


def proxy_digest(owner: str, data: bytes, terms: ProxyTerms, contracts: RedeemContracts) -> bytes:
    """What a proxy's owner signs for the relay hub."""
    kinds = ["address", "address", "bytes", *["uint256"] * 4, "address", "address"]
    factory, hub = contracts.proxy_factory, contracts.relay_hub
    told = [owner, factory, data, 0, 0, terms.gas_limit, terms.nonce, hub, terms.relay]
    return keccak(b"rlx:" + encode_packed(kinds, told))


def proxy_signature(signer: Signer, digest: bytes) -> bytes:
    """The owner's word as a message, as the hub checks it."""
    return _as_message(signer, digest)


def batch_digest(wallet: str, calls: Sequence[Call], nonce: int, deadline_s: int, chain_id: int) -> bytes:
    """What a deposit wallet's owner signs; the signature is of the digest itself."""
    listed = keccak(
        b"".join(keccak(_CALL_HASH + address_word(call.to) + word(0) + keccak(call.data)) for call in calls)
    )
    contents = keccak(_BATCH_HASH + address_word(wallet) + word(nonce) + word(deadline_s) + listed)
    domain = keccak(
        _BATCH_DOMAIN_HASH + keccak(b"DepositWallet") + keccak(b"1") + word(chain_id) + address_word(wallet)
    )
    return keccak(b"\x19\x01" + domain + contents)


def _as_message(signer: Signer, digest: bytes) -> bytes:
    return signer.sign(keccak(_PERSONAL + digest))
