"""What one run of the simulated venue is told: where it listens, what it plays, how it behaves.

Read once from a JSON file. Never reads the environment and never changes during a run.
"""

import ipaddress
import re
from pathlib import Path
from typing import Literal

import msgspec

from common.errors import ConfigError

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}\Z")


class SimAccount(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One customer of the simulated venue."""

    signer: str
    """Address of the key that owns the wallet."""
    kind: Literal["eoa", "proxy", "safe", "deposit"] = "deposit"
    address: str = ""
    """The wallet that holds the money; empty for an eoa, which is its own wallet."""
    usd6: int = 1_000_000_000
    allowance_usd6: int = 2**256 - 1
    """What each exchange contract may take of it; never used up."""
    session_signers: tuple[str, ...] = ()
    """Addresses of other keys that may trade for a deposit wallet."""


class SimSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One run of the simulated venue; every field has a default that gives a generated demo."""

    listen: str = "127.0.0.1:8701"
    """Loopback ``host:port``; port 0 lets the system choose."""
    mode: Literal["generated", "recording"] = "generated"
    faults_file: str = ""
    """JSON list of faults, read again whenever it changes; empty for none."""
    taker_delay_ms: int = 150
    """How long an order waits for its match on markets that have a taker delay, told as their ``itodems``."""

    accounts: tuple[SimAccount, ...] = ()
    """Who has money here; anybody may make an API key."""
    mined_after_ms: int = 200
    """From a match to its transaction."""
    confirmed_after_ms: int = 200
    """From there to its confirmation."""
    answers_delayed: bool = False
    """Whether an order that has to wait is answered ``delayed`` at once, or ``matched`` after the wait."""
    tells_ended_orders: bool = True
    """Whether an order that can fill no more is still told by its id; both are reported of the venue."""
    odd_user_frames: bool = False
    """Whether user-channel frames vary their stamps, keys and wrapping as the captured ones do."""
    page_size: int = 100
    """How many orders or trades a page has."""
    evm: bool = False
    """Whether the chain is a real EVM node; for generated markets, whose conditions can be made there."""
    block_ms: int = 2_000
    """From one block of the chain to the next."""
    positions_late_s: float = 2.0
    """How far the data service's positions are behind the chain."""
    relayer_keys: dict[str, str] = {}
    """API key of the relayer to the address that owns it."""

    polybolt_credentials: dict[str, tuple[str, str]] = {}
    """API key to secret and passphrase; beside them count the keys that are made while the venue runs."""
    chainlink_credentials: dict[str, str] = {}
    """Client id to secret."""

    seed: int = 1
    assets: tuple[str, ...] = ("btc", "eth", "sol", "xrp")
    """Lower-case tickers."""
    window_s: int = 900
    twap_lookback_s: int | None = 60
    """None: windows settle on spot."""
    book_lag_s: float = 55.0
    """How long the generated book takes to follow the oracle."""
    book_updates_per_s: int = 3
    """Mean number of changes of an open window's books in a second."""
    volatility_annual: float = 0.6
    """Standard deviation of the generated yearly log return."""
    jumps_per_window: float = 1.0
    """Expected number of sudden moves in one window and asset."""
    jump_ppm: int = 1_500
    """Typical size of such a move in parts per million of the price."""
    resolution_delay_s: float = 55.0
    """From the end of a window to its official outcome."""
    starts_at_ns: int | None = None
    """Wall-clock instant the generated world begins; None is the start of the process."""

    path: str = ""
    """The recording to play."""
    speed: float | None = None
    """How many recorded seconds pass in one; None is as fast as ``seconds`` needs."""
    seconds: int | None = None
    """How long an automatic speed lets the run last; None leaves it to the recording."""

    @property
    def host(self) -> str:
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.listen.rpartition(":")[2])


