from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushroom_common.reception import Arrival, MissingPackets
from hushroom_common.reception.missing import MAX_DROPOUT

START = 70_000
RTT_S = 0.1


def stream(*, first: int = START, max_entries: int = 512, max_age_s: float = 1.0, max_tries: int = 5) -> MissingPackets:
    """A stream whose packet `first` arrived at time 0."""
    missing = MissingPackets(max_entries=max_entries, max_age_s=max_age_s, max_tries=max_tries, reorder_delay_s=0.01)
    assert missing.receive(first, 0.0) is Arrival.NEW
    return missing


def asked(missing: MissingPackets, now: float, rtt_s: float = RTT_S) -> list[int]:
    return missing.due(now, rtt_s).nack


def given_up(missing: MissingPackets, now: float) -> list[int]:
    return missing.due(now, RTT_S).given_up


# --- arrivals ---------------------------------------------------------------------------------------------------


def test_a_stream_in_order_misses_nothing() -> None:
    missing = stream()
    assert all(missing.receive(START + n, n / 100) is Arrival.NEW for n in range(1, 100))
    assert missing.missing == 0
    assert missing.next_deadline() is None
    assert asked(missing, 10.0) == []


def test_a_gap_is_filled_by_late_packets_and_only_once() -> None:
    missing = stream()
    assert missing.receive(START + 3, 0.0) is Arrival.NEW
    assert missing.missing == 2
    assert missing.receive(START + 2, 0.0) is Arrival.LATE
    assert missing.receive(START + 2, 0.0) is Arrival.DUPLICATE
    assert missing.receive(START + 1, 0.0) is Arrival.LATE
    assert missing.receive(START + 3, 0.0) is Arrival.DUPLICATE
    assert missing.missing == 0
    assert missing.next_deadline() is None


def test_what_came_before_the_first_packet_is_too_old() -> None:
    assert stream().receive(START - 1, 0.0) is Arrival.TOO_OLD


# --- asking -----------------------------------------------------------------------------------------------------


def test_a_reordered_packet_is_not_asked_for() -> None:
    missing = stream()
    missing.receive(START + 2, 0.0)
    assert missing.next_deadline() == pytest.approx(0.01)
    assert asked(missing, 0.009) == []
    missing.receive(START + 1, 0.009)
    assert asked(missing, 0.02) == []


def test_a_lost_packet_is_asked_for_each_round_trip_until_given_up() -> None:
    missing = stream(max_tries=3)
    missing.receive(START + 2, 0.0)
    asked_at = []
    while (now := missing.next_deadline()) is not None:
        round_ = missing.due(now, RTT_S)
        if round_.nack:
            assert round_.nack == [START + 1]
            asked_at.append(now)
        else:
            assert round_.given_up == [START + 1]
            assert now == pytest.approx(0.31)
    assert asked_at == pytest.approx([0.01, 0.11, 0.21])


def test_requests_are_never_closer_than_twenty_milliseconds() -> None:
    missing = stream()
    missing.receive(START + 2, 0.0)
    assert asked(missing, 0.01, rtt_s=0.001) == [START + 1]
    assert asked(missing, 0.029, rtt_s=0.001) == []
    assert asked(missing, 0.031, rtt_s=0.001) == [START + 1]


def test_a_packet_is_given_up_at_its_age_whatever_was_asked() -> None:
    missing = stream(max_age_s=0.15)
    missing.receive(START + 2, 0.0)
    assert asked(missing, 0.01) == [START + 1]
    assert missing.next_deadline() == pytest.approx(0.11)
    assert asked(missing, 0.11) == [START + 1]
    assert missing.next_deadline() == pytest.approx(0.15)
    assert given_up(missing, 0.15) == [START + 1]
    assert given_up(missing, 0.16) == []
    assert missing.missing == 0


def test_without_tries_a_packet_is_waited_for_and_never_asked_for() -> None:
    missing = stream(max_tries=0, max_age_s=0.2)
    missing.receive(START + 2, 0.0)
    assert missing.next_deadline() == pytest.approx(0.2)
    assert missing.due(0.19, RTT_S).nack == missing.due(0.19, RTT_S).given_up == []
    assert given_up(missing, 0.2) == [START + 1]


def test_what_was_given_up_is_too_old_when_it_comes() -> None:
    missing = stream(max_age_s=0.1)
    missing.receive(START + 2, 0.0)
    assert given_up(missing, 0.1) == [START + 1]
    assert missing.receive(START + 1, 0.11) is Arrival.TOO_OLD
    assert missing.receive(START + 2, 0.11) is Arrival.DUPLICATE


def test_numbers_are_asked_for_in_rising_order_across_the_wrap() -> None:
    missing = stream(first=2**17 - 3)
    missing.receive(2**17 + 1, 0.0)
    assert [number & 0xFFFF for number in asked(missing, 0.01)] == [65534, 65535, 0]


# --- bounds -----------------------------------------------------------------------------------------------------


def test_the_oldest_give_way_when_too_many_are_missing() -> None:
    missing = stream(max_entries=10)
    missing.receive(START + 9, 0.0)  # 8 missing
    missing.receive(START + 15, 0.0)  # 5 more
    assert missing.next_deadline() == 0.0
    round_ = missing.due(0.01, RTT_S)
    assert round_.given_up == [START + 1, START + 2, START + 3]
    assert round_.nack == [START + n for n in (4, 5, 6, 7, 8, 10, 11, 12, 13, 14)]
    assert missing.missing == 10
    assert missing.receive(START + 1, 0.02) is Arrival.TOO_OLD
    assert missing.receive(START + 4, 0.02) is Arrival.LATE


