"""Packets in any order become whole frames in the right one, or are given up in time."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushroom_client.media.depacketizer import DEPACKETIZERS, Fragment
from hushroom_client.media.jitter_buffer import JitterBuffer, OrderedPacket
from hushroom_common.ids import Codec
from hushroom_common.rtp import RtpPacket
from hushroom_common.serial import SequenceUnwrapper, TimestampUnwrapper
from tests.client.media.lossy_stream import LossyLink, SealedCamera, SealedMicrophone, SentFrame

HOLD_S = 0.5


class Receiving:
    """A jitter buffer fed with datagrams."""

    def __init__(self, codec: Codec = Codec.VP8, *, hold_s: float = HOLD_S, capacity: int = 512) -> None:
        self.buffer = JitterBuffer(hold_s=hold_s, capacity=capacity, needs_keyframes=codec is Codec.VP8)
        self.depacketize = DEPACKETIZERS[codec]
        self.sequence_numbers = SequenceUnwrapper()
        self.timestamps = TimestampUnwrapper()
        self.frames: list[bytes] = []

    def receive(self, datagram: bytes, now: float = 0.0) -> list[bytes]:
        packet = RtpPacket.parse(datagram)
        fragment = self.depacketize(packet.payload, packet.marker) if packet.payload_size else None
        index = self.sequence_numbers.unwrap(packet.sequence_number)
        self.buffer.insert(OrderedPacket(index, self.timestamps.unwrap(packet.timestamp), now, fragment))
        return self.take(now)

    def take(self, now: float) -> list[bytes]:
        taken = [frame.data for frame in self.buffer.take(now)]
        self.frames += taken
        return taken

    def receive_all(self, *frames: SentFrame, now: float = 0.0) -> list[bytes]:
        return [data for frame in frames for packet in frame.packets for data in self.receive(packet, now)]


def test_a_frame_is_complete_with_its_marker_and_does_not_wait_for_the_next() -> None:
    camera, receiving = SealedCamera(), Receiving()
    keyframe = camera.frame(is_keyframe=True)
    *first, last = keyframe.packets
    assert [data for packet in first for data in receiving.receive(packet)] == []
    assert receiving.receive(last) == [keyframe.data]


def test_packets_in_reverse_order_make_the_same_frames() -> None:
    camera, receiving = SealedCamera(), Receiving()
    sent = [camera.frame(is_keyframe=True), camera.frame(), camera.frame()]
    for packet in reversed([packet for frame in sent for packet in frame.packets]):
        receiving.receive(packet)
    assert receiving.frames == [frame.data for frame in sent]


def test_nothing_is_delivered_before_the_first_keyframe() -> None:
    camera, receiving = SealedCamera(), Receiving()
    assert receiving.receive_all(camera.frame(), camera.frame()) == []
    assert receiving.buffer.awaits_keyframe
    keyframe = camera.frame(is_keyframe=True)
    assert receiving.receive_all(keyframe) == [keyframe.data]
    assert not receiving.buffer.awaits_keyframe


def test_a_lost_packet_that_comes_late_completes_everything_behind_it() -> None:
    camera, receiving = SealedCamera(), Receiving()
    receiving.receive_all(camera.frame(is_keyframe=True))
    lost, *rest = camera.frame(size=350).packets
    following = camera.frame()
    for packet in [*rest, *following.packets]:
        assert receiving.receive(packet, now=1.0) == []
    assert receiving.receive(lost, now=1.4) == [frame.data for frame in camera.frames[1:]]
    assert receiving.buffer.losses == 0


def test_a_frame_that_cannot_be_completed_is_given_up_and_only_a_keyframe_goes_on() -> None:
    camera, receiving = SealedCamera(), Receiving()
    receiving.receive_all(camera.frame(is_keyframe=True))
    receiving.receive_all(SentFrame(b"", 0, False, camera.frame(size=350).packets[1:]), now=1.0)
    receiving.receive_all(camera.frame(), now=1.1)
    assert receiving.buffer.next_deadline() == 1.0 + HOLD_S
    assert receiving.take(1.0 + HOLD_S) == []
    assert receiving.buffer.awaits_keyframe
    assert receiving.receive_all(camera.frame(), now=1.6) == []
    keyframe, delta = camera.frame(is_keyframe=True), camera.frame()
    assert receiving.receive_all(keyframe, delta, now=1.7) == [keyframe.data, delta.data]


def test_a_keyframe_behind_a_loss_that_was_given_up_does_not_wait_for_other_holes() -> None:
    camera, receiving = SealedCamera(), Receiving()
    receiving.receive_all(camera.frame(is_keyframe=True))
    camera.frame()  # lost
    receiving.receive_all(camera.frame(), now=1.0)
    receiving.take(1.0 + HOLD_S)
    camera.frame()  # lost, too
    keyframe = camera.frame(is_keyframe=True)
    assert receiving.receive_all(keyframe, now=1.6) == [keyframe.data]


def test_padding_between_frames_fills_numbers_and_nothing_else() -> None:
    camera, receiving = SealedCamera(), Receiving()
    keyframe = camera.frame(is_keyframe=True)
    padding = camera.padding()
    delta = camera.frame()
    receiving.receive_all(delta)
    receiving.receive(padding)
    assert receiving.receive_all(keyframe) == [keyframe.data, delta.data]


def test_a_filler_in_the_middle_of_a_frame_stands_for_a_lost_packet() -> None:
    camera, receiving = SealedCamera(), Receiving()
    receiving.receive_all(camera.frame(is_keyframe=True))
    broken = camera.frame(size=350)
    for at, packet in enumerate(broken.packets):
        receiving.receive(as_filler(packet) if at == 1 else packet)
    assert len(receiving.frames) == 1
    assert receiving.buffer.awaits_keyframe


def test_a_whole_frame_replaced_by_a_filler_is_noticed_by_its_picture_id() -> None:
    camera, receiving = SealedCamera(), Receiving()
    receiving.receive_all(camera.frame(is_keyframe=True))
    (lost,) = camera.frame(size=50).packets
    receiving.receive(as_filler(lost))
    assert receiving.receive_all(camera.frame()) == []
    assert receiving.buffer.awaits_keyframe


def test_a_frame_without_a_marker_ends_where_the_next_one_starts() -> None:
    camera, receiving = SealedCamera(), Receiving()
    keyframe, delta = camera.frame(is_keyframe=True), camera.frame()
    *first, last = keyframe.packets
    unmarked = bytes([*last[:1], last[1] & 0x7F, *last[2:]])
    receiving.receive_all(SentFrame(b"", 0, True, (*first, unmarked)))
    assert receiving.receive_all(delta) == [keyframe.data, delta.data]


def test_sound_goes_on_behind_a_lost_packet_after_a_short_wait() -> None:
    microphone, receiving = SealedMicrophone(), Receiving(Codec.OPUS, hold_s=0.15)
    before, _lost, after = (microphone.frame() for _ in range(3))
    assert receiving.receive_all(before) == [before.data]
    assert receiving.receive_all(after, now=1.0) == []
    assert receiving.take(1.149) == []
    assert receiving.take(1.15) == [after.data]


def test_after_clearing_nothing_that_was_delivered_comes_again() -> None:
    camera, receiving = SealedCamera(), Receiving()
    keyframe = camera.frame(is_keyframe=True)
    receiving.receive_all(keyframe)
    receiving.buffer.clear()
    assert receiving.receive_all(keyframe) == []
    following = camera.frame(is_keyframe=True)
    assert receiving.receive_all(following) == [following.data]


def test_a_jump_beyond_the_buffer_starts_anew_at_a_keyframe() -> None:
    camera, receiving = SealedCamera(), Receiving(capacity=64)
    receiving.receive_all(camera.frame(is_keyframe=True))
    camera.sequence_number += 1000
    assert receiving.receive_all(camera.frame()) == []
    keyframe = camera.frame(is_keyframe=True)
    assert receiving.receive_all(keyframe) == [keyframe.data]


@pytest.mark.parametrize("loss", [0.0, 0.01, 0.05, 0.2])
@pytest.mark.parametrize("seed", range(4))
def test_over_a_bad_link_every_frame_is_whole_in_order_and_decodable(loss: float, seed: int) -> None:
    """1-20 % loss, reordering and duplicates, across the wraps of sequence number, timestamp and PictureID."""
    camera, receiving = SealedCamera(seed=seed), Receiving()
    link = LossyLink(random.Random(seed), loss=loss, duplicates=0.05, jitter_s=0.060)
    for tick in range(600):
        now = tick / 30
        asked = receiving.buffer.awaits_keyframe and tick % 15 == 0
        for packet in camera.frame(is_keyframe=tick == 0 or asked).packets:
            link.send(packet, now)
        for at, datagram in link.arrived(now):
            receiving.receive(datagram, at)
        receiving.take(now)
    assert_decodable(receiving.frames, camera.frames)
    if not loss:
        assert len(receiving.frames) > 590
    link.loss = 0.0
    resumed_from = len(receiving.frames)
    for tick in range(600, 640):
        now = tick / 30
        for packet in camera.frame(is_keyframe=receiving.buffer.awaits_keyframe and tick % 15 == 0).packets:
            link.send(packet, now)
        for at, datagram in link.arrived(now):
            receiving.receive(datagram, at)
        receiving.take(now)
    assert_decodable(receiving.frames, camera.frames)
    assert len(receiving.frames) > resumed_from
    assert receiving.frames[-1] in {frame.data for frame in camera.frames[-5:]}


def assert_decodable(received: list[bytes], sent: list[SentFrame]) -> None:
    """Each frame is one that was sent, in order, and a delta frame comes right behind the frame it builds on."""
    places = {frame.data: place for place, frame in enumerate(sent)}
    order = [places[data] for data in received]
    assert order == sorted(set(order))
    for previous, place in zip([-1, *order], order, strict=False):
        assert sent[place].is_keyframe or place == previous + 1


def as_filler(packet: bytes) -> bytes:
    """The same number without the payload, as a server fills what it gave up."""
    return bytes([packet[0] | 0x20, packet[1] & 0x7F]) + packet[2:12] + b"\x00\x00\x00\x04"


fragments = st.none() | st.builds(
    Fragment,
    codec=st.sampled_from([Codec.VP8, Codec.OPUS]),
    data=st.binary(min_size=1, max_size=3),
    starts_frame=st.booleans(),
    ends_frame=st.booleans(),
    is_keyframe=st.booleans(),
    picture_id=st.integers(-1, 3),
    picture_id_bits=st.sampled_from([0, 7, 15]),
)
packets = st.builds(
    OrderedPacket,
    index=st.integers(60_000, 60_060) | st.integers(30_000, 100_000),
    timestamp=st.integers(0, 3),
    arrived_at=st.just(0.0),
    fragment=fragments,
)


@given(st.lists(st.tuples(packets, st.floats(0, 0.2)), max_size=120), st.booleans())
def test_whatever_arrives_is_held_within_bounds_and_delivered_at_most_once(
    arrivals: list[tuple[OrderedPacket, float]], needs_keyframes: bool
) -> None:
    buffer = JitterBuffer(hold_s=0.5, capacity=32, needs_keyframes=needs_keyframes)
    now, delivered = 0.0, []
    for packet, wait in arrivals:
        now += wait
        buffer.insert(OrderedPacket(packet.index, packet.timestamp, now, packet.fragment))
        for frame in buffer.take(now):
            delivered += [held.index for held in frame.packets]
            assert frame.data
        assert len(buffer._packets) <= 32
        deadline = buffer.next_deadline()
        assert deadline is None or now < deadline <= now + 0.5
    assert delivered == sorted(set(delivered))
