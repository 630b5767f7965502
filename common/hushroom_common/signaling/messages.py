"""What client and server say to each other over the WebSocket, as frozen dataclasses. Their JSON form is `json_form`.

The server is untrusted: nothing in these messages decides what a client seals, opens or shows as verified.
"""

from dataclasses import dataclass
from enum import StrEnum

from hushroom_common.ids import Codec, Identity, Kind, LegRole, ParticipantId, PublicationId, RoomId, Source

__all__ = [
    "PROTOCOL_VERSION",
    "Answer",
    "ClientMessage",
    "CloseCode",
    "Closed",
    "Join",
    "Joined",
    "KeyStep",
    "KeyStepHint",
    "Leave",
    "LeaveReason",
    "LegLost",
    "Mute",
    "Offer",
    "OfferedTrack",
    "ParticipantInfo",
    "ParticipantJoined",
    "ParticipantLeft",
    "Refused",
    "RenewToken",
    "Resume",
    "Resumed",
    "ServerMessage",
    "Slot",
    "Slots",
    "Subscribe",
    "TokenRenewed",
    "TrackInfo",
    "TrackMuted",
    "TrackPublished",
    "TrackUnpublished",
    "Unpublish",
    "Unsubscribe",
]

PROTOCOL_VERSION = 1


class CloseCode(StrEnum):
    """Why the server ends a session or refuses a request; `Closed.message` says what would work."""

    BAD_TOKEN = "bad_token"  # noqa: S105 (a word, not a password)
    TOKEN_EXPIRED = "token_expired"  # noqa: S105
    NOT_ALLOWED = "not_allowed"
    ROOM_FULL = "room_full"
    TOO_MANY_TRACKS = "too_many_tracks"
    NO_SUCH_PUBLICATION = "no_such_publication"
    NO_FREE_SLOT = "no_free_slot"
    CODEC_NOT_SUPPORTED = "codec_not_supported"
    JOINED_ELSEWHERE = "joined_elsewhere"
    UNSUPPORTED_VERSION = "unsupported_version"
    PROTOCOL_ERROR = "protocol_error"
    RATE_LIMITED = "rate_limited"
    MESSAGE_TOO_BIG = "message_too_big"
    NOT_RESUMABLE = "not_resumable"
    SERVER_BUSY = "server_busy"
    SERVER_DRAINING = "server_draining"


class LeaveReason(StrEnum):
    """Why a participant is no longer in the room."""

    LEFT = "left"
    JOINED_ELSEWHERE = "joined_elsewhere"
    CONNECTION_LOST = "connection_lost"
    REMOVED = "removed"


# --- what both directions are made of ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TrackInfo:
    """A publication as others see it. `e2ee` is the publisher's profile (`lk1`) or "none" for an unsealed one."""

    publication: PublicationId
    kind: Kind
    source: Source
    codec: Codec
    e2ee: str
    muted: bool = False


@dataclass(frozen=True, slots=True)
class OfferedTrack:
    """Which publication an m-line of a publisher's offer carries."""

    mid: str
    publication: PublicationId
    source: Source
    codec: Codec
    e2ee: str


@dataclass(frozen=True, slots=True)
class ParticipantInfo:
    """One person in the room."""

    participant: ParticipantId
    identity: Identity
    tracks: tuple[TrackInfo, ...] = ()


@dataclass(frozen=True, slots=True)
class Slot:
    """What an m-line of the subscriber connection carries now; both None while it is free."""

    mid: str
    participant: ParticipantId | None = None
    publication: PublicationId | None = None


# --- client to server -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Join:
    """The first message of a new session. `token` is None only where the server is open to anyone."""

    room: RoomId
    identity: Identity
    token: str | None = None
    auto_subscribe: bool = True
    version: int = PROTOCOL_VERSION


@dataclass(frozen=True, slots=True)
class Resume:
    """The first message of a WebSocket that takes over a session whose own was lost."""

    resume_token: str
    version: int = PROTOCOL_VERSION


