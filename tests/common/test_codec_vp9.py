from contextlib import suppress
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushroom_common.codecs import vp9
from hushroom_common.codecs.dependency_descriptor import DependencyDescriptorReader
from hushroom_common.codecs.marks import Marks
from hushroom_common.errors import WireError
from tests.support.codec_vectors import media_packets, number, packets_with_rows, wireshark_table

CAPTURES = [("chromium-vp9", 98), ("chromium-vp9-l3t3key", 98), ("firefox-vp9", 121)]


class Layer(NamedTuple):
    temporal_id: int
    switching_up: bool
    spatial_id: int
    is_inter_layer_predicted: bool


class Picture(NamedTuple):
    """What a descriptor says (RFC 9628 §4.2); `tl0picidx` only counts with a layer in non-flexible mode."""

    picture_id: int | None
    picture_id_bits: int
    is_inter_predicted: bool
    layer: Layer | None
    is_flexible: bool
    starts_frame: bool
    ends_frame: bool
    is_not_reference: bool
    tl0picidx: int
    references: list[int]
    structure: bytes | None

    @property
    def has_tl0picidx(self) -> bool:
        return self.layer is not None and not self.is_flexible

    def to_bytes(self) -> bytes:
        """Written here by the RFC's figure, so that reader and writer share no code."""
        bits = [
            self.picture_id is not None,
            self.is_inter_predicted,
            self.layer is not None,
            self.is_flexible,
            self.starts_frame,
            self.ends_frame,
            self.structure is not None,
            self.is_not_reference,
        ]
        data = bytes([int("".join(str(int(bit)) for bit in bits), 2)])
        if self.picture_id is not None:
            wide = self.picture_id_bits == 15
            data += (0x8000 | self.picture_id).to_bytes(2) if wide else bytes([self.picture_id])
        if self.layer is not None:
            layer = self.layer
            data += bytes(
                [
                    layer.temporal_id << 5
                    | layer.switching_up << 4
                    | layer.spatial_id << 1
                    | layer.is_inter_layer_predicted
                ]
            )
            if not self.is_flexible:
                data += bytes([self.tl0picidx])
        if self.is_flexible and self.is_inter_predicted:
            last = len(self.references) - 1
            data += bytes(p_diff << 1 | (index < last) for index, p_diff in enumerate(self.references))
        return data + (self.structure or b"")


@st.composite
def scalability_structures(draw: st.DrawFn) -> bytes:
    """RFC 9628 §4.2.1: sizes of up to eight spatial layers, a picture group of up to six pictures."""
    spatial_layers = draw(st.integers(1, 8))
    has_sizes, has_group = draw(st.booleans()), draw(st.booleans())
    data = bytes([spatial_layers - 1 << 5 | has_sizes << 4 | has_group << 3])
    if has_sizes:
        data += draw(st.binary(min_size=4 * spatial_layers, max_size=4 * spatial_layers))
    if has_group:
        references = draw(st.lists(st.lists(st.integers(1, 255), max_size=3), max_size=6))
        data += bytes([len(references)])
        for p_diffs in references:
            data += bytes([draw(st.integers(0, 15)) << 4 | len(p_diffs) << 2, *p_diffs])
    return data


layers = st.builds(Layer, st.integers(0, 7), st.booleans(), st.integers(0, 7), st.booleans())


@st.composite
def pictures(draw: st.DrawFn) -> Picture:
    bits = draw(st.sampled_from([0, 7, 15]))
    return Picture(
        picture_id=draw(st.integers(0, (1 << bits) - 1)) if bits else None,
        picture_id_bits=bits,
        is_inter_predicted=draw(st.booleans()),
        layer=draw(st.none() | layers),
        is_flexible=bool(bits) and draw(st.booleans()),
        starts_frame=draw(st.booleans()),
        ends_frame=draw(st.booleans()),
        is_not_reference=draw(st.booleans()),
        tl0picidx=draw(st.integers(0, 255)),
        references=draw(st.lists(st.integers(1, 127), min_size=1, max_size=3)),
        structure=draw(st.none() | scalability_structures()),
    )


frames = st.binary(min_size=1, max_size=40)


def assert_reads_as(marks: Marks, row: dict[str, str]) -> None:
    starts = row["vp9.pld.b"] == "1"
    assert marks.starts_frame == starts
    assert marks.ends_frame == (row["vp9.pld.e"] == "1")
    assert marks.starts_keyframe == (starts and row["vp9.pld.p"] == "0" and row["vp9.pld.d"] in ("", "0"))
    short, wide = row["vp9.pld.pg"] or row["vp9.pld.pid"], row["vp9.pld.pg_ext"] or row["vp9.pld.pid_ext"]
    assert marks.picture_id == number(short or wide)
    assert marks.picture_id_bits == (7 if short else 15 if wide else 0)
    assert marks.temporal_id == int(row["vp9.pld.tid"] or 0)
    assert marks.spatial_id == int(row["vp9.pld.sid"] or 0)
    assert marks.is_switch_point == (row["vp9.pld.u"] == "1")
    assert marks.tl0picidx == number(row["vp9.pld.tl0picidx"])


