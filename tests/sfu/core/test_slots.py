"""A slot over its whole life: what goes on counting when tracks and layers come and go, and what is let go."""

import gc
import itertools

import pytest

from hushroom_common.header_extensions import ExtensionUri, build_extensions
from hushroom_common.ids import LegId
from hushroom_common.rtcp import GenericNack, SenderReport, ntp_from_unix
from hushroom_common.rtp import RtpPacket, build_rtp
from hushroom_sfu.core.history import History
from tests.support.forwarding import UNIX_AT_ZERO, Forwarding
from tests.support.streams import VP8_PAYLOAD_TYPE, Vp8Stream, vp8_packet


@pytest.fixture
def forwarding() -> Forwarding:
    return Forwarding()


def picture_steps(packets: list[RtpPacket]) -> set[int]:
    """By how much 15-bit PictureIDs go on from packet to packet."""
    pictures = [int.from_bytes(packet.payload[2:4]) & 0x7FFF for packet in packets]
    return {(after - before) & 0x7FFF for before, after in itertools.pairwise(pictures)}


def tl0_steps(packets: list[RtpPacket]) -> set[int]:
    numbers = [packet.payload[4] for packet in packets]
    return {(after - before) & 0xFF for before, after in itertools.pairwise(numbers)}


def nack(forwarding: Forwarding, leg: LegId, packet: RtpPacket) -> list[RtpPacket]:
    before = len(forwarding.rtp[leg])
    lost = GenericNack(sender_ssrc=9, media_ssrc=packet.ssrc, lost=(packet.sequence_number,))
    forwarding.arrives_rtcp(leg, lost)
    return forwarding.rtp[leg][before:]


@pytest.mark.parametrize("picture_ids", [(32_760, 5, 9), (0, 30_000, 3), (3, 32_767, 0), (10, 20, 30)])
def test_pictures_are_counted_on_over_every_change_of_track(
    forwarding: Forwarding, picture_ids: tuple[int, ...]
) -> None:
    bo = forwarding.leg()
    slot = forwarding.slot(bo)
    for index, picture_id in enumerate(picture_ids):
        ada = forwarding.leg()
        stream = Vp8Stream(ssrc=index, temporal_layers=True, picture_id=picture_id, packets_per_frame=1)
        forwarding.assign(slot, forwarding.camera(ada, index), max_temporal_id=0)
        forwarding.arrives(ada, *stream.sends("K P P P P P P P P"))
        forwarding.passes(1)
    assert len(forwarding.rtp[bo]) == 9
    assert picture_steps(forwarding.rtp[bo]) == {1}
    assert tl0_steps(forwarding.rtp[bo]) == {1}


def test_rtp_time_goes_on_with_the_clock_over_a_silence_before_a_new_track(forwarding: Forwarding) -> None:
    ada, bo, cy = forwarding.leg(), forwarding.leg(), forwarding.leg()
    slot = forwarding.slot(cy)
    forwarding.assign(slot, forwarding.camera(ada))
    forwarding.arrives(ada, *Vp8Stream().sends("K"))
    forwarding.passes(5)
    forwarding.release(slot)
    forwarding.passes(1)
    forwarding.assign(slot, forwarding.camera(bo))
    forwarding.arrives(bo, *Vp8Stream().sends("K"))
    first, *_, last = forwarding.rtp[cy]
    assert (last.timestamp - first.timestamp) & 0xFFFFFFFF == 6 * 90_000


def test_sender_reports_fit_the_rtp_times_after_a_change_of_track(forwarding: Forwarding) -> None:
    cy = forwarding.leg()
    slot = forwarding.slot(cy)
    for ssrc, timestamp in ((1, 4_294_960_000), (2, 17)):
        ada = forwarding.leg()
        forwarding.assign(slot, forwarding.camera(ada, ssrc))
        sent_at = forwarding.now
        forwarding.arrives_rtcp(ada, SenderReport(ssrc, ntp_from_unix(7.0), timestamp, 1, 1, ()))
        forwarding.arrives(ada, *Vp8Stream(ssrc=ssrc, timestamp=timestamp).sends("K"))
        report = forwarding.rtcp[cy][-2]
        assert isinstance(report, SenderReport)
        assert report.ntp_time == ntp_from_unix(UNIX_AT_ZERO + sent_at)
        assert report.rtp_time == forwarding.rtp[cy][-1].timestamp
        forwarding.passes(3.5)


def test_a_number_from_half_a_cycle_ago_is_not_repeated(forwarding: Forwarding) -> None:
    """SRTP would take it for one to come (RFC 3711 §3.3.1), and every packet after it for one too old."""
    ada, bo, cy = forwarding.leg(), forwarding.leg(), forwarding.leg()
    slot = forwarding.slot(cy)
    forwarding.assign(slot, forwarding.camera(ada))
    forwarding.arrives(ada, *Vp8Stream().sends("K"))
    old = forwarding.rtp[cy][0]
    forwarding.assign(slot, forwarding.camera(bo))
    forwarding.arrives(bo, *Vp8Stream(packets_per_frame=250).sends("K " + "P " * 140))
    assert nack(forwarding, cy, old) == []
    assert forwarding.forwarder.drops["nack_not_in_history"] == 1


