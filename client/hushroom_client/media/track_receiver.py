"""One slot of the subscriber leg: packets of a stream and its retransmissions in, sealed frames and feedback out.

A pure state machine. It asks for what is missing (NACK), for keyframes (PLI) and says how it receives (RR).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from hushroom_client.media.depacketizer import DEPACKETIZERS, Fragment
from hushroom_client.media.frames import EncodedFrame
from hushroom_client.media.jitter_buffer import AssembledFrame, JitterBuffer, OrderedPacket
from hushroom_client.media.keyframe_requests import KeyframeRequests
from hushroom_client.media.repair_time import RepairTime
from hushroom_client.media.sender_clock import SenderClock
from hushroom_common.errors import WireError
from hushroom_common.ids import Codec, Kind
from hushroom_common.reception import Arrival, MissingPackets, ReceptionStatistics
from hushroom_common.rtcp import GenericNack, PictureLossIndication, ReportBlock, SenderReport
from hushroom_common.rtp import RtpPacket, unwrap_rtx
from hushroom_common.serial import SequenceUnwrapper, TimestampUnwrapper

__all__ = ["Feedback", "FrameReady", "ReceiverSpec", "TrackAction", "TrackReceiver"]

_HOLD_S = {Kind.VIDEO: 0.5, Kind.AUDIO: 0.15}
"""How long later frames wait for a missing packet."""
_CAPACITY = {Kind.VIDEO: 2048, Kind.AUDIO: 128}
_NACK_TRIES = 10
_MOST_NUMBERS = 256
"""In one NACK, which may take four bytes for each and has to fit into a datagram."""
_START_GRACE_S = 0.05
"""A stream whose first packet to arrive starts no keyframe was overtaken perhaps."""
_REMAP_GRACE_S = 0.2
"""The server asks for a keyframe itself when it re-maps a slot; so long we leave it to that."""


@dataclass(frozen=True, slots=True)
class ReceiverSpec:
    """What negotiation settled about one slot. `rtx` maps payload types of retransmissions to what they repeat."""

    mid: str
    kind: Kind
    codecs: Mapping[int, Codec]
    rtx: Mapping[int, int]
    ssrc: int
    rtx_ssrc: int | None
    may_nack: bool
    may_pli: bool


@dataclass(frozen=True, slots=True)
class FrameReady:
    """A whole frame, as sealed as it was sent. Every frame that it builds on was delivered before."""

    frame: EncodedFrame
    captured_at: float | None
    """As `FrameSink.push` takes it."""
    arrived_at: float
    """When its last packet came, in monotonic seconds."""


@dataclass(frozen=True, slots=True)
class Feedback:
    """An RTCP packet to send to the server."""

    packet: GenericNack | PictureLossIndication


TrackAction = FrameReady | Feedback


class TrackReceiver:
    """Receives one stream. Call `poll` when `next_deadline()` has passed; `now` is monotonic seconds."""

    def __init__(self, spec: ReceiverSpec, *, local_ssrc: int) -> None:
        self.spec = spec
        self._local_ssrc = local_ssrc
        is_video = spec.kind is Kind.VIDEO
        clock_rate = (Codec.VP8 if is_video else Codec.OPUS).clock_rate
        hold_s = _HOLD_S[spec.kind]
        self._buffer = JitterBuffer(hold_s=hold_s, capacity=_CAPACITY[spec.kind], needs_keyframes=is_video)
        self._missing = MissingPackets(max_age_s=hold_s, max_tries=_NACK_TRIES if spec.may_nack else 0)
        self._repair_time = RepairTime()
        self._requests = KeyframeRequests()
        self._statistics = ReceptionStatistics(clock_rate)
        self._sequence_numbers = SequenceUnwrapper()
        self._timestamps = TimestampUnwrapper()
        self._clock = SenderClock(clock_rate)
        self._unplaced_report: SenderReport | None = None
        self.frames_delivered = 0
        self.packets_repaired = 0
        self.packets_unreadable = 0
        self.keyframes_requested = 0

    @property
    def losses(self) -> int:
        """How often delivery was broken by packets that never came."""
        return self._buffer.losses

    @property
    def awaits_keyframe(self) -> bool:
        """Whether every frame but a keyframe would be dropped now."""
        return self._buffer.awaits_keyframe

    def receive(self, packet: RtpPacket, now: float) -> list[TrackAction]:
        """Take in one packet of the stream or of its retransmissions."""
        is_repair = packet.ssrc != self.spec.ssrc
        if is_repair:
            original = self._unwrap(packet)
            if original is None:
                return []
            packet = original
        index = self._sequence_numbers.unwrap(packet.sequence_number)
        arrival = self._missing.receive(index, now)
        if arrival is Arrival.STRAY:
            return []
        if arrival is Arrival.LATE:
            self._repair_time.arrived(index, now, was_sent_again=is_repair)
            self.packets_repaired += 1
        if arrival in (Arrival.NEW, Arrival.LATE) and not is_repair:
            self._statistics.receive(packet.sequence_number, packet.timestamp, now)
        # The buffer itself knows duplicates and what comes too late, and takes what overtook the very first packet.
        timestamp = self._timestamps.unwrap(packet.timestamp)
        self._buffer.insert(OrderedPacket(index, timestamp, now, self._fragment(packet)))
        if self._unplaced_report is not None:
            self.receive_report(self._unplaced_report, now)
        return self.poll(now)

    def receive_report(self, report: SenderReport, now: float) -> None:
        """Take in a sender report about the stream."""
        self._statistics.sender_report_received(report.ntp_time, now)
        near = self._timestamps.highest
        self._unplaced_report = report if near is None else None
        if near is not None:
            self._clock.report(report.ntp_time, report.rtp_time, near=near)

    def poll(self, now: float) -> list[TrackAction]:
        """What is due: frames whose wait is over, and feedback."""
        actions: list[TrackAction] = [self._ready(frame) for frame in self._buffer.take(now)]
        deadline = self._missing.next_deadline()
        if deadline is not None and deadline <= now:
            actions += self._nack(now)
        actions += self._pli(now)
        return actions

    def next_deadline(self) -> float | None:
        """When to call `poll` although nothing came; None if only a packet can change anything."""
        deadlines = (self._buffer.next_deadline(), self._missing.next_deadline(), self._requests.next_deadline())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def request_keyframe(self, now: float) -> None:
        """What was delivered is of no use to a decoder: deliver nothing more before a keyframe, and ask for one."""
        self._buffer.await_keyframe()
        if self._buffer.awaits_keyframe and not self._buffer.holds_keyframe_start:
            self._requests.want(now)

    def reset(self, now: float, *, carries_media: bool = True) -> None:
        """The slot carries another publication from now on (or none): SSRC and numbers go on, content starts anew."""
        self._buffer.clear()
        self._clock.forget()
        self._unplaced_report = None
        self._requests.satisfy()
        if carries_media and self._buffer.awaits_keyframe:
            self._requests.want(now, grace_s=_REMAP_GRACE_S)

    def captured_at(self, timestamp: int) -> float | None:
        """The moment of an extended RTP timestamp on its sender's clock, in seconds; None before his first report."""
        return self._clock.captured_at(timestamp)

    def report_block(self, now: float) -> ReportBlock | None:
        """What to report about the stream; None before its first packet."""
        if not self._statistics.packets_received:
            return None
        return self._statistics.report_block(self.spec.ssrc, now)

    # --- packets ------------------------------------------------------------------------------------------------

    def _unwrap(self, packet: RtpPacket) -> RtpPacket | None:
        payload_type = self.spec.rtx.get(packet.payload_type)
        if payload_type is None or not packet.payload_size:  # the latter are probes for bandwidth
            return None
        try:
            return RtpPacket.parse(unwrap_rtx(packet, payload_type=payload_type, ssrc=self.spec.ssrc))
        except WireError:
            self.packets_unreadable += 1
            return None

    def _fragment(self, packet: RtpPacket) -> Fragment | None:
        if not packet.payload_size:
            return None
        codec = self.spec.codecs.get(packet.payload_type)
        depacketize = DEPACKETIZERS.get(codec) if codec is not None else None
        try:
            if depacketize is not None:
                return depacketize(packet.payload, packet.marker)
        except WireError:
            pass
        self.packets_unreadable += 1
        return None

    def _ready(self, assembled: AssembledFrame) -> FrameReady:
        start = assembled.start
        timestamp = assembled.packets[0].timestamp
        self.frames_delivered += 1
        return FrameReady(
            EncodedFrame(start.codec, assembled.data, timestamp, start.is_keyframe),
            self._clock.captured_at(timestamp),
            max(packet.arrived_at for packet in assembled.packets),
        )

    # --- feedback -----------------------------------------------------------------------------------------------

    def _nack(self, now: float) -> list[TrackAction]:
        due = self._missing.due(now, self._repair_time.estimate_s)
        self._repair_time.given_up(due.given_up)
        if not due.nack or not self.spec.may_nack:
            return []
        self._repair_time.asked(due.nack, now)
        lost = tuple(index & 0xFFFF for index in due.nack)
        return [
            Feedback(GenericNack(self._local_ssrc, self.spec.ssrc, lost[at : at + _MOST_NUMBERS]))
            for at in range(0, len(lost), _MOST_NUMBERS)
        ]

    def _pli(self, now: float) -> list[TrackAction]:
        if not self._buffer.awaits_keyframe or self._buffer.holds_keyframe_start:
            self._requests.satisfy()
        elif self._sequence_numbers.highest is not None:
            self._requests.want(now, grace_s=0.0 if self.frames_delivered else _START_GRACE_S)
        if not self._requests.take_due(now) or not self.spec.may_pli:
            return []
        self.keyframes_requested += 1
        return [Feedback(PictureLossIndication(self._local_ssrc, self.spec.ssrc))]
