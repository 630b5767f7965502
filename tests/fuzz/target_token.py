"""Tokens: signed or not, any text is admitted or refused by a ProtocolError."""

import json

import jwt

from hushroom_common.errors import ProtocolError
from hushroom_common.ids import Identity, RoomId
from hushroom_common.secret import Secret
from hushroom_sfu.web.tokens import TokenGate, mint

_SECRET = Secret(bytes(range(32)))
_GATE = TokenGate(_SECRET, lambda: 1_800_000_000.0)
_SIGNER = jwt.PyJWS()


def corpus() -> list[bytes]:
    whole = mint(_SECRET, room=RoomId("standup"), identity=Identity("ada"), expires_at_unix=1_800_003_600)
    claims = {"room": "standup", "sub": "ada", "may_publish": True, "may_subscribe": False, "exp": 1_800_000_060}
    return [whole.encode(), *(json.dumps(claims | more).encode() for more in ({}, {"nbf": 1}, {"exp": 1e308}))]


def fuzz(data: bytes) -> None:
    text = data.decode("latin-1")
    for token in (text, _SIGNER.encode(data, _SECRET.reveal(), algorithm="HS256")):
        try:
            grants = _GATE(RoomId("standup"), Identity("ada"), token, 77.0)
        except ProtocolError:
            continue
        assert grants.expires_at is not None
        assert grants.expires_at > 77.0
