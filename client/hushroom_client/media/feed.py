"""One publication's frames on their way out: pulled from their source, sealed, and dropped where they must be.

Knows no network. A feed outlives the connection that drains it, so that a lost one can be replaced.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

from hushroom_client.media.frames import EncodedFrame, FrameSource
from hushroom_common.ids import Codec, Kind

__all__ = ["Feed", "Transform"]

Transform = Callable[[EncodedFrame], bytes | None]
"""From a plain frame to what is sent instead of it; None drops the frame, as a sealer without a key does."""

_KEYFRAME_INTERVAL_S = 0.25
_LARGEST_SOUND = 1200
"""Bytes; a packet of sound is never split, and a bigger one would not fit into a datagram."""


class Feed:
    """Drains one source, one frame a call of `next_frame`.

    After a dropped frame nothing is sent before a keyframe, since what follows builds on it. Requests for keyframes,
    whoever makes how many, reach the source at most every 250 ms.
    """

    def __init__(
        self, source: FrameSource, transform: Transform, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._source = source
        self._frames = source.frames()
        self._transform = transform
        self._clock = clock
        self._pending: asyncio.Future[EncodedFrame | None] | None = None
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._is_paused = False
        self._needs_keyframe = source.codec.kind is Kind.VIDEO
        self._wants_keyframe = False
        self._requested_at = float("-inf")
        self.frames_sent = 0
        self.frames_dropped = 0
        self.bytes_sent = 0

    @property
    def codec(self) -> Codec:
        """The codec of every frame."""
        return self._source.codec

    @property
    def has_ended(self) -> bool:
        """Whether nothing will come any more."""
        return self._ended.done()

    async def wait_ended(self) -> None:
        """Return when the source is drained or the feed closed. Raises whatever source or transform raised."""
        await asyncio.shield(self._ended)

    def request_keyframe(self) -> None:
        """Ask the source for a keyframe, now or as soon as the last request is 250 ms old."""
        self._wants_keyframe = True
        self._pass_request()

    def restart(self) -> None:
        """What follows goes to receivers that saw nothing so far: begin with a keyframe."""
        if self.codec.kind is Kind.VIDEO:
            self._needs_keyframe = True
            if self.frames_sent:
                self.request_keyframe()

    def pause(self) -> None:
        """Send nothing: frames are pulled and dropped, unsealed."""
        self._is_paused = True

    def resume(self) -> None:
        """Send again, from a keyframe on."""
        if self._is_paused:
            self._is_paused = False
            self.request_keyframe()

    def close(self) -> None:
        """End the feed and its source; may be called twice."""
        self._source.close()
        if self._pending is not None:
            self._pending.cancel()
        if not self._ended.done():
            self._ended.set_result(None)

    async def next_frame(self) -> EncodedFrame | None:
        """The next frame to send, `data` as the transform made it; None at the end.

        May be cancelled and called again, by somebody else too: no frame is lost by it.
        """
        while not self._ended.done():
            try:
                frame = await self._pull()
                if frame is None:
                    self.close()
                    break
                data = self._judge(frame)
            except Exception as error:  # the source's or the transform's: told by `wait_ended`
                self._fail(error)
                break
            if data is not None:
                self.frames_sent += 1
                self.bytes_sent += len(data)
                return replace(frame, data=data)
            self.frames_dropped += 1
        return None

    async def _pull(self) -> EncodedFrame | None:
        # The source's iterator would not survive being cancelled; so the wait is, and the pull goes on.
        if self._pending is None:
            self._pending = asyncio.ensure_future(anext(self._frames, None))
        either: set[asyncio.Future[EncodedFrame | None] | asyncio.Future[None]] = {self._pending, self._ended}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if self._ended.done():
            return None
        pending, self._pending = self._pending, None
        return pending.result()

    def _judge(self, frame: EncodedFrame) -> bytes | None:
        self._pass_request()
        if self._is_paused:
            data = None
        elif self._needs_keyframe and not frame.is_keyframe:
            self.request_keyframe()
            return None
        else:
            data = self._transform(frame)
            if data is not None and (not data or (self.codec.kind is Kind.AUDIO and len(data) > _LARGEST_SOUND)):
                data = None
        self._needs_keyframe = data is None and self.codec.kind is Kind.VIDEO
        return data

    def _pass_request(self) -> None:
        now = self._clock()
        if self._wants_keyframe and now >= self._requested_at + _KEYFRAME_INTERVAL_S:
            self._wants_keyframe = False
            self._requested_at = now
            self._source.request_keyframe()

    def _fail(self, error: Exception) -> None:
        self._source.close()
        if not self._ended.done():
            self._ended.set_exception(error)
            self._ended.exception()  # retrieved: who does not wait for the end need not hear of it
