"""A folder of recordings: one file for each participant who is received."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from hushroom_client.events import Event, ParticipantLeft, TrackSubscribed
from hushroom_client.media.errors import MediaError
from hushroom_client.media.recorder import Recorder
from hushroom_client.room import Room
from hushroom_common.ids import ParticipantId

__all__ = ["Recordings"]


class Recordings:
    """Follows a room's events. `on_failure` is called when the disk fails; what was written can be played."""

    def __init__(self, directory: Path, on_failure: Callable[[MediaError], None]) -> None:
        self._directory = directory
        self._on_failure = on_failure
        self._open: dict[ParticipantId, Recorder] = {}
        self.files: list[Path] = []
        """What is complete."""

    async def prepare(self) -> None:
        """Makes the folder, before anybody is bothered. Raises MediaError."""
        await asyncio.to_thread(self._make_folder)

    async def follow(self, room: Room, event: Event) -> None:
        """Begins and ends files. Raises MediaError."""
        match event:
            case TrackSubscribed(participant, _) if participant.id not in self._open:
                recorder = await Recorder.create(self._directory, participant.identity, on_failure=self._on_failure)
                self._open[participant.id] = recorder
                room.attach(participant, recorder)
            case ParticipantLeft(participant, _):
                if (ended := self._open.pop(participant.id, None)) is not None:
                    await self._complete(ended)

    async def close(self) -> None:
        """Completes all files."""
        while self._open:
            await self._complete(self._open.popitem()[1])

    async def _complete(self, recorder: Recorder) -> None:
        await recorder.close()
        if recorder.frames_written:
            self.files.append(recorder.path)

    def _make_folder(self) -> None:
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MediaError(f"cannot record into {self._directory}: {error.strerror}; name another folder") from error
        if not os.access(self._directory, os.W_OK | os.X_OK):
            raise MediaError(
                f"cannot record into {self._directory}: this user may not write there; name another folder"
            )
