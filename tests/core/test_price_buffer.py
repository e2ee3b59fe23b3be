from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from common.core.price_buffer import LONGEST_RUN, Added, Mean, Observation, PriceBuffer
from common.units import SECOND

HORIZON = 40


def filled(*stamps: int, horizon: int = 1_000 * SECOND) -> PriceBuffer:
    buffer = PriceBuffer(horizon)
    for stamp in stamps:
        buffer.add(stamp * SECOND, stamp * 10, stamp)
    return buffer


def test_an_empty_buffer_knows_nothing() -> None:
    buffer = PriceBuffer(SECOND)
    assert buffer.latest() is None
    assert buffer.at(0) is None
    assert buffer.as_of(10) is None
    assert buffer.first_at_or_after(0) is None
    assert buffer.mean(0, SECOND) == Mean(0, 0, 1)
    assert len(buffer) == 0


def test_a_repeat_keeps_the_first_receipt() -> None:
    buffer = filled(1)
    assert buffer.add(SECOND, 10, 99) is Added.SAME
    assert buffer.latest() == Observation(SECOND, 10, 1)


def test_a_later_receipt_corrects_and_an_earlier_one_does_not() -> None:
    buffer = filled(1, 2)
    assert buffer.add(SECOND, 11, 5) is Added.CORRECTED
    assert buffer.at(SECOND) == 11
    assert buffer.add(SECOND, 12, 4) is Added.SAME
    assert buffer.at(SECOND) == 11


def test_a_late_observation_takes_its_place() -> None:
    buffer = filled(1, 4)
    assert buffer.add(2 * SECOND, 20, 9) is Added.LATE
    assert buffer.latest() == Observation(4 * SECOND, 40, 4)
    assert buffer.as_of(3 * SECOND) == Observation(2 * SECOND, 20, 9)
    assert buffer.first_at_or_after(SECOND + 1) == Observation(2 * SECOND, 20, 9)


def test_the_horizon_includes_its_edge() -> None:
    buffer = filled(100, horizon=10 * SECOND)
    assert buffer.add(90 * SECOND, 1, 1) is Added.LATE
    assert buffer.add(90 * SECOND - 1, 1, 1) is Added.TOO_OLD
    assert buffer.add(101 * SECOND, 1, 1) is Added.NEW
    assert buffer.at(90 * SECOND) is None


def test_at_wants_the_exact_stamp() -> None:
    buffer = filled(1, 2)
    assert buffer.at(2 * SECOND) == 20
    assert buffer.at(2 * SECOND - 1) is None
    assert buffer.at(2 * SECOND + 1) is None


def test_the_newest_counts_from_its_stamp_on() -> None:
    buffer = filled(1, 2)
    assert buffer.as_of(2 * SECOND - 1) == Observation(SECOND, 10, 1)
    assert buffer.as_of(2 * SECOND) == buffer.as_of(9 * SECOND) == Observation(2 * SECOND, 20, 2)
    assert (buffer.at(2 * SECOND), buffer.at(2 * SECOND + 1)) == (20, None)


def test_the_mean_leaves_out_its_start_and_takes_its_end() -> None:
    buffer = filled(1, 2, 3, 4, 5)
    assert buffer.mean(2 * SECOND, 4 * SECOND) == Mean(70, 2, 0)


def test_the_mean_counts_seconds_without_observation() -> None:
    buffer = filled(1, 3, 7)
    assert buffer.mean(0, 8 * SECOND) == Mean(110, 3, 5)


def test_several_observations_in_one_second_fill_one_second() -> None:
    buffer = filled(1)
    buffer.add(SECOND - 1, 10, 1)
    assert buffer.mean(0, 2 * SECOND) == Mean(20, 2, 1)


def test_a_span_that_is_no_span_has_no_mean() -> None:
    assert filled(1, 2, 3).mean(3 * SECOND, SECOND) == Mean(0, 0, 0)


def test_memory_stays_bounded_by_the_horizon() -> None:
    buffer = filled(*range(10_000), horizon=50 * SECOND)
    assert len(buffer) == 51
    assert len(buffer._stamps) <= 51 + 256
    assert len(buffer._values) == len(buffer._monos) == len(buffer._stamps)


