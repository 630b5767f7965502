"""A server that tampers: whole sealed frames pass through an attack on their way out, and are packed anew.

It can do what a real one can: everything but open frames. The packets that it makes are valid RTP under valid SRTP.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from hushroom_common.codecs import vp8
from hushroom_common.ids import LegId
from hushroom_common.rtp import RtpPacket, build_rtp
from hushroom_sfu.config import Config
from hushroom_sfu.plane.fan_out import PythonFanOut, SendRtp
from hushroom_sfu.plane.media_plane import MediaPlane
from hushroom_sfu.server import Server

__all__ = ["Attack", "AttackingServer", "SlotFrame", "TamperingFanOut", "honest"]

_OPUS_PAYLOAD_TYPE = 111
_PIECE = 1100


@dataclass(frozen=True, slots=True)
class SlotFrame:
    """A sealed frame on its way to a subscriber. `number` counts the frames of its slot from 0."""

    leg: LegId
    ssrc: int
    payload_type: int
    number: int
    timestamp: int
    sealed: bytes

    @property
    def is_video(self) -> bool:
        """Whether it is a picture."""
        return self.payload_type != _OPUS_PAYLOAD_TYPE

    def altered(self, sealed: bytes) -> "SlotFrame":
        """Other bytes in the same place."""
        return replace(self, sealed=sealed)


Attack = Callable[[SlotFrame], list[SlotFrame]]
"""What is sent in a frame's place, in order."""


def honest(frame: SlotFrame) -> list[SlotFrame]:
    """No attack: the control."""
    return [frame]


class TamperingFanOut(PythonFanOut):
    """A fan-out engine that may do with frames what it likes. Set `attack` at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.attack: Attack = honest
        self._slots: dict[tuple[LegId, int], _Slot] = {}

    def add_leg(self, leg: LegId, send_rtp: SendRtp) -> None:
        """Packets for this leg go through the attack."""
        super().add_leg(leg, partial(self._take, leg, send_rtp))

    def transmit(self, leg: LegId, packet: bytes) -> None:
        """Repeats nothing: numbers are ours from here on, and loopback loses nothing."""

    def _take(self, leg: LegId, send_rtp: SendRtp, data: bytes) -> None:
        packet = RtpPacket.parse(data)
        if not packet.payload_size:
            return
        slot = self._slots.setdefault((leg, packet.ssrc), _Slot(send_rtp, packet))
        sealed = slot.collect(packet)
        if sealed is not None:
            frame = SlotFrame(leg, packet.ssrc, packet.payload_type, slot.frames, packet.timestamp, sealed)
            slot.frames += 1
            for sent in self.attack(frame):
                self._slots[sent.leg, sent.ssrc].send(sent)


class _Slot:
    """One outgoing stream: pieces in, whole frames out, and frames packed with numbers of its own."""

    def __init__(self, send_rtp: SendRtp, first: RtpPacket) -> None:
        self.frames = 0
        self._send_rtp = send_rtp
        self._next_number = first.sequence_number
        self._timestamp = (first.timestamp - 1) & 0xFFFF_FFFF
        self._pieces: list[bytes] = []

    def collect(self, packet: RtpPacket) -> bytes | None:
        """The whole frame that this packet ends, if it does."""
        if packet.payload_type == _OPUS_PAYLOAD_TYPE:
            return packet.payload
        descriptor = vp8.read_descriptor(packet.payload)
        if descriptor.starts_partition:
            self._pieces.clear()
        self._pieces.append(packet.payload[descriptor.size :])
        return b"".join(self._pieces) if packet.marker else None

    def send(self, frame: SlotFrame) -> None:
        """Packs a frame and sends it after the last one, at a later time than that."""
        is_later = (frame.timestamp - self._timestamp) & 0xFFFF_FFFF < 1 << 31 and frame.timestamp != self._timestamp
        self._timestamp = frame.timestamp if is_later else (self._timestamp + 1) & 0xFFFF_FFFF
        size = _PIECE if frame.is_video else max(1, len(frame.sealed))
        starts = range(0, max(1, len(frame.sealed)), size)
        for start in starts:
            descriptor = (b"\x10" if start == 0 else b"\x00") if frame.is_video else b""
            packet = build_rtp(
                payload_type=frame.payload_type,
                marker=frame.is_video and start == starts[-1],
                sequence_number=self._next_number,
                timestamp=self._timestamp,
                ssrc=frame.ssrc,
                payload=descriptor + frame.sealed[start : start + size],
            )
            self._next_number = (self._next_number + 1) & 0xFFFF
            self._send_rtp(packet)


class AttackingServer(Server):
    """The real server with another fan-out engine."""

    def __init__(self, config: Config, engine: PythonFanOut) -> None:
        super().__init__(config)
        self._attacking_engine = engine

    def _open_plane(self) -> MediaPlane:
        return MediaPlane(self.config.media_host, self.config.udp_port, engine=self._attacking_engine)
