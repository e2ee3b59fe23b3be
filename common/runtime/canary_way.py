"""The canary's way through a process: a feed sends one each few seconds, whoever hears it passes it on.

Owns sending, passing on, topics. Never judges: ``common.core.canary`` names a sick hop, the sentinel says it.
"""

import asyncio
from collections.abc import Iterable

from common.core.canary import PERIOD_NS
from common.messages import Answer, Canary, Command, Envelope, Refused, Request, envelope_id
from common.runtime.calls import Caller
from common.runtime.endpoints import ORACLES
from common.runtime.shell import Process
from common.units import SECOND

FEEDS = (*ORACLES, "books")
"""Where canaries begin."""
HEARD = ".heard"
"""Ends the topic under which a process tells of a canary that it heard from the feed, beside the way."""


async def send_canaries(process: Process) -> None:
    """Send a canary each few seconds, by the publisher the data takes, until the feed is disabled.

    Each feed has its own turn within the period: one canary or another is on its way every second.
    """
    turn_ns = FEEDS.index(process.role) * PERIOD_NS // len(FEEDS)
    number = 0
    while process.state != "disabled":
        await asyncio.sleep(((turn_ns - process.clock.mono_ns()) % PERIOD_NS or PERIOD_NS) / SECOND)
        number += 1
        tell(process, Canary(feed=process.role, number=number, boot=process.boot))


def pass_on(process: Process, canary: Canary, cause: str, callee: Caller) -> None:
    """Tell that it came this far, then hand it on by the connection that commands take."""
    tell(process, canary, cause)
    asked = callee.ask(canary, request_id=f"canary/{canary.boot}/{canary.number}")
    # Refused or not answered: what became of it the sentinel hears from the other end, and nobody here.
    asked.add_done_callback(lambda done: done.cancelled() or done.exception())


def tell_heard(process: Process, envelopes: Iterable[Envelope]) -> None:
    """Tell of the canaries among what was heard from a feed itself; they go no further."""
    for envelope in envelopes:
        if isinstance(envelope.body, Canary):
            topic = f"canary.{envelope.body.feed}{HEARD}"
            process.publisher.publish(topic, envelope.body, cause=envelope_id(envelope))


def end_way(process: Process, command: Command, _request: Request) -> Answer:
    """Answer a canary where orders begin: it came as a wish to buy comes, and nothing begins."""
    assert isinstance(command, Canary)
    tell(process, command)
    return Refused(code="canary", text="a canary is no order: nothing was judged, kept or sent")


def tell(process: Process, canary: Canary, cause: str = "") -> None:
    """Publish that a canary came to this process."""
    process.publisher.publish(f"canary.{canary.feed}", canary, cause=cause)
