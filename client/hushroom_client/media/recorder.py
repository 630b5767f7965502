"""One participant's media in one WebM file, as it was opened: nothing is decoded or encoded again.

The file can be played at any moment, also after the process was killed. Disk work happens in one thread of its own.
"""

import asyncio
import os
import re
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from hushroom_client.media.errors import MediaError
from hushroom_client.media.frames import EncodedFrame, FrameSink
from hushroom_client.media.matroska import MatroskaWriter, Write
from hushroom_client.media.recording_time import FileTime, TrackTime
from hushroom_client.media.vp8_size import vp8_picture_size
from hushroom_common.ids import Codec, Source

__all__ = ["Recorder"]

_HOLD_S = 2.0
_HOLD_FRAMES = 256
_BACKLOG_BYTES = 32 << 20
_LONGEST_STEM_BYTES = 200
"""A file's name has at most 255 bytes, and a person's up to 64 letters of four."""


class Recorder:
    """Writes one file; `track()` gives a sink for each track that begins, at any time.

    The first failure of the disk ends the recording: `failure` says so, `on_failure` is called once, the file keeps
    what was written whole, and later frames are ignored.
    """

    def __init__(
        self,
        path: Path,
        *,
        on_failure: Callable[[MediaError], None] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Creates the file at `path`, which must not exist yet; raises MediaError. Needs a running event loop."""
        self.path = path
        self.failure: MediaError | None = None
        self.frames_written = 0
        self._on_failure = on_failure
        self._now = now
        self._loop = asyncio.get_running_loop()
        self._disk = _Disk(path)
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="recorder")
        self._file = MatroskaWriter()
        self._file_time = FileTime()
        self._track_numbers: dict[Source, int] = {}
        self._last_ms: dict[int, int] = {}
        self._sinks: dict[Source, _TrackSink] = {}
        self._backlog_bytes = 0
        self._is_closed = False

    @classmethod
    async def create(
        cls, directory: Path, participant: str, *, on_failure: Callable[[MediaError], None] | None = None
    ) -> "Recorder":
        """A recorder of `directory/participant.webm`, or `-2`, `-3` if that exists; makes the folder.

        Raises MediaError if the folder cannot be made or written to.
        """
        stem = re.sub(r"[^\w.-]", "_", participant).lstrip(".") or "participant"
        stem = stem.encode()[:_LONGEST_STEM_BYTES].decode(errors="ignore")
        try:
            await asyncio.to_thread(directory.mkdir, parents=True, exist_ok=True)
        except OSError as error:
            raise _cannot_write(directory, error) from error
        for number in range(1, 10_000):
            path = directory / (f"{stem}.webm" if number == 1 else f"{stem}-{number}.webm")
            if not path.exists():
                return cls(path, on_failure=on_failure)
        raise MediaError(f"cannot record into {directory}: it has 9999 files of {stem}; name another folder")

    def track(self, source: Source, codec: Codec) -> FrameSink:
        """A sink for one publication; one that follows on the same source continues its track in the file.

        Raises MediaError for codecs that cannot be recorded.
        """
        if codec not in (Codec.VP8, Codec.OPUS):
            raise MediaError(f"cannot record {codec}: only vp8 and opus; ask the sender's client for those")
        sink = self._sinks[source] = _TrackSink(self, source)
        return sink

    async def close(self) -> None:
        """Completes the file and closes it; one without any frame is removed. May be called twice. Never raises."""
        if self._is_closed:
            return
        for sink in self._sinks.values():
            sink.close()
        self._is_closed = True
        self._file.finish()
        self._hand_over()
        await self._loop.run_in_executor(self._worker, self._disk.close, self.frames_written == 0)
        self._worker.shutdown(wait=False)

    def is_current(self, sink: "_TrackSink", source: Source) -> bool:
        """Whether `sink` is the latest of its source: an older one is not written any more."""
        return not self._is_closed and self.failure is None and self._sinks.get(source) is sink

    def write(self, source: Source, frame: EncodedFrame, captured_at: float, arrived_s: float) -> None:
        """One frame in its place on the file's time line."""
        time_ms = round(self._file_time.at(captured_at, arrived_s) * 1000)
        if time_ms < 0 and frame.codec is Codec.OPUS:
            return  # from before the file's beginning; a picture must stay, for later ones refer to it
        number = self._track_number(source, frame)
        time_ms = self._last_ms[number] = max(time_ms, self._last_ms.get(number, -1) + 1)
        self._file.add_block(number, time_ms, frame.data, is_keyframe=frame.is_keyframe)
        self.frames_written += 1
        self._hand_over()

    def now_s(self) -> float:
        """Local time, in seconds."""
        return self._now()

    def captured_by_arrival(self, arrived_s: float) -> float:
        """The time to assume for a track that never told its own."""
        return self._file_time.captured_by_arrival(arrived_s)

    def _track_number(self, source: Source, frame: EncodedFrame) -> int:
        number = self._track_numbers.get(source)
        if number is None:
            if frame.codec is Codec.OPUS:
                number = self._file.add_opus_track(name=source)
            else:
                width, height = vp8_picture_size(frame.data) or (640, 360)
                number = self._file.add_vp8_track(name=source, width=width, height=height)
            self._track_numbers[source] = number
        return number

    def _hand_over(self) -> None:
        """Gives finished clusters to the disk's thread, within bounds."""
        writes = self._file.take_writes()
        if not writes or self.failure is not None:
            return
        size_bytes = sum(len(write.data) for write in writes)
        if self._backlog_bytes + size_bytes > _BACKLOG_BYTES:
            self._fail(MediaError(f"cannot write {self.path}: the disk is too slow; what it holds can be played"))
            return
        self._backlog_bytes += size_bytes

        def done(future: Future[None]) -> None:
            self._loop.call_soon_threadsafe(self._written, size_bytes, future.exception())

        self._worker.submit(self._disk.write, writes).add_done_callback(done)

    def _written(self, size_bytes: int, error: BaseException | None) -> None:
        self._backlog_bytes -= size_bytes
        if error is not None:
            self._fail(_cannot_write(self.path, error))

    def _fail(self, error: MediaError) -> None:
        if self.failure is None:
            self.failure = error
            if self._on_failure is not None:
                self._on_failure(error)


class _TrackSink:
    """One publication on its way into the file: starts at a keyframe, waits a little until its times are known."""

    def __init__(self, recorder: Recorder, source: Source) -> None:
        self._recorder = recorder
        self._source = source
        self._time = TrackTime()
        self._held: list[tuple[EncodedFrame, float]] = []
        self._awaits_keyframe = True

    def push(self, frame: EncodedFrame, *, captured_at: float | None) -> None:
        if not self._recorder.is_current(self, self._source) or (self._awaits_keyframe and not frame.is_keyframe):
            return
        self._awaits_keyframe = False
        if captured_at is not None:
            self._time.learn(frame, captured_at)
        self._held.append((frame, self._recorder.now_s()))
        if self._time.is_known or self._has_waited_enough:
            self._write_held()

    def close(self) -> None:
        if self._held and self._recorder.is_current(self, self._source):
            self._write_held()
        self._held.clear()

    @property
    def _has_waited_enough(self) -> bool:
        (_, first_s), (_, last_s) = self._held[0], self._held[-1]
        return last_s - first_s > _HOLD_S or len(self._held) > _HOLD_FRAMES

    def _write_held(self) -> None:
        if not self._time.is_known:
            newest, arrived_s = self._held[-1]
            self._time.learn(newest, self._recorder.captured_by_arrival(arrived_s))
        for frame, arrived_s in self._held:
            self._recorder.write(self._source, frame, self._time.captured_at(frame), arrived_s)
        self._held.clear()


class _Disk:
    """The open file, used from the recorder's thread only."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._end = 0
        self._failed = False
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _cannot_write(path, error) from error

    def write(self, writes: list[Write]) -> None:
        """All of it, or OSError with the file cut back to its last whole cluster."""
        if self._failed:
            return
        try:
            for write in writes:
                self._write_at(write.offset, write.data)
                self._end = max(self._end, write.offset + len(write.data))
            if os.fstat(self._fd).st_nlink == 0:
                raise FileNotFoundError("the file or its folder was removed")
        except OSError:
            self._failed = True
            os.ftruncate(self._fd, self._end)
            raise

    def _write_at(self, offset: int, data: bytes) -> None:
        view = memoryview(data)
        while view:
            written = os.pwrite(self._fd, view, offset)
            offset, view = offset + written, view[written:]

    def close(self, remove: bool) -> None:
        """Closes the file, and removes it if it holds nothing."""
        os.close(self._fd)
        if remove:
            self._path.unlink(missing_ok=True)


def _cannot_write(path: Path, error: BaseException) -> MediaError:
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return MediaError(f"cannot write {path}: {reason}; name a folder that can be written to and has room")
