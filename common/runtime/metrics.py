"""Figures of all processes for Prometheus, from what the bus says, served to this host alone.

Owns the names of the figures. Takes what it is given and never asks a process; a scrape never waits for one.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, get_args

from common.errors import DependencyMissing
from common.messages import (
    AccountState,
    Alert,
    Envelope,
    Heartbeat,
    Posture,
    PostureState,
    ProcessState,
)
from common.units import SECOND

if TYPE_CHECKING:
    from prometheus_client.core import GaugeMetricFamily, Metric

UP_NS = 3 * SECOND
"""A process unheard of for longer is down; the sentinel ends it then."""
MONEY = {
    "cash": "cash_usd6",
    "open_cost": "open_cost_usd6",
    "realized_profit": "realized_pnl_usd6",
    "day_profit": "day_pnl_usd6",
    "fees": "fees_usd6",
    "redeemable": "redeemable_usd6",
}
"""Figures in dollars and the millionths of the account they are made of."""


class Metrics:
    """The newest of every process, as a collector for prometheus_client."""

    def __init__(self, mono_ns: Callable[[], int], own: Callable[[], Heartbeat]) -> None:
        """Ages are of the monotonic clock that also stamps envelopes; ``own`` is of the serving process."""
        self._mono_ns = mono_ns
        self._own = own
        self._beats: dict[str, tuple[int, Heartbeat]] = {}
        self._account: AccountState | None = None
        self._posture: PostureState | None = None
        self._alerts: dict[tuple[str, str], int] = {}

    def take(self, envelope: Envelope) -> None:
        """Remember what a figure is made of; everything else is let pass."""
        match envelope.body:
            case Heartbeat() as beat:
                self._beats[beat.role] = (envelope.mono_ns, beat)
            case AccountState() as account:
                self._account = account
            case PostureState() as posture:
                self._posture = posture
            case Alert(level=level, code=code):
                self._alerts[level, code] = self._alerts.get((level, code), 0) + 1

    def collect(self) -> "Iterator[Metric]":
        """Every figure; called in the thread of a scrape, on copies."""
        yield from self._of_processes()
        yield from self._of_money()
        yield from self._of_alerts()

    def _of_processes(self) -> "Iterator[GaugeMetricFamily]":
        up = _gauge("up", "1 when the process was heard of within 3 s.", "process")
        silence = _gauge("heartbeat_age_seconds", "Since the last sign of life.", "process")
        state = _gauge("state", "1 for the state the process says it is in.", "process", "state")
        age = _gauge("input_age_seconds", "Since an input last brought data.", "process", "input")
        count = _gauge("count", "A counter or a level of the process's own.", "process", "name")
        now_ns = self._mono_ns()
        own = self._own()
        for role, (at_ns, beat) in sorted({**self._beats, own.role: (now_ns, own)}.items()):
            silent_ns = max(0, now_ns - at_ns)
            up.add_metric([role], float(silent_ns <= UP_NS))
            silence.add_metric([role], silent_ns / SECOND)
            for name in get_args(ProcessState):
                state.add_metric([role, name], float(name == beat.state))
            for name, age_ms in beat.ages_ms.items():
                age.add_metric([role, name], age_ms / 1000 + silent_ns / SECOND)
            for name, value in beat.counters.items():
                count.add_metric([role, name], value)
        yield from (up, silence, state, age, count)

    def _of_money(self) -> "Iterator[GaugeMetricFamily]":
        posture, account = self._posture, self._account
        if posture is not None:
            allowed = _gauge("posture", "1 for what the executor may do.", "posture")
            for name in get_args(Posture):
                allowed.add_metric([name], float(name == posture.posture))
            yield allowed
        if account is None:
            return
        for name, field in MONEY.items():
            dollars = _gauge(f"{name}_dollars", f"{name.replace('_', ' ').capitalize()} in dollars.", "mode")
            dollars.add_metric([account.mode], getattr(account, field) / 1_000_000)
            yield dollars
        for name, value in (
            ("orders", account.orders),
            ("fills", account.fills),
            ("duplicate_orders", account.duplicate_orders),
            ("unknown_orders", account.unknown_orders),
            ("loss_streak", account.loss_streak),
            ("ledger_difference_usd6", account.ledger_difference_usd6),
        ):
            figure = _gauge(name, f"{name.replace('_', ' ').capitalize()} of the account.", "mode")
            figure.add_metric([account.mode], value)
            yield figure

    def _of_alerts(self) -> "Iterator[Metric]":
        from prometheus_client.core import CounterMetricFamily

        told = CounterMetricFamily(
            "laggard_alerts", "Alerts since the recorder's start.", labels=["level", "code"]
        )
        for (level, code), times in sorted(self._alerts.copy().items()):
            told.add_metric([level, code], times)
        yield told


def _gauge(name: str, text: str, *labels: str) -> "GaugeMetricFamily":
    from prometheus_client.core import GaugeMetricFamily

    return GaugeMetricFamily(f"laggard_{name}", text, labels=list(labels))


def serve(metrics: Metrics, listen: str) -> Callable[[], None]:
    """Answer scrapes on ``host:port`` in a thread of its own until the returned function is called.

    Raises DependencyMissing when the port is taken or the library is not installed.
    """
    host, _, port = listen.rpartition(":")
    try:
        from prometheus_client import CollectorRegistry, start_http_server
    except ImportError:
        raise DependencyMissing(
            "metrics.listen needs laggard's extra `metrics`; run bin/setup, or leave it empty"
        ) from None
    registry = CollectorRegistry(auto_describe=False)
    registry.register(metrics)
    try:
        server, thread = start_http_server(int(port), addr=host.strip("[]"), registry=registry)
    except OSError as error:
        raise DependencyMissing(
            f"cannot serve metrics on {listen}: {error.strerror}; free it, or change metrics.listen"
        ) from None

    def close() -> None:
        server.shutdown()
        server.server_close()
        thread.join(2)

    return close
