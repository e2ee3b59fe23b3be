"""What is signed to redeem is what the official client signs, for any key, calls and nonce."""

import json
from typing import Any

import pytest
from eth_abi.abi import decode
from eth_account import Account as EthAccount
from eth_account.messages import encode_defunct, encode_typed_data
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from eth_utils.crypto import keccak
from hexbytes import HexBytes
from hypothesis import given, settings
from hypothesis import strategies as st
from polymarket._internal.actions.relayer import gasless
from polymarket._internal.actions.relayer.calls import TransactionCall, encode_proxy_call
from polymarket._internal.actions.relayer.signing.deposit_wallet import (
    build_deposit_wallet_typed_data,
    sign_deposit_wallet_batch,
)
from polymarket._internal.actions.relayer.signing.proxy import (
    build_proxy_transaction_hash,
    sign_proxy_message,
)
from polymarket._internal.actions.relayer.signing.safe import build_safe_typed_data, sign_safe_transaction
from polymarket._internal.environment import PRODUCTION_CONFIG as OFFICIAL
from polymarket.types import EvmAddress, HexString

from common.errors import ConfigError
from common.runtime.credentials import Secret
from common.venue.clob.order_request import Account
from common.venue.redeeming.actions import Action, RelayInfo, relayed_action
from common.venue.redeeming.calldata import Call, RedeemContracts
from common.venue.redeeming.transactions import own_gas_call, sign_transaction
from common.venue.signing.order_signature import Signer
from common.venue.signing.wallet import WalletKind, checksum, wallets_of

CONTRACTS = RedeemContracts()
KEY = "0x" + "4c0883a69102937d" * 4
RELAY = RelayInfo("0x7ae1ae7000000000000000000000000000000001", 3)
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

keys = st.integers(1, ORDER - 1).map(lambda number: f"0x{number:064x}")
one_call = st.builds(Call, st.binary(min_size=20, max_size=20).map(checksum), st.binary(max_size=400))
several = st.lists(one_call, min_size=1, max_size=4)
nonces = st.integers(0, 2**128)


def account(key: str, kind: WalletKind, *, session: bool = False) -> Account:
    signer = Signer(Secret(key))
    return Account(signer, kind, wallets_of(signer.address)._asdict()[kind], session, 137)


def official(calls: list[Call]) -> list[TransactionCall]:
    return [TransactionCall(EvmAddress(to), HexString("0x" + data.hex())) for to, data in calls]


def recovered_message(digest: str, signature: str) -> Any:
    return EthAccount.recover_message(encode_defunct(hexstr=digest), signature=signature)


def typed_digest(typed: dict[str, Any]) -> str:
    signable = encode_typed_data(full_message=typed)
    return "0x" + keccak(b"\x19" + signable.version + signable.header + signable.body).hex()


@settings(max_examples=60, deadline=None)
@given(key=keys, calls=several, nonce=nonces, metadata=st.text(max_size=50))
def test_a_safes_action_is_the_official_one(key: str, calls: list[Call], nonce: int, metadata: str) -> None:
    ours = account(key, "safe")
    target, data, value, operation = gasless._resolve_safe_call(OFFICIAL.safe_multisend, official(calls))
    named = {"to": target, "data": data, "value": value, "operation": operation, "nonce": str(nonce)}
    safe = EvmAddress(ours.address)
    signature = sign_safe_transaction(
        EthAccount.from_key(key),
        safe_address=safe,
        chain_id=137,
        **named,  # type: ignore[arg-type]
    )
    known = gasless.build_safe_payload(
        signer_address=ours.signer.address,
        wallet=safe,
        target=target,
        data=data,
        value=value,
        operation=operation,
        nonce=str(nonce),
        signature=signature,
        metadata=metadata,
    )
    made = relayed_action(ours, calls, CONTRACTS, nonce=nonce, metadata=metadata)
    assert json.loads(made.body) == known
    assert made.digest == typed_digest(
        build_safe_typed_data(safe_address=safe, chain_id=137, **named)  # type: ignore[arg-type]
    )


