"""The registry of rooms: they live from the first join to the last leave."""

from hushroom_common.ids import Identity, ParticipantId, RoomId
from hushroom_sfu.rooms.registry import Registry
from hushroom_sfu.rooms.room import Room

ADA, BO = ParticipantId("p-ada"), ParticipantId("p-bo")


def test_a_room_lives_from_the_first_join_to_the_last_leave() -> None:
    rooms = Registry(Room)
    standup = rooms.enter(RoomId("standup"))
    standup.join(ADA, Identity("ada"))
    assert rooms.enter(RoomId("standup")) is standup
    standup.join(BO, Identity("bo"))
    standup.leave(ADA)
    assert not rooms.release(RoomId("standup"))
    standup.leave(BO)
    assert rooms.release(RoomId("standup"))
    assert RoomId("standup") not in rooms
    assert rooms.enter(RoomId("standup")) is not standup


def test_names_that_were_never_entered_are_nothing_to_release() -> None:
    assert not Registry(Room).release(RoomId("standup"))


def test_counts_are_over_all_rooms() -> None:
    rooms = Registry(Room)
    for name in ("standup", "retro"):
        rooms.enter(RoomId(name)).join(ADA, Identity("ada"))
    rooms.enter(RoomId("retro")).join(BO, Identity("bo"))
    assert (len(rooms), rooms.participants()) == (2, 3)
    assert {room.id for room in rooms} == {"standup", "retro"}
