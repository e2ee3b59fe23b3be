"""Digests and signatures are the official client's, byte for byte, and a signer shows nobody its key."""

import copy
import json
import pickle
import secrets
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account as EthAccount
from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st
from polymarket._internal.actions.orders.post import build_post_order_request
from polymarket._internal.actions.orders.typed_data import build_order_signature, build_order_typed_data
from polymarket._internal.actions.orders.types import BYTES32_ZERO, UnsignedOrder
from polymarket._internal.environment import PRODUCTION_CONFIG
from polymarket._internal.wallet import (
    classify_account,
    derive_beacon_deposit_wallet_address,
    derive_proxy_wallet_address,
    derive_safe_wallet_address,
    derive_uups_deposit_wallet_address,
    signature_type_for,
    wrap_deposit_wallet_session_signer_signature,
)
from polymarket.models.clob.orders import SignedOrder

from common.errors import DependencyMissing
from common.runtime.credentials import Secret
from common.venue.clob.order_request import Account, order_body
from common.venue.signing import keccak as hashing
from common.venue.signing.contracts import CTF_EXCHANGE, EXCHANGE_V3, NEG_RISK_EXCHANGE
from common.venue.signing.order_digest import BUY, SELL, Domain, OrderFields, address_word, contents_hash
from common.venue.signing.order_signature import Signer, sign_order
from common.venue.signing.wallet import SIGNATURE_TYPES, WalletKind, checksum, misfit, wallets_of

KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
OWN = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
SIGNER = Signer(Secret(KEY))
DOMAINS = (
    Domain(137, CTF_EXCHANGE, "2"),
    Domain(137, NEG_RISK_EXCHANGE, "2"),
    Domain(137, EXCHANGE_V3, "3"),
    Domain(80_002, EXCHANGE_V3, "3"),
)


def recorded(shared_data: Path, name: str) -> Any:
    return json.loads((shared_data / "frames/trading" / name).read_bytes())


def test_the_golden_vectors(shared_data: Path) -> None:
    for vector in recorded(shared_data, "eip712_orders_golden.json")["vectors"]:
        order = vector["order"]
        fields = OrderFields(
            salt=int(order["salt"]),
            maker=order["maker"],
            signer=order["signer"],
            token=order["tokenId"],
            maker6=int(order["makerAmount"]),
            taker6=int(order["takerAmount"]),
            side=BUY if order["side"] == "BUY" else SELL,
            signature_type=order["signatureType"],
            timestamp_ms=int(order["timestamp"]),
            metadata=bytes.fromhex(order["metadata"][2:]),
            builder=bytes.fromhex(order["builder"][2:]),
        )
        domain = Domain(vector["chain_id"], vector["verifying_contract"], vector["domain_version"])
        digest, signature = sign_order(Signer(Secret(vector["private_key"])), domain, fields)
        assert "0x" + digest.hex() == vector["order_hash"], vector["name"]
        assert "0x" + signature.hex() == vector["signature"], vector["name"]


def test_the_parity_vectors(shared_data: Path) -> None:
    vectors = recorded(shared_data, "eip712_orders_parity.json")["vectors"]
    assert len(vectors) == 12
    for vector in vectors:
        fields = OrderFields(
            salt=vector["salt"],
            maker=vector["maker"],
            signer=vector["signer"],
            token=vector["token_id"],
            maker6=vector["maker_amount"],
            taker6=vector["taker_amount"],
            side=BUY if vector["side"] == "BUY" else SELL,
            signature_type=vector["signature_type"],
            timestamp_ms=vector["timestamp"],
        )
        domain = Domain(vector["chain_id"], vector["exchange"], vector["domain_version"])
        digest, signature = sign_order(SIGNER, domain, fields)
        assert ("0x" + digest.hex(), "0x" + signature.hex()) == (vector["order_hash"], vector["signature"])


def test_the_session_key_vectors(shared_data: Path) -> None:
    known = recorded(shared_data, "eip712_session_key_signatures.json")
    order = known["order"]
    fields = OrderFields(
        salt=order["salt"],
        maker=order["maker"],
        signer=order["signer"],
        token=order["tokenId"],
        maker6=int(order["makerAmount"]),
        taker6=int(order["takerAmount"]),
        side=BUY,
        signature_type=3,
        timestamp_ms=int(order["timestamp"]),
    )
    assert known["vectors"]
    for vector in known["vectors"]:
        _, signature = sign_order(SIGNER, Domain(137, vector["exchange"], "2"), fields, session=True)
        assert "0x" + signature.hex() == "".join(vector["signature_chunks"])


