"""Decoding of opened frames: the one place where bytes from a sender meet libvpx and libopus.

Only frames that opened come here: the codecs turn anything else into pictures and noise without complaint.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from hushroom_client.media.errors import MediaError
from hushroom_client.media.frames import EncodedFrame
from hushroom_client.media.vp8_size import vp8_picture_size
from hushroom_common.ids import Codec

__all__ = ["AudioDecoder", "Decoded", "VideoDecoder"]

_PENDING_LIMIT = 60
"""Frames waiting for the decoder: two seconds of pictures, more than a second of sound."""

_READY_LIMIT = 60
"""Decoded frames waiting for the reader; the oldest go first. 60 pictures of 640x360 are 20 MB."""

_PIXELS_LIMIT = 4096 * 2304
"""A keyframe of 30 bytes can claim 16383x16383: 400 MB a picture."""

RawT = TypeVar("RawT", VideoFrame, AudioFrame)


@dataclass(frozen=True, slots=True)
class Decoded(Generic[RawT]):
    """A raw frame with the times of the encoded one it came from."""

    raw: RawT
    timestamp: int
    captured_at: float | None


class _Decoder(Generic[RawT]):
    """A FrameSink that decodes in a thread of its own; `frames()` gives what came out, in order.

    Never raises for bad frames: they are counted in `frames_failed`. Slow decoding or slow reading drops frames
    (`frames_dropped`) instead of growing memory. Belongs to the event loop that it was made in.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="decoder")
        self._ready: deque[Decoded[RawT]] = deque()
        self._changed = asyncio.Event()
        self._is_closed = False
        self.frames_pending = 0
        self.frames_decoded = 0
        self.frames_failed = 0
        self.frames_dropped = 0

    def push(self, frame: EncodedFrame, *, captured_at: float | None) -> None:
        """Queues one opened frame."""
        if self._is_closed:
            return
        if self.frames_pending >= _PENDING_LIMIT or not self._is_wanted(frame):
            self.frames_dropped += 1
            self._lost()
            return
        self.frames_pending += 1
        self._worker.submit(self._decode_and_report, frame, captured_at)

    def close(self) -> None:
        """Ends `frames()` after what is decoded already; may be called twice."""
        if not self._is_closed:
            self._is_closed = True
            self._worker.shutdown(wait=False, cancel_futures=True)
            self._changed.set()

    async def frames(self) -> AsyncIterator[Decoded[RawT]]:
        """Decoded frames until `close()`. For one reader; while nobody reads, only the newest are kept."""
        while True:
            while self._ready:
                yield self._ready.popleft()
            if self._is_closed:
                return
            self._changed.clear()
            await self._changed.wait()

    def _decode_and_report(self, frame: EncodedFrame, captured_at: float | None) -> None:
        """In the worker."""
        try:
            raws = self._decode(frame)
        except (av.FFmpegError, MediaError):
            self._report(None)
        else:
            self._report([Decoded(raw, frame.timestamp, captured_at) for raw in raws])

    def _report(self, decoded: list[Decoded[RawT]] | None) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._take, decoded)

    def _take(self, decoded: list[Decoded[RawT]] | None) -> None:
        """In the loop."""
        self.frames_pending -= 1
        if self._is_closed:
            return
        if decoded is None:
            self.frames_failed += 1
            self._lost()
            return
        self.frames_decoded += len(decoded)
        self._ready.extend(decoded)
        while len(self._ready) > _READY_LIMIT:
            self._ready.popleft()
            self.frames_dropped += 1
        self._changed.set()

    def _decode(self, frame: EncodedFrame) -> list[RawT]:
        raise NotImplementedError

    def _is_wanted(self, frame: EncodedFrame) -> bool:
        raise NotImplementedError

    def _lost(self) -> None:
        """A frame is missing from now on."""


class VideoDecoder(_Decoder[VideoFrame]):
    """VP8 to pictures. After a failure or an overload, nothing until the next keyframe, which it asks for."""

    def __init__(self, *, request_keyframe: Callable[[], None]) -> None:
        super().__init__()
        self._request_keyframe = request_keyframe
        self._awaits_keyframe = True
        self._context: VideoCodecContext | None = None

    def _is_wanted(self, frame: EncodedFrame) -> bool:
        if frame.is_keyframe:
            self._awaits_keyframe = False
        return not self._awaits_keyframe

    def _lost(self) -> None:
        self._awaits_keyframe = True
        self._request_keyframe()

    def _decode(self, frame: EncodedFrame) -> list[VideoFrame]:
        if frame.codec is not Codec.VP8:
            raise MediaError(f"only vp8 pictures can be decoded here, not {frame.codec}")
        if frame.is_keyframe:
            size = vp8_picture_size(frame.data)
            if size is None or not 0 < size[0] * size[1] <= _PIXELS_LIMIT:
                raise MediaError(f"a keyframe of {size} pixels is refused")
        if self._context is None:
            self._context = VideoCodecContext.create("libvpx", "r")
            self._context.thread_count = 1
        return self._context.decode(av.Packet(frame.data))


class AudioDecoder(_Decoder[AudioFrame]):
    """Opus to sound, 48 kHz stereo."""

    def __init__(self) -> None:
        super().__init__()
        self._context: AudioCodecContext | None = None

    def _is_wanted(self, frame: EncodedFrame) -> bool:
        return True

    def _decode(self, frame: EncodedFrame) -> list[AudioFrame]:
        if frame.codec is not Codec.OPUS:
            raise MediaError(f"only opus sound can be decoded here, not {frame.codec}")
        if self._context is None:
            self._context = AudioCodecContext.create("libopus", "r")
            self._context.sample_rate = frame.codec.clock_rate
            self._context.layout = "stereo"
            self._context.format = "s16"
        return self._context.decode(av.Packet(frame.data))
