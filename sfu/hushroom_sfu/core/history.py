"""The last packets of one ingress track, kept once for all its subscribers, to answer their NACKs (RFC 4585 §6.2.1)."""

from hushroom_common.ids import Kind
from hushroom_sfu.core.packet import MediaPacket

__all__ = ["HISTORY_SIZE", "History"]

HISTORY_SIZE = {Kind.VIDEO: 512, Kind.AUDIO: 128}
"""Packets kept a track: at 30 frames/s and 1.2 Mb/s 512 packets are about 4 s of video, 128 are 2.5 s of Opus."""


class History:
    """A ring of packets by extended ingress number."""

    __slots__ = ("_ring", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self._ring: list[MediaPacket | None] = [None] * size

    def store(self, packet: MediaPacket) -> None:
        """Keeps a packet until `size` newer ones came."""
        self._ring[packet.number % self.size] = packet

    def get(self, number: int) -> MediaPacket | None:
        """The packet of that extended ingress number, None when it never came or is forgotten."""
        packet = self._ring[number % self.size]
        return packet if packet is not None and packet.number == number else None

    def octets(self) -> int:
        """Payload octets held, for the metrics."""
        return sum(len(packet.payload) for packet in self._ring if packet is not None)
