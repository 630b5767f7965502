"""A subscriber's slot: one outgoing SSRC whose numbers never jump, whatever track or layer fills it."""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import NewType

from hushroom_common.codecs.marks import Marks
from hushroom_common.ids import LegId
from hushroom_common.rtcp import SenderReport, ntp_from_unix
from hushroom_common.rtp import RtpPacket, wrap_rtx
from hushroom_common.serial import seq_distance
from hushroom_sfu.core.actions import Action, Transmit
from hushroom_sfu.core.packet import MediaPacket
from hushroom_sfu.core.route import Route
from hushroom_sfu.core.specs import DownTrackSpec, NegotiatedCodec
from hushroom_sfu.core.stint import Stint
from hushroom_sfu.core.temporal_class import TemporalClass
from hushroom_sfu.core.token_bucket import TokenBucket
from hushroom_sfu.core.up_track import UpTrack, UpTrackId

__all__ = ["ALL_TEMPORAL_LAYERS", "DownTrack", "DownTrackId"]

DownTrackId = NewType("DownTrackId", int)

ALL_TEMPORAL_LAYERS = 7

_STINTS_KEPT = 4
_STINTS_KEPT_S = 2.0
"""An ended stint holds on to the history that fed it; nobody asks for packets so old any more."""

_SRTP_WINDOW = 1024
"""Farther behind its newest packet libsrtp protects nothing; half a cycle behind it would take it for one to come."""

_RETRANSMISSIONS_AT_ONCE = 512
_RETRANSMISSIONS_PER_S = 512


