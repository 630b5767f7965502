"""The subscriber leg as a whole: packets find their slot, and reports about all slots go out once a second.

A pure state machine; the shell around it is `subscriber`. RTCP goes out in reduced size (RFC 5506).
"""

from dataclasses import dataclass
from typing import assert_never

from hushroom_client.media.frames import EncodedFrame
from hushroom_client.media.track_receiver import Feedback, FrameReady, ReceiverSpec, TrackAction, TrackReceiver
from hushroom_common.errors import WireError
from hushroom_common.rtcp import ReceiverReport, SenderReport, parse_compound
from hushroom_common.rtp import RtpPacket

__all__ = ["LegAction", "LegReceiver", "ReceivedFrame", "SendRtcp"]

_REPORT_INTERVAL_S = 1.0
_MOST_BLOCKS = 31


@dataclass(frozen=True, slots=True)
class ReceivedFrame:
    """A whole frame of the slot `mid`; see `FrameReady`."""

    mid: str
    frame: EncodedFrame
    captured_at: float | None
    arrived_at: float


@dataclass(frozen=True, slots=True)
class SendRtcp:
    """One RTCP datagram for the server."""

    data: bytes


LegAction = ReceivedFrame | SendRtcp


class LegReceiver:
    """Receives all slots of one transport. Call `poll` whenever `next_deadline()` has passed.

    Once a second a receiver report goes out, an empty one too: it tells the server that this end is there.
    """

    def __init__(self, *, local_ssrc: int, now: float) -> None:
        self._local_ssrc = local_ssrc
        self._receivers: dict[str, TrackReceiver] = {}
        self._by_ssrc: dict[int, TrackReceiver] = {}
        self._report_at = now
        self.packets_unroutable = 0
        self.packets_malformed = 0

    def configure(self, spec: ReceiverSpec) -> None:
        """A slot as negotiated; the same again changes nothing, another SSRC or codec starts its stream anew."""
        present = self._receivers.get(spec.mid)
        if present is not None:
            if present.spec == spec:
                return
            self._by_ssrc = {ssrc: receiver for ssrc, receiver in self._by_ssrc.items() if receiver is not present}
        receiver = TrackReceiver(spec, local_ssrc=self._local_ssrc)
        self._receivers[spec.mid] = receiver
        self._by_ssrc[spec.ssrc] = receiver
        if spec.rtx_ssrc is not None:
            self._by_ssrc[spec.rtx_ssrc] = receiver

    def receiver(self, mid: str) -> TrackReceiver | None:
        """The receiver of a slot."""
        return self._receivers.get(mid)

    def receive_rtp(self, data: bytes, now: float) -> list[LegAction]:
        """Take in one unprotected RTP packet, whatever it is."""
        try:
            packet = RtpPacket.parse(data)
        except WireError:
            self.packets_malformed += 1
            return []
        receiver = self._by_ssrc.get(packet.ssrc)
        if receiver is None:
            self.packets_unroutable += 1
            return []
        return self._named(receiver, receiver.receive(packet, now))

    def receive_rtcp(self, data: bytes, now: float) -> None:
        """Take in one unprotected RTCP datagram, whatever it is."""
        try:
            packets = parse_compound(data)
        except WireError:
            self.packets_malformed += 1
            return
        for packet in packets:
            if isinstance(packet, SenderReport):
                receiver = self._by_ssrc.get(packet.ssrc)
                if receiver is not None and receiver.spec.ssrc == packet.ssrc:
                    receiver.receive_report(packet, now)

    def poll(self, now: float) -> list[LegAction]:
        """What is due on all slots."""
        actions: list[LegAction] = []
        for receiver in self._receivers.values():
            deadline = receiver.next_deadline()
            if deadline is not None and deadline <= now:
                actions += self._named(receiver, receiver.poll(now))
        if now >= self._report_at:
            self._report_at = now + _REPORT_INTERVAL_S
            actions += self._reports(now)
        return actions

    def next_deadline(self) -> float:
        """When to call `poll` although nothing came."""
        deadlines = (receiver.next_deadline() for receiver in self._receivers.values())
        return min((self._report_at, *(deadline for deadline in deadlines if deadline is not None)))

    def _reports(self, now: float) -> list[LegAction]:
        """Receiver reports about all slots, each datagram with as many blocks as a packet can have."""
        reported = (receiver.report_block(now) for receiver in self._receivers.values())
        blocks = [block for block in reported if block is not None]
        return [
            SendRtcp(ReceiverReport(self._local_ssrc, tuple(blocks[at : at + _MOST_BLOCKS])).to_bytes())
            for at in range(0, max(1, len(blocks)), _MOST_BLOCKS)
        ]

    def _named(self, receiver: TrackReceiver, actions: list[TrackAction]) -> list[LegAction]:
        return [_named(receiver.spec.mid, action) for action in actions]


def _named(mid: str, action: TrackAction) -> LegAction:
    match action:
        case FrameReady(frame, captured_at, arrived_at):
            return ReceivedFrame(mid, frame, captured_at, arrived_at)
        case Feedback(packet):
            return SendRtcp(packet.to_bytes())
        case _:
            assert_never(action)
