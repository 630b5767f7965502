from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushroom_common.errors import WireError
from hushroom_common.header_extensions import build_extensions
from hushroom_common.rtp import (
    RtpPacket,
    build_rtp,
    is_rtcp,
    padding_only,
    rewrite_in_place,
    rtp_header,
    unwrap_rtx,
    wrap_rtx,
)
from tests.support.pcap import RTP_VECTORS, captures, udp_payloads

# Read once with tshark 4.0, counting over its lines:
#   tshark -r FILE --enable-heuristic rtp_udp -T fields -E occurrence=f \
#     -e rtp.ssrc -e rtp.p_type -e rtp.marker -e rtp.padding
# (SSRC, payload type) -> packets, packets with marker, packets with padding.
STREAMS = {
    "chromium-av1-l1t3-dd": {(0x00373DF7, 111): (93, 1, 1), (0xBD8A9514, 45): (57, 29, 17)},
    "chromium-av1-l3t3key": {(0xFC55652F, 111): (135, 1, 1), (0x7DE92D74, 45): (165, 40, 65)},
    "chromium-h264": {(0x79105673, 111): (100, 1, 1), (0x1FDD5E59, 108): (50, 25, 21)},
    "chromium-vp8": {(0xE335B883, 96): (53, 29, 19), (0xF1991CF5, 111): (97, 1, 0)},
    "chromium-vp8-simulcast": {
        (0x429A6F87, 96): (97, 70, 21),
        (0x3FBB93D0, 111): (233, 1, 1),
        (0x3E92B803, 96): (70, 70, 0),
    },
    "chromium-vp8-simulcast-sealed-lk": {
        (0x738AE451, 96): (70, 70, 0),
        (0x4C9D4D09, 111): (234, 1, 1),
        (0xCA040A28, 96): (96, 70, 20),
    },
    "chromium-vp9": {(0xDBD19C66, 111): (94, 1, 1), (0xD0D7CA58, 98): (56, 28, 13)},
    "chromium-vp9-l3t3key": {(0xECD729AF, 111): (167, 1, 1), (0x7F51EBA1, 98): (233, 49, 86)},
    "firefox-av1": {(0xB84052CA, 99): (44, 29, 15), (0x836495B3, 109): (106, 1, 9)},
    "firefox-vp8": {(0xF33B72A0, 120): (51, 30, 21), (0xDD42A9E7, 109): (99, 1, 0)},
    "firefox-vp9": {(0x2CDCD74D, 109): (99, 1, 2), (0x11D68C66, 121): (51, 30, 21)},
}

numbers_16 = st.integers(0, 0xFFFF)
numbers_32 = st.integers(0, 0xFFFF_FFFF)


class Header(TypedDict):
    payload_type: int
    marker: bool
    sequence_number: int
    timestamp: int
    ssrc: int


headers = st.builds(
    Header,
    payload_type=st.integers(0, 127),
    marker=st.booleans(),
    sequence_number=numbers_16,
    timestamp=numbers_32,
    ssrc=numbers_32,
)
elements = st.lists(st.tuples(st.integers(1, 14), st.binary(min_size=1, max_size=40)), max_size=4)


def rebuilt(packet: RtpPacket) -> bytes:
    return build_rtp(
        payload_type=packet.payload_type,
        marker=packet.marker,
        sequence_number=packet.sequence_number,
        timestamp=packet.timestamp,
        ssrc=packet.ssrc,
        payload=packet.payload,
        csrcs=packet.csrcs,
        extensions=packet.extensions,
        padding=packet.padding_size,
    )


# --- browsers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("capture", captures(), ids=lambda capture: capture.stem)
def test_every_packet_of_a_browser_is_read_and_rebuilt(capture: Path) -> None:
    packets, markers, padded = Counter[tuple[int, int]](), Counter[tuple[int, int]](), Counter[tuple[int, int]]()
    for _, datagram in udp_payloads(capture):
        assert not is_rtcp(datagram)
        packet = RtpPacket.parse(datagram)
        assert packet.to_bytes() == datagram
        assert rebuilt(packet) == datagram
        stream = packet.ssrc, packet.payload_type
        packets[stream] += 1
        markers[stream] += packet.marker
        padded[stream] += packet.padding_size > 0
    assert {stream: (packets[stream], markers[stream], padded[stream]) for stream in packets} == STREAMS[capture.stem]


def test_every_capture_is_in_the_table() -> None:
    assert {capture.stem for capture in captures()} == set(STREAMS)


def test_the_first_packet_of_chromium_reads_as_in_tshark() -> None:
    _, datagram = next(udp_payloads(RTP_VECTORS / "chromium-vp8.pcap"))
    packet = RtpPacket.parse(datagram)
    assert (packet.ssrc, packet.payload_type, packet.marker) == (0xE335B883, 96, False)
    assert (packet.sequence_number, packet.timestamp) == (25194, 2212724515)
    assert (packet.extension_profile, packet.extension_end - packet.extension_start) == (0xBEDE, 12)
    assert packet.payload_size == len(packet.payload) == len(datagram) - 12 - 4 - 12
    assert packet.payload[:4] == bytes.fromhex("9080a346")


