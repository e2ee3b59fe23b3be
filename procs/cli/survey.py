"""The state of a whole stack: supervisord's process table joined with each process's own answer.

Decides what counts as well; prints nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.errors import CallRefused, DependencyMissing
from common.messages import Status, StatusReport
from common.runtime.endpoints import ROLES
from common.runtime.lock import hold_role
from procs.cli.asking import Outcome, Place, ask
from procs.cli.stack import mute_supervisor_pid

if TYPE_CHECKING:
    from common.runtime.supervisor import ProcessRow

ALIVE = frozenset({"STARTING", "RUNNING", "BACKOFF", "STOPPING"})
SIM_GROUP = "sim"
NEEDED = ("books", "strategist", "executor")
"""Without each of them there is no trade; telegram, redeemer and recorder may be disabled on purpose."""
SETTLING = ("oracle-chainlink", "oracle-polybolt", "oracle-rtds")
"""One of them has to bring the price that settles; an exchange never does."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One program as supervisord and as itself sees it."""

    row: "ProcessRow"
    report: StatusReport | None
    silence: str
    """Why there is no report; empty when there is one."""

    @property
    def optional(self) -> bool:
        """The simulated venue is only missed where it was started."""
        return self.row.group == SIM_GROUP and self.row.state in ("STOPPED", "EXITED")

    @property
    def well(self) -> bool:
        answers = self.report is not None or self.row.group == SIM_GROUP
        return self.optional or (self.row.state == "RUNNING" and answers)


@dataclass(frozen=True, slots=True)
class Survey:
    """A whole stack at one moment."""

    supervisor: int | None
    seen: tuple[Seen, ...]

    @property
    def exit_code(self) -> int:
        """As supervisorctl: 0 everything runs and answers, 3 something does not, 4 no supervisord."""
        if self.supervisor is None:
            return 4
        return 0 if all(one.well for one in self.seen) else 3

    @property
    def troubles(self) -> tuple[str, ...]:
        """Why there is no trade although everything runs and answers, by the processes' own word."""
        reports = {one.row.name: one.report for one in self.seen if one.report is not None}
        found = [
            f"{name} is {reports[name].state}"
            for name in NEEDED
            if name in reports and reports[name].state in ("degraded", "disabled")
        ]
        routes = [reports[name] for name in SETTLING if name in reports]
        if routes and not any(report.state == "ready" for report in routes):
            found.append("no route brings the price that settles")
        return tuple(found)


def nothing_runs(place: Place, roles: Sequence[str]) -> bool:
    """Whether no supervisord runs from here and none of the roles is held by a process started otherwise."""
    if place.supervisor is not None or mute_supervisor_pid(place.stack) is not None:
        return False
    return not any(_held(place, role) for role in roles)


def _held(place: Place, role: str) -> bool:
    if not (place.run_dir / f"{role}.lock").exists():
        return False
    try:
        with hold_role(place.run_dir, role):
            return False
    except DependencyMissing:
        return True


def survey(place: Place) -> Survey:
    """Ask supervisord and every process at once."""
    if place.supervisor is None:
        return Survey(None, ())
    from common.runtime.supervisor import UNREACHABLE, Fault, process_table, rpc

    try:
        with rpc(place.stack.socket) as server:
            rows = process_table(server)
    except (*UNREACHABLE, Fault):
        return Survey(None, ())
    # The simulated venue is not one of laggard's processes and answers no Status.
    asked = [row.name for row in rows if row.name in ROLES and row.state in ALIVE and row.group != SIM_GROUP]
    answers = ask(place.run_dir, dict.fromkeys(asked, Status()))
    seen = tuple(Seen(row, *_report(row, answers.get(row.name))) for row in rows)
    return Survey(place.supervisor, seen)


def _report(row: "ProcessRow", answer: Outcome | None) -> tuple[StatusReport | None, str]:
    if isinstance(answer, StatusReport):
        if row.pid and answer.pid != row.pid:
            return None, f"pid {answer.pid} answers in its place; two stacks share one run directory"
        return answer, ""
    if row.group == SIM_GROUP:
        return None, ""
    if isinstance(answer, CallRefused):
        return None, f"refused: {answer.text}"
    return None, "does not answer" if row.state == "RUNNING" else row.detail