def test_the_wallets_of_a_key(shared_data: Path) -> None:
    known = recorded(shared_data, "wallet_derivation.json")
    owned = wallets_of(known["signer"])
    assert owned.eoa == SIGNER.address == known["signer"]
    assert owned.proxy == known["poly_proxy"]
    assert owned.safe == known["gnosis_safe"]
    assert owned.deposit == known["deposit_wallet_beacon"]
    assert owned.deposit_older == known["deposit_wallet_uups"]


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(["eoa", "proxy", "safe", "deposit", "session"]),
    apart=st.booleans(),
    domain=st.sampled_from(DOMAINS),
    salt=st.integers(1, 2**53 - 1),
    maker6=st.integers(1, 10**12),
    taker6=st.integers(1, 10**12),
    side=st.sampled_from(["BUY", "SELL"]),
    stamp=st.integers(1, 2**48),
    token=st.integers(0, 2**256 - 1),
)
def test_every_order_is_the_official_clients(
    kind: str,
    apart: bool,
    domain: Domain,
    salt: int,
    maker6: int,
    taker6: int,
    side: str,
    stamp: int,
    token: int,
) -> None:
    session = kind == "session"
    plain_kind: WalletKind = "deposit" if session else kind  # type: ignore[assignment]
    maker = wallets_of(OWN)._asdict()[plain_kind]
    signs_as = maker if plain_kind == "deposit" else OWN
    if apart:  # who signs is not who pays: neither may stand for the other
        maker = "0x" + "11" * 20
    fields = OrderFields(
        salt=salt,
        maker=maker,
        signer=signs_as,
        token=str(token),
        maker6=maker6,
        taker6=taker6,
        side=BUY if side == "BUY" else SELL,
        signature_type=SIGNATURE_TYPES[plain_kind],
        timestamp_ms=stamp,
    )
    digest, signature = sign_order(SIGNER, domain, fields, session=session)
    unsigned = UnsignedOrder(
        builder=BYTES32_ZERO,
        chain_id=domain.chain_id,
        exchange_address=domain.exchange,
        expiration=0,
        maker=maker,
        maker_amount=maker6,
        metadata=BYTES32_ZERO,
        order_type="FAK",
        salt=salt,
        side=side,  # type: ignore[arg-type]
        signature_type=fields.signature_type,
        signer=signs_as,
        taker_amount=taker6,
        timestamp=stamp,
        token_id=str(token),
        protocol_version=domain.version,  # type: ignore[arg-type]
    )
    typed = build_order_typed_data(unsigned, protocol_version=domain.version)
    raw = EthAccount.sign_message(encode_typed_data(full_message=typed), KEY).signature
    theirs = build_order_signature(unsigned, "0x" + raw.hex(), protocol_version=domain.version)  # type: ignore[arg-type]
    if session:
        theirs = wrap_deposit_wallet_session_signer_signature(OWN, theirs)  # type: ignore[arg-type]
    assert "0x" + signature.hex() == theirs
    standard = {**typed, "primaryType": "Order"}
    if fields.signature_type == 3:
        standard = {**typed, "primaryType": "Order", "message": typed["message"]["contents"]}
        standard["types"] = {k: v for k, v in typed["types"].items() if k != "TypedDataSign"}
    signable = encode_typed_data(full_message=standard)
    assert digest == keccak(b"\x19\x01" + signable.header + signable.body)
    signed = SignedOrder(
        builder=BYTES32_ZERO,
        expiration=0,
        maker=maker,
        maker_amount=maker6,
        metadata=BYTES32_ZERO,
        order_type="FAK",
        post_only=False,
        salt=salt,
        side=side,
        signature=theirs,
        signature_type=fields.signature_type,
        signer=signs_as,
        taker_amount=taker6,
        timestamp=stamp,
        token_id=str(token),
    )
    _, payload = build_post_order_request(signed, owner_api_key="owner-key")
    body = order_body(fields, signature, "owner-key", side, "FAK")
    assert body == json.dumps(payload, separators=(",", ":")).encode()


