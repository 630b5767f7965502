"""What can go wrong for somebody who uses a room; the messages are whole sentences for people."""

from hushroom_common.errors import HushroomError
from hushroom_common.signaling import CloseCode

__all__ = ["JoinFailed", "RequestRefused", "RoomClosed", "close_sentence"]

_SENTENCES = {
    CloseCode.BAD_TOKEN: "the server does not accept the token: get one for this room and name",
    CloseCode.TOKEN_EXPIRED: "the token has expired: get a fresh one and join again",
    CloseCode.NOT_ALLOWED: "the token does not allow this",
    CloseCode.ROOM_FULL: "the room is full",
    CloseCode.TOO_MANY_TRACKS: "too many tracks are published: unpublish one first",
    CloseCode.NO_SUCH_PUBLICATION: "there is no such publication any more",
    CloseCode.NO_FREE_SLOT: "no more tracks can be received: unsubscribe from one first",
    CloseCode.CODEC_NOT_SUPPORTED: "the other end cannot take this codec",
    CloseCode.JOINED_ELSEWHERE: "joined elsewhere: the same name has joined this room again, and only the newer stays",
    CloseCode.UNSUPPORTED_VERSION: "the server speaks another version of the protocol: update the older of the two",
    CloseCode.PROTOCOL_ERROR: "the server did not understand this client: are both of the same version?",
    CloseCode.RATE_LIMITED: "the server closed the session because of too many messages a second",
    CloseCode.MESSAGE_TOO_BIG: "the server closed the session because of a message that was too big",
    CloseCode.NOT_RESUMABLE: "the session could not be resumed: join again",
    CloseCode.SERVER_BUSY: "the server is busy: try again soon",
    CloseCode.SERVER_DRAINING: "the server is going down: join another one, or this one later",
}


def close_sentence(code: CloseCode) -> str:
    """Why the server refused or ended something, in our words: its own are never shown, for it could say anything."""
    return _SENTENCES[code]


class JoinFailed(HushroomError):
    """The room could not be joined. `code` is None where no server answered."""

    def __init__(self, message: str, code: CloseCode | None = None) -> None:
        super().__init__(message)
        self.code = code


class RequestRefused(HushroomError):
    """The server did not do what was asked; the room goes on."""

    def __init__(self, code: CloseCode) -> None:
        super().__init__(close_sentence(code))
        self.code = code


class RoomClosed(HushroomError):
    """The room was left or lost before this could be done."""
