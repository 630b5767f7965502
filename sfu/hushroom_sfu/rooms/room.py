"""One room: who is in it, what they publish, who is subscribed to what. Transports and conversations live elsewhere.

Requests that cannot be carried out raise `Refusal` and change nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from hushroom_common.ids import Identity, ParticipantId, PublicationId, RoomId
from hushroom_common.signaling.messages import CloseCode, KeyStep, ParticipantInfo, TrackInfo
from hushroom_sfu.rooms.refusal import Refusal

__all__ = ["Participant", "PublicationRef", "Room"]

_TEMPORAL_IDS = range(8)  # three bits wherever a codec has them: RFC 7741 §4.2, RFC 9628 §4.2, AV1 RTP §4.4


class PublicationRef(NamedTuple):
    """A publication by its publisher and the name he gave it; unique in the room. A key of many tables."""

    publisher: ParticipantId
    publication: PublicationId


@dataclass(slots=True)
class Participant:
    """One person in the room. `subscriptions` maps to the highest temporal layer wanted (None: all of them)."""

    id: ParticipantId
    identity: Identity
    auto_subscribe: bool = True
    tracks: dict[PublicationId, TrackInfo] = field(default_factory=dict)
    subscriptions: dict[PublicationRef, int | None] = field(default_factory=dict)
    key_step: KeyStep | None = None

    def info(self) -> ParticipantInfo:
        """What others are told about this participant."""
        return ParticipantInfo(self.id, self.identity, tuple(self.tracks.values()))


class Room:
    """The people of one room and their publications and subscriptions."""

    def __init__(self, room_id: RoomId, *, max_participants: int = 64, max_tracks: int = 8) -> None:
        self.id = room_id
        self.max_participants = max_participants
        self.max_tracks = max_tracks
        self._participants: dict[ParticipantId, Participant] = {}

    def __len__(self) -> int:
        return len(self._participants)

    def __iter__(self) -> Iterator[Participant]:
        return iter(self._participants.values())

    def __getitem__(self, participant: ParticipantId) -> Participant:
        return self._participants[participant]

    def __contains__(self, participant: ParticipantId) -> bool:
        return participant in self._participants

    def by_identity(self, identity: Identity) -> Participant | None:
        """The participant who is in the room under that identity: there is at most one."""
        return next((one for one in self if one.identity == identity), None)

    def others(self, participant: ParticipantId) -> tuple[Participant, ...]:
        """Everybody but that participant."""
        return tuple(one for one in self if one.id != participant)

    def publications(self) -> Mapping[PublicationRef, TrackInfo]:
        """All publications of the room."""
        return {PublicationRef(one.id, name): track for one in self for name, track in one.tracks.items()}

    def subscribers(self, ref: PublicationRef) -> tuple[Participant, ...]:
        """Who is subscribed to a publication."""
        return tuple(one for one in self if ref in one.subscriptions)

    # --- coming and going -----------------------------------------------------------------------------------------

    def require_place(self) -> None:
        """Raises `Refusal` if nobody more can join."""
        if len(self) >= self.max_participants:
            raise Refusal(CloseCode.ROOM_FULL, f"the room holds at most {self.max_participants} participants")

    def join(self, participant: ParticipantId, identity: Identity, *, auto_subscribe: bool = True) -> Participant:
        """Add a participant, subscribed to all there is if `auto_subscribe`.

        An earlier join of the same identity has left already: that is the caller's duty.
        """
        self.require_place()
        if self.by_identity(identity) is not None:
            raise ValueError(f"{identity!r} is in the room already")
        newcomer = Participant(participant, identity, auto_subscribe)
        if auto_subscribe:
            newcomer.subscriptions.update(dict.fromkeys(self.publications()))
        self._participants[participant] = newcomer
        return newcomer

    def leave(self, participant: ParticipantId) -> None:
        """Remove a participant with all his publications and subscriptions."""
        for publication in tuple(self[participant].tracks):
            self.unpublish(participant, publication)
        del self._participants[participant]

    # --- publications ---------------------------------------------------------------------------------------------

    def publish(self, participant: ParticipantId, track: TrackInfo) -> tuple[Participant, ...]:
        """Add a publication; returns those whom it reaches at once, because they subscribe to everything."""
        publisher = self[participant]
        if track.publication in publisher.tracks:
            raise Refusal(
                CloseCode.PROTOCOL_ERROR, f"{track.publication!r} is published already", publication=track.publication
            )
        if len(publisher.tracks) >= self.max_tracks:
            raise Refusal(
                CloseCode.TOO_MANY_TRACKS,
                f"a participant publishes at most {self.max_tracks} tracks; unpublish one first",
                publication=track.publication,
            )
        publisher.tracks[track.publication] = track
        ref = PublicationRef(participant, track.publication)
        audience = tuple(one for one in self.others(participant) if one.auto_subscribe)
        for subscriber in audience:
            subscriber.subscriptions[ref] = None
        return audience

    def unpublish(self, participant: ParticipantId, publication: PublicationId) -> tuple[Participant, ...]:
        """End a publication and everybody's subscription to it; returns those who had one."""
        self._track(participant, publication)
        ref = PublicationRef(participant, publication)
        audience = self.subscribers(ref)
        for subscriber in audience:
            del subscriber.subscriptions[ref]
        del self[participant].tracks[publication]
        return audience

    def mute(self, participant: ParticipantId, publication: PublicationId, *, muted: bool) -> bool:
        """Note that a publication pauses or goes on; False if it was so already."""
        track = self._track(participant, publication)
        self[participant].tracks[publication] = replace(track, muted=muted)
        return track.muted != muted

    # --- subscriptions --------------------------------------------------------------------------------------------

    def subscribe(self, participant: ParticipantId, ref: PublicationRef, max_temporal_id: int | None) -> bool:
        """Subscribe, or change the layers wanted of a subscription; True if the subscription is new."""
        if max_temporal_id is not None and max_temporal_id not in _TEMPORAL_IDS:
            raise Refusal(
                CloseCode.PROTOCOL_ERROR,
                "max_temporal_id is 0 to 7, or null for all layers",
                publication=ref.publication,
                publisher=ref.publisher,
            )
        if ref.publisher == participant:
            raise Refusal(
                CloseCode.NOT_ALLOWED, "nobody subscribes to his own publication", publication=ref.publication
            )
        self._track(ref.publisher, ref.publication)
        subscriptions = self[participant].subscriptions
        is_new = ref not in subscriptions
        subscriptions[ref] = max_temporal_id
        return is_new

    def unsubscribe(self, participant: ParticipantId, ref: PublicationRef) -> bool:
        """Give a subscription up; False if there was none, as when the publication has just ended."""
        subscriptions = self[participant].subscriptions
        if ref not in subscriptions:
            return False
        del subscriptions[ref]
        return True

    def _track(self, participant: ParticipantId, publication: PublicationId) -> TrackInfo:
        track = self[participant].tracks.get(publication) if participant in self else None
        if track is None:
            raise Refusal(
                CloseCode.NO_SUCH_PUBLICATION,
                f"there is no publication {publication!r}",
                publication=publication,
                publisher=participant,
            )
        return track
