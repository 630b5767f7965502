"""One room in session: what its participants ask for, and what everybody is told and gets because of it.

Puts the room, the participants' legs and their seats together. Sessions, tokens and who may come in are the business
of `switchboard`. Each public method leaves in the outbox what is to be done.
"""

from collections.abc import Iterator
from typing import assert_never

from hushroom_common.ids import LegId, LegRole, ParticipantId, RoomId
from hushroom_common.signaling.messages import (
    Answer,
    ClientMessage,
    Join,
    Joined,
    KeyStep,
    KeyStepHint,
    Leave,
    LeaveReason,
    LegLost,
    Mute,
    Offer,
    ParticipantInfo,
    ParticipantJoined,
    ParticipantLeft,
    RenewToken,
    Resume,
    Resumed,
    Subscribe,
    TrackInfo,
    TrackMuted,
    Unpublish,
    Unsubscribe,
)
from hushroom_sfu.conversation.actions import LegEvent, Outbox, RoomEventKind
from hushroom_sfu.conversation.attendees import Attendee, Attendees
from hushroom_sfu.conversation.downstream import Downstream
from hushroom_sfu.conversation.limits import Limits
from hushroom_sfu.conversation.publishing import Publishing
from hushroom_sfu.conversation.session import Entropy, SignalingSession
from hushroom_sfu.conversation.transport import LocalTransport
from hushroom_sfu.conversation.upstream import Upstream
from hushroom_sfu.rooms.refusal import Refusal
from hushroom_sfu.rooms.room import PublicationRef, Room

__all__ = ["Meeting"]


