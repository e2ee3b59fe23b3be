"""A report is one page of escaped text and embedded figures, and its first sentence never claims too much."""

import base64
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from common.core.settings import RiskLimits, StrategySettings
from common.research.backtesting.backtest import Outcome, Plan, run, without_stops
from common.research.backtesting.pricing import FLATTERED
from common.research.falsification.falsify import Finding
from common.research.intervals import Interval
from common.research.lag.lag_study import LagStudy, study
from common.research.reports import plots
from common.research.reports.report import (
    Bullets,
    Heading,
    Notice,
    Page,
    Section,
    Table,
    code_digest,
    html,
    write,
    write_pngs,
)
from common.research.reports.report_evidence import backtest_section, falsify_section, headline
from common.research.reports.report_lag import lag_page, limits_section, part_row
from lag_markets import lagging
from recorded_windows import books, flat, jump, made, market, ticks

EVIL = "<b>&\"'<script>"


@pytest.fixture(scope="module")
def lag() -> LagStudy:
    return study(lagging(2, kind="binance"))


@pytest.fixture(scope="module")
def page(lag: LagStudy) -> Page:
    return lag_page(lag)


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    pairs = [(number, asset) for number in range(6) for asset in ("btc", "eth")]
    data = made(
        [market(n, asset, outcome="up" if n % 2 else "down") for n, asset in pairs],
        [row for n, asset in pairs for row in ticks(jump(30, 100_200.0), n, asset=asset, seconds=range(60))],
        [row for n, asset in pairs for row in books(flat(0.50), n, asset=asset, seconds=range(60))],
    )
    return run(data, Plan(StrategySettings(), without_stops(RiskLimits())))


def finding(result: Any, **changes: Any) -> Finding:
    plain: dict[str, Any] = {
        "result": result, "text": "because", "tests": (), "windows": 16, "trades": 13, "wins": 5,
        "spent_usd6": 130_000_000, "net_usd6": -4_000_000, "trials": 3, "edge": 0.02, "power": 0.1,
        "trades_needed": 3000, "unsized": 0, "proxies": 0,
    }  # fmt: skip
    return Finding(**(plain | changes))


def every(page: Page, kind: type[Any]) -> list[Any]:
    return [block for section in page.sections for block in section.blocks if isinstance(block, kind)]


def test_the_conclusion_stands_before_everything_else(lag: LagStudy, page: Page) -> None:
    text = html(page)
    body = text[text.index("<body>") :]
    assert body.index('id="conclusion"') < body.index("<dl>") < body.index("<section>")
    assert lag.data_digest in text
    assert code_digest() in text


def test_the_same_data_give_the_same_page_to_the_byte(page: Page) -> None:
    again = lag_page(study(lagging(2, kind="binance")))
    assert html(again) == html(page)
    for one, other in zip(again.plots, page.plots, strict=True):
        assert one.png == other.png


def test_every_text_is_escaped_wherever_it_stands() -> None:
    blocks = [
        EVIL,
        Bullets([EVIL]),
        Heading(EVIL),
        Notice(EVIL),
        Table(EVIL, (EVIL, f">{EVIL}"), [(EVIL, None)]),
    ]
    text = html(Page(EVIL, EVIL, [(EVIL, EVIL)], [Section(EVIL, blocks)]))
    assert "<script" not in text and "<b>" not in text
    assert text.count("&lt;b&gt;&amp;&quot;&#x27;&lt;script&gt;") == 16


def test_nothing_in_the_page_points_outside_it(page: Page) -> None:
    text = html(page)
    assert re.findall(r'(?:src|href|srcset)="(?!data:)', text) == []
    assert "url(" not in text and "@import" not in text
    assert "http:" not in text and "https:" not in text
    for packed in re.findall(r'"data:image/svg\+xml;base64,([^"]+)"', text):
        drawing = ET.fromstring(base64.b64decode(packed))
        assert all(
            value.startswith("#")
            for one in drawing.iter()
            for name, value in one.items()
            if name.endswith("href")
        )


def test_figures_exist_for_both_screens_and_for_messages(page: Page, tmp_path: Path) -> None:
    assert [plot.name for plot in page.plots] == ["reaction-binance-rtds", "correlation-binance-rtds"]
    for plot in page.plots:
        assert plot.light_svg != plot.dark_svg
        assert plots.LIGHT.back.encode() in plot.light_svg and plots.DARK.back.encode() in plot.dark_svg
        assert len(plot.alt) > 40
    files = write_pngs(page, tmp_path / "new" / "folder")
    assert [file.name for file in files] == [f"{plot.name}.png" for plot in page.plots]
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)


