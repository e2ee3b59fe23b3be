"""``laggard lag``: how late the book is behind each price, with intervals, in text, JSON, HTML or PNG.

Prints what ``common.research.lag.lag_study`` found; decides nothing.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from common.units import SECOND
from procs.cli.data import need_research
from procs.cli.show import add_row, console, print_json, progress, table
from procs.cli.tape_words import gap_fields, tell_gaps

if TYPE_CHECKING:
    from common.research.lag.event_study import Definition, Reaction
    from common.research.lag.lag_study import LagStudy, SeriesStudy


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--move", "move_bp", default=7.0, show_default=True, metavar="BP",
              type=click.FloatRange(min=0, min_open=True), help="A jump, in basis points.")  # fmt: skip
@click.option("--within", "within_s", default=3.0, show_default=True, metavar="SECONDS",
              type=click.FloatRange(min=0, min_open=True), help="In how long at most.")  # fmt: skip
@click.option("--max-age", "max_age_s", default=5.0, show_default=True, metavar="SECONDS",
              type=click.FloatRange(min=0, min_open=True), help="Older quotes are unknown.")  # fmt: skip
@click.option("--assets", help="Only these, separated by commas: btc,eth.")
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Write a report to this file.")
@click.option(
    "--png", type=click.Path(path_type=Path, file_okay=False), help="Write the plots to this folder."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def lag(
    data: Path,
    move_bp: float,
    within_s: float,
    max_age_s: float,
    assets: str | None,
    html: Path | None,
    png: Path | None,
    as_json: bool,
) -> int:
    """Measure on DATA how much of the book's repricing is done when a jump can be known, and later.

    Exits 1 when there are too few jumps to say anything.
    """
    need_research()
    from common.research.data.loading import load
    from common.research.lag.event_study import Definition
    from common.research.lag.lag_study import study

    how = Definition(
        move_ppm=round(100 * move_bp),
        within_ns=round(within_s * SECOND),
        max_age_ns=round(max_age_s * SECOND),
    )
    found = load(data, assets=assets.lower().split(",") if assets else None)
    tell_gaps(found.gaps)
    result = study(found, how)
    if html is not None or png is not None:
        from common.research.reports import report
        from common.research.reports.report_lag import lag_page

        page = lag_page(result)
        if html is not None:
            report.write(page, html)
            progress(f"written to {html}")
        if png is not None:
            for file in report.write_pngs(page, png):
                progress(f"written to {file}")
    if as_json:
        print_json("lag", **gap_fields(found.gaps), **fields(result))
    else:
        _print(result)
    return int(not any(one.enough for one in result.series))


def fields(result: "LagStudy") -> dict[str, Any]:
    """The study as plain values; times in nanoseconds, moves in cents, ``enough`` beside every figure."""
    return {
        "data": result.data,
        "data_digest": result.data_digest,
        "definition": result.definition._asdict(),
        "conclusion": result.conclusion,
        "left_out": dict(result.left_out),
        "series": [_series_fields(one) for one in result.series],
    }


def _series_fields(one: "SeriesStudy") -> dict[str, Any]:
    found = one.correlogram
    return {
        "kind": one.kind,
        "route": one.route,
        "settles": one.settling,
        "assets": one.assets,
        "enough": one.enough,
        "ticks": one.ticks,
        "delivery": one.delivery._asdict(),
        "tick_spacing": one.tick_spacing._asdict(),
        "quote_spacing": one.quote_spacing._asdict(),
        "quote_age": one.quote_age._asdict(),
        "jumps": one.jumps,
        "overlapping": one.overlapping,
        "unseen": one.unseen,
        "unquoted": one.unquoted,
        "all": _reaction_fields(one.whole),
        **{
            f"by_{by}": {name: _reaction_fields(part) for name, part in parts.items()}
            for by, parts in one.parts.items()
        },
        "correlation": None
        if found is None
        else {
            "step_ns": found.step_ns,
            "pairs": found.pairs,
            "windows": found.windows,
            "lags": [{"lag_ns": lag_ns, **value._asdict()} for lag_ns, value in found.lags],
        },
    }


def _reaction_fields(found: "Reaction") -> dict[str, Any]:
    return {
        "jumps": found.jumps,
        "openings": found.windows,
        "enough": found.enough,
        "reference_bp": found.reference_bp,
        "final_cents": found.final_cents._asdict(),
        "lead_cents": found.lead_cents._asdict(),
        "steps": [
            {
                "after_ns": step.after_ns,
                "moved_cents": step.moved_cents._asdict(),
                "share": step.share._asdict(),
            }
            for step in found.steps
        ],
    }


def _print(result: "LagStudy") -> None:
    from rich.text import Text

    out = console()
    out.print(Text(f"{result.data}, data {result.data_digest[:12]}", "bold"))
    for one in result.series:
        _print_series(one, result.definition)
    for name, reason in result.left_out.items():
        out.print(Text(f"not studied: {name}, {reason}"))
    out.print(Text(result.conclusion, "bold"))


def _print_series(one: "SeriesStudy", how: "Definition") -> None:
    from common.research.reports.report_lag import ends, share, spread

    out = console()
    out.print()
    part = "settles" if one.settling else "does not settle"
    out.print(f"{one.name} ({part}), {', '.join(one.assets)}; times are median (95 %), s")
    out.print(
        f"  stamp to receipt {spread(one.delivery)}, between prices {spread(one.tick_spacing)}, between "
        f"quotes {spread(one.quote_spacing)}, age of quotes used {spread(one.quote_age)}"
    )
    out.print(
        f"  {one.jumps} jumps of {how.move_ppm / 100:g} bp in {how.within_ns / SECOND:g} s "
        f"({one.overlapping} more overlapped): {one.unseen} without an open window, {one.unquoted} "
        "without young quotes"
    )
    if not one.enough:
        out.print(f"  too few jumps: {one.whole.jumps} in {one.whole.windows} openings")
    else:
        made = table(
            "after it could be known", ">mid moved, cents", "95 %", ">share of the final move, %", "95 %"
        )
        for step in one.whole.steps:
            moved = step.moved_cents
            cells = [f"{step.after_ns / SECOND:g} s", f"{moved.mean:+.2f}", ends(moved, "{:+.2f}")]
            add_row(made, [*cells, share(step.share), ends(step.share, "{:.0f}", 100)])
        final = one.whole.final_cents
        name = f"{how.final_ns / SECOND:g} s, final"
        add_row(made, [name, f"{final.mean:+.2f}", ends(final, "{:+.2f}"), "100", None])
        out.print(made)
        for by, parts in one.parts.items():
            _print_parts(by, parts)
    if one.correlogram is not None and (best := one.correlogram.strongest) is not None:
        lag_ns, value = best
        out.print(
            f"  correlation is largest with the book {lag_ns / SECOND:+g} s after the price: "
            f"{value.mean:.2f} ({ends(value, '{:.2f}')}), steps of {one.correlogram.step_ns / SECOND:g} s"
        )


def _print_parts(by: str, parts: "dict[str, Reaction] | Any") -> None:
    from common.research.reports.report_lag import part_row

    made = table(
        by,
        ">jumps",
        ">openings",
        ">done when known, %",
        ">after 2 s, %",
        "95 %",
        ">final move, cents",
        "95 %",
    )
    for name, part in parts.items():
        add_row(made, part_row(name, part))
    console().print(made)