class Meeting:
    """One room, its people and their legs. `len` is the number of participants. Times are monotonic seconds."""

    def __init__(self, room_id: RoomId, *, limits: Limits, outbox: Outbox, entropy: Entropy) -> None:
        self.room = Room(
            room_id, max_participants=limits.participants_per_room, max_tracks=limits.tracks_per_participant
        )
        self._limits = limits
        self._outbox = outbox
        self._entropy = entropy
        self._attendees = Attendees(self.room, outbox)
        self._publishing = Publishing(self.room, self._attendees, outbox)

    def __len__(self) -> int:
        return len(self._attendees)

    def __iter__(self) -> Iterator[Attendee]:
        return iter(self._attendees)

    def __getitem__(self, participant: ParticipantId) -> Attendee:
        return self._attendees[participant]

    # --- coming and going -----------------------------------------------------------------------------------------

    def join(self, session: SignalingSession, *, auto_subscribe: bool, resume_token: str, now: float) -> None:
        """Whom the session has admitted comes in. That there is a place for him is the caller's duty."""
        assert session.participant is not None
        assert session.grants is not None
        grants = session.grants
        member = self.room.join(
            session.participant, grants.identity, auto_subscribe=auto_subscribe and grants.may_subscribe
        )
        one = Attendee(
            member,
            session,
            Upstream(member.id, session, self._outbox),
            Downstream(member, session, self._outbox, self._limits, self._entropy),
        )
        self._attendees.add(one)
        joined = Joined(
            member.id,
            member.identity,
            self.room.id,
            resume_token,
            self._others(one),
            None if grants.expires_at is None else grants.expires_at - now,
            grants.may_publish,
            grants.may_subscribe,
        )
        self._attendees.tell(one, joined)
        self._tell_key_steps(one)
        self._attendees.tell_others(one, ParticipantJoined(member.info()))
        self._attendees.note(RoomEventKind.PARTICIPANT_JOINED, one)
        for ref in member.subscriptions:
            one.down.want(ref, self._track(ref))
        self.settle(now)

    def detached(self, participant: ParticipantId) -> None:
        """A client's WebSocket is gone; its media flows on."""
        self._attendees.note(RoomEventKind.PARTICIPANT_DETACHED, self[participant])

    def resumed(self, participant: ParticipantId, resume_token: str, now: float) -> None:
        """A client is back: tell it how everything is now, whatever it missed."""
        one = self[participant]
        self._attendees.tell(one, Resumed(resume_token, self._others(one), one.down.seats.slots))
        for role in sorted(one.untold_losses):
            self._attendees.tell(one, LegLost(role))
        one.untold_losses.clear()
        self._tell_key_steps(one)
        self._attendees.note(RoomEventKind.PARTICIPANT_RESUMED, one)
        one.down.resumed()
        self.settle(now)

    def end(self, participant: ParticipantId, reason: LeaveReason, now: float) -> None:
        """A participant is out, with all that he published and received. His session has ended before."""
        one = self._attendees.remove(participant)
        self._publishing.close_leg(one, is_leaving=True)
        one.down.close()
        self.room.leave(participant)
        self._attendees.tell_others(one, ParticipantLeft(participant, reason))
        self._attendees.note(RoomEventKind.PARTICIPANT_LEFT, one, reason)
        self.settle(now)

    def regranted(self, participant: ParticipantId, now: float) -> None:
        """A fresh token may allow less than the last one did: what it does not allow ends."""
        one = self[participant]
        assert one.session.grants is not None
        if not one.session.grants.may_publish:
            self._publishing.close_leg(one)
        if not one.session.grants.may_subscribe:
            one.member.auto_subscribe = False
            for ref in tuple(one.member.subscriptions):
                self._unsubscribe(one, ref)
        self.settle(now)

    # --- what participants ask for --------------------------------------------------------------------------------

    def hear(self, participant: ParticipantId, message: ClientMessage, now: float) -> None:
        """A request of a participant whose session let it pass. Raises `Refusal` or `ProtocolError`."""
        one = self[participant]
        match message:
            case Offer():
                self._publishing.offer(one, message)
            case Answer():
                one.down.answered(message)
            case Unpublish(publication):
                self._publishing.unpublish(one, publication)
            case Mute(publication, muted):
                if self.room.mute(participant, publication, muted=muted):
                    self._attendees.tell_others(one, TrackMuted(participant, publication, muted))
            case Subscribe(publisher, publication, max_temporal_id):
                self._subscribe(one, PublicationRef(publisher, publication), max_temporal_id)
            case Unsubscribe(publisher, publication):
                self._unsubscribe(one, PublicationRef(publisher, publication))
            case KeyStep(key_index, step):
                one.member.key_step = message
                self._attendees.tell_others(one, KeyStepHint(participant, key_index, step))
            case Join() | Resume() | RenewToken() | Leave():
                raise ValueError(f"{type(message).__name__} is for the switchboard")
            case _:
                assert_never(message)
        self.settle(now)

    def refuse(self, participant: ParticipantId, regarding: str, refusal: Refusal) -> None:
        """Tell a participant that a request was not carried out."""
        self._attendees.refuse(self[participant], regarding, refusal)

    # --- legs -----------------------------------------------------------------------------------------------------

    def leg_opened(
        self, participant: ParticipantId, role: LegRole, leg: LegId, local: LocalTransport, now: float
    ) -> None:
        """A leg that was asked for is there."""
        one = self[participant]
        if role is LegRole.PUBLISHER:
            self._publishing.leg_opened(one, leg, local)
        else:
            one.down.opened(leg, local)
        self.settle(now)

    def leg_restarted(self, participant: ParticipantId, leg: LegId, local: LocalTransport, now: float) -> None:
        """A publisher leg has the new credentials that were asked for."""
        self._publishing.leg_restarted(self[participant], leg, local)
        self.settle(now)

    def leg_event(self, participant: ParticipantId, role: LegRole, event: LegEvent, now: float) -> None:
        """A leg has connected, or is lost; a lost one is closed, and what went over it ends."""
        one = self[participant]
        one.has_lost_a_leg = event is not LegEvent.CONNECTED
        if event is LegEvent.CONNECTED:
            self._attendees.note(RoomEventKind.LEG_CONNECTED, one, role)
            if role is LegRole.SUBSCRIBER:
                one.down.connected(now)
        else:
            self._attendees.note(RoomEventKind.LEG_LOST, one, f"{role} {event}")
            if role is LegRole.PUBLISHER:
                self._publishing.close_leg(one)
            else:
                one.down.lost(now)
            if one.session.connection is None:
                one.untold_losses.add(role)
            self._attendees.tell(one, LegLost(role))
        self.settle(now)

    def settle(self, now: float) -> None:
        """Carry out what the last input, or the time, made possible: slots told, media started, seats offered."""
        for one in self:
            one.down.settle(now)

    def next_deadline(self) -> float | None:
        """When `settle` will next have something to do by the time alone."""
        return min((at for one in self if (at := one.down.next_deadline()) is not None), default=None)

    # --- inside ---------------------------------------------------------------------------------------------------

    def _subscribe(self, one: Attendee, ref: PublicationRef, max_temporal_id: int | None) -> None:
        if self.room.subscribe(one.member.id, ref, max_temporal_id):
            one.down.want(ref, self._track(ref))
        else:
            one.down.limit(ref, max_temporal_id)

    def _unsubscribe(self, one: Attendee, ref: PublicationRef) -> None:
        if self.room.unsubscribe(one.member.id, ref):
            one.down.unwant(ref)

    def _track(self, ref: PublicationRef) -> TrackInfo:
        return self.room[ref.publisher].tracks[ref.publication]

    def _others(self, one: Attendee) -> tuple[ParticipantInfo, ...]:
        return tuple(other.info() for other in self.room.others(one.member.id))

    def _tell_key_steps(self, one: Attendee) -> None:
        for other in self.room.others(one.member.id):
            if other.key_step is not None:
                self._attendees.tell(one, KeyStepHint(other.id, other.key_step.key_index, other.key_step.step))
