"""A media packet as the forwarder keeps it: unwrapped from retransmission and padding, ready to be rewritten."""

from hushroom_common.codecs.marks import Marks
from hushroom_common.header_extensions import ExtensionMap
from hushroom_common.rtp import RtpPacket

__all__ = ["FILLER_SIZE", "NO_MARKS", "Filler", "MediaPacket"]

NO_MARKS = Marks(starts_frame=False, starts_keyframe=False)
"""Those of a packet that carries nothing of any frame."""

FILLER_SIZE = 1
"""Octets of padding in a packet that only fills a sequence number: the smallest that RFC 3550 §5.1 allows."""


class MediaPacket:
    """One ingress packet: what every subscriber's copy shares. `is_filler` packets carry nothing but their number."""

    __slots__ = ("_map", "_rtp", "_tail", "is_filler", "marker", "marks", "number", "payload", "timestamp")

    def __init__(self, rtp: RtpPacket, number: int, marks: Marks) -> None:
        self._rtp = rtp
        self._map: ExtensionMap | None = None
        self._tail = b""
        self.number = number
        self.marker = 0x80 if rtp.marker else 0
        self.timestamp = rtp.timestamp
        self.payload = rtp.payload
        self.marks = marks
        self.is_filler = not self.payload

    def extensions(self, extension_map: ExtensionMap) -> bytes:
        """The header extension block for receivers that negotiated `extension_map` (RFC 8285); b"" for none."""
        if not self._rtp.extension_profile:
            return b""
        return extension_map.rebuild(self._rtp)

    def tail(self, extension_map: ExtensionMap) -> bytes:
        """Extension block and payload as they follow the fixed header; the last one asked for is kept."""
        if extension_map is not self._map:
            self._tail = self.extensions(extension_map) + self.payload
            self._map = extension_map
        return self._tail


class Filler(MediaPacket):
    """Stands for a number whose packet never came: subscribers get padding under it, and nothing else ever again."""

    __slots__ = ()

    def __init__(self, number: int, timestamp: int) -> None:
        self.number = number
        self.timestamp = timestamp
        self.marker = 0
        self.payload = b""
        self.marks = NO_MARKS
        self.is_filler = True
