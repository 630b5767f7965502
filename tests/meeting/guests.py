"""People in a real meeting: the SDK's own rooms, with everything they see and hear kept."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeVar

from hushroom_client import E2EEManager, EncodedFrame, Event, RemoteTrack, Room, SharedKeyProvider, Video
from hushroom_client.events import TrackSubscribed
from hushroom_client.media.track_receiver import TrackReceiver
from hushroom_client.media.vp8_size import vp8_picture_size
from hushroom_common.ids import Identity, Kind
from tests.plane.peers import eventually

__all__ = ["PASSPHRASE", "Guest", "View", "attending", "picture_of", "size_of"]

PASSPHRASE = "seven words that nobody else would say"
FPS = 15
EventT = TypeVar("EventT", bound=Event)


def size_of(identity: str) -> tuple[int, int]:
    """Everybody's pictures have a size of their own, so that it shows who is on them."""
    return 160 + 16 * (sum(identity.encode()) % 16), 96


def picture_of(identity: str, *, fps: int = FPS) -> Video:
    """Something to publish that shows whose it is."""
    width, height = size_of(identity)
    return Video.test_pattern(width, height, fps)


@dataclass(frozen=True, slots=True)
class Seen:
    """One opened frame: its extended RTP time, and when it was handed over (monotonic seconds of the event loop)."""

    timestamp: int
    at: float
    is_keyframe: bool


@dataclass(slots=True)
class View:
    """All that opened of one track, over all times that it was subscribed."""

    track: RemoteTrack
    frames: list[Seen] = field(default_factory=list)
    sizes: set[tuple[int, int]] = field(default_factory=set)

    def push(self, frame: EncodedFrame, *, captured_at: float | None) -> None:
        self.frames.append(Seen(frame.timestamp, asyncio.get_running_loop().time(), frame.is_keyframe))
        if frame.is_keyframe and self.track.kind is Kind.VIDEO:
            size = vp8_picture_size(frame.data)
            assert size is not None
            self.sizes.add(size)

    def close(self) -> None:
        """More may come when it is subscribed again."""

    def gaps_s(self, since: int = 0) -> list[float]:
        """The times between neighbours from the frame number `since` on, by RTP time."""
        clock_rate = self.track.codec.clock_rate
        return [(b.timestamp - a.timestamp) / clock_rate for a, b in pairwise(self.frames[since:])]

    async def shows(self, more: int = 1, *, within_s: float = 10.0) -> None:
        """Waits until so many more frames have opened."""
        goal = len(self.frames) + more
        await eventually(lambda: len(self.frames) >= goal, within_s=within_s)


class Guest:
    """Somebody in a room who watches everything that is subscribed, and keeps all events."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.views: list[View] = []
        self.events: list[Event] = []

    async def watch(self) -> None:
        """Follows the room's events until it ends."""
        async for event in self.room.events():
            self.events.append(event)
            if isinstance(event, TrackSubscribed):
                self._view(event.track)

    def happened(self, kind: type[EventT]) -> list[EventT]:
        """All events of that kind so far."""
        return [event for event in self.events if isinstance(event, kind)]

    async def learns(self, kind: type[EventT], *, within_s: float = 10.0) -> EventT:
        """Waits for the first event of that kind."""
        await eventually(lambda: self.happened(kind), within_s=within_s)
        return self.happened(kind)[0]

    async def sees(self, identity: str, kind: Kind = Kind.VIDEO, *, within_s: float = 10.0) -> View:
        """Waits until a frame of somebody's present track of that kind has opened; returns the view of it."""
        await eventually(lambda: any(view.frames for view in self._views_of(identity, kind)), within_s=within_s)
        return next(view for view in self._views_of(identity, kind) if view.frames)

    def rejected(self) -> dict[str, int]:
        """Frames that were refused, over everything that was ever watched."""
        found: dict[str, int] = {}
        for view in self.views:
            for reason, count in view.track.rejected.items():
                found[reason] = found.get(reason, 0) + count
        return found

    def slot_of(self, view: View) -> tuple[str, TrackReceiver]:
        """Which m-line carries a track now, and the receiver behind it."""
        (mid,) = (mid for mid, (track, _) in self.room._people._slots.items() if track is view.track)
        connection = self.room._conversation.subscriber._connection
        assert connection is not None
        receiver = connection.receiver(mid)
        assert receiver is not None
        return mid, receiver

    def _views_of(self, identity: str, kind: Kind) -> Iterator[View]:
        participant = self.room.participants.get(Identity(identity))
        present = list(participant.tracks.values()) if participant else []
        for view in self.views:
            if view.track in present and view.track.kind is kind:
                yield view

    def _view(self, track: RemoteTrack) -> None:
        view = next((view for view in self.views if view.track is track), None)
        if view is None:
            view = View(track)
            self.views.append(view)
        track.attach(view)


@asynccontextmanager
async def attending(
    url: str,
    identity: str,
    *,
    passphrase: str | None = PASSPHRASE,
    room: str = "standup",
    auto_subscribe: bool = True,
) -> AsyncIterator[Guest]:
    """Somebody who is in the room meanwhile; without a passphrase, in an unsealed one."""
    e2ee = passphrase and E2EEManager(key_provider=SharedKeyProvider(passphrase), profile="lk1")
    async with await Room.join(
        url, room=room, identity=identity, e2ee=e2ee or None, auto_subscribe=auto_subscribe
    ) as joined:
        guest = Guest(joined)
        watching = asyncio.create_task(guest.watch(), name=f"{identity} watches")
        try:
            yield guest
        finally:
            await joined.leave()
            await watching
