"""One client's conversation: who may say what, and when."""

import pytest

from hushroom_common.errors import ProtocolError
from hushroom_common.ids import Identity, LegRole, ParticipantId, PublicationId, RoomId
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
from hushroom_sfu.conversation.session import ConnectionId, Grants, SessionState, SignalingSession
from hushroom_sfu.rooms.refusal import Refusal
from tests.support.control_plane import counting_entropy

ROOM, ADA = RoomId("standup"), Identity("ada")
JOIN, RESUME = Join(ROOM, ADA), Resume("p-ada.secret")
ADA_ID = ParticipantId("p-ada")
CAMERA = PublicationId("camera")
REQUESTS: list[ClientMessage] = [
    Offer(LegRole.PUBLISHER, 1, "v=0"),
    Answer(LegRole.SUBSCRIBER, 1, "v=0"),
    Unpublish(CAMERA),
    Mute(CAMERA, True),
    Subscribe(ParticipantId("p-bo"), CAMERA),
    Unsubscribe(ParticipantId("p-bo"), CAMERA),
    KeyStep(0, 1),
    RenewToken("token"),
    Leave(),
]


def session(now: float = 0.0) -> SignalingSession:
    return SignalingSession(ConnectionId(1), now, Limits())


def joined(grants: Grants | None = None) -> SignalingSession:
    ada = session()
    ada.admit(ADA_ID, grants or Grants(ROOM, ADA), counting_entropy())
    return ada


def detached(now: float = 0.0) -> SignalingSession:
    ada = joined()
    ada.detach(now)
    return ada


@pytest.mark.parametrize("first", [JOIN, RESUME])
def test_a_conversation_begins_with_join_or_resume(first: ClientMessage) -> None:
    session().hear(first, now=0.0)


@pytest.mark.parametrize("request_", REQUESTS)
def test_nothing_else_may_be_said_first(request_: ClientMessage) -> None:
    with pytest.raises(ProtocolError) as closed:
        session().hear(request_, now=0.0)
    assert closed.value.code == CloseCode.PROTOCOL_ERROR


@pytest.mark.parametrize("request_", REQUESTS)
def test_everything_else_may_be_said_after_joining(request_: ClientMessage) -> None:
    joined().hear(request_, now=0.0)


@pytest.mark.parametrize("again", [JOIN, RESUME])
def test_a_session_is_joined_once(again: ClientMessage) -> None:
    with pytest.raises(ProtocolError) as closed:
        joined().hear(again, now=0.0)
    assert closed.value.code == CloseCode.PROTOCOL_ERROR


@pytest.mark.parametrize("message", [JOIN, RESUME, *REQUESTS])
@pytest.mark.parametrize("state", [SessionState.DETACHED, SessionState.ENDED])
def test_nobody_speaks_in_a_session_without_a_connection(state: SessionState, message: ClientMessage) -> None:
    ada = detached()
    if state is SessionState.ENDED:
        ada.end()
    with pytest.raises(ProtocolError):
        ada.hear(message, now=0.0)


@pytest.mark.parametrize(
    "out_of_turn", [Offer(LegRole.SUBSCRIBER, 1, "v=0"), Answer(LegRole.PUBLISHER, 1, "v=0")], ids=["offer", "answer"]
)
def test_each_leg_has_one_side_that_offers(out_of_turn: ClientMessage) -> None:
    with pytest.raises(ProtocolError) as closed:
        joined().hear(out_of_turn, now=0.0)
    assert closed.value.code == CloseCode.PROTOCOL_ERROR


@pytest.mark.parametrize("request_", [Offer(LegRole.PUBLISHER, 1, "v=0"), Mute(CAMERA, True), KeyStep(0, 1)])
def test_who_may_not_publish_is_refused_and_stays(request_: ClientMessage) -> None:
    ada = joined(Grants(ROOM, ADA, may_publish=False))
    with pytest.raises(Refusal) as refused:
        ada.hear(request_, now=0.0)
    assert refused.value.code == CloseCode.NOT_ALLOWED
    ada.hear(Answer(LegRole.SUBSCRIBER, 1, "v=0"), now=0.0)


def test_who_may_not_subscribe_is_refused_and_stays() -> None:
    ada = joined(Grants(ROOM, ADA, may_subscribe=False))
    with pytest.raises(Refusal) as refused:
        ada.hear(Subscribe(ParticipantId("p-bo"), CAMERA), now=0.0)
    assert refused.value.code == CloseCode.NOT_ALLOWED
    ada.hear(Offer(LegRole.PUBLISHER, 1, "v=0"), now=0.0)


def test_50_messages_a_second_are_heard_and_not_one_more() -> None:
    ada = joined()
    for _ in range(50):
        ada.hear(KeyStep(0, 1), now=1.0)
    with pytest.raises(ProtocolError) as closed:
        ada.hear(KeyStep(0, 1), now=1.0)
    assert closed.value.code == CloseCode.RATE_LIMITED


