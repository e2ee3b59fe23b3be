"""Fetching from the simulated venue over real sockets: outcomes, sampled prices, interruptions, refusals."""

import asyncio
from pathlib import Path

import pytest

from common.errors import DependencyMissing
from common.research.data import fetch
from common.research.data.fetch import Fetched, Wanted, fetch_windows, windows_in
from common.research.data.loading import load
from common.sim.script import BookSet, Listed, Resolved, StrikePublished
from common.units import E18, SECOND
from stage import DOWN, START_S, UP, Stage, eventually, spec, stage

WANTED = Wanted(("btc",), START_S * SECOND, (START_S + 2 * 900) * SECOND)
SECOND_WINDOW = START_S + 900


def play(held: Stage, *, resolve_second: bool = True) -> None:
    """Two windows: the first Up with a moving book, the second Down."""
    held.happen(Listed(spec()), at_ms=(START_S - 100) * 1000)
    for minute in range(15):
        cents = 40 + minute
        bids, asks = ((f"0.{cents}", "10"),), ((f"0.{cents + 2}", "10"),)
        at_ms = (START_S + 60 * minute + 7) * 1000
        held.happen(BookSet(UP, bids, asks), BookSet(DOWN, (("0.4", "1"),), (("0.5", "1"),)), at_ms=at_ms)
    second = spec(
        slug=f"btc-updown-15m-{SECOND_WINDOW}",
        condition_id="0x" + "cd" * 32,
        token_up="3333",
        token_down="4444",
        start_ns=SECOND_WINDOW * SECOND,
        end_ns=(SECOND_WINDOW + 900) * SECOND,
    )
    held.happen(Listed(second), at_ms=(START_S + 100) * 1000)
    held.happen(
        StrikePublished(spec().slug, 70_000 * E18),
        Resolved(spec().slug, "Up", 70_100 * E18),
        at_ms=(START_S + 960) * 1000,
    )
    if resolve_second:
        held.happen(Resolved(second.slug, "Down"), at_ms=(SECOND_WINDOW + 960) * 1000)


async def fetched(held: Stage, out: Path, wanted: Wanted = WANTED, rate: float = 1_000) -> Fetched:
    urls = f"{held.base}/gamma", f"{held.base}/clob"
    return await asyncio.to_thread(fetch_windows, wanted, out, *urls, rate=rate)


async def test_windows_outcomes_and_samples_become_data(tmp_path: Path) -> None:
    async with stage() as held:
        play(held)
        done = await fetched(held, tmp_path)
    assert (done.windows, done.fetched, done.absent, done.unresolved) == (2, 2, 0, 0)
    found = load(tmp_path)
    assert found.digest == done.manifest.digest
    first, second = found.markets.rows(named=True)
    assert (first["outcome"], first["outcome_source"]) == ("up", "official")
    assert (first["strike_e8"], first["close_e8"]) == (70_000 * 10**8, 70_100 * 10**8)
    assert (first["token_up"], first["fee_rate_ppm"], first["era"]) == (UP, 70_000, "fee-twap")
    assert second["outcome"] == "down"
    assert found.history.height == 15
    assert found.history["price4"].to_list() == [4_100 + 100 * minute for minute in range(15)]
    assert found.history["at_ns"][0] == (START_S + 7) * SECOND
    assert set(found.history["sampled_every_ns"]) == {60 * SECOND}
    assert found.books.height == found.ticks.height == 0


async def test_what_was_fetched_is_not_asked_for_again(tmp_path: Path) -> None:
    async with stage() as held:
        play(held, resolve_second=False)
        first = await fetched(held, tmp_path)
        assert (first.fetched, first.unresolved) == (2, 1)
        held.happen(Resolved(f"btc-updown-15m-{SECOND_WINDOW}", "Down"), at_ms=(SECOND_WINDOW + 960) * 1000)
        before = held.venue.state()["requests"]["gamma"]
        second = await fetched(held, tmp_path)
        assert held.venue.state()["requests"]["gamma"] == before + 1
    assert (second.fetched, second.unresolved) == (1, 0)
    assert load(tmp_path).markets["outcome"].to_list() == ["up", "down"]


async def test_an_interrupted_line_is_fetched_again(tmp_path: Path) -> None:
    async with stage() as held:
        play(held)
        whole = await fetched(held, tmp_path)
        (notes,) = (tmp_path / fetch.NOTES).glob("*.jsonl")
        notes.write_bytes(notes.read_bytes()[:-20])
        again = await fetched(held, tmp_path)
    assert again.fetched == 1
    assert again.manifest.digest == whole.manifest.digest


async def test_an_unknown_window_is_counted_and_no_data(tmp_path: Path) -> None:
    async with stage() as held:
        play(held)
        wanted = WANTED._replace(assets=("btc", "eth"), end_ns=(START_S + 900) * SECOND)
        done = await fetched(held, tmp_path, wanted)
    assert (done.windows, done.absent) == (2, 1)
    assert load(tmp_path).markets["asset"].to_list() == ["btc"]


async def test_trouble_that_passes_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "BACK_OFF_S", 0.05)
    async with stage() as held:
        play(held)
        await held.faults({"kind": "http", "family": "gamma", "status": 500})
        async with asyncio.TaskGroup() as tasks:
            fetching = tasks.create_task(fetched(held, tmp_path))
            await eventually(lambda: held.venue.state()["requests"].get("gamma", 0) >= 2)
            await held.faults()
        done = fetching.result()
    assert done.fetched == 2


async def test_trouble_that_stays_ends_with_what_to_do_and_keeps_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "BACK_OFF_S", 0.01)
    async with stage() as held:
        play(held)
        await fetched(held, tmp_path, WANTED._replace(end_ns=(START_S + 900) * SECOND))
        await held.faults({"kind": "http", "family": "gamma", "status": 500})
        with pytest.raises(DependencyMissing, match="give the same command again"):
            await fetched(held, tmp_path)
        await held.faults()
        done = await fetched(held, tmp_path)
    assert done.fetched == 1


async def test_the_pace_is_kept(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    async with stage() as held:
        play(held)
        began = loop.time()
        wanted = WANTED._replace(assets=("eth",), end_ns=(START_S + 6 * 900) * SECOND)
        done = await fetched(held, tmp_path, wanted, rate=20)
        spent = loop.time() - began
    assert done.absent == 6
    assert spent >= 5 / 20


def test_windows_begin_on_the_grid() -> None:
    wanted = Wanted(("btc",), START_S * SECOND + 1, (START_S + 900) * SECOND + 1)
    assert list(windows_in(wanted)) == [f"btc-updown-15m-{START_S + 900}"]
