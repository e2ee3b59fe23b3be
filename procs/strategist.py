"""The strategist process: feeds the engine, sends what it wants, answers why. Decides nothing itself.

A submit that gets no answer is unknown, not failed: the same intent is sent again until its life is over,
and the executor makes one order of it however often it arrives.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable

from common.core import engine, rehearsal
from common.core.decision_state import (
    AskPosture,
    Effect,
    Event,
    ForgetWindow,
    Incomplete,
    PublishAudit,
    PublishVerdict,
    PublishView,
    RaiseAlert,
    SendOrder,
    State,
    SubmitAnswered,
)
from common.core.moment import Moment
from common.core.route_rule import WHO, exchange_views, route_reports
from common.errors import CallRefused, CallTimedOut
from common.messages import (
    Answer,
    Canary,
    Command,
    Envelope,
    OraclesReport,
    ReadOracles,
    Request,
    SetPosture,
    Submit,
    Verdict,
    Why,
    WhyReport,
    envelope_id,
)
from common.runtime.calls import Caller, call
from common.runtime.canary_way import pass_on
from common.runtime.shell import Process, run
from common.units import SECOND

ROLE = "strategist"
KEPT_VERDICTS = 50
TRY_NS = SECOND // 2
COUNTS_S = 0.2


async def strategist(process: Process) -> None:
    """Run until the process is told to stop."""
    config = process.config
    state = State(
        strategy=config.strategy_settings(),
        limits=config.risk_limits(),
    )
    history: dict[str, deque[Verdict]] = {}
    routes = [f"oracle-{route}" for route in config.oracles.routes]
    subscriber = process.subscribe(*routes, "books", "executor", urgent=routes)
    executor = Caller(process.ctx, process.run_dir, "executor", ROLE, process.clock)
    newest_input = process.watch("input", int(config.watch.tick_stale_s * SECOND))

    def advance(event: Event) -> None:
        moment = Moment(process.clock.wall_ns(), process.clock.mono_ns())
        _, effects = engine.step(state, event, moment)
        for effect in effects:
            carry_out(effect)

    def carry_out(effect: Effect) -> None:
        match effect:
            case PublishVerdict(verdict, cause):
                history.setdefault(verdict.window, deque(maxlen=KEPT_VERDICTS)).append(verdict)
                process.publisher.publish(f"verdict.{verdict.window}", verdict, cause=cause, keep=True)
            case PublishView(view):
                process.publisher.publish(f"view.{view.window}", view, keep=True)
            case SendOrder(submit):
                request_id = f"{process.boot}/{submit.intent_id}/{submit.decided_mono_ns}"
                first = executor.ask(submit, request_id=request_id, timeout_ns=TRY_NS)
                process.spawn(deliver(submit, request_id, first), name=f"submit {submit.intent_id}")
            case PublishAudit(audit):
                process.publisher.publish(
                    f"oracles.{audit.asset}.{audit.kind}", audit, ts_event_ns=audit.second_ns, keep=True
                )
            case AskPosture(posture, reason):
                process.spawn(ask_posture(SetPosture(posture=posture, reason=reason, who=WHO)), "posture")
            case RaiseAlert(alert):
                process.log.warning(alert.code, text=alert.text)
                process.publisher.publish(f"alert.{alert.code}", alert)
            case ForgetWindow(window):
                history.pop(window, None)
                process.publisher.forget(f"verdict.{window}")
                process.publisher.forget(f"view.{window}")

    async def ask_posture(wish: SetPosture) -> None:
        """Let the posture follow from the routes; when nobody answers the engine asks again."""
        process.log.warning("routes_ask", posture=wish.posture, reason=wish.reason)
        try:
            await call(process.ctx, process.run_dir, "executor", ROLE, wish, clock=process.clock)
        except (CallTimedOut, CallRefused) as error:
            process.log.warning("posture_not_changed", why=str(error))

    async def deliver(submit: Submit, request_id: str, first: Awaitable[Answer]) -> None:
        """Hear what became of a wish; while there is no answer, send it again until its life is over."""
        deadline = submit.decided_mono_ns + state.strategy.order_life_ns
        answer = first
        while True:
            try:
                await answer
            except CallRefused as refusal:
                process.log.info(
                    "submit_refused", intent=submit.intent_id, code=refusal.code, text=refusal.text
                )
                advance(SubmitAnswered(submit.intent_id, False, str(refusal)))
                return
            except CallTimedOut:
                process.count("submit_timeouts")
                if process.clock.mono_ns() < deadline:
                    # On a socket of its own, which waits for an executor that is not there.
                    answer = call(
                        process.ctx,
                        process.run_dir,
                        "executor",
                        ROLE,
                        submit,
                        clock=process.clock,
                        timeout_ns=TRY_NS,
                        request_id=request_id,
                    )
                    continue
                # Unknown: the window stays entered until the executor's own messages say otherwise.
                process.log.warning("submit_unknown", intent=submit.intent_id)
                return
            else:
                advance(SubmitAnswered(submit.intent_id, True, ""))
                return

    def answer_why(command: Command, _request: Request) -> Answer:
        assert isinstance(command, Why)
        names = [command.window] if command.window else list(state.windows)
        verdicts = [verdict for name in names for verdict in history.get(name, ())]
        views = [held.view for name in names if (held := state.windows.get(name)) and held.view]
        return WhyReport(verdicts=tuple(verdicts), views=tuple(views))

    def answer_oracles(_command: Command, _request: Request) -> Answer:
        audits = tuple(audit for _, audit in sorted(state.routes.newest.items()))
        moment = Moment(process.clock.wall_ns(), process.clock.mono_ns())
        return OraclesReport(
            routes=route_reports(state), audits=audits, exchanges=exchange_views(state, moment)
        )

    def hear(envelopes: list[Envelope]) -> None:
        incomplete = subscriber.unsynced()
        if incomplete != state.incomplete:
            advance(Incomplete(incomplete))
        for envelope in envelopes:
            advance(envelope)
            # The executor tells of each one too: only what comes from its feed is on its way.
            if isinstance(envelope.body, Canary) and envelope.source == envelope.body.feed:
                pass_on(process, envelope.body, envelope_id(envelope), executor)
        newest_input.touch()

    stage: list[rehearsal.Rehearsal] = []

    def rehearse() -> None:
        moment = Moment(process.clock.wall_ns(), process.clock.mono_ns())
        if not stage or moment.mono_ns - stage[0].made_ns > rehearsal.LASTS_NS:
            made = rehearsal.begin(state, moment)
            stage[:] = [made] if made else []
        wish = rehearsal.rehearse(stage[0], moment) if stage else None
        if wish is not None:
            executor.rehearse(wish)

    process.responder.on(Why, answer_why)
    process.responder.on(ReadOracles, answer_oracles)
    process.keep_warm(rehearse)
    process.set_state("ready", "")
    process.spawn(show_counts(process, state), name="counts")
    process.spawn(subscriber.attend(hear), name="bus")
    await process.stopping.wait()


async def show_counts(process: Process, state: State) -> None:
    """Keep the engine's counts in the process's status."""
    while True:
        for name, count in state.counts.items():
            process.set_count(name, count)
        await asyncio.sleep(COUNTS_S)


if __name__ == "__main__":
    run(ROLE, strategist)
