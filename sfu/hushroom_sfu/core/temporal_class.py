"""Subscribers with the same highest temporal layer share one numbering of a track.

A class number is the ingress number less the packets that the class dropped before it, so that numbers of a class have
no holes of its own making. Each subscriber's sequence number differs from it by a constant (`Route.sequence_base`).
Both directions are remembered for the history's span: a late packet is sent under the number reserved for it, and a
NACK's number leads back to the ingress packet.
"""

from collections import deque
from typing import NamedTuple

from hushroom_sfu.core.packet import MediaPacket
from hushroom_sfu.core.route import Route

__all__ = ["Placement", "TemporalClass"]

_RECENT_DROPPED_FRAMES = 64


class Placement(NamedTuple):
    """Where a packet stands in a class: its number there, and how many frames the class had dropped before it.

    `is_filler` marks a late packet of a frame whose other packets were dropped: the class gets padding in its place.
    """

    number: int
    dropped_frames: int
    is_filler: bool = False


class TemporalClass:
    """The shared numbering of all routes that take temporal layers up to `max_temporal_id`."""

    __slots__ = (
        "_dropped_packets",
        "_dropped_times",
        "_ingress",
        "_places",
        "_size",
        "dropped_frames",
        "max_temporal_id",
        "newest",
        "octets",
        "packets",
        "routes",
    )

    def __init__(self, max_temporal_id: int, size: int) -> None:
        self.max_temporal_id = max_temporal_id
        self.routes: list[Route] = []
        self.packets = 0
        self.octets = 0
        self.dropped_frames = 0
        self.newest = -1
        self._dropped_packets = 0
        self._dropped_times: deque[int] = deque(maxlen=_RECENT_DROPPED_FRAMES)  # a frame is known by its RTP time
        self._size = size
        self._places: list[tuple[int, Placement] | None] = [None] * size  # by ingress number
        self._ingress: list[tuple[int, int] | None] = [None] * size  # by class number

    @property
    def has_begun(self) -> bool:
        """Whether any number has its place already."""
        return self.newest >= 0

    def place(self, packet: MediaPacket) -> Placement | None:
        """Places the next packet in order; None when its temporal layer is above this class."""
        if packet.marks.temporal_id > self.max_temporal_id:
            self._drop(packet)
            return None
        return self.reserve(packet.number)

    def reserve(self, ingress: int) -> Placement:
        """Gives an ingress number its place, whether or not its packet ever comes."""
        self.newest = number = ingress - self._dropped_packets
        placement = Placement(number, self.dropped_frames)
        self._places[ingress % self._size] = (ingress, placement)
        self._ingress[number % self._size] = (number, ingress)
        return placement

    def skip(self, count: int) -> None:
        """Closes a hole of `count` numbers too wide to wait for: nobody will ever be asked for them."""
        self._dropped_packets += count

    def placed(self, ingress: int) -> Placement | None:
        """The place that this ingress number was given, None if it was dropped or is forgotten."""
        entry = self._places[ingress % self._size]
        return entry[1] if entry is not None and entry[0] == ingress else None

    def place_late(self, packet: MediaPacket) -> Placement | None:
        """The place kept for a packet that was missing. It goes out whatever its layer, unless its frame is torn."""
        placement = self.placed(packet.number)
        if (
            placement is None
            or packet.marks.temporal_id <= self.max_temporal_id
            or packet.timestamp not in self._dropped_times
        ):
            return placement
        filler = placement._replace(is_filler=True)
        self._places[packet.number % self._size] = (packet.number, filler)
        return filler

    def ingress_of(self, number: int) -> int | None:
        """The ingress number behind a class number, None when it is forgotten."""
        entry = self._ingress[number % self._size]
        return entry[1] if entry is not None and entry[0] == number else None

    def next_number(self, ingress: int) -> int:
        """The class number that ingress number would get if nothing more were dropped before it."""
        return ingress - self._dropped_packets

    def _drop(self, packet: MediaPacket) -> None:
        self._dropped_packets += 1
        if not self._dropped_times or self._dropped_times[-1] != packet.timestamp:
            self._dropped_times.append(packet.timestamp)
            if packet.marks.picture_id >= 0:
                self.dropped_frames += 1
