"""What Chainlink Data Streams answer over HTTP: which origins there are, and the reports of the past.

Every request is signed, and every answer's Date is held against our clock: a signature of another time is
refused with a status that does not say so.
"""

import asyncio
import re
from collections.abc import Mapping

from common.errors import FeedError, FrameRefused
from common.feeds.http import HttpSource
from common.feeds.oracle.chainlink_auth import auth_headers, check_clock
from common.feeds.oracle.chainlink_report import Report, read_report
from common.runtime.clock import Clock
from common.runtime.credentials import Secret
from common.units import SECOND, ceil_div

PAGE_PATH = "/api/v1/reports/page"
ORIGINS_HEADER = "X-Cll-Available-Origins"
MAX_ORIGINS = 8
MAX_PAGES = 200
"""Half an hour of one series, should a page hold ten reports; how many it holds is not documented."""
PAUSE_S = 0.1
"""Ten requests a second are allowed."""
_ORIGIN = re.compile(r"[A-Za-z0-9._-]{1,64}")


def signed_source(base_url: str, credentials: Mapping[str, Secret], clock: Clock) -> HttpSource:
    """Who is asked, with every request signed and every answer's date checked; close it after use."""
    return HttpSource(
        base_url,
        clock,
        sign=lambda method, path: auth_headers(credentials, clock, method, path),
        accept=(200, 206),
        on_headers=lambda headers: check_clock(headers, clock),
    )


async def find_origins(source: HttpSource) -> tuple[str, ...]:
    """The independent origins behind the stream's host, each to be named in ``X-Cll-Origin``.

    Empty where the host names none; raises FeedError when it cannot be asked or names what is no name.
    """
    named = (await source.head("/")).get(ORIGINS_HEADER, "").strip().removeprefix("{").removesuffix("}")
    origins = tuple(dict.fromkeys(filter(None, map(str.strip, named.split(",")))))
    # The names become headers of ours, and each costs a connection.
    if len(origins) > MAX_ORIGINS or not all(map(_ORIGIN.fullmatch, origins)):
        raise FeedError(f"{source.host} names no usable origins: {named[:60]!r}")
    return origins


async def reports_between(
    source: HttpSource, clock: Clock, feed_id: str, from_ns: int, to_ns: int
) -> list[Report]:
    """The reports of a feed observed from one instant to another, both included (ns), oldest first.

    Reports that must be refused are left out. Raises FeedError when there is no list of reports; ends without
    the newest ones after MAX_PAGES.
    """
    found: dict[int, Report] = {}
    start_s, end_s = ceil_div(from_ns, SECOND), to_ns // SECOND
    for page in range(MAX_PAGES):
        if start_s > end_s:
            break
        if page:
            await asyncio.sleep(PAUSE_S)
        asked = {"feedID": feed_id, "startTimestamp": str(start_s)}
        reports, newest_s = _page(await source.get(PAGE_PATH, asked), source.host, feed_id, clock.wall_ns())
        found |= {report.observed_ns: report for report in reports if from_ns <= report.observed_ns <= to_ns}
        if newest_s < start_s:
            break
        start_s = newest_s + 1
    return [found[observed_ns] for observed_ns in sorted(found)]


def _page(answer: object, host: str, feed_id: str, recv_ns: int) -> tuple[list[Report], int]:
    """The usable reports of a page, and the newest second it speaks of (0 when it is empty)."""
    if answer is None:
        raise FeedError(f"{host} knows no feed {feed_id}; correct chainlink.feeds")
    envelopes = answer.get("reports") if isinstance(answer, dict) else None
    if not isinstance(envelopes, list):
        raise FeedError(f"{host} sent no list of reports for {feed_id}")
    reports, newest_s = [], 0
    for envelope in envelopes:
        try:
            report = read_report(envelope, recv_ns)
        except FrameRefused:
            # It may be the last one of its page: the next page begins after what it says of itself.
            newest_s = max(newest_s, _stated_s(envelope, recv_ns))
            continue
        newest_s = max(newest_s, report.observed_ns // SECOND)
        if report.feed_id == feed_id:
            reports.append(report)
    return reports, newest_s


def _stated_s(envelope: object, recv_ns: int) -> int:
    stated = envelope.get("observationsTimestamp") if isinstance(envelope, dict) else None
    return stated if isinstance(stated, int) and 0 < stated * SECOND <= recv_ns else 0