@settings(max_examples=60, deadline=None)
@given(key=keys, calls=several, nonce=nonces, gas_limit=st.integers(1, 10**8))
def test_a_proxys_action_is_the_official_one(key: str, calls: list[Call], nonce: int, gas_limit: int) -> None:
    ours = account(key, "proxy")
    factory, hub = OFFICIAL.wallet_derivation.proxy_factory, OFFICIAL.relay_hub
    data = encode_proxy_call(official(calls))
    digest = build_proxy_transaction_hash(
        from_address=EvmAddress(ours.signer.address),
        to=EvmAddress(factory),
        data=data,
        relayer_fee="0",
        gas_price="0",
        gas_limit=str(gas_limit),
        nonce=str(nonce),
        relay_hub=EvmAddress(hub),
        relay=EvmAddress(RELAY.address),
    )
    known = gasless.build_proxy_payload(
        signer_address=ours.signer.address,
        proxy_factory=factory,
        wallet=EvmAddress(ours.address),
        data=data,
        nonce=str(nonce),
        signature=sign_proxy_message(EthAccount.from_key(key), digest),
        gas_limit=str(gas_limit),
        relay=EvmAddress(RELAY.address),
        relay_hub=hub,
        metadata="",
    )
    made = relayed_action(ours, calls, CONTRACTS, nonce=nonce, relay=RELAY, gas_limit=gas_limit)
    assert json.loads(made.body) == known
    assert made.digest == digest


@settings(max_examples=60, deadline=None)
@given(key=keys, calls=several, nonce=nonces, deadline_s=st.integers(1, 2**64))
def test_a_deposit_wallets_action_is_the_official_one(
    key: str, calls: list[Call], nonce: int, deadline_s: int
) -> None:
    ours = account(key, "deposit")
    signed: dict[str, Any] = {
        "wallet": EvmAddress(ours.address),
        "calls": official(calls),
        "nonce": str(nonce),
        "deadline": str(deadline_s),
    }
    signature = sign_deposit_wallet_batch(EthAccount.from_key(key), chain_id=137, **signed)
    known = gasless.build_deposit_wallet_payload(
        signer_address=ours.signer.address,
        deposit_wallet_factory=OFFICIAL.wallet_derivation.deposit_wallet_factory,
        signature=signature,
        metadata="redeem",
        **signed,
    )
    made = relayed_action(ours, calls, CONTRACTS, nonce=nonce, deadline_s=deadline_s, metadata="redeem")
    assert json.loads(made.body) == known
    assert made.digest == typed_digest(build_deposit_wallet_typed_data(chain_id=137, **signed))


CALLS = [Call(CONTRACTS.adapter, b"one"), Call(CONTRACTS.router, b"two")]


def made(kind: WalletKind, **terms: Any) -> Action:
    return relayed_action(account(KEY, kind), CALLS, CONTRACTS, **{"nonce": 1, **terms})


def test_an_action_lacks_nothing() -> None:
    for missing in ({}, {"relay": RELAY}, {"gas_limit": 9}, {"relay": RELAY, "gas_limit": 0}):
        with pytest.raises(ValueError, match="names its relay and a gas limit"):
            made("proxy", **missing)
    with pytest.raises(ValueError, match="has a deadline"):
        made("deposit")
    with pytest.raises(ValueError, match="at most 500 characters, not 501"):
        made("safe", metadata="m" * 501)
    with pytest.raises(ValueError, match="nothing to call"):
        relayed_action(account(KEY, "safe"), [], CONTRACTS, nonce=0)
    with pytest.raises(ConfigError, match="serves no plain key"):
        made("eoa")
    with pytest.raises(ConfigError, match="a session key redeems nothing"):
        relayed_action(account(KEY, "deposit", session=True), CALLS, CONTRACTS, nonce=0, deadline_s=9)


