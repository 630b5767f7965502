from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushroom_common.errors import WireError
from hushroom_common.header_extensions import ExtensionMap, ExtensionUri, build_extensions, read_extensions
from hushroom_common.rtp import RtpPacket, build_rtp
from tests.support.pcap import RTP_VECTORS, captures, udp_payloads

one_byte_elements = st.dictionaries(st.integers(1, 14), st.binary(min_size=1, max_size=16), max_size=14)
any_elements = st.dictionaries(st.integers(1, 255), st.binary(max_size=255), max_size=6)


def packet_with(block: bytes) -> RtpPacket:
    return RtpPacket.parse(
        build_rtp(
            payload_type=96, marker=False, sequence_number=1, timestamp=2, ssrc=3, payload=b"sealed", extensions=block
        )
    )


def packet_with_body(profile: int, body: bytes) -> RtpPacket:
    body += bytes(-len(body) % 4)
    return packet_with(profile.to_bytes(2, "big") + (len(body) // 4).to_bytes(2, "big") + body)


def nth_packet(capture: str, number: int) -> RtpPacket:
    return RtpPacket.parse([datagram for _, datagram in udp_payloads(RTP_VECTORS / capture)][number - 1])


# --- browsers: values as tshark shows them (-e rtp.ext.rfc5285.id -e rtp.ext.rfc5285.data) ----------------------


def test_chromiums_one_byte_form() -> None:
    packet = nth_packet("chromium-vp8.pcap", 3)
    assert packet.extension_profile == 0xBEDE
    assert read_extensions(packet) == {
        2: bytes.fromhex("7f3f77"),
        3: bytes.fromhex("0003"),
        4: b"1",
        8: bytes.fromhex("06060610"),
        13: b"\x00",
        7: bytes.fromhex("030008000e000e001900000000"),
    }


def test_chromiums_two_byte_form_for_a_long_descriptor() -> None:
    packet = nth_packet("chromium-vp8-simulcast.pcap", 3)
    assert packet.extension_profile == 0x1000
    assert read_extensions(packet) == {
        2: bytes.fromhex("bce9f2"),
        3: bytes.fromhex("0003"),
        4: b"1",
        10: b"h",
        8: bytes.fromhex("06060610"),
        13: b"\x00",
        7: bytes.fromhex("01000600080008000800000000"),
        12: bytes.fromhex("c000018002044eaaaf2860414d34538a0940404fc02cc0"),
        9: bytes.fromhex("51a018243c3c5a9601009f00593c013f00b33c"),
    }


@pytest.mark.parametrize("capture", captures(), ids=lambda capture: capture.stem)
def test_every_browser_packet_survives_reading_and_building(capture: Path) -> None:
    seen = set[int]()
    for _, datagram in udp_payloads(capture):
        packet = RtpPacket.parse(datagram)
        elements = read_extensions(packet)
        assert elements
        assert read_extensions(packet_with(build_extensions(elements.items()))) == elements
        seen |= elements.keys()
    assert 3 in seen  # transport-wide-cc has id 3 in each of the answers
    assert 4 in seen or "firefox" in capture.stem


# --- the rules of RFC 8285 --------------------------------------------------------------------------------------


def test_the_example_of_rfc_8285_one_byte() -> None:
    # §4.2's figure: an element of 1 byte, one of 2, two bytes of padding, one of 4.
    assert read_extensions(packet_with_body(0xBEDE, b"\x10A\x21BC\x00\x00\x33DEFG")) == {1: b"A", 2: b"BC", 3: b"DEFG"}


def test_the_example_of_rfc_8285_two_bytes() -> None:
    # §4.3's figure: an empty element, one of 1 byte, padding, one of 4 bytes.
    body = b"\x01\x00\x02\x01A\x00\x03\x04BCDE"
    assert read_extensions(packet_with_body(0x1000, body)) == {1: b"", 2: b"A", 3: b"BCDE"}
    assert read_extensions(packet_with_body(0x100F, body)) == {1: b"", 2: b"A", 3: b"BCDE"}


def test_id_15_ends_the_one_byte_form_whatever_follows() -> None:
    assert read_extensions(packet_with_body(0xBEDE, b"\x10A\xff\x10B")) == {1: b"A"}


def test_id_0_with_a_length_ends_the_one_byte_form() -> None:
    assert read_extensions(packet_with_body(0xBEDE, b"\x10A\x05\x20B")) == {1: b"A"}


@pytest.mark.parametrize("profile", [0xABCD, 0x1010, 0xBEDF, 0])
def test_a_form_that_we_do_not_know_holds_nothing(profile: int) -> None:
    assert read_extensions(packet_with_body(profile, b"\x10A\x10B")) == {}


@pytest.mark.parametrize(
    ("profile", "body"),
    [
        (0xBEDE, b"\x10A\x23B"),
        (0xBEDE, b"\x10A\x00\x20"),
        (0x1000, b"\x01\x03AB"),
        (0x1000, b"\x00\x00\x00\x01"),
        (0x1000, b"\x01\x01A\x02"),
    ],
)
def test_an_element_that_runs_over_the_end_is_refused(profile: int, body: bytes) -> None:
    with pytest.raises(WireError):
        read_extensions(packet_with_body(profile, body))


def test_an_element_without_a_length_at_the_end_of_the_packet_is_refused() -> None:
    packet = RtpPacket.parse(bytes.fromhex("90600001 00000002 00000003 10000001 00000001"))
    with pytest.raises(WireError):
        read_extensions(packet)


@given(st.sampled_from([0xBEDE, 0x1000, 0x100A, 0x2000]), st.binary(max_size=64))
def test_any_bytes_parse_or_raise_wire_error(profile: int, body: bytes) -> None:
    with suppress(WireError):
        elements = read_extensions(packet_with_body(profile, body))
        assert read_extensions(packet_with(build_extensions(elements.items()))) == elements


# --- building ---------------------------------------------------------------------------------------------------


def test_nothing_builds_to_nothing() -> None:
    assert build_extensions([]) == b""


@given(one_byte_elements)
def test_small_elements_take_the_one_byte_form(elements: dict[int, bytes]) -> None:
    packet = packet_with(build_extensions(elements.items()))
    assert packet.extension_profile == (0xBEDE if elements else 0)
    assert read_extensions(packet) == elements


@given(any_elements)
def test_what_is_built_is_read_back(elements: dict[int, bytes]) -> None:
    block = build_extensions(elements.items())
    assert len(block) % 4 == 0
    assert read_extensions(packet_with(block)) == elements


@pytest.mark.parametrize("element", [(15, b"A"), (1, b""), (1, bytes(17))])
def test_one_element_too_large_moves_all_to_the_two_byte_form(element: tuple[int, bytes]) -> None:
    packet = packet_with(build_extensions([(2, b"B"), element]))
    assert packet.extension_profile == 0x1000
    assert read_extensions(packet) == dict([(2, b"B"), element])


@pytest.mark.parametrize("element", [(0, b"A"), (256, b"A"), (1, bytes(256))])
def test_an_element_that_no_form_can_carry_is_the_callers_mistake(element: tuple[int, bytes]) -> None:
    with pytest.raises(ValueError, match="extension"):
        build_extensions([element])


# --- from sender to receiver ------------------------------------------------------------------------------------

SENDER = [(ExtensionUri.MID, 4), (ExtensionUri.VIDEO_ORIENTATION, 13), (ExtensionUri.COLOR_SPACE, 8)]


def test_a_receiver_gets_what_may_pass_under_its_own_ids() -> None:
    receiver = [(ExtensionUri.MID, 1), (ExtensionUri.VIDEO_ORIENTATION, 2), (ExtensionUri.PLAYOUT_DELAY, 3)]
    whitelist = {ExtensionUri.VIDEO_ORIENTATION, ExtensionUri.COLOR_SPACE, ExtensionUri.PLAYOUT_DELAY}
    block = ExtensionMap(SENDER, receiver, whitelist).rebuild(nth_packet("chromium-vp8.pcap", 3))
    assert read_extensions(packet_with(block)) == {2: b"\x00"}


def test_extensions_swap_ids_without_mixing_up() -> None:
    swapped = [(ExtensionUri.MID, 13), (ExtensionUri.VIDEO_ORIENTATION, 4)]
    extension_map = ExtensionMap(SENDER, swapped, {ExtensionUri.MID, ExtensionUri.VIDEO_ORIENTATION})
    block = extension_map.rebuild(nth_packet("chromium-vp8.pcap", 3))
    assert read_extensions(packet_with(block)) == {13: b"1", 4: b"\x00"}


def test_an_id_that_was_never_negotiated_does_not_pass() -> None:
    extension_map = ExtensionMap([], [(ExtensionUri.MID, 4)], {ExtensionUri.MID})
    assert extension_map.rebuild(nth_packet("chromium-vp8.pcap", 3)) == b""


def test_a_packet_without_extensions_stays_so() -> None:
    extension_map = ExtensionMap(SENDER, SENDER, {ExtensionUri.MID})
    assert extension_map.rebuild(packet_with(b"")) == b""
    assert extension_map.rebuild(packet_with(build_extensions([(9, b"unknown")]))) == b""


def test_a_long_value_moves_to_the_two_byte_form_for_the_receiver_too() -> None:
    sender = [(ExtensionUri.DEPENDENCY_DESCRIPTOR, 12)]
    extension_map = ExtensionMap(sender, [(ExtensionUri.DEPENDENCY_DESCRIPTOR, 6)], list(ExtensionUri))
    block = extension_map.rebuild(packet := nth_packet("chromium-vp8-simulcast.pcap", 3))
    assert read_extensions(packet_with(block)) == {6: read_extensions(packet)[12]}


def test_broken_extensions_are_refused_where_any_could_pass() -> None:
    with pytest.raises(WireError):
        ExtensionMap(SENDER, SENDER, {ExtensionUri.MID}).rebuild(packet_with_body(0xBEDE, b"\x40A\x23B"))


def test_browsers_offer_no_extension_that_has_no_name_here() -> None:
    offered = {
        line.split(maxsplit=1)[1]
        for sdp in RTP_VECTORS.glob("*.offer.sdp")
        for line in sdp.read_text().splitlines()
        if line.startswith("a=extmap:")
    }
    assert offered <= set(ExtensionUri)
