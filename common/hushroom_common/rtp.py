"""RTP at byte level (RFC 3550 §5): a view on one received packet, and the few ways we build or rewrite one.

Nothing here copies a payload to read a header, knows a codec or reads header extensions (`header_extensions` does).
"""

import struct
from typing import Self

from hushroom_common.errors import WireError

__all__ = [
    "RTP_HEADER_SIZE",
    "RtpPacket",
    "build_rtp",
    "is_rtcp",
    "padding_only",
    "rewrite_in_place",
    "rtp_header",
    "unwrap_rtx",
    "wrap_rtx",
]

RTP_HEADER_SIZE = 12
"""The fixed part of the header, in bytes."""

_HEADER = struct.Struct("!BBHII")
_REWRITTEN = struct.Struct("!HII")
_EXTENSION = struct.Struct("!HH")
_unpack_header = _HEADER.unpack_from
_unpack_extension = _EXTENSION.unpack_from


class RtpPacket:
    """A read-only view on the bytes of one RTP packet; make it with `parse`.

    Offsets count from the start of `data`. The payload lies at `payload_start:payload_end`, padding already cut off;
    the header extension's elements at `extension_start:extension_end`, after the extension's own 4-byte header.
    """

    __slots__ = (
        "data",
        "extension_end",
        "extension_profile",
        "extension_start",
        "marker",
        "padding_size",
        "payload_end",
        "payload_start",
        "payload_type",
        "sequence_number",
        "ssrc",
        "timestamp",
    )

    data: bytes
    payload_type: int
    marker: bool
    sequence_number: int
    timestamp: int
    ssrc: int
    extension_profile: int
    """The 16 bits that name the extension's form (RFC 8285: 0xBEDE or 0x1000-0x100F); 0 without an extension."""
    extension_start: int
    extension_end: int
    payload_start: int
    payload_end: int
    padding_size: int

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read the header of `data`, which must be RTP and not RTCP (see `is_rtcp`).

        Raises WireError for a version other than 2, a header longer than the packet and padding that does not fit.
        """
        size = len(data)
        if size < RTP_HEADER_SIZE:
            raise WireError("RTP packet is shorter than its header")
        packet = cls.__new__(cls)
        first, second, packet.sequence_number, packet.timestamp, packet.ssrc = _unpack_header(data)
        if first & 0xC0 != 0x80:
            raise WireError("RTP version is not 2")
        packet.data = data
        packet.marker = second > 0x7F
        packet.payload_type = second & 0x7F
        start = RTP_HEADER_SIZE + 4 * (first & 0x0F)
        if first & 0x10:
            if start + 4 > size:
                raise WireError("RTP header extension is cut off")
            packet.extension_profile, words = _unpack_extension(data, start)
            packet.extension_start = start + 4
            packet.extension_end = start = start + 4 + 4 * words
        else:
            packet.extension_profile = 0
            packet.extension_start = packet.extension_end = start
        packet.payload_start = start
        if first & 0x20:
            # RFC 3550 §5.1: the last byte counts the padding, itself included, so that 0 is no count.
            packet.padding_size = padding = data[-1]
            if not padding:
                raise WireError("RTP padding of size 0")
            size -= padding
        else:
            packet.padding_size = 0
        packet.payload_end = size
        if start > size:
            raise WireError("RTP header and padding are longer than the packet")
        return packet

    @property
    def csrcs(self) -> tuple[int, ...]:
        """The contributing sources, usually none."""
        count = self.data[0] & 0x0F
        return struct.unpack_from(f"!{count}I", self.data, RTP_HEADER_SIZE)

    @property
    def payload(self) -> bytes:
        """The payload without padding (a copy)."""
        return self.data[self.payload_start : self.payload_end]

    @property
    def payload_size(self) -> int:
        """The payload's size in bytes; 0 for a packet of nothing but padding, as probes and fillers are."""
        return self.payload_end - self.payload_start

    @property
    def extensions(self) -> bytes:
        """The whole extension block with its 4-byte header, or b"": what `build_rtp` takes."""
        if self.extension_start == RTP_HEADER_SIZE + 4 * (self.data[0] & 0x0F):
            return b""
        return self.data[self.extension_start - 4 : self.extension_end]

    def to_bytes(self) -> bytes:
        """The packet as it was parsed."""
        return self.data

    def __repr__(self) -> str:
        return (
            f"RtpPacket(ssrc={self.ssrc}, payload_type={self.payload_type}, sequence_number={self.sequence_number}, "
            f"timestamp={self.timestamp}, marker={self.marker}, payload_size={self.payload_size})"
        )


