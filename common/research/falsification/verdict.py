"""The verdict file: what falsification found, bound to code, configuration and data.

Owns its form, its signature and the question whether it speaks for what would run now. The signature is an
HMAC with a key of this machine: it shows that the file was not altered since laggard wrote it here. It proves
nothing to anybody else, nor against somebody who can read the key.
"""

import hashlib
import hmac
import os
import secrets
import stat
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

import common
from common.errors import ConfigError
from common.messages import CheckResult
from common.runtime.config import Config
from common.units import SECOND

SCHEMA = 1
KEY_BYTES = 32
JUDGING = (
    "data/dataset", "grids/grid", "grids/kernel", "grids/trades", "grids/walk",
    "falsification/audit", "falsification/battery", "falsification/falsify", "falsification/significance",
    "backtesting/story",
)  # fmt: skip
"""The modules of this room that a verdict depends on; the core counts whole."""


class Evidence(NamedTuple):
    """Whether real money may move, and by what: one line for people, and what to do when not."""

    by: Literal["verdict", "waiver", "nothing"]
    text: str
    fix: str = ""


def code_hash() -> str:
    """SHA-256 over the sources of every decision and of its judging: names and contents, in order of name."""
    root = Path(common.__file__).parent
    files = [
        *(root / "core").rglob("*.py"), *(root / "messages").rglob("*.py"), root / "units.py",
        *(root / "research" / f"{name}.py" for name in JUDGING),
    ]  # fmt: skip
    whole = hashlib.sha256()
    for file in sorted(files):
        text = file.read_bytes()
        whole.update(f"{file.relative_to(root).as_posix()} {len(text)}\n".encode())
        whole.update(text)
    return whole.hexdigest()


def config_hash(config: Config) -> str:
    """SHA-256 over what the strategy and its markets are configured to, in a canonical form."""
    relevant = {
        "strategy": config.strategy.model_dump(mode="json"),
        "assets": sorted(config.markets.assets),
        "cadence": config.markets.cadence,
    }
    return hashlib.sha256(msgspec.json.encode(relevant, order="sorted")).hexdigest()


def write(
    file: Path, key_file: Path, config: Config, finding: Any, *, data_digest: str, data_name: str, at_ns: int
) -> dict[str, Any]:
    """Sign a finding (as ``falsify`` gives it) and write it whole or not at all; gives what was written."""
    told = {
        "schema": SCHEMA,
        "kind": "verdict",
        "at_ns": at_ns,
        "code": code_hash(),
        "config": config_hash(config),
        "data": data_digest,
        "data_name": data_name,
        "versions": _versions(),
        **msgspec.to_builtins(finding),
    }
    # What is signed is what a reader will see: NaN and infinity are null in JSON.
    content: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(told))
    content["signature"] = _signature(content, _key(key_file))
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    fresh.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")
    fresh.replace(file)
    return content


def verify(file: Path, key_file: Path, config: Config) -> tuple[dict[str, Any] | None, str]:
    """The verdict, if it is whole and speaks for the present code and configuration; or why there is none."""
    try:
        content = msgspec.json.decode(file.read_bytes())
    except FileNotFoundError:
        return None, f"there is no verdict at {file}"
    except OSError as error:
        return None, f"the verdict {file} cannot be read: {error.strerror}"
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None, f"{file} is not a verdict"
    if not isinstance(content, dict) or content.get("kind") != "verdict":
        return None, f"{file} is not a verdict"
    if content.get("schema") != SCHEMA:
        return None, f"the verdict {file} has another form (schema {content.get('schema')})"
    signature = content.pop("signature", None)
    if not key_file.exists():
        return None, f"the verdict {file} was not made on this machine: its key {key_file} is missing"
    if not isinstance(signature, str) or not hmac.compare_digest(
        signature, _signature(content, _key(key_file))
    ):
        return None, f"the verdict {file} was altered, or made on another machine: its signature does not fit"
    if content.get("code") != code_hash():
        return None, f"the verdict {file} was made for other code"
    if content.get("config") != config_hash(config):
        return None, f"the verdict {file} was made for another configuration of strategy or markets"
    return content, ""


def verdict_file(config: Config, state_dir: Path) -> Path:
    """Where the verdict is: as configured, or beside the journal."""
    named = config.evidence.verdict
    return Path(named).expanduser().absolute() if named else state_dir / "verdict.json"


def key_file(state_dir: Path) -> Path:
    """Where this machine's signing key is."""
    return state_dir / "verdict.key"


def evidence(config: Config, state_dir: Path) -> Evidence:
    """By what real money may move: a supported verdict before a waiver, and otherwise nothing."""
    found, why = verify(verdict_file(config, state_dir), key_file(state_dir), config)
    if found is not None and found["result"] == "supported":
        day = _day(int(found["at_ns"]))
        return Evidence(
            "verdict", f"supported by {found['trades']} trades on {found['data_name']}, found on {day}"
        )
    if found is not None:
        why = f"the verdict is {found['result']!r}: {found['text']}"
    if config.evidence.waiver:
        return Evidence("waiver", f"WAIVED by evidence.waiver ({config.evidence.waiver!r}); {why}")
    fix = (
        "run laggard falsify DATA; or, to trade without evidence, say so in a sentence of your own in "
        "evidence.waiver"
    )
    return Evidence("nothing", why, fix)


def evidence_check(config: Config, state_dir: Path) -> CheckResult:
    """The same as one of the start-up checks; a waiver is a warning."""
    if config.mode != "live":
        return CheckResult("evidence", "skipped", "paper trading needs none")
    found = evidence(config, state_dir)
    if found.by == "verdict":
        return CheckResult("evidence", "ok", found.text)
    if found.by == "waiver":
        return CheckResult("evidence", "warning", found.text, "run laggard falsify DATA")
    return CheckResult("evidence", "failed", found.text, found.fix)


def _signature(content: dict[str, Any], key: bytes) -> str:
    return hmac.new(key, msgspec.json.encode(content, order="sorted"), hashlib.sha256).hexdigest()


def _key(file: Path) -> bytes:
    """This machine's key, made on first use for the user alone."""
    if not file.exists():
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as made:
                made.write(secrets.token_bytes(KEY_BYTES))
        except FileExistsError:
            pass  # another process was faster
    if stat.S_IMODE(file.stat().st_mode) & 0o077:
        raise ConfigError(
            [f"{file} can be read by others and signs nothing any more: delete it, falsify anew"]
        )
    key = file.read_bytes()
    if len(key) != KEY_BYTES:
        raise ConfigError([f"{file} is not a signing key: delete it, falsify anew"])
    return key


def _versions() -> dict[str, str]:
    import importlib.metadata
    import platform

    names = ("laggard", "numpy", "numba", "polars")
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _day(at_ns: int) -> str:
    import datetime

    return datetime.datetime.fromtimestamp(at_ns // SECOND, datetime.UTC).strftime("%d %B %Y")
