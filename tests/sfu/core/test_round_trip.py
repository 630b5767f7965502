"""Repeated requests wait for the publisher's round trip, as his repairs show it."""

import pytest

from hushroom_sfu.core.round_trip import RoundTrip
from tests.support.forwarding import Forwarding
from tests.support.streams import Vp8Stream


def test_the_estimate_falls_at_once_and_rises_slowly() -> None:
    trip = RoundTrip()
    assert trip.repeat_after_s == 0.1
    trip.asked([1, 2, 3], 10.0)
    trip.asked([2], 10.05)  # again: the time counts from the first request
    trip.came(1, 10.08)
    assert trip.repeat_after_s == pytest.approx(0.1)
    trip.came(2, 10.02)
    assert trip.repeat_after_s == pytest.approx(0.025)
    trip.came(3, 10.1)
    assert trip.repeat_after_s == pytest.approx(1.25 * (0.02 + 0.01))
    trip.came(4, 11.0)  # never asked for: reordered
    assert trip.repeat_after_s == pytest.approx(1.25 * (0.02 + 0.01))


def test_on_long_paths_requests_overlap() -> None:
    trip = RoundTrip()
    trip.asked([1], 10.0)
    trip.came(1, 10.9)
    assert trip.repeat_after_s == 0.15


def test_what_is_asked_for_is_bounded() -> None:
    trip = RoundTrip()
    for first in range(0, 100_000, 100):
        trip.asked(range(first, first + 100), 1.0)
    assert len(trip._asked_at) <= 1200


@pytest.mark.parametrize(("round_trip_s", "expected_s"), [(0.02, 0.025), (0.08, 0.1), (0.3, 0.15)])
def test_a_request_that_was_lost_is_repeated_after_one_round_trip(round_trip_s: float, expected_s: float) -> None:
    forwarding = Forwarding()
    ada, bo = forwarding.leg(), forwarding.leg()
    forwarding.assign(forwarding.slot(bo), forwarding.camera(ada))
    stream = Vp8Stream(packets_per_frame=1)
    forwarding.arrives(ada, *stream.sends("K"))
    for _ in range(3):
        (lost,) = stream.frame()
        forwarding.arrives(ada, *stream.sends("P"))
        forwarding.passes(0.01 + round_trip_s)  # requests wait 10 ms for packets that are only out of order
        forwarding.arrives(ada, lost)
    stream.frame()
    forwarding.arrives(ada, *stream.sends("P"))
    forwarding.passes(0.01)
    asked, waited_s = len(forwarding.nacked(ada)), 0.0
    while len(forwarding.nacked(ada)) == asked and waited_s < 0.5:
        forwarding.passes(0.001)
        waited_s += 0.001
    assert waited_s == pytest.approx(expected_s, abs=0.003)
