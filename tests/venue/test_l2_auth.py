"""Requests are authenticated as the official client does it, and credentials show themselves to nobody."""

import base64
import json
import pickle
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polymarket._internal.hmac import build_hmac_signature

from common.runtime.credentials import Secret
from common.venue.clob.l2_auth import ApiKey

OWN = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
SECRET = "A" * 43 + "="


def key(secret: str) -> ApiKey:
    return ApiKey(OWN, Secret("api-key"), Secret(secret), Secret("open sesame"))


def test_the_recorded_hmacs(shared_data: Path) -> None:
    for vector in json.loads((shared_data / "frames/trading/auth_l1_l2.json").read_bytes())["l2_hmac"]:
        body = (vector["body"] or "").encode()
        found = key(vector["secret"]).signature(vector["timestamp"], vector["method"], vector["path"], body)
        assert found == vector["signature"]


@settings(max_examples=100, deadline=None)
@given(
    raw=st.binary(min_size=1, max_size=48),
    padded=st.booleans(),
    encode=st.sampled_from([base64.urlsafe_b64encode, base64.b64encode]),
    second=st.integers(0, 2**40),
    method=st.sampled_from(["GET", "POST", "DELETE"]),
    path=st.sampled_from(["/order", "/data/order/0xab", "/auth/api-keys"]),
    bodies=st.lists(st.text(max_size=40), min_size=1, max_size=3),
)
def test_every_hmac_is_the_official_clients(
    raw: bytes, padded: bool, encode: object, second: int, method: str, path: str, bodies: list[str]
) -> None:
    secret = encode(raw).decode()  # type: ignore[operator]
    secret = secret if padded else secret.rstrip("=")
    ours = key(secret)
    # One key, several requests: the kept state is copied, not used up.
    for body in bodies:
        expected = build_hmac_signature(
            secret=secret, timestamp=second, method=method, path=path, body=body or None
        )
        assert ours.signature(str(second), method, path, body.encode()) == expected


def test_the_five_headers() -> None:
    assert key(SECRET).headers(1_000, "GET", "/data/orders") == {
        "POLY_ADDRESS": OWN,
        "POLY_API_KEY": "api-key",
        "POLY_PASSPHRASE": "open sesame",
        "POLY_SIGNATURE": key(SECRET).signature("1000", "GET", "/data/orders"),
        "POLY_TIMESTAMP": "1000",
    }


@pytest.mark.parametrize("bad", ["", "=", "abcde", "AAAA AAAA", "AAAA\n", "{AAAA}", "äAAA", "AA=A"])
def test_a_secret_that_is_no_base64_is_refused(bad: str) -> None:
    with pytest.raises(ValueError) as refused:
        key(bad)
    assert len(bad) < 4 or bad not in str(refused.value)


def test_credentials_are_not_shown() -> None:
    known = key(SECRET)
    for shown in (repr(known), str(known)):
        assert OWN in shown
        assert not any(hidden in shown for hidden in ("api-key", "sesame", SECRET, "hmac"))
    with pytest.raises(TypeError):
        pickle.dumps(known)
