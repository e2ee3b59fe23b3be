"""Every error of laggard, by what the person who meets it must do.

LaggardError
├── ConfigError          stop; exit 78; every problem is told at once
├── DependencyMissing    stop; exit 69; a port, a directory, the disk, another instance
├── InvariantBroken      a bug or corrupt data; exit 70; the executor comes back halted
├── DataStale            a feed cannot be brought back; exit 75; supervisord restarts the process
├── FrameRefused         one wire frame or record is unusable; counted by reason, never fatal
├── FeedError            the connection is unusable; reconnect with back-off; never fatal
├── FeedRefused          the other end refuses us for good; the route is disabled and says why
└── BusError
    ├── CallTimedOut     the callee did not answer in time: the outcome is unknown, not failed
    └── CallRefused      the callee said no, with a reason code
"""

EXIT_OK = 0
EXIT_DEPENDENCY = 69
EXIT_INVARIANT = 70
EXIT_STALE = 75
EXIT_CONFIG = 78


class LaggardError(Exception):
    """Base of every error laggard raises on purpose."""

    exit_code = 1


class ConfigError(LaggardError):
    """The configuration is wrong; ``problems`` lists every one, each a sentence with its cure."""

    exit_code = EXIT_CONFIG

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class DependencyMissing(LaggardError):
    """Something outside this process is in the way: the text says what, why and what to do."""

    exit_code = EXIT_DEPENDENCY


class InvariantBroken(LaggardError):
    """A bug or corrupt data; going on would risk money."""

    exit_code = EXIT_INVARIANT


class DataStale(LaggardError):
    """Data stayed silent longer than a reconnect could cure."""

    exit_code = EXIT_STALE


class FrameRefused(LaggardError):
    """A frame or record cannot be used; ``reason`` is a short stable code, ``detail`` is for people."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class FeedError(LaggardError):
    """A connection or request to a feed failed; the caller backs off and tries again."""


class FeedRefused(LaggardError):
    """A feed refuses this client and trying again cannot cure it: the text says what to mend."""


class BusError(LaggardError):
    """A call between our own processes did not work."""


class CallTimedOut(BusError):
    """No answer in time: the callee may or may not have acted."""


class CallRefused(BusError):
    """The callee answered no; ``code`` is stable, the text is for people."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text
