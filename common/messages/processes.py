"""What any process says and is asked, whatever its trade: signs of life, status, alerts, plain answers."""

from typing import Literal

import msgspec

from common.messages.body import Body

ProcessState = Literal["starting", "ready", "degraded", "disabled", "stopping"]


class Heartbeat(Body, frozen=True, tag="heartbeat"):
    """A process's sign of life, stamped in its data path. Topic ``health.<role>``."""

    role: str
    pid: int
    state: ProcessState
    detail: str
    ages_ms: dict[str, int]
    """Age of each watched input on the monotonic clock."""
    counters: dict[str, int]


class Alert(Body, frozen=True, tag="alert"):
    """Something a person should know. Topic ``alert.<code>``."""

    level: Literal["info", "warning", "critical"]
    code: str
    text: str


class Canary(Body, frozen=True, tag="canary"):
    """A mark each feed sends the way of its data; who hears it passes it on and publishes it too.

    It changes nothing. Topic ``canary.<feed>``; also a command to the executor, which always refuses it.
    """

    feed: str
    """Role of the process it began in."""
    number: int
    """1, 2, 3 … per start of the feed."""
    boot: str
    """The start of the feed."""


class Status(Body, frozen=True, tag="status?"):
    """Command: report yourself."""


class SourceCount(msgspec.Struct, frozen=True):
    """How one subscriber saw one publisher's numbering."""

    source: str
    boot: str
    first_seq: int
    last_seq: int
    received: int
    missed: int
    """Numbers noticed as missing."""
    repeated: int
    """Numbers at or below the last one: ignored."""
    gaps: int
    """Times at which something was missing."""


class StatusReport(Body, frozen=True, tag="status"):
    """Answer to Status."""

    role: str
    pid: int
    boot: str
    state: ProcessState
    detail: str
    uptime_ms: int
    published: int
    """Last sequence number published."""
    sources: tuple[SourceCount, ...]
    ages_ms: dict[str, int]
    counters: dict[str, int]
    facts: dict[str, str]


class TakeSnapshot(Body, frozen=True, tag="snapshot?"):
    """Command: give your whole published state."""


class Accepted(Body, frozen=True, tag="accepted"):
    """The command was carried out, or had been before; ``repeated`` says which."""

    text: str = ""
    order_id: str = ""
    repeated: bool = False


class Refused(Body, frozen=True, tag="refused"):
    """The command was not carried out; ``code`` is stable, ``text`` is for people."""

    code: str
    text: str
