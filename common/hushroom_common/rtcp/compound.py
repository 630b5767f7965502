"""From datagrams to RTCP packets and back (RFC 3550 §6.1). Reduced-size datagrams count as compounds (RFC 5506)."""

import struct
from collections.abc import Callable

from hushroom_common.errors import WireError
from hushroom_common.rtcp.feedback import (
    FullIntraRequest,
    GenericNack,
    PictureLossIndication,
    ReceiverEstimatedMaximumBitrate,
)
from hushroom_common.rtcp.header import PacketType, PayloadFeedback, TransportFeedback
from hushroom_common.rtcp.reports import ReceiverReport, SenderReport
from hushroom_common.rtcp.sources import Goodbye, SourceDescription

__all__ = ["RtcpPacket", "compound", "parse_compound"]

RtcpPacket = (
    SenderReport
    | ReceiverReport
    | SourceDescription
    | Goodbye
    | GenericNack
    | PictureLossIndication
    | FullIntraRequest
    | ReceiverEstimatedMaximumBitrate
)

_HEADER = struct.Struct("!BBH")


def compound(*packets: RtcpPacket) -> bytes:
    """The packets in one datagram. The caller keeps the order of RFC 3550 §6.1 (report, SDES, rest) and the MTU."""
    return b"".join(packet.to_bytes() for packet in packets)


def parse_compound(data: bytes) -> tuple[RtcpPacket, ...]:
    """The packets of one datagram, in order. Types and formats that we do not know are skipped.

    All or nothing: raises WireError when any of it is broken, skipped packets' headers included.
    """
    if not data:
        raise WireError("RTCP datagram is empty")
    packets = []
    at = 0
    while at < len(data):
        if len(data) < at + 4:
            raise WireError("RTCP header is cut off")
        first, packet_type, words = _HEADER.unpack_from(data, at)
        end = at + 4 + 4 * words
        if first >> 6 != 2:
            raise WireError("RTCP version is not 2")
        if end > len(data):
            raise WireError("RTCP packet is cut off")
        body = data[at + 4 : end]
        if first & 0x20:
            if end != len(data):  # RFC 3550 §6.4.1: only the last packet may be padded
                raise WireError("RTCP padding before the last packet")
            body = _without_padding(body)
        packet = _parse_body(packet_type, first & 0x1F, body)
        if packet is not None:
            packets.append(packet)
        at = end
    return tuple(packets)


def _without_padding(body: bytes) -> bytes:
    # RFC 3550 §6.4.1: the last byte counts the padding, itself included, and is a multiple of four.
    padding = body[-1] if body else 0
    if not padding or padding % 4 or padding > len(body):
        raise WireError("RTCP padding does not fit")
    return body[:-padding]


def _parse_body(packet_type: int, count: int, body: bytes) -> RtcpPacket | None:
    if read := _COUNTED.get(packet_type):
        return read(count, body)
    if read_feedback := _FEEDBACK.get((packet_type, count)):
        return read_feedback(body)
    return None


def _read_application_layer(body: bytes) -> RtcpPacket | None:
    if ReceiverEstimatedMaximumBitrate.is_remb(body):
        return ReceiverEstimatedMaximumBitrate.from_body(body)
    return None


_COUNTED: dict[int, Callable[[int, bytes], RtcpPacket]] = {
    PacketType.SENDER_REPORT: SenderReport.from_body,
    PacketType.RECEIVER_REPORT: ReceiverReport.from_body,
    PacketType.SOURCE_DESCRIPTION: SourceDescription.from_body,
    PacketType.GOODBYE: Goodbye.from_body,
}
_FEEDBACK: dict[tuple[int, int], Callable[[bytes], RtcpPacket | None]] = {
    (PacketType.TRANSPORT_FEEDBACK, TransportFeedback.GENERIC_NACK): GenericNack.from_body,
    (PacketType.PAYLOAD_FEEDBACK, PayloadFeedback.PICTURE_LOSS_INDICATION): PictureLossIndication.from_body,
    (PacketType.PAYLOAD_FEEDBACK, PayloadFeedback.FULL_INTRA_REQUEST): FullIntraRequest.from_body,
    (PacketType.PAYLOAD_FEEDBACK, PayloadFeedback.APPLICATION_LAYER): _read_application_layer,
}
