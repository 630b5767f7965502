"""Judges of a recording of the reference talk: what arrived, how good it is, and whether sound and picture agree.

Each answers with numbers; the test that asked says what is good enough.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from tests.support.talk_media import BEEP_HZ, SAMPLE_RATE, WHITE, Samples, Talk, read_counter

_PAIR_WITHIN_S = 0.45
_STEP_S = 0.001
_ROUNDING_SAMPLES = 240


@dataclass(frozen=True)
class PictureVerdict:
    """What became of the talk's pictures. Errors are mean absolute differences of luma, out of 255."""

    expected: int
    counters: list[int]
    """The numbers that were read, in the order of the file."""

    unreadable: int
    in_order: int
    """How many pictures came later in the talk than everything before them."""

    mean_error: float
    worst_error: float
    longest_pause_s: float
    """Between two pictures, by the file's times."""

    @property
    def fraction_in_order(self) -> float:
        """Of the talk's pictures, 0 to 1."""
        return self.in_order / self.expected


@dataclass(frozen=True)
class ToneVerdict:
    """The strongest frequency and the share of all sound energy that is within 10 Hz of it."""

    frequency_hz: float
    share: float


@dataclass(frozen=True)
class SyncVerdict:
    """How much later each beep begins than its flash, in ms; negative where it is early."""

    offsets_ms: list[float]
    flashes: int
    beeps: int

    @property
    def median_ms(self) -> float:
        """The middle offset; NaN without a pair."""
        return float(np.median(self.offsets_ms)) if self.offsets_ms else float("nan")

    @property
    def worst_ms(self) -> float:
        """The offset farthest from zero; NaN without a pair."""
        return max(self.offsets_ms, key=abs) if self.offsets_ms else float("nan")


def judge_pictures(recording: Path, talk: Talk, *, expected: range | None = None) -> PictureVerdict:
    """Reads every picture's number and compares it with that picture of the talk.

    `expected` is the part of the talk that should be there, all of it by default; other numbers count for nothing.
    """
    wanted = expected if expected is not None else range(talk.pictures)
    counters: list[int] = []
    errors: list[float] = []
    times_s: list[float] = []
    unreadable, in_order, latest = 0, 0, -1
    for time_s, luma in _pictures(recording):
        times_s.append(time_s)
        number = read_counter(luma) if luma.shape == (talk.height, talk.width) else None
        if number is None or number >= talk.pictures:
            unreadable += 1
            continue
        counters.append(number)
        errors.append(float(np.abs(luma.astype(np.int16) - talk.picture(number)).mean()))
        if number > latest:
            latest = number
            in_order += number in wanted
    return PictureVerdict(
        expected=len(wanted),
        counters=counters,
        unreadable=unreadable,
        in_order=in_order,
        mean_error=float(np.mean(errors)) if errors else float("nan"),
        worst_error=max(errors, default=float("nan")),
        longest_pause_s=float(np.diff(times_s).max()) if len(times_s) > 1 else float("inf"),
    )


def judge_tone(recording: Path) -> ToneVerdict:
    """The strongest tone of the recording's sound; share 0 when there is no sound at all."""
    return tone_of(_sound(recording)[1])


def tone_of(samples: Samples) -> ToneVerdict:
    """The strongest tone of `samples` at 48 kHz."""
    if len(samples) < SAMPLE_RATE // 2 or not samples.any():
        return ToneVerdict(frequency_hz=0.0, share=0.0)
    energy = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    frequencies = np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE)
    energy[frequencies < 20] = 0
    peak_hz = float(frequencies[int(energy.argmax())])
    return ToneVerdict(peak_hz, float(energy[np.abs(frequencies - peak_hz) <= 10].sum() / energy.sum()))


def judge_sync(recording: Path, talk: Talk) -> SyncVerdict:
    """Pairs each flash with the nearest beep, by the file's own times."""
    flashes_s = _onsets((time_s, float(luma[talk.flash_field].mean()) / WHITE) for time_s, luma in _pictures(recording))
    start_s, samples = _sound(recording)
    beeps_s = beep_onsets(samples, start_s)
    offsets = []
    for flash_s in flashes_s:
        nearest_s = min(beeps_s, key=lambda beep_s: abs(beep_s - flash_s), default=float("inf"))
        if abs(nearest_s - flash_s) <= _PAIR_WITHIN_S:
            offsets.append((nearest_s - flash_s) * 1000)
    return SyncVerdict(offsets, flashes=len(flashes_s), beeps=len(beeps_s))


def beep_onsets(samples: Samples, start_s: float) -> list[float]:
    """When beeps begin: the 1000 Hz part of the sound, in windows of 10 ms centred on each millisecond."""
    window, step = SAMPLE_RATE // 100, round(SAMPLE_RATE * _STEP_S)
    if len(samples) < 10 * window:
        return []
    turning = samples * np.exp(-2j * np.pi * BEEP_HZ * np.arange(len(samples)) / SAMPLE_RATE)
    sums = np.concatenate([[0], np.cumsum(turning)])
    starts = np.arange(0, len(samples) - window, step)
    levels = 2 * np.abs(sums[starts + window] - sums[starts]) / window
    times_s = start_s + (starts + window / 2) / SAMPLE_RATE
    # The talk's beep has 0.5; half of it is where the window is half over the beep's edge.
    return _onsets(zip(times_s.tolist(), levels.tolist(), strict=True), threshold=0.25)


def _onsets(levels: Iterable[tuple[float, float]], *, threshold: float = 0.5) -> list[float]:
    """Times at which the level rises over `threshold`; one that is high from the start has no onset."""
    onsets: list[float] = []
    was_high = True
    for time_s, level in levels:
        is_high = level > threshold
        if is_high and not was_high:
            onsets.append(time_s)
        was_high = is_high
    return onsets


def _pictures(recording: Path) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    with av.open(str(recording)) as container:
        if container.streams.video:
            for frame in container.decode(container.streams.video[0]):
                planes = frame.reformat(format="yuv420p").to_ndarray()
                yield float(frame.time or 0.0), planes[: frame.height].astype(np.uint8, copy=False)


def _sound(recording: Path) -> tuple[float, Samples]:
    """When the sound begins, and all of it as one channel at 48 kHz; pauses are silent, by the file's own times."""
    pieces: list[tuple[float, Samples]] = []
    with av.open(str(recording)) as container:
        if container.streams.audio:
            resampler = av.AudioResampler(format="fltp", layout="mono", rate=SAMPLE_RATE)
            for frame in container.decode(container.streams.audio[0]):
                time_s = float(frame.time or 0.0)
                frame.pts = None
                pieces += [(time_s, piece.to_ndarray()[0].astype(np.float64)) for piece in resampler.resample(frame)]
    return _joined(pieces)


def _joined(pieces: list[tuple[float, Samples]]) -> tuple[float, Samples]:
    """One stretch of samples. Files round times to milliseconds, so a piece moves only if it is clearly elsewhere."""
    if not pieces:
        return 0.0, np.zeros(0)
    start_s = pieces[0][0]
    end = 0
    placed: list[tuple[int, Samples]] = []
    for time_s, part in pieces:
        at = round((time_s - start_s) * SAMPLE_RATE)
        at = end if abs(at - end) < _ROUNDING_SAMPLES else max(at, 0)
        placed.append((at, part))
        end = at + len(part)
    samples: Samples = np.zeros(max(at + len(part) for at, part in placed))
    for at, part in placed:
        samples[at : at + len(part)] = part
    return start_s, samples
