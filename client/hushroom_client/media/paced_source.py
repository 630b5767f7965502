"""A reader and an encoder made into frames that come when they are due, never earlier and never from the loop."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Generic, Protocol, TypeVar

from hushroom_client.media.clock import MediaClock
from hushroom_client.media.encoders import Encoder
from hushroom_client.media.frames import EncodedFrame
from hushroom_common.ids import Codec

__all__ = ["MediaReader", "PacedSource"]

RawT = TypeVar("RawT")
RawT_co = TypeVar("RawT_co", covariant=True)
ResultT = TypeVar("ResultT")

_LATE_LIMIT_S = 0.25
"""A frame later than this is dropped: conversation before completeness."""

_ENCODE_LEAD_S = 0.010
"""Encoding starts this much before a frame is due, so that it usually leaves on time."""


class MediaReader(Protocol[RawT_co]):
    """Raw frames one after another. Used from one worker thread only."""

    def read(self) -> tuple[float, RawT_co] | None:
        """The next frame and its time in seconds since the programme began; None at the end. Blocks.

        Times never fall. Raises MediaError when reading fails half-way.
        """

    def close(self) -> None:
        """Lets go of the file; may be called twice."""


class PacedSource(Generic[RawT]):
    """A FrameSource: reads, waits until due, encodes; drops and counts what it is too late for.

    Reading and encoding happen in one thread of its own. `frames()` raises MediaError when reading or encoding fails.
    """

    def __init__(
        self, reader: MediaReader[RawT], encoder: Encoder[RawT], *, clock: MediaClock, programme: Hashable
    ) -> None:
        self._reader = reader
        self._encoder = encoder
        self._clock = clock
        self._programme = programme
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="media-source")
        self._closed = asyncio.Event()
        self.frames_produced = 0
        self.frames_dropped_late = 0
        """Also those that a source which joined a running programme had missed."""

    @property
    def codec(self) -> Codec:
        """The codec of every frame."""
        return self._encoder.codec

    def request_keyframe(self) -> None:
        """The next frame that is encoded will be a keyframe."""
        self._encoder.request_keyframe()

    def close(self) -> None:
        """Ends `frames()`; the worker finishes what it holds and closes the file."""
        if not self._closed.is_set():
            self._closed.set()
            self._worker.submit(self._reader.close)
            self._worker.shutdown(wait=False)

    async def frames(self) -> AsyncIterator[EncodedFrame]:
        """The frames, each when it is due on the clock. The programme begins with the first source that has one."""
        if self._closed.is_set():
            return
        try:
            first = await self._in_worker(self._reader.read)  # takes longest: nothing that follows is late for it
            began_at_s = self._clock.begin(self._programme)
            try:
                async for frame in self._frames_from(began_at_s, first):
                    yield frame
            finally:
                self._clock.end(self._programme)
        finally:
            self.close()

    async def _frames_from(
        self, began_at_s: float, read: tuple[float, RawT] | None
    ) -> AsyncGenerator[EncodedFrame, None]:
        clock_rate = self.codec.clock_rate
        first_timestamp = round(began_at_s * clock_rate)
        run = asyncio.get_running_loop().run_in_executor
        while read is not None:
            time_s, raw = read
            due_s = began_at_s + time_s
            if self._clock.now_s() > due_s + _LATE_LIMIT_S:
                read = await self._in_worker(partial(self._skip_late, began_at_s, read))
                continue
            if await self._closes_before(due_s - _ENCODE_LEAD_S):
                return
            timestamp = first_timestamp + round(time_s * clock_rate)
            encoding = run(self._worker, self._encoder.encode, raw, timestamp)
            # Each change of threads can take milliseconds on a busy machine: the next is read while this one is sent.
            reading = run(self._worker, self._reader.read)
            reading.add_done_callback(_look_at)
            try:
                frame = await encoding
                if await self._closes_before(due_s):
                    return
                self.frames_produced += 1
                yield frame
                read = await reading
            finally:
                reading.cancel()

    def _skip_late(self, began_at_s: float, read: tuple[float, RawT] | None) -> tuple[float, RawT] | None:
        """In the worker: drops frames from `read` on until one is not too late."""
        while read is not None and self._clock.now_s() > began_at_s + read[0] + _LATE_LIMIT_S:
            if self._closed.is_set():
                return None
            self.frames_dropped_late += 1
            read = self._reader.read()
        return read

    async def _in_worker(self, work: Callable[[], ResultT]) -> ResultT | None:
        """The result of blocking `work`, or None once closed."""
        if self._closed.is_set():
            return None
        return await asyncio.get_running_loop().run_in_executor(self._worker, work)

    async def _closes_before(self, at_s: float) -> bool:
        """Waits until `at_s` on the clock, or less when closed meanwhile; says whether it is closed."""
        delay_s = at_s - self._clock.now_s()
        if delay_s > 0 and not self._closed.is_set():
            try:
                async with asyncio.timeout(delay_s):
                    await self._closed.wait()
            except TimeoutError:
                return False
        return self._closed.is_set()


def _look_at(reading: asyncio.Future[ResultT]) -> None:
    """What nobody waits for any more may have failed; that is not news."""
    if not reading.cancelled():
        reading.exception()
