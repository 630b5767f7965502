"""A client's session hears anything that a server can say, in any order, over WebSockets that come and go.

The input is lines: a JSON message of the server, or one word about the WebSocket, the shell or the time.
"""

from contextlib import suppress

from hushroom_client.publishing import LocalPublication
from hushroom_client.session import Session
from hushroom_client.session_actions import AnswerOffer, ApplyAnswer, MakeOffer, SessionAction
from hushroom_common.errors import WireError
from hushroom_common.ids import Codec, Identity, Kind, LegRole, ParticipantId, PublicationId, RoomId, Source
from hushroom_common.signaling import (
    Answer,
    CloseCode,
    Closed,
    Join,
    Joined,
    KeyStepHint,
    LeaveReason,
    LegLost,
    Offer,
    ParticipantInfo,
    ParticipantJoined,
    ParticipantLeft,
    Refused,
    Resumed,
    Slot,
    Slots,
    TrackInfo,
    TrackMuted,
    TrackPublished,
    TrackUnpublished,
    decode_server,
    encode,
)

_JOIN = Join(RoomId("standup"), Identity("ada"))
_CAMERA = LocalPublication(PublicationId("camera"), Source.CAMERA, Codec.VP8, "lk1")
_MOST_LINES = 64


class _Shell:
    """Does what the session asks for, at once and well."""

    def __init__(self) -> None:
        self.now = 0.0
        self.session = Session(_JOIN, profile="lk1", chance=lambda: 0.5)
        self.do(self.session.start(self.now))

    def do(self, actions: list[SessionAction]) -> None:
        for action in actions:
            match action:
                case MakeOffer(generation):
                    mids = {_CAMERA.publication: "0"}
                    self.do(self.session.offered(generation, "sdp", mids, self.now))
                case ApplyAnswer(generation, _):
                    self.do(self.session.applied(generation, [_CAMERA.publication], self.now))
                case AnswerOffer(generation, number, _):
                    self.do(self.session.answered(generation, number, "sdp"))

    def hear(self, line: str) -> None:
        match line:
            case "open":
                self.do(self.session.connected(self.now))
            case "gone":
                self.do(self.session.disconnected("gone", self.now))
            case "wait":
                self.now += 3
                self.do(self.session.tick(self.now))
            case "publish":
                self.do(self.session.publish(_CAMERA, self.now))
            case "unpublish":
                self.do(self.session.unpublish(_CAMERA.publication, self.now))
            case _:
                with suppress(WireError):
                    self.do(self.session.received(decode_server(line), self.now))


def corpus() -> list[bytes]:
    """A whole stay, with an interruption."""
    bo, camera = ParticipantId("p-bo"), PublicationId("camera")
    track = TrackInfo(camera, Kind.VIDEO, Source.CAMERA, Codec.VP8, "lk1")
    info = ParticipantInfo(bo, Identity("bo"), (track,))
    slots = (Slot("0", bo, camera),)
    joined = encode(Joined(ParticipantId("p-ada"), Identity("ada"), RoomId("standup"), "resume", (info,)))
    stay = [
        "open",
        joined,
        "publish",
        encode(Answer(LegRole.PUBLISHER, 1, "sdp")),
        encode(Offer(LegRole.SUBSCRIBER, 1, "sdp", slots=slots)),
        encode(Slots((Slot("0"),))),
        encode(KeyStepHint(bo, 0, 3)),
        encode(LegLost(LegRole.PUBLISHER)),
        encode(Refused(CloseCode.PROTOCOL_ERROR, "", "offer")),
        "gone",
        "wait",
        "open",
        encode(Resumed("resume-2", (), slots)),
        "unpublish",
        encode(Closed(CloseCode.JOINED_ELSEWHERE, "")),
    ]
    others = [
        "open",
        joined,
        encode(TrackMuted(bo, camera, True)),
        encode(TrackUnpublished(bo, camera)),
        encode(TrackPublished(bo, track)),
        encode(LegLost(LegRole.SUBSCRIBER)),
        encode(ParticipantLeft(bo, LeaveReason.LEFT)),
        encode(ParticipantJoined(info)),
    ]
    return ["\n".join(lines).encode() for lines in (stay, others)]


def fuzz(data: bytes) -> None:
    """Whatever is said, the session does not raise, and its deadlines end."""
    shell = _Shell()
    for line in data.decode(errors="replace").split("\n")[:_MOST_LINES]:
        shell.hear(line)
    for _ in range(64):
        deadline = shell.session.next_deadline()
        if deadline is None:
            break
        shell.now = max(shell.now, deadline)
        shell.do(shell.session.tick(shell.now))
