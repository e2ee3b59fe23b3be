"""A report opened in a real browser: all of it is there, nothing is fetched, it fits a phone and a desk."""

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from common.research.lag.lag_study import study
from common.research.reports.report import Bullets, Notice, Page, Section, Table, html, write
from common.research.reports.report_lag import lag_page
from lag_markets import lagging

pytestmark = pytest.mark.procs

OURS = Path(__file__).resolve().parents[2] / ".browser/chromium"
LIMIT_S = 20
PHONE, DESK = 390, 1280
LOOK = """
JSON.stringify({
  title: document.title,
  images: [...document.images].map(image => [image.complete, image.naturalWidth, image.alt,
    image.getBoundingClientRect().width]),
  conclusion: (box => ({
    text: box.innerText, top: box.getBoundingClientRect().top, height: box.offsetHeight,
  }))(document.querySelector("#conclusion")),
  sizes: [...document.querySelectorAll("p, li, td, th, dd, figcaption")].map(
    each => parseFloat(getComputedStyle(each).fontSize)),
  ink: getComputedStyle(document.body).color,
  back: getComputedStyle(document.body).backgroundColor,
  page: document.documentElement.scrollWidth,
  seen: document.documentElement.clientWidth,
})
"""


def browser() -> str:
    """A program that opens pages without a screen; skips the test where there is none that starts."""
    found = str(OURS) if OURS.is_file() else shutil.which("chromium")
    if found is None:
        pytest.skip(
            "no browser: neither .browser/chromium (bin/setup installs it with npm) nor chromium on PATH"
        )
    told = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=LIMIT_S)
    if told.returncode:
        pytest.skip(f"the browser {found} does not start here: {told.stderr.strip()[-300:]}")
    return found


