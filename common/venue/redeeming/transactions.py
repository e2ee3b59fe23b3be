"""Transactions of the owner's own key, which pays their gas: what is called, and the signed bytes.

What is signed here is what goes out, byte for byte, however often; its hash is known before it is sent. Sends
nothing and chooses neither nonce nor fees.
"""

from collections.abc import Sequence

from eth_abi.abi import encode
from eth_account.typed_transactions.typed_transaction import TypedTransaction

from common.errors import ConfigError
from common.venue.clob.order_request import Account
from common.venue.redeeming.calldata import Call, RedeemContracts, selector
from common.venue.redeeming.owner_consent import (
    NOBODY,
    proxy_data,
    safe_digest,
    safe_signature,
    safe_step,
)
from common.venue.signing.keccak import keccak
from common.venue.signing.order_signature import Signer
from common.venue.signing.wallet import checksum

_EXEC_TYPES = ["address", "uint256", "bytes", "uint8", *["uint256"] * 3, "address", "address", "bytes"]
_EXEC = selector(f"execTransaction({','.join(_EXEC_TYPES)})")
_DYNAMIC_FEE = 2


def sign_transaction(
    signer: Signer,
    *,
    chain_id: int,
    nonce: int,
    to: str,
    data: bytes,
    gas: int,
    max_fee_wei: int,
    tip_wei: int,
) -> tuple[bytes, str]:
    """The raw transaction (EIP-1559, no coin sent) and its hash.

    Raises ValueError for a bid no node takes: no gas, or a tip above the whole fee.
    """
    if gas <= 0 or not 0 <= tip_wei <= max_fee_wei or nonce < 0:
        raise ValueError(
            f"no transaction has gas {gas}, fee {max_fee_wei}, tip {tip_wei} and nonce {nonce}; "
            "gas is above 0 and the tip at most the fee"
        )
    fields = {
        "type": _DYNAMIC_FEE,
        "chainId": chain_id,
        "nonce": nonce,
        "to": checksum(bytes.fromhex(to.removeprefix("0x"))),
        "value": 0,
        "data": data,
        "gas": gas,
        "maxFeePerGas": max_fee_wei,
        "maxPriorityFeePerGas": tip_wei,
    }
    signature = signer.sign(TypedTransaction.from_dict(fields).hash())
    raw = TypedTransaction.from_dict(
        {
            **fields,
            "v": signature[64] - 27,
            "r": int.from_bytes(signature[:32]),
            "s": int.from_bytes(signature[32:64]),
        }
    ).encode()
    return raw, "0x" + keccak(raw).hex()


def own_gas_call(
    account: Account, calls: Sequence[Call], contracts: RedeemContracts, *, safe_nonce: int = 0
) -> Call:
    """The one call that the owner's key sends to make these calls from the wallet.

    ``safe_nonce`` is the Safe's own next nonce. Raises ValueError for more than one call of a plain key,
    which needs a transaction for each, and ConfigError for wallets that only the relayer can move.
    """
    if not calls:
        raise ValueError("there is nothing to call")
    if account.kind == "deposit":
        raise ConfigError(
            ["a deposit wallet redeems through the relayer only; give relayer.json its key, or redeem there"]
        )
    if account.kind == "eoa":
        if len(calls) > 1:
            raise ValueError(f"a plain key makes one call a transaction, not {len(calls)}")
        return calls[0]
    if account.kind == "proxy":
        return Call(contracts.proxy_factory, proxy_data(calls))
    step = safe_step(calls, contracts)
    signature = safe_signature(
        account.signer, safe_digest(account.address, step, safe_nonce, account.chain_id)
    )
    arguments = [step.to, 0, step.data, step.operation, 0, 0, 0, NOBODY, NOBODY, signature]
    return Call(account.address, _EXEC + encode(_EXEC_TYPES, arguments))
