"""One slot and a whole leg over bad links, in virtual time: what is asked for, what is delivered, and when."""

import random
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushroom_client.media.leg_receiver import LegReceiver, ReceivedFrame, SendRtcp
from hushroom_client.media.track_receiver import ReceiverSpec, TrackReceiver
from hushroom_common.ids import Codec, Kind
from hushroom_common.rtcp import (
    GenericNack,
    PictureLossIndication,
    ReceiverReport,
    RtcpPacket,
    SenderReport,
    ntp_from_unix,
    parse_compound,
)
from hushroom_common.rtp import RtpPacket, build_rtp, wrap_rtx
from tests.client.media.lossy_stream import (
    PAYLOAD_TYPES,
    RTX_PAYLOAD_TYPE,
    RTX_SSRC,
    SSRC,
    LossyLink,
    SealedCamera,
    SealedMicrophone,
    SentFrame,
)

LOCAL_SSRC = 1

VIDEO = ReceiverSpec(
    mid="v0",
    kind=Kind.VIDEO,
    codecs={PAYLOAD_TYPES[Codec.VP8]: Codec.VP8},
    rtx={RTX_PAYLOAD_TYPE: PAYLOAD_TYPES[Codec.VP8]},
    ssrc=SSRC,
    rtx_ssrc=RTX_SSRC,
    may_nack=True,
    may_pli=True,
)
AUDIO = ReceiverSpec(
    mid="a0",
    kind=Kind.AUDIO,
    codecs={PAYLOAD_TYPES[Codec.OPUS]: Codec.OPUS},
    rtx={},
    ssrc=SSRC,
    rtx_ssrc=None,
    may_nack=False,
    may_pli=False,
)


class Receiving:
    """A leg with one slot, run in steps of virtual time; it calls nothing before its deadline."""

    def __init__(self, spec: ReceiverSpec = VIDEO) -> None:
        self.spec = spec
        self.leg = LegReceiver(local_ssrc=LOCAL_SSRC, now=0.0)
        self.leg.configure(spec)
        self.now = 0.0
        self.received: list[ReceivedFrame] = []
        self.feedback: list[tuple[float, RtcpPacket]] = []

    @property
    def track(self) -> TrackReceiver:
        track = self.leg.receiver(self.spec.mid)
        assert track is not None
        return track

    @property
    def frames(self) -> list[bytes]:
        return [received.frame.data for received in self.received]

    def take(self, actions: list[ReceivedFrame | SendRtcp]) -> None:
        for action in actions:
            match action:
                case ReceivedFrame():
                    self.received.append(action)
                case SendRtcp(data):
                    self.feedback += [(self.now, packet) for packet in parse_compound(data)]

    def receive(self, *datagrams: bytes) -> None:
        for datagram in datagrams:
            self.take(self.leg.receive_rtp(datagram, self.now))

    def receive_frames(self, *frames: SentFrame) -> None:
        for frame in frames:
            self.receive(*frame.packets)

    def run_until(self, until: float) -> None:
        while (deadline := self.leg.next_deadline()) <= until:
            self.now = max(self.now, deadline)
            self.take(self.leg.poll(self.now))
            assert self.leg.next_deadline() > self.now, "a deadline that polling does not move"
        self.now = until

    def asked(self, kind: type[RtcpPacket]) -> list[tuple[float, RtcpPacket]]:
        return [(at, packet) for at, packet in self.feedback if isinstance(packet, kind)]


def rtx_of(packet: bytes, sequence_number: int = 9) -> bytes:
    original = RtpPacket.parse(packet)
    return wrap_rtx(original, payload_type=RTX_PAYLOAD_TYPE, ssrc=RTX_SSRC, sequence_number=sequence_number)


def test_a_missing_packet_is_asked_for_until_it_comes_or_the_frame_is_given_up() -> None:
    camera, receiving = SealedCamera(), Receiving()
    receiving.receive_frames(camera.frame(is_keyframe=True))
    receiving.run_until(1.0)
    lost, *rest = camera.frame(size=350).packets
    receiving.receive(*rest)
    receiving.run_until(1.49)
    nacks = receiving.asked(GenericNack)
    assert len(nacks) >= 4
    assert {packet for _, packet in nacks} == {GenericNack(LOCAL_SSRC, SSRC, (RtpPacket.parse(lost).sequence_number,))}
    receiving.run_until(3.0)
    assert len(receiving.asked(GenericNack)) <= 10


@pytest.mark.parametrize("by_rtx", [True, False])
def test_a_repair_completes_the_frame_sent_again_or_by_rtx(by_rtx: bool) -> None:
    camera, receiving = SealedCamera(), Receiving()
    receiving.receive_frames(camera.frame(is_keyframe=True))
    lost, *rest = camera.frame(size=350).packets
    receiving.receive(*rest)
    receiving.run_until(0.1)
    receiving.receive(rtx_of(lost) if by_rtx else lost)
    assert receiving.frames == [frame.data for frame in camera.frames]
    assert receiving.track.packets_repaired == 1
    assert receiving.asked(PictureLossIndication) == []


