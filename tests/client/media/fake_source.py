"""A source whose frames the test decides, and a wait for what takes a moment."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable

from hushroom_client.media.frames import EncodedFrame
from hushroom_common.ids import Codec, Kind


class FakeSource:
    """Yields what `say` is told, each when it is asked for."""

    def __init__(self, codec: Codec = Codec.VP8, *, seed: int = 0) -> None:
        self.codec = codec
        self.keyframe_requests = 0
        self.closed = False
        self._random = random.Random(seed)
        self._next_timestamp = 0
        self._queue: asyncio.Queue[EncodedFrame | Exception | None] = asyncio.Queue()

    def frame(self, *, is_keyframe: bool = True, size: int = 100) -> EncodedFrame:
        """The next frame of a stream: random bytes behind VP8's clear first byte."""
        clear = b"" if self.codec.kind is Kind.AUDIO else (b"\x10" if is_keyframe else b"\x11")
        frame = EncodedFrame(self.codec, clear + self._random.randbytes(size - 1), self._next_timestamp, is_keyframe)
        self._next_timestamp += self.codec.clock_rate // (50 if self.codec.kind is Kind.AUDIO else 30)
        return frame

    def say(self, *frames: EncodedFrame | Exception | None) -> None:
        """Produce these; an exception fails the source and None ends it."""
        for frame in frames:
            self._queue.put_nowait(frame)

    async def frames(self) -> AsyncIterator[EncodedFrame]:
        while (frame := await self._queue.get()) is not None:
            if isinstance(frame, Exception):
                raise frame
            yield frame

    def request_keyframe(self) -> None:
        self.keyframe_requests += 1

    def close(self) -> None:
        self.closed = True
        self._queue.put_nowait(None)


async def eventually(condition: Callable[[], object], *, within_s: float = 10.0) -> None:
    """Return once the condition holds; fail if it does not in time."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 (what is waited for happens behind a socket)
            await asyncio.sleep(0.005)
