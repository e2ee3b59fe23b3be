"""One self-contained HTML page: a conclusion first, then figures, tables, method and limits.

Owns the page's form and every character that reaches it: all text is escaped, nothing is fetched, no script
runs. Knows nothing of what is reported.
"""

import base64
import hashlib
import os
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

import common
from common.research.reports.plots import Plot

_CSS = """
:root { --back: #ffffff; --ink: #1b1f24; --soft: #57606a; --faint: #d0d7de; --blue: #0b57a4; }
@media screen and (prefers-color-scheme: dark) {
  :root { --back: #0d1117; --ink: #e6edf3; --soft: #9aa4af; --faint: #3d444d; --blue: #6cb6ff; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.15rem; font-weight: 600; color: var(--soft); margin: 0 0 .75rem; }
h2 { font-size: 1.35rem; margin: 2.75rem 0 .5rem; padding-top: .75rem; border-top: 1px solid var(--faint); }
h3 { font-size: 1.05rem; margin: 1.75rem 0 .35rem; }
p, ul { max-width: 46rem; margin: .5rem 0; } ul { padding-left: 1.25rem; }
li { margin: .3rem 0; }
#conclusion { font-size: clamp(1.15rem, 4.5vw, 1.45rem); line-height: 1.35; font-weight: 600;
  max-width: none; margin: 0 0 1rem;
  padding: .25rem 0 .25rem 1rem; border-left: .3rem solid var(--blue); }
.warning { font-weight: 700; border: 2px solid currentColor; padding: .5rem .75rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: 1rem 0;
  color: var(--soft); font-size: .875rem; }
dt { grid-column: 1; } dd { grid-column: 2; margin: 0; overflow-wrap: anywhere; }
figure { margin: 1.25rem 0; }
figcaption { font-weight: 600; margin-bottom: .35rem; }
figure img { display: block; width: 100%; max-width: 44rem; height: auto; }
.scroll { overflow-x: auto; margin: .35rem 0 1.25rem;
  /* A shadow at the edge where there is more to see. */
  background: linear-gradient(var(--back), var(--back)) left / 1rem 100% no-repeat local,
    linear-gradient(var(--back), var(--back)) right / 1rem 100% no-repeat local,
    linear-gradient(to right, var(--faint), transparent) left / .6rem 100% no-repeat scroll,
    linear-gradient(to left, var(--faint), transparent) right / .6rem 100% no-repeat scroll; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
.caption { font-size: .875rem; font-weight: 600; margin: 1.25rem 0 0; }
th, td { padding: .3rem .75rem .3rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--faint); }
th { font-weight: 600; color: var(--soft); vertical-align: bottom; }
td:first-child { white-space: nowrap; } td:last-child:not(.right) { min-width: 14rem; }
.right { text-align: right; } td.right { white-space: nowrap; }
@media print {
  main { max-width: none; padding: 0; } figure, tr, #conclusion { break-inside: avoid; }
  h2, h3, .caption { break-after: avoid; } .scroll { overflow: visible; } table { font-size: .72rem; }
  th, td { padding-right: .4rem; } td:last-child:not(.right) { min-width: 0; }
}
""".strip()

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""The page may not fetch anything, whatever became part of it."""


class Table(NamedTuple):
    """Rows of text; a column whose name begins with ``>`` is flush right."""

    caption: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[object]]


class Bullets(NamedTuple):
    """Sentences of one kind."""

    items: Sequence[str]


class Heading(NamedTuple):
    """The title of a part of a section."""

    text: str


class Notice(NamedTuple):
    """What nobody may overlook."""

    text: str


Block = str | Table | Plot | Bullets | Heading | Notice
"""A plain text is a paragraph."""


class Section(NamedTuple):
    """One chapter of the page."""

    title: str
    blocks: Sequence[Block]


class Page(NamedTuple):
    """Everything that a report says."""

    title: str
    conclusion: str
    facts: Sequence[tuple[str, str]]
    sections: Sequence[Section]

    @property
    def plots(self) -> list[Plot]:
        """Every figure, in order."""
        return [block for section in self.sections for block in section.blocks if isinstance(block, Plot)]


def html(page: Page) -> str:
    """The page as one document; the same page gives the same text."""
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in page.facts)
    sections = "\n".join(_section(section) for section in page.sections)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{escape(page.title)}</title>
<style>
{_CSS}
</style>
</head>
<body>
<main>
<h1>{escape(page.title)}</h1>
<p id="conclusion">{escape(page.conclusion)}</p>
<dl>{facts}</dl>
{sections}
</main>
</body>
</html>
"""


def write(page: Page, file: Path) -> None:
    """Write the document whole or not at all."""
    _whole(file, html(page).encode())


def write_pngs(page: Page, folder: Path) -> list[Path]:
    """Write every figure as a PNG of its name, and give the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{plot.name}.png" for plot in page.plots]
    for file, plot in zip(files, page.plots, strict=True):
        _whole(file, plot.png)
    return files


def code_digest() -> str:
    """SHA-256 over every source of the rooms below the processes: names and contents, in order of name."""
    root = Path(common.__file__).parent
    whole = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        text = file.read_bytes()
        whole.update(f"{file.relative_to(root).as_posix()} {len(text)}\n".encode())
        whole.update(text)
    return whole.hexdigest()


def _whole(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    fresh.write_bytes(content)
    fresh.replace(file)


def _section(section: Section) -> str:
    blocks = "\n".join(_block(block) for block in section.blocks)
    return f"<section>\n<h2>{escape(section.title)}</h2>\n{blocks}\n</section>"


def _block(block: Block) -> str:
    if isinstance(block, str):
        return f"<p>{escape(block)}</p>"
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Plot):
        return _figure(block)
    if isinstance(block, Bullets):
        return f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in block.items)}</ul>"
    if isinstance(block, Heading):
        return f"<h3>{escape(block.text)}</h3>"
    return f'<p class="warning">{escape(block.text)}</p>'


def _table(table: Table) -> str:
    classes = [' class="right"' if name.startswith(">") else "" for name in table.columns]
    head = "".join(
        f'<th scope="col"{kind}>{escape(name.removeprefix(">"))}</th>'
        for name, kind in zip(table.columns, classes, strict=True)
    )
    body = "\n".join(
        "<tr>"
        + "".join(
            f"<td{kind}>{escape('-' if cell is None else str(cell))}</td>"
            for cell, kind in zip(row, classes, strict=True)
        )
        + "</tr>"
        for row in table.rows
    )
    # A wide table scrolls in itself, also by keyboard; the page never does.
    name = escape(table.caption)
    return (
        f'<p class="caption">{name}</p>'
        f'<div class="scroll" role="region" tabindex="0" aria-label="{name}"><table aria-label="{name}">'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )


def _figure(plot: Plot) -> str:
    dark, light = (
        f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
        for svg in (plot.dark_svg, plot.light_svg)
    )
    return (
        f"<figure><figcaption>{escape(plot.title)}</figcaption>\n"
        f'<picture><source media="screen and (prefers-color-scheme: dark)" srcset="{dark}">'
        f'<img alt="{escape(plot.alt)}" src="{light}"></picture></figure>'
    )
