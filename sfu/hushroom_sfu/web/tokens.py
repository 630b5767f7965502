"""Tokens: who may join which room as whom, signed by whoever knows the server's secret (JWT with HS256, RFC 7519).

A token's text is never logged nor repeated in an error; clock readings are arguments, as Unix seconds.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jwt

from hushroom_common.errors import ProtocolError
from hushroom_common.ids import Identity, RoomId
from hushroom_common.secret import Secret
from hushroom_common.signaling import CloseCode
from hushroom_sfu.conversation.session import Grants

__all__ = ["LEEWAY_S", "MAX_TOKEN_CHARS", "TokenGate", "mint", "open_gate"]

ALGORITHM = "HS256"
LEEWAY_S = 5.0
"""By how much the clocks of whoever mints and of this server may differ."""

MAX_TOKEN_CHARS = 4096
_MAX_LIFE_S = 3.2e8
"""Ten years. What lasts longer was stated in milliseconds."""

# Times are judged here, by the clock that is handed in; an audience is none of ours, so PyJWT refuses tokens with one.
_OPTIONS: jwt.types.Options = {
    "require": ["room", "sub", "may_publish", "may_subscribe", "exp"],
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
}


def mint(
    secret: Secret,
    *,
    room: RoomId,
    identity: Identity,
    expires_at_unix: float,
    may_publish: bool = True,
    may_subscribe: bool = True,
) -> str:
    """A token for one identity in one room, until `expires_at_unix`."""
    claims = {
        "room": room,
        "sub": identity,
        "may_publish": may_publish,
        "may_subscribe": may_subscribe,
        "exp": math.floor(expires_at_unix),
    }
    return jwt.encode(claims, secret.reveal(), algorithm=ALGORITHM)


@dataclass(frozen=True, slots=True)
class TokenGate:
    """Admits who has a valid token; the conversation's `Admit`. `unix_clock` reads Unix seconds."""

    secret: Secret
    unix_clock: Callable[[], float]

    def __call__(self, room: RoomId, identity: Identity, token: str | None, now: float) -> Grants:
        """What the token allows. Raises ProtocolError with a code and what would work."""
        if token is None:
            raise ProtocolError(CloseCode.BAD_TOKEN, "this server wants a token: ask its owner for one")
        claims = self._verified(token)
        if (claims["room"], claims["sub"]) != (room, identity):
            raise ProtocolError(
                CloseCode.BAD_TOKEN, "the token is for another room or identity: join as it says, or get another"
            )
        for name in ("may_publish", "may_subscribe"):
            if not isinstance(claims[name], bool):
                raise ProtocolError(CloseCode.BAD_TOKEN, f"the token's {name} must be true or false")
        unix_now = self.unix_clock()
        expires_in_s = _unix_seconds(claims, "exp") + LEEWAY_S - unix_now
        if expires_in_s <= 0:
            raise ProtocolError(CloseCode.TOKEN_EXPIRED, "the token has expired: get a fresh one")
        if expires_in_s > _MAX_LIFE_S:
            raise ProtocolError(
                CloseCode.BAD_TOKEN, "the token's exp is over ten years ahead: it counts seconds, not milliseconds"
            )
        if "nbf" in claims and _unix_seconds(claims, "nbf") - LEEWAY_S > unix_now:
            raise ProtocolError(CloseCode.BAD_TOKEN, "the token is not valid yet: compare the clocks")
        return Grants(
            room,
            identity,
            may_publish=claims["may_publish"] is True,
            may_subscribe=claims["may_subscribe"] is True,
            expires_at=now + expires_in_s,
        )

    def _verified(self, token: str) -> Mapping[str, object]:
        if len(token) > MAX_TOKEN_CHARS:
            raise ProtocolError(CloseCode.BAD_TOKEN, f"a token has at most {MAX_TOKEN_CHARS} characters")
        try:
            claims: dict[str, object] = jwt.decode(
                token, self.secret.reveal(), algorithms=[ALGORITHM], options=_OPTIONS
            )
        except jwt.MissingRequiredClaimError as error:
            raise ProtocolError(CloseCode.BAD_TOKEN, f"the token lacks the claim {error.claim}") from None
        except jwt.InvalidSignatureError:
            raise ProtocolError(
                CloseCode.BAD_TOKEN, "the token was signed with another secret than this server's"
            ) from None
        except jwt.InvalidAlgorithmError:
            raise ProtocolError(CloseCode.BAD_TOKEN, f"a token is signed with {ALGORITHM}") from None
        except (jwt.PyJWTError, ValueError, RecursionError):
            # Their texts quote what was sent.
            raise ProtocolError(CloseCode.BAD_TOKEN, "this is no token: `hushroom-sfu token` makes them") from None
        return claims


def open_gate(room: RoomId, identity: Identity, _token: str | None, _now: float) -> Grants:
    """Admits anyone, for a server that is open. A token is not looked at."""
    return Grants(room, identity)


def _unix_seconds(claims: Mapping[str, object], name: str) -> float:
    value = claims[name]
    # bool is an int in Python; an int of hundreds of digits overflows a float.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e18:
        raise ProtocolError(CloseCode.BAD_TOKEN, f"the token's {name} must be a number of Unix seconds")
    return float(value)
