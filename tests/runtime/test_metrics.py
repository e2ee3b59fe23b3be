"""Figures for Prometheus: made of the bus alone, served on loopback alone."""

import json
import re
import socket
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from common.errors import ConfigError, DependencyMissing
from common.messages import (
    SCHEMA,
    AccountState,
    Alert,
    Envelope,
    Heartbeat,
    PostureState,
    ProcessState,
    Published,
)
from common.runtime.config import load_config
from common.runtime.metrics import Metrics, serve
from common.units import SECOND

DASHBOARD = Path(__file__).resolve().parents[2] / "procs/service/dashboard.json"
ACCOUNT = AccountState(
    mode="paper",
    cash_usd6=990_480_000,
    open_cost_usd6=9_520_000,
    realized_pnl_usd6=-1_250_000,
    day="2027-01-15",
    day_pnl_usd6=-1_250_000,
    fees_usd6=310_000,
    orders=2,
    fills=3,
    duplicate_orders=0,
    ledger_difference_usd6=0,
)


def beat(role: str, state: ProcessState = "ready") -> Heartbeat:
    return Heartbeat(
        role=role, pid=1, state=state, detail="", ages_ms={"btc spot": 1500}, counters={"gaps": 4}
    )


def said(body: Published, mono_ns: int) -> Envelope:
    return Envelope(
        schema=SCHEMA,
        source="x",
        boot="b",
        seq=1,
        topic="t",
        ts_event_ns=0,
        ts_recv_ns=0,
        mono_ns=mono_ns,
        cause="",
        body=body,
    )


def filled(now_ns: int) -> Metrics:
    metrics = Metrics(lambda: now_ns, lambda: beat("recorder"))
    metrics.take(said(beat("books", "degraded"), 0))
    metrics.take(said(ACCOUNT, 0))
    metrics.take(said(PostureState(posture="paused", reason="lunch", who="cli:me", since_ns=0), 0))
    for _ in range(2):
        metrics.take(said(Alert(level="critical", code="crash-loop", text="again"), 0))
    return metrics


def scraped(port: int) -> dict[tuple[str, tuple[str, ...]], float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_scrape_shows_what_the_bus_said(free_port: int) -> None:
    close = serve(filled(2 * SECOND), f"127.0.0.1:{free_port}")
    try:
        found = scraped(free_port)
    finally:
        close()
    assert found["laggard_up", ("books",)] == found["laggard_up", ("recorder",)] == 1
    assert found["laggard_state", ("books", "degraded")] == 1
    assert found["laggard_state", ("books", "ready")] == 0
    assert found["laggard_heartbeat_age_seconds", ("books",)] == 2
    assert found["laggard_input_age_seconds", ("btc spot", "books")] == 3.5, "it grew since the heartbeat"
    assert found["laggard_count", ("gaps", "books")] == 4
    assert found["laggard_posture", ("paused",)] == 1
    assert found["laggard_posture", ("trading",)] == 0
    assert found["laggard_cash_dollars", ("paper",)] == 990.48
    assert found["laggard_day_profit_dollars", ("paper",)] == -1.25
    assert found["laggard_alerts_total", ("crash-loop", "critical")] == 2


def test_a_silent_process_is_down_and_a_late_one_back_up() -> None:
    metrics = filled(4 * SECOND)
    up = next(family for family in metrics.collect() if family.name == "laggard_up")
    assert {sample.labels["process"]: sample.value for sample in up.samples} == {"books": 0, "recorder": 1}
    metrics.take(said(beat("books"), 4 * SECOND))
    up = next(family for family in metrics.collect() if family.name == "laggard_up")
    assert {sample.labels["process"]: sample.value for sample in up.samples} == {"books": 1, "recorder": 1}


def test_a_taken_port_is_told_in_one_line(free_port: int) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port))
        taken.listen()
        with pytest.raises(DependencyMissing, match=r"cannot serve metrics .* metrics\.listen"):
            serve(filled(0), f"127.0.0.1:{free_port}")


@pytest.mark.parametrize("listen", ["127.0.0.1:9464", "127.1.2.3:1", "localhost:9464", "[::1]:9464", ""])
def test_this_host_may_listen(listen: str) -> None:
    assert load_config(None, {"LAGGARD_METRICS__LISTEN": listen}).metrics.listen == listen


@pytest.mark.parametrize(
    "listen",
    [
        "0.0.0.0:9464",
        ":9464",
        "9464",
        "[::]:9464",
        "192.168.1.4:9464",
        "127.0.0.1.example.org:9464",
        "example.org:9464",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        "127.0.0.1:x",
        "127.0.0.1",
    ],
)
def test_nobody_else_may_listen(listen: str) -> None:
    with pytest.raises(ConfigError, match=r"metrics\.listen"):
        load_config(None, {"LAGGARD_METRICS__LISTEN": listen})


def test_the_dashboard_names_only_figures_there_are() -> None:
    names = {
        sample.name for family in filled(0).collect() for sample in family.samples
    }  # fmt: skip
    board = json.loads(DASHBOARD.read_text())
    shown = {
        name
        for panel in board["panels"]
        for target in panel["targets"]
        for name in re.findall(r"laggard_[a-z0-9_]+", target["expr"])
    }
    assert len(shown) >= 15
    assert shown <= names
    places = [tuple(panel["gridPos"].values()) for panel in board["panels"]]
    assert len({panel["id"] for panel in board["panels"]}) == len(places) == len(set(places))
