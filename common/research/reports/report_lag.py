"""What a report says about the lag: one section of figures, one of method, one of limits."""

import math
from collections.abc import Mapping

from common.research.intervals import Interval
from common.research.lag.event_study import LEAST_JUMPS, LEAST_WINDOWS, Reaction
from common.research.lag.lag_study import LagStudy, SeriesStudy, Spread, soonest
from common.research.reports import plots
from common.research.reports.report import Block, Bullets, Heading, Page, Section, Table, code_digest
from common.units import SECOND

NOTHING = "-"


def lag_page(study: LagStudy) -> Page:
    """A page about the lag alone."""
    facts = [*data_facts(study.data, study.data_digest), ("code hash", code_digest())]
    sections = [lag_section(study), method_section(study), limits_section(study)]
    return Page("laggard: the lag of the book behind the price", study.conclusion, facts, sections)


def data_facts(name: str, digest: str) -> list[tuple[str, str]]:
    """What was read, and the hash of its rows."""
    return [("data", name), ("data hash", digest)]


def lag_section(study: LagStudy) -> Section:
    """The figures of every series, the one that speaks first."""
    blocks: list[Block] = [study.conclusion]
    if study.series:
        blocks += _series_tables(study)
    if study.left_out:
        blocks.append(Bullets([f"Not studied: {name}, {why}." for name, why in study.left_out.items()]))
    for one in study.series:
        blocks += _series_blocks(one, study)
    return Section("Lag of the book behind the price", blocks)


def method_section(study: LagStudy) -> Section:
    """How the lag was measured, with the figures that define it."""
    how = study.definition
    return Section(
        "Method: lag",
        [
            Bullets(
                [
                    (
                        f"A jump is a move of the reference by at least {how.move_ppm / 100:g} basis "
                        f"points within {how.within_ns / SECOND:g} s by its own stamps. It counts from "
                        "when it could be known: from the receipt of the price that completed it."
                    ),
                    (
                        f"A jump within {how.final_ns / SECOND:g} s after another is part of that event and "
                        "left out."
                    ),
                    (
                        "The book's move is that of the mid of the Up token, in the direction of the "
                        "jump, from the moment when the reference still had its old value. Only what had "
                        "been received by a moment is used for it; nothing is joined from later."
                    ),
                    (
                        f"The repricing is complete {how.final_ns / SECOND:g} s after the jump, by "
                        "definition. A share is the mean move until then divided by the mean final move."
                    ),
                    (
                        f"A quote received more than {how.max_age_ns / SECOND:g} s before is unknown, and "
                        "a jump with an unknown quote at any moment looked at is left out of all of them."
                    ),
                    (
                        "Intervals are 95 % percentile bootstraps that draw whole openings: windows that "
                        "open in one quarter of an hour move together and count once. "
                        f"Fewer than {LEAST_JUMPS} jumps or {LEAST_WINDOWS} "
                        "openings are shown and not spoken of."
                    ),
                    (
                        "The cross-correlation samples both series as they were known on one grid, as "
                        "fine as both fill it, inside each window; steps across a change of windows are "
                        "no moves of a price."
                    ),
                    (
                        "Each kind and route of price is a study of its own. Their values are never "
                        "compared with each other."
                    ),
                ]
            )
        ],
    )


def limits_section(study: LagStudy) -> Section:
    """What these figures do not show."""
    found = [
        (
            "A mid is no price one can trade at, and a late mid is no profit: fees, the spread, the "
            "taker delay and everybody else who saw the jump stand between."
        ),
        (
            "The final move is itself uncertain, and the later price moves are part of it. Shares above "
            "100 % mean that the book went further and came back."
        ),
        (
            "Jumps in the last minute of a window, and those that only an unrecorded minute saw, are not "
            "in these figures."
        ),
        (
            "Openings are treated as independent of each other; one day of the market is one day, "
            "however many jumps it had."
        ),
    ]
    for one in study.series[:1]:
        if not one.settling:
            found.insert(
                0,
                f"{one.name} does not settle these markets. An oracle that comes later than it would make "
                "the book look earlier still; these data do not show by how much.",
            )
        if not math.isnan(one.quote_spacing.median_ns):
            found.insert(
                0,
                f"Quotes came every {_seconds(one.quote_spacing.median_ns)} in the median: no lag shorter "
                "than that can be told from none.",
            )
    return Section("Limits: lag", [Bullets(found)])


def _series_tables(study: LagStudy) -> list[Block]:
    times = [
        (
            one.name, "yes" if one.settling else "no", ", ".join(one.assets).upper(), spread(one.delivery),
            spread(one.tick_spacing), spread(one.quote_spacing), spread(one.quote_age),
        )
        for one in study.series
    ]  # fmt: skip
    counts = [
        (
            one.name, one.jumps, one.unseen, one.unquoted, one.whole.jumps, one.whole.windows,
            one.overlapping,
        )
        for one in study.series
    ]  # fmt: skip
    return [
        Table(
            "Series of prices, each for itself; seconds as median (95 %)",
            (
                "series", "settles", "assets", ">stamp to receipt", ">between prices", ">between quotes",
                ">age of quotes used",
            ),
            times,
        ),
        Table(
            "Jumps of each, and why some were not looked at",
            (
                "series", ">jumps", ">no window open throughout", ">no young quote", ">looked at",
                ">openings",
                ">more that overlapped",
            ),
            counts,
        ),
    ]  # fmt: skip


