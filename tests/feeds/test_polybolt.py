"""The PolyBolt conversation: credentials, subscriptions, counting, and what each refusal leads to."""

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import ConfigError, FeedRefused, FrameRefused
from common.feeds.oracle.polybolt import (
    MAX_AUTHS,
    MAX_SURPRISES,
    PING,
    PolyBoltConversation,
    least_wait_s,
    plan,
)
from common.feeds.oracle.polybolt_frames import MAX_FRAME
from common.feeds.oracle.price_fields import Control
from common.feeds.oracle.route import Conversation, Disabled, Item, Route
from common.messages import Tick
from common.runtime.clock import ManualClock
from common.runtime.config import Config
from common.runtime.credentials import Secret, write_credentials
from common.runtime.paths import Paths
from tests.feeds.polybolt_wire import point, snapshot, spot, twap
from tests.feeds.wire import NOW_NS, mutilated, text

KEYS = {"api_key": "key-7", "secret": "secret-8", "passphrase": "phrase-9"}
FILE = Path("/nowhere/polybolt.json")
AUTHED = {"op": "authed", "rid": "a1"}
PONG = {"op": "pong", "rid": "p"}


@pytest.fixture
def talk() -> PolyBoltConversation:
    return conversation()


def conversation() -> PolyBoltConversation:
    secrets = {name: Secret(value) for name, value in KEYS.items()}
    return PolyBoltConversation(("spot", "twap60"), ("btc", "eth"), FILE, secrets)


def hear(talk: Conversation, frame: object) -> list[Item]:
    """What a frame without an answer of ours means."""
    items, replies = talk.hear(text(frame), NOW_NS)
    assert replies == []
    return items


def reply(talk: Conversation, frame: object) -> list[dict[str, Any]]:
    return [json.loads(message) for message in talk.hear(text(frame), NOW_NS)[1]]


def error(code: str) -> dict[str, str]:
    return {"op": "error", "channel": "price.crypto", "code": code}


def gaps(items: list[Item]) -> list[int]:
    return [item.missed for item in items if isinstance(item, Control) and item.kind == "gap"]


# --- credentials and subscriptions -------------------------------------------------------------------


def test_credentials_are_shown_first_and_alone(talk: PolyBoltConversation) -> None:
    (message,) = map(json.loads, talk.opening())
    auth = {"apiKey": "key-7", "secret": "secret-8", "passphrase": "phrase-9"}
    assert message == {"op": "auth", "rid": "a1", "auth": auth}


def test_a_conversation_shows_no_secret(talk: PolyBoltConversation) -> None:
    talk.opening()
    assert not any(secret in f"{talk!r}{talk}" for secret in KEYS.values())


def test_subscriptions_follow_once_the_credentials_are_taken(talk: PolyBoltConversation) -> None:
    talk.opening()
    spots, averages = reply(talk, AUTHED)
    assert (spots["op"], averages["op"]) == ("subscribe", "subscribe")
    assert spots["subscriptions"] == [
        {"channel": "price.crypto", "filter": {"symbol": symbol, "provider": "chainlink"}}
        for symbol in ("btcusd", "ethusd")
    ]
    assert averages["subscriptions"] == [
        {"channel": "price.crypto.twap", "filter": {"symbol": symbol, "window_seconds": 60}}
        for symbol in ("btcusd", "ethusd")
    ]
    assert reply(talk, AUTHED) == [], "said twice, subscribed once"


def test_an_authed_nobody_asked_for_is_not_answered(talk: PolyBoltConversation) -> None:
    assert hear(talk, AUTHED) == [Control("ack", "authed")]


@pytest.mark.parametrize("code", ["auth_required", "auth_expired"])
@pytest.mark.parametrize("taken", [False, True])
def test_a_missing_auth_is_sent_again_once_for_all_subscriptions(
    talk: PolyBoltConversation, code: str, taken: bool
) -> None:
    talk.opening()
    if taken:
        reply(talk, AUTHED)
    items, (message,) = talk.hear(text(error(code)), NOW_NS)
    assert items == [Control("error", f"{code} on price.crypto")]
    assert (json.loads(message)["op"], json.loads(message)["rid"]) == ("auth", "a2")
    assert reply(talk, error(code)) == []
    assert len(reply(talk, AUTHED)) == 2