class Tab:
    """One page of the browser: commands, and what happened meanwhile."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket, self.session = socket, ""
        self.sent = 0
        self.events: list[dict[str, Any]] = []

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        self.sent += 1
        mine = self.sent
        session = {"sessionId": self.session} if self.session else {}
        await self.socket.send(json.dumps({"id": mine, "method": method, "params": params, **session}))
        while True:
            heard = json.loads(await asyncio.wait_for(self.socket.recv(), LIMIT_S))
            if heard.get("id") == mine:
                assert "error" not in heard, heard
                return dict(heard["result"])
            self.events.append(heard)

    async def until(self, method: str) -> None:
        while not any(event.get("method") == method for event in self.events):
            self.events.append(json.loads(await asyncio.wait_for(self.socket.recv(), LIMIT_S)))

    def named(self, method: str) -> list[dict[str, Any]]:
        return [event["params"] for event in self.events if event.get("method") == method]


def started(folder: Path) -> "subprocess.Popen[bytes]":
    # Without a sandbox: it only opens pages made here, and containers forbid the sandbox its namespaces.
    options = ("--headless=shell", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")
    with (folder / "browser.log").open("wb") as log:
        return subprocess.Popen(
            [
                browser(), *options, "--remote-debugging-port=0", f"--user-data-dir={folder / 'profile'}",
                "about:blank",
            ],
            stderr=log, start_new_session=True,
        )  # fmt: skip


@asynccontextmanager
async def tab(folder: Path) -> AsyncIterator[Tab]:
    program = started(folder)
    try:
        async with connect(await _address(program, folder / "browser.log"), max_size=None) as socket:
            made = Tab(socket)
            target = await made.call("Target.createTarget", url="about:blank")
            attached = await made.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
            made.session = attached["sessionId"]
            for domain in ("Page", "Runtime", "Network", "Log"):
                await made.call(f"{domain}.enable")
            yield made
    finally:
        os.killpg(program.pid, signal.SIGKILL)
        program.wait()


async def _address(program: subprocess.Popen[bytes], log: Path) -> str:
    async with asyncio.timeout(LIMIT_S):
        while program.poll() is None:
            told = log.read_text()  # noqa: ASYNC240 - a few lines, and nothing else runs here
            found = re.search(r"listening on (ws://127\.0\.0\.1\S+)", told)
            if found:
                return found[1]
            await asyncio.sleep(0.02)
    raise AssertionError(f"the browser ended with {program.returncode}")


async def look(
    page: Tab, file: Path, width: int, scheme: str = "light", media: str = "screen"
) -> dict[str, Any]:
    """Open the file at this width, and tell what is to be seen."""
    page.events.clear()
    await page.call(
        "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
    )
    await page.call(
        "Emulation.setEmulatedMedia",
        media=media,
        features=[{"name": "prefers-color-scheme", "value": scheme}],
    )
    await page.call("Page.navigate", url=file.as_uri())
    await page.until("Page.loadEventFired")
    found = await page.call("Runtime.evaluate", expression=LOOK)
    return dict(json.loads(found["result"]["value"]))


def complaints(page: Tab) -> Sequence[Any]:
    """Whatever the browser had to say, and whatever it wanted to fetch from anywhere else."""
    asked = [one["request"]["url"] for one in page.named("Network.requestWillBeSent")]
    return [
        *page.named("Runtime.exceptionThrown"),
        *page.named("Runtime.consoleAPICalled"),
        *(one["entry"]["text"] for one in page.named("Log.entryAdded")),
        *(url[:100] for url in asked if not url.startswith(("file:", "data:"))),
    ]


@pytest.fixture(scope="module")
def found() -> Page:
    return lag_page(study(lagging(2)))


async def test_a_report_shows_its_conclusion_first_and_fits_every_screen(found: Page, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    write(found, file)
    async with tab(tmp_path) as page:
        for width in (PHONE, DESK):
            for scheme in ("light", "dark"):
                seen = await look(page, file, width, scheme)
                assert complaints(page) == []
                assert seen["title"] == found.title
                assert seen["conclusion"]["text"] == found.conclusion
                assert 0 < seen["conclusion"]["top"] < 200
                assert seen["conclusion"]["height"] > 20
                assert len(seen["images"]) == len(found.plots) == 2
                for complete, natural, alt, shown in seen["images"]:
                    assert complete and natural > 0 and len(alt) > 40
                    assert 300 < shown <= width
                assert seen["seen"] == width
                assert seen["page"] <= width, "the page has to be pushed sideways"
                assert min(seen["sizes"]) >= 13
                assert contrast(seen["ink"], seen["back"]) > 7
                darker = luminance(seen["back"]) < luminance(seen["ink"])
                assert darker == (scheme == "dark")


async def test_it_prints_on_white_paper_and_within_its_edges(found: Page, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    write(found, file)
    async with tab(tmp_path) as page:
        # What a sheet of A4 leaves between margins of a centimetre.
        seen = await look(page, file, 718, "dark", "print")
        assert seen["back"] == "rgb(255, 255, 255)"
        assert contrast(seen["ink"], seen["back"]) > 7
        assert seen["page"] <= 718
        assert all(complete and natural > 0 for complete, natural, _, _ in seen["images"])


async def test_what_somebody_wrote_stays_text_and_nothing_is_fetched(tmp_path: Path) -> None:
    evil = '<img src="http://127.0.0.1:9/x"><script>document.title = "taken"</script>&"'
    section = Section(
        evil,
        [evil, Bullets([evil]), Notice(evil), Table(evil, (evil, f">{evil}"), [(evil, evil)])],
    )
    file = tmp_path / "report.html"
    made = Page(f"T {evil}", evil, [(evil, evil)], [section])
    write(made, file)
    async with tab(tmp_path) as page:
        seen = await look(page, file, DESK)
        assert complaints(page) == []
        assert seen["title"] == f"T {evil}"
        assert seen["conclusion"]["text"] == evil
        assert seen["images"] == []


async def test_the_page_itself_forbids_what_is_not_in_it(found: Page, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    smuggled = '<img src="http://127.0.0.1:9/x"><script>document.title = "taken"</script></main>'
    file.write_text(html(found).replace("</main>", smuggled))
    async with tab(tmp_path) as page:
        seen = await look(page, file, DESK)
        assert seen["title"] == found.title
        assert any("Content Security Policy" in str(one) for one in complaints(page))


def luminance(colour: str) -> float:
    """Relative luminance of ``rgb(r, g, b)`` (WCAG 2)."""
    parts = [int(each) / 255 for each in re.findall(r"\d+", colour)[:3]]
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_what_it_is_by_its_definition() -> None:
    assert contrast("rgb(0, 0, 0)", "rgb(255, 255, 255)") == pytest.approx(21)
