"""Any header extension is read, or a WireError; what was read can be built, mapped and read again."""

from hushroom_common.errors import WireError
from hushroom_common.header_extensions import ExtensionMap, build_extensions, read_extensions
from hushroom_common.rtp import RtpPacket, build_rtp
from tests.support.pcap import captures, udp_payloads

_IDENTITY = ExtensionMap([(str(n), n) for n in range(1, 15)], [(str(n), n) for n in range(1, 15)], [str(4), str(12)])


def corpus() -> list[bytes]:
    """Extension blocks with their 4-byte header."""
    packets = [RtpPacket.parse(datagram) for capture in captures() for _, datagram in udp_payloads(capture)]
    return sorted({packet.extensions for packet in packets})[::29] + [
        packet.extensions for packet in packets if packet.extension_profile != 0xBEDE
    ]


def _packet(block: bytes) -> RtpPacket:
    return RtpPacket.parse(
        build_rtp(payload_type=96, marker=False, sequence_number=1, timestamp=2, ssrc=3, payload=b"", extensions=block)
    )


def fuzz(data: bytes) -> None:
    # The length is made right, so that the mutations reach the elements.
    body = data[4 : 4 + 4 * 0xFFFF] + bytes(-len(data) % 4)
    packet = _packet(data[:2].ljust(2, b"\x10") + (len(body) // 4).to_bytes(2, "big") + body)
    try:
        elements = read_extensions(packet)
    except WireError:
        return
    assert read_extensions(_packet(build_extensions(elements.items()))) == elements
    passed = {identifier: value for identifier, value in elements.items() if identifier in (4, 12)}
    assert read_extensions(_packet(_IDENTITY.rebuild(packet))) == passed
