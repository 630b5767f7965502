"""One client's conversation with the server as a table-driven state machine: who may say what, and when.

It outlives WebSockets: a session whose WebSocket was lost is DETACHED and can be resumed on another one. What the
messages *do* is the business of `meeting`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import NewType

from hushroom_common.errors import ProtocolError
from hushroom_common.ids import Identity, LegRole, ParticipantId, RoomId
from hushroom_common.secret import Secret
from hushroom_common.signaling.messages import (
    Answer,
    ClientMessage,
    CloseCode,
    Join,
    KeyStep,
    Leave,
    Mute,
    Offer,
    RenewToken,
    Resume,
    Subscribe,
    Unpublish,
    Unsubscribe,
)
from hushroom_sfu.conversation.limits import Limits
from hushroom_sfu.core.token_bucket import TokenBucket
from hushroom_sfu.rooms.refusal import Refusal

__all__ = ["SDP_CHARS_PER_MESSAGE", "ConnectionId", "Entropy", "Grants", "SessionState", "SignalingSession"]

ConnectionId = NewType("ConnectionId", int)
"""One WebSocket, numbered by whoever accepts it; numbers are not used twice."""

Entropy = Callable[[int], bytes]
"""So many unguessable bytes; `os.urandom` outside of tests."""

_RESUME_SECRET_BYTES = 24
_SEPARATOR = "."

SDP_CHARS_PER_MESSAGE = 7_000
"""A description counts as one message more for each so many characters, which cost up to 8 ms to read and answer."""


@dataclass(frozen=True, slots=True)
class Grants:
    """What a verified token allows. `expires_at` is on the clock of `now` (monotonic seconds); None is never."""

    room: RoomId
    identity: Identity
    may_publish: bool = True
    may_subscribe: bool = True
    expires_at: float | None = None


class SessionState(Enum):
    """Where a conversation stands."""

    AWAITING_JOIN = "awaiting join"
    JOINED = "joined"
    DETACHED = "detached"
    ENDED = "ended"


class _Cue(Enum):
    ADMITTED = "admitted"
    CONNECTION_LOST = "connection lost"
    RESUMED = "resumed"
    ENDED = "ended"


_NEXT: Mapping[tuple[SessionState, _Cue], SessionState] = {
    (SessionState.AWAITING_JOIN, _Cue.ADMITTED): SessionState.JOINED,
    (SessionState.AWAITING_JOIN, _Cue.CONNECTION_LOST): SessionState.ENDED,
    (SessionState.AWAITING_JOIN, _Cue.ENDED): SessionState.ENDED,
    (SessionState.JOINED, _Cue.CONNECTION_LOST): SessionState.DETACHED,
    # The client may notice that its WebSocket is gone before the server does.
    (SessionState.JOINED, _Cue.RESUMED): SessionState.JOINED,
    (SessionState.JOINED, _Cue.ENDED): SessionState.ENDED,
    (SessionState.DETACHED, _Cue.RESUMED): SessionState.JOINED,
    (SessionState.DETACHED, _Cue.ENDED): SessionState.ENDED,
}

_MAY_SAY: Mapping[SessionState, tuple[type, ...]] = {
    SessionState.AWAITING_JOIN: (Join, Resume),
    SessionState.JOINED: (
        Offer, Answer, Unpublish, Mute, Subscribe, Unsubscribe, KeyStep, RenewToken, Leave,
    ),
    SessionState.DETACHED: (),
    SessionState.ENDED: (),
}  # fmt: skip


class SignalingSession:
    """The rules of one conversation, from its first WebSocket's opening to its end. Times are monotonic seconds."""

    def __init__(self, connection: ConnectionId, now: float, limits: Limits) -> None:
        self.state = SessionState.AWAITING_JOIN
        self.connection: ConnectionId | None = connection
        self.participant: ParticipantId | None = None
        self.grants: Grants | None = None
        self._limits = limits
        self._bucket = TokenBucket(limits.messages_per_s, limits.messages_per_s, now)
        self._deadline: float | None = now + limits.join_timeout_s
        self._resume_token: Secret | None = None

    def hear(self, message: ClientMessage, now: float) -> None:
        """Check whether `message` may be said now.

        Raises `ProtocolError` where the session must be closed for it and `Refusal` where it goes on.
        """
        if not self._bucket.take(now, min(_weight(message), self._limits.messages_per_s)):
            raise ProtocolError(
                CloseCode.RATE_LIMITED, f"at most {self._limits.messages_per_s} messages a second are heard"
            )
        if not isinstance(message, _MAY_SAY[self.state]):
            expected = " or ".join(kind.__name__ for kind in _MAY_SAY[self.state]) or "nothing"
            raise ProtocolError(
                CloseCode.PROTOCOL_ERROR,
                f"{type(message).__name__} may not be said while {self.state.value}; expected {expected}",
            )
        self._check_turn(message)
        self._check_grants(message)

    # --- what moves the session -----------------------------------------------------------------------------------

    def admit(self, participant: ParticipantId, grants: Grants, entropy: Entropy) -> str:
        """The join was granted; returns the first resume token."""
        self._move(_Cue.ADMITTED)
        self.participant = participant
        self.grants = grants
        self._deadline = None
        return self._new_resume_token(entropy)

    def detach(self, now: float) -> None:
        """The WebSocket is gone. A joined session stays resumable for a while, any other has ended."""
        self._move(_Cue.CONNECTION_LOST)
        self.connection = None
        if self.state is SessionState.DETACHED:
            self._deadline = now + self._limits.resume_window_s

    def may_resume(self, token: str) -> bool:
        """Whether this is the resume token given out last; compared in constant time."""
        return self._resume_token is not None and self._resume_token == Secret(token.encode())

    def resume(self, connection: ConnectionId, entropy: Entropy) -> str:
        """Go on over another WebSocket; returns the next resume token, the last one is void."""
        self._move(_Cue.RESUMED)
        self.connection = connection
        self._deadline = None
        return self._new_resume_token(entropy)

    @staticmethod
    def resumed_by(token: str) -> ParticipantId:
        """Whose session a resume token claims to resume."""
        return ParticipantId(token.partition(_SEPARATOR)[0])

    def renew(self, grants: Grants) -> None:
        """Replace the grants by those of a fresh token, which must be for the same room and identity."""
        if self.grants is None or (grants.room, grants.identity) != (self.grants.room, self.grants.identity):
            raise Refusal(CloseCode.BAD_TOKEN, "a token is renewed by one for the same room and identity")
        self.grants = grants

    def end(self) -> None:
        """The conversation is over, whoever ended it."""
        self._move(_Cue.ENDED)
        self.connection = None
        self._deadline = None
        self._resume_token = None

    # --- time -----------------------------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """When `overdue` will next have something to say, if nothing else happens."""
        expires_at = self.grants.expires_at if self.grants is not None else None
        pending = [at for at in (self._deadline, expires_at) if at is not None]
        return min(pending) if pending and self.state is not SessionState.ENDED else None

    def overdue(self, now: float) -> ProtocolError | None:
        """Why the session must end now, if it must."""
        if self.state is SessionState.ENDED:
            return None
        if self.grants is not None and self.grants.expires_at is not None and now >= self.grants.expires_at:
            return ProtocolError(CloseCode.TOKEN_EXPIRED, "the token has expired; join again with a fresh one")
        if self._deadline is None or now < self._deadline:
            return None
        if self.state is SessionState.AWAITING_JOIN:
            limit_s = self._limits.join_timeout_s
            return ProtocolError(CloseCode.PROTOCOL_ERROR, f"Join or Resume is expected within {limit_s:g} s")
        return ProtocolError(CloseCode.NOT_RESUMABLE, "nobody resumed the session in time")

    # --- inside ---------------------------------------------------------------------------------------------------

    @staticmethod
    def _check_turn(message: ClientMessage) -> None:
        """The client offers on its publisher leg, the server on the subscriber leg: so that offers never cross."""
        if isinstance(message, Offer) and message.leg is not LegRole.PUBLISHER:
            raise ProtocolError(CloseCode.PROTOCOL_ERROR, "the server offers on the subscriber leg")
        if isinstance(message, Answer) and message.leg is not LegRole.SUBSCRIBER:
            raise ProtocolError(CloseCode.PROTOCOL_ERROR, "the server answers on the publisher leg")

    def _check_grants(self, message: ClientMessage) -> None:
        if self.grants is None:
            return
        if isinstance(message, (Offer, Unpublish, Mute, KeyStep)) and not self.grants.may_publish:
            raise Refusal(CloseCode.NOT_ALLOWED, "this token does not allow to publish")
        if isinstance(message, (Subscribe, Unsubscribe)) and not self.grants.may_subscribe:
            raise Refusal(CloseCode.NOT_ALLOWED, "this token does not allow to subscribe")

    def _new_resume_token(self, entropy: Entropy) -> str:
        token = f"{self.participant}{_SEPARATOR}{entropy(_RESUME_SECRET_BYTES).hex()}"
        self._resume_token = Secret(token.encode())
        return token

    def _move(self, cue: _Cue) -> None:
        following = _NEXT.get((self.state, cue))
        if following is None:
            raise ValueError(f"a session that is {self.state.value} cannot be {cue.value}")
        self.state = following


def _weight(message: ClientMessage) -> int:
    """As how many messages this one counts, for the time it takes."""
    return 1 + len(message.sdp) // SDP_CHARS_PER_MESSAGE if isinstance(message, Offer | Answer) else 1
