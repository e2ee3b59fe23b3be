"""The user channel: what happens to our orders and trades, pushed; and the word when it was lost or is back.

Nothing is replayed after a reconnect, so every opening is told: whoever listens reads the account anew. The
channel is silent while nothing trades; only pongs prove that it lives. The official client's own reader drops
frames it does not expect; this one takes what it understands and counts the rest.
"""

import json
from collections.abc import Callable
from typing import Any

from common.core.account_frames import IsOurs, concerns, read_order, read_trade
from common.core.order_state import ForeignSeen, NewsSeen, TradeSeen
from common.errors import FeedRefused, FrameRefused
from common.feeds.connection import Link, Silence
from common.runtime.credentials import Secret
from common.units import SECOND

AccountEvent = TradeSeen | NewsSeen | ForeignSeen

PING_S = 10.0
PONG_LIMIT_S = 30.0
PONG_KEY = "pong"
_REFUSED_CLOSES = (1008, 4001, 4003)


def hear(frame: str | bytes, is_ours: IsOurs) -> tuple[list[AccountEvent], list[FrameRefused]]:
    """What one frame tells, and what in it could not be used; a pong tells nothing."""
    text = frame.decode("utf-8", "replace") if isinstance(frame, bytes) else frame
    if text.strip().upper() in ("PONG", ""):
        return [], []
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return [], [FrameRefused("not-json", text[:40])]
    events: list[AccountEvent] = []
    refused: list[FrameRefused] = []
    for item in document if isinstance(document, list) else [document]:
        try:
            event = _read(item, is_ours)
        except FrameRefused as refusal:
            refused.append(refusal)
        else:
            events += [event] if event is not None else []
    return events, refused


def _read(item: Any, is_ours: IsOurs) -> AccountEvent | None:
    if not isinstance(item, dict):
        raise FrameRefused("not-an-object", str(item)[:40])
    kind = item.get("event_type") or ("trade" if item.get("type") == "TRADE" else "order")
    if kind == "trade":
        trade = read_trade(item, is_ours)
        return ForeignSeen(concerns(item)) if trade is None else TradeSeen(trade)
    if kind == "order":
        if "status" not in item and "type" not in item:
            raise FrameRefused("unknown-event", str(sorted(item))[:80])
        news = read_order(item)
        return NewsSeen(news) if is_ours(news.order_id) else ForeignSeen(f"order {news.order_id}")
    raise FrameRefused("unknown-event", str(kind)[:40])


def user_link(
    url: str,
    api_key: Secret,
    secret: Secret,
    passphrase: Secret,
    *,
    mono_ns: int,
    on_event: Callable[[AccountEvent], None],
    on_refused: Callable[[FrameRefused], None],
    on_state: Callable[[bool, str], None],
    is_ours: IsOurs,
    on_alive: Callable[[], None] = lambda: None,
    ping_s: float = PING_S,
    dead_s: float = 180.0,
) -> Link:
    """The link to run with ``keep_connected``; each time it is up again the account must be read anew.

    ``on_alive`` is told of every frame, also of one that says nothing.
    """

    def greeting() -> list[str]:
        credentials = {
            "apiKey": api_key.reveal(),
            "secret": secret.reveal(),
            "passphrase": passphrase.reveal(),
        }
        return [json.dumps({"type": "user", "auth": credentials})]

    def on_frame(frame: str | bytes, _recv_ns: int, at_ns: int) -> None:
        silence.heard(PONG_KEY, at_ns)
        on_alive()
        events, refused = hear(frame, is_ours)
        for event in events:
            on_event(event)
        for refusal in refused:
            on_refused(refusal)

    silence = Silence(limit_ns=int(PONG_LIMIT_S * SECOND), dead_ns=int(dead_s * SECOND))
    silence.expect([PONG_KEY], mono_ns)
    return Link(
        url=url,
        greeting=greeting,
        on_frame=on_frame,
        silence=silence,
        ping="PING",
        ping_every_s=ping_s,
        on_state=on_state,
        on_refusal=_on_refusal,
    )


def _on_refusal(code: int) -> float:
    if code in (401, 403):
        raise FeedRefused(
            f"the user channel refuses these API credentials (HTTP {code}); "
            "delete clob.json so that new ones are made, and check the key and this host's clock"
        )
    return 5.0 if code in _REFUSED_CLOSES else 0.0
