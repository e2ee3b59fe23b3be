"""The fast judgement against the plain one, and that no order waits for another window or for words."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import slow_judgement
from common.core import engine
from common.core.decision_state import Effect, Incomplete, PublishVerdict, SendOrder, State, SubmitAnswered
from common.core.settings import RiskLimits, StrategySettings
from common.messages import Heartbeat, Outcome, PositionState, Published, SeriesKind, Tick
from common.units import SECOND
from conversation import START_S, Conversation, account, market, posture, tick

ASSETS = ("btc", "eth")
ROUTES = ("chainlink", "rtds")
OUTCOMES: tuple[Outcome, ...] = ("up", "down")
LIMITS = RiskLimits(
    max_asset_usd6=22_000_000, max_direction_usd6=33_000_000, max_positions=3, max_orders_per_minute=4,
    max_daily_loss_usd6=45_000_000,
)  # fmt: skip


def windows(talk: Conversation, each: int) -> None:
    """The same number of windows of every asset, opened a second apart."""
    for asset in ASSETS:
        for number in range(each):
            begins = (START_S + number) * SECOND
            name = f"{asset}{number}"
            talk.hear(
                market(
                    window=name,
                    asset=asset,
                    token_up=f"{name}up",
                    token_down=f"{name}down",
                    rule="twap" if number else "spot",
                    lookback_s=60 if number else 0,
                    start_ns=begins,
                    end_ns=begins + 900 * SECOND,
                )
            )


def position(window: str, outcome: Any, cost: int, *, settled: bool) -> PositionState:
    return PositionState(
        window=window, asset=window[:3], token=f"{window}{outcome}", outcome=outcome, size6=1, cost_usd6=cost,
        fee_usd6=1, end_ns=0, settled=settled,
    )  # fmt: skip


Say = Callable[[Conversation], Any]
names = st.sampled_from(["btc0", "btc1", "eth0", "eth1"])
sides: st.SearchStrategy[Outcome] = st.sampled_from(["up", "down"])
assets = st.sampled_from(ASSETS)


@st.composite
def prices(draw: st.DrawFn) -> Say:
    asset, route = draw(assets), draw(st.sampled_from(ROUTES))
    kind: SeriesKind = draw(st.sampled_from(["spot", "spot", "spot", "twap60"]))
    dollars = draw(st.sampled_from([99_900, 99_930, 100_000, 100_000, 100_070, 100_071, 100_300]))
    late = draw(st.sampled_from([0, 0, 1, 4, 6]))

    def say(talk: Conversation) -> Tick:
        plain = tick(int(talk.second) - late, dollars, kind, asset)
        return msgspec.structs.replace(plain, route=route)

    return say


@st.composite
def books(draw: st.DrawFn) -> Say:
    name, side = draw(names), draw(sides)
    changes: dict[str, Any]
    ask4 = draw(st.sampled_from([4_000, 5_000, 6_100, 6_200]))
    changes = draw(
        st.sampled_from(
            [{}, {}, {}, {}, {"status": "resync"}, {"bids": ((9_900, 1),)}, {"asks": ()}, {"bids": ()}]
        )
    )
    return lambda talk: talk.book(side, ask4, token=f"{name}{side}", window=name, **changes)


@st.composite
def invitations(draw: st.DrawFn) -> Say:
    """Both routes say that an asset has moved, and the books of its windows have not."""
    asset, dollars = draw(assets), draw(st.sampled_from([99_700, 99_900, 100_100, 100_300]))
    ask4 = draw(st.sampled_from([5_000, 5_000, 6_000, 6_200]))

    def say(talk: Conversation) -> tuple[Published, ...]:
        moved = tick(int(talk.second), dollars, "spot", asset)
        return (
            *(
                talk.book(side, ask4, token=f"{asset}{number}{side}", window=f"{asset}{number}")
                for number in range(2)
                for side in OUTCOMES
            ),
            *(msgspec.structs.replace(moved, route=route) for route in ROUTES),
        )

    return say


def health(role: str) -> Say:
    series = {f"{kind}/{asset}": 100 for asset in ASSETS for kind in ("spot", "twap60")}
    return lambda _talk: Heartbeat(role=role, pid=1, state="ready", detail="", ages_ms=series, counters={})


def constant(*said: Any) -> st.SearchStrategy[Say]:
    return st.sampled_from([(lambda _talk, each=each: each) for each in said])


happenings = st.one_of(
    prices(),
    books(),
    invitations(),
    invitations(),
    st.sampled_from([health("oracle-rtds"), health("oracle-chainlink"), health("books")]),
    constant(posture(), posture(), posture("paused")),
    constant(account(), account(cash=12_000_000), account(day_pnl_usd6=-40_000_000), account(loss_streak=8)),
    constant(*(Incomplete(frozenset(s)) for s in ((), (), (), ("books",), ("oracle-rtds",)))),
    constant(Incomplete(frozenset({"oracle-rtds", "oracle-chainlink"}))),
    st.builds(
        lambda name, side: lambda _talk: SubmitAnswered(f"{name}/{side}/lag", False, "no"), names, sides
    ),
    st.builds(
        lambda name, side, cost, settled: lambda _talk: position(name, side, cost, settled=settled),
        names, sides, st.sampled_from([1, 9_000_000]), st.booleans(),
    ),
)  # fmt: skip
pauses = st.sampled_from([0.0, 0.0, 0.1, 0.2, 0.3, 1.0, 1.0, 1.0, 2.0, 3.0, 7.0, 60.0, 300.0])
tapes = st.lists(st.tuples(pauses, happenings), min_size=10, max_size=60)


def said(effects: list[Effect]) -> list[tuple[str, bytes]]:
    return [(type(effect).__name__, msgspec.msgpack.encode(effect)) for effect in effects]


Tape = list[tuple[float, Say]]


def played(strategy: StrategySettings, tape: Tape, patch: Any = None) -> list[list[Effect]]:
    """What each step of a tape leads to, from an open market that is known in full."""
    with pytest.MonkeyPatch.context() as patched:
        if patch is not None:
            patched.setattr(engine, "_judged", patch)
        talk = Conversation(State(strategy=strategy, limits=LIMITS))
        talk.at(0).hear(posture(), account())
        talk.hear(*(health(f"oracle-{route}")(talk) for route in ROUTES))
        windows(talk, 2)
        talk.second = 3
        for second in range(2):
            for asset in ASSETS:
                talk.hear(tick(second, 100_000, "twap60", asset), tick(second, 100_000, "spot", asset))
        for asset in ASSETS:
            for number in range(2):
                for side in OUTCOMES:
                    name = f"{asset}{number}"
                    talk.hear(talk.book(side, 5_000, token=f"{name}{side}", window=name))
        steps = []
        for pause, say in tape:
            talk.second = round(talk.second + pause, 3)
            heard = say(talk)
            steps += [talk.hear(each) for each in (heard if isinstance(heard, tuple) else (heard,))]
        return [list(talk.said), *steps]


@settings(max_examples=150)
@given(tapes, st.sampled_from(["fixed", "kelly"]))
def test_judged_fast_is_judged_the_same_to_the_byte(tape: Tape, sizing: Any) -> None:
    strategy = StrategySettings(routes=ROUTES, sizing=sizing)
    plain = played(strategy, tape, slow_judgement.judged)[1:]
    for fast, slow in zip(played(strategy, tape)[1:], plain, strict=True):
        assert said(fast) == said(slow_judgement.orders_first(slow))


@settings(max_examples=25)
@given(tapes)
def test_the_orders_of_a_step_come_before_all_else(tape: Tape) -> None:
    for effects in played(StrategySettings(routes=ROUTES), tape)[1:]:
        assert effects == slow_judgement.orders_first(effects)


def test_an_order_waits_neither_for_the_next_window_nor_for_words() -> None:
    talk = Conversation(State(strategy=StrategySettings(), limits=RiskLimits()))
    talk.at(0).hear(posture(), account())
    windows(talk, 2)
    talk.at(2).hear(tick(0, 100_000), tick(1, 100_000, "twap60"))
    talk.second = 31
    talk.hear(*(talk.book("up", 5_000, token=f"btc{n}up", window=f"btc{n}") for n in range(2)))
    first, second = talk.state.windows["btc0"], talk.state.windows["btc1"]
    told, viewed = second.verdicts, first.view_mono_ns
    talk.second = 32
    _, effects = engine.step(talk.state, talk.envelope(tick(31, 100_300)), talk.now)
    going = iter(effects)
    order = next(going)
    assert isinstance(order, SendOrder)
    assert order.submit.window == "btc0"
    assert (second.verdicts, second.entered, first.view_mono_ns) == (told, False, viewed)
    kinds = [type(effect) for effect in going]
    assert kinds[:2] == [SendOrder, PublishVerdict]


def test_the_number_an_order_carries_is_that_of_the_verdict_that_was_told() -> None:
    """Refused before its window was looked at again, it is wished again by the same verdict."""
    talk = Conversation().opened()
    talk.at(31).hear(talk.book("up", 5_000), tick(30, 100_300))
    talk.hear(SubmitAnswered("btc-updown-15m-1900000000/up/lag", accepted=False, text="posture"))
    talk.at(34).hear(tick(33, 100_301))
    first, again = (order.submit.verdict_number for order in talk.got(SendOrder))
    assert first == again == talk.got(PublishVerdict)[-1].verdict.number


def test_a_limit_that_turns_makes_a_verdict_though_the_rule_says_what_it_said() -> None:
    talk = Conversation().opened()
    talk.hear(posture("paused"))
    talk.at(31).hear(talk.book("up", 5_000), tick(30, 100_300))
    talk.hear(account(loss_streak=8), tick(31, 100_300))
    first, second = (told.verdict for told in talk.got(PublishVerdict)[-2:])
    assert [gate.name for gate in first.gates if not gate.passed] == ["posture"]
    assert [gate.name for gate in second.gates if not gate.passed] == ["posture", "loss streak"]
