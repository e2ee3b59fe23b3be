"""The executor's posture, changed by whoever may command it: the answer, and what a kill switch left behind.

Which change is allowed is decided by ``common.core.order_flow``. Never halts by itself.
"""

import msgspec

from common.core import route_rule
from common.core.order_events import PostureAsked
from common.errors import DependencyMissing
from common.messages import Accepted, Answer, Command, Refused, Request, SetPosture
from common.venue.desk import Desk
from common.venue.recovery import lift_kill_switch


def set_posture(desk: Desk, command: Command, request: Request) -> Answer:
    """Answer a change of posture; the same request, also from before a restart, changes nothing again.

    A person who lets trading go on also takes back what a kill switch left for the next start, on the disk
    before the answer leaves; the rule of the oracle routes does not.
    """
    assert isinstance(command, SetPosture)
    try:
        known = desk.journal.answer(request.id)
    except DependencyMissing as error:
        return Refused(code="journal", text=str(error))
    if isinstance(known, Accepted):
        return Accepted(text=known.text + _since(desk, command), repeated=True)
    answer = desk.decide(PostureAsked(command.posture, command.reason, command.who, request.id))
    if not isinstance(answer, Accepted) or command.posture != "trading" or command.who == route_rule.WHO:
        return answer
    # Only after the commit: where the journal could not take it, the switch has to hold.
    problem = lift_kill_switch(desk.process.paths.state_dir)
    if not problem:
        return answer
    desk.process.log.error("kill_switch_stays", problem=problem)
    return msgspec.structs.replace(answer, text=f"{answer.text}; {problem}")


def _since(desk: Desk, command: SetPosture) -> str:
    """What was decided after the answer that is given again; empty when it still holds."""
    now = desk.state.posture
    if now.posture == command.posture:
        return ""
    return f", and since then {now.posture} by {now.who}: {now.reason}"
