"""Actions for the venue's relayer: signed by the owner here, carried out and paid for there.

The body is what the official client posts, value for value. It is made once, journalled, and sent as it is.
Sends nothing and chooses neither nonce nor deadline.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from common.errors import ConfigError
from common.venue.clob.order_request import Account
from common.venue.redeeming.calldata import Call, RedeemContracts
from common.venue.redeeming.owner_consent import (
    NOBODY,
    ProxyTerms,
    batch_digest,
    proxy_data,
    proxy_digest,
    proxy_signature,
    safe_digest,
    safe_signature,
    safe_step,
)

MAX_METADATA = 500
RELAYER_TYPES = {"proxy": "PROXY", "safe": "SAFE", "deposit": "WALLET"}
"""The relayer's names of the wallets it serves."""


class Action(NamedTuple):
    """What is posted to the relayer, and what its owner signed."""

    body: bytes
    """JSON, to be sent byte for byte."""
    digest: str
    """``0x`` and 64 hexadecimal digits."""


class RelayInfo(NamedTuple):
    """Who will carry out a proxy's next request, by the relayer's word."""

    address: str
    nonce: int


def relayed_action(
    account: Account,
    calls: Sequence[Call],
    contracts: RedeemContracts,
    *,
    nonce: int,
    deadline_s: int = 0,
    relay: RelayInfo | None = None,
    gas_limit: int = 0,
    metadata: str = "",
) -> Action:
    """The action that makes these calls from the wallet, all of them or none.

    ``nonce`` is the next one of the Safe, of the deposit wallet, or of the proxy's owner at the hub. A
    deposit wallet refuses the action after ``deadline_s`` (seconds since 1970); a proxy's names the ``relay``
    that carries it out and its ``gas_limit``. Raises ValueError where one of those is missing, and
    ConfigError for a key that the relayer does not serve.
    """
    if not calls:
        raise ValueError("there is nothing to call")
    if len(metadata) > MAX_METADATA:
        raise ValueError(f"metadata has at most {MAX_METADATA} characters, not {len(metadata)}")
    if account.kind == "eoa":
        raise ConfigError(["the relayer serves no plain key; its transactions pay their own gas"])
    if account.session:
        raise ConfigError(["a session key redeems nothing here; give the owner's key to the redeemer"])
    if account.kind == "safe":
        return _safe(account, calls, contracts, nonce, metadata)
    if account.kind == "proxy":
        if relay is None or gas_limit <= 0:
            raise ValueError("a proxy's action names its relay and a gas limit above 0")
        terms = ProxyTerms(nonce, gas_limit, relay.address)
        return _proxy(account, calls, contracts, terms, metadata)
    if deadline_s <= 0:
        raise ValueError("a deposit wallet's action has a deadline")
    return _batch(account, calls, contracts, nonce, deadline_s, metadata)


def _safe(
    account: Account, calls: Sequence[Call], contracts: RedeemContracts, nonce: int, metadata: str
) -> Action:
    step = safe_step(calls, contracts)
    digest = safe_digest(account.address, step, nonce, account.chain_id)
    return _action(
        digest,
        {
            "type": RELAYER_TYPES["safe"],
            "from": account.signer.address,
            "to": step.to,
            "proxyWallet": account.address,
            "data": _hex(step.data),
            "nonce": str(nonce),
            "signature": _hex(safe_signature(account.signer, digest)),
            "metadata": metadata,
            "signatureParams": {
                "baseGas": "0",
                "gasPrice": "0",
                "gasToken": NOBODY,
                "operation": str(step.operation),
                "refundReceiver": NOBODY,
                "safeTxnGas": "0",
            },
        },
    )


def _proxy(
    account: Account,
    calls: Sequence[Call],
    contracts: RedeemContracts,
    terms: ProxyTerms,
    metadata: str,
) -> Action:
    data = proxy_data(calls)
    digest = proxy_digest(account.signer.address, data, terms, contracts)
    return _action(
        digest,
        {
            "type": RELAYER_TYPES["proxy"],
            "from": account.signer.address,
            "to": contracts.proxy_factory,
            "proxyWallet": account.address,
            "data": _hex(data),
            "nonce": str(terms.nonce),
            "signature": _hex(proxy_signature(account.signer, digest)),
            "metadata": metadata,
            "signatureParams": {
                "gasLimit": str(terms.gas_limit),
                "gasPrice": "0",
                "relay": terms.relay,
                "relayHub": contracts.relay_hub,
                "relayerFee": "0",
            },
        },
    )


def _batch(
    account: Account,
    calls: Sequence[Call],
    contracts: RedeemContracts,
    nonce: int,
    deadline_s: int,
    metadata: str,
) -> Action:
    digest = batch_digest(account.address, calls, nonce, deadline_s, account.chain_id)
    return _action(
        digest,
        {
            "type": RELAYER_TYPES["deposit"],
            "from": account.signer.address,
            "to": contracts.deposit_factory,
            "nonce": str(nonce),
            "signature": _hex(account.signer.sign(digest)),
            "metadata": metadata,
            "depositWalletParams": {
                "depositWallet": account.address,
                "deadline": str(deadline_s),
                "calls": [{"target": call.to, "value": "0", "data": _hex(call.data)} for call in calls],
            },
        },
    )


def _action(digest: bytes, body: dict[str, Any]) -> Action:
    return Action(msgspec.json.encode(body), _hex(digest))


def _hex(data: bytes) -> str:
    return "0x" + data.hex()
