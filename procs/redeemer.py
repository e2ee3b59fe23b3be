"""The redeemer process: the only sender on chain. Brings what was won back into the wallet, and says so.

Hears from the executor what is held, tells it what the chain has made of that. A claim may hang for minutes,
so it has a process of its own and delays nobody. Decides nothing itself.
"""

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from common.errors import CallRefused, ConfigError, DependencyMissing
from common.messages import (
    Accepted,
    Alert,
    Answer,
    Command,
    Envelope,
    Outcome,
    PlanRedemption,
    PositionState,
    ReadRedemptions,
    Redeem,
    RedemptionsReport,
    Request,
)
from common.runtime.shell import Process, run
from common.runtime.trading_key import close_doors
from common.units import SECOND
from procs.owner_account import open_owner, read_owner

if TYPE_CHECKING:
    from common.venue.redeeming.candidates import Due
    from common.venue.redeeming.desk import RedemptionDesk
    from common.venue.redeeming.hints import Hint

ROLE = "redeemer"
HINTS_EACH_NS = 300 * SECOND
LOOK_S = 0.5
"""Between looks while a try is under way."""
KEPT_NS = 3600 * SECOND
"""So long an ended redemption is said again each second; longer while the executor has not booked it."""
_IDLE = "nothing to redeem on paper"


@dataclass(slots=True)
class Redeemer:
    """What the process knows beside its desk."""

    process: Process
    desk: "RedemptionDesk"
    positions: dict[tuple[str, Outcome], PositionState] = field(default_factory=dict)
    hints: "dict[str, Hint]" = field(default_factory=dict)
    """By token, by the venue's word."""
    hints_ns: int = -HINTS_EACH_NS
    kick: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a turn is due before its time."""
    published: dict[str, object] = field(default_factory=dict)

    def hear(self, envelopes: list[Envelope]) -> None:
        """Remember what the executor holds."""
        for envelope in envelopes:
            if isinstance(envelope.body, PositionState):
                self.positions[envelope.body.window, envelope.body.outcome] = envelope.body

    def due(self) -> "tuple[Due, ...]":
        """Conditions of our own that ended and were not paid yet."""
        from common.venue.redeeming.candidates import due_of

        return due_of(self.positions.values(), self.hints.values(), self.process.clock.wall_ns())

    async def run(self) -> None:
        """Take turns until cancelled."""
        poll_s = self.process.config.redeem.poll_s
        while True:
            self.kick.clear()
            await self._read_hints()
            busy = await self.desk.turn(self.due())
            self._show()
            try:
                async with asyncio.timeout(min(LOOK_S, poll_s) if busy else poll_s):
                    await self.kick.wait()
            except TimeoutError:
                continue

    async def redeem(self, command: Command, _request: Request) -> Answer:
        """Take a person's wish; what becomes of it is published."""
        assert isinstance(command, Redeem)
        from common.venue.redeeming.candidates import named

        conditions = named(command.conditions, self.due(), self.hints.values())
        if command.all:
            await self._read_hints(now=True)
            conditions += tuple(each.condition_id for each in self.due())
            conditions += tuple(hint.condition_id for hint in self.hints.values())
        self.desk.ask(tuple(dict.fromkeys(conditions)), command.who, losers=command.losers)
        self.kick.set()
        return Accepted(text=f"{len(conditions)} conditions are looked at now")

    async def plan(self, command: Command, _request: Request) -> Answer:
        """Say what would be done."""
        assert isinstance(command, PlanRedemption)
        from common.venue.redeeming.candidates import named
        from common.venue.redeeming.planning import plan_redemption

        if not command.conditions:
            await self._read_hints(now=True)
        due, hints = self.due(), tuple(self.hints.values())
        try:
            return await plan_redemption(
                self.process.config,
                self.desk,
                due,
                named(command.conditions, due, hints),
                hints,
                route=self.desk.route.name,
                blocked=self.desk.problem,
                losers=command.losers,
            )
        except DependencyMissing as error:
            raise CallRefused("chain", str(error)) from None

    def read(self, command: Command, _request: Request) -> Answer:
        """Tell all redemptions."""
        assert isinstance(command, ReadRedemptions)
        from common.venue.redeeming.report import redemptions

        told = tuple(state for _, state in redemptions(self.desk, command.since_ns))
        return RedemptionsReport(redemptions=told, problem=self.desk.problem)

    async def _read_hints(self, *, now: bool = False) -> None:
        from common.venue.redeeming.hints import redeemable

        mono_ns = self.process.clock.mono_ns()
        if not now and mono_ns - self.hints_ns < HINTS_EACH_NS:
            return
        self.hints_ns = mono_ns
        try:
            found = await redeemable(self.process.config.venue.data_url, self.desk.wallet)
        except DependencyMissing as error:
            # Our own positions are known without it.
            self.process.log.info("no_hints", why=str(error))
            return
        self.hints = {hint.token: hint for hint in found}

    def _show(self) -> None:
        from common.venue.redeeming.report import redemptions, resolutions

        process, desk = self.process, self.desk
        since_ns = process.clock.wall_ns() - KEPT_NS
        told: dict[str, object] = {}
        due = {each.condition_id for each in self.due()}
        for topic, state in redemptions(desk, since_ns, due):
            # An instant that only says when this was looked at is no news.
            told[topic] = state
            known = self.published.get(topic)
            if known is None or _news(known) != _news(state):
                process.publisher.publish(topic, state, keep=True)
        for resolution in resolutions(desk):
            topic = f"resolution.{resolution.condition_id}"
            told[topic] = resolution
            if topic not in self.published:
                process.publisher.publish(topic, resolution, keep=True)
        for topic in self.published.keys() - told.keys():
            process.publisher.forget(topic)
        self.published = told
        attempt = desk.open_attempt
        process.facts["under way"] = f"{attempt.attempt_id}: {attempt.text}" if attempt is not None else "-"
        process.set_count("waiting", sum(topic.endswith(".waiting") for topic in told))
        process.set_state("degraded" if desk.problem else "ready", desk.problem)


