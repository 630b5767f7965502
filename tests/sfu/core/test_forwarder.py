"""The forwarder as subscribers meet it: nothing before a keyframe, numbers without holes, losses mended or filled."""

import itertools
from functools import partial

import pytest

from hushroom_common.header_extensions import ExtensionUri, build_extensions, read_extensions
from hushroom_common.ids import Kind
from hushroom_common.rtcp import GenericNack, PictureLossIndication, ReceiverReport, SenderReport, ntp_from_unix
from hushroom_common.rtp import RtpPacket, build_rtp, padding_only, unwrap_rtx, wrap_rtx
from tests.support.forwarding import UNIX_AT_ZERO, Forwarding
from tests.support.streams import OPUS_PAYLOAD_TYPE, RTX_PAYLOAD_TYPE, VP8_PAYLOAD_TYPE, Vp8Stream


@pytest.fixture
def forwarding() -> Forwarding:
    return Forwarding()


def steps(packets: list[RtpPacket]) -> set[int]:
    """By how much the sequence numbers go on, in order of the numbers."""
    numbers = [packet.sequence_number for packet in packets]
    return {(after - before) & 0xFFFF for before, after in itertools.pairwise(numbers)}


def test_a_subscriber_sees_nothing_until_the_next_keyframe(forwarding: Forwarding) -> None:
    ada, bo = forwarding.leg(), forwarding.leg()
    camera, stream = forwarding.camera(ada), Vp8Stream()
    forwarding.assign(forwarding.slot(bo), camera)
    forwarding.arrives(ada, *stream.sends("P P"))
    assert forwarding.rtp[bo] == []
    assert forwarding.keyframes_asked_of(ada) == 1
    forwarding.arrives(ada, *stream.sends("K P"))
    assert forwarding.rtp[bo][0].payload[4] & 1 == 0
    assert len(forwarding.rtp[bo]) == 4
    assert steps(forwarding.rtp[bo]) == {1}


def test_payload_bytes_leave_as_they_came(forwarding: Forwarding) -> None:
    ada, bo = forwarding.leg(), forwarding.leg()
    camera, stream = forwarding.camera(ada), Vp8Stream()
    forwarding.assign(forwarding.slot(bo), camera)
    sent = list(stream.sends("K P P"))
    forwarding.arrives(ada, *sent)
    assert [packet.payload for packet in forwarding.rtp[bo]] == [RtpPacket.parse(packet).payload for packet in sent]


def test_the_first_sequence_number_stays_below_half(forwarding: Forwarding) -> None:
    ada, bo = forwarding.leg(), forwarding.leg()
    camera, stream = forwarding.camera(ada), Vp8Stream(sequence_number=60_000)
    forwarding.assign(forwarding.slot(bo), camera)
    forwarding.arrives(ada, *stream.sends("K"))
    assert forwarding.rtp[bo][0].sequence_number < 0x8000


def test_an_unanswered_keyframe_request_is_repeated_but_never_within_half_a_second(forwarding: Forwarding) -> None:
    ada, bo, cy = forwarding.leg(), forwarding.leg(), forwarding.leg()
    camera, stream = forwarding.camera(ada), Vp8Stream()
    forwarding.assign(forwarding.slot(bo), camera)
    forwarding.assign(forwarding.slot(cy), camera)
    assert forwarding.keyframes_asked_of(ada) == 1
    forwarding.passes(0.499)
    assert forwarding.keyframes_asked_of(ada) == 1
    forwarding.passes(0.002)
    assert forwarding.keyframes_asked_of(ada) == 2
    forwarding.arrives(ada, *stream.sends("K"))
    forwarding.passes(3)
    assert forwarding.keyframes_asked_of(ada) == 2