def _series_blocks(one: SeriesStudy, study: LagStudy) -> list[Block]:
    blocks: list[Block] = [Heading(f"Beside {one.name}")]
    if one.enough:
        step = soonest(one.whole)
        known = math.isfinite(step.share.mean)
        part = f"{share(step.share)} % of the final move" if known else "an unclear share of the final move"
        blocks += [
            plots.reaction(
                one.name, one.path, one.whole.jumps,
                "Mean move of the reference price and of the book's mid from 10 s before to "
                f"{study.definition.final_ns / SECOND:g} s after a jump could be known, with 95 % band. "
                f"Two seconds after it the mid had moved {step.moved_cents.mean:.1f} cents, {part}.",
                f"The book around a jump of {one.name}",
            ),
            _steps_table(one.whole, study),
            (f"In the five seconds before the move the mid had gone {_signed(one.whole.lead_cents)} cents "
            "in its direction."),
            *(_parts_table(by, parts) for by, parts in one.parts.items()),
        ]  # fmt: skip
    else:
        blocks.append(
            f"Too few jumps: {one.whole.jumps} in {one.whole.windows} openings; {LEAST_JUMPS} in "
            f"{LEAST_WINDOWS} is the least."
        )
    found = one.correlogram
    best = found.strongest if found is not None else None
    if found is not None and best is not None:
        lag, value = best
        when = (
            "at the same step"
            if not lag
            else f"with the book {abs(lag) / SECOND:g} s " + ("later" if lag > 0 else "earlier")
        )
        blocks += [
            plots.correlogram(
                one.name, found,
                f"Correlation of the mid's changes with the returns of {one.name}, for lags from -10 to "
                f"+10 s in steps of {found.step_ns / SECOND:g} s. The largest is {value.mean:.2f}, {when}.",
                f"Who moves first, the book or {one.name}",
            ),
            (f"{found.pairs} steps of {found.step_ns / SECOND:g} s in {found.windows} openings. Correlation "
            f"is largest {when}: {value.mean:.2f} (95 %: {value.low:.2f} to {value.high:.2f})."),
        ]  # fmt: skip
    return blocks


def _steps_table(whole: Reaction, study: LagStudy) -> Table:
    rows = [
        (
            f"{step.after_ns / SECOND:g} s", f"{step.moved_cents.mean:+.2f}",
            ends(step.moved_cents, "{:+.2f}"),
            share(step.share), ends(step.share, "{:.0f}", 100),
        )
        for step in whole.steps
    ]  # fmt: skip
    final = whole.final_cents
    last = f"{study.definition.final_ns / SECOND:g} s, final"
    rows.append((last, f"{final.mean:+.2f}", ends(final, "{:+.2f}"), "100", NOTHING))
    return Table(
        f"Repricing after {whole.jumps} jumps of {whole.reference_bp:.1f} bp in the mean",
        ("after it could be known", ">mid moved, cents", ">95 %", ">share of the final move, %", ">95 %"),
        rows,
    )


def _parts_table(by: str, parts: Mapping[str, Reaction]) -> Table:
    shown = {"hour": "hour (UTC)"}.get(by, by)
    columns = (
        shown, ">jumps", ">openings", ">done when known, %", ">after 2 s, %", ">95 %",
        ">final move, cents", ">95 %",
    )  # fmt: skip
    rows = [part_row(name.upper() if by == "asset" else name, part) for name, part in parts.items()]
    return Table(f"By {shown}", columns, rows)


def part_row(name: str, part: Reaction) -> list[object]:
    """One part of the jumps as cells; no share is told of too few."""
    now, soon = part.steps[0], soonest(part)
    few = None if part.enough else "too few"
    return [
        name, part.jumps, part.windows, few or share(now.share), few or share(soon.share),
        few or ends(soon.share, "{:.0f}", 100), f"{part.final_cents.mean:+.2f}",
        ends(part.final_cents, "{:+.2f}"),
    ]  # fmt: skip


def ends(interval: Interval, form: str, factor: float = 1.0) -> str:
    """Both ends of an interval, times ``factor``; a dash where there is none."""
    if math.isnan(interval.mean):
        return NOTHING
    if not (math.isfinite(interval.low) and math.isfinite(interval.high)):
        return "unknown"
    return f"{form.format(factor * interval.low)} to {form.format(factor * interval.high)}"


def share(interval: Interval) -> str:
    """A share in percent without the sign; a dash where it is unclear."""
    return NOTHING if math.isnan(interval.mean) else f"{100 * interval.mean:.0f}"


def _signed(interval: Interval) -> str:
    return f"{interval.mean:+.2f} (95 %: {ends(interval, '{:+.2f}')})"


def _seconds(ns: float) -> str:
    return NOTHING if math.isnan(ns) else f"{ns / SECOND:.2f} s"


def spread(found: Spread) -> str:
    """Median and 95th percentile in seconds."""
    if math.isnan(found.median_ns):
        return NOTHING
    return f"{found.median_ns / SECOND:.2f} ({found.p95_ns / SECOND:.2f})"
