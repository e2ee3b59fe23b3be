"""A redeemer in a process of its own: killed at a chosen step of its journal, or at work until told to end.

Forked, so that a start costs milliseconds; the kill is a real SIGKILL.
"""

import asyncio
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import msgspec

from common.core.redemption.attempts import Attempt
from common.runtime.clock import SystemClock
from common.runtime.config import Config
from common.runtime.credentials import Secret
from common.runtime.paths import Paths
from common.store.redemption_journal import RedemptionJournal
from common.venue import fetch
from common.venue.clob.order_request import Account
from common.venue.redeeming.candidates import Due
from common.venue.redeeming.opening import open_desk
from common.venue.redeeming.own_gas import OwnGas
from common.venue.redeeming.relayed import Relayed
from common.venue.redeeming.report import redemptions
from common.venue.signing.order_signature import Signer

STEPS = (
    "before it is journalled",
    "journalled, not sent",
    "sent, not noted",
    "sent and noted",
    "in a block and noted",
    "before its end is noted",
    "its end is noted",
)
"""Between every two of them something is written; "" is no kill."""


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _wrap(owner: Any, name: str, before: Callable[..., bool], after: Callable[..., bool]) -> None:
    """Kill this process right before or after a call for which this says so."""
    plain = getattr(owner, name)

    def called(*arguments: Any) -> Any:
        if before(*arguments):
            _die()
        answer = plain(*arguments)
        if after(*arguments):
            _die()
        return answer

    setattr(owner, name, called)


def _never(*_arguments: Any) -> bool:
    return False


def _arm(step: str) -> None:
    """Arrange for the kill."""

    def at(stage: str) -> Callable[..., bool]:
        def is_there(_journal: object, attempt: Attempt, *_rest: object) -> bool:
            return attempt.stage == stage

        return is_there

    match step:
        case "before it is journalled":
            _wrap(RedemptionJournal, "begin", lambda *_: True, _never)
        case "journalled, not sent":
            _wrap(RedemptionJournal, "begin", _never, lambda *_: True)
        case "sent, not noted":
            for route in (OwnGas, Relayed):
                plain = route.send

                async def sent(self: Any, attempt: Attempt, plain: Any = plain) -> Any:
                    await plain(self, attempt)
                    _die()

                route.send = sent  # type: ignore[method-assign]
        case "sent and noted":
            _wrap(RedemptionJournal, "change", _never, at("sent"))
        case "in a block and noted":
            _wrap(RedemptionJournal, "change", _never, at("included"))
        case "before its end is noted":
            _wrap(RedemptionJournal, "change", at("ended"), _never)
        case "its end is noted":
            _wrap(RedemptionJournal, "change", _never, at("ended"))


def work(
    pipe: Connection,
    raw_config: str,
    folder: str,
    kind: str,
    wallet: str,
    private: str,
    due: list[tuple[str, str]],
    step: str,
) -> None:
    """Take turns, telling every new text and the states, until told to end or killed."""
    # A fork has none of its parent's threads, and their pool would wait for them for ever.
    fetch._THREADS = ThreadPoolExecutor(max_workers=24)
    _arm(step)
    asyncio.run(_work(pipe, raw_config, Path(folder), kind, wallet, private, due))


async def _work(
    pipe: Connection,
    raw_config: str,
    folder: Path,
    kind: Any,
    wallet: str,
    private: str,
    due: list[tuple[str, str]],
) -> None:
    config = Config.model_validate_json(raw_config)
    paths = Paths(folder / "state", folder / "run", folder / "credentials")
    account = Account(Signer(Secret(private)), kind, wallet, False, 137)
    told: list[str] = []
    desk = open_desk(
        config, paths, account, SystemClock(), lambda alert: told.append(f"{alert.code}: {alert.text}")
    )
    wanted = tuple(Due(condition, window, 1, True) for condition, window in due)
    known: set[str] = set()
    while True:
        await desk.turn(wanted)
        texts = [desk.problem, *told, *(each.text for each in desk.attempts)]
        texts += [end.text for each in desk.attempts for end in each.ends]
        texts += [left.text for left in desk.left.values()]
        news = [text for text in dict.fromkeys(texts) if text and text not in known]
        known.update(news)
        states = [msgspec.to_builtins(state) for _, state in redemptions(desk)]
        stages = [(each.stage, len(each.versions), each.nonce) for each in desk.attempts]
        pipe.send({"news": news, "states": states, "stages": stages})
        if pipe.poll(0.01):
            order = pipe.recv()
            if order == "end":
                desk.journal.close()
                return
            desk.ask(tuple(order), "test", losers=False)
