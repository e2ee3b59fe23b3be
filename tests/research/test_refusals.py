"""The why-no-trade ledger: which gate refused, and what the refused trade would have earned to the cent."""

from pathlib import Path

import msgspec
import pytest

from common.core.fees import taker_fee_usd6
from common.messages import Envelope, MarketState
from common.research.replaying.refusals import ledger, made, settled
from common.store.tape import Record
from taped_conversation import LATER, WINDOW, later, records, write_tape

STAKE = 10_000_000


@pytest.fixture(scope="module")
def taped() -> list[Record]:
    return list(records())


def test_every_window_is_accounted_for_with_its_gates(taped: list[Record]) -> None:
    found = made(taped, STAKE)
    assert [one.window for one in found.windows] == [WINDOW, LATER]
    assert found.without_verdict == ()
    second = found.windows[1]
    assert second.closest is not None
    assert second.final is not None
    assert (second.closest.failed, second.closest.side) == (("ask",), "up")
    assert "time left" in second.final.failed
    # What is refused after the end, because it is the end, is no reason for anything.
    assert "passport" not in second.final.failed
    assert second.final.at_ns < later().end_ns
    assert [gate.gate for gate in found.gates][:1] == ["ask"]
    assert found.gates[0].alone == 1


def test_the_counterfactual_is_the_walk_at_the_closest_moment_less_its_fee(taped: list[Record]) -> None:
    second = made(taped, STAKE).windows[1]
    assert second.closest is not None
    ask4 = second.closest.asks[0][0]
    size6 = STAKE * 10_000 // ask4 // 100 * 100
    cost = -(-size6 * ask4 // 10_000)
    fee = taker_fee_usd6(size6, ask4, later().fee)
    assert second.outcome == "up"
    assert second.net_usd6 == size6 - cost - fee
    assert second.paid_usd6 == cost + fee


def test_it_loses_when_the_other_side_won(taped: list[Record]) -> None:
    turned = []
    for one in taped:
        envelope = msgspec.msgpack.decode(one.data, type=Envelope)
        body = envelope.body
        if isinstance(body, MarketState) and body.outcome is not None:
            lost = msgspec.structs.replace(envelope, body=msgspec.structs.replace(body, outcome="down"))
            turned.append(msgspec.structs.replace(one, data=msgspec.msgpack.encode(lost)))
        else:
            turned.append(one)
    found = made(turned, STAKE)
    second = found.windows[1]
    assert second.net_usd6 == -second.paid_usd6 < 0
    assert found.gates[0].net_usd6 == second.net_usd6
    assert found.gates[0].won.mean == 0.0


def test_before_settlement_nothing_is_weighed(taped: list[Record]) -> None:
    found = made(taped[: len(taped) * 3 // 4], STAKE)
    assert found.windows[1].outcome is None
    assert found.windows[1].net_usd6 is None
    assert found.gates[0].judged == 0


def test_a_window_without_a_verdict_is_named(taped: list[Record]) -> None:
    unjudged = [one for one in taped if one.topic != f"verdict.{LATER}"]
    assert made(unjudged, STAKE).without_verdict == (LATER,)


def test_a_verdict_told_again_each_second_counts_once(taped: list[Record]) -> None:
    doubled = [again for one in taped for again in ([one, one] if one.source == "strategist" else [one])]
    assert made(doubled, STAKE).windows == made(taped, STAKE).windows


def test_the_ledger_of_a_tape_is_that_of_its_records(taped: list[Record], tmp_path: Path) -> None:
    assert ledger(write_tape(tmp_path, taped), STAKE) == made(taped, STAKE)


def test_nothing_offered_cannot_be_weighed() -> None:
    assert settled((), None, STAKE, won=True) == (None, 0)
