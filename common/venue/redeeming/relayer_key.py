"""What the relayer knows us by: a relayer key, or a builder key that signs each request.

Read from the relayer's credentials file and shown to nobody. Sends nothing.
"""

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from pathlib import Path

from common.errors import ConfigError
from common.runtime.credentials import Secret, read_credentials

_RELAYER_FIELDS = ("key", "address")
_BUILDER_FIELDS = ("key", "secret", "passphrase")
_SHORTEST_SECRET = 6
"""Anything shorter is in every other word."""
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


@dataclass(frozen=True, slots=True)
class RelayerKey:
    """A key made on the venue's settings page."""

    key: Secret
    address: str
    """Of the owner who made it."""

    def headers(self, _timestamp_s: int, _method: str, _path: str, _body: bytes = b"") -> dict[str, str]:
        """The headers of any request."""
        return {"RELAYER_API_KEY": self.key.reveal(), "RELAYER_API_KEY_ADDRESS": self.address}

    def hidden_in(self, text: bytes) -> bytes:
        """A text without the key."""
        return _hidden(text, self.key)


@dataclass(frozen=True, slots=True)
class BuilderKey:
    """A builder's key; ``secret`` is base64."""

    key: Secret
    secret: Secret
    passphrase: Secret

    def __post_init__(self) -> None:
        """Raise ValueError for a secret that is no base64: every request would be refused."""
        self._raw_secret()

    def headers(self, timestamp_s: int, method: str, path: str, body: bytes = b"") -> dict[str, str]:
        """The headers of one request; ``path`` is without the query, ``body`` exactly what is sent."""
        told = f"{timestamp_s}{method}{path}".encode() + body
        signature = hmac.new(self._raw_secret(), told, hashlib.sha256).digest()
        return {
            "POLY_BUILDER_API_KEY": self.key.reveal(),
            "POLY_BUILDER_PASSPHRASE": self.passphrase.reveal(),
            "POLY_BUILDER_SIGNATURE": base64.urlsafe_b64encode(signature).decode(),
            "POLY_BUILDER_TIMESTAMP": str(timestamp_s),
        }

    def hidden_in(self, text: bytes) -> bytes:
        """A text without key, secret and passphrase."""
        return _hidden(text, self.key, self.secret, self.passphrase)

    def _raw_secret(self) -> bytes:
        text = self.secret.reveal()
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except ValueError:
            raw = b""
        if not raw:
            # What the library says of it may quote it.
            raise ValueError("the secret of a builder key is base64; this one is not")
        return raw


def read_relayer_key(file: Path) -> RelayerKey | BuilderKey | None:
    """The key in this file, by which of its fields are there; None where there is no such file.

    Raises ConfigError, which never quotes the content, for a file that others can read or that holds neither.
    """
    if read_credentials(file, _RELAYER_FIELDS[:1]) is None:
        return None
    found = _with_fields(file, _BUILDER_FIELDS)
    if found is not None:
        try:
            return BuilderKey(**found)
        except ValueError as error:
            raise ConfigError([f"the credentials {file} cannot be used: {error}; copy it anew"]) from None
    found = _with_fields(file, _RELAYER_FIELDS)
    if found is None:
        cure = "give key and address of a relayer key, or key, secret and passphrase of a builder key"
        raise ConfigError([f"the credentials {file} hold no key for the relayer; {cure}"])
    address = found["address"].reveal()
    if not _ADDRESS.fullmatch(address):
        raise ConfigError(
            [f"the address in {file} is none; it has 0x and 40 hexadecimal digits and owns the key"]
        )
    return RelayerKey(found["key"], address)


def _hidden(text: bytes, *secrets: Secret) -> bytes:
    for each in secrets:
        if len(each) >= _SHORTEST_SECRET:
            text = text.replace(each.reveal().encode(), b"***")
    return text


def _with_fields(file: Path, names: tuple[str, ...]) -> dict[str, Secret] | None:
    try:
        return read_credentials(file, names)
    except ConfigError:
        return None
