"""The whole control plane behind one door: WebSockets, messages, legs and time go in, actions come out, in order.

Decides who comes in, who resumes, who is replaced and who has to go; what people say in a room is `meeting`'s.
Pure: no sockets, clocks or chance; `now` is monotonic seconds and never goes back.
"""

from collections.abc import Callable
from dataclasses import dataclass

from hushroom_common.errors import ProtocolError
from hushroom_common.ids import Identity, LegId, LegRole, ParticipantId, RoomId
from hushroom_common.signaling.json_form import message_type
from hushroom_common.signaling.messages import (
    PROTOCOL_VERSION,
    ClientMessage,
    CloseCode,
    Closed,
    Join,
    Leave,
    LeaveReason,
    RenewToken,
    Resume,
    TokenRenewed,
)
from hushroom_sfu.conversation.actions import (
    Action,
    CloseConnection,
    CloseLeg,
    LegEvent,
    Outbox,
    RoomEvent,
    RoomEventKind,
)
from hushroom_sfu.conversation.limits import Limits
from hushroom_sfu.conversation.meeting import Meeting
from hushroom_sfu.conversation.session import ConnectionId, Entropy, Grants, SignalingSession
from hushroom_sfu.conversation.transport import LocalTransport
from hushroom_sfu.rooms.refusal import Refusal
from hushroom_sfu.rooms.registry import Registry

__all__ = ["Admit", "Counts", "Switchboard"]

Admit = Callable[[RoomId, Identity, str | None, float], Grants]
"""What a token (None: no token) allows in that room, to that identity, at that time. Raises ProtocolError."""

_PARTICIPANT_ID_BYTES = 10


@dataclass(frozen=True, slots=True)
class Counts:
    """What there is now, for metrics. All zero when everybody has gone."""

    rooms: int
    participants: int
    publications: int
    legs: int
    connections: int
    unjoined_connections: int


