"""The language of Chainlink Data Streams: feed ids, signed requests, and reports as they are encoded.

Pure. Knows no connection and sends nothing. Reports have the real layout and made-up signatures; nobody could
verify them on a chain.
"""

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from typing import Any

from common.sim.script import Observed

KINDS = {
    "crypto_prices_chainlink": "spot",
    "crypto_prices_twap_thirty": "twap30",
    "crypto_prices_twap_sixty": "twap60",
}
"""The script's topics that have feeds here."""
CLIENT_HEADER = "Authorization"
TIME_HEADER = "X-Authorization-Timestamp"
SIGNATURE_HEADER = "X-Authorization-Signature-SHA256"
ORIGIN_HEADER = "X-Cll-Origin"
ORIGINS_HEADER = "X-Cll-Available-Origins"
ORIGINS = ("001", "002")
CLOCK_TOLERANCE_MS = 5_000

_MAINNET_IDS = {
    "btc/spot": "0x00039d9e45394f473ab1f050a1b963e6b05351e52d71e507509ada0c95ed75b8",
    "eth/spot": "0x000362205e10b3a147d02792eccee483dca6c7b44ecce7012cb8c6e0b68b3ae9",
    "sol/spot": "0x0003b778d3f6b2ac4991302b89cb313f99a42467d6c9c5f96f57c29c0d2bc24f",
    "xrp/spot": "0x0003c16c6aed42294f5cb4741f6e59ba2d728f0eae2eb9e6d3f555808c59fc45",
    "btc/twap30": "0x0002e6b03af5a87b65f4c5c0c8eaf6027e4156f467cd16bdcf8a5b4347f9c087",
    "btc/twap60": "0x0002ee6757e8822c00d273bc340fc24c9cafe123a4ff2ea1dbdb31944bc7d95f",
}
_WORD = 32
_VALID_S = 86_400
_NATIVE_FEE, _LINK_FEE = 41_700_000_000_000, 9_300_000_000_000_000
_SIGNERS = 2
_SPREAD_PARTS = 20_000


def sim_feed_ids(assets: Iterable[str]) -> dict[str, str]:
    """The feed of every series the simulation has, by ``eth/twap60``; real ids where they are known."""
    series = [f"{asset}/{kind}" for asset in assets for kind in KINDS.values()]
    return {name: _MAINNET_IDS.get(name) or _made_up_id(name) for name in series}


def series_of(feed_ids: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Topic and symbol of the script by feed id."""
    topics = {kind: topic for topic, kind in KINDS.items()}
    found = {}
    for name, feed_id in feed_ids.items():
        asset, _, kind = name.partition("/")
        found[feed_id] = (topics[kind], f"{asset}/usd")
    return found


def refusal_of(
    method: str,
    path_and_query: str,
    body: bytes,
    headers: Mapping[str, str],
    secrets_by_client: Mapping[str, str],
    now_ms: int,
) -> tuple[int, str] | None:
    """HTTP status and reason for which a request is turned away; None when its signature holds.

    Signed are method, path and query as sent, hex SHA-256 of the body, client id and milliseconds.
    """
    client, stamp = headers.get(CLIENT_HEADER), headers.get(TIME_HEADER)
    signature = headers.get(SIGNATURE_HEADER)
    if client is None or stamp is None or signature is None or not stamp.isdecimal():
        return 400, "missing or malformed authorization headers"
    if abs(int(stamp) - now_ms) > CLOCK_TOLERANCE_MS:
        return 401, "the timestamp is too far from the server's clock"
    signed = f"{method} {path_and_query} {hashlib.sha256(body).hexdigest()} {client} {stamp}"
    secret = secrets_by_client.get(client)
    if secret is None or hmac.new(secret.encode(), signed.encode(), "sha256").hexdigest() != signature:
        return 401, "unknown client or wrong signature"
    return None


def report_message(feed_id: str, observed: Observed) -> bytes:
    """One message of the socket."""
    return json.dumps({"report": report_object(feed_id, observed)}, separators=(",", ":")).encode()


def report_object(feed_id: str, observed: Observed) -> dict[str, Any]:
    """One report as the socket and the REST service give it; its stamps are whole seconds."""
    second = observed.observed_ms // 1000
    return {
        "feedID": feed_id,
        "fullReport": f"0x{full_report(feed_id, observed).hex()}",
        "validFromTimestamp": second,
        "observationsTimestamp": second,
    }


def full_report(feed_id: str, observed: Observed) -> bytes:
    """Three words of context, then the report, two lists of signature halves and the parities.

    The schema follows from the id: 3 has benchmark, bid and ask, 2 (averages) one price; all 1e-18 dollars.
    """
    second, value = observed.observed_ms // 1000, observed.value_e18
    raw_id = bytes.fromhex(feed_id.removeprefix("0x"))
    prices = [value]
    if raw_id[:2] == b"\x00\x03":
        prices += [value - value // _SPREAD_PARTS, value + value // _SPREAD_PARTS]
    stamps = (second, second, _NATIVE_FEE, _LINK_FEE, second + _VALID_S)
    report = raw_id + b"".join(_word(number) for number in (*stamps, *prices))
    context = b"\x00\x06" + _digest("config")[2:] + _word(second % 2**32 << 8) + _word(0)
    halves = [
        _word(_SIGNERS) + b"".join(_digest(f"{half} {n} {feed_id} {second}") for n in range(_SIGNERS))
        for half in ("r", "s")
    ]
    blob = _word(len(report)) + report
    offsets, at = [], len(context) + 4 * _WORD
    for part in (blob, *halves):
        offsets.append(_word(at))
        at += len(part)
    parities = bytes([1, 0]).ljust(_WORD, b"\x00")
    return b"".join((context, *offsets, parities, blob, *halves))


def _made_up_id(name: str) -> str:
    schema = "0003" if name.endswith("/spot") else "0002"
    return f"0x{schema}{_digest(f'feed {name}').hex()[4:]}"


def _word(number: int) -> bytes:
    return number.to_bytes(_WORD, "big", signed=True)


def _digest(seed: str) -> bytes:
    return hashlib.sha256(seed.encode()).digest()
