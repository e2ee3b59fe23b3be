"""The request that posts an order: its signed body, made once and journalled, and the head made at sending.

The body is byte for byte what the official client sends. Nothing here reads a clock or a socket.
"""

from dataclasses import dataclass
from urllib.parse import urlsplit

from common.core.order_amounts import Amounts
from common.messages import Side
from common.venue.clob.l2_auth import ApiKey
from common.venue.signing.contracts import EXCHANGES
from common.venue.signing.order_digest import BUY, SELL, Domain, OrderFields
from common.venue.signing.order_signature import Signer, sign_order
from common.venue.signing.wallet import SIGNATURE_TYPES, WalletKind, checksum

ORDER_PATH = "/order"
SALT_LIMIT = 1 << 53
"""Salts travel as JSON numbers: above this they lose digits."""


@dataclass(frozen=True, slots=True)
class Account:
    """Who trades: the key that signs and the wallet that holds the money."""

    signer: Signer
    kind: WalletKind
    address: str
    """In mixed case, however it was given: so the official client writes it too."""
    session: bool
    chain_id: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "address", checksum(bytes.fromhex(self.address.removeprefix("0x"))))

    @property
    def order_signer(self) -> str:
        """What an order names as its signer: the deposit wallet itself, otherwise the key."""
        return self.address if self.kind == "deposit" else self.signer.address


@dataclass(frozen=True, slots=True)
class SignedOrder:
    """A fill-and-kill order, ready to be journalled and sent."""

    order_id: str
    body: bytes


def sign_buy(
    account: Account,
    owner: str,
    token: str,
    version: str,
    amounts: Amounts,
    *,
    salt: int,
    timestamp_ms: int,
) -> SignedOrder:
    """Sign a buy for a market of this version; ``owner`` is the API key.

    Raises ValueError as ``sign_order_of`` does.
    """
    return sign_order_of("buy", account, owner, token, version, amounts, salt=salt, timestamp_ms=timestamp_ms)


def sign_order_of(
    side: Side,
    account: Account,
    owner: str,
    token: str,
    version: str,
    amounts: Amounts,
    *,
    salt: int,
    timestamp_ms: int,
) -> SignedOrder:
    """Sign an order of either side for a market of this version; ``owner`` is the API key.

    Raises ValueError for a salt outside 1 to 2^53 - 1: the venue would read another one and know the order by
    another id than we do.
    """
    if not 0 < salt < SALT_LIMIT:
        raise ValueError(f"a salt lies between 1 and 2^53 - 1, not at {salt}")
    exchange = EXCHANGES[version]
    order = OrderFields(
        salt=salt,
        maker=account.address,
        signer=account.order_signer,
        token=token,
        maker6=amounts.maker6,
        taker6=amounts.taker6,
        side=BUY if side == "buy" else SELL,
        signature_type=SIGNATURE_TYPES[account.kind],
        timestamp_ms=timestamp_ms,
    )
    domain = Domain(account.chain_id, exchange.address, exchange.version)
    digest, signature = sign_order(account.signer, domain, order, session=account.session)
    return SignedOrder("0x" + digest.hex(), order_body(order, signature, owner, side.upper(), "FAK"))


def order_body(order: OrderFields, signature: bytes, owner: str, side: str, order_type: str) -> bytes:
    """The JSON of ``POST /order``: keys in the order and amounts in the form the official client uses."""
    return (
        '{"deferExec":false,"order":{"builder":"0x'
        f'{order.builder.hex()}","expiration":"0","maker":"{order.maker}","makerAmount":"{order.maker6}",'
        f'"metadata":"0x{order.metadata.hex()}","salt":{order.salt},"side":"{side}",'
        f'"signature":"0x{signature.hex()}","signatureType":{order.signature_type},'
        f'"signer":"{order.signer}","takerAmount":"{order.taker6}","timestamp":"{order.timestamp_ms}",'
        f'"tokenId":"{order.token}"}},"orderType":"{order_type}","owner":"{owner}"}}'
    ).encode()


class OrderHead:
    """The head of every order request to one venue: everything but time, length and HMAC is made once."""

    def __init__(self, clob_url: str, api_key: ApiKey, user_agent: str) -> None:
        parts = urlsplit(clob_url)
        # The signed path is the venue's own; a prefix in front of it is the server's business.
        self._line = (
            f"POST {parts.path.rstrip('/')}{ORDER_PATH} HTTP/1.1\r\n"
            f"Host: {parts.netloc.rpartition('@')[2]}\r\n"
            f"User-Agent: {user_agent}\r\n"
            "Accept: application/json\r\n"
            "Content-Type: application/json\r\n"
            f"POLY_ADDRESS: {api_key.address}\r\n"
            f"POLY_API_KEY: {api_key.key.reveal()}\r\n"
            f"POLY_PASSPHRASE: {api_key.passphrase.reveal()}\r\n"
        )
        self._api_key = api_key

    def made(self, body: bytes, timestamp_s: int) -> bytes:
        """The head for this body, sent in this second."""
        stamp = str(timestamp_s)
        signature = self._api_key.signature(stamp, "POST", ORDER_PATH, body)
        return (
            f"{self._line}POLY_SIGNATURE: {signature}\r\nPOLY_TIMESTAMP: {stamp}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode()
