"""The answering half of ICE: a lite agent (RFC 8445 §2.5) that only responds to connectivity checks.

Pure: checks and `now` in, actions out. Sockets, DTLS and media live elsewhere. STUN is read and written by aioice.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from aioice import stun

from hushroom_common.errors import WireError
from hushroom_sfu.plane.drops import Drop
from hushroom_sfu.plane.routes import Route

__all__ = [
    "CONSENT_S",
    "PATH_SILENT_S",
    "Check",
    "CheckDropped",
    "IceAction",
    "IceCredentials",
    "IceLiteAgent",
    "PathSelected",
    "Respond",
]

CONSENT_S = 30.0
"""RFC 7675 §5.1: consent to send expires 30 s after the last valid check."""

PATH_SILENT_S = 3.0
"""After this silence of the selected path, any valid check from elsewhere takes over: not every ICE implementation
repeats USE-CANDIDATE in its consent checks."""

_BINDING_REQUEST = struct.pack("!H", stun.Method.BINDING | stun.Class.REQUEST)
_COOKIE = struct.pack("!I", stun.COOKIE)
_ROLE_CONFLICT = (487, "Role Conflict")


@dataclass(frozen=True, slots=True)
class IceCredentials:
    """A user name fragment and password (RFC 8445 §5.3); the password is not printed."""

    ufrag: str
    password: str = field(repr=False)

    @classmethod
    def generate(cls, entropy: Callable[[int], bytes]) -> Self:
        """Fresh ones: 64 and 192 random bits, where §5.3 asks for at least 24 and 128."""
        return cls(ufrag=entropy(8).hex(), password=entropy(24).hex())


@dataclass(frozen=True, slots=True)
class Check:
    """A Binding request with the two halves of its USERNAME. Nothing in it is authenticated yet."""

    message: stun.Message
    our_ufrag: str
    their_ufrag: str

    @classmethod
    def parse(cls, datagram: bytes) -> Self:
        """Reads a connectivity check; raises `WireError` for anything else, responses and indications included."""
        if datagram[:2] != _BINDING_REQUEST or datagram[4:8] != _COOKIE:
            raise WireError("not a STUN Binding request")
        try:
            message = stun.parse_message(datagram)
        except Exception as exc:  # aioice raises ValueError, struct.error and whatever the next attribute brings
            raise WireError("unreadable STUN message") from exc
        username = message.attributes.get("USERNAME")
        if not isinstance(username, str):
            raise WireError("a check without USERNAME")
        our_ufrag, colon, their_ufrag = username.partition(":")
        if not colon:
            raise WireError("USERNAME is not of the form ours:theirs")
        return cls(message, our_ufrag, their_ufrag)


@dataclass(frozen=True, slots=True)
class Respond:
    """Send this datagram back along the check's route: to its source, from the local address that it hit."""

    datagram: bytes


@dataclass(frozen=True, slots=True)
class PathSelected:
    """From now on send along the check's route."""


@dataclass(frozen=True, slots=True)
class CheckDropped:
    """The check does not count; the reason is for the counters."""

    reason: Drop


IceAction = Respond | PathSelected | CheckDropped


class IceLiteAgent:
    """One peer's ICE session, always the controlled side (RFC 8445 §6.1.1).

    Checks that do not authenticate get no answer at all. That departs from RFC 8489 §9.1.3 (400 and 401) on purpose:
    nobody who lacks the password can make this server send, or learn which user names live.
    """

    def __init__(self, credentials: IceCredentials) -> None:
        self._credentials = [credentials]
        self._their_ufrags: list[str] = []
        self._consented_at: float | None = None
        self.selected: Route | None = None

    @property
    def credentials(self) -> IceCredentials:
        """Ours, as the next SDP should carry them."""
        return self._credentials[-1]

    @property
    def ufrags(self) -> tuple[str, ...]:
        """The user name fragments of ours that checks may carry now: two during an ICE restart."""
        return tuple(credentials.ufrag for credentials in self._credentials)

    @property
    def consent_expires_at(self) -> float | None:
        """When sending must stop unless another valid check comes, in monotonic seconds; None before the first."""
        return None if self._consented_at is None else self._consented_at + CONSENT_S

    def may_send(self, now: float) -> bool:
        """Whether the peer consents to receive (RFC 7675 §5.1)."""
        return self._consented_at is not None and now < self._consented_at + CONSENT_S

    def set_remote(self, ufrag: str) -> None:
        """Learns the peer's user name fragment. A new one is an ICE restart; the old stays valid until the new is used,
        and through further restarts before that.

        The peer's password is of no use to an agent that never sends a check.
        """
        if ufrag not in self._their_ufrags:
            self._their_ufrags = [*self._their_ufrags[:1], ufrag]

    def restart(self, credentials: IceCredentials) -> None:
        """Answers an ICE restart with new credentials (RFC 8445 §9); the old stay valid until the new are used."""
        self._credentials = [self._credentials[0], credentials]

    def receive(
        self, check: Check, route: Route, now: float, *, heard_at: float = float("-inf")
    ) -> tuple[IceAction, ...]:
        """Judges a check that came along `route`.

        `heard_at` is when the selected path last carried an authenticated packet other than a check.
        """
        ours = next((own for own in self._credentials if own.ufrag == check.our_ufrag), None)
        if ours is None or (self._their_ufrags and check.their_ufrag not in self._their_ufrags):
            return (CheckDropped(Drop.STUN_UNKNOWN_USER),)
        key = ours.password.encode()
        if not check.message.check_message_integrity(key):  # constant time
            return (CheckDropped(Drop.STUN_BAD_INTEGRITY),)
        if "ICE-CONTROLLED" in check.message.attributes:
            # RFC 8445 §7.3.1.1: both sides think they are controlled, and a lite agent never takes the other role.
            return (
                Respond(_response(check, stun.Class.ERROR, key, {"ERROR-CODE": _ROLE_CONFLICT})),
                CheckDropped(Drop.STUN_ROLE_CONFLICT),
            )
        self._settle_restart(ours, check.their_ufrag)
        respond = Respond(_response(check, stun.Class.RESPONSE, key, {"XOR-MAPPED-ADDRESS": route[0][:2]}))
        if route == self.selected:
            self._consented_at = now
            return (respond,)
        if self._takes_over(check, now, heard_at):
            self.selected = route
            self._consented_at = now
            return (respond, PathSelected())
        return (respond,)

    def _takes_over(self, check: Check, now: float, heard_at: float) -> bool:
        if self._consented_at is None or "USE-CANDIDATE" in check.message.attributes:
            return True
        return not self.may_send(now) or now - max(self._consented_at, heard_at) >= PATH_SILENT_S

    def _settle_restart(self, ours: IceCredentials, their_ufrag: str) -> None:
        if ours is self._credentials[-1]:
            self._credentials = [ours]
        if self._their_ufrags and their_ufrag == self._their_ufrags[-1]:
            self._their_ufrags = [their_ufrag]


def _response(check: Check, message_class: stun.Class, key: bytes, attributes: dict[str, object]) -> bytes:
    """A response with MESSAGE-INTEGRITY and FINGERPRINT (RFC 8489 §9.1.4, RFC 8445 §7.1)."""
    response = stun.Message(
        message_method=stun.Method.BINDING,
        message_class=message_class,
        transaction_id=check.message.transaction_id,
        attributes=attributes,
    )
    response.add_message_integrity(key)
    return bytes(response)
