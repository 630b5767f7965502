"""Packets that come late: whose numbers were kept, who may begin with them, and that no number ever means two things.

`Forwarding` itself fails a test in which one SRTP index carries two contents.
"""

import pytest

from hushroom_common.ids import LegId
from hushroom_common.rtcp import GenericNack
from hushroom_common.rtp import RtpPacket
from hushroom_sfu.core.up_track import UpTrackId
from tests.support.forwarding import Forwarding
from tests.support.streams import Vp8Stream, vp8_packet


@pytest.fixture
def forwarding() -> Forwarding:
    return Forwarding()


def base_layer_viewer(forwarding: Forwarding, track: UpTrackId) -> LegId:
    leg = forwarding.leg()
    forwarding.assign(forwarding.slot(leg), track, max_temporal_id=0)
    return leg


def asks_for_everything_again(forwarding: Forwarding, leg: LegId) -> None:
    for packet in tuple(forwarding.rtp[leg]):
        nack = GenericNack(sender_ssrc=9, media_ssrc=packet.ssrc, lost=(packet.sequence_number,))
        forwarding.arrives_rtcp(leg, nack)


@pytest.mark.parametrize("lost", [2, 3], ids=["first packet", "last packet"])
def test_a_late_packet_of_a_torn_frame_becomes_padding_and_stays_it(lost: int) -> None:
    forwarding = Forwarding()
    ada, bo, cy = forwarding.leg(), forwarding.leg(), forwarding.leg()
    camera = forwarding.camera(ada)
    forwarding.assign(forwarding.slot(bo), camera, max_temporal_id=0)
    forwarding.assign(forwarding.slot(cy), camera)
    packets = list(Vp8Stream(temporal_layers=True).sends("K P P P P"))  # two packets a frame, of layers 0 2 1 2 0
    late = packets.pop(lost)
    forwarding.arrives(ada, *packets, late)
    *base_layer, filler = forwarding.rtp[bo]
    assert len(base_layer) == 4
    assert filler.payload == b""
    assert filler.sequence_number == base_layer[1].sequence_number + 1
    assert base_layer[2].sequence_number == base_layer[1].sequence_number + 2
    assert forwarding.rtp[cy][-1].payload == RtpPacket.parse(late).payload
    nack = GenericNack(sender_ssrc=9, media_ssrc=filler.ssrc, lost=(filler.sequence_number,))
    forwarding.arrives_rtcp(bo, nack)
    assert bytes(forwarding.rtp[bo][-1].data) == bytes(filler.data)


def test_a_late_frame_that_is_whole_passes() -> None:
    forwarding = Forwarding()
    ada, bo = forwarding.leg(), forwarding.leg()
    forwarding.assign(forwarding.slot(bo), forwarding.camera(ada), max_temporal_id=0)
    packets = list(Vp8Stream(temporal_layers=True).sends("K P P P P"))
    late = packets[2:4]
    forwarding.arrives(ada, *packets[:2], *packets[4:], *late)
    assert [packet.payload for packet in forwarding.rtp[bo][-2:]] == [RtpPacket.parse(one).payload for one in late]


def test_a_late_keyframe_start_from_before_a_class_began_gives_no_number_a_second_meaning(
    forwarding: Forwarding,
) -> None:
    ada = forwarding.leg()
    camera = forwarding.camera(ada)
    first = vp8_packet(11, starts_frame=True, is_keyframe=True, picture_id=2)
    forwarding.arrives(ada, vp8_packet(10), vp8_packet(12, picture_id=2))
    bo = base_layer_viewer(forwarding, camera)
    forwarding.arrives(ada, vp8_packet(13, starts_frame=True, is_keyframe=True, picture_id=3))
    for number in range(14, 20):  # every other picture is above the class
        forwarding.arrives(
            ada, vp8_packet(number, starts_frame=True, picture_id=number - 10, temporal_id=2 * (number % 2))
        )
    cy = base_layer_viewer(forwarding, camera)
    forwarding.arrives(ada, first)
    forwarding.arrives(ada, *(vp8_packet(number, starts_frame=True, picture_id=number - 10) for number in (20, 21)))
    asks_for_everything_again(forwarding, bo)
    forwarding.arrives(ada, vp8_packet(22, starts_frame=True, is_keyframe=True, picture_id=12))
    assert len(forwarding.rtp[cy]) > 0
    assert forwarding.unfilled(bo) == forwarding.unfilled(cy) == {}


def test_who_starts_with_a_late_keyframe_gets_padding_where_his_class_got_padding(forwarding: Forwarding) -> None:
    ada = forwarding.leg()
    camera = forwarding.camera(ada)
    bo = base_layer_viewer(forwarding, camera)
    forwarding.arrives(ada, vp8_packet(10, starts_frame=True, is_keyframe=True, picture_id=1))
    cy = base_layer_viewer(forwarding, camera)
    keyframe = vp8_packet(11, starts_frame=True, is_keyframe=True, picture_id=2)
    piece = vp8_packet(12, starts_frame=True, picture_id=3, temporal_id=2)
    forwarding.arrives(ada, vp8_packet(13, picture_id=3, temporal_id=2), piece)
    forwarding.arrives(ada, vp8_packet(14, starts_frame=True, picture_id=4), keyframe)
    assert [len(packet.payload) > 0 for packet in forwarding.rtp[cy]] == [True, False, True]
    asks_for_everything_again(forwarding, bo)
    asks_for_everything_again(forwarding, cy)


