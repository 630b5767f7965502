"""Any bytes are RTCP packets that build and read the same again, or a WireError."""

from hushroom_common.errors import WireError
from hushroom_common.rtcp import (
    FirEntry,
    FullIntraRequest,
    GenericNack,
    Goodbye,
    PictureLossIndication,
    ReceiverEstimatedMaximumBitrate,
    ReceiverReport,
    ReportBlock,
    RtcpPacket,
    SdesChunk,
    SenderReport,
    SourceDescription,
    compound,
    parse_compound,
)

_BLOCK = ReportBlock(1, 2, -3, 4, 5, 6, 7)


def corpus() -> list[bytes]:
    description = SourceDescription((SdesChunk.with_cname(1, "ada"), SdesChunk(2, ((2, b"Ada"), (7, b"note")))))
    return [
        compound(SenderReport(1, 2 << 33, 3, 4, 5, (_BLOCK, _BLOCK)), description, Goodbye((1, 2), b"bye")),
        compound(ReceiverReport(1, (_BLOCK,)), description, GenericNack(1, 2, (65535, 0, 3, 40, 41))),
        compound(PictureLossIndication(1, 2), FullIntraRequest(1, (FirEntry(2, 3), FirEntry(4, 5)))),
        ReceiverEstimatedMaximumBitrate(1, 1_500_000, (2, 3)).to_bytes(),
        bytes.fromhex("a1ce0003 00000001 00000002 00000004"),  # padded
        bytes.fromhex("80cf0001 00000001 8fcd0002 00000001 00000002"),  # two that are skipped
    ]


def fuzz(data: bytes) -> None:
    try:
        packets = parse_compound(data)
    except WireError:
        return
    if packets:
        assert meanings(parse_compound(compound(*packets))) == meanings(packets)


def meanings(packets: tuple[RtcpPacket, ...]) -> list[object]:
    """The packets, but a NACK's losses without their order: packing may merge what overlapped."""
    return [
        (packet.sender_ssrc, packet.media_ssrc, frozenset(packet.lost)) if isinstance(packet, GenericNack) else packet
        for packet in packets
    ]
