"""The lite agent by itself: which checks count, where packets go, and when sending must stop."""

from contextlib import suppress

import pytest
from aioice import stun
from hypothesis import given
from hypothesis import strategies as st

from hushroom_common.errors import WireError
from hushroom_sfu.plane.drops import Drop
from hushroom_sfu.plane.ice_lite import (
    Check,
    CheckDropped,
    IceAction,
    IceCredentials,
    IceLiteAgent,
    PathSelected,
    Respond,
)

OURS = IceCredentials("ours", "password-of-the-server")
HOME = (("192.0.2.1", 4000), b"")
TRAIN = (("198.51.100.7", 5000), b"")


def check(
    *,
    username: str = "ours:theirs",
    password: str = OURS.password,
    nominate: bool = False,
    role: str = "ICE-CONTROLLING",
    is_signed: bool = True,
) -> Check:
    return Check.parse(request(username=username, password=password, nominate=nominate, role=role, is_signed=is_signed))


def request(
    *,
    username: str | None = "ours:theirs",
    password: str = OURS.password,
    nominate: bool = False,
    role: str = "ICE-CONTROLLING",
    is_signed: bool = True,
) -> bytes:
    message = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
    if username is not None:
        message.attributes["USERNAME"] = username
    message.attributes["PRIORITY"] = 1
    message.attributes[role] = 99
    if nominate:
        message.attributes["USE-CANDIDATE"] = None
    if is_signed:
        message.add_message_integrity(password.encode())
    return bytes(message)


def agent() -> IceLiteAgent:
    lite = IceLiteAgent(OURS)
    lite.set_remote("theirs")
    return lite


def answer(actions: tuple[IceAction, ...]) -> stun.Message:
    message = stun.parse_message(next(action.datagram for action in actions if isinstance(action, Respond)))
    assert message.check_message_integrity(OURS.password.encode())
    assert "FINGERPRINT" in message.attributes
    return message


def selects(actions: tuple[IceAction, ...]) -> bool:
    return PathSelected() in actions


def test_the_first_valid_check_selects_its_path_and_learns_its_mapped_address() -> None:
    lite = agent()
    actions = lite.receive(check(), HOME, 0.0)
    assert selects(actions)
    assert lite.selected == HOME
    response = answer(actions)
    assert response.message_class == stun.Class.RESPONSE
    assert response.attributes["XOR-MAPPED-ADDRESS"] == HOME[0]


def test_an_ipv6_peer_learns_its_mapped_address() -> None:
    actions = agent().receive(check(), (("2001:db8::1", 4000, 0, 0), b""), 0.0)
    assert answer(actions).attributes["XOR-MAPPED-ADDRESS"] == ("2001:db8::1", 4000)


def test_checks_before_the_peers_sdp_count() -> None:
    assert selects(IceLiteAgent(OURS).receive(check(username="ours:whoever"), HOME, 0.0))


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (check(password="a guess of the password"), Drop.STUN_BAD_INTEGRITY),
        (check(is_signed=False), Drop.STUN_BAD_INTEGRITY),
        (check(username="ours:somebody"), Drop.STUN_UNKNOWN_USER),
        (check(username="other:theirs"), Drop.STUN_UNKNOWN_USER),
    ],
)
def test_a_check_that_does_not_authenticate_gets_no_answer_and_changes_nothing(bad: Check, reason: Drop) -> None:
    lite = agent()
    assert lite.receive(bad, HOME, 0.0) == (CheckDropped(reason),)
    assert lite.selected is None
    assert not lite.may_send(0.0)
    lite.receive(check(), HOME, 0.0)
    assert lite.receive(bad, TRAIN, 20.0) == (CheckDropped(reason),)
    assert lite.selected == HOME
    assert lite.consent_expires_at == 30.0


def test_a_peer_that_claims_to_be_controlled_is_told_487() -> None:
    lite = agent()
    actions = lite.receive(check(role="ICE-CONTROLLED", nominate=True), HOME, 0.0)
    response = answer(actions)
    assert response.message_class == stun.Class.ERROR
    assert response.attributes["ERROR-CODE"][0] == 487
    assert CheckDropped(Drop.STUN_ROLE_CONFLICT) in actions
    assert lite.selected is None


def test_a_nomination_moves_the_path_at_once() -> None:
    lite = agent()
    lite.receive(check(), HOME, 0.0)
    assert selects(lite.receive(check(nominate=True), TRAIN, 0.1))
    assert lite.selected == TRAIN


def test_a_plain_check_from_elsewhere_is_answered_but_moves_nothing_while_the_path_lives() -> None:
    lite = agent()
    lite.receive(check(), HOME, 0.0)
    actions = lite.receive(check(), TRAIN, 2.9)
    assert answer(actions).message_class == stun.Class.RESPONSE
    assert not selects(actions)
    assert lite.selected == HOME


def test_a_plain_check_takes_over_once_the_path_was_silent_for_three_seconds() -> None:
    lite = agent()
    lite.receive(check(), HOME, 0.0)
    assert selects(lite.receive(check(), TRAIN, 3.0))


def test_media_keeps_a_path_that_carries_no_checks() -> None:
    lite = agent()
    lite.receive(check(), HOME, 0.0)
    assert not selects(lite.receive(check(), TRAIN, 5.0, heard_at=4.9))
    assert selects(lite.receive(check(), TRAIN, 7.9, heard_at=4.9))


def test_media_does_not_keep_a_path_whose_consent_ran_out() -> None:
    lite = agent()
    lite.receive(check(), HOME, 0.0)
    assert selects(lite.receive(check(), TRAIN, 30.0, heard_at=29.9))


