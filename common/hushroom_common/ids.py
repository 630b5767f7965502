"""Names of things, each with a type of its own so that they cannot be mixed up."""

from enum import StrEnum
from typing import NewType

__all__ = [
    "Codec",
    "Identity",
    "Kind",
    "LegId",
    "LegRole",
    "ParticipantId",
    "PublicationId",
    "RoomId",
    "Source",
]

RoomId = NewType("RoomId", str)
"""A room's name, chosen by people: 1-64 characters."""

Identity = NewType("Identity", str)
"""Who a participant says they are, 1-64 characters; keys belong to identities."""

ParticipantId = NewType("ParticipantId", str)
"""One join of an identity, minted by the server; a re-join gets a new one."""

PublicationId = NewType("PublicationId", str)
"""One published track, chosen by its publisher, unique within the participant."""

LegId = NewType("LegId", int)
"""One peer connection as the server sees it."""


class Kind(StrEnum):
    """The media type of a track, as in SDP's m-lines."""

    AUDIO = "audio"
    VIDEO = "video"


class Source(StrEnum):
    """What a track shows: a participant has at most one camera and one microphone seat; screen shares stand apart."""

    MICROPHONE = "microphone"
    CAMERA = "camera"
    SCREEN = "screen"
    SCREEN_AUDIO = "screen_audio"

    @property
    def kind(self) -> Kind:
        """Sound or picture."""
        return Kind.AUDIO if self in (Source.MICROPHONE, Source.SCREEN_AUDIO) else Kind.VIDEO


class LegRole(StrEnum):
    """The two peer connections of a participant: he offers on the first, the server on the second."""

    PUBLISHER = "publisher"
    SUBSCRIBER = "subscriber"


class Codec(StrEnum):
    """Codecs as named in SDP's rtpmap (RFC 8866), in lower case."""

    VP8 = "vp8"
    VP9 = "vp9"
    H264 = "h264"
    AV1 = "av1"
    OPUS = "opus"

    @property
    def kind(self) -> Kind:
        """Audio or video."""
        return Kind.AUDIO if self is Codec.OPUS else Kind.VIDEO

    @property
    def clock_rate(self) -> int:
        """The RTP clock in Hz (RFC 7587 §4.1 for Opus; 90 kHz for all video)."""
        return 48_000 if self is Codec.OPUS else 90_000