@pytest.mark.parametrize("kind", [Offer, Answer])
def test_a_long_description_counts_as_several_messages(kind: type[Offer] | type[Answer]) -> None:
    """To read and answer 64 KB of SDP takes 40 ms: 50 of them a second would take the whole server."""
    ada = joined()
    leg = LegRole.PUBLISHER if kind is Offer else LegRole.SUBSCRIBER
    for number in range(5):
        ada.hear(kind(leg, number, "v" * 65_000), now=1.0)  # 10 messages each
    with pytest.raises(ProtocolError) as closed:
        ada.hear(KeyStep(0, 1), now=1.0)
    assert closed.value.code == CloseCode.RATE_LIMITED


def test_a_long_description_is_heard_however_few_messages_are_allowed() -> None:
    ada = SignalingSession(ConnectionId(1), 0.0, Limits(messages_per_s=2))
    ada.admit(ADA_ID, Grants(ROOM, ADA), counting_entropy())
    ada.hear(Offer(LegRole.PUBLISHER, 1, "v" * 65_000), now=0.0)


def test_a_steady_50_messages_a_second_are_heard_for_ever() -> None:
    ada = joined()
    for number in range(1000):
        ada.hear(KeyStep(0, 1), now=number / 50)


def test_who_does_not_join_within_10_s_is_closed() -> None:
    ada = session(now=100.0)
    assert ada.next_deadline() == 110.0
    assert ada.overdue(109.9) is None
    late = ada.overdue(110.0)
    assert late is not None
    assert late.code == CloseCode.PROTOCOL_ERROR


def test_a_joined_session_has_no_deadline_of_its_own() -> None:
    ada = joined()
    assert ada.next_deadline() is None
    assert ada.overdue(1e9) is None


def test_a_session_ends_with_its_token_whether_attached_or_not() -> None:
    for ada in (joined(Grants(ROOM, ADA, expires_at=60.0)), joined(Grants(ROOM, ADA, expires_at=60.0))):
        assert ada.next_deadline() == 60.0
        assert ada.overdue(59.9) is None
        expired = ada.overdue(60.0)
        assert expired is not None
        assert expired.code == CloseCode.TOKEN_EXPIRED


def test_a_fresh_token_moves_the_end() -> None:
    ada = joined(Grants(ROOM, ADA, expires_at=60.0))
    ada.renew(Grants(ROOM, ADA, expires_at=120.0))
    assert ada.overdue(60.0) is None
    assert ada.next_deadline() == 120.0


@pytest.mark.parametrize("grants", [Grants(RoomId("retro"), ADA), Grants(ROOM, Identity("bo"))])
def test_a_token_for_another_room_or_identity_renews_nothing(grants: Grants) -> None:
    ada = joined(Grants(ROOM, ADA, expires_at=60.0))
    with pytest.raises(Refusal) as refused:
        ada.renew(grants)
    assert refused.value.code == CloseCode.BAD_TOKEN
    assert ada.next_deadline() == 60.0


def test_a_detached_session_is_resumable_for_30_s() -> None:
    ada = detached(now=5.0)
    assert ada.state is SessionState.DETACHED
    assert ada.next_deadline() == 35.0
    assert ada.overdue(34.9) is None
    assert ada.overdue(35.0) is not None


def test_a_resume_token_works_once() -> None:
    entropy = counting_entropy()
    ada = session()
    first = ada.admit(ADA_ID, Grants(ROOM, ADA), entropy)
    ada.detach(now=5.0)
    assert SignalingSession.resumed_by(first) == ADA_ID
    assert ada.may_resume(first)
    second = ada.resume(ConnectionId(2), entropy)
    assert (ada.state, ada.connection, ada.next_deadline()) == (SessionState.JOINED, 2, None)
    assert second != first
    assert not ada.may_resume(first)
    assert ada.may_resume(second)


def test_a_wrong_guess_costs_the_owner_nothing() -> None:
    ada = session()
    token = ada.admit(ADA_ID, Grants(ROOM, ADA), counting_entropy())
    assert not ada.may_resume("")
    assert not ada.may_resume(token + "0")
    assert not ada.may_resume("\N{SNOWMAN}")
    assert ada.may_resume(token)


def test_an_ended_session_is_not_resumable() -> None:
    ada = session()
    token = ada.admit(ADA_ID, Grants(ROOM, ADA), counting_entropy())
    ada.end()
    assert not ada.may_resume(token)
    assert ada.next_deadline() is None


def test_a_connection_lost_before_the_join_leaves_nothing_to_resume() -> None:
    ada = session()
    ada.detach(now=1.0)
    assert ada.state is SessionState.ENDED


@pytest.mark.parametrize("move", ["admit", "detach", "resume", "end"])
def test_nothing_moves_an_ended_session(move: str) -> None:
    ada = joined()
    ada.end()
    moves = {
        "admit": lambda: ada.admit(ADA_ID, Grants(ROOM, ADA), counting_entropy()),
        "detach": lambda: ada.detach(0.0),
        "resume": lambda: ada.resume(ConnectionId(2), counting_entropy()),
        "end": ada.end,
    }
    with pytest.raises(ValueError, match="ended"):
        moves[move]()