def is_rtcp(datagram: bytes) -> bool:
    """Whether a datagram of a bundle is RTCP rather than RTP (RFC 5761 §4: packet types 192-223)."""
    return len(datagram) > 1 and 192 <= datagram[1] <= 223


def rtp_header(
    *,
    payload_type: int,
    marker: bool,
    sequence_number: int,
    timestamp: int,
    ssrc: int,
    has_extension: bool = False,
    has_padding: bool = False,
) -> bytes:
    """The fixed 12 bytes, without contributing sources."""
    first = 0x80 | has_extension << 4 | has_padding << 5
    return _HEADER.pack(first, payload_type | marker << 7, sequence_number, timestamp, ssrc)


def build_rtp(
    *,
    payload_type: int,
    marker: bool,
    sequence_number: int,
    timestamp: int,
    ssrc: int,
    payload: bytes,
    csrcs: tuple[int, ...] = (),
    extensions: bytes = b"",
    padding: int = 0,
) -> bytes:
    """A whole packet. `extensions` is a block with its 4-byte header; `padding` counts bytes, 0-255.

    Raises ValueError for more than 15 contributing sources or more than 255 bytes of padding.
    """
    if len(csrcs) > 15:
        raise ValueError("a packet names at most 15 contributing sources")
    if not 0 <= padding <= 255:
        raise ValueError("RTP padding is 0-255 bytes")
    first = 0x80 | len(csrcs) | bool(extensions) << 4 | bool(padding) << 5
    header = _HEADER.pack(first, payload_type | marker << 7, sequence_number, timestamp, ssrc)
    if csrcs:
        header += struct.pack(f"!{len(csrcs)}I", *csrcs)
    if padding:
        return b"".join((header, extensions, payload, bytes(padding - 1), bytes((padding,))))
    return header + extensions + payload


def padding_only(
    *,
    payload_type: int,
    marker: bool = False,
    sequence_number: int,
    timestamp: int,
    ssrc: int,
    extensions: bytes = b"",
    size: int = 1,
) -> bytes:
    """A packet of nothing but `size` bytes of padding (1-255): it fills a number that will never come."""
    if size < 1:
        raise ValueError("a padding-only packet has at least one byte of padding")
    return build_rtp(
        payload_type=payload_type,
        marker=marker,
        sequence_number=sequence_number,
        timestamp=timestamp,
        ssrc=ssrc,
        payload=b"",
        extensions=extensions,
        padding=size,
    )


def rewrite_in_place(buffer: bytearray, *, payload_type: int, sequence_number: int, timestamp: int, ssrc: int) -> None:
    """Give the RTP packet in `buffer` a new identity. Marker, sources, extension and payload stay as they are."""
    buffer[1] = buffer[1] & 0x80 | payload_type
    _REWRITTEN.pack_into(buffer, 2, sequence_number, timestamp, ssrc)


def wrap_rtx(
    packet: RtpPacket, *, payload_type: int, ssrc: int, sequence_number: int, extensions: bytes | None = None
) -> bytes:
    """`packet` as a retransmission on its RTX stream (RFC 4588 §4): the original number leads the payload.

    Marker, timestamp and sources are the original's, its padding is dropped. `extensions` is a new block; None keeps
    the original's, which is right only for a packet that we built for this receiver.
    """
    return build_rtp(
        payload_type=payload_type,
        marker=packet.marker,
        sequence_number=sequence_number,
        timestamp=packet.timestamp,
        ssrc=ssrc,
        payload=packet.sequence_number.to_bytes(2, "big") + packet.payload,
        csrcs=packet.csrcs,
        extensions=packet.extensions if extensions is None else extensions,
    )


def unwrap_rtx(packet: RtpPacket, *, payload_type: int, ssrc: int) -> bytes:
    """The original packet inside a retransmission, with the original stream's `payload_type` and `ssrc`.

    The extension block is the retransmission's. Raises WireError when the payload has no room for the original number;
    browsers probe with such packets (`payload_size` 0), so look before you call if you count errors.
    """
    start = packet.payload_start
    if packet.payload_end - start < 2:
        raise WireError("RTX payload is too short for the original sequence number")
    data = packet.data
    original = bytearray(data[: packet.payload_end])
    del original[start : start + 2]
    original[0] &= ~0x20  # the padding stayed behind
    original[1] = packet.marker << 7 | payload_type
    original[2:4] = data[start : start + 2]
    original[8:12] = ssrc.to_bytes(4, "big")
    return bytes(original)
