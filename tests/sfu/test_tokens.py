"""Tokens: HS256 and nothing else, all claims, right room and identity, in time."""

import base64
import json
from contextlib import suppress
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushroom_common.errors import ProtocolError
from hushroom_common.ids import Identity, RoomId
from hushroom_common.secret import Secret
from hushroom_common.signaling import CloseCode
from hushroom_sfu.conversation.session import Grants
from hushroom_sfu.web.tokens import LEEWAY_S, MAX_TOKEN_CHARS, TokenGate, mint, open_gate

SECRET = Secret(b"the server's secret, long enough for any hash of HMAC")
STANDUP, ADA = RoomId("standup"), Identity("ada")
UNIX_NOW = 1_800_000_000.0
MONOTONIC_NOW = 77.0
GATE = TokenGate(SECRET, lambda: UNIX_NOW)


def admit(token: str | None, room: RoomId = STANDUP, identity: Identity = ADA) -> Grants:
    return GATE(room, identity, token, MONOTONIC_NOW)


def token_for_an_hour(*, may_publish: bool = True, may_subscribe: bool = True) -> str:
    return mint(
        SECRET,
        room=STANDUP,
        identity=ADA,
        expires_at_unix=UNIX_NOW + 3600,
        may_publish=may_publish,
        may_subscribe=may_subscribe,
    )


def token_with(*, without: str = "", secret: Secret = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    usual = {"room": "standup", "sub": "ada", "may_publish": True, "may_subscribe": True, "exp": UNIX_NOW + 60}
    both = {name: value for name, value in (usual | claims).items() if name != without}
    return jwt.PyJWS().encode(json.dumps(both).encode(), secret.reveal(), algorithm=algorithm)


def refusal(token: str | None, **join: Any) -> tuple[str, str]:
    with pytest.raises(ProtocolError) as caught:
        admit(token, **join)
    return caught.value.code, str(caught.value)


def test_a_token_says_what_is_allowed_and_until_when_on_the_servers_own_clock() -> None:
    assert admit(token_for_an_hour()) == Grants(
        STANDUP, ADA, may_publish=True, may_subscribe=True, expires_at=MONOTONIC_NOW + 3600 + LEEWAY_S
    )
    grants = admit(token_for_an_hour(may_publish=False, may_subscribe=False))
    assert (grants.may_publish, grants.may_subscribe) == (False, False)


def test_without_a_token_nobody_comes_in() -> None:
    code, message = refusal(None)
    assert code == CloseCode.BAD_TOKEN
    assert "wants a token" in message


@pytest.mark.parametrize("join", [{"room": RoomId("other")}, {"identity": Identity("bo")}])
def test_a_token_for_another_room_or_identity_is_refused(join: dict[str, Any]) -> None:
    code, message = refusal(token_for_an_hour(), **join)
    assert code == CloseCode.BAD_TOKEN
    assert "another room or identity" in message


def test_a_token_of_a_foreign_secret_is_refused() -> None:
    code, message = refusal(token_with(secret=Secret(b"somebody else's secret, long enough.")))
    assert code == CloseCode.BAD_TOKEN
    assert "another secret" in message


@pytest.mark.parametrize("algorithm", ["none", "None", "HS512", "RS256"])
def test_only_hs256_counts(algorithm: str) -> None:
    header, claims, signature = token_with().split(".")
    forged_header = base64.urlsafe_b64encode(json.dumps({"alg": algorithm, "typ": "JWT"}).encode()).decode().rstrip("=")
    for forged in (f"{forged_header}.{claims}.", f"{forged_header}.{claims}.{signature}"):
        code, message = refusal(forged)
        assert code == CloseCode.BAD_TOKEN
        assert "HS256" in message
    assert admit(f"{header}.{claims}.{signature}")


def test_a_longer_hash_under_the_same_secret_does_not_count_either() -> None:
    assert refusal(token_with(algorithm="HS384"))[0] == CloseCode.BAD_TOKEN


@pytest.mark.parametrize("claim", ["room", "sub", "may_publish", "may_subscribe", "exp"])
def test_every_claim_is_required(claim: str) -> None:
    code, message = refusal(token_with(without=claim))
    assert code == CloseCode.BAD_TOKEN
    assert message == f"the token lacks the claim {claim}"


def test_a_token_expires_when_its_leeway_is_over() -> None:
    assert admit(token_with(exp=UNIX_NOW - LEEWAY_S + 1)).expires_at == MONOTONIC_NOW + 1
    code, message = refusal(token_with(exp=UNIX_NOW - LEEWAY_S))
    assert code == CloseCode.TOKEN_EXPIRED
    assert "get a fresh one" in message


def test_a_token_from_the_future_is_refused_but_clocks_may_differ_a_little() -> None:
    assert admit(token_with(nbf=UNIX_NOW + LEEWAY_S))
    assert "not valid yet" in refusal(token_with(nbf=UNIX_NOW + LEEWAY_S + 1))[1]


def test_milliseconds_are_told_from_seconds() -> None:
    assert "not milliseconds" in refusal(token_with(exp=UNIX_NOW * 1000))[1]


@pytest.mark.parametrize(
    "claims",
    [
        {"may_publish": 1},
        {"may_subscribe": "yes"},
        {"exp": "tomorrow"},
        {"exp": True},
        {"exp": 10**400},
        {"exp": None},
        {"nbf": "yesterday"},
        {"room": ["standup"]},
        {"aud": "another service"},
    ],
)
def test_claims_of_the_wrong_type_are_refused(claims: dict[str, Any]) -> None:
    assert refusal(token_with(**claims))[0] == CloseCode.BAD_TOKEN


def test_a_token_of_the_longest_length_is_read_and_a_longer_one_is_not() -> None:
    shortest = len(token_with(padding=""))
    padding = (MAX_TOKEN_CHARS - shortest) * 3 // 4
    token = token_with(padding="x" * padding)
    assert MAX_TOKEN_CHARS - 4 < len(token) <= MAX_TOKEN_CHARS
    assert admit(token)
    assert "at most 4096" in refusal(token_with(padding="x" * (padding + 4)))[1]


def test_refusals_never_repeat_the_token() -> None:
    for token in ("gibberish", token_with(exp=1), token_with(secret=Secret(bytes(32)))):
        assert not any(part in refusal(token)[1] for part in token.split("."))


def test_an_open_server_admits_anyone_for_ever() -> None:
    assert open_gate(STANDUP, ADA, None, 0.0) == Grants(STANDUP, ADA)


def _unpadded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


@given(st.text(max_size=200) | st.lists(st.binary(max_size=100).map(_unpadded), max_size=4).map(".".join))
def test_any_text_is_admitted_or_refused(text: str) -> None:
    with pytest.raises(ProtocolError):
        admit(text)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists))
def test_any_signed_claims_are_admitted_or_refused(value: Any) -> None:
    for name in ("room", "sub", "exp", "nbf", "may_publish", "iat", "jti", "iss"):
        with suppress(ProtocolError):
            assert admit(token_with(**{name: value})).room == STANDUP


def test_claims_nested_too_deep_to_read_are_refused() -> None:
    nested = _unpadded(b"[" * 3000)
    header = _unpadded(b'{"alg":"HS256","typ":"JWT"}')
    signature = _unpadded(jwt.get_algorithm_by_name("HS256").sign(f"{header}.{nested}".encode(), SECRET.reveal()))
    assert refusal(f"{header}.{nested}.{signature}")[0] == CloseCode.BAD_TOKEN
