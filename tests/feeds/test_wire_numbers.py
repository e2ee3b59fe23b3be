"""Numbers read quickly are those read carefully."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from common.errors import FrameRefused
from common.feeds.market.wire_numbers import MAX_SIZE6, best4, last4, size6, size6_of
from common.units import NotANumber, size6_floor, size6_text

digits = st.text("0123456789", max_size=20)
texts = st.one_of(
    st.integers(0, MAX_SIZE6).map(size6_text),
    st.builds(lambda whole, rest: f"{whole}.{rest}", digits, digits),
    st.builds(lambda sign, whole, tail: sign + whole + tail, st.sampled_from("+-_ "), digits, digits),
    st.text("0123456789.eE+-_ ²٣", max_size=20),
    st.text(max_size=6),
)


@given(texts)
@example("")
@example(".")
@example(".5")
@example("5.")
@example("0005.1")
@example("1_000")
@example("1._5")
@example("1" * 61)
@example("1.0000001")
@example("٣")
@example("²")
def test_any_text_is_the_size_it_was_or_none(text: str) -> None:
    try:
        expected = size6_floor(text)
    except NotANumber:
        with pytest.raises(NotANumber):
            size6_of(text)
    else:
        assert size6_of(text) == expected


@pytest.mark.parametrize(
    ("text", "last", "best"),
    [(None, None, None), ("", None, None), ("0", 0, None), ("1.00", 10_000, None), ("0.585", 5850, 5850)],
)
def test_an_end_of_the_scale_is_a_trade_but_no_best_price(
    text: str | None, last: int | None, best: int | None
) -> None:
    assert (last4(text), best4(text)) == (last, best)


def test_a_size_beyond_reason_is_refused() -> None:
    assert size6(size6_text(MAX_SIZE6)) == MAX_SIZE6
    with pytest.raises(FrameRefused):
        size6(size6_text(MAX_SIZE6 + 1))
