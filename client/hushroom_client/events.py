"""What happens in a room, as frozen dataclasses; a pyee handler and `Room.events()` get the same ones.

A handler is registered under the class's name in snake case: `room.on("track_subscribed", show)`.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hushroom_client.e2ee.outcomes import RejectReason
from hushroom_client.e2ee.participant_state import E2EEState
from hushroom_common.signaling import CloseCode, LeaveReason

if TYPE_CHECKING:  # they lead to codecs and the event loop; what happens needs neither
    from hushroom_client.remote import RemoteParticipant, RemoteTrack

__all__ = [
    "EVENT_NAMES",
    "ConnectionLost",
    "E2EEStateChanged",
    "Event",
    "FrameRejected",
    "ParticipantJoined",
    "ParticipantLeft",
    "Reconnected",
    "Reconnecting",
    "TrackMuted",
    "TrackPublished",
    "TrackSubscribed",
    "TrackUnpublished",
    "TrackUnsubscribed",
]


@dataclass(frozen=True, slots=True)
class ParticipantJoined:
    """Somebody is in the room."""

    participant: "RemoteParticipant"


@dataclass(frozen=True, slots=True)
class ParticipantLeft:
    """Somebody is gone, and his tracks with him."""

    participant: "RemoteParticipant"
    reason: LeaveReason


@dataclass(frozen=True, slots=True)
class TrackPublished:
    """Somebody else's new track. It is not received before `TrackSubscribed`."""

    participant: "RemoteParticipant"
    track: "RemoteTrack"


@dataclass(frozen=True, slots=True)
class TrackUnpublished:
    """Somebody else's track is over."""

    participant: "RemoteParticipant"
    track: "RemoteTrack"


@dataclass(frozen=True, slots=True)
class TrackSubscribed:
    """A track is received from now on. Comes again for the same track after `TrackUnsubscribed`."""

    participant: "RemoteParticipant"
    track: "RemoteTrack"


@dataclass(frozen=True, slots=True)
class TrackUnsubscribed:
    """A track is not received any more, for now or for good: its sinks are closed and its iterators end."""

    participant: "RemoteParticipant"
    track: "RemoteTrack"


@dataclass(frozen=True, slots=True)
class TrackMuted:
    """Somebody else's track pauses or goes on, as he says."""

    participant: "RemoteParticipant"
    track: "RemoteTrack"
    is_muted: bool


@dataclass(frozen=True, slots=True)
class E2EEStateChanged:
    """It stands differently with a participant's frames: opening, missing key, different key or not sealed."""

    participant: "RemoteParticipant"
    state: E2EEState


@dataclass(frozen=True, slots=True)
class FrameRejected:
    """Frames of a track failed to open and were dropped: `count` since the last such event, one event a second."""

    participant: "RemoteParticipant"
    track: "RemoteTrack"
    reason: RejectReason
    count: int = 1


@dataclass(frozen=True, slots=True)
class Reconnecting:
    """The signaling connection is lost and being resumed. Media flows on meanwhile."""


@dataclass(frozen=True, slots=True)
class Reconnected:
    """The signaling connection is back; what was missed has been made up for."""


@dataclass(frozen=True, slots=True)
class ConnectionLost:
    """The room is over for us: its last event. `reason` is a sentence, `code` the server's if it had one."""

    reason: str
    code: CloseCode | None = None


Event = (
    ParticipantJoined
    | ParticipantLeft
    | TrackPublished
    | TrackUnpublished
    | TrackSubscribed
    | TrackUnsubscribed
    | TrackMuted
    | E2EEStateChanged
    | FrameRejected
    | Reconnecting
    | Reconnected
    | ConnectionLost
)

EVENT_NAMES: dict[type[object], str] = {
    ParticipantJoined: "participant_joined",
    ParticipantLeft: "participant_left",
    TrackPublished: "track_published",
    TrackUnpublished: "track_unpublished",
    TrackSubscribed: "track_subscribed",
    TrackUnsubscribed: "track_unsubscribed",
    TrackMuted: "track_muted",
    E2EEStateChanged: "e2ee_state_changed",
    FrameRejected: "frame_rejected",
    Reconnecting: "reconnecting",
    Reconnected: "reconnected",
    ConnectionLost: "connection_lost",
}