def test_every_hash_is_the_chains_and_the_kept_sponge_is_in_use() -> None:
    assert hashing.keccak is not hashing.plain, "this pycryptodome lets no sponge be kept: hashes are slow"
    assert hashing.keccak(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    for length in (*range(300), 407, 408, 409, 5_000):
        data = secrets.token_bytes(length)
        assert hashing.keccak(data) == hashing.plain(data) == keccak(data)


def test_threads_do_not_hash_into_each_others_sponge() -> None:
    pieces = [bytes([number]) * 200_000 for number in range(4)]
    expected = [hashing.plain(piece) for piece in pieces]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(10):
            assert list(pool.map(hashing.keccak, pieces)) == expected


@pytest.mark.parametrize("way", ["gone", "wrong"])
def test_a_sponge_that_cannot_be_kept_or_gives_other_answers_is_not_used(
    monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    assert hashing.kept() is not None
    if way == "gone":
        monkeypatch.delattr(hashing._public, "_raw_keccak_lib")
    else:
        monkeypatch.setattr(hashing, "_PADDING", hashing._RAW.c_ubyte(6))  # SHA-3's own
    assert hashing.kept() is None


@pytest.mark.parametrize("bad", ["", "0x12", OWN + "00", OWN[:-2], OWN[:-1] + "g"])
def test_what_is_no_address_is_not_signed_as_one(bad: str) -> None:
    with pytest.raises(ValueError):
        address_word(bad)


@pytest.mark.parametrize("bad", ["", " 7", "7\n", "1_0", "-1", "0x7", "٧", str(2**256)])
def test_what_is_no_token_is_not_signed_as_one(bad: str) -> None:
    with pytest.raises((ValueError, OverflowError)):
        contents_hash(OrderFields(1, OWN, OWN, bad, 1, 1, BUY, 0, 1))


def test_nobody_sees_the_key() -> None:
    for shown in (repr(SIGNER), str(SIGNER), f"{SIGNER}", repr(Account(SIGNER, "eoa", OWN, False, 137))):
        assert KEY[2:] not in shown
        assert OWN in shown
    for written in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            written(SIGNER)


@pytest.mark.parametrize(
    "bad",
    ["", "0x12", "zz" * 32, "00" * 32, "ff" * 32, "12" * 31 + "  ", "12" * 33, "12" * 31 + "1 ", "١" * 64],
)
def test_what_is_no_key_is_refused_without_quoting_it(bad: str) -> None:
    with pytest.raises(ValueError) as refused:
        Signer(Secret(bad))
    # Our own words: those of the libraries may quote what they were given.
    assert str(refused.value) in (
        "a private key has 64 hexadecimal digits",
        "this is not a private key of the curve",
    )
    assert refused.value.__cause__ is None


def test_without_coincurve_no_signer_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "coincurve", None)
    with pytest.raises(DependencyMissing, match="coincurve is not installed"):
        Signer(Secret(KEY))


@settings(max_examples=40, deadline=None)
@given(st.binary(min_size=20, max_size=20))
def test_the_wallets_of_every_key_are_the_official_clients(plain: bytes) -> None:
    signer = checksum(plain)
    factories = PRODUCTION_CONFIG.wallet_derivation
    owned = wallets_of(signer)
    assert owned.eoa == signer
    assert owned.proxy == derive_proxy_wallet_address(signer, factories)
    assert owned.safe == derive_safe_wallet_address(signer, factories)
    assert owned.deposit == derive_beacon_deposit_wallet_address(signer, factories)
    assert owned.deposit_older == derive_uups_deposit_wallet_address(signer, factories)
    for name, address in owned._asdict().items():
        kind: WalletKind = "deposit" if name == "deposit_older" else name
        theirs = classify_account(signer=signer, wallet=address, config=factories)
        assert theirs.signer_type == "OWNER"
        assert SIGNATURE_TYPES[kind] == signature_type_for(theirs.wallet_type)
        assert misfit(kind, signer, address, session=False) == ""


def test_the_one_thing_to_change_is_named() -> None:
    owned, strange = wallets_of(OWN), "0x" + "11" * 20
    kinds: tuple[WalletKind, ...] = ("eoa", "proxy", "safe", "deposit")
    for claimed in kinds:
        for kind, address in zip((*kinds, "deposit"), owned, strict=True):
            for written in (address, address.lower()):
                told = misfit(claimed, OWN, written, session=False)
                assert told == "" if claimed == kind else f'wallet.kind = "{kind}"' in told
        told = misfit(claimed, OWN, strange, session=False)
        assert owned._asdict()[claimed] in told
        assert ("session_key = true" in told) == (claimed == "deposit")


def test_of_a_session_key_only_what_it_is_not_can_be_told() -> None:
    owned, strange = wallets_of(OWN), "0x" + "11" * 20
    assert misfit("deposit", OWN, strange, session=True) == ""
    for address in owned:
        assert "session_key = false" in misfit("deposit", OWN, address, session=True)
    assert "deposit wallets only" in misfit("safe", OWN, strange, session=True)