class Switchboard:
    """Sessions and rooms of one server. Every method returns what is to be done, in that order."""

    def __init__(self, *, admit: Admit, entropy: Entropy, limits: Limits | None = None) -> None:
        self._admit = admit
        self._entropy = entropy
        self._limits = limits or Limits()
        self._outbox = Outbox()
        self._rooms: Registry[Meeting] = Registry(self._open_room)
        self._unjoined: dict[ConnectionId, SignalingSession] = {}
        self._speakers: dict[ConnectionId, ParticipantId] = {}
        self._meetings: dict[ParticipantId, Meeting] = {}
        self._legs: dict[LegId, tuple[ParticipantId, LegRole]] = {}
        self._is_draining = False

    @property
    def counts(self) -> Counts:
        """What there is now."""
        return Counts(
            rooms=len(self._rooms),
            participants=len(self._meetings),
            publications=sum(len(meeting.room.publications()) for meeting in self._rooms),
            legs=len(self._legs),
            connections=len(self._unjoined) + len(self._speakers),
            unjoined_connections=len(self._unjoined),
        )

    # --- WebSockets -----------------------------------------------------------------------------------------------

    def connected(self, connection: ConnectionId, now: float) -> list[Action]:
        """A WebSocket is open; who it is will be seen."""
        if len(self._unjoined) >= self._limits.unjoined_connections:
            busy = Closed(CloseCode.SERVER_BUSY, "too many connections have not joined yet; try again soon")
            self._outbox.put(CloseConnection(connection, busy))
        else:
            self._unjoined[connection] = SignalingSession(connection, now, self._limits)
        return self._done()

    def received(self, connection: ConnectionId, message: ClientMessage, now: float) -> list[Action]:
        """A client said something."""
        session = self._session(connection)
        if session is None:
            return []  # it said so just before it was closed
        try:
            session.hear(message, now)
            self._carry_out(session, message, now)
        except Refusal as refusal:
            if session.participant is None:
                self._end(session, Closed(refusal.code, str(refusal)), now)
            else:
                self._meetings[session.participant].refuse(session.participant, message_type(message), refusal)
        except ProtocolError as error:
            self._end(session, _closed(error), now)
        return self._done()

    def misspoke(self, connection: ConnectionId, code: CloseCode, message: str, now: float) -> list[Action]:
        """A client sent what is no message at all: too big, or nothing that can be read."""
        session = self._session(connection)
        if session is not None:
            self._end(session, Closed(code, message), now)
        return self._done()

    def disconnected(self, connection: ConnectionId, now: float) -> list[Action]:
        """A WebSocket is gone, however that came. After `CloseConnection` this is no news."""
        session = self._unjoined.pop(connection, None)
        if session is not None:
            session.detach(now)
        participant = self._speakers.pop(connection, None)
        if participant is not None:
            meeting = self._meetings[participant]
            meeting[participant].session.detach(now)
            meeting.detached(participant)
            self._end_if_gone(participant, now)
        return self._done()

    # --- legs -----------------------------------------------------------------------------------------------------

    def leg_opened(
        self, participant: ParticipantId, role: LegRole, leg: LegId, local: LocalTransport, now: float
    ) -> list[Action]:
        """The leg of an `OpenLeg` is there; `local` is what the SDP says of it."""
        meeting = self._meetings.get(participant)
        if meeting is None or not meeting[participant].awaits_leg(role):
            self._outbox.put(CloseLeg(leg))  # whoever it was for has left meanwhile
        else:
            self._legs[leg] = participant, role
            meeting.leg_opened(participant, role, leg, local, now)
        return self._done()

    def leg_restarted(self, leg: LegId, local: LocalTransport, now: float) -> list[Action]:
        """The new ICE credentials of a `RestartIce` are there."""
        known = self._legs.get(leg)
        if known is not None:
            participant, _ = known
            self._meetings[participant].leg_restarted(participant, leg, local, now)
        return self._done()

    def leg_event(self, leg: LegId, event: LegEvent, now: float) -> list[Action]:
        """Something became of a leg. Of a leg that was closed here this is no news."""
        known = self._legs.get(leg)
        if known is not None:
            participant, role = known
            self._meetings[participant].leg_event(participant, role, event, now)
            self._end_if_gone(participant, now)
        return self._done()

    # --- time -----------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> list[Action]:
        """What is due by the time: call it at `next_deadline`, or more often."""
        for session in self._all_sessions():
            overdue = session.overdue(now)
            if overdue is not None:
                is_lost = overdue.code == CloseCode.NOT_RESUMABLE
                reason = LeaveReason.CONNECTION_LOST if is_lost else LeaveReason.REMOVED
                self._end(session, _closed(overdue), now, reason)
        for meeting in self._rooms:
            meeting.settle(now)
        return self._done()

    def next_deadline(self) -> float | None:
        """When `tick` will have something to do, if nothing else happens before."""
        deadlines = [session.next_deadline() for session in self._unjoined.values()]
        for meeting in self._rooms:
            deadlines += [one.session.next_deadline() for one in meeting]
            deadlines.append(meeting.next_deadline())
        return min((at for at in deadlines if at is not None), default=None)

    # --- the end --------------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Let nobody in any more; who is in may go on, and resume, until `shut_down`."""
        self._is_draining = True

    def shut_down(self, now: float) -> list[Action]:
        """End everything."""
        self.drain()
        for session in self._all_sessions():
            self._end(session, Closed(CloseCode.SERVER_DRAINING, "the server is going down"), now)
        return self._done()

    # --- inside ---------------------------------------------------------------------------------------------------

    def _carry_out(self, session: SignalingSession, message: ClientMessage, now: float) -> None:
        match message:
            case Join():
                self._join(session, message, now)
            case Resume():
                self._resume(session, message, now)
            case Leave():
                self._end(session, None, now, LeaveReason.LEFT)
            case RenewToken(token):
                self._renew(session, token, now)
            case _:
                assert session.participant is not None
                self._meetings[session.participant].hear(session.participant, message, now)

    def _join(self, session: SignalingSession, join: Join, now: float) -> None:
        _check_version(join.version)
        if self._is_draining:
            raise Refusal(CloseCode.SERVER_DRAINING, "the server is going down; join another one")
        grants = self._admit(join.room, join.identity, join.token, now)
        if (grants.room, grants.identity) != (join.room, join.identity):
            raise Refusal(CloseCode.BAD_TOKEN, "the token is for another room or identity")
        self._replace_earlier(join, now)
        meeting = self._rooms.enter(join.room)
        meeting.room.require_place()
        if len(meeting) == 0:
            self._outbox.put(RoomEvent(RoomEventKind.ROOM_OPENED, join.room))
        assert session.connection is not None
        participant = ParticipantId(self._entropy(_PARTICIPANT_ID_BYTES).hex())
        resume_token = session.admit(participant, grants, self._entropy)
        del self._unjoined[session.connection]
        self._speakers[session.connection] = participant
        self._meetings[participant] = meeting
        meeting.join(session, auto_subscribe=join.auto_subscribe, resume_token=resume_token, now=now)

    def _replace_earlier(self, join: Join, now: float) -> None:
        meeting = self._rooms.get(join.room)
        earlier = meeting.room.by_identity(join.identity) if meeting is not None else None
        if meeting is not None and earlier is not None:
            closed = Closed(CloseCode.JOINED_ELSEWHERE, "the same identity has joined from elsewhere")
            self._end(meeting[earlier.id].session, closed, now, LeaveReason.JOINED_ELSEWHERE)

    def _resume(self, newcomer: SignalingSession, resume: Resume, now: float) -> None:
        _check_version(resume.version)
        participant = SignalingSession.resumed_by(resume.resume_token)
        meeting = self._meetings.get(participant)
        session = meeting[participant].session if meeting is not None else None
        if meeting is None or session is None or not session.may_resume(resume.resume_token):
            raise Refusal(CloseCode.NOT_RESUMABLE, "there is no such session any more; join again")
        if session.connection is not None:
            # The client knows before the server does that its last WebSocket is dead.
            del self._speakers[session.connection]
            closed = Closed(CloseCode.JOINED_ELSEWHERE, "the session goes on over another connection")
            self._outbox.put(CloseConnection(session.connection, closed))
        assert newcomer.connection is not None
        connection = newcomer.connection
        del self._unjoined[connection]
        newcomer.end()
        self._speakers[connection] = participant
        meeting.resumed(participant, session.resume(connection, self._entropy), now)

    def _renew(self, session: SignalingSession, token: str, now: float) -> None:
        assert session.grants is not None
        assert session.participant is not None
        try:
            grants = self._admit(session.grants.room, session.grants.identity, token, now)
        except ProtocolError as error:
            raise Refusal(CloseCode(error.code), str(error)) from error  # the old token is good until it expires
        if grants.expires_at is None:
            raise Refusal(CloseCode.BAD_TOKEN, "this session does not end with a token")
        session.renew(grants)
        self._outbox.say(session, TokenRenewed(grants.expires_at - now))
        self._meetings[session.participant].regranted(session.participant, now)

    def _end_if_gone(self, participant: ParticipantId, now: float) -> None:
        one = self._meetings[participant][participant]
        if one.is_gone:
            self._end(one.session, None, now, LeaveReason.CONNECTION_LOST)

    def _end(
        self, session: SignalingSession, closed: Closed | None, now: float, reason: LeaveReason = LeaveReason.REMOVED
    ) -> None:
        """End a session, and with it a participant's stay. `closed` is what a client that is there is told."""
        connection = session.connection
        session.end()
        if connection is not None:
            self._unjoined.pop(connection, None)
            self._speakers.pop(connection, None)
            self._outbox.put(CloseConnection(connection, closed))
        if session.participant is not None:
            meeting = self._meetings.pop(session.participant)
            meeting.end(session.participant, reason, now)
            if self._rooms.release(meeting.room.id):
                self._outbox.put(RoomEvent(RoomEventKind.ROOM_CLOSED, meeting.room.id))

    def _session(self, connection: ConnectionId) -> SignalingSession | None:
        participant = self._speakers.get(connection)
        if participant is not None:
            return self._meetings[participant][participant].session
        return self._unjoined.get(connection)

    def _all_sessions(self) -> list[SignalingSession]:
        joined = [meeting[participant].session for participant, meeting in self._meetings.items()]
        return [*self._unjoined.values(), *joined]

    def _open_room(self, room_id: RoomId) -> Meeting:
        return Meeting(room_id, limits=self._limits, outbox=self._outbox, entropy=self._entropy)

    def _done(self) -> list[Action]:
        actions = self._outbox.take()
        for action in actions:
            if isinstance(action, CloseLeg):
                self._legs.pop(action.leg, None)
        return actions


def _check_version(version: int) -> None:
    if version != PROTOCOL_VERSION:
        raise Refusal(CloseCode.UNSUPPORTED_VERSION, f"this server speaks version {PROTOCOL_VERSION} of the protocol")


def _closed(error: ProtocolError) -> Closed:
    return Closed(CloseCode(error.code), str(error))
