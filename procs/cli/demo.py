"""The demo: every process for real against the simulated venue, offline, then an audit of what happened.

It ends with one summary and exits 0 only when nothing was lost, doubled, unbalanced or thrown, and something
was bought and settled. Decides nothing about trading.
"""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from common.messages import RouteName
from procs.cli.main import run

if TYPE_CHECKING:
    from procs.cli.demo_chat import Chat
    from procs.cli.demo_config import Plan

DEFAULT_ORACLES: tuple[RouteName, ...] = ("chainlink", "polybolt", "rtds")


@click.command()
@click.option(
    "--seconds",
    type=click.IntRange(min=15),
    help="End so long after all processes answer; a recording otherwise ends by itself.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout, nothing else.")
@click.option(
    "--recording",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Play this recording instead of generated markets.",
)
@click.option("--speed", type=click.FloatRange(min=0, min_open=True), help="Recorded seconds per second.")
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of generated markets.")
@click.option(
    "--oracles",
    default=",".join(DEFAULT_ORACLES),
    show_default=True,
    metavar="LIST",
    help="Routes to the oracle's price, best first; exchange adds public tickers.",
)
@click.option(
    "--live-adapter",
    is_flag=True,
    help="Trade with real orders on a made-up account of the simulated venue, instead of on paper.",
)
@click.option(
    "--telegram",
    is_flag=True,
    help="Tell and obey in your own Telegram too; see above for what it needs.",
)
@click.option(
    "--state", "state_dir", type=click.Path(path_type=Path), help="Directory for journal, tapes and logs."
)
def demo(
    seconds: int | None,
    as_json: bool,
    recording: Path | None,
    speed: float | None,
    seed: int,
    oracles: str,
    live_adapter: bool,
    telegram: bool,
    state_dir: Path | None,
) -> int:
    """Run everything offline against the simulated venue and audit it; exit 0 when all is accounted for.

    With --telegram it also tells and obeys in your own Telegram, the one thing outside this machine that it
    then uses. It needs what `laggard up` does, and `laggard init` asks for it: credentials/telegram.json with
    {"token": "..."} as @BotFather gave it, readable by you alone, and in config.toml under [telegram] your
    chat_id, for a group also allowed_users. Both are verified before anything starts. Commands steer the demo
    alone. Your own laggard must not use the same bot meanwhile.
    """
    from procs.cli.demo_config import with_chat, with_live_account
    from procs.cli.demo_play import play

    if speed is not None and recording is None:
        raise click.UsageError("--speed is for --recording; generated markets run at speed 1")
    routes = _routes(oracles)
    chat = _join_chat() if telegram else None
    plan = _planned(recording, seconds, speed, seed, routes)
    if live_adapter:
        plan = with_live_account(plan)
    if chat is not None:
        plan = with_chat(plan, chat)
    return play(plan, state_dir, as_json=as_json)


def _planned(
    recording: Path | None, seconds: int | None, speed: float | None, seed: int, routes: tuple[RouteName, ...]
) -> "Plan":
    from common.sim.recorded.recordings import RecordingUnreadable
    from procs.cli.demo_config import generated_plan, recording_plan
    from procs.cli.demo_stage import free_port

    port, now_ns = free_port(), time.time_ns()
    if recording is None:
        return generated_plan(seconds, seed, port, now_ns, routes)
    try:
        return recording_plan(recording, seconds, speed, port, now_ns, routes)
    except RecordingUnreadable as error:
        raise click.BadParameter(str(error), param_hint="--recording") from None


def _join_chat() -> "Chat":
    from procs.cli.demo_chat import join_chat

    return join_chat()


def _routes(text: str) -> tuple[RouteName, ...]:
    names: tuple[RouteName, ...] = get_args(RouteName)
    asked = [part.strip() for part in text.split(",") if part.strip()]
    chosen = tuple(name for part in asked for name in names if name == part)
    if not chosen or len(chosen) != len(asked) or len(set(chosen)) != len(chosen):
        raise click.BadParameter(
            f"{text!r} is not a list of different routes; choose from {', '.join(names)}",
            param_hint="--oracles",
        )
    return chosen


if __name__ == "__main__":
    sys.exit(run(demo))