@pytest.mark.parametrize(("capture", "payload_type"), CAPTURES)
def test_every_captured_packet_reads_as_wireshark_reads_it(capture: str, payload_type: int) -> None:
    keyframes = 0
    for packet, row in packets_with_rows(capture, payload_type):
        marks = vp9.read_marks(packet.payload)
        assert_reads_as(marks, row)
        keyframes += marks.starts_keyframe
    assert keyframes == (2 if capture == "chromium-vp9-l3t3key" else 1)


def test_every_form_of_the_descriptor_reads_as_wireshark_reads_it() -> None:
    rows = wireshark_table("vp9-descriptors")
    assert len(rows) == 32
    for row in rows:
        assert_reads_as(vp9.read_marks(bytes.fromhex(row["rtp.payload"])), row)


def test_the_payload_and_the_dependency_descriptor_of_an_svc_stream_say_the_same() -> None:
    reader = DependencyDescriptorReader()
    layers_seen = set()
    for packet in media_packets("chromium-vp9-l3t3key", 98):
        assert packet.dependency_descriptor is not None
        descriptor = reader.read(packet.dependency_descriptor)
        marks = vp9.read_marks(packet.payload)
        assert descriptor.refine(marks) == marks
        layers_seen.add((marks.spatial_id, marks.temporal_id))
    assert layers_seen == {(spatial, temporal) for spatial in range(2) for temporal in range(3)}


@given(pictures(), frames)
def test_what_a_descriptor_says_is_read(picture: Picture, frame: bytes) -> None:
    payload = picture.to_bytes() + frame
    assert payload[vp9.read_descriptor(payload).size :] == frame
    layer = picture.layer or Layer(0, False, 0, False)
    marks = vp9.read_marks(payload)
    assert marks.starts_frame == picture.starts_frame
    assert marks.ends_frame == picture.ends_frame
    assert marks.starts_keyframe == (
        picture.starts_frame and not picture.is_inter_predicted and not layer.is_inter_layer_predicted
    )
    assert marks.picture_id == (-1 if picture.picture_id is None else picture.picture_id)
    assert marks.picture_id_bits == picture.picture_id_bits
    assert (marks.temporal_id, marks.spatial_id) == (layer.temporal_id, layer.spatial_id)
    assert marks.is_switch_point == layer.switching_up
    assert marks.tl0picidx == (picture.tl0picidx if picture.has_tl0picidx else -1)


@given(pictures(), frames, st.integers(-70_000, 70_000), st.integers(-300, 300))
def test_rewriting_changes_the_two_numbers_and_not_one_other_bit(
    picture: Picture, frame: bytes, picture_id: int, tl0picidx: int
) -> None:
    payload = picture.to_bytes() + frame
    rewritten = vp9.rewrite_descriptor(payload, vp9.read_marks(payload), picture_id, tl0picidx)
    expected = picture._replace(
        picture_id=None if picture.picture_id is None else picture_id % (1 << picture.picture_id_bits),
        tl0picidx=tl0picidx % 256,
    )
    assert rewritten == expected.to_bytes() + frame


@given(pictures())
def test_a_payload_cut_off_before_the_frame_is_refused(picture: Picture) -> None:
    descriptor = picture.to_bytes()
    for size in range(len(descriptor) + 1):
        with pytest.raises(WireError):
            vp9.read_marks(descriptor[:size])


def test_a_fourth_reference_is_refused() -> None:
    flexible_and_predicted = bytes.fromhex("d8 8001")
    vp9.read_marks(flexible_and_predicted + bytes.fromhex("03 05 06") + b"frame")
    with pytest.raises(WireError, match="more than three"):
        vp9.read_marks(flexible_and_predicted + bytes.fromhex("03 05 07 08") + b"frame")


def test_flexible_mode_without_a_picture_id_is_refused() -> None:
    with pytest.raises(WireError, match="flexible mode"):
        vp9.read_marks(bytes.fromhex("18") + b"frame")


@given(st.binary(max_size=1500))
def test_any_bytes_are_read_or_refused(payload: bytes) -> None:
    with suppress(WireError):
        marks = vp9.read_marks(payload)
        assert marks.starts_frame >= marks.starts_keyframe
        assert vp9.rewrite_descriptor(payload, marks, marks.picture_id, marks.tl0picidx) == payload