def test_a_late_keyframe_above_the_asked_for_layer_starts_nobody(forwarding: Forwarding) -> None:
    ada = forwarding.leg()
    camera = forwarding.camera(ada)
    bo = base_layer_viewer(forwarding, camera)
    forwarding.arrives(ada, vp8_packet(10), vp8_packet(12))
    forwarding.arrives(ada, vp8_packet(11, starts_frame=True, is_keyframe=True, temporal_id=3))
    assert forwarding.rtp[bo] == []
    forwarding.passes(1)
    forwarding.arrives(ada, vp8_packet(13, starts_frame=True, is_keyframe=True))
    assert len(forwarding.rtp[bo]) == 1


def test_a_keyframe_above_the_asked_for_layer_starts_nobody(forwarding: Forwarding) -> None:
    ada = forwarding.leg()
    camera = forwarding.camera(ada)
    bo = base_layer_viewer(forwarding, camera)
    forwarding.arrives(ada, vp8_packet(10, starts_frame=True, is_keyframe=True, temporal_id=3))
    forwarding.arrives(ada, vp8_packet(11, starts_frame=True, picture_id=2))
    assert forwarding.rtp[bo] == []


def test_a_number_is_filled_before_it_leaves_the_history(forwarding: Forwarding) -> None:
    ada, bo = forwarding.leg(), forwarding.leg()
    camera, stream = forwarding.camera(ada), Vp8Stream(packets_per_frame=10)
    forwarding.assign(forwarding.slot(bo), camera)
    packets = list(stream.sends("K " + "P " * 120))  # 1200 packets in a second: over the history's span
    del packets[25]
    for packet in packets:
        forwarding.arrives(ada, packet)
        forwarding.passes(1 / 1200)
    forwarding.passes(2)
    assert forwarding.unfilled(bo) == {}


@pytest.mark.parametrize("width", [100, 128, 129, 200, 256, 257, 500, 2000])
def test_what_is_missing_before_a_wide_hole_is_filled_too(forwarding: Forwarding, width: int) -> None:
    ada, bo = forwarding.leg(), forwarding.leg()
    camera, stream = forwarding.camera(ada), Vp8Stream()
    forwarding.assign(forwarding.slot(bo), camera)
    packets = list(stream.sends("K P P"))
    del packets[3]
    forwarding.arrives(ada, *packets)
    stream.sequence_number += width
    forwarding.arrives(ada, *stream.sends("P P"))
    forwarding.passes(2)
    assert forwarding.unfilled(bo) == {}


def test_a_hole_in_sound_as_wide_as_its_history_leaves_nothing_unfilled(forwarding: Forwarding) -> None:
    ada, bo = forwarding.leg(), forwarding.leg()
    microphone = forwarding.microphone(ada)
    forwarding.listens(bo, microphone)
    forwarding.arrives(ada, *(forwarding.sound(number) for number in (1, 2, 130, 131)))
    forwarding.passes(1)
    assert forwarding.unfilled(bo) == {}


def test_a_late_packet_from_a_closed_hole_is_nobodys(forwarding: Forwarding) -> None:
    ada = forwarding.leg()
    camera = forwarding.camera(ada)
    bo = base_layer_viewer(forwarding, camera)
    forwarding.arrives(ada, vp8_packet(10, starts_frame=True, is_keyframe=True))
    for number in range(11, 20):
        forwarding.arrives(
            ada, vp8_packet(number, starts_frame=True, picture_id=number - 9, temporal_id=2 * (number % 2))
        )
    forwarding.arrives(ada, vp8_packet(220, starts_frame=True, picture_id=100))
    cy = base_layer_viewer(forwarding, camera)
    forwarding.arrives(ada, *(vp8_packet(number, starts_frame=True, picture_id=90) for number in range(205, 220)))
    forwarding.arrives(ada, vp8_packet(150, starts_frame=True, is_keyframe=True, picture_id=60))
    forwarding.arrives(ada, vp8_packet(221, starts_frame=True, picture_id=101, temporal_id=2))
    forwarding.arrives(ada, vp8_packet(222, starts_frame=True, picture_id=102))
    asks_for_everything_again(forwarding, bo)
    asks_for_everything_again(forwarding, cy)
    assert forwarding.unfilled(bo) == {}


def test_a_loss_that_nobody_mends_costs_a_keyframe(forwarding: Forwarding) -> None:
    """The filled number hides the loss from the subscriber's receiver: it is the server who knows of it."""
    ada, bo = forwarding.leg(), forwarding.leg()
    camera, stream = forwarding.camera(ada), Vp8Stream()
    forwarding.assign(forwarding.slot(bo), camera)
    packets = list(stream.sends("K P P"))
    del packets[2:4]
    forwarding.arrives(ada, *packets)
    assert forwarding.keyframes_asked_of(ada) == 1
    forwarding.passes(3)
    assert forwarding.keyframes_asked_of(ada) == 2


def test_a_slot_that_comes_back_to_a_track_gets_none_of_it_twice(forwarding: Forwarding) -> None:
    ada, bo = forwarding.leg(), forwarding.leg()
    camera, slot = forwarding.camera(ada), forwarding.slot(bo)
    forwarding.assign(slot, camera)
    forwarding.arrives(ada, vp8_packet(10, starts_frame=True, is_keyframe=True))
    keyframe = vp8_packet(11, starts_frame=True, is_keyframe=True, picture_id=2)
    forwarding.arrives(ada, vp8_packet(12, starts_frame=True, picture_id=3))
    forwarding.release(slot)
    forwarding.assign(slot, camera)
    forwarding.arrives(ada, keyframe, vp8_packet(13, starts_frame=True, picture_id=4))
    assert [packet.payload[-2:] for packet in forwarding.rtp[bo]] == [b"10", b"12", b""]
    forwarding.passes(1)
    assert forwarding.keyframes_asked_of(ada) >= 2
