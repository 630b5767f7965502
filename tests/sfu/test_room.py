"""Rooms: who is in, what they publish, who is subscribed to what."""

import pytest

from hushroom_common.ids import Codec, Identity, Kind, ParticipantId, PublicationId, RoomId, Source
from hushroom_common.signaling.messages import CloseCode, TrackInfo
from hushroom_sfu.rooms.refusal import Refusal
from hushroom_sfu.rooms.room import Participant, PublicationRef, Room

ADA, BO, CY = (ParticipantId(name) for name in ("p-ada", "p-bo", "p-cy"))


def camera(name: str = "camera") -> TrackInfo:
    return TrackInfo(PublicationId(name), Kind.VIDEO, Source.CAMERA, Codec.VP8, e2ee="lk1")


def joins(room: Room, participant: ParticipantId, *, auto_subscribe: bool = True) -> Participant:
    return room.join(participant, Identity(participant.removeprefix("p-")), auto_subscribe=auto_subscribe)


@pytest.fixture
def room() -> Room:
    return Room(RoomId("standup"))


def ids(participants: tuple[Participant, ...]) -> list[ParticipantId]:
    return [one.id for one in participants]


def test_who_joins_is_subscribed_to_what_there_is_and_to_what_comes(room: Room) -> None:
    joins(room, ADA)
    room.publish(ADA, camera("first"))
    bo = joins(room, BO)
    assert ids(room.publish(ADA, camera("second"))) == [BO]
    assert set(bo.subscriptions) == {PublicationRef(ADA, PublicationId(name)) for name in ("first", "second")}


def test_who_chooses_is_subscribed_to_nothing_unasked(room: Room) -> None:
    joins(room, ADA)
    room.publish(ADA, camera("first"))
    bo = joins(room, BO, auto_subscribe=False)
    assert room.publish(ADA, camera("second")) == ()
    assert bo.subscriptions == {}
    assert room.subscribe(BO, PublicationRef(ADA, PublicationId("second")), max_temporal_id=1)
    assert bo.subscriptions == {PublicationRef(ADA, PublicationId("second")): 1}


def test_subscribing_again_changes_the_layers(room: Room) -> None:
    joins(room, ADA)
    bo = joins(room, BO)
    room.publish(ADA, camera())
    ref = PublicationRef(ADA, PublicationId("camera"))
    assert not room.subscribe(BO, ref, max_temporal_id=0)
    assert bo.subscriptions[ref] == 0


@pytest.mark.parametrize("max_temporal_id", [-1, 8])
def test_there_are_eight_temporal_layers_at_most(room: Room, max_temporal_id: int) -> None:
    joins(room, ADA)
    bo = joins(room, BO)
    room.publish(ADA, camera())
    with pytest.raises(Refusal) as refused:
        room.subscribe(BO, PublicationRef(ADA, PublicationId("camera")), max_temporal_id)
    assert refused.value.code == CloseCode.PROTOCOL_ERROR
    assert bo.subscriptions == {PublicationRef(ADA, PublicationId("camera")): None}


def test_what_does_not_exist_cannot_be_subscribed_muted_or_unpublished(room: Room) -> None:
    joins(room, ADA)
    joins(room, BO)
    nothing = PublicationId("nothing")
    for request in (
        lambda: room.subscribe(BO, PublicationRef(ADA, nothing), None),
        lambda: room.subscribe(BO, PublicationRef(CY, nothing), None),
        lambda: room.mute(ADA, nothing, muted=True),
        lambda: room.unpublish(ADA, nothing),
    ):
        with pytest.raises(Refusal) as refused:
            request()
        assert refused.value.code == CloseCode.NO_SUCH_PUBLICATION


def test_nobody_subscribes_to_himself(room: Room) -> None:
    joins(room, ADA)
    room.publish(ADA, camera())
    with pytest.raises(Refusal) as refused:
        room.subscribe(ADA, PublicationRef(ADA, PublicationId("camera")), None)
    assert refused.value.code == CloseCode.NOT_ALLOWED


def test_an_ended_publication_leaves_no_subscription_behind(room: Room) -> None:
    joins(room, ADA)
    bo, cy = joins(room, BO), joins(room, CY, auto_subscribe=False)
    room.publish(ADA, camera())
    assert ids(room.unpublish(ADA, PublicationId("camera"))) == [BO]
    assert bo.subscriptions == cy.subscriptions == {}
    assert room.publications() == {}


def test_a_leaver_takes_publications_and_subscriptions_along(room: Room) -> None:
    joins(room, ADA)
    bo = joins(room, BO)
    room.publish(ADA, camera())
    room.publish(BO, camera())
    room.leave(ADA)
    assert ADA not in room
    assert bo.subscriptions == {}
    assert room.subscribers(PublicationRef(BO, PublicationId("camera"))) == ()


def test_unsubscribing_twice_is_harmless(room: Room) -> None:
    joins(room, ADA)
    joins(room, BO)
    room.publish(ADA, camera())
    ref = PublicationRef(ADA, PublicationId("camera"))
    assert room.unsubscribe(BO, ref)
    assert not room.unsubscribe(BO, ref)


def test_muting_is_told_once(room: Room) -> None:
    ada = joins(room, ADA)
    room.publish(ADA, camera())
    assert room.mute(ADA, PublicationId("camera"), muted=True)
    assert not room.mute(ADA, PublicationId("camera"), muted=True)
    assert ada.info().tracks[0].muted


def test_a_room_holds_64_participants_and_not_one_more(room: Room) -> None:
    for number in range(64):
        joins(room, ParticipantId(f"p-{number}"))
    with pytest.raises(Refusal) as refused:
        joins(room, ADA)
    assert refused.value.code == CloseCode.ROOM_FULL
    room.leave(ParticipantId("p-7"))
    joins(room, ADA)


def test_a_participant_publishes_8_tracks_and_not_one_more(room: Room) -> None:
    joins(room, ADA)
    for number in range(8):
        room.publish(ADA, camera(f"camera {number}"))
    with pytest.raises(Refusal) as refused:
        room.publish(ADA, camera("one more"))
    assert refused.value.code == CloseCode.TOO_MANY_TRACKS
    room.unpublish(ADA, PublicationId("camera 3"))
    room.publish(ADA, camera("one more"))


def test_a_publication_is_published_once(room: Room) -> None:
    joins(room, ADA)
    room.publish(ADA, camera())
    with pytest.raises(Refusal):
        room.publish(ADA, camera())


def test_an_identity_is_in_the_room_once(room: Room) -> None:
    joins(room, ADA)
    with pytest.raises(ValueError, match="already"):
        room.join(BO, Identity("ada"))
