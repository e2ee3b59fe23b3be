"""Level-2 authentication of the CLOB: an HMAC over time, method, path and exact body. Sends nothing."""

import base64
import hashlib
import hmac
from dataclasses import dataclass, field

from common.runtime.credentials import Secret


@dataclass(frozen=True, slots=True)
class ApiKey:
    """API credentials of one signing address."""

    address: str
    """Of the key that signs, also where another wallet holds the money."""
    key: Secret
    secret: Secret
    passphrase: Secret
    _state: "hmac.HMAC" = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Keep the keyed hash, so that a request only adds its text; raises ValueError for a bad secret.

        Strictly: what is skipped while decoding would make another secret, and every request be refused.
        """
        text = self.secret.reveal()
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        if not raw:
            raise ValueError("the secret is empty")
        object.__setattr__(self, "_state", hmac.new(raw, digestmod=hashlib.sha256))

    def signature(self, timestamp_s: str, method: str, path: str, body: bytes = b"") -> str:
        """The HMAC in URL-safe base64; ``path`` is without the query, ``body`` exactly what is sent."""
        state = self._state.copy()
        state.update(f"{timestamp_s}{method}{path}".encode())
        state.update(body)
        return base64.urlsafe_b64encode(state.digest()).decode()

    def headers(self, timestamp_s: int, method: str, path: str, body: bytes = b"") -> dict[str, str]:
        """The five POLY_* headers of one request."""
        stamp = str(timestamp_s)
        return {
            "POLY_ADDRESS": self.address,
            "POLY_API_KEY": self.key.reveal(),
            "POLY_PASSPHRASE": self.passphrase.reveal(),
            "POLY_SIGNATURE": self.signature(stamp, method, path, body),
            "POLY_TIMESTAMP": stamp,
        }
