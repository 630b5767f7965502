"""Sealing a frame changes no mark of its packets: what the readers read is what senders leave in the clear."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hushroom_common.codecs import read_marks, vp8, vp9
from hushroom_common.ids import Codec
from hushroom_common.sealed_frame import IV_SIZE, OVERHEAD, assemble, clear_size
from tests.support.codec_vectors import MediaPacket, media_packets

STREAMS = [
    ("chromium-vp8", 96, Codec.VP8),
    ("chromium-vp8-simulcast", 96, Codec.VP8),
    ("firefox-vp8", 120, Codec.VP8),
    ("chromium-vp9", 98, Codec.VP9),
    ("chromium-vp9-l3t3key", 98, Codec.VP9),
    ("firefox-vp9", 121, Codec.VP9),
    ("chromium-h264", 108, Codec.H264),
    ("chromium-av1-l1t3-dd", 45, Codec.AV1),
    ("chromium-av1-l3t3key", 45, Codec.AV1),
    ("firefox-av1", 99, Codec.AV1),
    ("chromium-vp8", 111, Codec.OPUS),
]
PACKETS: dict[str, list[MediaPacket]] = {
    f"{capture} {codec}": list(media_packets(capture, payload_type)) for capture, payload_type, codec in STREAMS
}

H264_PARAMETER_SETS = [bytes.fromhex("6742c01f8c8d40"), bytes.fromhex("68ce3c80")]
MTU = 60


def clear_bytes_of_vp8(payload: bytes) -> int:
    descriptor = vp8.read_descriptor(payload)
    if not descriptor.starts_partition:
        return descriptor.size
    return descriptor.size + clear_size(Codec.VP8, is_keyframe=vp8.starts_keyframe(payload))


def clear_bytes_of_h264(payload: bytes) -> int:
    nal_type = payload[0] & 0x1F
    if nal_type == 24:
        return len(payload)  # these captures aggregate parameter sets only
    if nal_type == 28:
        return 3 if payload[1] & 0x80 else 2
    return 2


CLEAR_BYTES: dict[Codec, Callable[[bytes], int]] = {
    Codec.VP8: clear_bytes_of_vp8,
    Codec.VP9: lambda payload: vp9.read_descriptor(payload).size,
    Codec.H264: clear_bytes_of_h264,
    Codec.AV1: lambda _payload: 1,  # the aggregation header; sealing may leave no OBU as it was
    Codec.OPUS: lambda _payload: 0,
}


@pytest.mark.parametrize(("capture", "codec"), [(capture, codec) for capture, _, codec in STREAMS])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1 << 32))
def test_no_mark_of_a_captured_packet_changes(capture: str, codec: Codec, seed: int) -> None:
    noise = random.Random(seed)
    read = read_marks(codec)
    for packet in PACKETS[f"{capture} {codec}"]:
        clear = CLEAR_BYTES[codec](packet.payload)
        sealed = packet.payload[:clear] + noise.randbytes(len(packet.payload) - clear)
        assert read(sealed) == read(packet.payload)


def seal_vp8(frame: bytes, noise: random.Random) -> bytes:
    clear = clear_size(Codec.VP8, is_keyframe=not frame[0] & 1)
    ciphertext_and_tag = noise.randbytes(len(frame) - clear + 16)
    return assemble(frame[:clear], ciphertext_and_tag, noise.randbytes(IV_SIZE), 3)


def packetize_vp8(frame: bytes) -> list[bytes]:
    pieces = [frame[at : at + MTU] for at in range(0, len(frame), MTU)]
    return [bytes([0x00 if index else 0x10]) + piece for index, piece in enumerate(pieces)]


@given(st.binary(min_size=10, max_size=300), st.randoms(use_true_random=False))
def test_a_sealed_vp8_frame_starts_with_the_same_verdict(frame: bytes, noise: random.Random) -> None:
    plain = [vp8.starts_keyframe(packet) for packet in packetize_vp8(frame)]
    sealed = [vp8.starts_keyframe(packet) for packet in packetize_vp8(seal_vp8(frame, noise))]
    assert plain[0] == sealed[0] == (frame[0] & 1 == 0)
    assert not any(plain[1:] + sealed[1:])


def seal_h264(units: list[bytes], noise: random.Random) -> list[bytes]:
    """All slices become one NAL unit: the first one's header and next byte, then what was sealed."""
    first = next(index for index, unit in enumerate(units) if unit[0] & 0x1F in (1, 5))
    sealed_size = sum(map(len, units[first:])) - 2 + OVERHEAD
    return [*units[:first], units[first][:2] + noise.randbytes(sealed_size)]


def packetize_h264(units: list[bytes]) -> list[bytes]:
    packets = []
    for unit in units:
        if len(unit) <= MTU:
            packets.append(unit)
            continue
        pieces = [unit[at : at + MTU - 1] for at in range(1, len(unit), MTU - 1)]
        for index, piece in enumerate(pieces):
            ends = index == len(pieces) - 1
            packets.append(bytes([unit[0] & 0xE0 | 28, (index == 0) << 7 | ends << 6 | unit[0] & 0x1F]) + piece)
    return packets


@st.composite
def h264_frames(draw: st.DrawFn) -> list[bytes]:
    is_idr = draw(st.booleans())
    header = b"\x65" if is_idr else b"\x41"
    first = header + b"\x88" + draw(st.binary(min_size=1, max_size=150))
    later = [header + b"\x02" + body for body in draw(st.lists(st.binary(min_size=1, max_size=150), max_size=2))]
    return [*(H264_PARAMETER_SETS if is_idr else []), first, *later]


@given(h264_frames(), st.randoms(use_true_random=False))
def test_a_sealed_h264_frame_starts_with_the_same_verdict(units: list[bytes], noise: random.Random) -> None:
    read = read_marks(Codec.H264)
    plain = [read(packet) for packet in packetize_h264(units)]
    sealed = [read(packet) for packet in packetize_h264(seal_h264(units, noise))]
    assert [marks for marks in plain if marks.starts_frame] == [marks for marks in sealed if marks.starts_frame]
    assert sum(marks.starts_keyframe for marks in sealed) == (units[0] == H264_PARAMETER_SETS[0])
    assert plain[0] == sealed[0]
