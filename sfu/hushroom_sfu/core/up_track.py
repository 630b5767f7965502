"""A published track as it arrives: order, losses, history, and what each class of subscribers gets of it."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import NewType, Protocol

from hushroom_common.codecs import read_marks
from hushroom_common.codecs.dependency_descriptor import DependencyDescriptorReader
from hushroom_common.codecs.marks import Marks
from hushroom_common.errors import WireError
from hushroom_common.header_extensions import ExtensionMap, ExtensionUri, read_extensions
from hushroom_common.ids import Codec, LegId
from hushroom_common.reception.missing import Arrival, MissingPackets
from hushroom_common.reception.statistics import ReceptionStatistics
from hushroom_common.rtp import RtpPacket, unwrap_rtx
from hushroom_common.serial import SequenceUnwrapper
from hushroom_sfu.core.actions import Action, FanOut, Transmit
from hushroom_sfu.core.history import HISTORY_SIZE, History
from hushroom_sfu.core.keyframe_requests import KeyframeRequests
from hushroom_sfu.core.packet import NO_MARKS, Filler, MediaPacket
from hushroom_sfu.core.round_trip import RoundTrip
from hushroom_sfu.core.route import rewritten
from hushroom_sfu.core.source_clock import Anchor
from hushroom_sfu.core.specs import UpTrackSpec
from hushroom_sfu.core.temporal_class import TemporalClass
from hushroom_sfu.core.token_bucket import TokenBucket

__all__ = ["FORWARDED_EXTENSIONS", "Follower", "UpTrack", "UpTrackId"]

UpTrackId = NewType("UpTrackId", int)

FORWARDED_EXTENSIONS = frozenset(
    {
        ExtensionUri.DEPENDENCY_DESCRIPTOR,
        ExtensionUri.VIDEO_ORIENTATION,
        ExtensionUri.ABSOLUTE_CAPTURE_TIME,
        ExtensionUri.AUDIO_LEVEL,
    }
)
"""What a subscriber may see of a publisher's extensions; everything else ends at the server (RFC 8285)."""

_WAIT_WITH_NACK_S = 1.0
_WAIT_WITHOUT_NACK_S = 0.2
_WIDEST_HOLE = 1 / 4
"""Missing numbers in a row, as a share of the history, worth waiting for; a wider hole is closed for a keyframe."""

_MISSING_AT_ONCE = 512
_MISSING_PER_S = 512
"""Numbers kept for missing packets. Each becomes a packet to every subscriber: who skips more has his holes closed."""


class Follower(Protocol):
    """A slot that this track fills or will fill, told of the moments at which it may begin or change."""

    def start(self, packet: MediaPacket, now: float) -> list[Action]:
        """Begins with this packet, the next in order."""

    def start_from_history(self, packet: MediaPacket, now: float) -> list[Action]:
        """Begins with this packet, which came late."""

    def may_switch(self, marks: Marks) -> bool:
        """Whether a wished change of layers may happen before the frame that begins with these marks."""

    def switch(self, packet: MediaPacket, now: float) -> list[Action]:
        """Changes layers before this packet."""