def test_an_ended_track_is_repeated_from_for_a_while_and_then_forgotten(forwarding: Forwarding) -> None:
    ada, bo = forwarding.leg(), forwarding.leg()
    slot = forwarding.slot(bo)
    gc.collect()
    before = sum(isinstance(thing, History) for thing in gc.get_objects())
    for _ in range(3):
        camera = forwarding.camera(ada)
        forwarding.assign(slot, camera)
        forwarding.arrives(ada, *Vp8Stream().sends("K P"))
        forwarding.unpublish(camera)
    last = forwarding.rtp[bo][-1]
    assert [packet.data for packet in nack(forwarding, bo, last)] == [last.data]
    forwarding.passes(5)
    assert nack(forwarding, bo, last) == []
    gc.collect()
    assert sum(isinstance(thing, History) for thing in gc.get_objects()) == before


def test_a_track_that_does_not_fit_leaves_the_slot_as_it_was(forwarding: Forwarding) -> None:
    ada, bo = forwarding.leg(), forwarding.leg()
    camera, stream = forwarding.camera(ada), Vp8Stream()
    slot = forwarding.slot(bo)
    forwarding.assign(slot, camera)
    packets = list(stream.sends("K P P"))
    del packets[3]
    forwarding.arrives(ada, *packets)
    with pytest.raises(ValueError, match="no payload type"):
        forwarding.assign(slot, forwarding.microphone(ada))
    forwarding.arrives(ada, *stream.sends("P"))
    forwarding.passes(2)
    assert len(forwarding.rtp[bo]) == 8
    assert forwarding.unfilled(bo) == {}


def test_a_slot_whose_track_is_silent_costs_no_wakeups(forwarding: Forwarding) -> None:
    """A muted microphone, a camera without an SSRC yet: there is nobody to ask, so there is no moment to wait for."""
    ada, bo = forwarding.leg(), forwarding.leg()
    forwarding.listens(bo, forwarding.microphone(ada))
    camera = forwarding.camera(ada, ssrc=None, mid="7", extensions=((ExtensionUri.MID, 1),))
    forwarding.assign(forwarding.slot(bo), camera)
    forwarding.passes(0.01)
    deadline = forwarding.forwarder.next_deadline()
    assert deadline is not None
    assert deadline > forwarding.now + 0.5
    assert not forwarding.forwarder.has_open_wishes
    payload = RtpPacket.parse(next(Vp8Stream().sends("P"))).payload
    extensions = build_extensions([(1, b"7")])
    first = build_rtp(
        payload_type=VP8_PAYLOAD_TYPE,
        marker=True,
        sequence_number=1,
        timestamp=1,
        ssrc=4,
        payload=payload,
        extensions=extensions,
    )
    forwarding.arrives(ada, first)
    forwarding.passes(0.02)
    assert forwarding.keyframes_asked_of(ada) == 1


def test_a_publisher_who_comes_and_goes_is_always_learned_anew(forwarding: Forwarding) -> None:
    ada, bo = forwarding.leg(), forwarding.leg()
    slot = forwarding.slot(bo)
    payload = RtpPacket.parse(next(Vp8Stream().sends("K"))).payload
    for ssrc in range(1, 101):
        camera = forwarding.camera(ada, ssrc=None, mid="7", extensions=((ExtensionUri.MID, 1),))
        forwarding.assign(slot, camera)
        packet = build_rtp(
            payload_type=VP8_PAYLOAD_TYPE,
            marker=True,
            sequence_number=1,
            timestamp=2,
            ssrc=ssrc,
            payload=payload,
            extensions=build_extensions([(1, b"7")]),
        )
        forwarding.arrives(ada, packet)
        forwarding.unpublish(camera)
    assert len(forwarding.rtp[bo]) == 100


def test_a_layer_opens_at_its_own_switch_point_and_not_at_one_below_it(forwarding: Forwarding) -> None:
    """VP8's Y says that this frame builds on layer 0 alone (RFC 7741 §4.2); the layer above may build on what was
    skipped."""
    ada, bo = forwarding.leg(), forwarding.leg()
    slot = forwarding.slot(bo)
    forwarding.assign(slot, forwarding.camera(ada), max_temporal_id=0)
    forwarding.arrives(ada, vp8_packet(1, starts_frame=True, is_keyframe=True, picture_id=1))
    forwarding.forwarder.limit(slot, 2)
    frames = [(2, False, False), (1, True, True), (2, False, False), (0, False, True), (1, False, True)]
    frames += [(2, True, True), (0, False, True), (2, False, True), (1, False, True)]
    for number, (temporal_id, is_layer_sync, is_expected) in enumerate(frames, 2):
        before = len(forwarding.rtp[bo])
        packet = vp8_packet(
            number, starts_frame=True, picture_id=number, temporal_id=temporal_id, is_layer_sync=is_layer_sync
        )
        forwarding.arrives(ada, packet)
        assert (len(forwarding.rtp[bo]) > before) is is_expected, f"frame {number}"
    assert picture_steps(forwarding.rtp[bo]) == {1}
