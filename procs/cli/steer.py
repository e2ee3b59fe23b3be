"""``laggard pause|resume|noentry|halt|flatten|cancelall``: tells the executor what it may do.

Owns the question to the person and what is told of the answer. Decides nothing about orders; an answer that
does not come is unknown, never done.
"""

import asyncio
import getpass
import sys
import uuid
from pathlib import Path

import click
import msgspec

from common.errors import CallRefused, CallTimedOut
from common.messages import (
    Accepted,
    AccountReport,
    Answer,
    CancelAll,
    Command,
    Flatten,
    Posture,
    PostureState,
    SetPosture,
)
from common.runtime.clock import SystemClock
from common.units import SECOND
from procs.cli.asking import NoAnswer, ask_account, find_place
from procs.cli.show import clock_time, money, print_json, progress
from procs.cli.survey import nothing_runs

NOBODY = "nothing runs here, so nothing was done; laggard up starts it"
TRIES = 3
ANSWER_LIMIT_S = 2.0
"""For one try; the executor is back well within all three when it is only being restarted."""
_REASON = click.option("--reason", default="", help="Why, for whoever looks later.")
_YES = click.option("--yes", is_flag=True, help="Do not ask.")
_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")


@click.command()
@_REASON
@_JSON
def pause(reason: str, as_json: bool) -> int:
    """Begin no order until laggard resume; what is held stays and is settled."""
    return _set("pause", "paused", reason, as_json=as_json)


@click.command()
@_REASON
@_JSON
def noentry(reason: str, as_json: bool) -> int:
    """Begin no new position until laggard resume; open orders and positions go on."""
    return _set("noentry", "no-new-orders", reason, as_json=as_json)


@click.command()
@_REASON
@_JSON
def halt(reason: str, as_json: bool) -> int:
    """The kill switch: nothing begins until laggard resume, whatever is restarted meanwhile.

    When the executor does not answer, or nothing runs, a note makes its next start begin halted.
    """
    return _set("halt", "halted", reason, as_json=as_json)


@click.command()
@_REASON
@_YES
@_JSON
def resume(reason: str, yes: bool, as_json: bool) -> int:
    """Allow new orders again, after showing what was decided before and by whom."""
    seen = _confirmed("allow new orders again?", yes=yes, as_json=as_json)
    if seen is not None and _state(seen) != _state(ask_account(find_place().run_dir)):
        click.echo("the posture changed while you were asked; look again with laggard status", err=True)
        return 1
    return _set("resume", "trading", reason, as_json=as_json)


@click.command()
@_REASON
@_YES
@_JSON
def flatten(reason: str, yes: bool, as_json: bool) -> int:
    """Begin nothing new, take back what rests, sell what is held and can be sold."""
    _confirmed("sell all that can be sold?", yes=yes, as_json=as_json)
    return _tell("flatten", Flatten(who=whoami(), reason=reason), as_json=as_json)


@click.command()
@_JSON
def cancelall(as_json: bool) -> int:
    """Take back every order that rests or whose fate is open; the posture stays as it is."""
    return _tell("cancelall", CancelAll(who=whoami()), as_json=as_json)