def test_repairs_are_found_across_the_wrap_of_the_sequence_number() -> None:
    camera, receiving = SealedCamera(sequence_number=65_530), Receiving()
    keyframe = camera.frame(is_keyframe=True, size=2000)
    receiving.receive(*(packet for at, packet in enumerate(keyframe.packets) if at % 3 != 1))
    receiving.receive(*(rtx_of(packet, at) for at, packet in enumerate(keyframe.packets) if at % 3 == 1))
    assert receiving.frames == [keyframe.data]


def test_after_a_loss_a_keyframe_is_asked_for_at_once_then_every_half_second_then_less_often() -> None:
    camera, receiving = SealedCamera(), Receiving()
    receiving.receive_frames(camera.frame(is_keyframe=True))
    camera.frame()
    receiving.receive_frames(camera.frame())
    receiving.run_until(12.0)
    times = [at for at, _ in receiving.asked(PictureLossIndication)]
    assert times[0] == pytest.approx(0.5)  # the moment at which the lost frame is given up
    gaps = [after - before for before, after in pairwise(times)]
    assert gaps[:2] == pytest.approx([0.5, 0.5])
    assert gaps[2:] == pytest.approx([0.5, 1.0, 2.0, 4.0][: len(gaps) - 2])
    receiving.receive_frames(keyframe := camera.frame(is_keyframe=True))
    asked = len(times)
    receiving.run_until(20.0)
    assert receiving.frames[-1] == keyframe.data
    assert len(receiving.asked(PictureLossIndication)) == asked


def test_a_stream_that_starts_in_the_middle_is_soon_asked_for_a_keyframe() -> None:
    camera, receiving = SealedCamera(), Receiving()
    receiving.receive_frames(camera.frame())
    receiving.run_until(0.4)
    assert [at for at, _ in receiving.asked(PictureLossIndication)] == [0.05]


def test_a_keyframe_that_was_overtaken_at_the_start_is_not_asked_for() -> None:
    camera, receiving = SealedCamera(), Receiving()
    keyframe, delta = camera.frame(is_keyframe=True), camera.frame()
    receiving.receive_frames(delta)
    receiving.run_until(0.03)
    receiving.receive_frames(keyframe)
    receiving.run_until(2.0)
    assert receiving.frames == [keyframe.data, delta.data]
    assert receiving.asked(PictureLossIndication) == []


def test_a_stream_that_starts_with_a_keyframe_is_not_asked_for_one() -> None:
    camera, receiving = SealedCamera(), Receiving()
    receiving.receive_frames(camera.frame(is_keyframe=True), camera.frame())
    receiving.run_until(5.0)
    assert receiving.asked(PictureLossIndication) == []


def test_an_idle_slot_asks_for_nothing_and_still_reports_every_second() -> None:
    receiving = Receiving()
    receiving.run_until(10.5)
    assert [packet for _, packet in receiving.feedback] == [ReceiverReport(LOCAL_SSRC)] * 11


def test_who_cannot_use_a_frame_gets_nothing_before_the_next_keyframe() -> None:
    camera, receiving = SealedCamera(), Receiving()
    receiving.receive_frames(camera.frame(is_keyframe=True))
    for _ in range(20):
        receiving.track.request_keyframe(receiving.now)
    receiving.run_until(0.4)
    assert len(receiving.asked(PictureLossIndication)) == 1
    receiving.receive_frames(camera.frame(), keyframe := camera.frame(is_keyframe=True))
    assert receiving.frames[1:] == [keyframe.data]


def test_a_remapped_slot_starts_anew_and_goes_on_counting() -> None:
    camera, receiving = SealedCamera(), Receiving()
    receiving.receive_frames(camera.frame(is_keyframe=True), camera.frame())
    receiving.leg.receive_rtcp(SenderReport(SSRC, ntp_from_unix(1e9), camera.first_timestamp, 1, 1).to_bytes(), 0.0)
    assert receiving.track.captured_at(receiving.received[0].frame.timestamp) is not None
    receiving.track.reset(receiving.now)
    receiving.receive_frames(camera.frame())
    assert len(receiving.frames) == 2
    assert receiving.track.captured_at(receiving.received[0].frame.timestamp) is None
    receiving.run_until(0.3)
    assert [at for at, _ in receiving.asked(PictureLossIndication)] == [pytest.approx(0.2)]
    receiving.receive_frames(keyframe := camera.frame(is_keyframe=True))
    assert receiving.frames[2:] == [keyframe.data]
    assert receiving.received[2].frame.timestamp - receiving.received[0].frame.timestamp == 3 * camera.frame_interval


