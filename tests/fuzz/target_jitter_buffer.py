"""A jitter buffer under arbitrary arrivals: bounded, in order, each packet at most once, never an exception."""

from hushroom_client.media.depacketizer import Fragment
from hushroom_client.media.jitter_buffer import JitterBuffer, OrderedPacket
from hushroom_common.ids import Codec

CAPACITY = 64


def corpus() -> list[bytes]:
    keyframe_then_deltas = bytes([1, 0, 0b1011_0000, 0, 1, 0, 0b1001_1000, 1, 1, 0, 0b1001_1000, 2])
    with_a_hole = bytes([1, 0, 0b1011_1000, 0, 2, 0, 0b1001_1000, 2, 1, 200, 0b1001_1000, 3])
    reversed_and_jumping = bytes([255, 0, 0b1001_1000, 1, 254, 1, 0b1011_1000, 0, 127, 1, 0b0000_0000, 9])
    return [keyframe_then_deltas, with_a_hole, reversed_and_jumping, b""]


def fuzz(data: bytes) -> None:
    """Four bytes an arrival: step of the sequence number, time passed, what the packet is, PictureID and timestamp."""
    for needs_keyframes in (False, True):
        buffer = JitterBuffer(hold_s=0.5, capacity=CAPACITY, needs_keyframes=needs_keyframes)
        index, now, last = 1 << 16, 0.0, -1
        for at in range(0, len(data) - 3, 4):
            step, wait, flags, number = data[at : at + 4]
            index += step - 256 if step > 127 else step
            if step == 127:
                index += 20_000
            now += wait / 256
            buffer.insert(OrderedPacket(max(index, 0), number >> 4, now, _fragment(flags, number & 0x0F)))
            for frame in buffer.take(now):
                for packet in frame.packets:
                    assert packet.index > last
                    last = packet.index
                assert frame.data
            assert len(buffer._packets) <= CAPACITY
            deadline = buffer.next_deadline()
            assert deadline is None or now < deadline <= now + 0.5


def _fragment(flags: int, picture_id: int) -> Fragment | None:
    if not flags & 0x80:
        return None
    starts_frame = bool(flags & 0x10)
    return Fragment(
        codec=Codec.OPUS if flags & 0x40 else Codec.VP8,
        data=bytes([flags]),
        starts_frame=starts_frame,
        ends_frame=bool(flags & 0x08),
        is_keyframe=starts_frame and bool(flags & 0x20),
        picture_id=picture_id if flags & 0x04 else -1,
        picture_id_bits=7 if flags & 0x04 else 0,
    )
