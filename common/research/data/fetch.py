"""Resolved windows, their outcomes and price history from the venue's public services.

Owns the pace and the notes of what was fetched, so that an interruption costs one window. Only reads, with no
key; history is sampled by the venue and can never be filled at.
"""

import asyncio
import json
import os
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import polars as pl

from common.errors import DependencyMissing, FeedError
from common.feeds.http import HttpSource
from common.feeds.market.gamma import markets_in
from common.research.data import imported
from common.research.data.dataset import HISTORY, dataset
from common.research.data.imported import Manifest
from common.research.data.market_rows import market_table
from common.research.data.recorded.window_files import gamma_row
from common.runtime.clock import Clock, SystemClock
from common.units import SECOND

NOTES = "fetched"
WINDOW_S = 900
SAMPLE_MINUTES = 1
TRIES = 8
BACK_OFF_S = 1.0
MAX_BACK_OFF_S = 60.0
"""Two minutes in all: longer than the venue asks anybody to wait after too many requests."""
SOURCE = "Polymarket's public services: Gamma events, CLOB prices-history"
LICENCE = "the venue's terms apply to passing it on"


class Wanted(NamedTuple):
    """Which windows: those of these assets that open in ``[start_ns, end_ns)``."""

    assets: tuple[str, ...]
    start_ns: int
    end_ns: int


class Fetched(NamedTuple):
    """What a run of the fetcher did."""

    manifest: Manifest
    windows: int
    fetched: int
    """Windows asked for in this run; the others had been fetched before."""
    absent: int
    unresolved: int


class Note(msgspec.Struct, frozen=True):
    """One window as the venue told it; a line in a file per asset and day."""

    window: str
    row: dict[str, Any] | None
    """The row of the market table; None: the venue does not know the window."""
    samples: list[tuple[int, int]]
    """Unix second and price of the Up token, 1e-4 dollars."""


def fetch_windows(
    wanted: Wanted,
    out: Path,
    gamma_url: str,
    clob_url: str,
    *,
    rate: float = 5.0,
    clock: Clock | None = None,
    on_window: Callable[[int, int], None] = lambda *_: None,
    on_retry: Callable[[str], None] = lambda _: None,
) -> Fetched:
    """Fetch what is not there yet, at most ``rate`` requests a second to each service, and write the data.

    A window without an outcome is asked for again next time. ``on_retry`` is told, in a sentence, what failed
    and when it is tried again. Raises DependencyMissing when a service does not
    answer after several tries: what was fetched stays.
    """
    slugs = list(windows_in(wanted))
    known = {note.window: note for note in _notes(out)}
    missing = [slug for slug in slugs if slug not in known or not _is_final(known[slug])]
    on_window(len(slugs) - len(missing), len(slugs))

    def keep(note: Note) -> None:
        known[note.window] = note
        _append(out, note)
        on_window(sum(slug in known for slug in slugs), len(slugs))

    services = _Services(gamma_url, clob_url, rate, clock or SystemClock(), on_retry)
    try:
        asyncio.run(_fetch_all(services, missing, keep))
    finally:
        services.close()
    notes = [known[slug] for slug in slugs if slug in known]
    return Fetched(
        _write(out, notes),
        len(slugs),
        len(missing),
        sum(note.row is None for note in notes),
        sum(note.row is not None and note.row["outcome"] is None for note in notes),
    )


