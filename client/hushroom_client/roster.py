"""Who is in the room, what they publish and what the slots carry, as the server tells it. Pure.

The server is untrusted: what it tells decides which frames are looked at, never whether they are opened. It cannot put
somebody of our own name into the room, nor two of one name, nor make us play a track that is sealed otherwise than we
seal.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from hushroom_common.ids import Identity, ParticipantId, PublicationId
from hushroom_common.signaling import (
    LeaveReason,
    ParticipantInfo,
    ParticipantJoined,
    ParticipantLeft,
    Slot,
    TrackInfo,
    TrackMuted,
    TrackPublished,
    TrackUnpublished,
)

__all__ = [
    "Declined",
    "PersonCame",
    "PersonLeft",
    "Roster",
    "RosterChange",
    "RosterMessage",
    "SlotFreed",
    "SlotTaken",
    "TrackCame",
    "TrackGone",
    "TrackPaused",
    "TrackRef",
]


@dataclass(frozen=True, slots=True)
class TrackRef:
    """A publication of somebody in the room."""

    participant: ParticipantId
    publication: PublicationId


@dataclass(frozen=True, slots=True)
class PersonCame:
    """Somebody is in the room; his tracks come one by one."""

    participant: ParticipantId
    identity: Identity


@dataclass(frozen=True, slots=True)
class PersonLeft:
    """Somebody is gone; his tracks went one by one before."""

    participant: ParticipantId
    reason: LeaveReason


@dataclass(frozen=True, slots=True)
class TrackCame:
    """A publication is there. `is_playable` says whether it is sealed as ours are."""

    ref: TrackRef
    info: TrackInfo
    is_playable: bool


@dataclass(frozen=True, slots=True)
class TrackGone:
    """A publication is over; its slot was freed before."""

    ref: TrackRef


@dataclass(frozen=True, slots=True)
class TrackPaused:
    """A publication pauses, or goes on."""

    ref: TrackRef
    is_muted: bool


@dataclass(frozen=True, slots=True)
class SlotTaken:
    """What comes on this m-line is that publication from now on."""

    mid: str
    ref: TrackRef


@dataclass(frozen=True, slots=True)
class SlotFreed:
    """What comes on this m-line is of no interest any more."""

    mid: str
    ref: TrackRef


@dataclass(frozen=True, slots=True)
class Declined:
    """The server need not send this publication: it would not be played."""

    ref: TrackRef


MAX_PEOPLE, MAX_TRACKS, MAX_SLOTS = 1024, 64, 1024
"""More than any room has; what a server tells beyond is ignored, or it could fill the memory."""

RosterChange = PersonCame | PersonLeft | TrackCame | TrackGone | TrackPaused | SlotTaken | SlotFreed | Declined
RosterMessage = ParticipantJoined | ParticipantLeft | TrackPublished | TrackUnpublished | TrackMuted


@dataclass(slots=True)
class _Person:
    identity: Identity
    tracks: dict[PublicationId, TrackInfo]


class Roster:
    """The room as this client takes it to be. Every method returns what changed by it, in order.

    `profile` is how our own media is sealed, "none" for a room without sealing.
    """

    def __init__(self, own_identity: Identity, profile: str) -> None:
        self._own_identity = own_identity
        self._profile = profile
        self._people: dict[ParticipantId, _Person] = {}
        self._wanted: set[TrackRef] = set()
        self._unwanted: set[TrackRef] = set()
        self._told: dict[str, TrackRef] = {}
        self._playing: dict[str, TrackRef] = {}

    def __contains__(self, ref: TrackRef) -> bool:
        return self._track(ref) is not None

    def identity(self, participant: ParticipantId) -> Identity | None:
        """Who that is; None for strangers."""
        person = self._people.get(participant)
        return person.identity if person else None

    @property
    def wanted(self) -> tuple[TrackRef, ...]:
        """Publications that the user asked for, among those that there are."""
        return tuple(ref for ref in self._refs() if ref in self._wanted and self._is_playable(ref))

    @property
    def unwanted(self) -> tuple[TrackRef, ...]:
        """Publications that the user, or the way they are sealed, keeps from being received."""
        return tuple(ref for ref in self._refs() if ref in self._unwanted or not self._is_playable(ref))

    # --- what the server tells --------------------------------------------------------------------------------------

    def begin(self, people: Iterable[ParticipantInfo]) -> list[RosterChange]:
        """Everybody who is in the room, on joining it."""
        return [change for info in people for change in self._came(info)]

    def catch_up(self, people: Iterable[ParticipantInfo], slots: Iterable[Slot]) -> list[RosterChange]:
        """The room after an interruption: whatever was missed is made up for."""
        present = {info.participant: info for info in people}
        changes: list[RosterChange] = []
        for participant in [one for one in self._people if one not in present]:
            changes += self._left(participant, LeaveReason.LEFT)
        for info in present.values():
            person = self._people.get(info.participant)
            if person is None:
                changes += self._came(info)
                continue
            now_published = {track.publication: track for track in info.tracks}
            for publication, track in list(person.tracks.items()):
                new = now_published.get(publication)
                if new is None or replace(new, muted=track.muted) != track:
                    changes += self._unpublished(TrackRef(info.participant, publication))
            for track in now_published.values():
                changes += self._published(info.participant, track)
        return changes + self.seat(slots, is_complete=True)

    def hear(self, message: RosterMessage) -> list[RosterChange]:
        """Somebody came, left, published, unpublished or muted."""
        match message:
            case ParticipantJoined(info):
                return self._came(info)
            case ParticipantLeft(participant, reason):
                return self._left(participant, reason)
            case TrackPublished(participant, track):
                return self._published(participant, track)
            case TrackUnpublished(participant, publication):
                return self._unpublished(TrackRef(participant, publication))
            case TrackMuted(participant, publication, muted):
                return self._paused(TrackRef(participant, publication), muted)

    def seat(self, slots: Iterable[Slot], *, is_complete: bool = False) -> list[RosterChange]:
        """What the slots carry: those that changed, or all of them."""
        if is_complete:
            self._told.clear()
        for slot in slots:
            if slot.participant is None or slot.publication is None:
                self._told.pop(slot.mid, None)
            elif slot.mid in self._told or len(self._told) < MAX_SLOTS:
                self._told[slot.mid] = TrackRef(slot.participant, slot.publication)
        return self._settle()

    # --- what the user wants ----------------------------------------------------------------------------------------

    def want(self, ref: TrackRef) -> list[RosterChange]:
        """Receive a publication after all."""
        self._wanted.add(ref)
        self._unwanted.discard(ref)
        return self._settle()

    def unwant(self, ref: TrackRef) -> list[RosterChange]:
        """Receive a publication no more, whatever the server sends."""
        self._wanted.discard(ref)
        self._unwanted.add(ref)
        # If it is wanted again at once, what the slots carried before the server heard of it must not count.
        self._told = {mid: told for mid, told in self._told.items() if told != ref}
        return self._settle()

    # --- inside -----------------------------------------------------------------------------------------------------

    def _came(self, info: ParticipantInfo) -> list[RosterChange]:
        # Keys belong to identities: who comes under a name that is taken would be shown as somebody else.
        taken = {person.identity for person in self._people.values()} | {self._own_identity}
        if info.participant in self._people or info.identity in taken or len(self._people) >= MAX_PEOPLE:
            return []
        self._people[info.participant] = _Person(info.identity, {})
        changes: list[RosterChange] = [PersonCame(info.participant, info.identity)]
        for track in info.tracks:
            changes += self._published(info.participant, track)
        return changes

    def _left(self, participant: ParticipantId, reason: LeaveReason) -> list[RosterChange]:
        person = self._people.get(participant)
        if person is None:
            return []
        changes: list[RosterChange] = []
        for publication in list(person.tracks):
            changes += self._unpublished(TrackRef(participant, publication))
        del self._people[participant]
        return [*changes, PersonLeft(participant, reason)]

    def _published(self, participant: ParticipantId, track: TrackInfo) -> list[RosterChange]:
        person = self._people.get(participant)
        if person is None:
            return []
        ref = TrackRef(participant, track.publication)
        known = person.tracks.get(track.publication)
        if known is not None:
            return self._paused(ref, track.muted)
        # Its kind decides whether frames wait for a keyframe, its source where they are recorded.
        is_consistent = track.kind is track.codec.kind is track.source.kind
        if len(person.tracks) >= MAX_TRACKS or not is_consistent:
            return []
        person.tracks[track.publication] = track
        is_playable = self._is_playable(ref)
        changes: list[RosterChange] = [TrackCame(ref, track, is_playable)]
        if not is_playable:
            changes.append(Declined(ref))
        return changes + self._settle()

    def _unpublished(self, ref: TrackRef) -> list[RosterChange]:
        if ref not in self:
            return []
        del self._people[ref.participant].tracks[ref.publication]
        self._wanted.discard(ref)
        self._unwanted.discard(ref)
        return [*self._settle(), TrackGone(ref)]

    def _paused(self, ref: TrackRef, is_muted: bool) -> list[RosterChange]:
        track = self._track(ref)
        if track is None or track.muted == is_muted:
            return []
        self._people[ref.participant].tracks[ref.publication] = replace(track, muted=is_muted)
        return [TrackPaused(ref, is_muted)]

    def _settle(self) -> list[RosterChange]:
        """Brings what is played in line with what was told and is wanted."""
        wanted: dict[str, TrackRef] = {}
        for mid, ref in self._told.items():
            if self._is_playable(ref) and ref not in self._unwanted and ref not in wanted.values():
                wanted[mid] = ref
        changes: list[RosterChange] = [
            SlotFreed(mid, ref) for mid, ref in self._playing.items() if wanted.get(mid) != ref
        ]
        changes += [SlotTaken(mid, ref) for mid, ref in wanted.items() if self._playing.get(mid) != ref]
        self._playing = wanted
        return changes

    def _is_playable(self, ref: TrackRef) -> bool:
        track = self._track(ref)
        return track is not None and track.e2ee == self._profile

    def _track(self, ref: TrackRef) -> TrackInfo | None:
        person = self._people.get(ref.participant)
        return person.tracks.get(ref.publication) if person else None

    def _refs(self) -> Iterator[TrackRef]:
        for participant, person in self._people.items():
            for publication in person.tracks:
                yield TrackRef(participant, publication)
