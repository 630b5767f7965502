"""The sound of a media file as 20 ms frames at 48 kHz."""

import os
from collections import deque
from collections.abc import Iterator

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler

from hushroom_client.media.container import open_audio
from hushroom_client.media.encoders import OPUS_FRAME_SAMPLES

__all__ = ["AudioFileReader"]

_SAMPLE_RATE = 48_000
_GAP_S = 0.1
"""A jump of the file's own times beyond this starts a new stretch; less is rounding."""


class AudioFileReader:
    """Decodes the first sound track to mono or stereo s16. Blocks: keep it off the event loop.

    The last samples that do not fill 20 ms are left out, at the file's end and before a gap.
    """

    def __init__(self, path: str | os.PathLike[str], *, loop: bool = False) -> None:
        self._path = path
        self._loop = loop
        self._file, self._stream = open_audio(path)
        self.channels = 1 if self._stream.channels == 1 else 2
        self.frames_damaged = 0
        self._round_began_at_s = 0.0
        self._stretch_began_at_s: float | None = None
        self._stretch_frames_out = 0
        self._stretch_s_in = 0.0
        self._resampler = self._new_resampler()
        self._ready: deque[tuple[float, AudioFrame]] = deque()
        self._sounds = self._decode()
        self._last_end_s = 0.0

    def read(self) -> tuple[float, AudioFrame] | None:
        """The next 20 ms and their time in seconds; None after the last. Raises MediaError."""
        while not self._ready:
            if (sound := next(self._sounds, None)) is not None:
                self._take(sound)
            elif self._loop and self._last_end_s > self._round_began_at_s:
                self._start_next_round()
            else:
                return None
        return self._ready.popleft()

    def close(self) -> None:
        """Closes the file."""
        self._sounds = iter(())
        self._loop = False
        self._file.container.close()

    def _decode(self) -> Iterator[AudioFrame]:
        try:
            for packet in self._file.container.demux(self._stream):
                try:
                    yield from packet.decode()
                except av.FFmpegError:
                    self.frames_damaged += 1
        except av.FFmpegError as error:
            raise self._file.failed_at(self._last_end_s, error) from error

    def _take(self, sound: AudioFrame) -> None:
        """Resamples one decoded frame of any length into `_ready`."""
        expected_s = None if self._stretch_began_at_s is None else self._stretch_began_at_s + self._stretch_s_in
        in_file_s = None if sound.time is None else self._round_began_at_s + sound.time - self._file.start_s
        if expected_s is None or (in_file_s is not None and in_file_s - expected_s > _GAP_S):
            self._start_stretch(self._last_end_s if in_file_s is None else max(in_file_s, self._last_end_s))
        self._stretch_s_in += sound.samples / sound.sample_rate
        sound.pts = None  # the resampler then counts by itself
        for piece in self._resampler.resample(sound):
            self._push(piece)

    def _push(self, piece: AudioFrame) -> None:
        if piece.samples != OPUS_FRAME_SAMPLES or self._stretch_began_at_s is None:
            return
        time_s = self._stretch_began_at_s + self._stretch_frames_out * OPUS_FRAME_SAMPLES / _SAMPLE_RATE
        self._stretch_frames_out += 1
        self._last_end_s = time_s + OPUS_FRAME_SAMPLES / _SAMPLE_RATE
        self._ready.append((time_s, piece))

    def _start_stretch(self, time_s: float) -> None:
        self._stretch_began_at_s = time_s
        self._stretch_frames_out = 0
        self._stretch_s_in = 0.0
        self._resampler = self._new_resampler()

    def _start_next_round(self) -> None:
        length_s = self._file.duration_s or self._last_end_s - self._round_began_at_s
        self._round_began_at_s += length_s
        self._file.container.close()
        self._file, self._stream = open_audio(self._path)
        self._stretch_began_at_s = None
        self._sounds = self._decode()

    def _new_resampler(self) -> AudioResampler:
        layout = "mono" if self.channels == 1 else "stereo"
        return AudioResampler(format="s16", layout=layout, rate=_SAMPLE_RATE, frame_size=OPUS_FRAME_SAMPLES)
