"""A subscriber's slot: one outgoing SSRC whose numbers never jump, whatever track or layer fills it."""

from collections import Counter, deque
from collections.abc import Callable
from typing import NewType

from hushroom_common.codecs.marks import Marks
from hushroom_common.ids import LegId
from hushroom_common.rtcp import SenderReport, ntp_from_unix
from hushroom_common.rtp import RtpPacket, wrap_rtx
from hushroom_common.serial import seq_distance
from hushroom_sfu.core.actions import Action, Transmit
from hushroom_sfu.core.packet import Filler, MediaPacket
from hushroom_sfu.core.route import Route, rewritten
from hushroom_sfu.core.specs import DownTrackSpec, NegotiatedCodec
from hushroom_sfu.core.temporal_class import Placement, TemporalClass
from hushroom_sfu.core.token_bucket import TokenBucket
from hushroom_sfu.core.up_track import UpTrack

__all__ = ["ALL_TEMPORAL_LAYERS", "DownTrack", "DownTrackId"]

DownTrackId = NewType("DownTrackId", int)

ALL_TEMPORAL_LAYERS = 7

_ROUTES_KEPT = 4
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
        self.route: Route | None = None
        self.fraction_lost = 0.0
        self._codec: NegotiatedCodec | None = None
        self._max_temporal_id = ALL_TEMPORAL_LAYERS
        self._routes: deque[Route] = deque(maxlen=_ROUTES_KEPT)
        self._drops = drops
        self._budget = TokenBucket(_RETRANSMISSIONS_AT_ONCE, _RETRANSMISSIONS_PER_S, now)
        # RFC 3711 §3.3.1: receivers guess the roll-over counter as 0, so the first number stays below 2^15.
        self._next_sequence_number = int.from_bytes(entropy(2)) & 0x7FFF
        self._next_rtx_number = int.from_bytes(entropy(2)) & 0x7FFF
        self._last_timestamp: int | None = None
        self._last_timestamp_at = now
        self._last_picture_id = -1
        self._last_tl0picidx = -1
        self._packets_before = 0
        self._octets_before = 0
        self._class_start = (0, 0)

    # --- which track fills the slot ---------------------------------------------------------------------------

    def assign(self, up_track: UpTrack, max_temporal_id: int) -> bool:
        """Waits for the track's next keyframe, then carries it. False when the slot cannot carry its codec."""
        codec = next((codec for codec in self.spec.codecs if codec.codec is up_track.codec), None)
        if codec is None:
            return False
        self.up_track = up_track
        self._codec = codec
        self._max_temporal_id = max_temporal_id
        up_track.waiting.append(self)
        up_track.want_keyframe()
        return True

    def release(self, now: float) -> list[Action]:
        """Frees the slot; what it carried ends without a BYE."""
        up_track = self.up_track
        if up_track is None:
            return []
        for pending in (up_track.waiting, up_track.switching):
            if self in pending:
                pending.remove(self)
        actions = self._end_route(now)
        up_track.forget_empty_classes()
        self.up_track = None
        return actions

    def limit(self, max_temporal_id: int) -> None:
        """Asks for temporal layers up to that one; the switch happens where the stream allows it."""
        up_track = self.up_track
        self._max_temporal_id = max_temporal_id
        if up_track is None or self.route is None:
            return
        if self in up_track.switching:
            up_track.switching.remove(self)
        if self.route.numbering.max_temporal_id != max_temporal_id:
            up_track.switching.append(self)

    # --- moments of change, called by the UpTrack ---------------------------------------------------------------

    def start(self, packet: MediaPacket, now: float) -> list[Action]:
        """Begins with this packet, the next in order."""
        up_track = self._carried()
        temporal_class = up_track.class_of(self._max_temporal_id)
        self._begin_route(
            temporal_class, temporal_class.next_number(packet.number), packet, temporal_class.dropped_frames, now
        )
        return []

    def start_from_history(self, packet: MediaPacket, now: float) -> list[Action]:
        """Begins with a keyframe whose first packet came late: what already passed of it follows from the history."""
        up_track = self._carried()
        temporal_class = up_track.class_of(self._max_temporal_id)
        last = up_track.last
        end = last.number + 1 if last is not None else packet.number + 1
        if temporal_class.placed(packet.number) is None:
            for number in range(packet.number, end):
                kept = up_track.history.get(number)
                if kept is None:
                    temporal_class.reserve(number)
                else:
                    temporal_class.place(number, kept.marks)
        placement = temporal_class.placed(packet.number)
        if placement is None:
            up_track.waiting.append(self)
            up_track.want_keyframe()
            return []
        route = self._begin_route(temporal_class, placement.number, packet, placement.dropped_frames, now)
        actions: list[Action] = []
        for number in range(packet.number, end):
            kept, place = up_track.history.get(number), temporal_class.placed(number)
            if kept is not None and place is not None:
                actions.append(Transmit(self.leg, rewritten(route, place.number, place.dropped_frames, kept)))
        return actions

    def may_switch(self, marks: Marks) -> bool:
        """Whether a wished layer change may happen before a frame with these marks, the first of its frame."""
        route = self.route
        if route is None:
            return False
        if self._max_temporal_id < route.numbering.max_temporal_id or marks.starts_keyframe:
            return True
        return marks.is_switch_point and marks.temporal_id > route.numbering.max_temporal_id

    def switch(self, packet: MediaPacket, now: float) -> list[Action]:
        """Moves to the wished class before this packet; sequence numbers and PictureIDs go on without a step."""
        up_track, old = self._carried(), self.route
        if old is None:
            return []
        dropped_before = old.numbering.dropped_frames
        picture_id_base, tl0picidx_base, timestamp_base = old.picture_id_base, old.tl0picidx_base, old.timestamp_base
        actions = self._end_route(now, at=packet.number)
        temporal_class = up_track.class_of(self._max_temporal_id)
        first = temporal_class.next_number(packet.number)
        self._add_route(
            temporal_class,
            first,
            timestamp_base=timestamp_base,
            picture_id_base=picture_id_base + dropped_before - temporal_class.dropped_frames,
            tl0picidx_base=tl0picidx_base,
        )
        up_track.forget_empty_classes()
        return actions

    # --- feedback ----------------------------------------------------------------------------------------------

    def retransmit(self, sequence_number: int, now: float) -> list[Action]:
        """Answers a NACK: by RTX where negotiated, else with a packet identical to the one that was lost."""
        for route in reversed(self._routes):
            number = self._number_of(route, sequence_number)
            if number is None:
                continue
            found = self._sent_under(route, number)
            if found is None:
                self._drops["nack_not_in_history"] += 1
                return []
            if not self._budget.take(now):
                self._drops["nack_over_budget"] += 1
                return []
            placement, packet = found
            plain = rewritten(route, number, placement.dropped_frames, packet)
            return [Transmit(self.leg, self._as_rtx(route, plain))]
        self._drops["nack_unknown"] += 1
        return []

    def sender_report(self, unix_s: float) -> SenderReport | None:
        """This slot's report on the server's clock; None before the publisher's first one or the first packet."""
        up_track, route = self.up_track, self.route
        if up_track is None or route is None or up_track.anchor is None:
            return None
        rtp_time = up_track.anchor.rtp_time_at(unix_s, up_track.clock_rate) - route.timestamp_base
        packets, octets = self._sent_by(route)
        return SenderReport(
            ssrc=self.spec.ssrc,
            ntp_time=ntp_from_unix(unix_s),
            rtp_time=rtp_time & 0xFFFFFFFF,
            packet_count=(self._packets_before + packets) & 0xFFFFFFFF,
            octet_count=(self._octets_before + octets) & 0xFFFFFFFF,
        )

    # --- inside ------------------------------------------------------------------------------------------------

    def _carried(self) -> UpTrack:
        if self.up_track is None:
            raise RuntimeError("this slot carries no track")
        return self.up_track

    def _begin_route(
        self, temporal_class: TemporalClass, first: int, packet: MediaPacket, dropped_frames: int, now: float
    ) -> Route:
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
        up_track.started_slots.append(self)
        return self._add_route(
            temporal_class,
            first,
            timestamp_base=timestamp_base,
            picture_id_base=picture_id_base,
            tl0picidx_base=tl0picidx_base,
        )

    def _add_route(
        self,
        temporal_class: TemporalClass,
        first: int,
        *,
        timestamp_base: int,
        picture_id_base: int,
        tl0picidx_base: int,
    ) -> Route:
        codec, up_track = self._codec, self._carried()
        if codec is None:
            raise RuntimeError("this slot carries no codec")
        route = Route(
            leg=self.leg,
            numbering=temporal_class,
            history=up_track.history,
            ssrc=self.spec.ssrc,
            payload_type=codec.payload_type,
            rtx_payload_type=codec.rtx_payload_type if self.spec.rtx_ssrc is not None else None,
            extension_map=up_track.extension_map(self.spec.extensions),
            first_number=first,
            sequence_base=first - self._next_sequence_number,
            timestamp_base=timestamp_base,
            picture_id_base=picture_id_base,
            tl0picidx_base=tl0picidx_base,
        )
        temporal_class.routes.append(route)
        self._class_start = (temporal_class.packets, temporal_class.octets)
        self._routes.append(route)
        self.route = route
        return route

    def _end_route(self, now: float, at: int | None = None) -> list[Action]:
        """Ends the route before ingress number `at` (default: after the last one); fills what is still missing."""
        route, up_track = self.route, self._carried()
        if route is None or up_track.last is None:
            return []
        temporal_class, last = route.numbering, up_track.last
        temporal_class.routes.remove(route)
        end = last.number + 1 if at is None else at
        route.end_number = temporal_class.next_number(end)
        self._next_sequence_number = (route.end_number - route.sequence_base) & 0xFFFF
        packets, octets = self._sent_by(route)
        self._packets_before += packets
        self._octets_before += octets
        self._last_timestamp = (last.timestamp - route.timestamp_base) & 0xFFFFFFFF
        self._last_timestamp_at = now
        if not last.is_filler and last.marks.picture_id >= 0:
            self._last_picture_id = last.marks.picture_id - temporal_class.dropped_frames - route.picture_id_base
            self._last_tl0picidx = last.marks.tl0picidx - route.tl0picidx_base
        self.route = None
        return self._fill_holes(route, up_track, last, end)

    def _fill_holes(self, route: Route, up_track: UpTrack, last: MediaPacket, end: int) -> list[Action]:
        actions: list[Action] = []
        for ingress in range(end - up_track.history.size, end):
            placement = route.numbering.placed(ingress)
            if placement is None or not route.covers(placement.number) or up_track.history.get(ingress) is not None:
                continue
            route.filled[placement.number] = last.timestamp
            filler = Filler(ingress, last.timestamp)
            actions.append(Transmit(self.leg, rewritten(route, placement.number, 0, filler)))
        return actions

    def _sent_by(self, route: Route) -> tuple[int, int]:
        packets, octets = self._class_start
        return route.numbering.packets - packets, route.numbering.octets - octets

    def _number_of(self, route: Route, sequence_number: int) -> int | None:
        """The class number under which this route sent that sequence number, if it did."""
        newest = route.end_number - 1 if route.end_number is not None else route.numbering.newest
        number = newest + seq_distance(sequence_number, (newest - route.sequence_base) & 0xFFFF)
        return number if number <= newest and route.covers(number) else None

    def _sent_under(self, route: Route, number: int) -> tuple[Placement, MediaPacket] | None:
        """What was sent under a class number: found again exactly, or not at all."""
        ingress = route.numbering.ingress_of(number)
        if ingress is None:
            return None
        placement = route.numbering.placed(ingress)
        if placement is None:
            return None
        if number in route.filled:
            return placement, Filler(ingress, route.filled[number])
        packet = route.history.get(ingress)
        if packet is None:
            return None
        return placement, Filler(ingress, packet.timestamp) if placement.is_filler else packet

    def _as_rtx(self, route: Route, plain: bytes) -> bytes:
        if route.rtx_payload_type is None or self.spec.rtx_ssrc is None:
            return plain
        number = self._next_rtx_number
        self._next_rtx_number = (number + 1) & 0xFFFF
        return wrap_rtx(
            RtpPacket.parse(plain), payload_type=route.rtx_payload_type, ssrc=self.spec.rtx_ssrc, sequence_number=number
        )
