"""From the bus to the outbox: cards, alarms, postures and digests, as the pure rules of the core word them.

Owns no rule and no connection to Telegram. Nothing of the bot waits for it.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from common.core.moment import Moment
from common.core.remote import alarms as alarm_rules
from common.core.remote import cards as card_rules
from common.core.remote import digest as digest_rules
from common.core.remote.alarms import Alarms, Say
from common.core.remote.cards import Cards
from common.core.remote.digest import DAY_NS, HOUR_NS, Span, Tally
from common.core.remote.letters import Lane, Letter
from common.core.remote.traces import Traces
from common.core.remote.wording import dollars, utc_date, window_span
from common.errors import BusError, DependencyMissing
from common.messages import Alert, Fill, Status, StatusReport, WindowView
from common.runtime.calls import call
from common.runtime.endpoints import ROLES
from common.runtime.log import Burst
from common.runtime.shell import Process
from common.store.outbox import Outbox
from common.units import SECOND

SOURCES = tuple(role for role in ROLES if role not in ("telegram", "venue"))
TICK_S = 1.0
OLD_NS = 3600 * SECOND
"""Windows that ended longer before the start are told only where their message exists."""
START_GAP_NS = 600 * SECOND
BUS_STALE_NS = 10 * SECOND


async def tell(process: Process, outbox: Outbox, chats: Sequence[int], traces: Traces | None = None) -> None:
    """Tell these chats what the bus says until the process stops; ``traces`` is filled for the pictures."""
    telling = Telling(process, outbox, tuple(chats), Traces() if traces is None else traces)
    async with asyncio.TaskGroup() as tasks:
        work = [
            tasks.create_task(telling.hear(), name="hear"),
            tasks.create_task(telling.tick_each_second(), name="tick"),
            tasks.create_task(telling.ask_sentinel(), name="open alarms"),
        ]
        await process.stopping.wait()
        for task in work:
            task.cancel()


@dataclass(frozen=True, slots=True)
class _Mark:
    """Counters as they stood when a span began."""

    gaps: int = 0
    lost: int = 0
    raised: int = 0
    short_holds: int = 0


@dataclass(slots=True)
class _Period:
    """One kind of digest."""

    name: str
    length_ns: int
    offset_ns: int
    """At which instant within its length it ends."""
    next_ns: int = 0
    mark: _Mark = field(default_factory=_Mark)
    tally: Tally = field(default_factory=Tally)


class Telling:
    """Everything heard so far, as far as it is told."""

    def __init__(self, process: Process, outbox: Outbox, chats: tuple[int, ...], traces: Traces) -> None:
        self._process = process
        self._outbox = outbox
        self._chats = chats
        self._traces = traces
        self._subscriber = process.subscribe(*SOURCES)
        self._heard = process.watch("bus", BUS_STALE_NS)
        self._cards = Cards()
        self._changed: set[str] = set()
        self._shown: dict[str, str] = {}
        """What each window's card said when it was last put."""
        self._alarms = Alarms()
        self._started_ns = process.clock.wall_ns()
        self._introduced = False
        self._full = Burst(60 * SECOND)
        hour_ns = process.config.telegram.digest_hour_utc * HOUR_NS
        self._periods = (_Period("hour", HOUR_NS, 0), _Period("day", DAY_NS, hour_ns))
        for period in self._periods:
            period.next_ns = _next_end(period, self._started_ns)

    async def hear(self) -> None:
        """Take in what is published."""
        while True:
            envelopes = await self._subscriber.receive()
            self._heard.touch()
            for envelope in envelopes:
                self.take(envelope.body)

    async def tick_each_second(self) -> None:
        """Put what only time or a pause in the news makes due."""
        while True:
            await asyncio.sleep(TICK_S)
            self.tick()

    async def ask_sentinel(self) -> None:
        """What was alarmed before this start is not on the bus any more, but is open still."""
        process = self._process
        while True:
            try:
                report = await call(
                    process.ctx, process.run_dir, "sentinel", process.role, Status(), clock=process.clock
                )
            except BusError:
                await asyncio.sleep(5)
                continue
            for alert in open_alarms(report) if isinstance(report, StatusReport) else ():
                self.take(alert)
            return

    def take(self, body: object) -> None:
        """Take one message."""
        now = self._now()
        window = card_rules.take(self._cards, body)
        if window is not None:
            self._changed.add(window)
        for period in self._periods:
            digest_rules.take(period.tally, body, now.mono_ns)
        if isinstance(body, WindowView):
            self._traces.see(body, now.wall_ns)
        elif isinstance(body, Fill):
            self._traces.note(body)
        self._say(alarm_rules.take(self._alarms, body, now))

    def tick(self) -> None:
        """Put what has become due."""
        now = self._now()
        self._say(alarm_rules.tick(self._alarms, now))
        self._put_cards()
        self._introduce(now)
        for period in self._periods:
            if now.wall_ns >= period.next_ns:
                self._digest(period)
        self._process.set_count("alarms_open", len(self._alarms.open))

    def _say(self, said: Sequence[Say]) -> None:
        for each in said:
            self._put(each.lane, each.text, silent=not each.sound)

    def _put_cards(self) -> None:
        for window in sorted(self._changed):
            card = self._cards.windows.get(window)
            if card is None:
                continue
            key = card_rules.key_of(window)
            if window not in self._shown and not card.fills:
                written = (self._outbox.newest_text(chat, key) for chat in self._chats)
                card.told = card_rules.trade_lines_of(next((text for text in written if text), ""))
            text = card_rules.text_of(card)
            if self._shown.get(window) == text:
                continue
            old = self._is_old(window)
            chats = [chat for chat in self._chats if not old or self._outbox.is_shown(chat, key)]
            if self._put("trade", text, key=key, chats=chats):
                self._shown[window] = text
        self._changed.clear()
        while len(self._shown) > card_rules.MAX_CARDS:
            del self._shown[next(iter(self._shown))]

    def _is_old(self, window: str) -> bool:
        span = window_span(window)
        return span is not None and span[1] < self._started_ns - OLD_NS

    def _introduce(self, now: Moment) -> None:
        """Once after the start: how things are."""
        tally = self._periods[0].tally
        account, posture = tally.account, tally.posture
        if self._introduced or account is None or posture is None:
            return
        self._introduced = True
        held = sum(bool(each.size6) for each in tally.positions.values() if not each.settled)
        text = (
            f"laggard tells from now on: {account.mode}, {posture.posture}, cash "
            f"{dollars(account.cash_usd6)}, {held} open positions. /help lists what you can ask."
        )
        # Of several starts in a row one is told.
        self._put("info", text, key=f"start:{now.wall_ns // START_GAP_NS}")

    def _digest(self, period: _Period) -> None:
        end_ns = period.next_ns
        mark = self._mark()
        before = period.mark
        span = Span(
            from_ns=end_ns - period.length_ns,
            to_ns=end_ns,
            gaps=mark.gaps - before.gaps,
            lost=mark.lost - before.lost,
            raised=mark.raised - before.raised,
            open_alarms=tuple(sorted(self._alarms.open)),
            short_holds=mark.short_holds - before.short_holds,
        )
        text = digest_rules.text_of(period.tally, span)
        if not self._put("digest", text, key=f"digest:{period.name}:{utc_date(end_ns)}:{end_ns // HOUR_NS}"):
            return
        digest_rules.new_span(period.tally)
        digest_rules.forget(period.tally, end_ns)
        period.mark, period.next_ns = mark, _next_end(period, max(end_ns, self._process.clock.wall_ns()))

    def _mark(self) -> _Mark:
        counts = self._subscriber.counts()
        return _Mark(
            gaps=sum(each.gaps for each in counts),
            lost=sum(each.missed for each in counts),
            raised=self._alarms.raised,
            short_holds=self._alarms.short_holds,
        )

    def _put(
        self,
        lane: Lane,
        text: str,
        *,
        key: str = "",
        silent: bool = True,
        chats: Sequence[int] | None = None,
    ) -> bool:
        """Put one letter for each chat; whether it could be kept."""
        try:
            for chat_id in self._chats if chats is None else chats:
                self._outbox.put(Letter(lane=lane, chat_id=chat_id, text=text, key=key, silent=silent))
        except DependencyMissing as error:
            times = self._full.note("put", self._process.clock.mono_ns())
            if times is not None:
                self._process.log.error("letter_not_kept", problem=str(error), times=times)
            return False
        return True

    def _now(self) -> Moment:
        return Moment(self._process.clock.wall_ns(), self._process.clock.mono_ns())


def open_alarms(report: StatusReport) -> list[Alert]:
    """The alerts a status still shows: ``alert.<code>`` is ``<time> <level> <text>``."""
    found = []
    for name, fact in report.facts.items():
        code = name.removeprefix("alert.")
        _time, _, rest = fact.partition(" ")
        level, _, text = rest.partition(" ")
        if name != code and level in ("warning", "critical"):
            found.append(Alert(level="critical" if level == "critical" else "warning", code=code, text=text))
    return found


def _next_end(period: _Period, wall_ns: int) -> int:
    """The first end of such a span after an instant."""
    passed = (wall_ns - period.offset_ns) // period.length_ns
    return (passed + 1) * period.length_ns + period.offset_ns
