"""``laggard why --summary``: the ledger of what was not traded, from a tape. Changes nothing."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.text import Text

from common.runtime.paths import make_paths
from procs.cli.configuration import load_config
from procs.cli.show import add_row, console, money, print_json, table
from procs.cli.stack import own_stack, read_meeting, supervisor_pid

if TYPE_CHECKING:
    from common.research.intervals import Interval
    from common.research.replaying.refusals import Ledger, Refused

NOTE = (
    "each refused trade is weighed as if filled at the asks of its closest moment, without any delay: "
    "kinder than the venue"
)


def summarise(place: Path | None, as_json: bool) -> int:
    """Print the ledger of a tape, by default the running bot's; 1 when it is torn or lacks a verdict."""
    from common.research.replaying.refusals import ledger
    from procs.cli.tape_words import gap_fields, tell_gaps

    config = load_config()
    directory = place or _own_state_dir(config.paths.state_dir)
    found = ledger(directory, config.strategy_settings().stake_usd6)
    if as_json:
        print_json("why-summary", tape=str(directory), note=NOTE, **gap_fields(found.gaps), **_fields(found))
    else:
        _print(console(), directory, found)
        tell_gaps(found.gaps)
    return int(bool(found.gaps.tears or found.without_verdict))


def _own_state_dir(configured: str | None) -> Path:
    """Where the running bot keeps its state, else where it would."""
    stack = own_stack()
    meeting = read_meeting(stack) if supervisor_pid(stack) is not None else None
    return Path(meeting.state_dir) if meeting is not None else make_paths(configured, None).state_dir


def _fields(found: "Ledger") -> dict[str, object]:
    return {
        "windows": [
            {
                **one._asdict(),
                "final": _refused(one.final),
                "closest": _refused(one.closest),
            }
            for one in found.windows
        ],
        "gates": [
            {
                **gate._asdict(),
                "won": gate.won._asdict(),
                "return_per_stake": gate.return_per_stake._asdict(),
            }
            for gate in found.gates
        ],
        "final_gates": found.final_gates,
        "without_verdict": found.without_verdict,
    }


def _refused(refused: "Refused | None") -> dict[str, object] | None:
    if refused is None:
        return None
    best = refused.asks[0][0] if refused.asks else None
    return {"at_ns": refused.at_ns, "failed": refused.failed, "side": refused.side, "ask4": best}


def _print(out: Console, directory: Path, found: "Ledger") -> None:
    if not found.windows:
        out.print(Text(f"{directory}: no window is on this tape, so there is nothing to account for"))
        return
    traded = sum(one.traded for one in found.windows)
    out.print(
        Text(f"{directory}: {len(found.windows)} windows, {traded} traded, ", "bold"),
        Text(
            f"{len(found.without_verdict)} without a verdict",
            "bold" if not found.without_verdict else "bold red",
        ),
    )
    if len(found.without_verdict) == len(found.windows):
        out.print(Text("no strategist is on this tape; laggard backtest judges what it holds"))
        return
    for window in found.without_verdict:
        click.echo(f"  never judged: {window}")
    shown = table(
        "window",
        "side",
        "closest to a trade: refused by",
        "last refused by",
        "outcome",
        ">would have earned $",
    )
    for one in found.windows:
        if one.traded:
            add_row(shown, [one.window, None, "traded", None, one.outcome, None])
            continue
        add_row(
            shown,
            [
                one.window,
                one.closest.side if one.closest else None,
                ", ".join(one.closest.failed) if one.closest else None,
                ", ".join(one.final.failed) if one.final else None,
                one.outcome,
                money(one.net_usd6) if one.net_usd6 is not None else None,
            ],
        )
    out.print(shown)
    if not found.gates:
        out.print(Text("no window was refused by a gate"))
        return
    out.print()
    made = table(
        "gate", ">windows", ">alone", ">last", ">weighed", ">won %", "95 %", ">net $", ">return %", "95 %"
    )
    for gate in found.gates:
        add_row(
            made,
            [
                gate.gate,
                gate.windows,
                gate.alone,
                found.final_gates.get(gate.gate, 0),
                gate.judged,
                *_share(gate.won),
                money(gate.net_usd6),
                *_share(gate.return_per_stake),
            ],
        )
    out.print(made)
    out.print(Text(NOTE))


def _share(interval: "Interval") -> tuple[str | None, str | None]:
    if interval.mean != interval.mean:
        return None, None
    ends = f"{100 * interval.low:.0f} to {100 * interval.high:.0f}"
    return f"{100 * interval.mean:.0f}", ends if abs(interval.low) != float("inf") else "unknown"
