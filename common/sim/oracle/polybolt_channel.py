"""The current price socket: its connections, who they are, their subscriptions and what each is sent.

Reads requests and answers them in the dialect of `polybolt_dialect`; its prices come by its own route.
"""

from collections import Counter, deque
from collections.abc import Callable, Mapping

from aiohttp import web

from common.sim.delivery import Link, Outlet
from common.sim.faults import FaultBoard
from common.sim.oracle.oracle_route import OracleRoute
from common.sim.oracle.polybolt_dialect import (
    CHANNELS,
    LONGEST_FRAME,
    TWAP,
    TWAP_WINDOW_S,
    Asked,
    Auth,
    Ping,
    Provider,
    Refused,
    Request,
    Subscription,
    ack,
    error,
    read_request,
    snapshot_frame,
    update_frame,
    wire_symbol,
)
from common.sim.script import Observed
from common.sim.world import Ticked
from common.units import SECOND

AUTH_FAILED, POLICY = 4001, 4008
_MOST_SUBSCRIPTIONS = 64
_MOST_REQUESTS_PER_S = 20
_MOST_AUTHS = 8
_PROVIDERS: tuple[Provider, ...] = ("chainlink", "pyth")


class _Listener:
    """One connection's side of the conversation."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.authed = False
        self.auths = 0
        self.subscriptions: set[Subscription] = set()
        self.requested_ns: deque[int] = deque(maxlen=_MOST_REQUESTS_PER_S)
        self.seq: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()

    def refuse(self, refused: Refused, rid: str | None) -> None:
        self.link.push("error", error(refused, rid))


class PolyboltChannel:
    """Every connection to ``/polybolt``; ``api_keys`` are looked up anew at every attempt."""

    def __init__(
        self,
        board: FaultBoard,
        now_ns: Callable[[], int],
        queue_limit: int,
        api_keys: Mapping[str, tuple[str, str]],
        delay_ms: int = 0,
    ) -> None:
        self.outlet = Outlet("polybolt", board, queue_limit)
        self.route = OracleRoute("polybolt", board, delay_ms, now_ns, self.publish, _names)
        self._board = board
        self._now_ns = now_ns
        self._api_keys = api_keys
        self._listeners: dict[Link, _Listener] = {}

    def publish(self, ticked: Ticked) -> None:
        """Send one observation to everyone who subscribed to it."""
        observed = ticked.observed
        channel = CHANNELS.get(observed.topic)
        keys = self.route.keys(observed)
        if channel is None or self._board.frozen("polybolt", keys):
            return
        window_s = TWAP_WINDOW_S if channel == TWAP else None
        for provider in _PROVIDERS:
            subscription = Subscription(channel, wire_symbol(observed.symbol), window_s, provider)
            for listener in self._listeners.values():
                if subscription in listener.subscriptions:
                    self._send_update(listener, subscription, ticked, keys)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Talk to one client until it goes away."""
        return await self.outlet.converse(request, self._join, self._hear, self._listeners.pop)

    def _send_update(
        self, listener: _Listener, subscription: Subscription, ticked: Ticked, keys: tuple[str, ...]
    ) -> None:
        channel = subscription.channel
        lossy = self.outlet.loses_one()
        if lossy is not None and lossy.told:
            listener.dropped[channel] += 1
            return
        listener.seq[channel] += 1
        if lossy is not None:
            return
        provider = self._served(subscription, keys)
        dropped = listener.dropped.pop(channel, 0)
        frame = update_frame(
            channel, listener.seq[channel], ticked.emitted_ms, ticked.observed, provider, dropped
        )
        self.outlet.offer(listener.link, channel, frame, keys, frozen_checked=True, loss_checked=True)

    def _join(self, link: Link) -> None:
        self._listeners[link] = _Listener(link)

    def _hear(self, link: Link, text: str) -> None:
        listener = self._listeners[link]
        if len(text.encode()) > LONGEST_FRAME:
            link.close(POLICY)
            return
        asked, rid = read_request(text)
        match asked:
            case Ping():
                link.push("", ack("pong", rid))
            case Auth():
                self._authenticate(listener, asked, rid)
            case Request():
                self._subscribe(listener, asked, rid)
            case Refused():
                listener.refuse(asked, rid)

    def _authenticate(self, listener: _Listener, auth: Auth, rid: str | None) -> None:
        listener.auths += 1
        if listener.auths > _MOST_AUTHS:
            listener.refuse(Refused("auth_attempts"), rid)
            listener.link.close(POLICY)
        elif self._api_keys.get(auth.api_key) != (auth.secret, auth.passphrase):
            listener.refuse(Refused("auth_invalid"), rid)
            listener.link.close(AUTH_FAILED)
        else:
            listener.authed = True
            listener.link.push("", ack("authed", rid))

    def _subscribe(self, listener: _Listener, request: Request, rid: str | None) -> None:
        now_ns, recent = self._now_ns(), listener.requested_ns
        if len(recent) == _MOST_REQUESTS_PER_S and now_ns - recent[0] < SECOND:
            listener.refuse(Refused("rate_limited"), rid)
            listener.link.close(POLICY)
            return
        recent.append(now_ns)
        for entry in request.entries:
            if isinstance(entry, Refused):
                listener.refuse(entry, rid)
            elif not request.subscribe:
                listener.subscriptions.discard(entry.subscription)
                listener.link.push("", ack("unsubscribed", rid, entry.subscription.channel))
            elif not listener.authed:
                listener.refuse(Refused("auth_required", entry.subscription.channel), rid)
            elif not self._grant(listener, entry, rid):
                return

    def _grant(self, listener: _Listener, asked: Asked, rid: str | None) -> bool:
        """Whether the connection stays: a subscription too many ends it."""
        subscription = asked.subscription
        fresh = subscription not in listener.subscriptions
        if fresh and len(listener.subscriptions) == _MOST_SUBSCRIPTIONS:
            listener.refuse(Refused("sub_limit", subscription.channel), rid)
            listener.link.close(POLICY)
            return False
        provider = subscription.provider if asked.pinned else None
        listener.link.push("", ack("subscribed", rid, subscription.channel, provider))
        if fresh:
            listener.subscriptions.add(subscription)
            self._send_snapshot(listener, subscription)
        return True

    def _send_snapshot(self, listener: _Listener, subscription: Subscription) -> None:
        series = subscription.series
        keys: tuple[str, ...] = (*(series or ()), subscription.channel, subscription.symbol)
        if self._board.drops_snapshot("polybolt") or self._board.frozen("polybolt", keys):
            return
        points = [] if series is None else self.route.history(*series)
        channel = subscription.channel
        listener.seq[channel] += 1
        frame = snapshot_frame(
            subscription,
            listener.seq[channel],
            self._now_ns() // 1_000_000,
            points,
            self._served(subscription, keys),
        )
        self.outlet.offer(listener.link, "snapshot", frame, keys, frozen_checked=True)

    def _served(self, subscription: Subscription, keys: tuple[str, ...]) -> Provider:
        return "pyth" if self._board.wrong_provider(keys) else subscription.provider


def _names(observed: Observed) -> tuple[str, ...]:
    channel = CHANNELS.get(observed.topic)
    return () if channel is None else (channel, wire_symbol(observed.symbol))
