"""Python clients in real rooms, in the test's own process: who joins leaves at the end, whatever happens."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from hushroom_client import (
    E2EEManager,
    E2EEState,
    Event,
    RemoteParticipant,
    RemoteTrack,
    Room,
    SharedKeyProvider,
    TrackSubscribed,
)
from hushroom_client.e2ee import KeyProvider
from hushroom_common.ids import Identity, Kind

__all__ = ["PASSPHRASE", "Rooms", "eventually", "hears_tone", "rooms", "sealed", "sees_picture", "with_keys"]

DEADLINE_S = 15.0
PASSPHRASE = "correct horse battery staple"
E = TypeVar("E", bound=Event)


def sealed(passphrase: str = PASSPHRASE) -> E2EEManager:
    """A manager under a passphrase."""
    return with_keys(SharedKeyProvider(passphrase))


def with_keys(provider: KeyProvider) -> E2EEManager:
    """A manager with the keys of `provider`."""
    return E2EEManager(key_provider=provider, profile="lk1")


class Rooms:
    """Joins rooms on one server, and leaves them."""

    def __init__(self, url: str, stack: AsyncExitStack) -> None:
        self.url = url
        self._stack = stack

    async def join(self, identity: str, e2ee: E2EEManager | None, *, room: str = "standup") -> Room:
        joined = await Room.join(self.url, room=room, identity=identity, e2ee=e2ee)
        self._stack.push_async_callback(joined.leave)
        return joined


@asynccontextmanager
async def rooms(url: str) -> AsyncIterator[Rooms]:
    """Rooms that are left at the end."""
    async with AsyncExitStack() as stack:
        yield Rooms(url, stack)


async def eventually(condition: Callable[[], object], *, within_s: float = DEADLINE_S) -> None:
    """Returns once the condition holds; fails if it does not in time."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 (what is waited for happens behind sockets)
            await asyncio.sleep(0.01)


async def next_event(room: Room, kind: type[E], *, within_s: float = DEADLINE_S) -> E:
    """The first such event, of what is there already or happens in time."""
    async with asyncio.timeout(within_s):
        async for event in room.events():
            if isinstance(event, kind):
                return event
    raise AssertionError(f"the room ended without {kind.__name__}")


async def track_of(room: Room, identity: str, kind: Kind) -> RemoteTrack:
    """Somebody's track, once it is received."""
    async with asyncio.timeout(DEADLINE_S):
        async for event in room.events():
            if isinstance(event, TrackSubscribed):
                track = event.track
                if (track.participant.identity, track.kind) == (identity, kind):
                    return track
    raise AssertionError(f"the room ended before {identity} was received")


def peer(room: Room, identity: str) -> RemoteParticipant:
    """Somebody else who is in the room."""
    return room.participants[Identity(identity)]


async def reaches_state(room: Room, identity: str, state: E2EEState) -> None:
    """Waits until it stands so with somebody's frames."""
    await eventually(lambda: Identity(identity) in room.participants and peer(room, identity).e2ee_state is state)


async def sees_picture(room: Room, identity: str, *, within_s: float = DEADLINE_S) -> NDArray[np.uint8]:
    """The next decoded picture of somebody: its luma."""
    track = await track_of(room, identity, Kind.VIDEO)
    async with asyncio.timeout(within_s):
        async for picture in track.pictures():
            planes = picture.raw.to_ndarray(format="yuv420p")
            return planes[: picture.raw.height].astype(np.uint8, copy=False)
    raise AssertionError(f"{identity}'s track ended without a picture")


async def hears_tone(room: Room, identity: str, *, seconds: float = 1.0) -> NDArray[np.float64]:
    """The next sound of somebody: one channel of samples from -1 to 1 at 48 kHz."""
    track = await track_of(room, identity, Kind.AUDIO)
    samples: list[NDArray[np.float64]] = []
    async with asyncio.timeout(DEADLINE_S + seconds):
        async for sound in track.sound():
            samples.append(sound.raw.to_ndarray()[0, ::2].astype(np.float64) / 32768)
            if sum(map(len, samples)) >= seconds * 48_000:
                break
    return np.concatenate(samples)