def test_while_the_venue_cannot_check_credentials_it_is_asked_again_at_each_pong(
    talk: PolyBoltConversation,
) -> None:
    """It closes a connection with more than eight auth messages."""
    talk.opening()
    assert reply(talk, PONG) == []
    for sent in range(2, MAX_AUTHS + 1):
        assert reply(talk, error("auth_unavailable")) == []
        (again,) = reply(talk, PONG)
        assert (again["op"], again["rid"]) == ("auth", f"a{sent}")
        assert reply(talk, PONG) == []
    assert MAX_AUTHS == 8
    assert reply(talk, error("auth_unavailable")) == reply(talk, PONG) == []
    assert len(reply(talk, AUTHED)) == 2


@pytest.mark.parametrize("code", ["auth_invalid", "auth_revoked"])
def test_credentials_the_venue_rejects_end_the_route_with_the_cure(
    talk: PolyBoltConversation, code: str
) -> None:
    talk.opening()
    with pytest.raises(FeedRefused) as refused:
        talk.hear(text({"op": "error", "rid": "a1", "code": code}), NOW_NS)
    sentence = str(refused.value)
    assert code in sentence and str(FILE) in sentence and "laggard init --reader-key" in sentence
    assert not any(secret in sentence for secret in KEYS.values())


@pytest.mark.parametrize("code", ["bad_filter", "sub_limit", "auth_attempts", "something_new"])
def test_other_errors_are_told_and_not_fatal(talk: PolyBoltConversation, code: str) -> None:
    assert hear(talk, error(code)) == [Control("error", f"{code} on price.crypto")]


def test_an_error_without_a_readable_code_is_told(talk: PolyBoltConversation) -> None:
    for code in (None, 7, ["auth_invalid"]):
        (control,) = hear(talk, {"op": "error", "code": code})
        assert isinstance(control, Control)
        assert control.kind == "error"


# --- counting ----------------------------------------------------------------------------------------


def test_consecutive_numbers_of_a_channel_are_no_gap(talk: PolyBoltConversation) -> None:
    """The first may be any, channels are apart, a snapshot counts."""
    frames = [spot(41), snapshot(1, [point()]), snapshot(2), spot(42), twap(3), spot(43)]
    assert gaps([item for frame in frames for item in hear(talk, frame)]) == []


def test_a_jump_is_a_gap_told_before_the_ticks(talk: PolyBoltConversation) -> None:
    hear(talk, spot(7))
    gap, tick = hear(talk, spot(11))
    assert gap == Control("gap", "frames of price.crypto did not reach us: 3", missed=3)
    assert isinstance(tick, Tick)


def test_a_snapshot_s_number_can_show_a_gap(talk: PolyBoltConversation) -> None:
    hear(talk, twap(1))
    assert gaps(hear(talk, snapshot(3))) == [1]


@pytest.mark.parametrize(("seq", "dropped", "missed"), [(2, 4, 4), (6, 4, 4), (8, 4, 6), (2, 0, 0)])
def test_what_the_venue_dropped_is_counted_once(
    talk: PolyBoltConversation, seq: int, dropped: int, missed: int
) -> None:
    hear(talk, spot(1))
    assert gaps(hear(talk, spot(seq, frame={"dropped": dropped}))) == ([missed] if missed else [])


@pytest.mark.parametrize("seq", [5, 4, 1])
def test_a_repeated_number_is_told_and_moves_no_price(talk: PolyBoltConversation, seq: int) -> None:
    hear(talk, spot(5))
    (control,) = hear(talk, spot(seq))
    assert control == Control("other", f"a repeated number on price.crypto, ignored: seq {seq} after 5")
    assert [type(item) for item in hear(talk, spot(6))] == [Tick]
    assert [type(item) for item in hear(talk, twap(seq))] == [Tick]


