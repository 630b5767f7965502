from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushroom_common.codecs.av1 import read_marks
from hushroom_common.codecs.dependency_descriptor import DependencyDescriptorReader
from hushroom_common.errors import WireError
from tests.support.codec_vectors import media_packets

SEQUENCE_HEADER = 1
CAPTURES = [("chromium-av1-l1t3-dd", 45), ("chromium-av1-l3t3key", 45), ("firefox-av1", 99)]
WITH_DESCRIPTOR = CAPTURES[:2]


def obus(payload: bytes) -> Iterator[bytes]:
    """The OBUs that begin in this packet (AV1 RTP payload format §4.3-4.4), readable as these captures are unsealed."""
    continues, count, at = bool(payload[0] & 0x80), payload[0] >> 4 & 3, 1
    index = 0
    while at < len(payload):
        index += 1
        if index == count:
            element, at = payload[at:], len(payload)
        else:
            size, shift = 0, 0
            while True:
                size |= (payload[at] & 0x7F) << shift
                shift, at = shift + 7, at + 1
                if not payload[at - 1] & 0x80:
                    break
            element, at = payload[at : at + size], at + size
        if not (index == 1 and continues):
            yield element


@pytest.mark.parametrize(("capture", "payload_type"), CAPTURES)
def test_a_keyframe_starts_where_a_sequence_header_is(capture: str, payload_type: int) -> None:
    keyframes = 0
    for packet in media_packets(capture, payload_type):
        types = [obu[0] >> 3 & 0x0F for obu in obus(packet.payload)]
        marks = read_marks(packet.payload)
        assert marks.starts_keyframe == (SEQUENCE_HEADER in types)
        assert marks.starts_frame == bool(types)
        keyframes += marks.starts_keyframe
    assert keyframes == 1


@pytest.mark.parametrize(("capture", "payload_type"), CAPTURES)
def test_a_frame_starts_with_every_timestamp(capture: str, payload_type: int) -> None:
    timestamp = None
    for packet in media_packets(capture, payload_type):
        if packet.timestamp != timestamp:
            assert read_marks(packet.payload).starts_frame
        timestamp = packet.timestamp


@pytest.mark.parametrize(("capture", "payload_type"), WITH_DESCRIPTOR)
def test_the_dependency_descriptor_names_the_layers_of_the_obu_headers(capture: str, payload_type: int) -> None:
    reader = DependencyDescriptorReader()
    layers_seen = set()
    frame_numbers = []
    for packet in media_packets(capture, payload_type):
        assert packet.dependency_descriptor is not None
        descriptor = reader.read(packet.dependency_descriptor)
        marks = descriptor.refine(read_marks(packet.payload))
        for obu in obus(packet.payload):
            if obu[0] & 0x04:
                assert (marks.temporal_id, marks.spatial_id) == (obu[1] >> 5, obu[1] >> 3 & 3)
        assert marks.starts_frame == read_marks(packet.payload).starts_frame
        assert marks.starts_keyframe == read_marks(packet.payload).starts_keyframe
        assert marks.ends_frame or not packet.marker  # the marker ends the picture: all its layers
        layers_seen.add((marks.spatial_id, marks.temporal_id))
        if marks.starts_frame:
            frame_numbers.append(descriptor.frame_number)
    assert frame_numbers == list(range(1, len(frame_numbers) + 1))
    spatial_layers = 1 if capture == "chromium-av1-l1t3-dd" else 2
    assert layers_seen == {(spatial, temporal) for spatial in range(spatial_layers) for temporal in range(3)}


@pytest.mark.parametrize(
    ("payload", "starts_frame", "starts_keyframe"),
    [
        (b"\x18\x0a", True, True),
        (b"\x58\x0a", True, True),  # the last OBU goes on in the next packet
        (b"\x10\x30", True, False),
        (b"\x90\x30", False, False),
    ],
)
def test_the_aggregation_header_decides(payload: bytes, starts_frame: bool, starts_keyframe: bool) -> None:
    marks = read_marks(payload)
    assert (marks.starts_frame, marks.starts_keyframe) == (starts_frame, starts_keyframe)


@pytest.mark.parametrize("payload", [b"", b"\x18", b"\x98\x0a"])
def test_malformed_payloads_are_refused(payload: bytes) -> None:
    with pytest.raises(WireError):
        read_marks(payload)


@given(st.binary(max_size=1500))
def test_any_bytes_are_read_or_refused(payload: bytes) -> None:
    with suppress(WireError):
        marks = read_marks(payload)
        assert marks.starts_frame >= marks.starts_keyframe