class NaivePast(RuleBasedStateMachine):
    """The buffer against a dict that is filtered afresh at every question."""

    def __init__(self) -> None:
        super().__init__()
        self.buffer = PriceBuffer(HORIZON)
        self.model: dict[int, tuple[int, int]] = {}
        self.base = 0

    @rule(offset=st.integers(-50, 12), value=st.integers(0, 3), mono=st.integers(0, 20))
    def add(self, offset: int, value: int, mono: int) -> None:
        stamp = self.base + offset
        held = self.model.get(stamp)
        if self.model and stamp < max(self.model) - HORIZON:
            expected = Added.TOO_OLD
        elif held is not None and (held[0] == value or mono < held[1]):
            expected = Added.SAME
        else:
            newest = not self.model or stamp > max(self.model)
            expected = Added.CORRECTED if held is not None else Added.NEW if newest else Added.LATE
            self.model[stamp] = (value, mono)
        assert self.buffer.add(stamp, value, mono) is expected
        self.base = max(self.model)
        self.model = {at: rest for at, rest in self.model.items() if at >= self.base - HORIZON}

    @rule(count=st.integers(1, 400))
    def add_a_burst(self, count: int) -> None:
        for _ in range(count):
            self.add(1, 1, 1)

    @rule(offset=st.integers(-60, 5))
    def ask(self, offset: int) -> None:
        instant = self.base + offset
        before = [at for at in self.model if at <= instant]
        after = [at for at in self.model if at >= instant]
        assert self.buffer.at(instant) == (self.model[instant][0] if instant in self.model else None)
        assert self.buffer.as_of(instant) == (self.observation(max(before)) if before else None)
        assert self.buffer.first_at_or_after(instant) == (self.observation(min(after)) if after else None)

    @rule(start=st.integers(-60, 5), length=st.integers(0, 60))
    def average(self, start: int, length: int) -> None:
        low = self.base + start
        values = [value for at, (value, _) in self.model.items() if low < at <= low + length]
        found = self.buffer.mean(low, low + length)
        assert (found.total, found.count) == (sum(values), len(values))

    @invariant()
    def agrees_on_the_newest(self) -> None:
        assert len(self.buffer) == len(self.model)
        assert self.buffer.latest() == (self.observation(max(self.model)) if self.model else None)
        began = self.buffer.unchanged_since(max(self.model)) if self.model else None
        assert self.buffer.began() == began

    def observation(self, at: int) -> Observation:
        value, mono = self.model[at]
        return Observation(at, value, mono)


TestNaivePast = NaivePast.TestCase


@given(st.sets(st.integers(-5, 25), max_size=20), st.integers(0, 20), st.integers(0, 20))
def test_missing_is_what_a_full_second_grid_lacks(stamps: set[int], start: int, length: int) -> None:
    grid = set(range(start + 1, start + length + 1))
    found = filled(*sorted(stamps)).mean(start * SECOND, (start + length) * SECOND)
    assert found.missing == len(grid - stamps)
    assert found.count == len(grid & stamps)


@given(st.permutations(range(30)))
def test_the_order_of_arrival_does_not_matter(stamps: list[int]) -> None:
    assert filled(*stamps).mean(0, 30 * SECOND) == filled(*range(30)).mean(0, 30 * SECOND)


def test_a_value_began_where_the_run_of_equal_ones_begins() -> None:
    buffer = PriceBuffer(1000 * SECOND)
    for second, value in ((1, 5), (2, 7), (3, 7), (4, 7), (6, 7), (7, 9)):
        buffer.add(second * SECOND, value, second)
    for second, began in ((0, None), (1, 1), (2, 2), (4, 2), (5, 2), (6, 2), (7, 7), (9, 7)):
        found = buffer.unchanged_since(second * SECOND)
        assert (found.observed_ns // SECOND if found else None) == began


def test_a_run_is_followed_back_only_so_far() -> None:
    buffer = PriceBuffer(10_000 * SECOND)
    for second in range(LONGEST_RUN * 3):
        buffer.add(second * SECOND, 7, second)
    found = buffer.unchanged_since(LONGEST_RUN * 3 * SECOND)
    assert found is not None
    assert found.observed_ns == (LONGEST_RUN * 3 - 1 - LONGEST_RUN) * SECOND
    assert buffer.began() == found


def test_the_observation_of_an_instant_has_its_arrival() -> None:
    buffer = PriceBuffer(1000 * SECOND)
    buffer.add(SECOND, 5, 17)
    found = buffer.observation_at(SECOND)
    assert found is not None
    assert (found.value, found.mono_ns) == (5, 17)
    assert buffer.observation_at(SECOND + 1) is None
    assert buffer.observation_at(2 * SECOND) is None


@given(
    st.dictionaries(st.integers(0, 60_000), st.integers(1, 10**24), max_size=40),
    st.integers(0, 30),
    st.integers(0, 30),
    st.integers(0, 20),
)
def test_a_held_mean_samples_each_whole_second(
    prices: dict[int, int], first: int, length: int, hold: int
) -> None:
    buffer = PriceBuffer(1000 * SECOND)
    for millisecond, value in sorted(prices.items()):
        buffer.add(millisecond * 1_000_000, value, 0)
    mean = buffer.held_mean(first * SECOND, (first + length) * SECOND, hold * SECOND)
    values = []
    for second in range(first + 1, first + length + 1):
        before = [at for at in prices if at <= second * 1000]
        if before and second * 1000 - max(before) <= hold * 1000:
            values.append(prices[max(before)])
    assert (mean.total, mean.count, mean.missing) == (sum(values), len(values), length - len(values))