def test_sender_reports_place_frames_on_the_senders_clock_across_the_wrap() -> None:
    microphone, receiving = SealedMicrophone(first_timestamp=0xFFFF_FFFF - 480), Receiving(AUDIO)
    report = SenderReport(SSRC, ntp_from_unix(1_700_000_000.0), microphone.first_timestamp, 0, 0)
    receiving.leg.receive_rtcp(report.to_bytes(), 0.0)  # before the first packet, as after a re-map
    receiving.receive_frames(*(microphone.frame() for _ in range(50)))
    times = [received.captured_at for received in receiving.received]
    assert times == pytest.approx([1_700_000_000.0 + at * 0.020 for at in range(50)], abs=1e-4)


def test_a_sender_report_without_a_clock_places_nothing() -> None:
    microphone, receiving = SealedMicrophone(), Receiving(AUDIO)
    receiving.leg.receive_rtcp(SenderReport(SSRC, 0, 0, 0, 0).to_bytes(), 0.0)
    receiving.receive_frames(microphone.frame())
    assert receiving.received[0].captured_at is None


def test_reports_tell_of_losses_and_answer_sender_reports() -> None:
    camera, receiving = SealedCamera(), Receiving()
    report = SenderReport(SSRC, 0x1234_5678_9ABC_DEF0, 0, 0, 0)
    receiving.run_until(0.5)
    receiving.receive_frames(camera.frame(is_keyframe=True, size=1000))
    camera.frame(size=500)
    receiving.receive_frames(camera.frame(size=500))
    receiving.leg.receive_rtcp(report.to_bytes(), receiving.now)
    receiving.run_until(1.0)
    _, packet = receiving.asked(ReceiverReport)[-1]
    assert isinstance(packet, ReceiverReport)
    (block,) = packet.reports
    assert (block.ssrc, block.packets_lost, block.fraction_lost) == (SSRC, 5, (5 << 8) // 20)
    assert (block.lsr, block.dlsr) == (0x5678_9ABC, 0x8000)


def test_what_was_repaired_by_rtx_still_counts_as_lost_on_the_way() -> None:
    camera, receiving = SealedCamera(), Receiving()
    lost, *rest = camera.frame(is_keyframe=True, size=1000).packets
    receiving.receive(lost, rest[0], *rest[2:])
    receiving.receive(rtx_of(rest[1]))
    receiving.run_until(1.0)
    _, packet = receiving.asked(ReceiverReport)[-1]
    assert isinstance(packet, ReceiverReport)
    assert [block.packets_lost for block in packet.reports] == [1]
    assert len(receiving.frames) == 1


def test_reports_about_many_slots_each_fit_into_a_datagram() -> None:
    leg = LegReceiver(local_ssrc=LOCAL_SSRC, now=0.0)
    for at in range(70):
        leg.configure(ReceiverSpec(f"m{at}", Kind.AUDIO, AUDIO.codecs, {}, 1000 + at, None, False, False))
        payload_type = PAYLOAD_TYPES[Codec.OPUS]
        leg.receive_rtp(
            build_rtp(
                payload_type=payload_type, marker=False, sequence_number=7, timestamp=0, ssrc=1000 + at, payload=b"."
            ),
            0.0,
        )
    reports = leg.poll(0.0)
    assert all(isinstance(report, SendRtcp) and len(report.data) < 1200 for report in reports)
    parsed = [packet for report in reports if isinstance(report, SendRtcp) for packet in parse_compound(report.data)]
    blocks = [block for packet in parsed if isinstance(packet, ReceiverReport) for block in packet.reports]
    assert sorted(block.ssrc for block in blocks) == list(range(1000, 1070))


def test_configuring_a_slot_again_as_it_is_disturbs_nothing() -> None:
    camera, receiving = SealedCamera(), Receiving()
    receiving.receive_frames(camera.frame(is_keyframe=True))
    receiving.leg.configure(ReceiverSpec(**{name: getattr(VIDEO, name) for name in VIDEO.__slots__}))
    receiving.receive_frames(camera.frame())
    assert len(receiving.frames) == 2


def test_a_payload_type_that_was_not_negotiated_is_never_a_frame() -> None:
    camera, receiving = SealedCamera(), Receiving()
    (packet,) = camera.frame(is_keyframe=True, size=50).packets
    receiving.receive(bytes([packet[0], 0x80 | 33, *packet[2:]]))
    assert receiving.frames == []
    assert receiving.track.packets_unreadable == 1


class Server:
    """Forwards a camera over a bad link, answers NACKs from its history and PLIs with keyframes."""

    def __init__(self, receiving: Receiving, *, loss: float, seed: int, by_rtx: bool) -> None:
        chance = random.Random(seed)
        self.camera = SealedCamera(seed=seed)
        self.receiving = receiving
        self.by_rtx = by_rtx
        self.down = LossyLink(chance, loss=loss, duplicates=0.02, jitter_s=0.015)
        self.up = LossyLink(chance, loss=loss, jitter_s=0.015)
        self.history: dict[int, bytes] = {}
        self.keyframe_due = True
        self.rtx_sequence_number = 0
        self.heard = 0

    def step(self, now: float) -> None:
        """5 ms of it."""
        receiving = self.receiving
        receiving.run_until(now)
        for _, datagram in self.down.arrived(now):
            receiving.receive(datagram)
        for _, packet in receiving.feedback[self.heard :]:
            self.up.send(packet.to_bytes(), now)
        self.heard = len(receiving.feedback)
        for _, datagram in self.up.arrived(now):
            self.hear(*parse_compound(datagram), now=now)

    def hear(self, *packets: RtcpPacket, now: float) -> None:
        for packet in packets:
            if isinstance(packet, PictureLossIndication):
                self.keyframe_due = True
            elif isinstance(packet, GenericNack):
                for number in packet.lost:
                    if original := self.history.get(number):
                        self.rtx_sequence_number += 1
                        self.down.send(rtx_of(original, self.rtx_sequence_number) if self.by_rtx else original, now)

    def film(self, now: float) -> None:
        frame = self.camera.frame(is_keyframe=self.keyframe_due)
        self.keyframe_due = False
        for packet in frame.packets:
            self.history[RtpPacket.parse(packet).sequence_number] = packet
            self.down.send(packet, now)

    def run(self, seconds: Iterator[float]) -> None:
        for at, now in enumerate(seconds):
            if at % 7 == 0:
                self.film(now)
            self.step(now)


@pytest.mark.parametrize("by_rtx", [True, False])
@pytest.mark.parametrize(("loss", "at_least"), [(0.0, 0.99), (0.01, 0.99), (0.05, 0.98), (0.2, 0.80)])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_bad_link_is_repaired_and_what_is_delivered_can_be_decoded(
    loss: float, at_least: float, by_rtx: bool, seed: int
) -> None:
    receiving = Receiving()
    server = Server(receiving, loss=loss, seed=seed, by_rtx=by_rtx)
    server.run(at * 0.005 for at in range(4000))
    places = {frame.data: place for place, frame in enumerate(server.camera.frames)}
    order = [places[data] for data in receiving.frames]
    assert order == sorted(set(order))
    for previous, place in zip([-1, *order], order, strict=False):
        assert server.camera.frames[place].is_keyframe or place == previous + 1
    assert len(order) >= at_least * len(places)
    first = receiving.received[0].frame.timestamp
    for received, place in zip(receiving.received, order, strict=True):
        sent = server.camera.frames[place]
        assert received.frame.timestamp - first == sent.timestamp - server.camera.frames[order[0]].timestamp
        assert received.frame.is_keyframe == sent.is_keyframe

    server.down.loss = server.up.loss = 0.0
    delivered = len(receiving.frames)
    server.run(20.0 + at * 0.005 for at in range(400))
    assert len(receiving.frames) - delivered > 0.5 * (len(server.camera.frames) - len(places))
    assert receiving.frames[-1] in {frame.data for frame in server.camera.frames[-6:]}


@given(
    st.lists(
        st.tuples(
            st.one_of(
                st.binary(max_size=60),
                st.builds(
                    lambda first, second, number, time, ssrc, payload: (
                        bytes([first, second]) + number.to_bytes(2) + time.to_bytes(4) + ssrc.to_bytes(4) + payload
                    ),
                    st.sampled_from([0x80, 0x90, 0xA0, 0xB0]),
                    st.sampled_from([97, 98, 96, 0x80 | 97, 0x80 | 98, 33]),
                    st.integers(0, 0xFFFF) | st.integers(100, 110),
                    st.integers(0, 3) | st.integers(0, 0xFFFF_FFFF),
                    st.sampled_from([SSRC, RTX_SSRC, 5]),
                    st.binary(max_size=20),
                ),
                st.builds(
                    lambda ntp, rtp: SenderReport(SSRC, ntp, rtp, 0, 0).to_bytes(),
                    st.integers(0, 2**64 - 1),
                    st.integers(0, 2**32 - 1),
                ),
            ),
            st.floats(0, 0.3),
        ),
        max_size=60,
    )
)
def test_whatever_the_server_sends_nothing_raises_and_deadlines_move_on(arrivals: list[tuple[bytes, float]]) -> None:
    receiving = Receiving()
    for datagram, wait in arrivals:
        receiving.run_until(receiving.now + wait)
        receiving.receive(datagram)
        receiving.leg.receive_rtcp(datagram, receiving.now)
    receiving.run_until(receiving.now + 2)
    assert all(received.frame.data for received in receiving.received)
