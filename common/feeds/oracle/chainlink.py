"""Chainlink Data Streams direct: which feeds there are, the stream that brings them, and what it means.

Rules of the venue: the feeds are named in the address, so nothing is said after connecting; each message is
one signed report; every origin behind the host brings all of them, and whoever reads several drops what it
already has. A kind is what the schema in the feed id says: v3 is spot, v2 is a TWAP.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

from common.errors import ConfigError, FeedError, FeedRefused, FrameRefused
from common.feeds.backoff import Backoff
from common.feeds.oracle.chainlink_auth import NAMES, TOLERANCE_S, auth_headers, credentials_from
from common.feeds.oracle.chainlink_report import (
    MAX_FRAME_BYTES,
    ROUTE,
    SPOT_SCHEMA,
    TWAP_SCHEMA,
    parse_frame,
    schema_of,
    tick_of,
)
from common.feeds.oracle.chainlink_rest import find_origins, reports_between, signed_source
from common.feeds.oracle.price_fields import ASSETS, Control
from common.feeds.oracle.route import Disabled, Item, Line, Route, series_key
from common.messages import SeriesKind, Tick
from common.runtime.clock import Clock
from common.runtime.config import Config
from common.runtime.credentials import Secret
from common.runtime.paths import Paths

STREAM_PATH = "/api/v1/ws"
ORIGIN_HEADER = "X-Cll-Origin"
BUSY_WAIT_S = 10.0
SCHEMAS: dict[SeriesKind, int] = {"spot": SPOT_SCHEMA, "twap30": TWAP_SCHEMA, "twap60": TWAP_SCHEMA}


class Series(NamedTuple):
    """What a feed is a price of."""

    kind: SeriesKind
    asset: str

    @property
    def key(self) -> str:
        """``spot/btc``, as in status and watch lists."""
        return series_key(self.kind, self.asset)


FEEDS: dict[Series, str] = {
    Series("spot", "btc"): "0x00039d9e45394f473ab1f050a1b963e6b05351e52d71e507509ada0c95ed75b8",
    Series("spot", "eth"): "0x000362205e10b3a147d02792eccee483dca6c7b44ecce7012cb8c6e0b68b3ae9",
    Series("spot", "sol"): "0x0003b778d3f6b2ac4991302b89cb313f99a42467d6c9c5f96f57c29c0d2bc24f",
    Series("spot", "xrp"): "0x0003c16c6aed42294f5cb4741f6e59ba2d728f0eae2eb9e6d3f555808c59fc45",
    Series("twap60", "btc"): "0x0002ee6757e8822c00d273bc340fc24c9cafe123a4ff2ea1dbdb31944bc7d95f",
    Series("twap30", "btc"): "0x0002e6b03af5a87b65f4c5c0c8eaf6027e4156f467cd16bdcf8a5b4347f9c087",
}
"""Published ids of mainnet; those of the other TWAP streams are not."""


@dataclass(frozen=True, slots=True)
class Listening:
    """One connection's protocol: nothing to say, one report a message."""

    series_of: Mapping[str, Series]
    """By feed id in lower case."""

    def opening(self) -> list[str]:
        """Nothing: the address said it all."""
        return []

    def hear(self, frame: str | bytes, recv_ns: int) -> tuple[list[Item], list[str]]:
        """The tick of one message; raises FrameRefused, also for a feed nobody asked for."""
        report = parse_frame(frame, recv_ns)
        if isinstance(report, Control):
            return [report], []
        series = self.series_of.get(report.feed_id)
        if series is None:
            raise FrameRefused("unknown-feed", report.feed_id)
        return [tick_of(report, series.kind, series.asset)], []


def plan(config: Config, paths: Paths, clock: Clock) -> Route | Disabled:
    """The route of this configuration; raises ConfigError when credentials or feeds cannot be used."""
    feeds, missing = carried(config)
    file = paths.credentials_file(ROUTE)
    credentials = credentials_from(file)
    if credentials is None:
        return Disabled(
            f"no credentials: put {' and '.join(NAMES)} of a Chainlink Data Streams account into {file}, a "
            "JSON object of mode 0600; there is no free tier, each feed costs from $150 a month"
        )
    notes = tuple(
        f"no feed id is known for {series.asset}/{series.kind}: add it to chainlink.feeds"
        for series in missing
    )
    if not feeds:
        return Disabled("; ".join(("nothing that was chosen has a feed here", *notes)))
    rest = signed_source(config.chainlink.rest_url, credentials, clock)
    ids = {series.key: (series, feed_id) for series, feed_id in feeds.items()}

    async def refine() -> tuple[Line, ...]:
        # The stream's host knows its origins; it is asked over HTTP.
        host = signed_source("http" + config.chainlink.ws_url.removeprefix("ws"), credentials, clock)
        try:
            origins = await find_origins(host)
        finally:
            host.close()
        return lines(config, credentials, clock, origins)

    async def back_fill(key: str, from_ns: int, to_ns: int) -> list[Tick]:
        if key not in ids:
            raise FeedError(f"no feed id is known for {key}: it cannot be asked for")
        series, feed_id = ids[key]
        reports = await reports_between(rest, clock, feed_id, from_ns, to_ns)
        return [tick_of(report, series.kind, series.asset, backfill=True) for report in reports]

    return Route(
        name=ROUTE,
        lines=lines(config, credentials, clock, ()),
        series=tuple(ids),
        back_fill=back_fill,
        refine=refine,
        notes=notes,
    )


