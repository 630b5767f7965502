"""The forwarder: who gets which packet, rewritten how. A pure state machine over tracks, slots, packets and `now`.

Commands and packets go in, actions come out, to be carried out in order. `now` is monotonic seconds and never goes
back. Whatever bytes come in, they are forwarded or dropped with a reason in `drops`; nothing raises.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from hushroom_common.errors import WireError
from hushroom_common.ids import LegId
from hushroom_common.rtcp import (
    FullIntraRequest,
    GenericNack,
    PictureLossIndication,
    ReceiverReport,
    SenderReport,
    compound,
    parse_compound,
)
from hushroom_common.rtp import RtpPacket
from hushroom_sfu.core.actions import Action, TransmitRtcp
from hushroom_sfu.core.down_track import ALL_TEMPORAL_LAYERS, DownTrack, DownTrackId
from hushroom_sfu.core.leg_tracks import REPORT_INTERVAL_S, LegTracks
from hushroom_sfu.core.reports import SERVER_SSRC, receiver_reports, sender_reports
from hushroom_sfu.core.specs import DownTrackSpec, UpTrackSpec
from hushroom_sfu.core.up_track import UpTrack, UpTrackId

__all__ = ["Forwarder"]

_MAX_NACKS_A_PACKET = 64


class Forwarder:
    """All legs of one server process. `unix_at_zero` is the Unix time of monotonic 0, for the server's one clock."""

    def __init__(self, *, unix_at_zero: float, entropy: Callable[[int], bytes] = os.urandom) -> None:
        self.drops: Counter[str] = Counter()
        self._unix_at_zero = unix_at_zero
        self._entropy = entropy
        self._legs: dict[LegId, LegTracks] = {}
        self._up_tracks: dict[UpTrackId, UpTrack] = {}
        self._down_tracks: dict[DownTrackId, DownTrack] = {}
        self._attention: set[UpTrack] = set()
        self._minted = 0

    # --- commands ----------------------------------------------------------------------------------------------

    def add_leg(self, leg: LegId, now: float) -> None:
        """A peer connection is there; tracks and slots can be added to it."""
        self._legs[leg] = LegTracks(leg, now)

    def remove_leg(self, leg: LegId, now: float) -> list[Action]:
        """A peer connection is gone, with all that came up or went down on it."""
        state = self._legs[leg]
        actions: list[Action] = []
        for track in tuple(state.up_tracks):
            actions += self.unpublish(track.id, now)
        for slot in tuple(state.down_tracks):
            self.close_slot(slot.id, now)
        del self._legs[leg]
        return actions

    def publish(self, leg: LegId, spec: UpTrackSpec) -> UpTrackId:
        """A negotiated track of a publisher; packets of it are accepted from now on."""
        track = UpTrack(UpTrackId(self._mint()), leg, spec, self.drops)
        self._up_tracks[track.id] = track
        self._legs[leg].add_up_track(track)
        return track.id

    def unpublish(self, up_track: UpTrackId, now: float) -> list[Action]:
        """A track is over: its slots are free, what subscribers still wait for is filled."""
        track = self._up_tracks.pop(up_track)
        actions: list[Action] = []
        for slot in self._down_tracks.values():
            if slot.up_track is track:
                actions += slot.release(now)
        self._legs[track.leg].remove_up_track(track)
        self._attention.discard(track)
        return actions

    def open_slot(self, leg: LegId, spec: DownTrackSpec, now: float) -> DownTrackId:
        """A negotiated slot of a subscriber, carrying nothing yet."""
        slot = DownTrack(DownTrackId(self._mint()), leg, spec, entropy=self._entropy, drops=self.drops, now=now)
        self._down_tracks[slot.id] = slot
        state = self._legs[leg]
        state.down_tracks.append(slot)
        state.slots_by_ssrc[spec.ssrc] = slot
        return slot.id

    def close_slot(self, down_track: DownTrackId, now: float) -> None:
        """A slot is gone, with nobody left to tell."""
        slot = self._down_tracks.pop(down_track)
        slot.release(now)
        state = self._legs[slot.leg]
        state.down_tracks.remove(slot)
        del state.slots_by_ssrc[slot.spec.ssrc]

    def assign(
        self, down_track: DownTrackId, up_track: UpTrackId, now: float, max_temporal_id: int = ALL_TEMPORAL_LAYERS
    ) -> list[Action]:
        """Fills a slot with a track, from its next keyframe on. Raises ValueError if the slot cannot carry it."""
        slot, track = self._down_tracks[down_track], self._up_tracks[up_track]
        actions = slot.assign(track, max_temporal_id, now)
        if track.needs_attention:
            self._attention.add(track)
        return actions + self._keyframe_request(track, now)

    def release(self, down_track: DownTrackId, now: float) -> list[Action]:
        """Empties a slot; its numbers go on when it is filled again."""
        return self._down_tracks[down_track].release(now)

    def limit(self, down_track: DownTrackId, max_temporal_id: int) -> None:
        """Gives a slot temporal layers up to this one, from the next place where the stream allows the switch."""
        self._down_tracks[down_track].limit(max_temporal_id)

    def up_tracks(self) -> tuple[UpTrack, ...]:
        """All published tracks, for metrics."""
        return tuple(self._up_tracks.values())

    # --- packets -----------------------------------------------------------------------------------------------

    def receive(self, packet: bytes, leg: LegId, now: float) -> list[Action]:
        """One RTP packet of a leg, SRTP removed."""
        try:
            rtp = RtpPacket.parse(packet)
        except WireError:
            self.drops["malformed_rtp"] += 1
            return []
        state = self._legs.get(leg)
        if state is None:
            self.drops["unknown_leg"] += 1
            return []
        track = state.by_ssrc.get(rtp.ssrc) or state.learn(rtp)
        if track is None:
            self.drops["unknown_ssrc"] += 1
            return []
        actions = track.receive(rtp, now)
        if track.needs_attention:
            self._attention.add(track)
        if track.has_started_slots:
            self._report_started(track, now, actions)
        return actions

    def receive_rtcp(self, packet: bytes, leg: LegId, now: float) -> list[Action]:
        """One compound RTCP packet of a leg, SRTCP removed. It ends here: nothing of it is passed on."""
        state = self._legs.get(leg)
        if state is None:
            self.drops["unknown_leg"] += 1
            return []
        try:
            packets = parse_compound(packet)
        except WireError:
            self.drops["malformed_rtcp"] += 1
            return []
        actions: list[Action] = []
        for part in packets:
            match part:
                case GenericNack(media_ssrc=ssrc, lost=lost):
                    actions += self._retransmissions(state.slots_by_ssrc.get(ssrc), lost, now)
                case PictureLossIndication(media_ssrc=ssrc):
                    actions += self._keyframe_wish(state, (ssrc,), now)
                case FullIntraRequest(entries=entries):
                    actions += self._keyframe_wish(state, [entry.ssrc for entry in entries], now)
                case SenderReport():
                    actions += self._sender_report(state, part, now)
                case ReceiverReport():
                    self._receiver_report(state, part)
                case _:  # SDES, BYE, REMB: nothing for a forwarder to do
                    pass
        return actions

    # --- time --------------------------------------------------------------------------------------------------

    @property
    def has_open_wishes(self) -> bool:
        """Whether a loss or a wish for a keyframe makes the next deadline a near one."""
        return bool(self._attention)

    def next_deadline(self) -> float | None:
        """When `handle_timeout` should be called at the latest; None while there is nothing to wait for."""
        deadlines = [state.report_at for state in self._legs.values()]
        for track in self._attention:
            deadlines += [at for at in (track.missing.next_deadline(), track.keyframe_deadline) if at is not None]
        return min(deadlines, default=None)

    def handle_timeout(self, now: float) -> list[Action]:
        """NACKs, keyframe requests and reports that are due."""
        actions: list[Action] = []
        for track in tuple(self._attention):
            actions += self._losses(track, now)
            actions += self._keyframe_request(track, now)
            track.settle_attention()
            if not track.needs_attention:
                self._attention.discard(track)
        for state in self._legs.values():
            if now >= state.report_at:
                state.report_at = now + REPORT_INTERVAL_S
                actions += self._reports(state, now)
        return actions

    # --- inside ------------------------------------------------------------------------------------------------

    def _mint(self) -> int:
        self._minted += 1
        return self._minted

    def _unix(self, now: float) -> float:
        return self._unix_at_zero + now

    def _losses(self, track: UpTrack, now: float) -> list[Action]:
        round_ = track.missing.due(now, track.round_trip.repeat_after_s)
        track.round_trip.given_up(round_.given_up)
        actions = track.give_up(round_.given_up)
        if track.spec.wants_nack and track.ssrc is not None:
            useful = [number for number in round_.nack if track.is_useful(number)]
            track.round_trip.asked(useful, now)
            for first in range(0, len(useful), _MAX_NACKS_A_PACKET):
                lost = tuple(number & 0xFFFF for number in useful[first : first + _MAX_NACKS_A_PACKET])
                nack = GenericNack(sender_ssrc=SERVER_SSRC, media_ssrc=track.ssrc, lost=lost)
                actions.append(TransmitRtcp(track.leg, self._feedback(nack)))
        return actions

    def _keyframe_request(self, track: UpTrack, now: float) -> list[Action]:
        if track.ssrc is None or not track.keyframes.due(now, is_awaited=track.awaits_keyframe):
            return []
        pli = PictureLossIndication(sender_ssrc=SERVER_SSRC, media_ssrc=track.ssrc)
        return [TransmitRtcp(track.leg, self._feedback(pli))]

    @staticmethod
    def _feedback(packet: GenericNack | PictureLossIndication) -> bytes:
        """RFC 5506 reduced size is not negotiated, so feedback goes behind an empty receiver report (RFC 4585 §3.1)."""
        return compound(ReceiverReport(ssrc=SERVER_SSRC, reports=()), packet)

    def _keyframe_wish(self, state: LegTracks, ssrcs: Iterable[int], now: float) -> list[Action]:
        actions: list[Action] = []
        for ssrc in ssrcs:
            slot = state.slots_by_ssrc.get(ssrc)
            if slot is None or slot.up_track is None:
                self.drops["pli_unknown"] += 1
                continue
            track = slot.up_track
            track.want_keyframe()
            self._attention.add(track)
            actions += self._keyframe_request(track, now)
        return actions

    def _retransmissions(self, slot: DownTrack | None, lost: Sequence[int], now: float) -> list[Action]:
        if slot is None:
            self.drops["nack_unknown"] += 1
            return []
        return slot.retransmit(lost, now)

    def _sender_report(self, state: LegTracks, report: SenderReport, now: float) -> list[Action]:
        track = state.by_ssrc.get(report.ssrc)
        if track is None or not report.ntp_time:  # RFC 3550 §6.4.1: zero is said by senders without a clock
            return []
        track.statistics.sender_report_received(report.ntp_time, now)
        is_first = track.anchor is None
        track.anchor = state.clock.anchor(report, self._unix(now))
        if not is_first:
            return []
        slots = [slot for slot in self._down_tracks.values() if slot.up_track is track]
        return self._report_at_once(slots, now)

    def _receiver_report(self, state: LegTracks, report: ReceiverReport) -> None:
        for block in report.reports:
            slot = state.slots_by_ssrc.get(block.ssrc)
            if slot is not None:
                slot.fraction_lost = block.fraction_lost / 256

    def _report_started(self, track: UpTrack, now: float, actions: list[Action]) -> None:
        """Reports at once for slots with a new track: before them sound and picture cannot keep together."""
        track.has_started_slots = False
        slots = [slot for slot in self._down_tracks.values() if slot.up_track is track and slot.owes_report]
        for slot in slots:
            slot.owes_report = False
        actions += self._report_at_once(slots, now)

    def _report_at_once(self, slots: Iterable[DownTrack], now: float) -> list[Action]:
        by_leg: dict[LegId, list[DownTrack]] = {}
        for slot in slots:
            by_leg.setdefault(slot.leg, []).append(slot)
        return [
            TransmitRtcp(leg, packet)
            for leg, group in by_leg.items()
            for packet in sender_reports(group, self._unix(now))
        ]

    def _reports(self, state: LegTracks, now: float) -> list[Action]:
        actions: list[Action] = []
        if state.up_tracks:
            actions += [TransmitRtcp(state.leg, packet) for packet in receiver_reports(state.up_tracks, now)]
        if state.down_tracks:
            for slot in state.down_tracks:
                slot.forget(now)
            actions += [
                TransmitRtcp(state.leg, packet) for packet in sender_reports(state.down_tracks, self._unix(now))
            ]
        return actions