def whoami() -> str:
    """Who this is in the journal: ``cli:<user>``."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):
        return "cli:unknown"


def _set(verb: str, posture: Posture, reason: str, *, as_json: bool) -> int:
    wish = SetPosture(posture=posture, reason=reason or f"laggard {verb}", who=whoami())
    return _tell(verb, wish, as_json=as_json)


def _tell(verb: str, wish: Command, *, as_json: bool) -> int:
    """Carry the wish to the executor and say what came of it: 0 done, 1 refused or unknown, 4 nobody runs."""
    place = find_place()
    if nothing_runs(place, ("executor",)):
        code = _nobody(verb, wish, as_json=as_json)
        if code is not None:
            return code
        place = find_place()
    try:
        answer = asyncio.run(_ask_until_answered(place.run_dir, wish))
    except CallTimedOut:
        return _unknown(verb, wish, as_json=as_json)
    except CallRefused as refusal:
        _say(verb, "refused", refusal.text, as_json=as_json, code=refusal.code)
        return 1
    text = answer.text if isinstance(answer, Accepted) else type(answer).__name__
    _say(verb, "done", text, as_json=as_json)
    return 0


async def _ask_until_answered(run_dir: Path, wish: Command) -> Answer:
    """Ask again under the same id while no answer comes: the executor acts on it once.

    Raises CallTimedOut after the last try, CallRefused when the answer is no.
    """
    import zmq.asyncio

    from common.runtime.calls import call

    ctx = zmq.asyncio.Context()
    request_id = uuid.uuid4().hex
    try:
        for attempt in range(1, TRIES + 1):
            try:
                return await call(
                    ctx,
                    run_dir,
                    "executor",
                    "cli",
                    wish,
                    clock=SystemClock(),
                    timeout_ns=int(ANSWER_LIMIT_S * SECOND),
                    request_id=request_id,
                )
            except CallTimedOut:
                if attempt == TRIES:
                    raise
                progress(f"the executor does not answer yet; asking again ({attempt + 1} of {TRIES})")
    finally:
        ctx.destroy(linger=0)
    raise AssertionError("unreachable")


def _nobody(verb: str, wish: Command, *, as_json: bool) -> int | None:
    """Nothing runs: a halt is certain with its note, anything else has nobody to do it.

    None when an executor was started meanwhile, which may not have met the note: it has to be asked.
    """
    if not isinstance(wish, SetPosture) or wish.posture != "halted":
        _say(verb, "not running", NOBODY, as_json=as_json)
        return NoAnswer.exit_code
    noted = _leave_note(wish)
    if not nothing_runs(find_place(), ("executor",)):
        return None
    if noted:
        _say(verb, "done", "nothing runs here; the next start begins halted", as_json=as_json)
        return 0
    text = (
        "nothing runs here, but the note for the next start could not be written: it would not begin halted"
    )
    _say(verb, "not running", text, as_json=as_json)
    return NoAnswer.exit_code


def _unknown(verb: str, wish: Command, *, as_json: bool) -> int:
    text = "the executor did not answer, so it is unknown whether it was done: look at laggard status"
    if isinstance(wish, SetPosture) and wish.posture == "halted":
        if _leave_note(wish):
            text += "; whatever it does now, its next start begins halted. laggard down stops it altogether"
        else:
            text += "; the note for its next start could not be written either: laggard down stops it"
    _say(verb, "unknown", text, as_json=as_json)
    return 1


def _leave_note(wish: SetPosture) -> bool:
    """Make the executor's next start begin halted; False when that cannot be written."""
    from procs.cli.kill_switch import leave_kill_switch

    return leave_kill_switch(f"{wish.reason} ({wish.who})")


def _say(verb: str, outcome: str, text: str, *, as_json: bool, code: str = "") -> None:
    if as_json:
        print_json("steer", verb=verb, outcome=outcome, code=code or None, text=text)
    elif outcome == "done":
        click.echo(f"{verb}: {text or 'done'}")
    else:
        click.echo(f"{verb}: {outcome}: {text}", err=True)


def _confirmed(question: str, *, yes: bool, as_json: bool) -> AccountReport | None:
    """Show posture, positions and orders and ask; ends the command with 1 when the answer is no."""
    if yes:
        return None
    if as_json or not sys.stdin.isatty():
        raise click.UsageError("nobody can be asked here: say --yes, or look with laggard status")
    place = find_place()
    if nothing_runs(place, ("executor",)):
        raise NoAnswer(NOBODY)
    report = ask_account(place.run_dir)
    for line in shown(report):
        click.echo(line, err=True)
    if not click.confirm(question, err=True):
        click.echo("nothing was done", err=True)
        raise click.exceptions.Exit(1)
    return report


def shown(report: AccountReport) -> list[str]:
    """What a person decides on: posture, what is held, what is under way."""
    posture = report.posture
    lines = [f"posture    {posture_line(posture)}"]
    held = [position for position in report.positions if not position.settled]
    working = [order for order in report.orders if order.status == "working"]
    lines += [
        f"position   {one.window} {one.outcome}: {one.size6 / 1_000_000:.2f} shares, {money(one.cost_usd6)} $"
        for one in held
    ] or ["positions  none"]
    lines += [
        f"order      {one.window} {one.outcome}: up to {money(one.stake_usd6)} $ {one.unknown or one.status}"
        for one in working
    ] or ["orders     none under way"]
    lines.append(
        f"account    {report.account.mode}, cash {money(report.account.cash_usd6)} $, "
        f"today {money(report.account.day_pnl_usd6)} $"
    )
    return lines


def posture_line(posture: PostureState) -> str:
    """``paused by cli:me since 12:03:11 UTC (lunch)``."""
    by = f" by {posture.who}" if posture.who else ""
    since = f" since {clock_time(posture.since_ns)} UTC" if posture.since_ns else ""
    return f"{posture.posture}{by}{since}{f' ({posture.reason})' if posture.reason else ''}"


def _state(report: AccountReport) -> bytes:
    return msgspec.msgpack.encode(report.posture)
