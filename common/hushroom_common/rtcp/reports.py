"""Sender and receiver reports (RFC 3550 §6.4). Profile-specific extensions behind the report blocks are ignored."""

import struct
from dataclasses import dataclass
from typing import Self

from hushroom_common.errors import WireError
from hushroom_common.rtcp.header import PacketType, check_count, frame

__all__ = ["ReceiverReport", "ReportBlock", "SenderReport"]

_SENDER = struct.Struct("!IQIII")
_BLOCK = struct.Struct("!IB3sIIII")
_SSRC = struct.Struct("!I")

_MOST_LOST = 0x7F_FFFF


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """What a receiver says about one source."""

    ssrc: int
    fraction_lost: int
    """Lost since the last report, in 1/256."""
    packets_lost: int
    """Lost since the beginning; negative when duplicates arrived."""
    highest_sequence: int
    """Extended: cycles in the upper 16 bits."""
    jitter: int
    """In ticks of the source's RTP clock."""
    lsr: int
    """The middle 32 bits of the last sender report's NTP time, 0 without one."""
    dlsr: int
    """Since that report arrived, in 1/65536 s."""

    def to_bytes(self) -> bytes:
        """The 24 bytes on the wire; a loss beyond 24 signed bits is reported as the extreme (RFC 3550 §A.3)."""
        lost = max(-_MOST_LOST - 1, min(self.packets_lost, _MOST_LOST))
        return _BLOCK.pack(
            self.ssrc,
            self.fraction_lost,
            lost.to_bytes(3, "big", signed=True),
            self.highest_sequence,
            self.jitter,
            self.lsr,
            self.dlsr,
        )


def _read_blocks(body: bytes, offset: int, count: int) -> tuple[ReportBlock, ...]:
    if len(body) < offset + count * _BLOCK.size:
        raise WireError("RTCP report is shorter than its blocks")
    blocks = []
    for at in range(offset, offset + count * _BLOCK.size, _BLOCK.size):
        ssrc, fraction, lost, highest, jitter, lsr, dlsr = _BLOCK.unpack_from(body, at)
        blocks.append(ReportBlock(ssrc, fraction, int.from_bytes(lost, "big", signed=True), highest, jitter, lsr, dlsr))
    return tuple(blocks)


@dataclass(frozen=True, slots=True)
class SenderReport:
    """What a source sent so far, and which RTP time belongs to which wall-clock time."""

    ssrc: int
    ntp_time: int
    """64 bits of NTP time: see `ntp`."""
    rtp_time: int
    packet_count: int
    octet_count: int
    reports: tuple[ReportBlock, ...] = ()

    @classmethod
    def from_body(cls, count: int, body: bytes) -> Self:
        """Read what follows the RTCP header; raises WireError."""
        if len(body) < _SENDER.size:
            raise WireError("RTCP sender report is too short")
        ssrc, ntp_time, rtp_time, packets, octets = _SENDER.unpack_from(body)
        return cls(ssrc, ntp_time, rtp_time, packets, octets, _read_blocks(body, _SENDER.size, count))

    def to_bytes(self) -> bytes:
        """The packet. Raises ValueError for more than 31 report blocks."""
        sender = _SENDER.pack(self.ssrc, self.ntp_time, self.rtp_time, self.packet_count, self.octet_count)
        count = check_count(len(self.reports), "report blocks")
        return frame(PacketType.SENDER_REPORT, count, sender + b"".join(block.to_bytes() for block in self.reports))


@dataclass(frozen=True, slots=True)
class ReceiverReport:
    """What a receiver that sends nothing itself says about its sources."""

    ssrc: int
    reports: tuple[ReportBlock, ...] = ()

    @classmethod
    def from_body(cls, count: int, body: bytes) -> Self:
        """Read what follows the RTCP header; raises WireError."""
        if len(body) < _SSRC.size:
            raise WireError("RTCP receiver report is too short")
        return cls(_SSRC.unpack_from(body)[0], _read_blocks(body, _SSRC.size, count))

    def to_bytes(self) -> bytes:
        """The packet. Raises ValueError for more than 31 report blocks."""
        count = check_count(len(self.reports), "report blocks")
        blocks = b"".join(block.to_bytes() for block in self.reports)
        return frame(PacketType.RECEIVER_REPORT, count, _SSRC.pack(self.ssrc) + blocks)
