"""One stay in a room, from joining to leaving, as the command line wants it."""

import asyncio
import time
from contextlib import closing, suppress

from hushroom_client.cli.arguments import Options
from hushroom_client.cli.programme import programme
from hushroom_client.cli.recordings import Recordings
from hushroom_client.cli.terminal import Terminal
from hushroom_client.cli.token_file import keep_token_fresh
from hushroom_client.cli.words import note, sealing_in_words, status
from hushroom_client.events import ConnectionLost
from hushroom_client.media.errors import MediaError
from hushroom_client.media.sources import Audio, Video
from hushroom_client.room import Room
from hushroom_common.errors import HushroomError

__all__ = ["Lost", "Stay"]

_LINGER_S = 2.0
"""How long to stay once the file has ended, so that the others get its last frames, repeated ones too."""
_STATUS_INTERVAL_S = 0.5


class Lost(HushroomError):
    """The room was lost, not left."""


class Stay:
    """What `hushroom join` and `hushroom record` do."""

    def __init__(self, options: Options, terminal: Terminal, stop: asyncio.Event) -> None:
        self._options = options
        self._terminal = terminal
        self._stop = stop
        self._failure: HushroomError | None = None
        self.recordings = Recordings(options.record, self._fail) if options.record is not None else None

    async def run(self) -> None:
        """Returns when there is nothing more to do here. Raises HushroomError where something went wrong."""
        media = await programme(self._options.publish) if self._options.publish is not None else []
        if self.recordings is not None:
            await self.recordings.prepare()
        room = await self._join()
        if room is None:
            return
        try:
            await self._be_in(room, media)
        finally:
            last = self._status(room)
            await room.leave()
            if self.recordings is not None:
                await self.recordings.close()
            self._terminal.close(last)
        if self._failure is not None:
            raise self._failure
        if self.recordings is not None and not self.recordings.files and room.stats().rejected:
            raise HushroomError("nothing was recorded, for no frame could be opened: different key?")

    async def _join(self) -> Room | None:
        """The room, or None where we are told to stop before we are in."""
        options = self._options
        joining = asyncio.ensure_future(
            Room.join(
                options.server,
                room=options.room,
                e2ee=options.e2ee,
                token=options.token,
                identity=options.identity,
            )
        )
        stopping = asyncio.ensure_future(self._stop.wait())
        await asyncio.wait({joining, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not joining.done():
            joining.cancel()
            with suppress(asyncio.CancelledError):
                await joining
            return None
        room = joining.result()
        words = sealing_in_words(room.profile, room.is_sealed)
        self._terminal.note(f"joined {room.name} as {room.identity}; media is {words}")
        return room

    async def _be_in(self, room: Room, media: list[Video | Audio]) -> None:
        async with asyncio.TaskGroup() as tasks:
            beside = [tasks.create_task(self._follow(room)), tasks.create_task(self._show_status(room))]
            if self._options.token_file is not None:
                beside.append(tasks.create_task(keep_token_fresh(room, self._options.token_file)))
            if media:
                beside.append(tasks.create_task(self._publish(room, media)))
            with suppress(TimeoutError):
                async with asyncio.timeout(self._options.duration_s):
                    await self._stop.wait()
            for task in beside:
                task.cancel()

    async def _follow(self, room: Room) -> None:
        """Says what happens, and records."""
        try:
            async for event in room.events():
                if (text := note(event, is_sealed=room.is_sealed)) is not None:
                    self._terminal.note(text)
                if isinstance(event, ConnectionLost):
                    raise Lost(event.reason)
                if self.recordings is not None:
                    await self.recordings.follow(room, event)
        except HushroomError as error:
            self._fail(error)

    async def _publish(self, room: Room, media: list[Video | Audio]) -> None:
        """Publishes, and stops the whole a little after the end."""
        try:
            await self._others_are_here(room)
            async with asyncio.TaskGroup() as tasks:
                publishing = [tasks.create_task(room.publish(one)) for one in media]
            for task in publishing:
                await task.result().wait_ended()
        except* HushroomError as errors:
            self._fail(_first(errors))
        else:
            await asyncio.sleep(_LINGER_S)
            self._stop.set()

    async def _others_are_here(self, room: Room) -> None:
        with closing(room.events()) as events:
            while len(room.participants) < self._options.wait_for:
                await anext(events)

    async def _show_status(self, room: Room) -> None:
        while True:
            await asyncio.sleep(_STATUS_INTERVAL_S)
            self._terminal.status(self._status(room), time.monotonic())

    def _status(self, room: Room) -> str:
        others = {name: one.e2ee_state for name, one in room.participants.items()}
        return status({str(name): state for name, state in others.items()}, room.stats(), is_sealed=room.is_sealed)

    def _fail(self, error: HushroomError | MediaError) -> None:
        if self._failure is None:
            self._failure = error
        self._stop.set()


def _first(errors: BaseExceptionGroup[HushroomError]) -> HushroomError:
    first = errors.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
