"""From a participant's offers to his publications, and to their end. Offers name all that is published, not changes."""

from hushroom_common.errors import ProtocolError, WireError
from hushroom_common.ids import LegId, PublicationId
from hushroom_common.signaling.messages import (
    CloseCode,
    Offer,
    OfferedTrack,
    TrackInfo,
    TrackPublished,
    TrackUnpublished,
)
from hushroom_sfu.conversation.actions import Outbox, PublishTrack, RoomEventKind, UnpublishTrack
from hushroom_sfu.conversation.attendees import Attendee, Attendees
from hushroom_sfu.conversation.transport import LocalTransport
from hushroom_sfu.conversation.upstream import NegotiatedTrack, Stated
from hushroom_sfu.rooms.refusal import Refusal
from hushroom_sfu.rooms.room import PublicationRef, Room

__all__ = ["Publishing"]


class Publishing:
    """The publications of one meeting."""

    def __init__(self, room: Room, attendees: Attendees, outbox: Outbox) -> None:
        self._room = room
        self._attendees = attendees
        self._outbox = outbox

    def offer(self, one: Attendee, offer: Offer) -> None:
        """A client offers: on its publisher leg, or on a fresh one. Raises `Refusal`."""
        if not one.up.take_number(offer):
            return
        try:
            stated = one.up.stated(offer)
        except WireError as error:
            raise Refusal(CloseCode.PROTOCOL_ERROR, str(error)) from error
        if stated is Stated.ANOTHER_CONNECTION:
            self.close_leg(one)
        if one.up.leg is None:
            one.up.open(offer)
        elif stated is Stated.ICE_RESTART:
            one.up.restart(offer)
        else:
            self._agree(one, offer)

    def leg_opened(self, one: Attendee, leg: LegId, local: LocalTransport) -> None:
        """The leg for an offer is there."""
        offer = one.up.opened(leg, local)
        try:
            self._agree(one, offer)
        except Refusal as refusal:
            one.up.close()  # a leg without an answer is of no use
            self._attendees.refuse(one, "offer", refusal)

    def leg_restarted(self, one: Attendee, leg: LegId, local: LocalTransport) -> None:
        """The credentials for an offer that restarts ICE are there."""
        offer = one.up.restarted(leg)
        if offer is not None:
            try:
                self._agree(one, offer, local)
            except Refusal as refusal:
                self._attendees.refuse(one, "offer", refusal)

    def unpublish(self, one: Attendee, publication: PublicationId, *, is_leaving: bool = False) -> None:
        """End a publication. Of a leaver's the others know without being told each. Raises `Refusal`."""
        ref = PublicationRef(one.member.id, publication)
        for subscriber in self._room.unpublish(one.member.id, publication):
            self._attendees[subscriber.id].down.unwant(ref)
        del one.up.tracks[publication]
        self._outbox.put(UnpublishTrack(ref))
        if not is_leaving:
            self._attendees.tell_others(one, TrackUnpublished(one.member.id, publication))
        self._attendees.note(RoomEventKind.TRACK_UNPUBLISHED, one)

    def close_leg(self, one: Attendee, *, is_leaving: bool = False) -> None:
        """End a publisher leg with all publications that came over it."""
        for publication in tuple(one.member.tracks):
            self.unpublish(one, publication, is_leaving=is_leaving)
        one.up.close()

    # --- inside ---------------------------------------------------------------------------------------------------

    def _agree(self, one: Attendee, offer: Offer, local: LocalTransport | None = None) -> None:
        """Answer an offer and make what it carries the participant's publications: all of it, and nothing else."""
        accepted, surplus = self._within_limit(one, offer.tracks)
        try:
            agreed = one.up.agree(offer, accepted, local)
        except (WireError, ProtocolError) as error:
            raise Refusal(CloseCode.PROTOCOL_ERROR, str(error)) from error
        for publication, track in tuple(one.up.tracks.items()):
            if agreed.get(publication) != track:
                self.unpublish(one, publication)
        for publication, track in agreed.items():
            if publication not in one.up.tracks:
                self._publish(one, track)
        for refused in surplus:
            refusal = Refusal(
                CloseCode.TOO_MANY_TRACKS,
                f"a participant publishes at most {self._room.max_tracks} tracks; unpublish one first",
                publication=refused.publication,
            )
            self._attendees.refuse(one, "offer", refusal)

    def _within_limit(
        self, one: Attendee, tracks: tuple[OfferedTrack, ...]
    ) -> tuple[list[OfferedTrack], list[OfferedTrack]]:
        """The tracks that a participant may publish, what is published already first; and those that are too many."""
        ordered = sorted(tracks, key=lambda track: track.publication not in one.member.tracks)
        return ordered[: self._room.max_tracks], ordered[self._room.max_tracks :]

    def _publish(self, one: Attendee, track: NegotiatedTrack) -> None:
        offered = track.offered
        info = TrackInfo(offered.publication, track.spec.kind, offered.source, offered.codec, offered.e2ee)
        audience = self._room.publish(one.member.id, info)
        assert one.up.leg is not None
        one.up.tracks[offered.publication] = track
        ref = PublicationRef(one.member.id, offered.publication)
        self._outbox.put(PublishTrack(one.up.leg, ref, track.spec))
        self._attendees.tell_others(one, TrackPublished(one.member.id, info))
        self._attendees.note(RoomEventKind.TRACK_PUBLISHED, one, f"{info.source} {info.codec}")
        for subscriber in audience:
            self._attendees[subscriber.id].down.want(ref, info)
