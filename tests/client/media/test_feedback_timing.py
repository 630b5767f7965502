"""When feedback is sent: repairs are measured, keyframes are asked for on a bound."""

import pytest

from hushroom_client.media.keyframe_requests import KeyframeRequests
from hushroom_client.media.repair_time import RepairTime


def test_the_repair_time_follows_retransmissions_from_their_first_request() -> None:
    repair_time = RepairTime()
    for index in range(60):
        repair_time.asked([index], now=index)
        repair_time.asked([index], now=index + 0.02)
        repair_time.arrived(index, now=index + 0.03, was_sent_again=True)
    assert repair_time.estimate_s == pytest.approx(0.03, abs=0.001)


def test_packets_that_were_merely_overtaken_say_nothing_about_it() -> None:
    repair_time = RepairTime()
    before = repair_time.estimate_s
    repair_time.asked([1], now=1.0)
    repair_time.arrived(1, now=1.001, was_sent_again=False)
    assert repair_time.estimate_s == before


def test_one_that_took_for_ever_does_not_stop_all_others_from_being_asked_for() -> None:
    repair_time = RepairTime()
    for index in range(60):
        repair_time.asked([index], now=0.0)
        repair_time.arrived(index, now=1e6, was_sent_again=True)
    assert repair_time.estimate_s <= 0.25


def test_what_was_asked_for_is_remembered_within_bounds() -> None:
    repair_time = RepairTime()
    repair_time.asked(range(100_000), now=0.0)
    assert len(repair_time._asked_at) <= 1024
    repair_time.given_up(range(100_000))
    assert not repair_time._asked_at


def test_losses_one_after_another_ask_no_more_often_than_every_half_second() -> None:
    requests = KeyframeRequests()
    asked = []
    for step in range(200):
        now = step * 0.01
        requests.want(now)
        if requests.take_due(now):
            asked.append(now)
        requests.satisfy()
    requests.want(2.0)
    assert asked == pytest.approx([0.0, 0.5, 1.0, 1.5])
    assert requests.next_deadline() == pytest.approx(2.0)
