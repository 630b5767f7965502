"""One stint of a track in a slot: what went out under which number, found again exactly or not at all.

Fillers are for good: under a number that was filled nothing else is ever sent, and a repeat is the same filler.
"""

from hushroom_common.ids import LegId
from hushroom_common.serial import seq_distance
from hushroom_sfu.core.actions import Action, Transmit
from hushroom_sfu.core.history import History
from hushroom_sfu.core.packet import Filler, MediaPacket
from hushroom_sfu.core.route import Route, rewritten
from hushroom_sfu.core.temporal_class import TemporalClass

__all__ = ["Stint"]


class Stint:
    """A route with the class that numbers it and the history that it was fed from, while it lasts and after."""

    __slots__ = (
        "_class_octets",
        "_class_packets",
        "_end",
        "_filled",
        "_history",
        "ended_at",
        "numbering",
        "route",
        "rtx_payload_type",
    )

    def __init__(self, route: Route, numbering: TemporalClass, history: History, rtx_payload_type: int | None) -> None:
        self.route = route
        self.numbering = numbering
        self.rtx_payload_type = rtx_payload_type
        self._history = history
        self.ended_at: float | None = None
        self._end: int | None = None
        self._filled: dict[int, int] = {}
        self._class_packets = numbering.packets
        self._class_octets = numbering.octets
        numbering.routes.append(route)

    def end(self, ingress: int, timestamp: int, leg: LegId, now: float) -> list[Action]:
        """Ends the stint before an ingress number. What is still missing is filled, with the ingress RTP time given."""
        self.ended_at = now
        self.numbering.routes.remove(self.route)
        self._end = self.numbering.next_number(ingress)
        actions: list[Action] = []
        for number in range(ingress - self._history.size, ingress):
            placement = self.numbering.placed(number)
            if placement is None or not self._covers(placement.number) or self._history.get(number) is not None:
                continue
            self._filled[placement.number] = timestamp
            actions.append(Transmit(leg, rewritten(self.route, placement.number, 0, Filler(number, timestamp))))
        return actions

    @property
    def newest_sequence_number(self) -> int:
        """The highest number that went out, or is kept for a packet that is missing."""
        newest = self.numbering.newest if self._end is None else self._end - 1
        return (newest - self.route.sequence_base) & 0xFFFF

    @property
    def next_sequence_number(self) -> int:
        """The number that goes on where this stint ended."""
        return (self.newest_sequence_number + 1) & 0xFFFF

    def sent(self) -> tuple[int, int]:
        """Packets and payload octets so far, without repeats and fillers."""
        return self.numbering.packets - self._class_packets, self.numbering.octets - self._class_octets

    def number_of(self, sequence_number: int) -> int | None:
        """The class number that went out under a sequence number, None if none did."""
        newest = self.numbering.newest if self._end is None else self._end - 1
        number = newest + seq_distance(sequence_number, (newest - self.route.sequence_base) & 0xFFFF)
        return number if number <= newest and self._covers(number) else None

    def repeat(self, number: int) -> bytes | None:
        """The packet that went out under a class number, identical to the last bit; None when it is forgotten."""
        ingress = self.numbering.ingress_of(number)
        placement = None if ingress is None else self.numbering.placed(ingress)
        if ingress is None or placement is None:
            return None
        packet: MediaPacket | None
        if number in self._filled:
            packet = Filler(ingress, self._filled[number])
        else:
            packet = self._history.get(ingress)
            if packet is not None and placement.is_filler:
                packet = Filler(ingress, packet.timestamp)
        return None if packet is None else rewritten(self.route, number, placement.dropped_frames, packet)

    def _covers(self, number: int) -> bool:
        return self.route.first_number <= number and (self._end is None or number < self._end)