def test_a_refused_frame_has_its_number(talk: PolyBoltConversation) -> None:
    hear(talk, spot(1))
    with pytest.raises(FrameRefused):
        hear(talk, spot(2, source="pyth"))
    assert gaps(hear(talk, spot(3))) == []


@pytest.mark.parametrize("then", [twap(1), PONG, spot(9)])
def test_a_gap_shown_by_a_refused_frame_is_told_with_the_next(
    talk: PolyBoltConversation, then: dict[str, Any]
) -> None:
    hear(talk, spot(1))
    for seq in (4, 9):
        with pytest.raises(FrameRefused):
            hear(talk, spot(seq, source="pyth"))
    assert gaps(hear(talk, then)) == [6]
    assert gaps(hear(talk, PONG)) == []


def test_a_frame_that_cannot_be_counted_changes_no_count(talk: PolyBoltConversation) -> None:
    hear(talk, spot(1))
    for frame in (spot(7, frame={"v": 2}), spot(7, frame={"dropped": -1}), spot(7, frame={"channel": "x"})):
        with pytest.raises(FrameRefused):
            hear(talk, frame)
    assert gaps(hear(talk, spot(2))) == []


def test_a_new_key_is_told_once_on_a_connection(talk: PolyBoltConversation) -> None:
    news = [Control("other", "unknown keys: payload.mood")]
    first, second = hear(talk, spot(1, mood=1)), hear(talk, spot(2, mood=2))
    assert ([*first[:-1]], [*second[:-1]]) == (news, [])
    assert isinstance(first[-1], Tick) and isinstance(second[-1], Tick)
    for seq in range(3, 3 + 2 * MAX_SURPRISES):
        *_, tick = hear(talk, spot(seq, frame={f"new{seq}": 1}))
        assert isinstance(tick, Tick)
    assert len(hear(talk, spot(900, newest=1))) == 2, "the gap and the tick"


def test_an_empty_frame_is_quiet(talk: PolyBoltConversation) -> None:
    assert talk.hear("", NOW_NS) == ([Control("empty")], [])


FRAMES = [
    text(frame) for frame in (spot(3), twap(5), snapshot(8, [point()]), AUTHED, PONG, error("auth_required"))
]


@given(st.lists(st.one_of(st.sampled_from(FRAMES), mutilated(FRAMES)), max_size=6))
def test_no_sequence_of_frames_breaks_a_conversation(frames: list[str]) -> None:
    talk = conversation()
    talk.opening()
    for frame in frames:
        try:
            items, replies = talk.hear(frame, NOW_NS)
        except (FrameRefused, FeedRefused):
            continue
        assert all(isinstance(item, Tick | Control) for item in items)
        assert len(replies) <= 2


@given(st.lists(st.tuples(st.integers(1, 9), st.booleans()), min_size=1, max_size=30))
def test_every_missing_number_is_told_exactly_once(steps: list[tuple[int, bool]]) -> None:
    """Whatever of the frames between is refused."""
    talk, seq, missed, told = conversation(), 0, 0, 0
    for step, bad in steps:
        missed += step - 1 if seq else 0
        seq += step
        try:
            told += sum(gaps(hear(talk, spot(seq, source="pyth" if bad else "chainlink"))))
        except FrameRefused:
            assert bad
    assert told + sum(gaps(hear(talk, PONG))) == missed


# --- refusals of the connection ----------------------------------------------------------------------


@pytest.mark.parametrize("code", [401, 4001])
def test_a_code_that_refuses_the_credentials_ends_the_route(code: int) -> None:
    with pytest.raises(FeedRefused, match=f"{code}.*{FILE}.*laggard init --reader-key"):
        least_wait_s(FILE, Random(1), code)


@pytest.mark.parametrize(
    ("code", "wait_s"), [(403, 30), (4008, 30), (4002, 0), (1000, 0), (1006, 0), (429, 0), (503, 0)]
)
def test_other_codes_have_their_least_wait(code: int, wait_s: float) -> None:
    assert least_wait_s(FILE, Random(1), code) == wait_s


