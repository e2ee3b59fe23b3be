"""Refused API credentials: orders wait, others are made and used, those of a file are left alone."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from common.errors import DependencyMissing, FeedRefused
from common.messages import PostureState
from common.runtime.clock import ManualClock
from common.runtime.credentials import Secret
from common.sim.market import auth_rest
from common.sim.market.auth_rest import Proof, made_up_key
from common.units import SECOND
from common.venue.signing.order_signature import Signer
from executor_stage import until
from live_stage import KEY, LiveStage, live_stage, stop_forking, until_accepted
from procs import api_access
from procs.api_access import ApiAccess

SIGNER = Signer(Secret(KEY)).address


@dataclass
class Client:
    """A client whose venue refuses all credentials but the good ones."""

    access: ApiAccess
    good: int = 0
    """Number of the credentials the venue takes."""
    used: int = 0
    away: str = ""
    refuses_key: str = ""
    renewals: int = 0
    asked: int = 0

    async def closed_only(self) -> bool:
        self.asked += 1
        if self.away:
            raise DependencyMissing(self.away)
        if self.used != self.good:
            self.access.refused.set()
            raise DependencyMissing("HTTP 401")
        return False

    async def renew(self) -> None:
        self.renewals += 1
        if self.refuses_key:
            raise FeedRefused(self.refuses_key)
        self.used += 1


@dataclass
class Watched:
    access: ApiAccess
    client: Client
    clock: ManualClock
    holds: list[str] = field(default_factory=list)
    uses: list[int] = field(default_factory=list)

    async def held(self, text: str) -> None:
        await until(lambda: self.holds and text in self.holds[-1])

    async def lifted(self) -> None:
        await until(lambda: self.holds and not self.holds[-1])


@asynccontextmanager
async def watching(monkeypatch: pytest.MonkeyPatch, file: Path | None = None) -> AsyncIterator[Watched]:
    monkeypatch.setattr(api_access, "ASK_AGAIN_S", 0.01)
    clock = ManualClock(mono=1000 * SECOND)
    access = ApiAccess(clock, file)
    one = Watched(access, Client(access), clock)
    running = asyncio.ensure_future(
        access.watch(cast("Any", one.client), one.holds.append, lambda: one.uses.append(one.client.used))
    )
    try:
        yield one
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_others_are_made_and_used_before_orders_begin_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with watching(monkeypatch) as one:
        one.client.good = 1
        one.access.refused.set()
        await one.lifted()
        assert one.holds == ["the venue refuses our API credentials", ""]
        assert (one.uses, one.client.renewals) == ([1], 1)
        assert one.access.renewed.is_set()
        assert not one.access.refused.is_set()


async def test_a_false_alarm_renews_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with watching(monkeypatch) as one:
        one.access.refused.set()
        await one.lifted()
        assert (one.uses, one.client.renewals, one.access.renewed.is_set()) == ([], 0, False)


async def test_others_are_asked_for_once_a_minute_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    async with watching(monkeypatch) as one:
        one.client.good = 3
        one.access.refused.set()
        await one.held("once a minute")
        asked = one.client.asked
        await until(lambda: one.client.asked > asked + 5)
        assert one.client.renewals == 1
        one.clock.advance(59 * SECOND)
        asked = one.client.asked
        await until(lambda: one.client.asked > asked + 5)
        assert one.client.renewals == 1
        one.clock.advance(1 * SECOND)
        await until(lambda: one.client.renewals == 2)
        await one.held("once a minute")
        one.clock.advance(60 * SECOND)
        await one.lifted()
        assert one.uses == [1, 2, 3]


async def test_a_venue_that_gives_none_is_quoted_and_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with watching(monkeypatch) as one:
        one.client.good, one.client.refuses_key = 1, "Invalid L1 Request headers"
        one.access.refused.set()
        await until(lambda: any("gives no others: Invalid L1" in text for text in one.holds))
        assert one.uses == []
        one.client.refuses_key = ""
        one.clock.advance(60 * SECOND)
        await one.lifted()
        assert one.uses == [1]


async def test_an_outage_is_no_refusal_but_holds_until_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    async with watching(monkeypatch) as one:
        one.client.away = "HTTP 500"
        one.access.refused.set()
        await one.held("HTTP 500")
        one.client.away = ""
        await one.lifted()
        assert one.client.renewals == 0


async def test_those_of_a_file_are_never_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    async with watching(monkeypatch, Path("/somewhere/clob.json")) as one:
        one.client.good = 1
        one.access.refused.set()
        await one.held("/somewhere/clob.json")
        one.clock.advance(600 * SECOND)
        asked = one.client.asked
        await until(lambda: one.client.asked > asked + 5)
        assert one.client.renewals == 0
        for text in ("check this host's clock", "correct the file", "delete it", "start again"):
            assert text in one.holds[-1]
        one.client.good = 0
        await one.lifted()


def of_another_seed(proof: Proof) -> tuple[str, str, str]:
    return made_up_key(Proof(proof.address, proof.nonce + 1000))


async def ended(live: LiveStage, name: str) -> tuple[str, str]:
    report = await live.on.wait_report(
        lambda told: any(one.window == name and one.status != "working" for one in told.orders)
    )
    order = next(one for one in report.orders if one.window == name)
    return order.status, order.reason


def postures(live: LiveStage) -> list[PostureState]:
    return [each.body for each in live.on.heard if isinstance(each.body, PostureState)]


def heard_as(live: LiveStage) -> set[str]:
    """The credentials of those who listen to the user channel."""
    listeners = live.venue.trading.channel._listeners.values()
    return {one.session.api_key for one in listeners if one.session is not None}


QUICK = "import procs.api_access; procs.api_access.ASK_AGAIN_S = 0.1"


@pytest.mark.procs
@pytest.mark.live
def test_an_executor_whose_credentials_are_refused_trades_on_with_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def play() -> None:
        async with live_stage({"mined_after_ms": 50, "confirmed_after_ms": 100}) as live:
            live.start(before=QUICK)
            await live.on.wait_report(lambda told: told.posture.posture == "trading")
            live.open_window("w1")
            await until_accepted(live, "w1")
            assert (await ended(live, "w1"))[0] == "filled"
            (old,) = live.venue.api_keys
            assert heard_as(live) == {old}

            live.venue.api_keys.clear()
            monkeypatch.setattr(auth_rest, "made_up_key", of_another_seed)
            live.open_window("w2")
            await until_accepted(live, "w2")
            status, reason = await ended(live, "w2")
            assert (status, reason.partition(":")[0]) == ("killed", "credentials")
            await live.on.wait_report(lambda told: told.posture.posture == "trading")
            (new,) = live.venue.api_keys
            assert new != old
            await until(lambda: heard_as(live) == {new})

            live.open_window("w3")
            await until_accepted(live, "w3")
            assert (await ended(live, "w3"))[0] == "filled"
            told = postures(live)
            for why in ("the venue refuses our API credentials", "opened anew with other API credentials"):
                assert any(why in one.reason for one in told)
            assert {one.posture for one in told} == {"trading", "no-new-orders"}
            assert await live.on.stop() == 0

    _played(play)


@pytest.mark.procs
@pytest.mark.live
def test_an_executor_with_a_file_of_credentials_holds_until_the_file_is_good_again() -> None:
    async def play() -> None:
        async with live_stage() as live:
            key, secret, passphrase = made_up_key(Proof(SIGNER, 7))
            known = {key: (secret, passphrase)}
            live.venue.api_keys |= known
            live.venue.trading.exchange.accounts._key_owners[key] = SIGNER
            file = Path(live.on.environment["LAGGARD_PATHS__CREDENTIALS_DIR"]) / "clob.json"
            file.touch(mode=0o600)
            file.write_text(json.dumps({"api_key": key, "secret": secret, "passphrase": passphrase}))
            live.start(before=QUICK)
            await live.on.wait_report(lambda told: told.posture.posture == "trading")
            live.venue.api_keys.clear()
            live.open_window("w1")
            await until_accepted(live, "w1")
            assert (await ended(live, "w1"))[0] == "killed"
            held = await live.on.wait_report(lambda told: str(file) in told.posture.reason)
            assert "delete it so that new ones are made" in held.posture.reason
            assert held.posture.posture == "no-new-orders"
            assert live.venue.api_keys == {}
            live.venue.api_keys |= known
            await live.on.wait_report(lambda told: told.posture.posture == "trading")
            assert await live.on.stop() == 0

    _played(play)


def _played(play: Callable[[], Any]) -> None:
    try:
        asyncio.run(play())
    finally:
        stop_forking()
