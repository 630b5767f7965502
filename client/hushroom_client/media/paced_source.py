"""A reader and an encoder made into frames that come when they are due, never earlier and never from the loop."""

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable
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
        """The frames, each when it is due on the clock. The programme begins with the first call of its sources."""
        if self._closed.is_set():
            return
        began_at_s = self._clock.begin(self._programme)
        try:
            async for frame in self._frames_from(began_at_s):
                yield frame
        finally:
            self._clock.end(self._programme)
            self.close()

    async def _frames_from(self, began_at_s: float) -> AsyncIterator[EncodedFrame]:
        clock_rate = self.codec.clock_rate
        first_timestamp = round(began_at_s * clock_rate)
        while (read := await self._in_worker(self._reader.read)) is not None:
            time_s, raw = read
            due_s = began_at_s + time_s
            if self._clock.now_s() > due_s + _LATE_LIMIT_S:
                self.frames_dropped_late += 1
                continue
            if await self._closes_before(due_s - _ENCODE_LEAD_S):
                return
            timestamp = first_timestamp + round(time_s * clock_rate)
            frame = await self._in_worker(partial(self._encoder.encode, raw, timestamp))
            if frame is None or await self._closes_before(due_s):
                return
            self.frames_produced += 1
            yield frame

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
