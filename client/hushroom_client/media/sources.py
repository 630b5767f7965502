"""What to publish, in words: `Video.file("talk.mp4")`. Nothing is opened or read before `open()`."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from hushroom_client.media.audio_file import AudioFileReader
from hushroom_client.media.clock import MediaClock
from hushroom_client.media.encoders import OpusEncoder, Vp8Encoder
from hushroom_client.media.frames import FrameSource
from hushroom_client.media.paced_source import PacedSource
from hushroom_client.media.test_pattern import TestPatternReader, TestToneReader
from hushroom_client.media.video_file import VideoFileReader
from hushroom_common.ids import Kind

__all__ = ["Audio", "Video"]

_TEST_PROGRAMME = "test pattern"


class _Publishable:
    """A description that can be opened any number of times, each time anew."""

    def __init__(self, label: str, make: Callable[[MediaClock], FrameSource]) -> None:
        self._label = label
        self._make = make

    async def open(self, clock: MediaClock) -> FrameSource:
        """A running source on the participant's clock; raises MediaError that says what would work.

        Files are read and encoded anew as VP8 or Opus whatever their codecs, so that a keyframe can be had at any time.
        """
        # Only opening a file blocks; the source itself belongs to this loop.
        return await asyncio.to_thread(self._make, clock)

    def __repr__(self) -> str:
        return self._label


class Video(_Publishable):
    """A picture to publish, as VP8."""

    kind = Kind.VIDEO

    @classmethod
    def file(cls, path: str | os.PathLike[str], *, loop: bool = False, max_height: int = 720) -> "Video":
        """The first picture track of a media file, in real time; higher ones are scaled down to `max_height`.

        In sync with `Audio.file` of the same path. `loop` starts over at the end, together with the sound.
        """

        def make(clock: MediaClock) -> FrameSource:
            reader = VideoFileReader(path, loop=loop, max_height=max_height)
            encoder = Vp8Encoder(frame_rate=reader.frame_rate)
            return PacedSource(reader, encoder, clock=clock, programme=_programme_of(path))

        return cls(f"Video.file({os.fspath(path)!r})", make)

    @classmethod
    def test_pattern(cls, width: int = 640, height: int = 360, fps: int = 30) -> "Video":
        """Moving waves without end, with a flash on each second; raises ValueError for sizes that cannot be."""
        TestPatternReader(width, height, fps)  # misuse shows here, where it was written

        def make(clock: MediaClock) -> FrameSource:
            reader = TestPatternReader(width, height, fps)
            return PacedSource(reader, Vp8Encoder(frame_rate=fps), clock=clock, programme=_TEST_PROGRAMME)

        return cls(f"Video.test_pattern({width}, {height}, {fps})", make)


class Audio(_Publishable):
    """A sound to publish, as Opus at a constant bitrate."""

    kind = Kind.AUDIO

    @classmethod
    def file(cls, path: str | os.PathLike[str], *, loop: bool = False) -> "Audio":
        """The first sound track of a media file, in real time; in sync with `Video.file` of the same path."""

        def make(clock: MediaClock) -> FrameSource:
            reader = AudioFileReader(path, loop=loop)
            encoder = OpusEncoder(channels=reader.channels)
            return PacedSource(reader, encoder, clock=clock, programme=_programme_of(path))

        return cls(f"Audio.file({os.fspath(path)!r})", make)

    @classmethod
    def test_tone(cls) -> "Audio":
        """A quiet 440 Hz without end and a beep on each second, with the flash of `Video.test_pattern`."""

        def make(clock: MediaClock) -> FrameSource:
            return PacedSource(TestToneReader(), OpusEncoder(), clock=clock, programme=_TEST_PROGRAMME)

        return cls("Audio.test_tone()", make)


def _programme_of(path: str | os.PathLike[str]) -> Path:
    return Path(path).absolute()
