"""The people of one meeting with the sessions and legs that serve them, and how they are told things."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from hushroom_common.ids import LegRole, ParticipantId
from hushroom_common.signaling.messages import Refused, ServerMessage
from hushroom_sfu.conversation.actions import Outbox, RoomEvent, RoomEventKind
from hushroom_sfu.conversation.downstream import Downstream
from hushroom_sfu.conversation.session import SignalingSession
from hushroom_sfu.conversation.upstream import Upstream
from hushroom_sfu.rooms.refusal import Refusal
from hushroom_sfu.rooms.room import Participant, Room

__all__ = ["Attendee", "Attendees"]


@dataclass(slots=True, eq=False)
class Attendee:
    """A participant with the session and the two legs that serve him."""

    member: Participant
    session: SignalingSession
    up: Upstream
    down: Downstream
    has_lost_a_leg: bool = False
    untold_losses: set[LegRole] = field(default_factory=set)
    """Legs lost while the client was away."""

    @property
    def is_gone(self) -> bool:
        """Neither WebSocket nor leg is left of a client that had a leg: it will hardly come back."""
        has_any = self.session.connection is not None or self.up.has_leg or self.down.has_leg
        return self.has_lost_a_leg and not has_any

    def awaits_leg(self, role: LegRole) -> bool:
        """Whether an `OpenLeg` for that role has not been answered by `leg_opened` yet."""
        return self.up.is_opening if role is LegRole.PUBLISHER else self.down.is_opening


class Attendees:
    """All attendees of one meeting by their participant ids."""

    def __init__(self, room: Room, outbox: Outbox) -> None:
        self._room = room
        self._outbox = outbox
        self._by_id: dict[ParticipantId, Attendee] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Attendee]:
        return iter(self._by_id.values())

    def __getitem__(self, participant: ParticipantId) -> Attendee:
        return self._by_id[participant]

    def add(self, one: Attendee) -> None:
        """Somebody came in."""
        self._by_id[one.member.id] = one

    def remove(self, participant: ParticipantId) -> Attendee:
        """Somebody is out."""
        return self._by_id.pop(participant)

    def tell(self, one: Attendee, message: ServerMessage) -> None:
        """Tell one of them, if he is there."""
        self._outbox.say(one.session, message)

    def tell_others(self, one: Attendee, message: ServerMessage) -> None:
        """Tell all but one."""
        for other in self:
            if other is not one:
                self._outbox.say(other.session, message)

    def refuse(self, one: Attendee, regarding: str, refusal: Refusal) -> None:
        """Tell somebody that his request was not carried out."""
        publisher = refusal.publisher if refusal.publisher != one.member.id else None
        self.tell(one, Refused(refusal.code, str(refusal), regarding, refusal.publication, publisher))
        self.note(RoomEventKind.REQUEST_REFUSED, one, f"{regarding} {refusal.code}")

    def note(self, kind: RoomEventKind, one: Attendee, detail: str = "") -> None:
        """Put a step of somebody's life into the log and the metrics."""
        self._outbox.put(RoomEvent(kind, self._room.id, one.member.id, detail))
