"""What is published in these tests: every plain frame is noted before anything seals it."""

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator, Sequence

import av
import numpy as np

from hushroom_client.media.encoders import OPUS_FRAME_SAMPLES, OpusEncoder, Vp8Encoder
from hushroom_client.media.frames import EncodedFrame, FrameSource
from hushroom_common.ids import Codec, Kind
from tests.support.talk_media import SAMPLE_RATE, Talk, video_frame

__all__ = ["Noted", "Repeated", "scripted", "talk_pictures", "talk_sound"]


class Noted:
    """A source that keeps every frame that another one makes, in order."""

    def __init__(self, source: FrameSource) -> None:
        self.plain: list[bytes] = []
        self.codec = source.codec
        self._source = source

    async def frames(self) -> AsyncIterator[EncodedFrame]:
        """The source's frames."""
        async for frame in self._source.frames():
            self.plain.append(frame.data)
            yield frame

    def request_keyframe(self) -> None:
        """Passed on."""
        self._source.request_keyframe()

    def close(self) -> None:
        """Ends the source."""
        self._source.close()


def talk_pictures(talk: Talk) -> Noted:
    """The talk's pictures as VP8, by the client's own encoder, with a keyframe each half second.

    Encoded beforehand and never dropped, so that a busy machine changes nothing but the pace.
    """
    encoder = Vp8Encoder(frame_rate=talk.fps)
    frames = []
    for number in range(talk.pictures):
        if number % (talk.fps // 2) == 0:
            encoder.request_keyframe()
        picture = video_frame(talk.picture(number), number, talk.fps)
        frames.append(encoder.encode(picture, number * Codec.VP8.clock_rate // talk.fps))
    return Noted(_Prepared(frames, fps=talk.fps))


def talk_sound(talk: Talk) -> Noted:
    """The talk's sound as Opus, in the same way."""
    encoder, samples = OpusEncoder(), (talk.samples() * 32767).astype(np.int16)
    frames = []
    for start in range(0, len(samples) - OPUS_FRAME_SAMPLES + 1, OPUS_FRAME_SAMPLES):
        piece = samples[None, start : start + OPUS_FRAME_SAMPLES]
        frame = av.AudioFrame.from_ndarray(piece, format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        frames.append(encoder.encode(frame, start))
    return Noted(_Prepared(frames, fps=SAMPLE_RATE / OPUS_FRAME_SAMPLES))


def scripted(codec: Codec, *, fps: float, seed: int, size: int = 300) -> Noted:
    """Frames of random bytes behind each codec's real first bytes, so many a second, a keyframe when asked."""
    return Noted(_ScriptedSource(codec, fps, seed, size))


class Repeated:
    """A source of sound that says one frame again and again."""

    codec = Codec.OPUS

    def __init__(self, frame: bytes, *, fps: float = 50.0) -> None:
        self._frame = frame
        self._fps = fps
        self._is_closed = asyncio.Event()

    async def frames(self) -> AsyncIterator[EncodedFrame]:
        """The frame, whenever it is due."""
        async for number in _paced(self._fps, self._is_closed):
            yield EncodedFrame(self.codec, self._frame, number * 960, True)

    def request_keyframe(self) -> None:
        """Every frame of sound is one."""

    def close(self) -> None:
        """Ends it."""
        self._is_closed.set()


class _Prepared:
    """Frames that are there already, each when it is due or as soon as it can be."""

    def __init__(self, frames: Sequence[EncodedFrame], *, fps: float) -> None:
        self.codec = frames[0].codec
        self._frames = frames
        self._fps = fps
        self._is_closed = asyncio.Event()

    async def frames(self) -> AsyncIterator[EncodedFrame]:
        async for number in _paced(self._fps, self._is_closed):
            if number == len(self._frames):
                return
            yield self._frames[number]

    def request_keyframe(self) -> None:
        """There is one soon."""

    def close(self) -> None:
        self._is_closed.set()


async def _paced(fps: float, is_closed: asyncio.Event) -> AsyncIterator[int]:
    """0, 1, 2 ... at that pace, until it is closed."""
    began_at = time.monotonic()
    for number in itertools.count():
        try:
            async with asyncio.timeout(max(0.0, began_at + number / fps - time.monotonic())):
                await is_closed.wait()
            return
        except TimeoutError:
            yield number


class _ScriptedSource:
    _KEYFRAME = bytes.fromhex("1002009d012a40012001")
    _DELTA = bytes.fromhex("310200")

    def __init__(self, codec: Codec, fps: float, seed: int, size: int) -> None:
        self.codec = codec
        self._fps = fps
        self._random = random.Random(seed)
        self._size = size
        self._wants_keyframe = True
        self._is_closed = asyncio.Event()

    async def frames(self) -> AsyncIterator[EncodedFrame]:
        async for number in _paced(self._fps, self._is_closed):
            yield self._frame(number)

    def _frame(self, number: int) -> EncodedFrame:
        body = self._random.randbytes(self._size)
        timestamp = round(number * self.codec.clock_rate / self._fps)
        if self.codec.kind is Kind.AUDIO:
            return EncodedFrame(self.codec, b"\x78" + body, timestamp, True)
        is_keyframe, self._wants_keyframe = self._wants_keyframe, False
        return EncodedFrame(self.codec, (self._KEYFRAME if is_keyframe else self._DELTA) + body, timestamp, is_keyframe)

    def request_keyframe(self) -> None:
        self._wants_keyframe = True

    def close(self) -> None:
        self._is_closed.set()
