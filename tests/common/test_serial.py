from hypothesis import given
from hypothesis import strategies as st

from hushroom_common.serial import SequenceUnwrapper, TimestampUnwrapper, seq_distance, seq_newer, ts_distance

sequence_numbers = st.integers(0, 0xFFFF)


def test_distance_takes_the_short_way_round() -> None:
    assert seq_distance(2, 65535) == 3
    assert seq_distance(65535, 2) == -3
    assert seq_distance(7, 7) == 0
    assert seq_distance(0x7FFF, 0) == 0x7FFF
    assert ts_distance(10, 0xFFFF_FFFF) == 11
    assert ts_distance(0xFFFF_FFFF, 10) == -11


def test_half_a_circle_away_is_newer_neither_way() -> None:
    assert not seq_newer(0x8000, 0)
    assert not seq_newer(0, 0x8000)


@given(sequence_numbers, sequence_numbers)
def test_newer_and_distance_agree(a: int, b: int) -> None:
    assert seq_newer(a, b) == (seq_distance(a, b) > 0)
    assert (b + seq_distance(a, b)) & 0xFFFF == a


def test_the_first_number_leaves_room_to_step_back() -> None:
    sequences, times = SequenceUnwrapper(), TimestampUnwrapper()
    assert sequences.highest is None
    assert sequences.unwrap(0) == 2**16
    assert sequences.unwrap(65535) == 2**16 - 1
    assert sequences.highest == 2**16
    assert times.unwrap(5) == 2**32 + 5
    assert times.unwrap(0xFFFF_FFFF) == 2**32 - 1


def test_a_reordered_packet_across_the_wrap_keeps_its_place() -> None:
    unwrapper = SequenceUnwrapper()
    assert [unwrapper.unwrap(number) - 2**16 for number in (65534, 0, 65535, 1)] == [65534, 65536, 65535, 65537]


@given(sequence_numbers, st.lists(st.integers(-0x7FFF, 0x7FFF), max_size=50))
def test_unwrapping_undoes_wrapping_for_any_walk_near_its_highest(start: int, steps: list[int]) -> None:
    unwrapper = SequenceUnwrapper()
    highest = unwrapper.unwrap(start)
    for step in steps:
        extended = highest + step
        assert unwrapper.unwrap(extended & 0xFFFF) == extended >= 0
        highest = max(highest, extended)
        assert unwrapper.highest == highest


@given(st.integers(0, 0xFFFF_FFFF), st.lists(st.integers(-0x7FFF_FFFF, 0x7FFF_FFFF), max_size=50))
def test_unwrapping_undoes_wrapping_of_rtp_times(start: int, steps: list[int]) -> None:
    unwrapper = TimestampUnwrapper()
    highest = unwrapper.unwrap(start)
    for step in steps:
        extended = highest + step
        assert unwrapper.unwrap(extended & 0xFFFF_FFFF) == extended >= 0
        highest = max(highest, extended)
