"""The PolyBolt route: one connection that shows our credentials, subscribes and counts what comes.

Reading needs API credentials of the venue, which cost nothing. A connection's state ends with it: numbering
starts over, and every new subscription is answered with the last two minutes.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random

from common.errors import FeedRefused
from common.feeds.backoff import Backoff
from common.feeds.oracle.polybolt_frames import (
    CHANNELS,
    LOOKBACK_S,
    MAX_FRAME,
    PROVIDER,
    ROUTE,
    SYMBOLS,
    Document,
    answer_in,
    document_of,
    gap,
    head_of,
    shown,
    surprise,
    ticks_in,
    unknown_keys,
)
from common.feeds.oracle.price_fields import Control
from common.feeds.oracle.route import Disabled, Item, Line, Route, series_key
from common.messages import SeriesKind
from common.runtime.clock import Clock
from common.runtime.config import Config
from common.runtime.credentials import Secret, read_credentials
from common.runtime.paths import Paths

PING = '{"op":"ping","rid":"p"}'
PING_EVERY_S = 10.0
MAX_AUTHS = 8
"""Auth messages the venue takes on one connection; one more and it closes with 4008."""
DRAIN_S = 10.0
LONG_WAIT_S = 30.0
MAX_SURPRISES = 64

_CREDENTIALS = ("api_key", "secret", "passphrase")


def plan(config: Config, paths: Paths, _clock: Clock) -> Route | Disabled:
    """One connection for all series; raises ConfigError when the credentials cannot be used."""
    kinds = tuple(kind for kind in CHANNELS if kind in config.oracles.kinds)
    if not kinds:
        return Disabled(f"it carries {' and '.join(CHANNELS)} only; add one of them to oracles.kinds")
    file = paths.credentials_file(ROUTE)
    credentials = read_credentials(file, _CREDENTIALS)
    if credentials is None:
        return Disabled(f"it needs credentials and there is no {file}; laggard init --reader-key makes one")
    assets = tuple(dict.fromkeys(config.markets.assets))
    watched = tuple(kind for kind in kinds if kind in config.oracles.watched)
    line = Line(
        name=ROUTE,
        url=config.venue.polybolt_url,
        converse=lambda: PolyBoltConversation(kinds, assets, file, credentials),
        watched=_series(watched, assets),
        ping=PING,
        ping_every_s=PING_EVERY_S,
        max_bytes=MAX_FRAME,
        backoff=lambda: Backoff(first_s=1.0, cap_s=30.0),
        on_refusal=partial(least_wait_s, file, Random()),
    )
    return Route(name=ROUTE, lines=(line,), series=_series(kinds, assets))


def least_wait_s(file: Path, random: Random, code: int) -> float:
    """The least wait in seconds after an HTTP status or close code, by the venue's own table.

    Raises FeedRefused, which names the credentials ``file``, when the credentials are what is refused.
    """
    match code:
        case 401 | 4001:
            raise _refusal(file, f"code {code}")
        case 4003:
            # The venue restarts: its clients must not all come back at once.
            return random.uniform(0, DRAIN_S)
        case 403 | 4008:
            return LONG_WAIT_S
        case _:
            return 0.0


@dataclass(slots=True)
class PolyBoltConversation:
    """One connection: credentials first, subscriptions once they are taken, frames counted by channel."""

    kinds: tuple[SeriesKind, ...]
    assets: tuple[str, ...]
    file: Path
    """Where the credentials came from, for whoever must mend them."""
    credentials: Mapping[str, Secret]
    _auths: int = 0
    _awaits_authed: bool = False
    _auth_at_pong: bool = False
    _asked_again: bool = False
    _seqs: dict[str, int] = field(default_factory=dict)
    _missed: Counter[str] = field(default_factory=Counter)
    """Missing frames by channel that nobody was told of yet: the frame that shows them may be refused."""
    _surprises: set[str] = field(default_factory=set)

    def opening(self) -> list[str]:
        """The credentials: subscribing before they are taken is an error."""
        return [self._auth()]

    def hear(self, frame: str | bytes, recv_ns: int) -> tuple[list[Item], list[str]]:
        """The meaning of one frame, gaps before ticks, and what to say to it.

        A reply may hold the credentials: it is for sending, never for a log. Raises FrameRefused when the
        frame is unusable, and FeedRefused when our credentials are.
        """
        document = document_of(frame)
        if document is None:
            return [Control("empty")], []
        if "op" in document:
            said = answer_in(document)
            return [*self._gaps(), said], self._reply(document)
        head = head_of(document)
        last = self._seqs.get(head.channel)
        if last is not None and head.seq <= last:
            text = f"a repeated number on {head.channel}, ignored: seq {head.seq} after {last}"
            return [*self._gaps(), Control("other", text)], []
        self._seqs[head.channel] = head.seq
        jump = 0 if last is None else head.seq - last - 1
        # Whether the numbering skips dropped frames is not documented: one loss is not counted twice.
        self._missed[head.channel] += max(jump, head.dropped)
        ticks = ticks_in(document, head.kind, recv_ns)
        return [*self._gaps(), *self._news(document), *ticks], []

    def _gaps(self) -> list[Item]:
        gaps: list[Item] = [gap(channel, missed) for channel, missed in self._missed.items() if missed]
        self._missed.clear()
        return gaps

    def _news(self, document: Document) -> list[Item]:
        """Unknown keys, each told once on a connection."""
        news = unknown_keys(document) - self._surprises
        if not news or len(self._surprises) >= MAX_SURPRISES:
            return []
        self._surprises |= news
        return [surprise(news)]

    def _reply(self, document: Document) -> list[str]:
        match document["op"]:
            case "authed" if self._awaits_authed:
                self._awaits_authed = False
                return self._subscriptions()
            case "pong" if self._auth_at_pong and self._auths < MAX_AUTHS:
                self._auth_at_pong = False
                return [self._auth()]
            case "error":
                return self._after_error(document.get("code"))
            case _:
                return []

    def _after_error(self, code: object) -> list[str]:
        match code:
            case "auth_required" | "auth_expired":
                # Each subscription of a message is answered by itself: one auth serves them all.
                if self._asked_again:
                    return []
                self._asked_again = True
                return [self._auth()]
            case "auth_unavailable":
                # Temporary, says the venue: wait, then retry. The next pong is some seconds away.
                self._auth_at_pong = True
                return []
            case str() if code.startswith("auth_") and code != "auth_attempts":
                raise _refusal(self.file, shown(code))
            case _:
                return []

    def _auth(self) -> str:
        self._auths += 1
        self._awaits_authed = True
        api_key, secret, passphrase = (self.credentials[name].reveal() for name in _CREDENTIALS)
        auth = {"apiKey": api_key, "secret": secret, "passphrase": passphrase}
        return _message(op="auth", rid=f"a{self._auths}", auth=auth)

    def _subscriptions(self) -> list[str]:
        """One message a channel: far below 64 subscriptions, 64 KB a message and 20 messages a second."""
        return [
            _message(
                op="subscribe",
                rid=kind,
                subscriptions=[
                    {"channel": CHANNELS[kind], "filter": _filter(kind, asset)} for asset in self.assets
                ],
            )
            for kind in self.kinds
        ]


def _series(kinds: tuple[SeriesKind, ...], assets: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(series_key(kind, asset) for kind in kinds for asset in assets)


def _filter(kind: SeriesKind, asset: str) -> dict[str, object]:
    lookback_s = LOOKBACK_S.get(kind)
    if lookback_s is None:
        return {"symbol": SYMBOLS[asset], "provider": PROVIDER}
    return {"symbol": SYMBOLS[asset], "window_seconds": lookback_s}


def _message(**fields: object) -> str:
    return json.dumps(fields, separators=(",", ":"))


def _refusal(file: Path, why: str) -> FeedRefused:
    return FeedRefused(
        f"PolyBolt refuses our credentials ({why}): those in {file} are wrong or revoked; delete that file "
        "and make new ones with laggard init --reader-key, or put your own into it"
    )
