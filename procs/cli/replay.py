"""``laggard replay``: a tape through the engine again, with the decisions it makes. Sends nothing."""

from contextlib import nullcontext
from pathlib import Path

import click

from common.errors import DependencyMissing
from procs.cli.configuration import load_config
from procs.cli.show import add_row, console, print_json, progress, table

SHOWN_DIFFERENCES = 20
NEVER_IN_SYNC = "nothing can be compared: in every verdict the strategist said that messages were missing"
OTHER_CONFIG = (
    "the verdicts do not agree; the configuration may differ from the one of that run: try its --config"
)


@click.command()
@click.argument("tape", type=click.Path(path_type=Path))
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="Configuration to decide by.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the decision log there (JSON lines).")
@click.option("--check", is_flag=True, help="Compare with the verdicts the strategist published then.")
@click.option("--speed", is_flag=True, help="Time reading, decoding and the engine each by itself as well.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def replay(
    tape: Path, config_file: Path | None, out: Path | None, check: bool, speed: bool, as_json: bool
) -> int:
    """Run the messages of TAPE through the decision engine, on the tape's own clock.

    TAPE is a directory of segments, one of such directories, or a state directory. The same tape and
    configuration give the same decision log, byte for byte.

    With --check it exits 1 when fewer than nine in ten of the published verdicts come out again; those that
    say themselves that messages were missing, or were made while a new start took its snapshots in, are
    counted and not compared. It also exits 1 when a segment is torn.
    """
    from common.research.replaying import agreement as agreements
    from common.research.replaying import replay as replays
    from procs.cli.tape_words import tell_tears

    config = load_config(config_file)
    routes, strategy, limits = config.oracles.routes, config.strategy_settings(), config.risk_limits()
    try:
        with out.open("wb") if out is not None else nullcontext() as file:
            done = replays.replay(
                tape,
                routes,
                strategy,
                limits,
                file.write if file is not None else None,
                lambda events: progress(f"{events} messages") if events % 100_000 == 0 else None,
            )
    except OSError as error:
        raise DependencyMissing(
            f"cannot write {out}: {error.strerror}; name another file with --out"
        ) from None
    agreement = agreements.compare(done.live, done.again) if check else None
    timed = replays.measure(tape, routes, strategy, limits) if speed else None
    failed = bool(done.tears) or (agreement is not None and not agreement.good)
    if agreement is not None and agreement.live and agreement.live == agreement.not_compared:
        click.echo(NEVER_IN_SYNC, err=True)
    elif agreement is not None and not agreement.good and config_file is None:
        click.echo(OTHER_CONFIG, err=True)
    if as_json:
        print_json(
            "replay",
            sha256=done.sha256,
            events=done.events,
            skipped=done.skipped,
            decisions=done.decisions,
            verdicts=done.verdicts,
            orders=done.orders,
            counts=done.counts,
            tears=[tear._asdict() for tear in done.tears],
            restarts=done.restarts,
            elapsed_s=done.elapsed_ns / 1e9,
            events_per_s=round(done.events_per_s),
            engine_events_per_s=round(done.engine_events_per_s),
            reboots=done.reboots,
            check={**agreement._asdict(), "differences": [one._asdict() for one in agreement.differences]}
            if agreement is not None
            else None,
            speed=timed._asdict() if timed is not None else None,
        )
        return int(failed)
    shown = table("replay", ">")
    rows: list[tuple[str, object]] = [
        ("messages heard", done.events),
        ("other records", done.skipped),
        ("verdicts", done.verdicts),
        ("orders", done.orders),
        ("decisions logged", done.decisions),
        ("sha256 of the log", done.sha256),
        ("messages a second, all in", f"{done.events_per_s:,.0f}"),
        ("in the engine", f"{done.engine_events_per_s:,.0f}"),
    ]
    if done.restarts:
        rows.append(("the strategist began anew", f"{done.restarts} time{'s' * (done.restarts > 1)}"))
    if timed is not None:
        rows += [
            ("read alone, messages a second", f"{timed.read_per_s:,.0f}"),
            ("decode alone", f"{timed.decode_per_s:,.0f}"),
            ("engine alone", f"{timed.step_per_s:,.0f}"),
        ]
    if agreement is not None:
        rows += [
            ("verdicts published then", agreement.live),
            ("the same again", agreement.agreed),
            ("upon the same message", agreement.same_cause),
            ("not compared: messages were missing, or snapshots taken in", agreement.not_compared),
        ]
    for row in rows:
        add_row(shown, row)
    console().print(shown)
    tell_tears(done.tears)
    if agreement is not None:
        for one in agreement.differences[:SHOWN_DIFFERENCES]:
            click.echo(f"{one.window}: published {list(one.live)}, replayed {list(one.replayed)}")
        if len(agreement.differences) > SHOWN_DIFFERENCES:
            click.echo(f"and {len(agreement.differences) - SHOWN_DIFFERENCES} more; --json has all")
    return int(failed)
