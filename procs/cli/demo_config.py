"""What a demo plays and with which thresholds: the plan, the venue's settings and the configuration file.

Only URLs and thresholds differ from a real run; recorded time is compressed and every limit with it.
"""

import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import msgspec

from common.errors import ConfigError
from common.messages import RouteName
from common.runtime.credentials import Secret, write_credentials
from common.sim.evm import node
from common.sim.naming import window_label
from common.sim.oracle.chainlink_dialect import sim_feed_ids
from common.sim.recorded.recordings import RecordingInfo, describe, recording_script
from common.sim.settings import SimAccount, SimSettings
from common.units import SECOND

if TYPE_CHECKING:
    from procs.cli.demo_chat import Chat

WINDOW_S = 60
SHORTEST_WINDOW_S = 5
SHORT_RUN_S = 100
DEFAULT_SECONDS = 150
RULE_WINDOW_S = 900
"""The window length the published rule and the simulated venue's defaults are made for."""
RULE_TIME_LEFT_S = 300
START_MARGIN_S = 5
"""From the plan to the first recorded instant: the processes start meanwhile."""
SILENCE_FLOOR_S = 60
"""A recording may itself be silent for long; a process that ends for it would only miss what comes next."""
FRAMES_LOOKAHEAD_S = 25 * 3600
EXCHANGES = ("coinbase", "kraken", "binance")
DEMO_ASSETS = ("btc", "eth", "sol", "xrp")
CHAT_LINK = "telegram.json"
"""Among the demo's credentials, while it runs."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One demo before anything runs."""

    title: str
    seconds: float | None
    """None: until the script ends."""
    cadence: str
    window_s: int
    speed: float
    assets: tuple[str, ...]
    families: tuple[str, ...]
    watched: tuple[str, ...]
    """Series that never fall silent in this plan."""
    min_time_left_s: float
    lookahead_s: float
    oracles: tuple[RouteName, ...]
    """Routes by rank."""
    sim: SimSettings
    recording: RecordingInfo | None
    notes: tuple[str, ...]
    trading_key: Secret | None = None
    """Key of the made-up account that trades; None on paper."""
    chat: "Chat | None" = None
    """Where the demo tells and takes commands."""