class DownTrack:
    """One slot of one subscriber. Its SSRC, sequence numbers and RTP times go on over every change of track."""

    def __init__(
        self,
        track_id: DownTrackId,
        leg: LegId,
        spec: DownTrackSpec,
        *,
        entropy: Callable[[int], bytes],
        drops: Counter[str],
        now: float,
    ) -> None:
        self.id = track_id
        self.leg = leg
        self.spec = spec
        self.up_track: UpTrack | None = None
        self.fraction_lost = 0.0
        self.owes_report = False
        self._codec: NegotiatedCodec | None = None
        self._max_temporal_id = ALL_TEMPORAL_LAYERS
        self._stint: Stint | None = None
        self._stints: deque[Stint] = deque(maxlen=_STINTS_KEPT)
        self._drops = drops
        self._budget = TokenBucket(_RETRANSMISSIONS_AT_ONCE, _RETRANSMISSIONS_PER_S, now)
        # RFC 3711 §3.3.1: receivers guess the roll-over counter as 0, so the first number stays below 2^15.
        self._next_sequence_number = int.from_bytes(entropy(2)) & 0x7FFF
        self._next_rtx_number = int.from_bytes(entropy(2)) & 0x7FFF
        self._last_carried: tuple[UpTrackId, int] | None = None
        self._last_timestamp: int | None = None
        self._last_timestamp_at = now
        self._last_picture_id = -1
        self._last_tl0picidx = -1
        self._packets_before = 0
        self._octets_before = 0

    # --- which track fills the slot ---------------------------------------------------------------------------

    def assign(self, up_track: UpTrack, max_temporal_id: int, now: float) -> list[Action]:
        """Frees the slot, waits for the track's next keyframe, then carries it. Raises ValueError if it never can."""
        codec = next((codec for codec in self.spec.codecs if codec.codec is up_track.codec), None)
        if codec is None:
            raise ValueError(f"slot {self.spec.mid} has no payload type for {up_track.codec}")
        actions = self.release(now)
        self.up_track = up_track
        self._codec = codec
        self._max_temporal_id = max_temporal_id
        self._wait(up_track)
        return actions

    def release(self, now: float) -> list[Action]:
        """Frees the slot; what it carried ends without a BYE."""
        up_track = self.up_track
        if up_track is None:
            return []
        for pending in (up_track.waiting, up_track.switching):
            if self in pending:
                pending.remove(self)
        actions = self._end_stint(now)
        up_track.forget_empty_classes()
        self.up_track = None
        return actions

    def limit(self, max_temporal_id: int) -> None:
        """Asks for temporal layers up to that one; the switch happens where the stream allows it."""
        up_track = self.up_track
        self._max_temporal_id = max_temporal_id
        if up_track is None or self._stint is None:
            return
        if self in up_track.switching:
            up_track.switching.remove(self)
        if self._stint.numbering.max_temporal_id != max_temporal_id:
            up_track.switching.append(self)

    # --- moments of change, called by the UpTrack ---------------------------------------------------------------

    def start(self, packet: MediaPacket, now: float) -> list[Action]:
        """Begins with this packet, the next in order."""
        up_track = self._carried()
        if packet.marks.temporal_id > self._max_temporal_id:  # no stream has such keyframes, but a hostile one
            self._wait(up_track)
            return []
        temporal_class = up_track.class_of(self._max_temporal_id)
        self._begin_stint(
            temporal_class, temporal_class.next_number(packet.number), packet, temporal_class.dropped_frames, now
        )
        return []

    def start_from_history(self, packet: MediaPacket, now: float) -> list[Action]:
        """Begins with a keyframe whose first packet came late: what already passed of it follows from the history."""
        up_track = self._carried()
        if self._carried_past(up_track, packet.number):
            self._wait(up_track)  # the slot carried later packets of this very track: it would get them twice
            return []
        temporal_class = up_track.class_of(self._max_temporal_id)
        last = up_track.last
        end = last.number + 1 if last is not None else packet.number + 1
        if not temporal_class.has_begun:  # one that has keeps its numbers: others know its packets by them
            for number in range(packet.number, end):
                kept = up_track.history.get(number)
                if kept is None:
                    temporal_class.reserve(number)
                else:
                    temporal_class.place(kept)
        placement = temporal_class.placed(packet.number)
        if placement is None:
            up_track.forget_empty_classes()
            self._wait(up_track)
            return []
        stint = self._begin_stint(temporal_class, placement.number, packet, placement.dropped_frames, now)
        repeats = (stint.repeat(number) for number in range(placement.number, temporal_class.newest + 1))
        return [Transmit(self.leg, packet) for packet in repeats if packet is not None]

    def may_switch(self, marks: Marks) -> bool:
        """Whether a wished layer change may happen before a frame with these marks, the first of its frame."""
        if self._stint is None:
            return False
        highest = self._stint.numbering.max_temporal_id
        if self._max_temporal_id < highest or marks.starts_keyframe:
            return True
        return marks.is_switch_point and marks.temporal_id > highest

    def switch(self, packet: MediaPacket, now: float) -> list[Action]:
        """Moves towards the wished class before this packet; sequence numbers and PictureIDs go on without a step."""
        up_track, old, marks = self._carried(), self._stint, packet.marks
        if old is None:
            return []
        highest = self._max_temporal_id
        if highest > old.numbering.max_temporal_id and not marks.starts_keyframe:
            highest = min(highest, marks.temporal_id)  # layers above this frame's may build on what was skipped
            if highest < self._max_temporal_id:
                up_track.switching.append(self)
        actions = self._end_stint(now, at=packet.number)
        temporal_class = up_track.class_of(highest)
        self._add_stint(
            temporal_class,
            temporal_class.next_number(packet.number),
            timestamp_base=old.route.timestamp_base,
            picture_id_base=old.route.picture_id_base + old.numbering.dropped_frames - temporal_class.dropped_frames,
            tl0picidx_base=old.route.tl0picidx_base,
        )
        up_track.forget_empty_classes()
        if actions:
            up_track.want_keyframe()  # filled numbers hide a loss from who receives them
        return actions

    # --- feedback ----------------------------------------------------------------------------------------------

    def retransmit(self, lost: Sequence[int], now: float) -> list[Action]:
        """Answers a NACK: by RTX where negotiated, else with packets identical to those that were lost."""
        actions: list[Action] = []
        for index, sequence_number in enumerate(lost):
            if not self._budget.take(now):
                self._drops["nack_over_budget"] += len(lost) - index
                break
            actions += self._repeat(sequence_number)
        return actions

    def forget(self, now: float) -> None:
        """Lets go of what ended long ago."""
        stints = self._stints
        while stints and stints[0].ended_at is not None and stints[0].ended_at < now - _STINTS_KEPT_S:
            stints.popleft()

    def sender_report(self, unix_s: float) -> SenderReport | None:
        """This slot's report on the server's clock; None before the publisher's first one or the first packet."""
        up_track, stint = self.up_track, self._stint
        if up_track is None or stint is None or up_track.anchor is None:
            return None
        rtp_time = up_track.anchor.rtp_time_at(unix_s, up_track.clock_rate) - stint.route.timestamp_base
        packets, octets = stint.sent()
        return SenderReport(
            ssrc=self.spec.ssrc,
            ntp_time=ntp_from_unix(unix_s),
            rtp_time=rtp_time & 0xFFFFFFFF,
            packet_count=(self._packets_before + packets) & 0xFFFFFFFF,
            octet_count=(self._octets_before + octets) & 0xFFFFFFFF,
        )

    # --- inside ------------------------------------------------------------------------------------------------

    def _wait(self, up_track: UpTrack) -> None:
        up_track.waiting.append(self)
        up_track.want_keyframe()

    def _carried_past(self, up_track: UpTrack, number: int) -> bool:
        """Whether the slot ended a stint of this very track behind that number."""
        if self._last_carried is None:
            return False
        track_id, last = self._last_carried
        return track_id == up_track.id and number <= last

    def _repeat(self, sequence_number: int) -> list[Action]:
        if not self._stints:
            return self._refused("nack_unknown")
        if not 0 <= seq_distance(self._stints[-1].newest_sequence_number, sequence_number) < _SRTP_WINDOW:
            return self._refused("nack_not_in_history")
        for stint in reversed(self._stints):
            number = stint.number_of(sequence_number)
            if number is None:
                continue
            repeat = stint.repeat(number)
            if repeat is None:
                break
            return [Transmit(self.leg, self._as_rtx(stint, repeat))]
        return self._refused("nack_not_in_history")

    def _carried(self) -> UpTrack:
        if self.up_track is None:
            raise RuntimeError("this slot carries no track")
        return self.up_track

    def _begin_stint(
        self, temporal_class: TemporalClass, first: int, packet: MediaPacket, dropped_frames: int, now: float
    ) -> Stint:
        marks, up_track = packet.marks, self._carried()
        timestamp_base = 0
        if self._last_timestamp is not None:
            elapsed = max(1, round((now - self._last_timestamp_at) * up_track.clock_rate))
            timestamp_base = (packet.timestamp - self._last_timestamp - elapsed) & 0xFFFFFFFF
        picture_id_base = tl0picidx_base = 0
        if self._last_picture_id >= 0 and marks.picture_id >= 0:
            picture_id_base = marks.picture_id - dropped_frames - self._last_picture_id - 1
        if self._last_tl0picidx >= 0 and marks.tl0picidx >= 0:
            tl0picidx_base = marks.tl0picidx - self._last_tl0picidx - 1
        self.owes_report = up_track.has_started_slots = True
        return self._add_stint(
            temporal_class,
            first,
            timestamp_base=timestamp_base,
            picture_id_base=picture_id_base,
            tl0picidx_base=tl0picidx_base,
        )

    def _add_stint(
        self,
        temporal_class: TemporalClass,
        first: int,
        *,
        timestamp_base: int,
        picture_id_base: int,
        tl0picidx_base: int,
    ) -> Stint:
        codec, up_track = self._codec, self._carried()
        if codec is None:
            raise RuntimeError("this slot carries no codec")
        route = Route(
            leg=self.leg,
            ssrc=self.spec.ssrc,
            payload_type=codec.payload_type,
            extension_map=up_track.extension_map(self.spec.extensions),
            first_number=first,
            sequence_base=first - self._next_sequence_number,
            timestamp_base=timestamp_base,
            picture_id_base=picture_id_base,
            tl0picidx_base=tl0picidx_base,
        )
        rtx_payload_type = codec.rtx_payload_type if self.spec.rtx_ssrc is not None else None
        self._stint = stint = Stint(route, temporal_class, up_track.history, rtx_payload_type)
        self._stints.append(stint)
        return stint

    def _end_stint(self, now: float, at: int | None = None) -> list[Action]:
        """Ends the stint before ingress number `at` (default: after the last one)."""
        stint, up_track = self._stint, self._carried()
        if stint is None or up_track.last is None:
            return []
        route, last = stint.route, up_track.last
        actions = stint.end(last.number + 1 if at is None else at, last.timestamp, self.leg, now)
        self._next_sequence_number = stint.next_sequence_number
        packets, octets = stint.sent()
        self._packets_before += packets
        self._octets_before += octets
        self._last_carried = (up_track.id, last.number)
        self._last_timestamp = (last.timestamp - route.timestamp_base) & 0xFFFFFFFF
        self._last_timestamp_at = up_track.last_at
        marks = up_track.last_marks()
        if marks.picture_id >= 0:
            last_picture_id = marks.picture_id - stint.numbering.dropped_frames - route.picture_id_base
            self._last_picture_id = last_picture_id & 0x7FFF
        if marks.tl0picidx >= 0:
            self._last_tl0picidx = (marks.tl0picidx - route.tl0picidx_base) & 0xFF
        self._stint = None
        return actions

    def _refused(self, reason: str) -> list[Action]:
        self._drops[reason] += 1
        return []

    def _as_rtx(self, stint: Stint, plain: bytes) -> bytes:
        if stint.rtx_payload_type is None or self.spec.rtx_ssrc is None:
            return plain
        number = self._next_rtx_number
        self._next_rtx_number = (number + 1) & 0xFFFF
        return wrap_rtx(
            RtpPacket.parse(plain), payload_type=stint.rtx_payload_type, ssrc=self.spec.rtx_ssrc, sequence_number=number
        )