def load_settings(path: Path) -> SimSettings:
    """Read and check the settings file; raises ConfigError naming every problem and its cure."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            [f"cannot read the venue settings {path}: {error.strerror}; create the file or correct the path"]
        ) from None
    try:
        settings = msgspec.json.decode(raw, type=SimSettings)
    except msgspec.MsgspecError as error:
        raise ConfigError([f"venue settings {path} are not valid: {error}; correct that field"]) from None
    problems = problems_in(settings)
    if problems:
        raise ConfigError([f"venue settings {path}: {problem}" for problem in problems])
    return settings


def problems_in(settings: SimSettings) -> list[str]:
    """Everything wrong with well-formed settings, each a sentence with its cure."""
    problems = []
    if not _is_loopback(settings.listen):
        problems.append(f"listen is {settings.listen!r}; write a loopback address as 127.0.0.1:PORT")
    if settings.mode == "recording" and not settings.path:
        problems.append("mode is recording but path is empty; name the recording to play")
    if settings.evm and settings.mode != "generated":
        problems.append("evm is for generated markets; leave it out, or set mode to generated")
    if not settings.assets or any(not asset.isalnum() or asset != asset.lower() for asset in settings.assets):
        problems.append('assets must be lower-case tickers; write for example ["btc", "eth"]')
    if len(set(settings.assets)) != len(settings.assets):
        problems.append("assets names one ticker twice; remove the repetition")
    if settings.window_s < 5:
        problems.append(f"window_s is {settings.window_s}; use at least 5")
    if settings.twap_lookback_s is not None and settings.twap_lookback_s < 1:
        problems.append(f"twap_lookback_s is {settings.twap_lookback_s}; use 30, 60 or null for spot")
    if settings.book_updates_per_s < 2:
        problems.append(f"book_updates_per_s is {settings.book_updates_per_s}; use at least 2")
    if settings.speed is not None and not settings.speed > 0:
        problems.append(f"speed is {settings.speed}; use a number above 0, or null for automatic")
    if settings.seconds is not None and settings.seconds < 30:
        problems.append(f"seconds is {settings.seconds}; use at least 30")
    if settings.page_size < 1:
        problems.append(f"page_size is {settings.page_size}; use at least 1")
    if settings.block_ms < 1:
        problems.append(f"block_ms is {settings.block_ms}; use at least 1")
    problems += [problem for account in settings.accounts for problem in _problems_of(account)]
    wallets = [(account.address or account.signer).lower() for account in settings.accounts]
    if len(set(wallets)) != len(wallets):
        problems.append("accounts names one wallet twice; remove the repetition")
    amounts = (
        "taker_delay_ms",
        "mined_after_ms",
        "confirmed_after_ms",
        "book_lag_s",
        "volatility_annual",
        "jumps_per_window",
        "jump_ppm",
        "resolution_delay_s",
        "positions_late_s",
    )
    problems += [
        f"{name} is {getattr(settings, name)}; use 0 or more"
        for name in amounts
        if not getattr(settings, name) >= 0
    ]
    return problems


def _problems_of(account: SimAccount) -> list[str]:
    problems = [
        f"accounts names {address!r}; write an address as 0x and 40 hex digits"
        for address in (account.signer, account.address or account.signer, *account.session_signers)
        if _ADDRESS.match(address) is None
    ]
    own_wallet = account.address.lower() in ("", account.signer.lower())
    if own_wallet != (account.kind == "eoa"):
        problems.append(f"the {account.kind} account of {account.signer} needs a wallet address of its kind")
    if account.session_signers and account.kind != "deposit":
        problems.append(f"the {account.kind} account of {account.signer} cannot have session signers")
    if account.usd6 < 0 or account.allowance_usd6 < 0:
        problems.append(f"the account of {account.signer} has less than nothing; use 0 or more")
    return problems


def _is_loopback(listen: str) -> bool:
    host, _, port = listen.rpartition(":")
    if not port.isdecimal() or int(port) > 65_535:
        return False
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