def test_a_draining_server_s_clients_come_back_spread_over_ten_seconds() -> None:
    waits = [least_wait_s(FILE, Random(seed), 4003) for seed in range(200)]
    assert 0 <= min(waits) < 1
    assert 9 < max(waits) <= 10


# --- the plan ----------------------------------------------------------------------------------------


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path, tmp_path, tmp_path / "credentials")


def planned(paths: Paths, **oracles: tuple[str, ...]) -> Route | Disabled:
    config = Config.model_validate({"markets": {"assets": ("btc", "sol")}, "oracles": oracles})
    return plan(config, paths, ManualClock())


def test_the_plan_is_one_line_that_carries_what_this_route_has(paths: Paths) -> None:
    write_credentials(paths.credentials_file("polybolt"), KEYS)
    route = planned(paths)
    assert isinstance(route, Route)
    (line,) = route.lines
    assert route.name == "polybolt"
    assert route.series == line.watched == ("spot/btc", "spot/sol", "twap60/btc", "twap60/sol")
    assert (line.url, line.max_bytes) == (Config().venue.polybolt_url, MAX_FRAME)
    assert (json.loads(line.ping), line.ping, line.ping_every_s) == ({"op": "ping", "rid": "p"}, PING, 10)
    assert (line.backoff().first_s, line.backoff().cap_s) == (1, 30)
    assert line.on_refusal(4008) == 30


def test_only_what_is_configured_is_watched_and_subscribed(paths: Paths) -> None:
    write_credentials(paths.credentials_file("polybolt"), KEYS)
    route = planned(paths, kinds=("binance", "twap60", "twap30"), watched=("spot", "twap60", "twap30"))
    assert isinstance(route, Route)
    assert route.series == route.lines[0].watched == ("twap60/btc", "twap60/sol")
    talk = route.lines[0].converse()
    talk.opening()
    (message,) = reply(talk, AUTHED)
    assert {item["channel"] for item in message["subscriptions"]} == {"price.crypto.twap"}
    unwatched = planned(paths, watched=("binance",))
    assert isinstance(unwatched, Route)
    assert unwatched.lines[0].watched == ()
    assert len(unwatched.series) == 4


def test_every_connection_has_a_conversation_of_its_own(paths: Paths) -> None:
    write_credentials(paths.credentials_file("polybolt"), KEYS)
    route = planned(paths)
    assert isinstance(route, Route)
    first, second = route.lines[0].converse(), route.lines[0].converse()
    assert [json.loads(message)["auth"]["secret"] for message in first.opening()] == ["secret-8"]
    hear(first, spot(9))
    assert gaps(hear(second, spot(1))) == []


def test_everything_subscribed_stays_below_the_venue_s_limits(paths: Paths) -> None:
    write_credentials(paths.credentials_file("polybolt"), KEYS)
    route = plan(Config(), paths, ManualClock())
    assert isinstance(route, Route)
    talk = route.lines[0].converse()
    talk.opening()
    _, messages = talk.hear(text(AUTHED), NOW_NS)
    assert len(messages) < 20
    assert max(map(len, messages)) < 64_000
    assert sum(len(json.loads(message)["subscriptions"]) for message in messages) == len(route.series) <= 64


def test_without_credentials_the_route_is_disabled_and_says_what_makes_them(paths: Paths) -> None:
    disabled = planned(paths)
    assert isinstance(disabled, Disabled)
    assert str(paths.credentials_file("polybolt")) in disabled.why
    assert "laggard init --reader-key" in disabled.why


def test_without_a_kind_it_carries_the_route_is_disabled(paths: Paths) -> None:
    disabled = planned(paths, kinds=("twap30", "binance"))
    assert isinstance(disabled, Disabled)
    assert "spot and twap60" in disabled.why


def test_unusable_credentials_are_a_problem_of_the_configuration(paths: Paths) -> None:
    write_credentials(paths.credentials_file("polybolt"), {"api_key": "key-7"})
    with pytest.raises(ConfigError, match="secret, passphrase"):
        planned(paths)
