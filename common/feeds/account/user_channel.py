"""The user channel: what happens to our orders and trades, pushed; and the word when it was lost or is back.

Nothing is replayed after a reconnect, so every opening is told: whoever listens reads the account anew. The
channel is silent while nothing trades; only pongs prove that it lives, and only the first of them proves that
the venue took our credentials. The official client's own reader drops frames it does not expect; this one
takes what it understands and counts the rest.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from common.core.account_frames import (
    IsOurs,
    foreign_trade,
    makers_differ,
    read_json,
    read_order,
    read_trades,
)
from common.core.order_events import (
    ForeignSeen,
    NewsSeen,
    TradeSeen,
)
from common.errors import FeedRefused, FrameRefused
from common.feeds.connection import Link, Silence
from common.runtime.credentials import Secret
from common.units import SECOND

AccountEvent = TradeSeen | NewsSeen | ForeignSeen

PING_S = 10.0
PONG_LIMIT_S = 30.0
PONG_KEY = "pong"
PING = "PING"
MUTE_CLOSES = 3
"""So many connections in a row that end before one word was said mean that our credentials are refused."""
_NO_EVENT = ("unknown-event", "not-an-object")
"""Reasons of what may as well be a complaint as an event: neither proves that we were let in."""


class Heard(NamedTuple):
    """What one frame tells; ``alive`` when it was a pong or told, however badly, of a trade or an order."""

    events: list[AccountEvent]
    refused: list[FrameRefused]
    alive: bool = True


def hear(frame: str | bytes, is_ours: IsOurs) -> Heard:
    """What one frame tells, and what in it could not be used; a pong tells nothing."""
    text = frame.decode("utf-8", "replace") if isinstance(frame, bytes) else frame
    if text.strip().upper() == "PONG":
        return Heard([], [])
    if not text.strip():
        return Heard([], [], alive=False)
    try:
        document = read_json(text)
    except FrameRefused as refusal:
        # Also how the venue says that it does not understand us: INVALID OPERATION.
        return Heard([], [refusal], alive=False)
    events: list[AccountEvent] = []
    refused: list[FrameRefused] = []
    for item in document if isinstance(document, list) else [document]:
        try:
            events += _read(item, is_ours, refused)
        except FrameRefused as refusal:
            refused.append(refusal)
    alive = bool(events) or any(refusal.reason not in _NO_EVENT for refusal in refused)
    return Heard(events, refused, alive)


def _read(item: Any, is_ours: IsOurs, refused: list[FrameRefused]) -> list[AccountEvent]:
    if not isinstance(item, dict):
        raise FrameRefused("not-an-object", str(item)[:40])
    kind = str(item.get("event_type") or _kind_of(item)).lower()
    if kind == "trade":
        trades = read_trades(item, is_ours)
        if not trades:
            return [foreign_trade(item)]
        differing = "" if all(trade.maker for trade in trades) else makers_differ(item)
        refused += [FrameRefused("makers-do-not-add-up", differing)] if differing else []
        return [TradeSeen(trade) for trade in trades]
    if kind == "order":
        news = read_order(item)
        return [NewsSeen(news) if is_ours(news.order_id) else ForeignSeen(f"order {news.order_id[:80]}")]
    raise FrameRefused("unknown-event", kind[:80])


def _kind_of(item: dict[str, Any]) -> str:
    """What an event without its name is, by what only such events have."""
    if item.get("type") == "TRADE" or "taker_order_id" in item:
        return "trade"
    return "order" if "id" in item and ("status" in item or "type" in item) else f"keys {sorted(item)}"


@dataclass(slots=True)
class _Proof:
    """Whether the venue has answered on the running connection, and how many in a row ended unanswered."""

    open: bool = False
    given: bool = False
    mute: int = 0
    zombies: int = 0


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

    It is up once the venue has answered what followed our credentials: the venue does not say that they are
    wrong, it only ends the connection without a close code, as users of its clients report. After three such
    ends in a row ``keep_connected`` raises FeedRefused with what to mend. ``on_alive`` is told of every sign
    of life.
    """
    proof = _Proof()

    def greeting() -> list[str]:
        credentials = {
            "apiKey": api_key.reveal(),
            "secret": secret.reveal(),
            "passphrase": passphrase.reveal(),
        }
        # No markets: all of them. The ping asks at once whether we were let in.
        return [json.dumps({"type": "user", "auth": credentials}), PING]

    def on_open() -> None:
        proof.open, proof.given = True, False

    def on_frame(frame: str | bytes, _recv_ns: int, at_ns: int) -> None:
        heard = hear(frame, is_ours)
        if heard.alive:
            silence.heard(PONG_KEY, at_ns)
            on_alive()
            if not proof.given:
                proof.given, proof.mute = True, 0
                on_state(True, f"connected to {link.host}")
        for event in heard.events:
            on_event(event)
        for refusal in heard.refused:
            on_refused(refusal)

    def on_link_state(up: bool, text: str) -> None:
        if up:
            return  # the socket is open; whether we were let in is not known yet
        silent, proof.zombies = link.zombies > proof.zombies, link.zombies
        if proof.open and not proof.given and not silent:
            proof.mute += 1
        proof.open = False
        on_state(False, text)
        if proof.mute >= MUTE_CLOSES:
            proof.mute = 0
            raise FeedRefused(
                f"{link.host} ends the user channel right after our credentials, {MUTE_CLOSES} times in a "
                "row: they are not valid for it; delete clob.json, where there is one, and start again"
            )

    silence = Silence(limit_ns=int(PONG_LIMIT_S * SECOND), dead_ns=int(dead_s * SECOND))
    silence.expect([PONG_KEY], mono_ns)
    link = Link(
        url=url,
        greeting=greeting,
        on_frame=on_frame,
        silence=silence,
        ping=PING,
        ping_every_s=ping_s,
        on_state=on_link_state,
        on_open=on_open,
        on_refusal=_on_refusal,
    )
    return link


def _on_refusal(code: int) -> float:
    """A handshake carries no credentials yet: a refusal of it is about this host or the address."""
    if code in (401, 403):
        raise FeedRefused(
            f"the venue lets nobody in at venue.clob_user_ws_url (HTTP {code}): correct the address, or see "
            "whether trading is allowed from where this machine stands"
        )
    return 0.0