def test_a_keyframe_request_inside_the_window_is_sent_at_its_end(forwarding: Forwarding) -> None:
    ada, bo = forwarding.leg(), forwarding.leg()
    camera, stream = forwarding.camera(ada), Vp8Stream()
    slot = forwarding.slot(bo)
    forwarding.assign(slot, camera)
    forwarding.arrives(ada, *stream.sends("K"))
    ssrc = forwarding.rtp[bo][0].ssrc
    forwarding.passes(0.1)
    forwarding.arrives_rtcp(bo, PictureLossIndication(sender_ssrc=9, media_ssrc=ssrc))
    assert forwarding.keyframes_asked_of(ada) == 1
    forwarding.passes(0.41)
    assert forwarding.keyframes_asked_of(ada) == 2
    forwarding.passes(3)
    assert forwarding.keyframes_asked_of(ada) == 2


def test_a_lost_packet_is_asked_for_and_forwarded_late_under_its_own_number(forwarding: Forwarding) -> None:
    ada, bo = forwarding.leg(), forwarding.leg()
    camera, stream = forwarding.camera(ada), Vp8Stream()
    forwarding.assign(forwarding.slot(bo), camera)
    packets = list(stream.sends("K P P"))
    lost = packets.pop(3)
    forwarding.arrives(ada, *packets)
    forwarding.passes(0.05)
    assert forwarding.nacked(ada) == [RtpPacket.parse(lost).sequence_number]
    forwarding.arrives(ada, lost)
    received = sorted(forwarding.rtp[bo], key=lambda packet: packet.sequence_number)
    assert steps(received) == {1}
    assert received[3].payload == RtpPacket.parse(lost).payload


def test_a_packet_that_never_comes_is_filled_with_padding_and_then_refused(forwarding: Forwarding) -> None:
    ada, bo = forwarding.leg(), forwarding.leg()
    camera, stream = forwarding.camera(ada), Vp8Stream()
    forwarding.assign(forwarding.slot(bo), camera)
    packets = list(stream.sends("K P P"))
    lost = packets.pop(3)
    forwarding.arrives(ada, *packets)
    forwarding.passes(2)
    received = sorted(forwarding.rtp[bo], key=lambda packet: packet.sequence_number)
    assert steps(received) == {1}
    assert received[3].payload == b""
    assert received[3].padding_size == 1
    asked = len(forwarding.nacked(ada))
    assert 2 <= asked <= 20
    forwarding.arrives(ada, lost)
    assert len(forwarding.rtp[bo]) == 6
    forwarding.passes(2)
    assert len(forwarding.nacked(ada)) == asked


def test_a_padding_only_packet_keeps_its_number(forwarding: Forwarding) -> None:
    ada, bo = forwarding.leg(), forwarding.leg()
    camera, stream = forwarding.camera(ada), Vp8Stream()
    forwarding.assign(forwarding.slot(bo), camera)
    forwarding.arrives(ada, *stream.sends("K"))
    probe = padding_only(
        payload_type=VP8_PAYLOAD_TYPE,
        sequence_number=stream.sequence_number & 0xFFFF,
        timestamp=1,
        ssrc=0x1000,
        size=200,
    )
    stream.sequence_number += 1
    forwarding.arrives(ada, probe, *stream.sends("P"))
    assert steps(forwarding.rtp[bo]) == {1}
    assert [len(packet.payload) > 0 for packet in forwarding.rtp[bo]] == [True, True, False, True, True]


def test_a_nack_is_answered_with_a_bit_identical_packet(forwarding: Forwarding) -> None:
    ada, bo = forwarding.leg(), forwarding.leg()
    camera, stream = forwarding.camera(ada), Vp8Stream()
    forwarding.assign(forwarding.slot(bo), camera)
    forwarding.arrives(ada, *stream.sends("K P P"))
    first = forwarding.rtp[bo][2]
    forwarding.arrives_rtcp(bo, GenericNack(sender_ssrc=9, media_ssrc=first.ssrc, lost=(first.sequence_number,)))
    assert forwarding.rtp[bo][-1].data == first.data


