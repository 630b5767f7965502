"""What a client's session asks its shell to do: at once, and in order. Pure."""

from dataclasses import dataclass

from hushroom_client.events import ConnectionLost, Reconnected, Reconnecting
from hushroom_client.publishing import Settled
from hushroom_client.roster import RosterChange
from hushroom_common.ids import Identity, LegRole, ParticipantId
from hushroom_common.signaling import ClientMessage, CloseCode

__all__ = [
    "AnswerOffer",
    "ApplyAnswer",
    "Connect",
    "Disconnect",
    "DropLeg",
    "Emit",
    "Entered",
    "KeyHint",
    "MakeOffer",
    "NotEntered",
    "Over",
    "Send",
    "SessionAction",
    "TokenLasts",
    "TurnedDown",
]


@dataclass(frozen=True, slots=True)
class Connect:
    """Open a WebSocket, and report it by `connected` or `disconnected`."""


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Close the WebSocket once everything is sent. What it still reads is of no interest."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send a message on the WebSocket."""

    message: ClientMessage


@dataclass(frozen=True, slots=True)
class MakeOffer:
    """Offer all that is published on the publisher connection of that generation, and report it by `offered`."""

    generation: int


@dataclass(frozen=True, slots=True)
class ApplyAnswer:
    """The answer to the last offer. Report by `applied`."""

    generation: int
    sdp: str


@dataclass(frozen=True, slots=True)
class AnswerOffer:
    """The server's offer on the subscriber connection of that generation. Report by `answered`."""

    generation: int
    number: int
    sdp: str


@dataclass(frozen=True, slots=True)
class DropLeg:
    """Close a peer connection: what comes next is for another one."""

    role: LegRole


@dataclass(frozen=True, slots=True)
class KeyHint:
    """What somebody says that he seals with; to be believed only as far as it opens frames."""

    identity: Identity
    key_index: int
    step: int


@dataclass(frozen=True, slots=True)
class Entered:
    """We are in."""

    participant: ParticipantId


@dataclass(frozen=True, slots=True)
class TokenLasts:
    """How long we may stay with the token that the server has now, in seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class TurnedDown:
    """The server did not do what was asked; `regarding` is the request's message type."""

    regarding: str
    code: CloseCode


@dataclass(frozen=True, slots=True)
class NotEntered:
    """We were not let in. `code` is None where no server answered; then `reason` says how that came."""

    reason: str
    code: CloseCode | None = None


@dataclass(frozen=True, slots=True)
class Emit:
    """Something happened to the connection."""

    event: Reconnecting | Reconnected | ConnectionLost


@dataclass(frozen=True, slots=True)
class Over:
    """The session has ended: clean up."""


SessionAction = (
    Connect
    | Disconnect
    | Send
    | MakeOffer
    | ApplyAnswer
    | AnswerOffer
    | DropLeg
    | KeyHint
    | Entered
    | TokenLasts
    | TurnedDown
    | NotEntered
    | Emit
    | Over
    | Settled
    | RosterChange
)
