"""Clients of the simulated PolyBolt and Data Streams sockets, and the requests they sign."""

import hashlib
import hmac
import json
import time
from typing import Any
from urllib.parse import urlencode

from yarl import URL

from common.sim.oracle.chainlink_dialect import sim_feed_ids
from stage import Client, Stage

API_KEY, SECRET, PASSPHRASE = "key-of-the-test", "first words", "second words"
CLIENT_ID, CLIENT_SECRET = "client-of-the-test", "third words"
ACCESS: dict[str, Any] = {
    "polybolt_credentials": {API_KEY: (SECRET, PASSPHRASE)},
    "chainlink_credentials": {CLIENT_ID: CLIENT_SECRET},
}
"""Settings that let these clients in."""
FEEDS = sim_feed_ids(["btc"])
SPOT_BTC, TWAP_BTC = (
    {"channel": "price.crypto", "filter": {"symbol": "btcusd"}},
    {"channel": "price.crypto.twap", "filter": {"symbol": "btcusd", "window_seconds": 60}},
)


def auth(secret: str = SECRET, api_key: str = API_KEY, passphrase: str = PASSPHRASE) -> dict[str, Any]:
    return {
        "op": "auth",
        "rid": "a1",
        "auth": {"apiKey": api_key, "secret": secret, "passphrase": passphrase},
    }


def subscribe(*subscriptions: dict[str, Any], rid: str = "s1") -> dict[str, Any]:
    return {"op": "subscribe", "rid": rid, "subscriptions": list(subscriptions)}


async def stranger(venue: Stage, **options: Any) -> Client:
    """A connection to PolyBolt that said nothing yet."""
    return Client(await venue.session.ws_connect(venue.base + "/polybolt", **options))


async def polybolt(venue: Stage, *subscriptions: dict[str, Any]) -> Client:
    """A PolyBolt connection with these subscriptions, their snapshots read."""
    client = await stranger(venue)
    await client.send(auth())
    assert await client.json() == {"op": "authed", "rid": "a1"}
    if subscriptions:
        await client.send(subscribe(*subscriptions))
        await heard(client)
    return client


async def heard(client: Client) -> list[Any]:
    """Every PolyBolt frame before the answer to a ping."""
    await client.send({"op": "ping", "rid": "sync"})
    frames = []
    while (frame := await client.json()) != {"op": "pong", "rid": "sync"}:
        frames.append(frame)
    return frames


def signed(
    path: str, method: str = "GET", secret: str = CLIENT_SECRET, late_ms: int = 0, client_id: str = CLIENT_ID
) -> dict[str, str]:
    """The headers of a request without a body."""
    stamp = time.time_ns() // 1_000_000 - late_ms
    text = f"{method} {path} {hashlib.sha256(b'').hexdigest()} {client_id} {stamp}"
    return {
        "Authorization": client_id,
        "X-Authorization-Timestamp": str(stamp),
        "X-Authorization-Signature-SHA256": hmac.new(secret.encode(), text.encode(), "sha256").hexdigest(),
    }


async def streams(venue: Stage, *feeds: str, origin: str = "", **options: Any) -> Client:
    """A Data Streams connection for these feeds."""
    path = "/chainlink/api/v1/ws?" + urlencode({"feedIDs": ",".join(feeds)})
    headers = signed(path) | ({"X-Cll-Origin": origin} if origin else {})
    url = URL(venue.base + path, encoded=True)
    return Client(await venue.session.ws_connect(url, headers=headers, **options))


async def report(client: Client) -> dict[str, Any]:
    """The next report; it must be in a binary message."""
    document = json.loads(await binary(client))
    assert list(document) == ["report"]
    found: dict[str, Any] = document["report"]
    return found


async def binary(client: Client) -> bytes:
    message = await client.message()
    assert isinstance(message.data, bytes), message
    return message.data


async def rest(venue: Stage, path: str, **query: str) -> tuple[int, Any]:
    """A signed REST request."""
    full = f"/chainlink{path}" + (f"?{urlencode(query)}" if query else "")
    async with venue.session.get(URL(venue.base + full, encoded=True), headers=signed(full)) as answer:
        return answer.status, await answer.json()
