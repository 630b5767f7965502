"""The pictures of a media file, one after another, sized for a conversation."""

import os
from collections.abc import Iterator

import av
from av.video.frame import VideoFrame

from hushroom_client.media.container import open_video

__all__ = ["VideoFileReader"]

_DEFAULT_FRAME_RATE = 30.0


class VideoFileReader:
    """Decodes the first picture track; damaged frames are skipped and counted. Blocks: keep it off the event loop."""

    def __init__(self, path: str | os.PathLike[str], *, loop: bool = False, max_height: int = 720) -> None:
        self._path = path
        self._loop = loop
        self._max_height = max_height
        self._file, self._stream = open_video(path)
        rate = self._stream.average_rate
        self.frame_rate = float(rate) if rate and 1 <= rate <= 120 else _DEFAULT_FRAME_RATE
        self.frames_damaged = 0
        self._round_began_at_s = 0.0
        self._last_time_s = -1 / self.frame_rate
        self._pictures = self._decode()

    def read(self) -> tuple[float, VideoFrame] | None:
        """The next picture as yuv420p and its time in seconds; None after the last. Raises MediaError."""
        while (picture := next(self._pictures, None)) is None:
            if not self._loop or self._last_time_s < self._round_began_at_s:
                return None  # the end, or a round without one picture
            self._start_next_round()
        time_s = self._time_of(picture)
        self._last_time_s = time_s
        return time_s, self._sized(picture)

    def close(self) -> None:
        """Closes the file."""
        self._pictures = iter(())
        self._loop = False
        self._file.container.close()

    def _decode(self) -> Iterator[VideoFrame]:
        try:
            for packet in self._file.container.demux(self._stream):
                try:
                    yield from packet.decode()
                except av.FFmpegError:
                    self.frames_damaged += 1
        except av.FFmpegError as error:
            raise self._file.failed_at(self._last_time_s, error) from error

    def _start_next_round(self) -> None:
        self._round_began_at_s += self._file.duration_s or (self._last_time_s - self._round_began_at_s + self._step_s)
        self._file.container.close()
        self._file, self._stream = open_video(self._path)
        self._pictures = self._decode()

    def _time_of(self, picture: VideoFrame) -> float:
        """Rising by some milliseconds at least, whatever the file says."""
        if picture.time is None:
            return self._last_time_s + self._step_s
        in_file_s = picture.time - self._file.start_s
        return max(self._round_began_at_s + in_file_s, self._last_time_s + self._step_s / 10)

    @property
    def _step_s(self) -> float:
        return 1 / self.frame_rate

    def _sized(self, picture: VideoFrame) -> VideoFrame:
        scale = min(1.0, self._max_height / picture.height)
        width, height = (max(2, round(side * scale / 2) * 2) for side in (picture.width, picture.height))
        return picture.reformat(width=width, height=height, format="yuv420p")