def lines(
    config: Config, credentials: Mapping[str, Secret], clock: Clock, origins: tuple[str, ...]
) -> tuple[Line, ...]:
    """One connection an origin, or a single one to whichever answers when no origin is known."""
    feeds, _ = carried(config)
    # The comma is sent, and so signed, as %2C: as the venue's own client does.
    query = urlencode({"feedIDs": ",".join(feeds.values())})
    url = f"{config.chainlink.ws_url.rstrip('/')}{STREAM_PATH}?{query}"
    path = f"{urlsplit(url).path}?{query}"
    series_of = {feed_id: series for series, feed_id in feeds.items()}

    def line(origin: str) -> Line:
        chosen = {ORIGIN_HEADER: origin} if origin else {}
        return Line(
            name=origin or ROUTE,
            url=url,
            converse=lambda: Listening(series_of),
            watched=tuple(series.key for series in feeds if series.kind in config.oracles.watched),
            headers=lambda: {**auth_headers(credentials, clock, "GET", path), **chosen},
            max_bytes=MAX_FRAME_BYTES,
            backoff=lambda: Backoff(first_s=1.0, cap_s=10.0),
            on_refusal=least_wait_s,
        )

    return tuple(map(line, origins or ("",)))


def least_wait_s(code: int) -> float:
    """The least wait in seconds after an HTTP status; raises FeedRefused where waiting cannot help."""
    match code:
        case 401 | 403:
            raise FeedRefused(
                f"Chainlink refuses us (HTTP {code}): {' or '.join(NAMES)} in {ROUTE}.json is wrong, or our "
                f"clock is off by more than {TOLERANCE_S} s, or a feed is not in the subscription; correct "
                "the credentials, set the clock, or ask for less in markets.assets and oracles.kinds"
            )
        case 404:
            raise FeedRefused("Chainlink knows no such feed id (HTTP 404); correct chainlink.feeds")
        case 429:
            return BUSY_WAIT_S
        case _:
            return 0.0


def carried(config: Config) -> tuple[dict[Series, str], list[Series]]:
    """The feeds of our kinds and assets, and the watched series that have none.

    Raises ConfigError for a feed id that contradicts its kind, another entry or the built-in ones.
    """
    feeds = FEEDS | _configured(config.chainlink.feeds)
    kinds = [kind for kind in SCHEMAS if kind in config.oracles.kinds]
    chosen = [Series(kind, asset) for kind in kinds for asset in dict.fromkeys(config.markets.assets)]
    missing = [series for series in chosen if series not in feeds and series.kind in config.oracles.watched]
    return {series: feeds[series] for series in chosen if series in feeds}, missing


def _configured(entries: tuple[str, ...]) -> dict[Series, str]:
    """The entries ``eth/twap60=0x...``, judged together with the built-in feeds they extend or replace."""
    added: dict[Series, str] = {}
    problems = []
    for entry in entries:
        name, _, feed_id = entry.lower().partition("=")
        asset, _, word = name.partition("/")
        kind = next((known for known in SCHEMAS if known == word), None)
        if kind is None or asset not in ASSETS:
            problems.append(f"chainlink.feeds: {name} is no series; the assets are {', '.join(ASSETS)}")
            continue
        if schema_of(feed_id) != SCHEMAS[kind]:
            problems.append(
                f"chainlink.feeds: {name} needs a feed id of schema v{SCHEMAS[kind]}, which begins with "
                f"0x{SCHEMAS[kind]:04x}; it is {feed_id}"
            )
        if Series(kind, asset) in added:
            problems.append(f"chainlink.feeds: {name} is named twice; keep one")
        added[Series(kind, asset)] = feed_id
    owners: dict[str, Series] = {}
    for series, feed_id in (FEEDS | added).items():
        other = owners.setdefault(feed_id, series)
        if other != series:
            problems.append(
                f"chainlink.feeds: {series.asset}/{series.kind} and {other.asset}/{other.kind} have the same "
                f"feed id {feed_id}; one of them is wrong"
            )
    if problems:
        raise ConfigError(problems)
    return added
