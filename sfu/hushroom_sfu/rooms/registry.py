"""All rooms of a server by name. A room exists from the first join to the last leave; nothing of it outlives that."""

from collections.abc import Callable, Iterator, Sized
from typing import Generic, TypeVar

from hushroom_common.ids import RoomId

__all__ = ["Registry"]

R = TypeVar("R", bound=Sized)


class Registry(Generic[R]):
    """Rooms by name. `R` is whatever stands for a room; its `len` is the number of participants."""

    def __init__(self, open_room: Callable[[RoomId], R]) -> None:
        self._open_room = open_room
        self._rooms: dict[RoomId, R] = {}

    def __len__(self) -> int:
        return len(self._rooms)

    def __iter__(self) -> Iterator[R]:
        return iter(self._rooms.values())

    def __contains__(self, room_id: RoomId) -> bool:
        return room_id in self._rooms

    def get(self, room_id: RoomId) -> R | None:
        """The room of that name, if anybody is in it."""
        return self._rooms.get(room_id)

    def enter(self, room_id: RoomId) -> R:
        """The room of that name, opened if nobody is in it. The caller adds a participant or calls `release`."""
        room = self._rooms.get(room_id)
        if room is None:
            room = self._rooms[room_id] = self._open_room(room_id)
        return room

    def release(self, room_id: RoomId) -> bool:
        """Drop the room if it is empty now; True if it was dropped."""
        room = self._rooms.get(room_id)
        if room is None or len(room) > 0:
            return False
        del self._rooms[room_id]
        return True

    def participants(self) -> int:
        """How many participants all rooms hold together."""
        return sum(map(len, self._rooms.values()))
