from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushroom_common.codecs.dependency_descriptor import DependencyDescriptor, DependencyDescriptorReader
from hushroom_common.codecs.marks import Marks
from hushroom_common.errors import WireError

# The first packets of the capture chromium-av1-l1t3-dd: a structure with one spatial and three temporal layers.
KEYFRAME = bytes.fromhex("800001800214eaa860414d1410208427013f00b3")
LATER_ON = bytes.fromhex("000001")
T2, T1, T0 = bytes.fromhex("c30002"), bytes.fromhex("820003"), bytes.fromhex("c10005")


def reader_after(*extensions: bytes) -> DependencyDescriptorReader:
    reader = DependencyDescriptorReader()
    for extension in extensions:
        reader.read(extension)
    return reader


class BitWriter:
    """Writes a structure as the specification's syntax tables say (appendix A.8)."""

    def __init__(self) -> None:
        self.bits = ""

    def f(self, width: int, value: int) -> None:
        self.bits += format(value, f"0{width}b") if width else ""

    def ns(self, limit: int, value: int) -> None:
        width = limit.bit_length()
        short = (1 << width) - limit
        if value < short:
            self.f(width - 1, value)
        else:
            self.f(width, value + short)

    def to_bytes(self) -> bytes:
        return int(self.bits.ljust(-(-len(self.bits) // 8) * 8, "0"), 2).to_bytes(-(-len(self.bits) // 8))


@st.composite
def structures(draw: st.DrawFn) -> tuple[bytes, int, list[tuple[int, int]]]:
    """A keyframe's extension, its template_id_offset, and the (spatial id, temporal id) of its templates."""
    offset = draw(st.integers(0, 63))
    decode_targets = draw(st.integers(1, 9))
    layers = []
    for spatial_id in range(draw(st.integers(1, 3))):
        for temporal_id in range(draw(st.integers(1, 3))):
            layers += [(spatial_id, temporal_id)] * draw(st.integers(1, 2))
    bits = BitWriter()
    bits.f(2, 0b11)  # starts and ends the frame
    bits.f(6, offset)
    bits.f(16, 1)
    bits.f(5, 0b10000)
    bits.f(6, offset)
    bits.f(5, decode_targets - 1)
    for here, after in zip(layers, [*layers[1:], None], strict=True):
        bits.f(2, 3 if after is None else 0 if after == here else 1 if after[0] == here[0] else 2)
    for _ in range(decode_targets * len(layers)):
        bits.f(2, draw(st.integers(0, 3)))
    for _ in layers:
        for frame_diff in draw(st.lists(st.integers(0, 15), max_size=3)):
            bits.f(1, 1)
            bits.f(4, frame_diff)
        bits.f(1, 0)
    chains = draw(st.integers(0, decode_targets))
    bits.ns(decode_targets + 1, chains)
    if chains:
        for _ in range(decode_targets):
            bits.ns(chains, draw(st.integers(0, chains - 1)))
        for _ in range(chains * len(layers)):
            bits.f(4, draw(st.integers(0, 15)))
    has_resolutions = draw(st.booleans())
    bits.f(1, has_resolutions)
    if has_resolutions:
        for _ in range(layers[-1][0] + 1):
            bits.f(32, draw(st.integers(0, 0xFFFF_FFFF)))
    return bits.to_bytes(), offset, layers


def test_a_keyframe_brings_the_structure_that_later_packets_name() -> None:
    reader = DependencyDescriptorReader()
    assert reader.read(KEYFRAME) == DependencyDescriptor(
        starts_frame=True, ends_frame=False, starts_keyframe=True, frame_number=1, temporal_id=0, spatial_id=0
    )
    assert reader.read(LATER_ON)[:4] == (False, False, False, 1)
    assert [reader.read(extension).temporal_id for extension in (T2, T1, T0)] == [2, 1, 0]


def test_without_the_structure_a_frame_is_for_everybody() -> None:
    assert reader_after().read(T2) == (True, True, False, 2, 0, 0)
    unknown_template = bytes.fromhex("bf0002")
    assert reader_after(KEYFRAME).read(unknown_template) == (True, False, False, 2, 0, 0)


@given(structures())
def test_every_template_of_a_structure_is_known_by_its_number(
    structure: tuple[bytes, int, list[tuple[int, int]]],
) -> None:
    keyframe, offset, layers = structure
    reader = reader_after(KEYFRAME)
    assert reader.read(keyframe).starts_keyframe
    for index, layer in enumerate(layers):
        descriptor = reader.read(bytes([(offset + index) % 64, 0, 7]))
        assert (descriptor.spatial_id, descriptor.temporal_id) == layer


@given(structures(), st.data())
def test_a_structure_cut_off_is_refused_and_the_old_one_stays(
    structure: tuple[bytes, int, list[tuple[int, int]]], data: st.DataObject
) -> None:
    keyframe, _, _ = structure
    reader = reader_after(KEYFRAME)
    with pytest.raises(WireError):
        reader.read(keyframe[: data.draw(st.integers(4, len(keyframe) - 1))])
    assert [reader.read(extension).temporal_id for extension in (T2, T1, T0)] == [2, 1, 0]


@pytest.mark.parametrize(
    "extension",
    [
        b"",
        b"\x80\x00",
        bytes([KEYFRAME[0] & 0x7F, *KEYFRAME[1:]]),  # a structure inside a frame
        bytes([KEYFRAME[0] | 0x3F, *KEYFRAME[1:]]),  # a template that the structure lacks
        bytes.fromhex("800001 80") + b"\x00" * 30,  # templates without end
        bytes.fromhex("800001 80 02 aaaaaa") + b"\x00" * 30,  # too many spatial layers
    ],
)
def test_malformed_descriptors_are_refused(extension: bytes) -> None:
    with pytest.raises(WireError):
        reader_after().read(extension)


def test_the_descriptor_knows_frame_and_layers_better_than_the_payload() -> None:
    of_payload = Marks(starts_frame=True, starts_keyframe=False, picture_id=7, picture_id_offset=2, picture_id_bits=7)
    refined = reader_after(KEYFRAME).read(T2).refine(of_payload)
    assert refined == of_payload._replace(temporal_id=2, ends_frame=True)


@given(st.lists(st.binary(max_size=80), max_size=4))
def test_any_bytes_are_read_or_refused(extensions: list[bytes]) -> None:
    reader = DependencyDescriptorReader()
    for extension in extensions:
        with suppress(WireError):
            descriptor = reader.read(extension)
            assert descriptor.starts_frame >= descriptor.starts_keyframe