def test_browsers_probe_with_packets_of_padding_alone() -> None:
    padded = [
        packet
        for capture in captures()
        for _, datagram in udp_payloads(capture)
        if (packet := RtpPacket.parse(datagram)).padding_size
    ]
    assert {packet.payload_size for packet in padded} == {0}
    assert {packet.payload for packet in padded} == {b""}


# --- what must not pass -----------------------------------------------------------------------------------------

HEADER = bytes.fromhex("80600001000000020a0b0c0d")


@pytest.mark.parametrize(
    ("datagram", "why"),
    [
        (b"", "empty"),
        (HEADER[:11], "short"),
        (b"\x40" + HEADER[1:], "version 1"),
        (b"\xc0" + HEADER[1:], "version 3"),
        (b"\x82" + HEADER[1:] + bytes(7), "second source cut off"),
        (b"\x90" + HEADER[1:] + bytes(3), "extension header cut off"),
        (b"\x90" + HEADER[1:] + bytes.fromhex("bede0002") + bytes(7), "extension cut off"),
        (b"\xa0" + HEADER[1:] + b"\x00", "padding of 0"),
        (b"\xa0" + HEADER[1:] + b"\x00\x03", "padding over the header"),
        (b"\xb0" + HEADER[1:] + bytes.fromhex("bede000110003005"), "padding over the extension"),
        (b"\xa0" + HEADER[1:], "padding counted by the header's last byte"),
    ],
)
def test_a_broken_packet_is_refused(datagram: bytes, why: str) -> None:
    with pytest.raises(WireError):
        RtpPacket.parse(datagram)


def test_padding_may_fill_all_of_the_payload_but_not_more() -> None:
    packet = RtpPacket.parse(b"\xa0" + HEADER[1:] + b"\x00\x00\x03")
    assert (packet.payload_size, packet.padding_size) == (0, 3)


def test_padding_is_no_part_of_a_payload() -> None:
    packet = RtpPacket.parse(b"\xa0" + HEADER[1:] + b"sealed" + b"\x00\x02")
    assert packet.payload == b"sealed"


@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda tail: b"\xb1\x60" + tail))
def test_any_bytes_parse_or_raise_wire_error(datagram: bytes) -> None:
    with suppress(WireError):
        packet = RtpPacket.parse(datagram)
        assert packet.to_bytes() == datagram
        assert 12 <= packet.extension_start <= packet.extension_end <= packet.payload_start <= packet.payload_end
        assert packet.payload_end + packet.padding_size == len(datagram)
        assert packet.payload_size == len(packet.payload)
        assert RtpPacket.parse(rebuilt(packet)).payload == packet.payload


@pytest.mark.parametrize(("second", "rtcp"), [(191, False), (192, True), (200, True), (223, True), (224, False)])
def test_rtcp_is_told_from_rtp_by_its_second_byte(second: int, rtcp: bool) -> None:
    assert is_rtcp(bytes((0x80, second))) is rtcp


def test_a_single_byte_is_not_rtcp() -> None:
    assert not is_rtcp(b"\x80")


# --- building ---------------------------------------------------------------------------------------------------


@given(headers, st.lists(numbers_32, max_size=15), elements, st.binary(max_size=50), st.integers(0, 255))
def test_what_is_built_is_read_back(
    header: Header, csrcs: list[int], extensions: list[tuple[int, bytes]], payload: bytes, padding: int
) -> None:
    block = build_extensions(extensions)
    packet = RtpPacket.parse(
        build_rtp(**header, payload=payload, csrcs=tuple(csrcs), extensions=block, padding=padding)
    )
    assert {name: getattr(packet, name) for name in header} == header
    assert packet.csrcs == tuple(csrcs)
    assert packet.extensions == block
    assert (packet.payload, packet.padding_size) == (payload, padding)


@given(headers, st.booleans(), st.booleans())
def test_the_header_alone_has_the_bits_that_were_asked_for(
    header: Header, has_extension: bool, has_padding: bool
) -> None:
    built = rtp_header(**header, has_extension=has_extension, has_padding=has_padding)
    assert built[0] == 0x80 | has_extension << 4 | has_padding << 5
    assert built[1:] == build_rtp(**header, payload=b"")[1:]


@given(headers, st.integers(1, 255))
def test_a_filler_carries_padding_alone(header: Header, size: int) -> None:
    packet = RtpPacket.parse(padding_only(**header, size=size))
    assert (packet.payload_size, packet.padding_size) == (0, size)


