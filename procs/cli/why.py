"""``laggard why``: every condition of the latest decisions, with value and threshold. Changes nothing."""

from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.text import Text

from common.messages import Verdict, Why, WhyReport, WindowView
from common.units import SECOND, price18_text
from procs.cli.asking import NoAnswer, ask_one, find_place
from procs.cli.show import add_row, console, print_json, table


@click.command()
@click.argument("window", required=False)
@click.option("--summary", is_flag=True, help="Every recorded window: what refused it, and what that cost.")
@click.option("--state", "state_dir", type=click.Path(path_type=Path), help="With --summary: whose tape.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def why(window: str | None, summary: bool, state_dir: Path | None, as_json: bool) -> int:
    """Show why there is or is no trade in WINDOW (btc-updown-15m-1791241200), or in all current ones.

    With --summary the argument is a TAPE instead; without one it is the tape of this bot's recorder. What the
    tape lacks is told on stderr. Exits 1 when there is a window that was never judged, or a segment is torn.
    """
    if summary:
        from procs.cli.why_summary import summarise

        return summarise(Path(window) if window else state_dir, as_json)
    if state_dir is not None:
        raise click.UsageError("--state goes with --summary")
    answer = ask_one(find_place().run_dir, "strategist", Why(window))
    if not isinstance(answer, WhyReport):
        raise NoAnswer(f"the strategist answered {type(answer).__name__}; update all processes")
    if as_json:
        print_json(
            "why",
            verdicts=msgspec.to_builtins(answer.verdicts),
            views=msgspec.to_builtins(answer.views),
        )
        return 0
    names = dict.fromkeys([view.window for view in answer.views] + [one.window for one in answer.verdicts])
    if not names:
        click.echo(f"the strategist knows no window {window}" if window else "no window is being followed")
        return 1 if window else 0
    views = {view.window: view for view in answer.views}
    latest = {verdict.window: verdict for verdict in answer.verdicts}
    out = console()
    for name in names:
        _print_window(out, name, views.get(name), latest.get(name))
    return 0


def _print_window(out: Console, name: str, view: WindowView | None, verdict: Verdict | None) -> None:
    out.print(Text(name, "bold"), Text(headline(view, verdict)))
    if view is not None:
        for line in passport_lines(view):
            out.print(Text(f"  {line}"))
    if verdict is not None:
        made = table("  gate", ">value", ">threshold", "passed")
        for gate in verdict.gates:
            add_row(
                made,
                [f"  {gate.name}", gate.value, gate.threshold, "yes" if gate.passed else "no"],
                style=None if gate.passed else "yellow",
            )
        out.print(made)
    out.print()


def headline(view: WindowView | None, verdict: Verdict | None) -> str:
    """The decision in a few words."""
    parts = []
    if verdict is not None:
        parts.append(f"{verdict.decision.replace('_', ' ')} (verdict {verdict.number})")
    if view is not None and not view.tradable:
        parts.append(f"not tradable: {view.reason}")
    return "; ".join(parts) or "no verdict yet"


def passport_lines(view: WindowView) -> list[str]:
    """The window's settlement passport: strike, reference, and after the end who says what."""
    lines = []
    if view.strike_e18 is not None:
        after_s = (view.strike_obtained_ns - view.start_ns) / SECOND
        line = f"strike {_price(view.strike_e18)} ({view.strike_source}, {after_s:.1f} s after the opening)"
        if view.strike_disputes:
            line += f", disputed {view.strike_disputes} times"
        if view.price_to_beat_e18 is not None:
            line += f"; the venue's price to beat is {_price(view.price_to_beat_e18)}"
        lines.append(line)
    if view.reference_e18 is not None:
        known = f", {view.confidence_ppm / 10_000:.0f} % of it known" if view.confidence_ppm else ""
        lines.append(
            f"reference {_price(view.reference_e18)} ({view.reference_family} by {view.reference_route}, "
            f"{view.basis}{known})"
        )
    if view.closing_e18 is not None:
        lines.append(f"closing value {_price(view.closing_e18)}, predicted {view.predicted or 'nothing'}")
    if view.outcome is not None or view.witnesses:
        said = ", ".join(f"{one.source} {one.outcome}" for one in view.witnesses) or "nobody yet"
        lines.append(f"official outcome {view.outcome or 'none yet'} ({said})")
    return lines


def _price(e18: str) -> str:
    return price18_text(int(e18), places=6)