def test_consent_ends_thirty_seconds_after_the_last_valid_check_of_the_path() -> None:
    lite = agent()
    assert lite.consent_expires_at is None
    lite.receive(check(), HOME, 0.0)
    lite.receive(check(), HOME, 5.0)
    lite.receive(check(), TRAIN, 6.0)
    assert lite.may_send(34.9)
    assert not lite.may_send(35.0)
    lite.receive(check(), HOME, 40.0)
    assert lite.may_send(40.0)


def test_the_peers_ice_restart_is_accepted_and_ends_the_old_name_when_the_new_is_used() -> None:
    lite = agent()
    lite.receive(check(), HOME, 0.0)
    lite.set_remote("theirs2")
    assert isinstance(lite.receive(check(), HOME, 1.0)[0], Respond)
    assert selects(lite.receive(check(username="ours:theirs2", nominate=True), TRAIN, 2.0))
    assert lite.receive(check(), HOME, 3.0) == (CheckDropped(Drop.STUN_UNKNOWN_USER),)


def test_our_restarted_credentials_take_over_when_they_are_used() -> None:
    lite = agent()
    fresh = IceCredentials("fresh", "another password of the server")
    lite.restart(fresh)
    assert lite.ufrags == ("ours", "fresh")
    assert lite.credentials == fresh
    assert selects(lite.receive(check(), HOME, 0.0))
    with_old_password = check(username="fresh:theirs")
    assert lite.receive(with_old_password, HOME, 1.0) == (CheckDropped(Drop.STUN_BAD_INTEGRITY),)
    lite.receive(check(username="fresh:theirs", password=fresh.password), HOME, 2.0)
    assert list(lite.ufrags) == ["fresh"]
    assert lite.receive(check(), HOME, 3.0) == (CheckDropped(Drop.STUN_UNKNOWN_USER),)


def test_what_is_in_use_outlives_restarts_that_nobody_used() -> None:
    lite = agent()
    lite.receive(check(), HOME, 0.0)
    for number in range(3):
        lite.set_remote(f"theirs{number}")
        lite.restart(IceCredentials(f"fresh{number}", "another password of the server"))
    assert isinstance(lite.receive(check(), HOME, 1.0)[0], Respond)
    assert lite.ufrags == ("ours", "fresh2")


def test_credentials_are_as_long_as_rfc_8445_asks_and_hide_their_password() -> None:
    credentials = IceCredentials.generate(lambda size: bytes(range(size)))
    assert len(credentials.ufrag) >= 4
    assert len(credentials.password) >= 22
    assert credentials.password not in repr(credentials)


def test_a_check_without_a_user_or_with_a_broken_fingerprint_is_a_wire_error() -> None:
    broken = bytearray(request())
    broken[-1] ^= 1
    for datagram in (request(username=None), request(username="no colon"), bytes(broken), b"", b"\x00\x01"):
        with pytest.raises(WireError):
            Check.parse(datagram)


def test_responses_and_indications_are_not_checks() -> None:
    for message_class in (stun.Class.RESPONSE, stun.Class.ERROR, stun.Class.INDICATION):
        message = stun.Message(message_method=stun.Method.BINDING, message_class=message_class)
        with pytest.raises(WireError):
            Check.parse(bytes(message))


@given(st.binary(max_size=200))
def test_any_bytes_parse_or_raise_wire_error(datagram: bytes) -> None:
    with suppress(WireError):
        Check.parse(datagram)


ATTRIBUTE_TYPES = [entry[0] for entry in stun.ATTRIBUTES]


@given(st.lists(st.tuples(st.sampled_from(ATTRIBUTE_TYPES), st.binary(max_size=24), st.integers(0, 65535) | st.none())))
def test_any_attributes_parse_or_raise_wire_error(attributes: list[tuple[int, bytes, int | None]]) -> None:
    body = b"".join(
        kind.to_bytes(2, "big")
        + (len(value) if length is None else length).to_bytes(2, "big")
        + value
        + bytes(-len(value) % 4)
        for kind, value, length in attributes
    )
    datagram = b"\x00\x01" + (len(body) & 0xFFFF).to_bytes(2, "big") + stun.COOKIE.to_bytes(4, "big") + bytes(12) + body
    lite = agent()
    with suppress(WireError):
        parsed = Check.parse(datagram)
        assert all(isinstance(action, CheckDropped) for action in lite.receive(parsed, HOME, 0.0))


@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=4))
def test_a_damaged_check_never_counts(position: int, noise: bytes) -> None:
    genuine = request()
    at = position % (len(genuine) - 8)  # FINGERPRINT comes after MESSAGE-INTEGRITY and is nobody's proof
    damaged = genuine[:at] + noise + genuine[at + len(noise) :]
    if damaged[: len(genuine)] == genuine:
        return
    lite = agent()
    with suppress(WireError):
        assert isinstance(lite.receive(Check.parse(damaged), HOME, 0.0)[0], CheckDropped)
    assert lite.selected is None


@given(st.lists(st.tuples(st.floats(0.01, 20), st.sampled_from([HOME, TRAIN]), st.booleans()), max_size=60))
def test_the_path_is_always_one_that_a_valid_check_came_from_lately(steps: list[tuple[float, object, bool]]) -> None:
    lite = agent()
    now, last = 0.0, {}
    for wait, route, nominates in steps:
        now += wait
        lite.receive(check(nominate=nominates), route, now)  # type: ignore[arg-type]  # one of the two routes above
        last[route] = now
        assert lite.selected is not None
        assert lite.consent_expires_at == last[lite.selected] + 30.0
        if nominates:
            assert lite.selected == route