@pytest.mark.parametrize("size", [0, 256])
def test_a_filler_of_impossible_size_is_the_callers_mistake(size: int) -> None:
    with pytest.raises(ValueError, match="padding"):
        padding_only(payload_type=96, sequence_number=1, timestamp=2, ssrc=3, size=size)


@pytest.mark.parametrize("capture", captures(), ids=lambda capture: capture.stem)
def test_rewriting_changes_the_identity_and_nothing_else(capture: Path) -> None:
    for _, datagram in udp_payloads(capture):
        before = RtpPacket.parse(datagram)
        buffer = bytearray(datagram)
        rewrite_in_place(buffer, payload_type=33, sequence_number=4711, timestamp=0xFEDCBA98, ssrc=0x01020304)
        after = RtpPacket.parse(bytes(buffer))
        assert (after.payload_type, after.sequence_number) == (33, 4711)
        assert (after.timestamp, after.ssrc) == (0xFEDCBA98, 0x01020304)
        assert after.marker == before.marker
        assert buffer[12:] == datagram[12:]
        assert buffer[0] == datagram[0]


# --- RTX --------------------------------------------------------------------------------------------------------


def test_a_retransmission_leads_with_the_original_number() -> None:
    original = RtpPacket.parse(HEADER + b"picture")
    wrapped = RtpPacket.parse(wrap_rtx(original, payload_type=97, ssrc=99, sequence_number=500))
    # RFC 4588 §4: OSN before the payload; timestamp and marker are the original's.
    assert wrapped.payload == b"\x00\x01picture"
    assert (wrapped.payload_type, wrapped.ssrc, wrapped.sequence_number) == (97, 99, 500)
    assert (wrapped.timestamp, wrapped.marker) == (original.timestamp, original.marker)


@pytest.mark.parametrize("capture", captures(), ids=lambda capture: capture.stem)
def test_unwrapping_gives_the_original_back(capture: Path) -> None:
    for _, datagram in udp_payloads(capture):
        original = RtpPacket.parse(datagram)
        wrapped = RtpPacket.parse(wrap_rtx(original, payload_type=97, ssrc=99, sequence_number=500))
        unwrapped = RtpPacket.parse(unwrap_rtx(wrapped, payload_type=original.payload_type, ssrc=original.ssrc))
        assert unwrapped.padding_size == 0
        assert unwrapped.payload == original.payload
        if not original.padding_size:
            assert unwrapped.to_bytes() == datagram


@given(headers, st.lists(numbers_32, max_size=15), elements, st.binary(max_size=50))
def test_contributing_sources_and_extensions_travel_with_a_retransmission(
    header: Header, csrcs: list[int], extensions: list[tuple[int, bytes]], payload: bytes
) -> None:
    original = build_rtp(**header, payload=payload, csrcs=tuple(csrcs), extensions=build_extensions(extensions))
    wrapped = wrap_rtx(RtpPacket.parse(original), payload_type=97, ssrc=99, sequence_number=500)
    unwrapped = unwrap_rtx(RtpPacket.parse(wrapped), payload_type=header["payload_type"], ssrc=header["ssrc"])
    assert unwrapped == original


def test_padding_of_a_retransmission_is_not_taken_for_picture() -> None:
    padded = build_rtp(
        payload_type=97, marker=True, sequence_number=1, timestamp=2, ssrc=3, payload=b"\x12\x34picture", padding=9
    )
    unwrapped = RtpPacket.parse(unwrap_rtx(RtpPacket.parse(padded), payload_type=96, ssrc=4))
    assert (unwrapped.sequence_number, unwrapped.payload, unwrapped.marker) == (0x1234, b"picture", True)


def test_a_refreshed_extension_block_replaces_the_originals() -> None:
    old, new = build_extensions([(4, b"0")]), build_extensions([(9, b"another mid")])
    original = build_rtp(
        payload_type=96, marker=False, sequence_number=1, timestamp=2, ssrc=3, payload=b"picture", extensions=old
    )
    packet = RtpPacket.parse(original)
    kept = wrap_rtx(packet, payload_type=97, ssrc=99, sequence_number=5)
    refreshed = wrap_rtx(packet, payload_type=97, ssrc=99, sequence_number=5, extensions=new)
    assert RtpPacket.parse(kept).extensions == old
    assert RtpPacket.parse(refreshed).extensions == new
    assert (
        RtpPacket.parse(wrap_rtx(packet, payload_type=97, ssrc=9, sequence_number=5, extensions=b"")).extensions == b""
    )


@pytest.mark.parametrize("payload", [b"", b"\x01"])
def test_a_probe_on_the_rtx_stream_holds_no_original(payload: bytes) -> None:
    probe = build_rtp(
        payload_type=97, marker=False, sequence_number=1, timestamp=2, ssrc=3, payload=payload, padding=200
    )
    packet = RtpPacket.parse(probe)
    assert packet.payload_size == len(payload)
    with pytest.raises(WireError):
        unwrap_rtx(packet, payload_type=96, ssrc=4)