def test_a_nack_is_answered_by_rtx_where_it_was_negotiated(forwarding: Forwarding) -> None:
    ada, bo = forwarding.leg(), forwarding.leg()
    camera, stream = forwarding.camera(ada), Vp8Stream()
    forwarding.assign(forwarding.slot(bo, with_rtx=True), camera)
    forwarding.arrives(ada, *stream.sends("K P P"))
    lost = forwarding.rtp[bo][1:3]
    numbers = tuple(packet.sequence_number for packet in lost)
    forwarding.arrives_rtcp(bo, GenericNack(sender_ssrc=9, media_ssrc=lost[0].ssrc, lost=numbers))
    repeats = forwarding.rtp[bo][-2:]
    assert steps(repeats) == {1}
    for repeat, original in zip(repeats, lost, strict=True):
        assert repeat.ssrc == original.ssrc + 1
        assert repeat.payload_type == 121
        assert unwrap_rtx(repeat, payload_type=120, ssrc=original.ssrc) == original.data


def test_a_publishers_rtx_mends_his_track(forwarding: Forwarding) -> None:
    ada, bo = forwarding.leg(), forwarding.leg()
    camera, stream = forwarding.camera(ada, rtx_ssrc=0x1001), Vp8Stream()
    forwarding.assign(forwarding.slot(bo), camera)
    packets = list(stream.sends("K P"))
    lost = RtpPacket.parse(packets.pop(1))
    forwarding.arrives(ada, *packets)
    repeat = wrap_rtx(lost, payload_type=RTX_PAYLOAD_TYPE, ssrc=0x1001, sequence_number=7)
    forwarding.arrives(ada, repeat, wrap_rtx(lost, payload_type=RTX_PAYLOAD_TYPE, ssrc=0x1001, sequence_number=8))
    assert [packet.payload for packet in forwarding.rtp[bo]].count(lost.payload) == 1
    assert forwarding.forwarder.drops["duplicate"] == 1


def test_retransmissions_are_bounded(forwarding: Forwarding) -> None:
    ada, bo = forwarding.leg(), forwarding.leg()
    camera, stream = forwarding.camera(ada), Vp8Stream()
    forwarding.assign(forwarding.slot(bo), camera)
    forwarding.arrives(ada, *stream.sends("K P P P P"))
    numbers = tuple(packet.sequence_number for packet in forwarding.rtp[bo])
    before = len(forwarding.rtp[bo])
    for _ in range(200):
        forwarding.arrives_rtcp(bo, GenericNack(sender_ssrc=9, media_ssrc=forwarding.rtp[bo][0].ssrc, lost=numbers))
    assert len(forwarding.rtp[bo]) - before == 512
    assert forwarding.forwarder.drops["nack_over_budget"] == 2000 - 512


def test_lower_temporal_layers_have_numbers_and_pictures_without_holes(forwarding: Forwarding) -> None:
    ada, bo, cy = forwarding.leg(), forwarding.leg(), forwarding.leg()
    camera, stream = forwarding.camera(ada), Vp8Stream(temporal_layers=True)
    forwarding.assign(forwarding.slot(bo), camera, max_temporal_id=0)
    forwarding.assign(forwarding.slot(cy), camera)
    forwarding.arrives(ada, *stream.sends("K P P P P P P P P"))
    assert len(forwarding.rtp[cy]) == 18
    base_layer = forwarding.rtp[bo]
    assert len(base_layer) == 6  # T0 of 9 frames: the 1st, 5th and 9th
    assert steps(base_layer) == {1}
    pictures = [int.from_bytes(packet.payload[2:4]) & 0x7FFF for packet in base_layer[::2]]
    assert {(after - before) & 0x7FFF for before, after in itertools.pairwise(pictures)} == {1}


