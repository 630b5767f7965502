"""Pictures and sound for trying a room without a camera: a moving pattern, a flash and a beep on each second."""

import math
from array import array
from itertools import count

from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane

from hushroom_client.media.encoders import OPUS_FRAME_SAMPLES

__all__ = ["TestPatternReader", "TestToneReader"]

_MARK_S = 0.1
"""How long a flash and its beep last."""

_BLACK, _WHITE = 16, 235
_SAMPLE_RATE = 48_000
_TONE_HZ, _BEEP_HZ = 440, 1000


class TestPatternReader:
    """Diagonal waves of changing colour; the middle is white for the first 100 ms of each second, black otherwise."""

    __test__ = False  # the name is not a test's

    def __init__(self, width: int, height: int, fps: int) -> None:
        if not (16 <= width <= 3840 and 16 <= height <= 2160 and width % 2 == height % 2 == 0):
            raise ValueError(f"a test pattern of {width}x{height} cannot be made: use even sizes such as 640x360")
        if not 1 <= fps <= 60:
            raise ValueError(f"a test pattern of {fps} frames a second cannot be made: use 1 to 60, such as 30")
        self._width, self._height, self._fps = width, height, fps
        self._period = period = max(32, width // 4)
        wave = (round(126 + 80 * math.sin(2 * math.pi * x / period)) for x in range(period))
        self._wave = bytes(wave) * (width // period + 3)
        self._numbers = count()

    def read(self) -> tuple[float, VideoFrame]:
        """The next picture; there is always one more."""
        number = next(self._numbers)
        picture = VideoFrame(self._width, self._height, "yuv420p")
        luma, blue, red = picture.planes
        _fill(luma, self._luma_rows(number))
        angle = 2 * math.pi * number / (10 * self._fps)
        _fill(blue, [bytes([round(128 + 40 * math.cos(angle))]) * blue.width] * blue.height)
        _fill(red, [bytes([round(128 + 40 * math.sin(angle))]) * red.width] * red.height)
        return number / self._fps, picture

    def close(self) -> None:
        """Holds nothing."""

    def _luma_rows(self, number: int) -> list[bytes]:
        width, height = self._width, self._height
        left, right, top, bottom = width * 3 // 8, width * 5 // 8, height * 3 // 8, height * 5 // 8
        flashes = number % self._fps < max(1, round(_MARK_S * self._fps))
        middle = bytes([_WHITE if flashes else _BLACK]) * (right - left)
        rows = []
        for y in range(height):
            start = (3 * number + y) % self._period
            row = self._wave[start : start + width]
            rows.append(row[:left] + middle + row[right:] if top <= y < bottom else row)
        return rows


class TestToneReader:
    """A quiet 440 Hz with a 1000 Hz beep of 100 ms on each second, mono."""

    __test__ = False

    def __init__(self) -> None:
        samples = array("h", bytes(2 * _SAMPLE_RATE))
        for n in range(_SAMPLE_RATE):  # both tones fit a second in whole waves, so one second is enough
            level = 0.15 * math.sin(2 * math.pi * _TONE_HZ * n / _SAMPLE_RATE)
            if n < _MARK_S * _SAMPLE_RATE:
                level += 0.5 * math.sin(2 * math.pi * _BEEP_HZ * n / _SAMPLE_RATE)
            samples[n] = round(32767 * level)
        self._second = samples.tobytes()
        self._numbers = count()

    def read(self) -> tuple[float, AudioFrame]:
        """The next 20 ms; there is always more."""
        number = next(self._numbers)
        frame = AudioFrame(format="s16", layout="mono", samples=OPUS_FRAME_SAMPLES)
        frame.sample_rate = _SAMPLE_RATE
        start = number * OPUS_FRAME_SAMPLES % _SAMPLE_RATE * 2
        sound = self._second[start : start + OPUS_FRAME_SAMPLES * 2]
        plane = frame.planes[0]
        plane.update(sound.ljust(plane.buffer_size, b"\0"))
        return number * OPUS_FRAME_SAMPLES / _SAMPLE_RATE, frame

    def close(self) -> None:
        """Holds nothing."""


def _fill(plane: VideoPlane, rows: list[bytes]) -> None:
    """Writes rows of the plane's width; the library pads its lines for alignment."""
    padding = bytes(plane.line_size - plane.width)
    plane.update(padding.join(rows) + padding)
