from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushroom_common.codecs.h264 import read_marks
from hushroom_common.errors import WireError
from tests.support.codec_vectors import packets_with_rows

SPS, PPS = bytes.fromhex("6742c01f8c8d40"), bytes.fromhex("68ce3c80")
SEI, DELIMITER = bytes.fromhex("0605ff80"), bytes.fromhex("0910")
IDR, IDR_LATER_SLICE = bytes.fromhex("6588840410"), bytes.fromhex("65 0210c0")
DELTA, DELTA_LATER_SLICE = bytes.fromhex("61e0004000"), bytes.fromhex("41 4c9010")

CONTINUES, STARTS_FRAME, STARTS_KEYFRAME = (False, False), (True, False), (True, True)


def verdict(payload: bytes) -> tuple[bool, bool]:
    marks = read_marks(payload)
    return marks.starts_frame, marks.starts_keyframe


def aggregate(*units: bytes) -> bytes:
    return b"\x78" + b"".join(len(unit).to_bytes(2) + unit for unit in units)


def fragments(unit: bytes, size: int) -> list[bytes]:
    """FU-A (RFC 6184 §5.8) with `size` bytes of the unit in each."""
    indicator, nal_type = unit[0] & 0xE0 | 28, unit[0] & 0x1F
    pieces = [unit[at : at + size] for at in range(1, len(unit), size)]
    last = len(pieces) - 1
    return [bytes([indicator, (i == 0) << 7 | (i == last) << 6 | nal_type]) + piece for i, piece in enumerate(pieces)]


def test_every_captured_packet_reads_as_tshark_reads_it() -> None:
    with_sps, with_idr = set(), set()
    for packet, row in packets_with_rows("chromium-h264", 108):
        headers = row["h264.nal_unit_hdr"].split(",")
        starts_slice = row["h264.first_mb_in_slice"] == "0" and row["h264.start.bit"] != "0"
        assert verdict(packet.payload) == (starts_slice or "7" in headers, "7" in headers)
        if read_marks(packet.payload).starts_keyframe:
            with_sps.add(packet.timestamp)
        if "5" in (*headers, row["h264.nal_unit_type"]):
            with_idr.add(packet.timestamp)
    assert with_sps == with_idr  # the rule for keyframes: in-band parameter sets come with each IDR picture
    assert len(with_idr) == 1


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        (SPS, STARTS_KEYFRAME),
        (PPS, STARTS_FRAME),
        (SEI, STARTS_FRAME),
        (DELIMITER, STARTS_FRAME),
        (IDR, STARTS_FRAME),
        (IDR_LATER_SLICE, CONTINUES),
        (DELTA, STARTS_FRAME),
        (DELTA_LATER_SLICE, CONTINUES),
        (b"\x0c\xff", CONTINUES),  # filler
        (b"\x0a", CONTINUES),  # end of sequence, a NAL unit of one byte
    ],
)
def test_a_nal_unit_says_the_same_alone_and_aggregated(unit: bytes, expected: tuple[bool, bool]) -> None:
    assert verdict(unit) == expected
    assert verdict(aggregate(unit)) == expected


def test_an_aggregate_says_what_its_units_say_together() -> None:
    assert verdict(aggregate(SPS, PPS)) == STARTS_KEYFRAME
    assert verdict(aggregate(DELIMITER, SEI, SPS, PPS, IDR)) == STARTS_KEYFRAME
    assert verdict(aggregate(DELTA_LATER_SLICE, DELTA_LATER_SLICE)) == CONTINUES


@pytest.mark.parametrize("unit", [SPS, IDR, DELTA, DELTA_LATER_SLICE])
def test_only_the_first_fragment_of_a_unit_starts_anything(unit: bytes) -> None:
    first, *others = fragments(unit, 2)
    assert verdict(first) == verdict(unit)
    assert [verdict(fragment) for fragment in others] == [CONTINUES] * len(others)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x00\x00",  # NAL type 0
        b"\x1c",  # FU-A without a header
        b"\x1c\xc5\x88",  # first and last fragment at once
        b"\x1c\x9c\x88",  # a fragment of a fragment
        b"\x78\x00",  # STAP-A: half a size
        b"\x78\x00\x00",  # a unit of no bytes
        b"\x78\x00\x04\x67\x42\xc0",  # a unit cut off
        aggregate(aggregate(SPS)),  # an aggregate in an aggregate
        b"\x79\x00\x00\x00\x02\x67\x42",  # STAP-B: the interleaved mode
        b"\x7f\x00\x00",  # type 31
    ],
)
def test_malformed_payloads_are_refused(payload: bytes) -> None:
    with pytest.raises(WireError):
        read_marks(payload)


@given(st.binary(max_size=1500))
def test_any_bytes_are_read_or_refused(payload: bytes) -> None:
    with suppress(WireError):
        marks = read_marks(payload)
        assert marks.starts_frame >= marks.starts_keyframe
