"""Whose updates are heard: the people named, in their places, in plain new messages and presses alone."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.core.remote.authority import STALE_S, Arrival, Authority, chats, judge, people

ANN, EVE, GROUP = 7, 8, -100
AUTHORITY = Authority(frozenset((ANN,)), GROUP)
NOW = 1_800_000_000.0
GOOD = Arrival(1, "message", user_id=ANN, chat_id=ANN, private=True, text="/kill", sent_s=int(NOW))
PRESS = Arrival(1, "button", user_id=ANN, chat_id=ANN, private=True, data="c:x")


def changed(arrival: Arrival, **fields: object) -> Arrival:
    return msgspec.structs.replace(arrival, **fields)


@pytest.mark.parametrize("arrival", [GOOD, PRESS])
def test_the_owner_is_heard_in_private_and_in_the_one_group(arrival: Arrival) -> None:
    assert judge(arrival, AUTHORITY, NOW).heard
    assert judge(changed(arrival, chat_id=GROUP, private=False), AUTHORITY, NOW).heard


@pytest.mark.parametrize("arrival", [GOOD, PRESS])
@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"user_id": EVE}, "stranger"),
        ({"user_id": EVE, "chat_id": GROUP, "private": False}, "stranger"),
        ({"user_id": 0}, "stranger"),
        ({"user_id": GROUP}, "stranger"),
        ({"bot": True}, "stranger"),
        ({"chat_id": -101, "private": False}, "foreign chat"),
        ({"chat_id": EVE}, "foreign chat"),
        ({"chat_id": ANN, "private": False}, "foreign chat"),
        ({"kind": "edited"}, "edited message"),
        ({"kind": "forwarded"}, "forwarded message"),
        ({"kind": "channel"}, "channel message"),
        ({"kind": "other"}, "other"),
    ],
)
def test_all_else_is_not(arrival: Arrival, fields: dict[str, object], reason: str) -> None:
    judged = judge(changed(arrival, **fields), AUTHORITY, NOW)
    assert not judged.heard
    assert judged.reason == reason


def test_without_a_group_only_private_chats_count() -> None:
    alone = Authority(frozenset((ANN,)))
    assert judge(GOOD, alone, NOW).heard
    assert not judge(changed(GOOD, chat_id=0, private=False), alone, NOW).heard


@given(st.integers(-(10**6), 10**6))
def test_a_message_is_late_after_a_minute_and_when_its_instant_cannot_be(age_s: int) -> None:
    judged = judge(changed(GOOD, sent_s=int(NOW) - age_s), AUTHORITY, NOW)
    assert judged.heard
    assert judged.late == (abs(age_s) > STALE_S)


@pytest.mark.parametrize(
    ("allowed", "chat_id", "users", "group", "written"),
    [
        ((), 0, (), 0, ()),
        ((), 7, (7,), 0, (7,)),
        ((7, 8), 0, (7, 8), 0, (7, 8)),
        ((8,), 7, (8,), 0, (7,)),
        ((7,), -100, (7,), -100, (-100,)),
        ((), -100, (), -100, (-100,)),
    ],
)
def test_what_a_configuration_means(
    allowed: tuple[int, ...], chat_id: int, users: tuple[int, ...], group: int, written: tuple[int, ...]
) -> None:
    assert people(allowed, chat_id) == Authority(frozenset(users), group)
    assert chats(allowed, chat_id) == written
