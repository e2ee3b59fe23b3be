"""Updates of the wire: read into facts, or refused by themselves."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.chat.updates import arrival_of, update_id_of
from common.core.remote.authority import Arrival
from common.errors import FrameRefused

ANN = {"id": 7, "is_bot": False, "first_name": "Ann"}
PRIVATE = {"id": 7, "type": "private"}
TEXT = {"message_id": 1, "date": 100, "chat": PRIVATE, "from": ANN, "text": "/kill"}


def kind_of(**changes: Any) -> Arrival:
    return arrival_of({"update_id": 5, "message": {**TEXT, **changes}})


def test_a_plain_message() -> None:
    assert kind_of() == Arrival(5, "message", user_id=7, chat_id=7, private=True, text="/kill", sent_s=100)


@pytest.mark.parametrize(
    "changes",
    [
        {"forward_origin": {"type": "user"}},
        {"forward_date": 5},
        {"forward_from": ANN},
        {"forward_from_chat": PRIVATE},
        {"is_automatic_forward": True},
    ],
)
def test_a_forwarded_message(changes: dict[str, Any]) -> None:
    assert kind_of(**changes).kind == "forwarded"


def test_an_edited_message_however_it_comes() -> None:
    assert kind_of(edit_date=101).kind == "edited"
    assert arrival_of({"update_id": 5, "edited_message": TEXT}).kind == "edited"
    assert arrival_of({"update_id": 5, "edited_message": {"odd": 1}}).kind == "edited"


@pytest.mark.parametrize(
    "changes",
    [{"sender_chat": {"id": -5}}, {"via_bot": {"id": 9}}, {"from": {**ANN, "is_bot": True}}],
)
def test_who_speaks_in_anothers_name_is_marked(changes: dict[str, Any]) -> None:
    assert kind_of(**changes).bot


def test_channels_and_all_else() -> None:
    assert arrival_of({"update_id": 5, "channel_post": TEXT}).kind == "channel"
    assert kind_of(chat={"id": -5, "type": "channel"}).kind == "channel"
    assert arrival_of({"update_id": 5, "poll": {}}).kind == "other"
    assert "from" in TEXT
    assert (
        arrival_of({"update_id": 5, "message": {k: v for k, v in TEXT.items() if k != "from"}}).user_id == 0
    )


def test_a_press() -> None:
    press = {"id": "q", "from": ANN, "data": "c:n", "message": {"message_id": 1, "date": 0, "chat": PRIVATE}}
    assert arrival_of({"update_id": 5, "callback_query": press}) == Arrival(
        5, "button", user_id=7, chat_id=7, private=True, data="c:n", query_id="q"
    )
    assert arrival_of({"update_id": 5, "callback_query": {"id": "q", "from": ANN}}).kind == "other"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["update_id", "message", "chat", "id", "from", "date", "text", "callback_query"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_nothing_breaks_the_reader(raw: object) -> None:
    number = update_id_of(raw)
    try:
        arrival = arrival_of(raw)
    except FrameRefused:
        return
    assert arrival.update_id == number or number is None