def generated_plan(
    seconds: int | None, seed: int, port: int, now_ns: int, oracles: tuple[RouteName, ...]
) -> Plan:
    """Generated markets: windows of a minute, or as long as lets two of them end within a short run."""
    run_s = DEFAULT_SECONDS if seconds is None else seconds
    window_s = WINDOW_S if run_s >= SHORT_RUN_S else max(SHORTEST_WINDOW_S, (run_s - 10) // 2)
    scale = window_s / RULE_WINDOW_S
    notes = ["prices, books and outcomes are generated from the seed; nothing here happened"]
    families: tuple[str, ...] = ("chainlink",)
    if set(oracles) == {"exchange"}:
        families = EXCHANGES
        notes.append("no route to the oracle was chosen: windows are judged by a proxy, not settlement")
        notes.append("a proxy needs a minute of its own prices before a window opens: give it 150 seconds")
    sim = SimSettings(
        listen=f"127.0.0.1:{port}",
        seed=seed,
        assets=DEMO_ASSETS,
        window_s=window_s,
        **_credentials(),
        # The relay alone is a second late: a book faster than that could not be beaten by anybody.
        book_lag_s=max(3.0, 55 * scale),
        jumps_per_window=2.0,
        resolution_delay_s=max(2.0, 55 * scale),
        # A venue that is killed and started again goes on with the same world.
        starts_at_ns=now_ns,
    )
    return Plan(
        title=f"generated {window_label(window_s)} markets, seed {seed}",
        seconds=run_s,
        cadence=window_label(window_s),
        window_s=window_s,
        speed=1.0,
        assets=sim.assets,
        families=families,
        watched=("spot", "twap60"),
        min_time_left_s=window_s / 3,
        lookahead_s=float(window_s),
        oracles=oracles,
        sim=sim,
        recording=None,
        notes=tuple(notes),
    )


def recording_plan(
    path: Path,
    seconds: int | None,
    speed: float | None,
    port: int,
    now_ns: int,
    oracles: tuple[RouteName, ...],
) -> Plan:
    """A recording, compressed; raises RecordingUnreadable or ConfigError when it cannot be played."""
    info = describe(path)
    script = recording_script(path, speed, now_ns + START_MARGIN_S * SECOND, seconds=seconds)
    notes = list(script.notes)
    left_s = RULE_TIME_LEFT_S
    if info.cadence_s < RULE_WINDOW_S:
        left_s = info.cadence_s // 3
        notes.append(
            f"windows of {info.cadence_s} s are shorter than the rule's: "
            f"it demands {left_s} s left instead of {RULE_TIME_LEFT_S}"
        )
    exchange_only = info.layout == "quotes"
    if exchange_only:
        notes.append(
            "the recording's running price is Binance's: windows are judged by the binance family too"
        )
    lookahead_s = FRAMES_LOOKAHEAD_S / script.speed if info.layout == "frames" else float(script.window_s)
    return Plan(
        title=script.title,
        seconds=seconds,
        cadence=script.cadence,
        window_s=script.window_s,
        speed=script.speed,
        assets=info.assets,
        families=("chainlink", "binance") if exchange_only else ("chainlink",),
        watched=("binance",) if exchange_only else ("spot",),
        min_time_left_s=left_s / script.speed,
        lookahead_s=lookahead_s,
        oracles=oracles,
        sim=SimSettings(
            listen=f"127.0.0.1:{port}",
            mode="recording",
            **_credentials(),
            # A venue that is killed and started again goes on where the recording is by then.
            starts_at_ns=now_ns + START_MARGIN_S * SECOND,
            path=str(path.resolve()),
            speed=script.speed,
            taker_delay_ms=max(1, round(150 / script.speed)),
        ),
        recording=info,
        notes=tuple(notes),
    )


class Credentials(TypedDict):
    """What the simulated venue lets in."""

    polybolt_credentials: dict[str, tuple[str, str]]
    chainlink_credentials: dict[str, str]


def _credentials() -> Credentials:
    """Made up for one run; worth nothing anywhere else."""
    return {
        "polybolt_credentials": {str(uuid.uuid4()): (secrets.token_urlsafe(32), secrets.token_hex(32))},
        "chainlink_credentials": {str(uuid.uuid4()): secrets.token_urlsafe(32)},
    }


def with_live_account(plan: Plan) -> Plan:
    """The same demo with real orders: a deposit wallet of a key that exists for this run alone."""
    from common.venue.signing.order_signature import Signer
    from common.venue.signing.wallet import wallets_of

    key = Secret("0x" + secrets.token_hex(32))
    signer = Signer(key).address
    account = SimAccount(signer=signer, kind="deposit", address=wallets_of(signer).deposit)
    relayer_keys = {str(uuid.uuid4()): signer}
    missing = _why_no_evm(plan)
    where = f"on the simulated chain: {missing}" if missing else "on a real EVM node (anvil)"
    return replace(
        plan,
        trading_key=key,
        sim=msgspec.structs.replace(
            plan.sim, accounts=(account,), relayer_keys=relayer_keys, evm=not missing
        ),
        notes=(
            *plan.notes,
            "orders are signed, sent and pursued for real, at the simulated venue",
            f"redeemed {where}",
        ),
    )


def with_chat(plan: Plan, chat: "Chat") -> Plan:
    """The same demo, seen and commanded from its user's own Telegram."""
    note = f"told to the chats of @{chat.bot}, and commanded from there"
    return replace(plan, chat=chat, notes=(*plan.notes, note))


def _why_no_evm(plan: Plan) -> str:
    """Why this demo redeems on the simulated chain; empty when it need not."""
    if plan.recording is not None:
        return "an EVM node cannot have the conditions of a recording"
    return node.absent()


def config_toml(plan: Plan, credentials_dir: Path) -> str:
    """The configuration of the processes: every venue URL on the simulated venue."""
    host, speed = plan.sim.listen, plan.speed
    live = plan.trading_key is not None
    lines = [
        f"# Written by laggard demo: {plan.title}",
        f'mode = "{"live" if live else "paper"}"',
        "",
    ]
    if live:
        lines += ["[wallet]", 'kind = "deposit"', f'address = "{plan.sim.accounts[0].address}"', ""]
        lines += ["[evidence]", 'waiver = "No real money: the venue of the demo is simulated."', ""]
    lines += [
        "[markets]",
        f"assets = {_list(plan.assets)}",
        f'cadence = "{plan.cadence}"',
        f"lookahead_s = {_number(plan.lookahead_s)}",
        "poll_s = 1",
        "",
        "[venue]",
        f'rtds_url = "ws://{host}/rtds"',
        f'polybolt_url = "ws://{host}/polybolt"',
        f'clob_ws_url = "ws://{host}/ws/market"',
        f'clob_url = "http://{host}/clob"',
        f'gamma_url = "http://{host}/gamma"',
        f'data_url = "http://{host}/data"',
        f'clob_user_ws_url = "ws://{host}/ws/user"',
        f'geoblock_url = "http://{host}/geoblock"',
        f'chain_rpc_urls = ["http://{host}/chain"]',
        "",
        "[redeem]",
        f'relayer_url = "http://{host}/relayer"',
        "poll_s = 1",
        "",
        "[paths]",
        f'credentials_dir = "{credentials_dir}"',
        "",
        "[chainlink]",
        f'ws_url = "ws://{host}/chainlink"',
        f'rest_url = "http://{host}/chainlink"',
        f"feeds = {_list(tuple(f'{key}={feed}' for key, feed in sim_feed_ids(plan.assets).items()))}",
        "",
        *(plan.chat.config_lines() if plan.chat is not None else ()),
        "[exchanges]",
        f'coinbase_url = "ws://{host}/exchange/coinbase"',
        f'kraken_url = "ws://{host}/exchange/kraken"',
        f'binance_url = "ws://{host}/exchange/binance"',
        "",
        "[oracles]",
        f"routes = {_list(plan.oracles)}",
        f"watched = {_list(plan.watched)}",
        "",
        "[strategy]",
        f"families = {_list(plan.families)}",
        f"min_time_left_s = {_number(plan.min_time_left_s)}",
        'stake_usd = "10"',
        f"max_tick_age_s = {_scaled(5, speed, 0.5)}",
        f"max_book_age_s = {_scaled(10, speed, 0.5)}",
        f"order_life_s = {_scaled(2, speed, 0.5)}",
        "",
        "[risk]",
        f"max_orders_per_minute = {min(600, round(12 * max(1.0, speed)))}",
        "",
        "[paper]",
        f"max_fill_age_s = {_scaled(5, speed, 0.5)}",
        "",
        "[watch]",
        f"tick_stale_s = {_scaled(20, speed, 5)}",
        f"tick_dead_s = {_scaled(120, speed, SILENCE_FLOOR_S)}",
        f"book_stale_s = {_scaled(30, speed, 5)}",
        f"book_dead_s = {_scaled(180, speed, SILENCE_FLOOR_S)}",
        f"discovery_stale_s = {_scaled(120, speed, 10)}",
    ]
    return "\n".join(lines) + "\n"


def write_files(plan: Plan, state_dir: Path) -> tuple[Path, Path]:
    """Write configuration and venue settings into the demo's directory; returns their paths.

    Raises ConfigError rather than replace a Telegram token that somebody keeps in the demo's directory.
    """
    config_file, sim_file = state_dir / "demo.toml", state_dir / "venue.json"
    credentials_dir = state_dir / "credentials"
    for name in ("polybolt", "chainlink", "trading", "relayer"):
        # Of an earlier demo in the same place: that venue is no more.
        (credentials_dir / f"{name}.json").unlink(missing_ok=True)
    remove_token_link(state_dir)
    for key, (secret, passphrase) in plan.sim.polybolt_credentials.items():
        polybolt = {"api_key": key, "secret": secret, "passphrase": passphrase}
        write_credentials(credentials_dir / "polybolt.json", polybolt)
    for client, secret in plan.sim.chainlink_credentials.items():
        write_credentials(credentials_dir / "chainlink.json", {"client_id": client, "secret": secret})
    for key, address in plan.sim.relayer_keys.items():
        write_credentials(credentials_dir / "relayer.json", {"key": key, "address": address})
    if plan.trading_key is not None:
        write_credentials(credentials_dir / "trading.json", {"private_key": plan.trading_key.reveal()})
    if plan.chat is not None:
        # A link: the token stays in the one file its owner keeps it in.
        link = credentials_dir / CHAT_LINK
        try:
            link.symlink_to(plan.chat.token_file)
        except FileExistsError:
            raise ConfigError([f"{link} holds a token; move it away or name another --state"]) from None
    config_file.write_text(config_toml(plan, credentials_dir))
    sim_file.write_bytes(msgspec.json.format(msgspec.json.encode(plan.sim), indent=2))
    return config_file, sim_file


def remove_token_link(state_dir: Path) -> None:
    """Leave nothing in the demo's directory that leads to the user's token."""
    link = state_dir / "credentials" / CHAT_LINK
    if link.is_symlink():
        link.unlink()


def _scaled(seconds: float, speed: float, floor: float) -> str:
    return _number(max(floor, seconds / max(1.0, speed)))


def _number(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")


def _list(names: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"
