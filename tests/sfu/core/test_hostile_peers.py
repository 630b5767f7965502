"""What one peer can cost the server and everybody else: bounded, whatever he sends."""

import pytest

from hushroom_common.rtcp import FirEntry, FullIntraRequest, GenericNack
from hushroom_common.rtp import build_rtp
from hushroom_sfu.core.actions import Transmit
from tests.support.forwarding import Forwarding
from tests.support.streams import Vp8Stream, vp8_packet


@pytest.fixture
def forwarding() -> Forwarding:
    return Forwarding()


@pytest.mark.parametrize("step", [2, 30, 129, 130, 400, 2999, 3001, 20_000, 32_768, 40_000, 65_535])
def test_leaping_numbers_fill_no_subscribers_line(forwarding: Forwarding, step: int) -> None:
    ada, bo = forwarding.leg(), forwarding.leg()
    forwarding.assign(forwarding.slot(bo), forwarding.camera(ada))
    forwarding.arrives(ada, vp8_packet(0, starts_frame=True, is_keyframe=True))
    for index in range(2000):
        forwarding.arrives(ada, vp8_packet(index * step, starts_frame=True))
        forwarding.passes(0.001)
    forwarding.passes(3)
    fillers = sum(not packet.payload for packet in forwarding.rtp[bo])
    assert fillers <= 512 * 4
    assert forwarding.unfilled(bo) == {}
    assert forwarding.keyframes_asked_of(ada) <= 12


def test_numbers_that_leap_without_believers_are_dropped_and_the_stream_goes_on(forwarding: Forwarding) -> None:
    ada, bo = forwarding.leg(), forwarding.leg()
    forwarding.assign(forwarding.slot(bo), forwarding.camera(ada))
    stream = Vp8Stream(sequence_number=100)
    forwarding.arrives(ada, *stream.sends("K"))
    forwarding.arrives(ada, vp8_packet(30_000), vp8_packet(60_000), vp8_packet(20_000))
    forwarding.arrives(ada, *stream.sends("P P P"))
    assert forwarding.forwarder.drops["stray"] >= 3
    assert len(forwarding.rtp[bo]) >= 6
    assert forwarding.unfilled(bo) == {}


def test_a_flood_of_nacks_costs_no_more_than_its_budget(forwarding: Forwarding) -> None:
    ada, bo = forwarding.leg(), forwarding.leg()
    forwarding.assign(forwarding.slot(bo), forwarding.camera(ada))
    forwarding.arrives(ada, *Vp8Stream().sends("K P P P P"))
    ssrc = forwarding.rtp[bo][0].ssrc
    everything = GenericNack(sender_ssrc=9, media_ssrc=ssrc, lost=tuple(range(0x10000)))
    before = len(forwarding.rtp[bo])
    forwarding.arrives_rtcp(bo, everything, everything)
    assert len(forwarding.rtp[bo]) - before <= 512
    drops = forwarding.forwarder.drops
    assert drops["nack_over_budget"] == 2 * 0x10000 - 512


def test_a_list_of_keyframe_requests_is_one_request(forwarding: Forwarding) -> None:
    ada, bo = forwarding.leg(), forwarding.leg()
    forwarding.assign(forwarding.slot(bo), forwarding.camera(ada))
    forwarding.arrives(ada, *Vp8Stream().sends("K"))
    forwarding.passes(1)
    asked = forwarding.keyframes_asked_of(ada)
    ssrc = forwarding.rtp[bo][0].ssrc
    entries = tuple(FirEntry(ssrc + step % 2, step & 0xFF) for step in range(150))
    forwarding.arrives_rtcp(bo, FullIntraRequest(sender_ssrc=9, entries=entries))
    assert forwarding.keyframes_asked_of(ada) == asked + 1
    forwarding.passes(2)
    assert forwarding.keyframes_asked_of(ada) <= asked + 2


def test_nobody_is_learned_without_a_place_for_him(forwarding: Forwarding) -> None:
    ada = forwarding.leg()
    forwarding.camera(ada)
    for ssrc in range(5000):
        forwarding.arrives(ada, vp8_packet(1, ssrc=0x10000 + ssrc))
    assert forwarding.forwarder.drops == {"unknown_ssrc": 5000}


def test_a_burst_of_keyframe_starts_starts_a_subscriber_once(forwarding: Forwarding) -> None:
    ada, bo = forwarding.leg(), forwarding.leg()
    forwarding.assign(forwarding.slot(bo), forwarding.camera(ada))
    for number in range(50):
        forwarding.arrives(ada, vp8_packet(number, starts_frame=True, is_keyframe=True, picture_id=number))
    assert len(forwarding.rtp[bo]) == 50


def test_sound_with_a_hole_in_each_packet_is_not_a_storm_of_padding(forwarding: Forwarding) -> None:
    ada = forwarding.leg()
    microphone = forwarding.microphone(ada)
    listeners = [forwarding.leg() for _ in range(3)]
    for leg in listeners:
        forwarding.listens(leg, microphone)
    sent = 0
    for number in range(0, 60_000, 30):
        actions = forwarding.forwarder.receive(forwarding.sound(number), ada, forwarding.now)
        actions += forwarding.forwarder.handle_timeout(forwarding.now)
        sent += sum(isinstance(action, Transmit) for action in actions)
    assert sent <= 512 * len(listeners)


def test_one_rtp_packet_of_everything_odd_at_once(forwarding: Forwarding) -> None:
    ada, bo = forwarding.leg(), forwarding.leg()
    forwarding.assign(forwarding.slot(bo), forwarding.camera(ada))
    forwarding.arrives(ada, *Vp8Stream(sequence_number=0).sends("K"))
    odd = build_rtp(
        payload_type=96,
        marker=True,
        sequence_number=2,
        timestamp=0,
        ssrc=0x1000,
        payload=b"\x90\xf0\x80\x00\x00\xff" + b"x",
        csrcs=tuple(range(15)),
        extensions=b"\xbe\xde\x00\x01\xf0\x00\x00\x00",
        padding=255,
    )
    forwarding.arrives(ada, odd)
    out = forwarding.rtp[bo][-1]
    assert out.csrcs == ()
    assert out.padding_size == 0
    assert out.extension_profile == 0
