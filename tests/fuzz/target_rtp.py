"""Any bytes are an RTP packet that can be rebuilt, or a WireError."""

from contextlib import suppress

from hushroom_common.errors import WireError
from hushroom_common.rtp import RtpPacket, build_rtp, is_rtcp, rewrite_in_place, unwrap_rtx, wrap_rtx
from tests.support.pcap import captures, udp_payloads


def corpus() -> list[bytes]:
    return [datagram for capture in captures() for _, datagram in udp_payloads(capture)][::17]


def fuzz(data: bytes) -> None:
    is_rtcp(data)
    try:
        packet = RtpPacket.parse(data)
    except WireError:
        return
    assert packet.to_bytes() == data
    assert 12 <= packet.extension_start <= packet.extension_end <= packet.payload_start <= packet.payload_end
    assert packet.payload_end + packet.padding_size == len(data)
    rebuilt = build_rtp(
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
    # What padding is filled with is nobody's business.
    assert rebuilt[: packet.payload_end] == data[: packet.payload_end]
    wrapped = RtpPacket.parse(wrap_rtx(packet, payload_type=97, ssrc=1, sequence_number=2))
    unwrapped = RtpPacket.parse(unwrap_rtx(wrapped, payload_type=packet.payload_type, ssrc=packet.ssrc))
    assert unwrapped.payload == packet.payload
    assert unwrapped.sequence_number == packet.sequence_number
    with suppress(WireError):
        RtpPacket.parse(unwrap_rtx(packet, payload_type=96, ssrc=3))
    buffer = bytearray(data)
    rewrite_in_place(buffer, payload_type=96, sequence_number=1, timestamp=2, ssrc=3)
    assert RtpPacket.parse(bytes(buffer)).payload == packet.payload
