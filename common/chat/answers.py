"""Answers to the reading commands: asks who knows, on the bus or at supervisord, and puts it into words.

Changes nothing. Whoever does not answer within its second is a line of the answer and delays nobody.
"""

import asyncio
import importlib.metadata
import platform
from collections.abc import Awaitable, Callable
from typing import TypeVar
from urllib.parse import urlsplit

from common.chat import programs, reading, watching
from common.core.remote.commands import Asked
from common.errors import CallRefused, CallTimedOut
from common.messages import (
    AccountReport,
    Command,
    OraclesReport,
    ReadAccount,
    ReadOracles,
    ReadRedemptions,
    ReadWallet,
    RedemptionsReport,
    Status,
    StatusReport,
    WalletReport,
    Why,
    WhyReport,
)
from common.runtime.calls import call, call_all
from common.runtime.config import Config, known_keys, value_of
from common.runtime.endpoints import ROLES
from common.runtime.shell import Process
from common.units import SECOND

ANSWER_NS = SECOND
WALLET_NS = 6 * SECOND
"""The executor itself has to ask the venue."""
DEFAULT_LINES = 10
_ERRORS_SHOWN = 20
_ASKED_ROLES = tuple(role for role in ROLES if role not in ("venue", "telegram"))

T = TypeVar("T")


async def ask(
    process: Process, role: str, command: Command, kind: type[T], timeout_ns: int = ANSWER_NS
) -> T | None:
    """One process's answer; None when it does not come or is a refusal."""
    try:
        answer = await call(
            process.ctx,
            process.run_dir,
            role,
            process.role,
            command,
            clock=process.clock,
            timeout_ns=timeout_ns,
        )
    except (CallTimedOut, CallRefused):
        return None
    return answer if isinstance(answer, kind) else None


async def account(process: Process) -> AccountReport | None:
    """The executor's account."""
    return await ask(process, "executor", ReadAccount(), AccountReport)


async def redemptions(process: Process) -> RedemptionsReport | None:
    """What is redeemed and what waits."""
    return await ask(process, "redeemer", ReadRedemptions(), RedemptionsReport)


async def reports(process: Process) -> dict[str, StatusReport | None]:
    """Every process's own word on itself."""
    answers = await call_all(
        process.ctx,
        process.run_dir,
        process.role,
        dict.fromkeys(_ASKED_ROLES, Status()),
        clock=process.clock,
        timeout_ns=ANSWER_NS,
    )
    told = {role: answer if isinstance(answer, StatusReport) else None for role, answer in answers.items()}
    return {**told, process.role: process.report()}


async def answer(process: Process, asked: Asked) -> str:
    """The text for one reading command; ``chart`` is not one of these."""
    return await _ANSWERS[asked.name](process, asked.arguments)


async def _status(process: Process, _arguments: tuple[str, ...]) -> str:
    money, report, all_reports = await asyncio.gather(
        account(process), ask(process, "strategist", Why(), WhyReport), reports(process)
    )
    views = report.views if report is not None else None
    return reading.status_text(money, views, all_reports, process.clock.wall_ns())


async def _window(process: Process, _arguments: tuple[str, ...]) -> str:
    report = await ask(process, "strategist", Why(), WhyReport)
    return watching.windows_text(report, process.clock.wall_ns())


async def _feeds(process: Process, _arguments: tuple[str, ...]) -> str:
    return watching.feeds_text(await ask(process, "strategist", ReadOracles(), OraclesReport))


async def _why(process: Process, arguments: tuple[str, ...]) -> str:
    window = arguments[0] if arguments else ""
    return watching.why_text(await ask(process, "strategist", Why(window or None), WhyReport), window)


async def _positions(process: Process, _arguments: tuple[str, ...]) -> str:
    return reading.positions_text(await account(process))


async def _orders(process: Process, _arguments: tuple[str, ...]) -> str:
    return reading.orders_text(await account(process))


async def _trades(process: Process, arguments: tuple[str, ...]) -> str:
    return reading.trades_text(await account(process), int(arguments[0]) if arguments else DEFAULT_LINES)


async def _pnl(process: Process, _arguments: tuple[str, ...]) -> str:
    return reading.pnl_text(await account(process))


async def _balance(process: Process, _arguments: tuple[str, ...]) -> str:
    money = await account(process)
    wallet = None
    if money is not None and money.account.mode == "live":
        wallet = await ask(process, "executor", ReadWallet(), WalletReport, WALLET_NS)
    return reading.balance_text(money, wallet)


async def _risk(process: Process, _arguments: tuple[str, ...]) -> str:
    return reading.risk_text(await account(process), process.config.risk_limits())


async def _procs(process: Process, _arguments: tuple[str, ...]) -> str:
    rows, own = await asyncio.gather(asyncio.to_thread(programs.table), reports(process))
    return watching.procs_text(rows, own)


async def _errors(_process: Process, _arguments: tuple[str, ...]) -> str:
    return reading.joined(await asyncio.to_thread(programs.complaints, _ERRORS_SHOWN), "no complaints")


async def _logs(_process: Process, arguments: tuple[str, ...]) -> str:
    count = int(arguments[1]) if len(arguments) > 1 else DEFAULT_LINES
    lines = await asyncio.to_thread(programs.log_lines, arguments[0], count)
    return reading.joined(lines, "its log is empty")


async def _config(process: Process, arguments: tuple[str, ...]) -> str:
    return config_text(process.config, arguments[0] if arguments else "")


async def _version(_process: Process, _arguments: tuple[str, ...]) -> str:
    return f"laggard {importlib.metadata.version('laggard')}, Python {platform.python_version()}"


async def _help(_process: Process, _arguments: tuple[str, ...]) -> str:
    return watching.help_text()


_ANSWERS: dict[str, Callable[[Process, tuple[str, ...]], Awaitable[str]]] = {
    "status": _status,
    "window": _window,
    "feeds": _feeds,
    "positions": _positions,
    "orders": _orders,
    "trades": _trades,
    "pnl": _pnl,
    "balance": _balance,
    "why": _why,
    "risk": _risk,
    "procs": _procs,
    "errors": _errors,
    "logs": _logs,
    "config": _config,
    "version": _version,
    "help": _help,
}


def config_text(config: Config, section: str) -> str:
    """What differs from the defaults, or a whole section; of an address only the host, which is no secret."""
    plain, keys = Config(), known_keys()
    if section:
        keys = [key for key in keys if key == section or key.startswith(f"{section}.")]
        if not keys:
            sections = dict.fromkeys(key.partition(".")[0] for key in known_keys() if "." in key)
            return f"There is no section {section}: {', '.join(sections)}."
    else:
        keys = [key for key in keys if key == "mode" or value_of(config, key) != value_of(plain, key)]
    lines = [f"{key} = {_shown(value_of(config, key))}" for key in keys]
    return reading.fit("\n".join(lines if section else [*lines, "(all else is as by default)"]))


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(_shown(one) for one in value) or "none"
    text = str(value)
    if "://" not in text:
        return text or "none"
    parts = urlsplit(text)
    # User, password, path and query may all carry a key.
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