def test_a_hole_as_wide_as_the_window_is_tracked_and_a_wider_one_is_not() -> None:
    narrow, wide = stream(max_entries=10), stream(max_entries=10)
    assert narrow.receive(START + 11, 0.0) is Arrival.NEW
    assert narrow.missing == 10
    assert wide.receive(START + 12, 0.0) is Arrival.NEW
    assert wide.missing == 0
    assert wide.receive(START + 5, 0.0) is Arrival.TOO_OLD
    assert wide.receive(START + 13, 0.0) is Arrival.NEW


def test_a_wide_hole_gives_up_what_was_missing_before_it() -> None:
    missing = stream(max_entries=10)
    missing.receive(START + 3, 0.0)
    missing.receive(START + 100, 0.005)
    assert missing.missing == 2
    assert missing.next_deadline() == 0.005
    round_ = missing.due(0.02, RTT_S)
    assert (round_.nack, round_.given_up) == ([], [START + 1, START + 2])
    assert missing.missing == 0


def test_one_stray_packet_moves_nothing() -> None:
    missing = stream()
    assert missing.receive(START + MAX_DROPOUT + 1, 0.0) is Arrival.STRAY
    assert missing.missing == 0
    assert missing.receive(START + 1, 0.0) is Arrival.NEW
    assert missing.receive(START + MAX_DROPOUT + 2, 0.0) is Arrival.STRAY
    assert missing.receive(START + 2, 0.0) is Arrival.NEW


def test_two_packets_in_a_row_move_the_stream() -> None:
    missing = stream()
    assert missing.receive(START + 20_000, 0.0) is Arrival.STRAY
    assert missing.receive(START + 20_001, 0.0) is Arrival.NEW
    assert missing.missing == 0
    assert missing.receive(START + 1, 0.0) is Arrival.TOO_OLD
    assert missing.receive(START + 20_003, 0.0) is Arrival.NEW
    assert asked(missing, 0.01) == [START + 20_002]


def test_two_strays_apart_move_nothing() -> None:
    missing = stream()
    assert missing.receive(START + 20_000, 0.0) is Arrival.STRAY
    assert missing.receive(START + 20_002, 0.0) is Arrival.STRAY
    assert missing.receive(START + 1, 0.0) is Arrival.NEW


def test_a_jump_that_is_just_short_of_a_dropout_is_believed_at_once() -> None:
    assert stream().receive(START + MAX_DROPOUT, 0.0) is Arrival.NEW


def test_a_stream_never_runs_backwards() -> None:
    missing = stream()
    for n in range(1, 50):
        missing.receive(START + n, 0.0)
    arrivals = {missing.receive(START - 10_000 + n, 1.0) for n in range(100)}
    assert arrivals == {Arrival.TOO_OLD}
    assert missing.receive(START + 50, 1.0) is Arrival.NEW


# --- any order, any loss ----------------------------------------------------------------------------------------

steps = st.lists(
    st.tuples(
        st.integers(-60, 60) | st.sampled_from([100, 3000, 3001, 3002, -40_000]),
        st.floats(0, 0.3),
        st.booleans(),
    ),
    max_size=80,
)


@given(steps, st.integers(1, 40), st.integers(0, 4))
def test_whatever_arrives_each_number_is_used_or_given_up_at_most_once(
    walk: list[tuple[int, float, bool]], max_entries: int, max_tries: int
) -> None:
    missing = MissingPackets(max_entries=max_entries, max_age_s=0.5, max_tries=max_tries)
    used, lost, requests = set[int](), set[int](), Counter[int]()
    highest, now = START, 0.0
    for step, pause, is_due in walk:
        number = highest + step
        arrival = missing.receive(number, now)
        if arrival in (Arrival.NEW, Arrival.LATE):
            assert number not in used
            assert number not in lost
            assert (arrival is Arrival.NEW) == (not used or number > max(used))
            used.add(number)
            highest = max(highest, number)
        now += pause
        if is_due:
            round_ = missing.due(now, RTT_S)
            assert not lost & set(round_.given_up)
            assert not used & {*round_.given_up, *round_.nack}
            lost |= set(round_.given_up)
            requests.update(round_.nack)
            assert missing.missing <= max_entries
            assert (missing.next_deadline() is None) == (missing.missing == 0)
    assert all(count <= max_tries for count in requests.values())


@given(st.lists(st.booleans(), min_size=1, max_size=200), st.randoms(use_true_random=False))
def test_every_number_of_a_lossy_stream_is_settled(arrives: list[bool], chance: Random) -> None:
    missing = MissingPackets(max_entries=512, max_age_s=0.5, max_tries=3)
    kept = [START, *(START + n for n, is_kept in enumerate(arrives, 1) if is_kept)]
    reordered = [START, *sorted(kept[1:], key=lambda number: number + chance.uniform(0, 5))]
    settled: list[int] = []
    now = 0.0
    for number in reordered:
        now += 0.005
        if missing.receive(number, now) in (Arrival.NEW, Arrival.LATE):
            settled.append(number)
        settled += missing.due(now, RTT_S).given_up
    while (deadline := missing.next_deadline()) is not None:
        assert deadline <= now + 0.5
        now = max(now, deadline)
        settled += missing.due(now, RTT_S).given_up
    assert sorted(settled) == list(range(START, max(kept) + 1))