class UpTrack:
    """One publisher's track. Feed it packets in the order they arrive; it returns what subscribers get."""

    def __init__(self, track_id: UpTrackId, leg: LegId, spec: UpTrackSpec, drops: Counter[str]) -> None:
        self.id = track_id
        self.leg = leg
        self.spec = spec
        self.ssrc = spec.ssrc
        self.rtx_ssrc = spec.rtx_ssrc
        self.anchor: Anchor | None = None
        self.keyframes = KeyframeRequests()
        self.needs_attention = False
        self.history = History(HISTORY_SIZE[spec.kind])
        self.statistics = ReceptionStatistics(spec.codecs[0].codec.clock_rate)
        self._widest_hole = int(self.history.size * _WIDEST_HOLE)
        self.missing = MissingPackets(
            max_entries=self._widest_hole,
            max_age_s=_WAIT_WITH_NACK_S if spec.wants_nack else _WAIT_WITHOUT_NACK_S,
            max_tries=20,
        )
        self.round_trip = RoundTrip()
        self.waiting: list[Follower] = []
        self.switching: list[Follower] = []
        self.has_started_slots = False
        self.classes: list[TemporalClass] = []
        self.last: MediaPacket | None = None
        self.last_at = 0.0
        self._reservations = TokenBucket(_MISSING_AT_ONCE, _MISSING_PER_S, 0.0)
        self._drops = drops
        self._sequence = SequenceUnwrapper()
        self._readers: dict[int, Callable[[bytes], Marks]] = {}
        self._rtx: dict[int, int] = {}
        self._codecs: dict[int, Codec] = {}
        for codec in spec.codecs:
            self._readers[codec.payload_type] = read_marks(codec.codec)
            self._codecs[codec.payload_type] = codec.codec
            if codec.rtx_payload_type is not None:
                self._rtx[codec.rtx_payload_type] = codec.payload_type
        self._descriptor_id = dict(spec.extensions).get(ExtensionUri.DEPENDENCY_DESCRIPTOR, 0)  # 0 is no element's id
        self._descriptors = DependencyDescriptorReader()
        self._extension_maps: dict[tuple[tuple[str, int], ...], ExtensionMap] = {}
        self.codec = spec.codecs[0].codec

    @property
    def clock_rate(self) -> int:
        """Ticks of RTP time a second."""
        return self.codec.clock_rate

    @property
    def awaits_keyframe(self) -> bool:
        """Whether a subscriber still waits for his first packet."""
        return bool(self.waiting)

    @property
    def keyframe_deadline(self) -> float | None:
        """When a keyframe is to be asked for; None without need, and before there is an SSRC to ask."""
        return self.keyframes.deadline if self.ssrc is not None else None

    def settle_attention(self) -> None:
        """Looks anew whether something of this track waits for a moment in time."""
        self.needs_attention = self.missing.missing > 0 or self.keyframe_deadline is not None

    def want_keyframe(self) -> None:
        """Somebody needs a keyframe; the request goes out as soon as one may, if this track takes any."""
        if self.spec.wants_pli:
            self.keyframes.want()
            self.needs_attention = self.needs_attention or self.ssrc is not None

    def learn(self, rtp: RtpPacket) -> bool:
        """Takes an SSRC that the offer did not name; False when the payload type says that it is not this track's."""
        if rtp.payload_type in self._readers and self.ssrc is None:
            self.ssrc = rtp.ssrc
            self.settle_attention()
        elif rtp.payload_type in self._rtx and self.rtx_ssrc is None:
            self.rtx_ssrc = rtp.ssrc
        else:
            return False
        return True

    def last_marks(self) -> Marks:
        """Those of the last packet that carried something."""
        last = self.last
        for number in range(last.number, last.number - self.history.size, -1) if last is not None else ():
            packet = self.history.get(number)
            if packet is not None and not packet.is_filler:
                return packet.marks
        return NO_MARKS

    def class_of(self, max_temporal_id: int) -> TemporalClass:
        """The class of subscribers up to that temporal layer, made when the first of them comes."""
        for existing in self.classes:
            if existing.max_temporal_id == max_temporal_id:
                return existing
        made = TemporalClass(max_temporal_id, self.history.size)
        self.classes.append(made)
        return made

    def extension_map(self, receiver: tuple[tuple[str, int], ...]) -> ExtensionMap:
        """What receivers with these negotiated extensions see of this track's; one object for equal negotiations."""
        known = self._extension_maps.get(receiver)
        if known is None:
            known = ExtensionMap(self.spec.extensions, receiver, FORWARDED_EXTENSIONS)
            self._extension_maps[receiver] = known
        return known

    def forget_empty_classes(self) -> None:
        """Drops the classes that nobody is in any more."""
        self.classes = [temporal_class for temporal_class in self.classes if temporal_class.routes]

    def receive(self, rtp: RtpPacket, now: float) -> list[Action]:
        """Takes one packet of this track, plain or by RTX (RFC 4588)."""
        is_repeat = rtp.ssrc == self.rtx_ssrc
        if is_repeat:
            original = self._unwrapped(rtp)
            if original is None:
                return []
            rtp = original
        reader = self._readers.get(rtp.payload_type)
        if reader is None:
            return self._dropped("payload_type")
        try:
            extensions = read_extensions(rtp) if rtp.extension_profile else {}
            marks = reader(rtp.payload) if rtp.payload_end > rtp.payload_start else NO_MARKS
            if self._descriptor_id in extensions:
                marks = self._descriptors.read(extensions[self._descriptor_id]).refine(marks)
        except WireError:
            return self._dropped("malformed_payload")
        number = self._sequence.unwrap(rtp.sequence_number)
        arrival = self.missing.receive(number, now)
        if arrival is not Arrival.NEW and (arrival is not Arrival.LATE or self.history.get(number) is not None):
            return self._dropped(arrival.name.lower())
        if not is_repeat:  # RFC 4588 §6.3: repeats do not hide the path's loss from its reports
            self.statistics.receive(rtp.sequence_number, rtp.timestamp, now)
        packet = MediaPacket(rtp, number, marks)
        return self._next(packet, now) if arrival is Arrival.NEW else self._late(packet, now)

    def is_useful(self, number: int) -> bool:
        """Whether a missing packet could still be forwarded if it came."""
        return (
            self.last is not None
            and number > self.last.number - self.history.size
            and self.history.get(number) is None
            and (bool(self.waiting) or any(one.placed(number) is not None for one in self.classes))
        )

    def give_up(self, numbers: Iterable[int]) -> list[Action]:
        """Fills numbers that will not come any more, so that subscribers stop waiting for them.

        The filled number hides the loss from them, so it is for the server to ask for a keyframe.
        """
        actions: list[Action] = []
        for number in numbers:
            if (
                self.last is None
                or self.history.get(number) is not None
                or number <= self.last.number - self.history.size
            ):
                continue
            filler = Filler(number, self.last.timestamp)
            self.history.store(filler)
            actions += self._to_late_routes(filler)
        if actions:
            self.want_keyframe()
        return actions

    def _unwrapped(self, rtp: RtpPacket) -> RtpPacket | None:
        payload_type = self._rtx.get(rtp.payload_type)
        if payload_type is None or self.ssrc is None:
            self._drops["payload_type"] += 1
            return None
        if rtp.payload_end == rtp.payload_start:
            self._drops["rtx_probe"] += 1
            return None
        try:
            return RtpPacket.parse(unwrap_rtx(rtp, payload_type=payload_type, ssrc=self.ssrc))
        except WireError:
            self._drops["malformed_rtx"] += 1
            return None

    def _next(self, packet: MediaPacket, now: float) -> list[Action]:
        last = self.last
        actions: list[Action] = []
        if last is not None:
            is_hole = packet.number > last.number + 1
            if self.needs_attention and (is_hole or self.history.get(packet.number - self.history.size) is None):
                actions += self._leaving(last.number, packet.number)
            if is_hole:
                self._hole(last.number + 1, packet.number, now)
        marks = packet.marks
        if marks.starts_frame:
            self._decide(packet, now, actions)
        self.history.store(packet)
        self.last = packet
        self.last_at = now
        for temporal_class in self.classes:
            placement = temporal_class.place(packet)
            if placement is not None:
                temporal_class.packets += 1
                temporal_class.octets += len(packet.payload)
                actions.append(FanOut(temporal_class.routes, placement.number, placement.dropped_frames, packet))
        return actions

    def _decide(self, packet: MediaPacket, now: float, actions: list[Action]) -> None:
        """The moments at which routes change: a keyframe starts who waits, a switch point moves who asked for it."""
        if packet.marks.starts_keyframe:
            self.keyframes.satisfied()
            for down_track in self._no_longer_waiting():
                actions += down_track.start(packet, now)
        for down_track in tuple(self.switching):
            if down_track.may_switch(packet.marks):
                self.switching.remove(down_track)
                actions += down_track.switch(packet, now)

    def _no_longer_waiting(self) -> list[Follower]:
        """Who waited for a keyframe; a follower that cannot begin with it waits anew."""
        waiting, self.waiting = self.waiting, []
        return waiting

    def _leaving(self, last: int, newest: int) -> list[Action]:
        """Gives up what is still missing of the numbers that leave the history as `newest` comes after `last`."""
        size = self.history.size
        return self.give_up(range(last - size + 1, min(last, newest - size) + 1))

    def _hole(self, first: int, end: int, now: float) -> None:
        self.needs_attention = True
        if end - first > self._widest_hole or not self._reservations.take(now, end - first):
            for temporal_class in self.classes:
                temporal_class.skip(end - first)
            self.want_keyframe()
            return
        for number in range(first, end):
            for temporal_class in self.classes:
                temporal_class.reserve(number)

    def _late(self, packet: MediaPacket, now: float) -> list[Action]:
        self.round_trip.came(packet.number, now)
        if self.last is None or packet.number <= self.last.number - self.history.size:
            return self._dropped("too_old")
        self.history.store(packet)
        actions = self._to_late_routes(packet)
        if packet.marks.starts_keyframe and self.waiting:
            self.keyframes.satisfied()
            for down_track in self._no_longer_waiting():
                actions += down_track.start_from_history(packet, now)
        return actions

    def _to_late_routes(self, packet: MediaPacket) -> list[Action]:
        actions: list[Action] = []
        for temporal_class in self.classes:
            placement = temporal_class.place_late(packet)
            if placement is None:
                continue
            sent = Filler(packet.number, packet.timestamp) if placement.is_filler else packet
            actions += [
                Transmit(route.leg, rewritten(route, placement.number, placement.dropped_frames, sent))
                for route in temporal_class.routes
                if route.first_number <= placement.number
            ]
        return actions

    def _dropped(self, reason: str) -> list[Action]:
        self._drops[reason] += 1
        return []