@settings(max_examples=100, deadline=None)
@given(
    key=keys,
    nonce=st.integers(0, 2**32),
    call=one_call,
    gas=st.integers(1, 2**40),
    fees=st.lists(st.integers(0, 2**60), min_size=2, max_size=2).map(sorted),
    chain_id=st.sampled_from([137, 80_002]),
)
def test_a_transaction_is_the_librarys(
    key: str, nonce: int, call: Call, gas: int, fees: list[int], chain_id: int
) -> None:
    tip_wei, max_fee_wei = fees
    raw, tx_hash = sign_transaction(
        Signer(Secret(key)),
        chain_id=chain_id,
        nonce=nonce,
        to=call.to.lower(),
        data=call.data,
        gas=gas,
        max_fee_wei=max_fee_wei,
        tip_wei=tip_wei,
    )
    known = EthAccount.sign_transaction(
        {
            "type": 2,
            "chainId": chain_id,
            "nonce": nonce,
            "to": call.to,
            "value": 0,
            "data": call.data,
            "gas": gas,
            "maxFeePerGas": max_fee_wei,
            "maxPriorityFeePerGas": tip_wei,
        },
        key,
    )
    assert (raw, tx_hash) == (bytes(known.raw_transaction), "0x" + known.hash.hex())
    assert EthAccount.recover_transaction(raw) == Signer(Secret(key)).address
    assert TypedTransaction.from_bytes(HexBytes(raw)).as_dict()["gas"] == gas


@pytest.mark.parametrize("wrong", [{"gas": 0}, {"gas": -1}, {"tip_wei": 3}, {"tip_wei": -1}, {"nonce": -1}])
def test_a_bid_no_node_takes_is_not_signed(wrong: dict[str, int]) -> None:
    bid = {"gas": 1, "max_fee_wei": 2, "tip_wei": 2, "nonce": 0}
    sign_transaction(Signer(Secret(KEY)), chain_id=137, to=CONTRACTS.adapter, data=b"", **bid)
    with pytest.raises(ValueError, match="the tip at most the fee"):
        sign_transaction(
            Signer(Secret(KEY)), chain_id=137, to=CONTRACTS.adapter, data=b"", **{**bid, **wrong}
        )


def test_a_plain_key_makes_its_own_call() -> None:
    ours = account(KEY, "eoa")
    assert own_gas_call(ours, CALLS[:1], CONTRACTS) == CALLS[0]
    with pytest.raises(ValueError, match="one call a transaction, not 2"):
        own_gas_call(ours, CALLS, CONTRACTS)


def test_a_proxy_is_told_through_its_factory() -> None:
    made = own_gas_call(account(KEY, "proxy"), CALLS, CONTRACTS)
    assert made.to == CONTRACTS.proxy_factory
    assert "0x" + made.data.hex() == encode_proxy_call(official(CALLS))


@settings(max_examples=40, deadline=None)
@given(key=keys, calls=several, nonce=nonces)
def test_a_safe_takes_its_owners_word_from_anybody(key: str, calls: list[Call], nonce: int) -> None:
    ours = account(key, "safe")
    made = own_gas_call(ours, calls, CONTRACTS, safe_nonce=nonce)
    assert made.to == ours.address
    kinds = ["address", "uint256", "bytes", "uint8", *["uint256"] * 3, "address", "address", "bytes"]
    assert made.data[:4] == keccak(f"execTransaction({','.join(kinds)})".encode())[:4]
    to, value, data, operation, *free, signature = decode(kinds, made.data[4:])
    target, known, _, kind = gasless._resolve_safe_call(OFFICIAL.safe_multisend, official(calls))
    assert (to, value, "0x" + data.hex(), operation) == (target.lower(), 0, known, kind)
    assert free == [0, 0, 0, "0x" + "0" * 40, "0x" + "0" * 40]
    relayed = relayed_action(ours, calls, CONTRACTS, nonce=nonce)
    assert "0x" + signature.hex() == json.loads(relayed.body)["signature"]
    plain = signature[:64] + bytes((signature[64] - 4,))
    assert recovered_message(relayed.digest, "0x" + plain.hex()) == ours.signer.address


def test_a_deposit_wallet_cannot_be_moved_without_the_relayer() -> None:
    with pytest.raises(ConfigError, match="through the relayer only"):
        own_gas_call(account(KEY, "deposit"), CALLS, CONTRACTS)
    with pytest.raises(ValueError, match="nothing to call"):
        own_gas_call(account(KEY, "safe"), [], CONTRACTS)