def _news(state: object) -> object:
    return msgspec.structs.replace(state, at_ns=0) if isinstance(state, msgspec.Struct) else state


async def redeemer(process: Process) -> None:
    """Run until the process is told to stop; a try under way is pursued by the next process."""
    if process.config.mode != "live":
        process.set_state("disabled", _IDLE)
        await process.stopping.wait()
        return
    close_doors()

    def alert(told: Alert) -> None:
        process.log.warning(told.code, text=told.text)
        process.publisher.publish(f"alert.{told.code}", told)

    try:
        account = await asyncio.to_thread(read_owner, process.config, process.paths)
        desk = open_owner(process.config, process.paths, account, process.clock, alert)
    except ConfigError as error:
        # Trading goes on: what is won stays owed until somebody mends this.
        process.set_state("disabled", str(error))
        alert(Alert(level="warning", code="redeemer-disabled", text=str(error)))
        await process.stopping.wait()
        return
    try:
        redeeming = Redeemer(process, desk)
        process.log.info("redeeming", wallet=desk.wallet, route=desk.route.name, sender=desk.route.sender)
        process.responder.on(Redeem, redeeming.redeem)
        process.responder.on(ReadRedemptions, redeeming.read)
        process.responder.on(PlanRedemption, redeeming.plan)
        process.spawn(process.subscribe("executor").attend(redeeming.hear), name="bus")
        async with asyncio.TaskGroup() as work:
            turns = work.create_task(redeeming.run(), name="turns")
            await process.stopping.wait()
            turns.cancel()
    finally:
        # Only once nothing writes any more: a turn that met a closed journal would look like a broken one.
        desk.journal.close()


if __name__ == "__main__":
    run(ROLE, redeemer)
