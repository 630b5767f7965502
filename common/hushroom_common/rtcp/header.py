"""The 4 bytes in front of every RTCP packet (RFC 3550 §6.4.1) and what the rest of this package needs of them.

The `from_body` of each packet class takes what follows those bytes: whole 32-bit words without padding, which
`parse_compound` sees to.
"""

import struct
from enum import IntEnum

__all__ = ["PacketType", "PayloadFeedback", "TransportFeedback", "check_count", "frame"]

_HEADER = struct.Struct("!BBH")
MAX_COUNT = 31


class PacketType(IntEnum):
    """The RTCP packet types that we read (RFC 3550 §12.1, RFC 4585 §6.1)."""

    SENDER_REPORT = 200
    RECEIVER_REPORT = 201
    SOURCE_DESCRIPTION = 202
    GOODBYE = 203
    TRANSPORT_FEEDBACK = 205
    PAYLOAD_FEEDBACK = 206


class TransportFeedback(IntEnum):
    """Formats of transport-layer feedback (RFC 4585 §6.2)."""

    GENERIC_NACK = 1


class PayloadFeedback(IntEnum):
    """Formats of payload-specific feedback (RFC 4585 §6.3, RFC 5104 §4.3)."""

    PICTURE_LOSS_INDICATION = 1
    FULL_INTRA_REQUEST = 4
    APPLICATION_LAYER = 15


def check_count(count: int, what: str) -> int:
    """`count` if the header's 5 bits can say it, else ValueError."""
    if count > MAX_COUNT:
        raise ValueError(f"an RTCP packet carries at most {MAX_COUNT} {what}")
    return count


def frame(packet_type: PacketType, count: int, body: bytes) -> bytes:
    """`body`, whole 32-bit words, behind its header. `count` is the field of many names: RC, SC or FMT."""
    return _HEADER.pack(0x80 | count, packet_type, len(body) // 4) + body