def test_a_re_used_slot_goes_on_counting(forwarding: Forwarding) -> None:
    ada, bo, cy = forwarding.leg(), forwarding.leg(), forwarding.leg()
    first, first_stream = forwarding.camera(ada), Vp8Stream()
    second, second_stream = forwarding.camera(bo), Vp8Stream(sequence_number=9, timestamp=77, picture_id=5)
    slot = forwarding.slot(cy)
    forwarding.assign(slot, first)
    forwarding.arrives(ada, *first_stream.sends("K P"))
    forwarding.release(slot)
    forwarding.arrives(ada, *first_stream.sends("P"))
    forwarding.passes(0.2)
    forwarding.assign(slot, second)
    forwarding.arrives(bo, *second_stream.sends("P K P"))
    packets = forwarding.rtp[cy]
    assert len(packets) == 8
    assert len({packet.ssrc for packet in packets}) == 1
    assert steps(packets) == {1}
    pictures = [int.from_bytes(packet.payload[2:4]) & 0x7FFF for packet in packets[::2]]
    assert {(after - before) & 0x7FFF for before, after in itertools.pairwise(pictures)} == {1}
    pause = (packets[4].timestamp - packets[3].timestamp) & 0xFFFFFFFF
    assert pause == 0.2 * 90_000


def test_a_nack_across_a_re_mapping_gets_what_was_sent_then(forwarding: Forwarding) -> None:
    ada, bo, cy = forwarding.leg(), forwarding.leg(), forwarding.leg()
    slot = forwarding.slot(cy)
    forwarding.assign(slot, forwarding.camera(ada))
    forwarding.arrives(ada, *Vp8Stream().sends("K P"))
    forwarding.assign(slot, forwarding.camera(bo))
    forwarding.arrives(bo, *Vp8Stream(picture_id=9).sends("K P"))
    sent = list(forwarding.rtp[cy])
    for packet in sent:
        lost = GenericNack(sender_ssrc=9, media_ssrc=packet.ssrc, lost=(packet.sequence_number,))
        forwarding.arrives_rtcp(cy, lost)
        assert forwarding.rtp[cy][-1].data == packet.data


def test_what_is_missing_when_a_slot_is_freed_is_filled_and_stays_filled(forwarding: Forwarding) -> None:
    ada, bo = forwarding.leg(), forwarding.leg()
    camera, stream = forwarding.camera(ada), Vp8Stream()
    slot = forwarding.slot(bo)
    forwarding.assign(slot, camera)
    packets = list(stream.sends("K P P"))
    lost = packets.pop(2)
    forwarding.arrives(ada, *packets)
    forwarding.release(slot)
    filler = forwarding.rtp[bo][-1]
    assert filler.payload == b""
    assert steps(sorted(forwarding.rtp[bo], key=lambda packet: packet.sequence_number)) == {1}
    forwarding.arrives(ada, lost)
    forwarding.arrives_rtcp(bo, GenericNack(sender_ssrc=9, media_ssrc=filler.ssrc, lost=(filler.sequence_number,)))
    assert forwarding.rtp[bo][-1].data == filler.data
    assert len(forwarding.rtp[bo]) == 7


def test_a_keyframe_whose_first_packet_came_late_still_starts_a_subscriber(forwarding: Forwarding) -> None:
    ada, bo = forwarding.leg(), forwarding.leg()
    camera, stream = forwarding.camera(ada), Vp8Stream(packets_per_frame=3)
    forwarding.arrives(ada, *stream.sends("P"))
    forwarding.assign(forwarding.slot(bo), camera)
    first, *rest = stream.sends("K P")
    forwarding.arrives(ada, *rest)
    assert forwarding.rtp[bo] == []
    forwarding.arrives(ada, first, *stream.sends("P"))
    assert [packet.payload for packet in forwarding.rtp[bo]][:6] == [RtpPacket.parse(p).payload for p in (first, *rest)]
    assert steps(forwarding.rtp[bo]) == {1}


