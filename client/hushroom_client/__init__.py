"""The Python client: join a room, seal what you send, open what you receive."""

from hushroom_client.e2ee import (
    E2EEManager,
    E2EEState,
    ParticipantKeyProvider,
    Ratchet,
    RejectReason,
    SharedKeyProvider,
)
from hushroom_client.errors import JoinFailed, RequestRefused, RoomClosed
from hushroom_client.events import (
    ConnectionLost,
    E2EEStateChanged,
    Event,
    FrameRejected,
    ParticipantJoined,
    ParticipantLeft,
    Reconnected,
    Reconnecting,
    TrackMuted,
    TrackPublished,
    TrackSubscribed,
    TrackUnpublished,
    TrackUnsubscribed,
)
from hushroom_client.local import LocalTrack
from hushroom_client.media.errors import MediaError
from hushroom_client.media.frames import EncodedFrame, FrameSink, FrameSource
from hushroom_client.media.recorder import Recorder
from hushroom_client.media.sources import Audio, Video
from hushroom_client.remote import RemoteParticipant, RemoteTrack
from hushroom_client.room import Room
from hushroom_client.signaling import BadServerUrl
from hushroom_client.stats import RoomStats

__all__ = [
    "Audio",
    "BadServerUrl",
    "ConnectionLost",
    "E2EEManager",
    "E2EEState",
    "E2EEStateChanged",
    "EncodedFrame",
    "Event",
    "FrameRejected",
    "FrameSink",
    "FrameSource",
    "JoinFailed",
    "LocalTrack",
    "MediaError",
    "ParticipantJoined",
    "ParticipantKeyProvider",
    "ParticipantLeft",
    "Ratchet",
    "Reconnected",
    "Reconnecting",
    "Recorder",
    "RejectReason",
    "RemoteParticipant",
    "RemoteTrack",
    "RequestRefused",
    "Room",
    "RoomClosed",
    "RoomStats",
    "SharedKeyProvider",
    "TrackMuted",
    "TrackPublished",
    "TrackSubscribed",
    "TrackUnpublished",
    "TrackUnsubscribed",
    "Video",
]
