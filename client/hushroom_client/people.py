"""The live picture of a room: participants and tracks as objects, kept in step with what the roster says."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from typing import assert_never

from hushroom_client.e2ee import E2EEState, Rejected, RejectReason
from hushroom_client.events import (
    E2EEStateChanged,
    Event,
    FrameRejected,
    ParticipantJoined,
    ParticipantLeft,
    TrackMuted,
    TrackPublished,
    TrackSubscribed,
    TrackUnpublished,
    TrackUnsubscribed,
)
from hushroom_client.legs import SubscriberLeg
from hushroom_client.media.errors import MediaError
from hushroom_client.media.leg_receiver import ReceivedFrame
from hushroom_client.reception import Open
from hushroom_client.remote import RemoteParticipant, RemoteTrack, TrackSinks
from hushroom_client.roster import (
    Declined,
    PersonCame,
    PersonLeft,
    RosterChange,
    SlotFreed,
    SlotTaken,
    TrackCame,
    TrackGone,
    TrackPaused,
    TrackRef,
)
from hushroom_client.sealing import Sealing
from hushroom_client.stats import RoomStats
from hushroom_common.ids import Identity, Kind, ParticipantId

__all__ = ["People"]

log = logging.getLogger(__name__)

_HOPELESS = (E2EEState.MISSING_KEY, E2EEState.DIFFERENT_KEY)


def _refuse_codec(_frame: bytes) -> Rejected:
    """Of a slot in which another codec travels than the track has: what it holds would be taken for something else."""
    return Rejected(RejectReason.WRONG_CODEC)


class People:
    """Everybody else in the room, and where their frames come in; `emit` gets the events."""

    def __init__(self, sealing: Sealing, leg: SubscriberLeg, *, emit: Callable[[Event], None]) -> None:
        self.by_id: dict[ParticipantId, RemoteParticipant] = {}
        self._sealing = sealing
        self._emit = emit
        self._leg = leg
        self._slots: dict[str, tuple[RemoteTrack, Open]] = {}
        self._opened_before = 0
        self._rejected_before: Counter[RejectReason] = Counter()

    def by_identity(self, identity: Identity) -> RemoteParticipant | None:
        """The one of that name, if he is here."""
        return next((one for one in self.by_id.values() if one.identity == identity), None)

    def tracks(self) -> Iterator[RemoteTrack]:
        """All tracks of all of them."""
        for participant in self.by_id.values():
            yield from participant.tracks.values()

    def present(self) -> Iterator[Event]:
        """What is there, as the events by which it came."""
        for participant in tuple(self.by_id.values()):
            yield ParticipantJoined(participant)
            for track in tuple(participant.tracks.values()):
                yield TrackPublished(participant, track)
                if track.is_subscribed:
                    yield TrackSubscribed(participant, track)

    def stats(self, now: float, *, sent_bps: float) -> RoomStats:
        """Counts over all tracks, those that are gone included."""
        tracks = list(self.tracks())
        rejected = self._rejected_before + sum((track.reception.rejected for track in tracks), Counter())
        opened = self._opened_before + sum(track.opened for track in tracks)
        return RoomStats(opened, rejected, sum(track.reception.rate.rate_bps(now) for track in tracks), sent_bps)

    # --- frames -----------------------------------------------------------------------------------------------------

    def receive(self, frame: ReceivedFrame) -> None:
        """One whole frame of a slot, not opened yet."""
        slot = self._slots.get(frame.mid)
        if slot is None:
            return
        track, open_frame = slot
        is_usable = track.reception.receive(
            frame.frame,
            open_frame if frame.frame.codec is track.codec else _refuse_codec,
            captured_at=frame.captured_at,
            now=frame.arrived_at,
        )
        # With no key, or a wrong one, keyframes are of no use either: one is asked for once a key is installed.
        if not is_usable and track.participant.e2ee_state not in _HOPELESS:
            self._leg.request_keyframe(frame.mid)

    def needs_keyframes(self, identity: Identity) -> None:
        """What comes from somebody can be opened from now on."""
        for mid, (track, _) in self._slots.items():
            if track.participant.identity == identity and track.kind is Kind.VIDEO:
                self._leg.request_keyframe(mid)

    # --- changes ------------------------------------------------------------------------------------------------------

    def apply(self, change: RosterChange) -> None:
        """Follows one change of the roster."""
        match change:
            case PersonCame(participant, identity):
                self.by_id[participant] = RemoteParticipant(participant, identity, self._sealing.state(identity, ()))
                self._emit(ParticipantJoined(self.by_id[participant]))
            case PersonLeft(participant, reason):
                self._emit(ParticipantLeft(self.by_id.pop(participant), reason))
            case TrackCame(ref, info, _):
                participant_ = self.by_id[ref.participant]
                track = RemoteTrack(participant_, info, request_keyframe=self._ask_for, report=self._rejected)
                participant_.tracks[ref.publication] = track
                self._emit(TrackPublished(participant_, track))
                self.update_state(participant_)
            case TrackGone(ref):
                track = self._track(ref)
                del track.participant.tracks[ref.publication]
                self._end(track)
                self._emit(TrackUnpublished(track.participant, track))
                self.update_state(track.participant)
            case TrackPaused(ref, is_muted):
                track = self._track(ref)
                track.is_muted = is_muted
                self._emit(TrackMuted(track.participant, track, is_muted))
            case SlotTaken(mid, ref):
                self._take(mid, self._track(ref))
            case SlotFreed(mid, ref):
                self._free(mid, self._track(ref))
            case Declined():
                pass
            case _:
                assert_never(change)

    def attach(self, track: RemoteTrack, sinks: TrackSinks) -> None:
        """Gives a subscribed track to one of those who take all tracks, if it takes that one."""
        try:
            track.attach(sinks.track(track.source, track.codec))
        except MediaError as error:
            log.warning("a track is left out: %s", error)

    def attach_all(self, participant: RemoteParticipant, sinks: TrackSinks) -> None:
        """Gives all tracks of a participant, present and future, to one who takes them."""
        participant.sinks.append(sinks)
        for track in participant.tracks.values():
            if track.is_subscribed:
                self.attach(track, sinks)

    def update_state(self, participant: RemoteParticipant) -> None:
        """It may stand differently with somebody's frames."""
        announced = [track.e2ee for track in participant.tracks.values()]
        state = self._sealing.state(participant.identity, announced)
        if state is not participant.e2ee_state:
            participant.e2ee_state = state
            self._emit(E2EEStateChanged(participant, state))

    def clear(self) -> None:
        """The room is over: all tracks end, without events."""
        self._slots.clear()
        for track in self.tracks():
            track.is_subscribed = False
            self._end(track)
        self.by_id.clear()

    # --- inside -------------------------------------------------------------------------------------------------------

    def _track(self, ref: TrackRef) -> RemoteTrack:
        return self.by_id[ref.participant].tracks[ref.publication]

    def _take(self, mid: str, track: RemoteTrack) -> None:
        participant = track.participant
        open_frame = self._sealing.open_with(participant.identity, track.publication, track.codec)
        self._slots[mid] = track, open_frame
        self._leg.reset(mid, carries_media=True)
        track.reception.restart()
        track.is_subscribed = True
        for sinks in participant.sinks:
            self.attach(track, sinks)
        self._emit(TrackSubscribed(participant, track))

    def _free(self, mid: str, track: RemoteTrack) -> None:
        del self._slots[mid]
        self._leg.reset(mid, carries_media=False)
        track.is_subscribed = False
        track.reception.close()
        self._emit(TrackUnsubscribed(track.participant, track))

    def _end(self, track: RemoteTrack) -> None:
        track.reception.close()
        self._opened_before += track.opened
        self._rejected_before.update(track.rejected)

    def _ask_for(self, track: RemoteTrack) -> None:
        for mid, (other, _) in self._slots.items():
            if other is track:
                self._leg.request_keyframe(mid)

    def _rejected(self, track: RemoteTrack, reason: RejectReason, count: int) -> None:
        self._emit(FrameRejected(track.participant, track, reason, count))
