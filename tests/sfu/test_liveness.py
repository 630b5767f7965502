"""Who is still there: virtual minutes of a lossy link, and the second in which a dead peer is noticed."""

import heapq
import random

import pytest

from hushroom_sfu.plane.liveness import Liveness


def heard_times(seed: int, *, loss: float, minutes: float) -> list[float]:
    """When packets of a quiet peer arrive: RTCP every 0.5-1.5 s and ICE checks every 4-6 s, as aiortc sends them."""
    dice = random.Random(seed)
    arrivals: list[float] = []
    timers = [(dice.uniform(0.5, 1.5), 0.5, 1.5), (dice.uniform(4, 6), 4.0, 6.0)]
    heapq.heapify(timers)
    while timers[0][0] < minutes * 60:
        at, shortest, longest = heapq.heappop(timers)
        if dice.random() >= loss:
            arrivals.append(at)
        heapq.heappush(timers, (at + dice.uniform(shortest, longest), shortest, longest))
    return arrivals


@pytest.mark.parametrize("seed", range(200))
def test_ten_minutes_at_twenty_percent_loss_lose_nobody(seed: int) -> None:
    liveness = Liveness(0.0)
    for now in heard_times(seed, loss=0.2, minutes=10):
        assert not liveness.is_silent(now)
        liveness.heard_at = now


@pytest.mark.parametrize("seed", range(200))
def test_a_receiver_report_each_second_is_enough_for_a_leg_without_media(seed: int) -> None:
    dice = random.Random(seed)
    liveness = Liveness(0.0)
    for second in range(600):
        assert not liveness.is_silent(second)
        if dice.random() >= 0.2:
            liveness.heard_at = second


@pytest.mark.parametrize("seed", range(20))
def test_a_peer_that_dies_is_noticed_ten_seconds_after_its_last_packet(seed: int) -> None:
    liveness = Liveness(0.0)
    for now in heard_times(seed, loss=0.2, minutes=1):
        liveness.heard_at = now
    assert not liveness.is_silent(liveness.heard_at + 9.99)
    assert liveness.is_silent(liveness.heard_at + 10.0)
    assert liveness.deadline == liveness.heard_at + 10.0
