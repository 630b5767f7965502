"""What the control plane asks its shell to do: at once, in order. And how the shell reports on legs."""

from dataclasses import dataclass
from enum import StrEnum

from hushroom_common.ids import LegId, LegRole, ParticipantId, RoomId
from hushroom_common.signaling.messages import Closed, ServerMessage
from hushroom_sfu.conversation.session import ConnectionId, SignalingSession
from hushroom_sfu.conversation.transport import RemoteTransport
from hushroom_sfu.core.specs import DownTrackSpec, UpTrackSpec
from hushroom_sfu.rooms.room import PublicationRef

__all__ = [
    "Action",
    "AssignSlot",
    "CloseConnection",
    "CloseLeg",
    "ConnectLeg",
    "LegEvent",
    "LimitSlot",
    "OpenLeg",
    "Outbox",
    "PublishTrack",
    "ReleaseSlot",
    "RestartIce",
    "RoomEvent",
    "RoomEventKind",
    "Send",
    "UnpublishTrack",
]


class LegEvent(StrEnum):
    """What becomes of a leg, as its transport sees it. After all but CONNECTED the leg is of no more use."""

    CONNECTED = "connected"
    SILENT = "silent"
    FAILED = "failed"
    CLOSED = "closed"


# --- WebSockets -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Send:
    """Send a message on a WebSocket."""

    connection: ConnectionId
    message: ServerMessage


@dataclass(frozen=True, slots=True)
class CloseConnection:
    """Send `closed`, unless it is None, and close the WebSocket. Nothing of it is heard any more."""

    connection: ConnectionId
    closed: Closed | None


# --- legs -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OpenLeg:
    """Open a leg and report it by `Switchboard.leg_opened`, at once or later."""

    participant: ParticipantId
    role: LegRole


@dataclass(frozen=True, slots=True)
class ConnectLeg:
    """The client has said who it is: let it in. Comes again with each offer or answer of a leg."""

    leg: LegId
    remote: RemoteTransport


@dataclass(frozen=True, slots=True)
class RestartIce:
    """Take new ICE credentials for a leg, which keeps the old until they are used; report by `leg_restarted`."""

    leg: LegId


@dataclass(frozen=True, slots=True)
class CloseLeg:
    """Close a leg that may have closed by itself already. Its tracks and slots were ended before."""

    leg: LegId


# --- media ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PublishTrack:
    """Accept a negotiated track of a publisher leg."""

    leg: LegId
    ref: PublicationRef
    spec: UpTrackSpec


@dataclass(frozen=True, slots=True)
class UnpublishTrack:
    """A track is over. Its leg may have closed by itself already."""

    ref: PublicationRef


@dataclass(frozen=True, slots=True)
class AssignSlot:
    """Send a publication on a slot of a connected subscriber leg. The slot of a mid always comes with the same spec."""

    leg: LegId
    spec: DownTrackSpec
    ref: PublicationRef
    max_temporal_id: int | None


@dataclass(frozen=True, slots=True)
class LimitSlot:
    """Change how many temporal layers an assigned slot gets; None is all."""

    leg: LegId
    mid: str
    max_temporal_id: int | None


@dataclass(frozen=True, slots=True)
class ReleaseSlot:
    """Send nothing on a slot any more. Its leg may have closed by itself already."""

    leg: LegId
    mid: str


# --- for logs and metrics ---------------------------------------------------------------------------------------


class RoomEventKind(StrEnum):
    """The steps in the life of a room."""

    ROOM_OPENED = "room_opened"
    ROOM_CLOSED = "room_closed"
    PARTICIPANT_JOINED = "participant_joined"
    PARTICIPANT_DETACHED = "participant_detached"
    PARTICIPANT_RESUMED = "participant_resumed"
    PARTICIPANT_LEFT = "participant_left"
    TRACK_PUBLISHED = "track_published"
    TRACK_UNPUBLISHED = "track_unpublished"
    LEG_CONNECTED = "leg_connected"
    LEG_LOST = "leg_lost"
    REQUEST_REFUSED = "request_refused"


@dataclass(frozen=True, slots=True)
class RoomEvent:
    """Something to log and count. `detail` is a word out of an enumeration of ours, never a client's text."""

    kind: RoomEventKind
    room: RoomId
    participant: ParticipantId | None = None
    detail: str = ""


Action = (
    Send
    | CloseConnection
    | OpenLeg
    | ConnectLeg
    | RestartIce
    | CloseLeg
    | PublishTrack
    | UnpublishTrack
    | AssignSlot
    | LimitSlot
    | ReleaseSlot
    | RoomEvent
)


class Outbox:
    """Where the parts of the control plane put what is to be done, in order, while they handle one input."""

    def __init__(self) -> None:
        self._actions: list[Action] = []

    def put(self, action: Action) -> None:
        """Add an action."""
        self._actions.append(action)

    def say(self, session: SignalingSession, message: ServerMessage) -> None:
        """Send a message if the client is there; one who resumes is told how everything is by then."""
        if session.connection is not None:
            self.put(Send(session.connection, message))

    def take(self) -> list[Action]:
        """All actions since the last time."""
        actions, self._actions = self._actions, []
        return actions