def test_a_page_is_written_whole_or_not_at_all(page: Page, tmp_path: Path) -> None:
    file = tmp_path / "deep" / "report.html"
    write(page, file)
    assert file.read_text().endswith("</html>\n")
    assert [each.name for each in file.parent.iterdir()] == ["report.html"]


def test_too_few_are_told_as_such_and_get_no_share() -> None:
    found = study(lagging(2, windows=2))
    page = lag_page(found)
    assert "Too few jumps: 16 in 2 openings" in html(page)
    assert [plot.name for plot in page.plots] == ["correlation-spot-rtds"]
    few = part_row("10:00", found.series[0].whole)
    assert few[3:6] == ["too few"] * 3


def test_the_limits_name_what_these_data_cannot_show(lag: LagStudy) -> None:
    (bullets,) = limits_section(lag).blocks
    assert isinstance(bullets, Bullets)
    text = " ".join(bullets.items)
    assert "Quotes came every 1.00 s" in text
    assert "binance (rtds) does not settle these markets" in text
    (settling,) = limits_section(study(lagging(2))).blocks
    assert isinstance(settling, Bullets)
    assert "does not settle" not in " ".join(settling.items)


def test_the_headline_claims_an_edge_only_where_falsification_supports_it(
    lag: LagStudy, outcome: Outcome
) -> None:
    assert headline(lag, None, None) == lag.conclusion
    winning = outcome._replace(trades=tuple(one._replace(payout_usd6=10**9) for one in outcome.trades))
    for traded in (outcome, winning):
        for tested in (None, finding("not supported"), finding("too little data")):
            assert headline(lag, traded, tested).startswith("No edge shown: 12 trades ")
    assert "too few to tell from zero" in headline(lag, winning, None)
    assert "falsification says: too little data" in headline(lag, winning, finding("too little data"))
    proxied = finding("not supported", judged={"binance": 16})
    assert "not supported, judged by a proxy, which does not settle" in headline(lag, winning, proxied)
    assert headline(lag, winning, finding("supported")).startswith("An edge is supported by these data: ")
    assert headline(lag, None, finding("not supported")).startswith(
        "No edge shown: 13 trades on paper net -4.00 $"
    )
    assert headline(lag, outcome._replace(trades=()), None).startswith(
        "No edge shown: the rule found nothing"
    )


def test_what_is_flattered_is_said_so_first(lag: LagStudy, outcome: Outcome) -> None:
    flattered = outcome._replace(label=FLATTERED)
    assert headline(lag, flattered, finding("supported")).startswith(FLATTERED)
    blocks = backtest_section(flattered).blocks
    assert isinstance(blocks[0], Notice) and FLATTERED in blocks[0].text


def test_the_rule_on_paper_is_told_in_all_and_in_parts(outcome: Outcome) -> None:
    page = Page("t", "c", [], [backtest_section(outcome)])
    assert [plot.name for plot in page.plots] == ["profit", "returns", "calibration"]
    (table,) = every(page, Table)
    names = [row[0] for row in table.rows]
    assert {"all", "windows: first 60 %", "asset: btc", "asset: eth", "era: fee-spot"} <= set(names)
    counts = {row[0]: row[1] for row in table.rows}
    assert counts["all"] == counts["asset: btc"] + counts["asset: eth"] == 12
    none = backtest_section(outcome._replace(trades=()))
    assert not [block for block in none.blocks if isinstance(block, plots.Plot)]


def test_falsification_is_told_test_by_test() -> None:
    from common.research.falsification.battery import Test

    tests = (
        Test("profit", float("nan"), 1.0, None, None, passed=False, gate=True, text="earns"),
        Test("latency ladder", -0.1, None, None, None, passed=False, gate=True, text="slower",
             parts={"0 s": -0.1, "60 s": -0.3}),
    )  # fmt: skip
    by = {"chainlink": 3, "binance": 13}
    told = falsify_section(finding("not supported", tests=tests, proxies=13, judged=by))
    page = Page("t", "c", [], [told])
    (table,) = every(page, Table)
    assert [(row[0], row[1], row[3]) for row in table.rows] == [
        ("profit", "-", "no data"),
        ("latency ladder", "-0.1000", "FAILED"),
    ]
    assert [plot.name for plot in page.plots] == ["latency"]
    assert "-30 % after 60 s" in page.plots[0].alt
    assert "13 trades judged by a price that does not settle" in html(page)
    assert "3 windows judged by chainlink, 13 windows judged by binance (proxy, not settlement)" in html(page)


def test_a_part_without_ends_is_not_drawn() -> None:
    nothing = Interval(float("-inf"), 1.0, float("inf"))
    one = plots.forest("x", [("a", Interval(0, 1, 2)), ("b", nothing)], "%", "words", "title")
    other = plots.forest("x", [("a", Interval(0, 1, 2))], "%", "words", "title")
    assert one.light_svg == other.light_svg
