"""The reference talk: pictures that say their own number, flash and beep on each second, a quiet tone throughout.

Every picture can be made again from its number alone, so a recording is judged against the source itself. Made with
the av library only.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

Luma = NDArray[np.uint8]
Samples = NDArray[np.float64]

SAMPLE_RATE = 48_000
TONE_HZ = 440
BEEP_HZ = 1000
MARK_S = 0.1
"""How long a flash and its beep last."""

BLACK, WHITE = 16, 235
_COLUMNS, _COUNTER_BITS, _CHECK_BITS = 12, 16, 8
_BLUE, _RED = 112, 144


@dataclass(frozen=True)
class Talk:
    """The reference, described: even sizes of at least 160x96, whole seconds make whole flashes."""

    width: int = 640
    height: int = 360
    fps: int = 30
    duration_s: float = 20.0
    with_sound: bool = True
    sound_late_s: float = 0.0
    """By how much the beeps are late; for judging the judges."""
    seed: int = 1
    """Another seed is another background."""

    @property
    def pictures(self) -> int:
        """How many there are."""
        return round(self.duration_s * self.fps)

    def picture(self, number: int) -> Luma:
        """The luma of picture `number`: a moving background, the flash field at the lower right, the counter on top."""
        across, down = np.arange(self.width), np.arange(self.height)[:, None]
        waves = 50 * np.sin((across + 3 * number) / 37) + 35 * np.sin((down - 2 * number) / 23)
        texture = np.roll(self._texture, (number, 2 * number), axis=(0, 1))
        luma: Luma = np.clip(125 + waves + texture, BLACK, WHITE).astype(np.uint8)
        luma[self.flash_field] = WHITE if self.flashes(number) else BLACK
        return draw_counter(luma, number)

    def flashes(self, number: int) -> bool:
        """Whether the flash field of this picture is white."""
        return number % self.fps < round(MARK_S * self.fps)

    @property
    def flash_field(self) -> tuple[slice, slice]:
        """Rows and columns of the field that flashes."""
        return slice(self.height // 2, None), slice(self.width * 3 // 4, None)

    def samples(self) -> Samples:
        """The sound from -1 to 1: the tone, and a louder beep from each second on."""
        times_s = np.arange(round(self.duration_s * SAMPLE_RATE)) / SAMPLE_RATE
        beeps = (times_s - self.sound_late_s) % 1.0 < MARK_S
        if self.sound_late_s > 0:
            beeps &= times_s >= self.sound_late_s
        tone: Samples = 0.15 * np.sin(2 * np.pi * TONE_HZ * times_s)
        return tone + 0.5 * np.sin(2 * np.pi * BEEP_HZ * times_s) * beeps

    @cached_property
    def _texture(self) -> NDArray[np.int64]:
        grain = np.random.default_rng(self.seed).integers(-20, 21, (self.height // 8 + 1, self.width // 8 + 1))
        return grain.repeat(8, 0).repeat(8, 1)[: self.height, : self.width]


def draw_counter(luma: Luma, number: int) -> Luma:
    """Writes `number` (16 bits) and its check byte as two rows of twelve black or white blocks."""
    bits = number << _CHECK_BITS | _check_byte(number)
    for index, (rows, columns) in enumerate(_blocks(luma)):
        luma[rows, columns] = WHITE if bits >> index & 1 else BLACK
    return luma


def read_counter(luma: Luma) -> int | None:
    """The number in a picture; None when blocks are neither black nor white or the check byte is wrong."""
    bits = 0
    for index, (rows, columns) in enumerate(_blocks(luma)):
        block = luma[rows, columns]
        margin_rows, margin_columns = block.shape[0] // 4, block.shape[1] // 4
        level = float(block[margin_rows:-margin_rows, margin_columns:-margin_columns].mean())
        if BLACK + 60 < level < WHITE - 60:
            return None
        bits |= (level > 128) << index
    number, check = bits >> _CHECK_BITS, bits & 0xFF
    return number if check == _check_byte(number) else None


def make_talk(path: Path, talk: Talk | None = None, *, numbers: Iterable[int] | None = None) -> Path:
    """Encodes the talk into `path`: H.264 and AAC in .mp4, VP8 and Opus in .webm. Returns `path`.

    `numbers` puts other pictures into the file than all in order, one after another.
    """
    talk = talk or Talk()
    is_mp4 = path.suffix == ".mp4"
    with av.open(str(path), "w") as container:
        picture_stream = container.add_stream("libx264" if is_mp4 else "libvpx", rate=talk.fps)
        picture_stream.width, picture_stream.height, picture_stream.pix_fmt = talk.width, talk.height, "yuv420p"
        picture_stream.bit_rate = 8_000_000
        picture_stream.options = {"preset": "ultrafast", "crf": "12"} if is_mp4 else {"deadline": "realtime"}
        if talk.with_sound:
            sound_stream = container.add_stream("aac" if is_mp4 else "libopus", rate=SAMPLE_RATE, layout="mono")
            sound_stream.bit_rate = 128_000
            for frame in _sound_frames(talk, "fltp" if is_mp4 else "flt"):
                container.mux(sound_stream.encode(frame))
            container.mux(sound_stream.encode(None))
        for place, number in enumerate(range(talk.pictures) if numbers is None else numbers):
            container.mux(picture_stream.encode(video_frame(talk.picture(number), place, talk.fps)))
        container.mux(picture_stream.encode(None))
    return path


def video_frame(luma: Luma, number: int, fps: int) -> av.VideoFrame:
    """A picture as the codec takes it, with its time."""
    height, width = luma.shape
    quarter = width * height // 4
    planes = np.concatenate([luma.ravel(), np.full(quarter, _BLUE, np.uint8), np.full(quarter, _RED, np.uint8)])
    frame = av.VideoFrame.from_ndarray(planes.reshape(height * 3 // 2, width), format="yuv420p")
    frame.pts, frame.time_base = number, Fraction(1, fps)
    return frame


def _sound_frames(talk: Talk, sample_format: str) -> Iterator[av.AudioFrame]:
    samples = talk.samples().astype(np.float32)
    for start in range(0, len(samples), 960):
        frame = av.AudioFrame.from_ndarray(samples[None, start : start + 960], format=sample_format, layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, start, Fraction(1, SAMPLE_RATE)
        yield frame


def _blocks(luma: Luma) -> Iterator[tuple[slice, slice]]:
    """Where the counter's bits are, the lowest first."""
    height, width = luma.shape
    block_width, block_height = width // 16, max(8, height // 11)
    for index in range(_COUNTER_BITS + _CHECK_BITS):
        row, column = divmod(index, _COLUMNS)
        left, top = (2 + column) * block_width, row * block_height
        yield slice(top, top + block_height), slice(left, left + block_width)


def _check_byte(number: int) -> int:
    """CRC-8 (polynomial 0x07) that starts from 0xA5, so that neither all black nor all white is a number."""
    check = 0xA5
    for byte in number.to_bytes(2, "big"):
        check ^= byte
        for _ in range(8):
            check = (check << 1 ^ 0x07 if check & 0x80 else check << 1) & 0xFF
    return check