def windows_in(wanted: Wanted) -> Iterator[str]:
    """The names of the windows that open in the span, by asset and time."""
    first = -(-wanted.start_ns // (WINDOW_S * SECOND))
    for asset in wanted.assets:
        for index in range(first, -(-wanted.end_ns // (WINDOW_S * SECOND))):
            yield f"{asset}-updown-15m-{index * WINDOW_S}"


def _is_final(note: Note) -> bool:
    return note.row is not None and note.row["outcome"] is not None


class _Services:
    """Both services at a pace, with patience for what passes by itself."""

    def __init__(
        self, gamma_url: str, clob_url: str, rate: float, clock: Clock, on_retry: Callable[[str], None]
    ) -> None:
        self._sources = {"gamma": HttpSource(gamma_url, clock), "clob": HttpSource(clob_url, clock)}
        self._between_s = 1 / rate
        self._on_retry = on_retry
        self._next_s = dict.fromkeys(self._sources, 0.0)

    async def get(self, service: str, path: str, params: dict[str, str]) -> object:
        """One answer; raises DependencyMissing when it does not come after several tries."""
        source, wait_s = self._sources[service], BACK_OFF_S
        for attempt in range(TRIES):
            await self._pace(service)
            try:
                return await source.get(path, params)
            except FeedError as error:
                if attempt + 1 == TRIES:
                    raise DependencyMissing(
                        f"{error}; {TRIES} tries. What was fetched stays: give the same command again"
                    ) from error
                self._on_retry(f"{error}; try {attempt + 2} of {TRIES} in {wait_s:g} s")
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, MAX_BACK_OFF_S)
        raise AssertionError

    async def _pace(self, service: str) -> None:
        now_s = time.monotonic()
        turn_s = max(now_s, self._next_s[service])
        self._next_s[service] = turn_s + self._between_s
        await asyncio.sleep(turn_s - now_s)

    def close(self) -> None:
        """Let go of the connections."""
        for source in self._sources.values():
            source.close()


async def _fetch_all(services: _Services, slugs: list[str], keep: Callable[[Note], None]) -> None:
    for slug in slugs:
        keep(await _fetch(services, slug))


async def _fetch(services: _Services, slug: str) -> Note:
    event = await services.get("gamma", f"/events/slug/{slug}", {})
    if event is None:
        return Note(slug, None, [])
    found = [(market, owner) for market, owner in markets_in(event) if market.get("slug") == slug]
    if not found:
        return Note(slug, None, [])
    market, owner = found[0]
    row = gamma_row(market)
    if row is None:
        return Note(slug, None, [])
    metadata = (owner or {}).get("eventMetadata")
    told = metadata if isinstance(metadata, dict) else {}
    row |= {"strike_e8": _e8(told.get("priceToBeat")), "close_e8": _e8(told.get("finalPrice"))}
    row = {"strike_e8": None, "close_e8": None, "outcome": None, "outcome_source": None, **row}
    if row["outcome"] is None:
        return Note(slug, row, [])
    answer = await services.get(
        "clob",
        "/prices-history",
        {
            "market": str(row["token_up"]),
            "startTs": str(row["start_ns"] // SECOND),
            "endTs": str(row["end_ns"] // SECOND),
            "fidelity": str(SAMPLE_MINUTES),
        },
    )
    return Note(slug, row, list(_samples(answer)))


def _e8(value: object) -> int | None:
    """Dollars as Gamma writes them, a JSON number, to the nearest 1e-8."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or value <= 0:
        return None
    return int((Decimal(value) * 10**8).to_integral_value())


def _samples(answer: object) -> Iterator[tuple[int, int]]:
    points = answer.get("history") if isinstance(answer, dict) else None
    for point in points if isinstance(points, list) else ():
        second, price = point.get("t"), point.get("p")
        if isinstance(second, int) and isinstance(price, int | Decimal) and 0 <= price <= 1:
            yield second, int((Decimal(price) * 10_000).to_integral_value())


def _notes(out: Path) -> Iterator[Note]:
    """What was fetched before; a line cut by a crash is fetched again."""
    for path in sorted((out / NOTES).glob("*.jsonl")):
        for line in path.read_bytes().split(b"\n"):
            try:
                yield msgspec.json.decode(line, type=Note)
            except msgspec.MsgspecError:
                continue


def _append(out: Path, note: Note) -> None:
    asset, _, start_s = note.window.partition("-updown-15m-")
    day = time.strftime("%Y-%m-%d", time.gmtime(int(start_s)))
    path = out / NOTES / f"{asset}-{day}.jsonl"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A line begins with a newline, so that what a crash left half written never joins with it.
        content = b"\n" + json.dumps(msgspec.to_builtins(note)).encode()
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, content)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise DependencyMissing(f"{path} cannot be written ({error.strerror}); free some space") from error


def _write(out: Path, notes: list[Note]) -> Manifest:
    samples = [
        (note.window, "up", second * SECOND, price, SAMPLE_MINUTES * 60 * SECOND)
        for note in notes
        for second, price in note.samples
    ]
    found = dataset(
        out.name,
        markets=market_table(note.row for note in notes),
        history=pl.DataFrame(samples, schema=dict(HISTORY), orient="row"),
    )
    return imported.write(found, out, source=SOURCE, licence=LICENCE)
