"""Digests and signatures are the official client's, byte for byte, and a signer shows nobody its key."""

import json
import pickle
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
from polymarket._internal.wallet import wrap_deposit_wallet_session_signer_signature
from polymarket.models.clob.orders import SignedOrder

from common.core.order_amounts import Amounts
from common.runtime.credentials import Secret
from common.venue.clob.l2_auth import ApiKey
from common.venue.clob.order_request import Account, OrderHead, order_body, sign_buy
from common.venue.signing.contracts import CTF_EXCHANGE, EXCHANGE_V3, NEG_RISK_EXCHANGE
from common.venue.signing.order_digest import BUY, SELL, Domain, OrderFields
from common.venue.signing.order_signature import Signer, sign_order
from common.venue.signing.wallet import SIGNATURE_TYPES, WalletKind, checksum, misfit, wallets_of

KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
OWN = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
TOKEN = "71321045679252212594626385532706912750332728571942532289631379312455583992563"
SIGNER = Signer(Secret(KEY))
DOMAINS = (
    Domain(137, CTF_EXCHANGE, "2"),
    Domain(137, NEG_RISK_EXCHANGE, "2"),
    Domain(137, EXCHANGE_V3, "3"),
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
    domain=st.sampled_from(DOMAINS),
    salt=st.integers(1, 2**53 - 1),
    maker6=st.integers(1, 10**12),
    taker6=st.integers(1, 10**12),
    side=st.sampled_from(["BUY", "SELL"]),
    stamp=st.integers(1, 2**48),
    token=st.integers(0, 2**256 - 1),
)
def test_every_order_is_the_official_clients(
    kind: str, domain: Domain, salt: int, maker6: int, taker6: int, side: str, stamp: int, token: int
) -> None:
    session = kind == "session"
    plain_kind: WalletKind = "deposit" if session else kind  # type: ignore[assignment]
    maker = wallets_of(OWN)._asdict()[plain_kind]
    signs_as = maker if plain_kind == "deposit" else OWN
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


def test_a_buy_is_signed_for_the_exchange_of_its_markets_version() -> None:
    account = Account(SIGNER, "eoa", OWN, session=False, chain_id=137)
    one = sign_buy(account, "k", TOKEN, "v1", Amounts(5_000_000, 10_416_600), salt=7, timestamp_ms=9)
    other = sign_buy(account, "k", TOKEN, "v2", Amounts(5_000_000, 10_416_600), salt=7, timestamp_ms=9)
    assert one.order_id != other.order_id
    assert one == sign_buy(account, "k", TOKEN, "v1", Amounts(5_000_000, 10_416_600), salt=7, timestamp_ms=9)
    assert json.loads(one.body)["order"]["signature"] != json.loads(other.body)["order"]["signature"]


def test_a_deposit_wallet_signs_as_itself() -> None:
    account = Account(SIGNER, "deposit", wallets_of(OWN).deposit, session=False, chain_id=137)
    order = json.loads(sign_buy(account, "k", TOKEN, "v1", Amounts(1, 2), salt=7, timestamp_ms=9).body)[
        "order"
    ]
    assert order["maker"] == order["signer"] == account.address
    assert len(order["signature"]) == 2 + 2 * 317


def test_nobody_sees_the_key() -> None:
    for shown in (repr(SIGNER), str(SIGNER), f"{SIGNER}", repr(Account(SIGNER, "eoa", OWN, False, 137))):
        assert KEY[2:] not in shown
        assert OWN in shown
    with pytest.raises(TypeError):
        pickle.dumps(SIGNER)


@pytest.mark.parametrize("bad", ["", "0x12", "zz" * 32, "00" * 32, "ff" * 32])
def test_what_is_no_key_is_refused_without_quoting_it(bad: str) -> None:
    with pytest.raises(ValueError) as refused:
        Signer(Secret(bad))
    assert not bad or bad not in str(refused.value)


def test_the_one_thing_to_change_is_named() -> None:
    owned = wallets_of(OWN)
    for kind, address in (("eoa", owned.eoa), ("safe", owned.safe), ("deposit", owned.deposit_older)):
        assert misfit(kind, OWN, address.lower(), session=False) == ""  # type: ignore[arg-type]
    assert 'wallet.kind = "safe"' in misfit("deposit", OWN, owned.safe, session=False)
    assert owned.deposit in misfit("deposit", OWN, "0x" + "11" * 20, session=False)
    assert misfit("deposit", OWN, "0x" + "11" * 20, session=True) == ""
    assert "no session key" in misfit("deposit", OWN, owned.deposit, session=True)
    assert "deposit wallets only" in misfit("safe", OWN, "0x" + "11" * 20, session=True)
    assert checksum(bytes.fromhex(OWN[2:])) == OWN


def test_the_recorded_hmacs(shared_data: Path) -> None:
    for vector in recorded(shared_data, "auth_l1_l2.json")["l2_hmac"]:
        key = ApiKey(OWN, Secret("k"), Secret(vector["secret"]), Secret("p"))
        body = (vector["body"] or "").encode()
        for _ in range(2):  # the kept state is copied, not used up
            assert (
                key.signature(vector["timestamp"], vector["method"], vector["path"], body)
                == vector["signature"]
            )


def test_the_head_is_signed_over_the_venues_path_and_the_exact_body() -> None:
    key = ApiKey(OWN, Secret("api-key"), Secret("A" * 43 + "="), Secret("open sesame"))
    head = OrderHead("https://user@venue.test:444/clob/", key, "laggard/0.1").made(b"{}", 1_000)
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /clob/order HTTP/1.1"
    fields = dict(line.split(": ", 1) for line in lines[1:] if line)
    assert fields["Host"] == "venue.test:444"
    assert fields["Content-Length"] == "2"
    assert fields["POLY_SIGNATURE"] == key.signature("1000", "POST", "/order", b"{}")
    assert (fields["POLY_ADDRESS"], fields["POLY_API_KEY"], fields["POLY_TIMESTAMP"]) == (
        OWN,
        "api-key",
        "1000",
    )
    assert head.endswith(b"\r\n\r\n")
    assert key.headers(1_000, "POST", "/order", b"{}")["POLY_SIGNATURE"] == fields["POLY_SIGNATURE"]
    assert "sesame" not in repr(key)
