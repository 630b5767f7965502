"""What a token says about its bearer. It is not verified: only the server can, and does."""

import base64
import json

from hushroom_client.errors import JoinFailed
from hushroom_common.signaling import CloseCode

__all__ = ["identity_in"]


def identity_in(token: str) -> str:
    """Whose token that is (RFC 7519 §4.1.2, `sub`). Raises JoinFailed for a text that is no token."""
    try:
        payload = token.split(".")[1]
        claims: object = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        identity = claims["sub"] if isinstance(claims, dict) else None
    except (ValueError, LookupError, RecursionError):
        identity = None
    if not isinstance(identity, str):
        raise JoinFailed("this is no token: `hushroom-sfu token` makes them", CloseCode.BAD_TOKEN)
    return identity
