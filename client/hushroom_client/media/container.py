"""Opening media files for reading, with errors that say what would work."""

import os
from dataclasses import dataclass
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.stream import VideoStream

from hushroom_client.media.errors import MediaError

__all__ = ["OpenFile", "open_audio", "open_video"]

_FIRST_AID = "ffmpeg -i {name} -c:v libvpx -c:a libopus {stem}.webm"


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A container with the times that both its sound and its picture count from and repeat after."""

    path: Path
    container: InputContainer
    start_s: float
    duration_s: float | None

    @classmethod
    def open(cls, path: Path) -> "OpenFile":
        """Opens any container the library knows; raises MediaError."""
        try:
            if path.is_dir():
                raise IsADirectoryError
            # "file:" and the whitelist: neither a name nor a playlist inside the file may reach for the network.
            options = {"protocol_whitelist": "file"}
            container = av.open(f"file:{path}", options=options, metadata_errors="replace")
        except FileNotFoundError as error:
            raise _cannot(path, "there is no such file; name a video or sound file, such as talk.mp4") from error
        except IsADirectoryError as error:
            raise _cannot(path, "it is a folder; name a video or sound file in it") from error
        except PermissionError as error:
            raise _cannot(path, f"this user may not read it; try: chmod u+r {path.name}") from error
        except (av.FFmpegError, OSError, ValueError) as error:
            raise _cannot(path, "it is not a media file; .mp4, .webm, .mkv, .ogg and .wav files are") from error
        start_us, duration_us = container.start_time, container.duration
        return cls(path, container, (start_us or 0) / 1e6, duration_us / 1e6 if duration_us else None)

    def failed_at(self, time_s: float, error: Exception) -> MediaError:
        """What to raise when reading breaks off at `time_s`."""
        return MediaError(f"reading {self.path} failed after {time_s:.1f} s: {error}")


def open_video(path: str | os.PathLike[str]) -> tuple[OpenFile, VideoStream]:
    """The file and its first picture track; raises MediaError."""
    file = OpenFile.open(Path(path))
    streams = file.container.streams.video
    if not streams:
        file.container.close()
        raise _cannot(file.path, "it has no picture; its sound can be published with Audio.file")
    _require_decoder(file, streams[0])
    return file, streams[0]


def open_audio(path: str | os.PathLike[str]) -> tuple[OpenFile, AudioStream]:
    """The file and its first sound track; raises MediaError."""
    file = OpenFile.open(Path(path))
    streams = file.container.streams.audio
    if not streams:
        file.container.close()
        raise _cannot(file.path, "it has no sound; its picture can be published with Video.file")
    _require_decoder(file, streams[0])
    return file, streams[0]


def _require_decoder(file: OpenFile, stream: VideoStream | AudioStream) -> None:
    # The library's types say that a stream always has a context; for a codec that it cannot decode it has none.
    if getattr(stream, "codec_context", None) is not None:
        return
    kind = stream.type  # a stream must not be touched once its container is closed
    file.container.close()
    aid = _FIRST_AID.format(name=file.path.name, stem=file.path.stem)
    raise _cannot(file.path, f"its {kind} codec is not known here; a converted copy will do: {aid}")


def _cannot(path: Path, reason: str) -> MediaError:
    return MediaError(f"cannot publish {path}: {reason}")