@dataclass(frozen=True, slots=True)
class Offer:
    """An SDP offer: the client's for its publisher leg (with `tracks`), the server's for the subscriber leg.

    `number` rises by one with each offer of a leg; the `Answer` repeats it. `slots` is the server's only.
    """

    leg: LegRole
    number: int
    sdp: str
    tracks: tuple[OfferedTrack, ...] = ()
    slots: tuple[Slot, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """The SDP answer to the `Offer` of that leg and number."""

    leg: LegRole
    number: int
    sdp: str


@dataclass(frozen=True, slots=True)
class Unpublish:
    """Ends a publication; its m-line may be re-used by a later offer."""

    publication: PublicationId


@dataclass(frozen=True, slots=True)
class Mute:
    """Says that a publication pauses or goes on; others are told, media is the publisher's own affair."""

    publication: PublicationId
    muted: bool


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Asks for a publication, at most up to a temporal layer (None: all of them)."""

    participant: ParticipantId
    publication: PublicationId
    max_temporal_id: int | None = None


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """Gives a publication's slot back."""

    participant: ParticipantId
    publication: PublicationId


@dataclass(frozen=True, slots=True)
class KeyStep:
    """A hint for receivers: which key index and ratchet step this sender seals with now. Never a key."""

    key_index: int
    step: int


@dataclass(frozen=True, slots=True)
class RenewToken:
    """A fresh token for the same room and identity, before the old one ends."""

    token: str


@dataclass(frozen=True, slots=True)
class Leave:
    """Ends the session for good; there is nothing to resume."""


# --- server to client -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Joined:
    """The answer to `Join`. `token_expires_in_s` is None where no token was needed."""

    participant: ParticipantId
    identity: Identity
    room: RoomId
    resume_token: str
    participants: tuple[ParticipantInfo, ...]
    token_expires_in_s: float | None = None
    may_publish: bool = True
    may_subscribe: bool = True


@dataclass(frozen=True, slots=True)
class Resumed:
    """The answer to `Resume`: the room as it is now, and the resume token for the next time."""

    resume_token: str
    participants: tuple[ParticipantInfo, ...]
    slots: tuple[Slot, ...] = ()


@dataclass(frozen=True, slots=True)
class ParticipantJoined:
    """Somebody else came in."""

    info: ParticipantInfo


@dataclass(frozen=True, slots=True)
class ParticipantLeft:
    """Somebody else is gone."""

    participant: ParticipantId
    reason: LeaveReason


@dataclass(frozen=True, slots=True)
class TrackPublished:
    """Somebody else's new publication."""

    participant: ParticipantId
    track: TrackInfo


@dataclass(frozen=True, slots=True)
class TrackUnpublished:
    """Somebody else's publication is over."""

    participant: ParticipantId
    publication: PublicationId


@dataclass(frozen=True, slots=True)
class TrackMuted:
    """Somebody else's publication pauses or goes on."""

    participant: ParticipantId
    publication: PublicationId
    muted: bool


@dataclass(frozen=True, slots=True)
class Slots:
    """The slots that changed; a slot not named stays as it was."""

    slots: tuple[Slot, ...]


@dataclass(frozen=True, slots=True)
class KeyStepHint:
    """Another participant's `KeyStep`, relayed."""

    participant: ParticipantId
    key_index: int
    step: int


@dataclass(frozen=True, slots=True)
class TokenRenewed:
    """The answer to `RenewToken`."""

    token_expires_in_s: float


@dataclass(frozen=True, slots=True)
class LegLost:
    """One of the client's own legs has been silent for 10 s and was closed; a new offer builds a new one."""

    leg: LegRole


@dataclass(frozen=True, slots=True)
class Refused:
    """A request was not carried out; the session goes on. `regarding` is the request's message type.

    `participant` is the publisher of `publication` where that is not the receiver of this message.
    """

    code: CloseCode
    message: str
    regarding: str
    publication: PublicationId | None = None
    participant: ParticipantId | None = None


@dataclass(frozen=True, slots=True)
class Closed:
    """The server's last message before it closes the WebSocket."""

    code: CloseCode
    message: str


ClientMessage = (
    Join | Resume | Offer | Answer | Unpublish | Mute | Subscribe | Unsubscribe | KeyStep | RenewToken | Leave
)
ServerMessage = (
    Joined
    | Resumed
    | ParticipantJoined
    | ParticipantLeft
    | TrackPublished
    | TrackUnpublished
    | TrackMuted
    | Offer
    | Answer
    | Slots
    | KeyStepHint
    | TokenRenewed
    | LegLost
    | Refused
    | Closed
)
