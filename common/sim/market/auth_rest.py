"""API keys of the simulated venue: made or told again to whoever proves to control a wallet.

The proof is a signature over the wallet's address, a time and a number; it says nothing of money. Keys are
the same for the same wallet and number in every run.
"""

import base64
import hashlib
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

from common.units import SECOND

CHAIN_ID = 137
MOST_SECONDS_OFF = 60
STATEMENT = "This message attests that I control the given wallet"
_DOMAIN_FIELDS = (("name", "string"), ("version", "string"), ("chainId", "uint256"))
_FIELDS = (("address", "address"), ("timestamp", "string"), ("nonce", "uint256"), ("message", "string"))


@dataclass(frozen=True, slots=True)
class Proof:
    """What the headers of one request prove: who sent it, and for which of their keys."""

    address: str
    nonce: int

    @property
    def seed(self) -> str:
        return f"{self.address.lower()} {self.nonce}"


class AuthRest:
    """The handlers that make keys; ``api_keys`` is filled for whoever lets clients in by key.

    ``key_owners`` gets the address of whoever made a key.
    """

    def __init__(
        self,
        api_keys: dict[str, tuple[str, str]],
        key_owners: dict[str, str],
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._api_keys = api_keys
        self._key_owners = key_owners
        self._now_ns = now_ns

    def routes(self) -> list[web.RouteDef]:
        """Both paths."""
        return [
            web.post("/clob/auth/api-key", self._create),
            web.get("/clob/auth/derive-api-key", self._derive),
        ]

    async def _create(self, request: web.Request) -> web.Response:
        proof = prove(request.headers, self._now_ns() // SECOND)
        if proof is None:
            return _unproven()
        key, secret, passphrase = made_up_key(proof)
        if key in self._api_keys:
            return web.json_response({"error": "Could not create api key"}, status=400)
        self._api_keys[key] = secret, passphrase
        self._key_owners[key] = proof.address
        return _told(key, secret, passphrase)

    async def _derive(self, request: web.Request) -> web.Response:
        proof = prove(request.headers, self._now_ns() // SECOND)
        if proof is None:
            return _unproven()
        key, secret, passphrase = made_up_key(proof)
        if key not in self._api_keys:
            return web.json_response({"error": "Could not derive api key!"}, status=400)
        return _told(key, secret, passphrase)


def prove(headers: Mapping[str, str], now_s: int) -> Proof | None:
    """Who sent a request with these headers; None when they prove nothing or are of another minute."""
    from eth_account import Account
    from eth_account.messages import encode_typed_data

    try:
        address, signature = headers["POLY_ADDRESS"], headers["POLY_SIGNATURE"]
        timestamp, nonce = headers["POLY_TIMESTAMP"], int(headers["POLY_NONCE"])
        if abs(int(timestamp) - now_s) > MOST_SECONDS_OFF:
            return None
        signed = encode_typed_data(full_message=_typed(address, timestamp, nonce))
        signer = Account.recover_message(signed, signature=signature)
    except Exception:  # noqa: BLE001 - whatever the library makes of odd headers, they prove nothing
        return None
    return Proof(signer, nonce) if signer.lower() == address.lower() else None


def made_up_key(proof: Proof) -> tuple[str, str, str]:
    """Key, secret and passphrase in the venue's forms."""
    digest = hashlib.sha512(proof.seed.encode()).digest()
    secret = base64.urlsafe_b64encode(digest[16:48]).decode()
    return str(uuid.UUID(bytes=digest[:16])), secret, hashlib.sha256(digest).hexdigest()


def _typed(address: str, timestamp: str, nonce: int) -> dict[str, object]:
    return {
        "domain": {"name": "ClobAuthDomain", "version": "1", "chainId": CHAIN_ID},
        "types": {
            name: [{"name": field, "type": kind} for field, kind in fields]
            for name, fields in (("EIP712Domain", _DOMAIN_FIELDS), ("ClobAuth", _FIELDS))
        },
        "primaryType": "ClobAuth",
        "message": {"address": address, "timestamp": timestamp, "nonce": nonce, "message": STATEMENT},
    }


def _told(key: str, secret: str, passphrase: str) -> web.Response:
    return web.json_response({"apiKey": key, "secret": secret, "passphrase": passphrase})


def _unproven() -> web.Response:
    return web.json_response({"error": "Invalid L1 Request headers"}, status=401)