def test_extensions_are_rebuilt_with_the_subscribers_ids_and_nothing_else_passes(forwarding: Forwarding) -> None:
    ada, bo = forwarding.leg(), forwarding.leg()
    camera = forwarding.camera(
        ada,
        extensions=((ExtensionUri.MID, 1), (ExtensionUri.VIDEO_ORIENTATION, 4), (ExtensionUri.ABSOLUTE_SEND_TIME, 3)),
    )
    slot = forwarding.slot(bo, extensions=((ExtensionUri.VIDEO_ORIENTATION, 9), (ExtensionUri.MID, 2)))
    forwarding.assign(slot, camera)
    bare = RtpPacket.parse(next(Vp8Stream().sends("K")))
    block = build_extensions([(1, b"0"), (4, b"\x03"), (3, b"abc"), (12, b"who knows")])
    data = build_rtp(
        payload_type=VP8_PAYLOAD_TYPE,
        marker=True,
        sequence_number=1,
        timestamp=2,
        ssrc=0x1000,
        payload=bare.payload,
        extensions=block,
    )
    forwarding.arrives(ada, data)
    assert read_extensions(forwarding.rtp[bo][0]) == {9: b"\x03"}
    assert forwarding.rtp[bo][0].payload == bare.payload


def test_an_ssrc_that_no_offer_named_is_learned_from_the_mid(forwarding: Forwarding) -> None:
    ada, bo = forwarding.leg(), forwarding.leg()
    camera = forwarding.camera(ada, ssrc=None, mid="7", extensions=((ExtensionUri.MID, 1),))
    forwarding.assign(forwarding.slot(bo), camera)
    payload = RtpPacket.parse(next(Vp8Stream().sends("K"))).payload
    packet = partial(build_rtp, payload_type=VP8_PAYLOAD_TYPE, marker=True, timestamp=2, payload=payload)
    other = packet(ssrc=1, sequence_number=1, extensions=build_extensions([(1, b"8")]))
    first = packet(ssrc=2, sequence_number=1, extensions=build_extensions([(1, b"7")]))
    later = packet(ssrc=2, sequence_number=2)
    forwarding.arrives(ada, other, first, later)
    assert len(forwarding.rtp[bo]) == 2
    assert forwarding.forwarder.drops["unknown_ssrc"] == 1


def test_sound_starts_at_once_and_its_holes_are_filled_without_nacks(forwarding: Forwarding) -> None:
    ada, bo = forwarding.leg(), forwarding.leg()
    microphone = forwarding.microphone(ada)
    forwarding.assign(forwarding.slot(bo, kind=Kind.AUDIO), microphone)
    for number in (1, 2, 4):
        forwarding.arrives(
            ada,
            build_rtp(
                payload_type=OPUS_PAYLOAD_TYPE,
                marker=False,
                sequence_number=number,
                timestamp=960 * number,
                ssrc=0x2000,
                payload=b"opus",
            ),
        )
    assert len(forwarding.rtp[bo]) == 3
    forwarding.passes(0.5)
    assert steps(sorted(forwarding.rtp[bo], key=lambda packet: packet.sequence_number)) == {1}
    assert forwarding.nacked(ada) == []


