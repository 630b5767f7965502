from contextlib import suppress
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushroom_common.codecs import vp8
from hushroom_common.codecs.dependency_descriptor import DependencyDescriptorReader
from hushroom_common.errors import WireError
from tests.support.codec_vectors import media_packets, number, packets_with_rows, wireshark_table

CAPTURES = [
    ("chromium-vp8", 96),
    ("chromium-vp8-simulcast", 96),
    ("chromium-vp8-simulcast-sealed-lk", 96),
    ("firefox-vp8", 120),
]


class Numbers(NamedTuple):
    """The fields of a descriptor (RFC 7741 §4.2), None for one that is not there."""

    starts_partition: bool
    partition: int
    picture_id: int | None
    picture_id_bits: int
    tl0picidx: int | None
    temporal_id: int | None
    is_layer_sync: bool
    key_index: int | None

    def to_bytes(self) -> bytes:
        """Written here by the RFC's figure, so that reader and writer share no code."""
        extension = b""
        flags = 0
        if self.picture_id is not None:
            flags |= 0x80
            wide = self.picture_id_bits == 15
            extension += (0x8000 | self.picture_id).to_bytes(2) if wide else bytes([self.picture_id])
        if self.tl0picidx is not None:
            flags |= 0x40
            extension += bytes([self.tl0picidx])
        if self.temporal_id is not None or self.key_index is not None:
            flags |= (0x20 if self.temporal_id is not None else 0) | (0x10 if self.key_index is not None else 0)
            temporal = (self.temporal_id or 0) << 6 | (0x20 if self.is_layer_sync else 0)
            extension += bytes([temporal | (self.key_index or 0)])
        first = (0x10 if self.starts_partition else 0) | self.partition
        return bytes([first | 0x80, flags]) + extension if flags else bytes([first])


@st.composite
def descriptors(draw: st.DrawFn) -> Numbers:
    bits = draw(st.sampled_from([0, 7, 15]))
    return Numbers(
        starts_partition=draw(st.booleans()),
        partition=draw(st.integers(0, 7)),
        picture_id=draw(st.integers(0, (1 << bits) - 1)) if bits else None,
        picture_id_bits=bits,
        tl0picidx=draw(st.none() | st.integers(0, 255)),
        temporal_id=draw(st.none() | st.integers(0, 3)),
        is_layer_sync=draw(st.booleans()),
        key_index=draw(st.none() | st.integers(0, 31)),
    )


frames = st.binary(min_size=1, max_size=40)


@pytest.mark.parametrize(("capture", "payload_type"), CAPTURES)
def test_every_captured_packet_reads_as_tshark_reads_it(capture: str, payload_type: int) -> None:
    for packet, row in packets_with_rows(capture, payload_type):
        marks = vp8.read_marks(packet.payload)
        starts = row["vp8.pld.s"] == "1" and row["vp8.pld.partid"] == "0"
        assert marks.starts_frame == starts
        assert marks.starts_keyframe == (starts and row["vp8.hdr.frametype"] == "0")
        assert vp8.starts_keyframe(packet.payload) == marks.starts_keyframe
        assert marks.picture_id == number(row["vp8.pld.pictureid"])
        assert marks.tl0picidx == number(row["vp8.pld.tl0picidx"])
        assert marks.temporal_id == int(row["vp8.pld.tid"] or 0)


def test_every_form_of_the_descriptor_reads_as_tshark_reads_it() -> None:
    rows = wireshark_table("vp8-descriptors")
    assert len(rows) == 100
    for row in rows:
        marks = vp8.read_marks(bytes.fromhex(row["rtp.payload"]))
        has_temporal_id = row["vp8.pld.t"] == "1"
        starts = row["vp8.pld.s"] == "1" and row["vp8.pld.partid"] == "0"
        assert marks.starts_frame == starts
        assert marks.starts_keyframe == (starts and row["vp8.hdr.frametype"] == "0")
        assert marks.picture_id == number(row["vp8.pld.pictureid"])
        assert marks.tl0picidx == number(row["vp8.pld.tl0picidx"])
        assert marks.temporal_id == (int(row["vp8.pld.tid"]) if has_temporal_id else 0)
        assert marks.is_switch_point == (has_temporal_id and row["vp8.pld.y"] == "1")


@pytest.mark.parametrize("capture", ["chromium-vp8-simulcast", "chromium-vp8-simulcast-sealed-lk"])
def test_keyframes_are_those_of_the_dependency_descriptor_sealed_or_not(capture: str) -> None:
    readers: dict[int, DependencyDescriptorReader] = {}
    keyframes: dict[int, int] = {}
    for packet in media_packets(capture, 96):
        assert packet.dependency_descriptor is not None
        descriptor = readers.setdefault(packet.ssrc, DependencyDescriptorReader()).read(packet.dependency_descriptor)
        marks = vp8.read_marks(packet.payload)
        assert (marks.starts_frame, marks.starts_keyframe) == (descriptor.starts_frame, descriptor.starts_keyframe)
        keyframes[packet.ssrc] = keyframes.get(packet.ssrc, 0) + marks.starts_keyframe
    assert list(keyframes.values()) == [1, 1]


@given(descriptors(), frames)
def test_what_a_descriptor_says_is_read(numbers: Numbers, frame: bytes) -> None:
    payload = numbers.to_bytes() + frame
    descriptor = vp8.read_descriptor(payload)
    assert payload[descriptor.size :] == frame
    assert (descriptor.starts_partition, descriptor.partition) == (numbers.starts_partition, numbers.partition)
    marks = vp8.read_marks(payload)
    starts = numbers.starts_partition and numbers.partition == 0
    assert marks.starts_frame == starts
    assert marks.starts_keyframe == (starts and frame[0] & 1 == 0)
    assert marks.picture_id == (-1 if numbers.picture_id is None else numbers.picture_id)
    assert marks.picture_id_bits == numbers.picture_id_bits
    assert marks.tl0picidx == (-1 if numbers.tl0picidx is None else numbers.tl0picidx)
    assert marks.temporal_id == (numbers.temporal_id or 0)
    assert marks.is_switch_point == (numbers.temporal_id is not None and numbers.is_layer_sync)


@given(descriptors(), frames, st.integers(-70_000, 70_000), st.integers(-300, 300))
def test_rewriting_changes_the_two_numbers_and_not_one_other_bit(
    numbers: Numbers, frame: bytes, picture_id: int, tl0picidx: int
) -> None:
    payload = numbers.to_bytes() + frame
    rewritten = vp8.rewrite_descriptor(payload, vp8.read_marks(payload), picture_id, tl0picidx)
    expected = numbers._replace(
        picture_id=None if numbers.picture_id is None else picture_id % (1 << numbers.picture_id_bits),
        tl0picidx=None if numbers.tl0picidx is None else tl0picidx % 256,
    )
    assert rewritten == expected.to_bytes() + frame


@given(descriptors(), frames)
def test_a_payload_cut_off_before_the_frame_is_refused(numbers: Numbers, frame: bytes) -> None:
    descriptor = numbers.to_bytes()
    for size in range(len(descriptor) + 1):
        with pytest.raises(WireError):
            vp8.read_marks(descriptor[:size])
    vp8.read_marks(descriptor + frame[:1])


@given(st.binary(max_size=1500))
def test_any_bytes_are_read_or_refused(payload: bytes) -> None:
    with suppress(WireError):
        marks = vp8.read_marks(payload)
        assert marks.starts_frame >= marks.starts_keyframe
        assert vp8.rewrite_descriptor(payload, marks, marks.picture_id, marks.tl0picidx) == payload