def test_sender_reports_carry_the_servers_clock_and_the_rewritten_rtp_time(forwarding: Forwarding) -> None:
    ada, bo = forwarding.leg(), forwarding.leg()
    camera, microphone = forwarding.camera(ada), forwarding.microphone(ada)
    forwarding.assign(forwarding.slot(bo), camera)
    forwarding.assign(forwarding.slot(bo, kind=Kind.AUDIO), microphone)
    forwarding.arrives(ada, *Vp8Stream(timestamp=5000).sends("K"))
    sound = build_rtp(
        payload_type=OPUS_PAYLOAD_TYPE, marker=False, sequence_number=1, timestamp=900, ssrc=0x2000, payload=b"opus"
    )
    forwarding.arrives(ada, sound)
    strange_clock = 12_345.0
    forwarding.arrives_rtcp(ada, SenderReport(0x1000, ntp_from_unix(strange_clock), 5000, 1, 1, ()))
    forwarding.passes(0.05)
    forwarding.arrives_rtcp(ada, SenderReport(0x2000, ntp_from_unix(strange_clock), 900, 1, 1, ()))
    reports = [packet for packet in forwarding.rtcp[bo] if isinstance(packet, SenderReport)]
    assert len(reports) == 2
    video, audio = reports
    assert video.rtp_time == 5000
    assert video.ntp_time == ntp_from_unix(UNIX_AT_ZERO + 100.0)
    # Both reports name one moment of Ada's: 50 ms on the way make no difference between her tracks.
    assert audio.rtp_time == 900 + 0.05 * 48_000
    forwarding.passes(1.5)
    later = [packet for packet in forwarding.rtcp[bo] if isinstance(packet, SenderReport)][-2:]
    assert {report.packet_count for report in later} == {1, 2}


def test_publishers_get_receiver_reports(forwarding: Forwarding) -> None:
    ada = forwarding.leg()
    forwarding.camera(ada)
    stream = Vp8Stream(packets_per_frame=10)
    packets = list(stream.sends("K P"))
    del packets[5]
    forwarding.arrives(ada, *packets)
    forwarding.passes(1.1)
    blocks = [
        block for packet in forwarding.rtcp[ada] if isinstance(packet, ReceiverReport) for block in packet.reports
    ]
    assert [block.ssrc for block in blocks] == [0x1000]
    assert blocks[0].packets_lost == 1


def test_a_wild_jump_of_a_publisher_costs_a_keyframe_and_nothing_else(forwarding: Forwarding) -> None:
    ada, bo = forwarding.leg(), forwarding.leg()
    camera, stream = forwarding.camera(ada), Vp8Stream()
    forwarding.assign(forwarding.slot(bo), camera)
    forwarding.arrives(ada, *stream.sends("K P"))
    stream.sequence_number += 2000
    forwarding.passes(1)
    forwarding.arrives(ada, *stream.sends("P P P"))
    forwarding.passes(2)
    assert steps(forwarding.rtp[bo]) == {1}
    assert forwarding.keyframes_asked_of(ada) == 2


def test_a_track_that_ends_frees_its_slots(forwarding: Forwarding) -> None:
    ada, bo = forwarding.leg(), forwarding.leg()
    camera, stream = forwarding.camera(ada), Vp8Stream()
    slot = forwarding.slot(bo)
    forwarding.assign(slot, camera)
    forwarding.arrives(ada, *stream.sends("K"))
    forwarding.unpublish(camera)
    forwarding.arrives(ada, *stream.sends("P"))
    assert len(forwarding.rtp[bo]) == 2
    assert forwarding.forwarder.drops["unknown_ssrc"] == 2
    forwarding.assign(slot, forwarding.camera(ada))
    forwarding.arrives(ada, *stream.sends("K"))
    assert steps(forwarding.rtp[bo]) == {1}


@pytest.mark.parametrize(
    ("reason", "packet"),
    [
        ("malformed_rtp", b"\x80\x60"),
        ("unknown_ssrc", padding_only(payload_type=96, sequence_number=1, timestamp=1, ssrc=1)),
        ("payload_type", padding_only(payload_type=33, sequence_number=1, timestamp=1, ssrc=0x1000)),
        (
            "malformed_payload",
            build_rtp(payload_type=96, marker=True, sequence_number=1, timestamp=1, ssrc=0x1000, payload=b"\xff"),
        ),
    ],
)
def test_bad_packets_are_dropped_and_counted(forwarding: Forwarding, reason: str, packet: bytes) -> None:
    ada = forwarding.leg()
    forwarding.camera(ada)
    forwarding.arrives(ada, packet)
    assert forwarding.forwarder.drops == {reason: 1}
