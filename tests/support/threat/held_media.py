"""What somebody who holds a server's packets can make of them: frames, and whatever codecs make of those.

Knows no key. Frames are tried as they are, without a trailer, and without trailer and tag; the clear bytes stay.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.video.codeccontext import VideoCodecContext
from numpy.typing import NDArray

from hushroom_common.codecs import vp8
from hushroom_common.errors import WireError
from hushroom_common.rtp import RtpPacket
from hushroom_common.sealed_frame import OVERHEAD, TRAILER_SIZE
from tests.support.talk_media import BEEP_HZ, SAMPLE_RATE, TONE_HZ, Luma, Samples, Talk
from tests.support.threat.tap import TapRecord

__all__ = ["LIKENESS", "Stream", "Viewer", "opus_frames", "streams_in", "tone_share", "vp8_frames"]

LIKENESS = 20.0
"""A picture this near to one of the source, in mean absolute difference of 255 levels, shows something of it."""

_BLOCK = 8


@dataclass(frozen=True, slots=True)
class Stream:
    """The packets of one SSRC as one leg had them, in order, each once."""

    ssrc: int
    payload_type: int
    packets: tuple[RtpPacket, ...]


def streams_in(records: Iterable[TapRecord]) -> list[Stream]:
    """All streams among plain RTP packets."""
    found: dict[tuple[int, int, int], dict[int, RtpPacket]] = {}
    for record in records:
        packet = RtpPacket.parse(record.data)
        if packet.payload_size:
            stream = found.setdefault((record.source, packet.ssrc, packet.payload_type), {})
            stream.setdefault(_unwrapped(packet.sequence_number, stream), packet)
    return [
        Stream(ssrc, payload_type, tuple(packet for _, packet in sorted(packets.items())))
        for (_, ssrc, payload_type), packets in found.items()
    ]


def vp8_frames(stream: Stream) -> list[bytes]:
    """The frames of a stream read as VP8; empty where it makes no sense as that."""
    frames: list[bytes] = []
    frame: bytes | None = None
    for packet in stream.packets:
        payload = packet.payload
        try:
            descriptor = vp8.read_descriptor(payload)
        except WireError:
            return []
        if descriptor.starts_partition and descriptor.partition == 0:
            frame = b""
        if frame is not None:
            frame += payload[descriptor.size :]
            if packet.marker:
                frames.append(frame)
                frame = None
    return frames


def opus_frames(stream: Stream) -> list[bytes]:
    """The frames of a stream read as Opus."""
    return [packet.payload for packet in stream.packets]


class Viewer:
    """Looks for the talk in frames."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self._sources = [talk.picture(number) for number in range(talk.pictures)]
        self._coarse = np.stack([_coarse(luma) for luma in self._sources])

    def nearest(self, frames: list[bytes]) -> float:
        """How near the nearest picture comes that libvpx makes of the frames; infinite where it makes none.

        Answers `LIKENESS` or less only if one is that near; above, it is a lower bound.
        """
        best = float("inf")
        for attempt in _attempts(frames):
            for luma in _pictures(attempt, self._talk):
                best = min(best, self._distance(luma))
                if best <= LIKENESS:
                    return best
        return best

    def _distance(self, luma: Luma) -> float:
        # The mean difference of block means is never more than that of the pixels (triangle inequality).
        bounds = np.abs(self._coarse - _coarse(luma)).mean(axis=(1, 2))
        least = float(bounds.min())
        if least > LIKENESS:
            return least
        near = np.flatnonzero(bounds <= LIKENESS)
        return min(float(np.abs(luma.astype(np.int16) - self._sources[number]).mean()) for number in near.tolist())


def tone_share(frames: list[bytes]) -> float:
    """The share of sound energy within 10 Hz of the talk's tone or its beep, in the best of the attempts; 0 to 1."""
    return max((_share_of_tone(_sound(attempt)) for attempt in _attempts(frames)), default=0.0)


def _attempts(frames: list[bytes]) -> Iterator[list[bytes]]:
    for cut in (0, TRAILER_SIZE, OVERHEAD):
        yield [frame[: len(frame) - cut] for frame in frames if len(frame) > cut]


def _pictures(frames: list[bytes], talk: Talk) -> Iterator[Luma]:
    context = VideoCodecContext.create("libvpx", "r")
    context.thread_count = 1
    for frame in frames:
        try:
            for picture in context.decode(av.Packet(frame)):
                planes = picture.reformat(talk.width, talk.height, "yuv420p").to_ndarray()
                yield planes[: talk.height].astype(np.uint8, copy=False)
        except (av.FFmpegError, ValueError, MemoryError):
            continue


def _sound(frames: list[bytes]) -> Samples:
    context = AudioCodecContext.create("libopus", "r")
    context.sample_rate, context.layout, context.format = SAMPLE_RATE, "mono", "s16"
    pieces = [np.zeros(0)]
    for frame in frames:
        try:
            pieces += [decoded.to_ndarray()[0].astype(np.float64) for decoded in context.decode(av.Packet(frame))]
        except (av.FFmpegError, ValueError):
            continue
    return np.concatenate(pieces)


def _share_of_tone(samples: Samples) -> float:
    if len(samples) < SAMPLE_RATE // 2 or not samples.any():
        return 0.0
    energy = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    frequencies = np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE)
    is_talk = (np.abs(frequencies - TONE_HZ) <= 10) | (np.abs(frequencies - BEEP_HZ) <= 10)
    return float(energy[is_talk].sum() / energy.sum())


def _coarse(luma: Luma) -> NDArray[np.float64]:
    height, width = (size // _BLOCK * _BLOCK for size in luma.shape)
    blocks = luma[:height, :width].reshape(height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK)
    means: NDArray[np.float64] = blocks.mean(axis=(1, 3))
    return means


def _unwrapped(number: int, stream: dict[int, RtpPacket]) -> int:
    """The sequence number without its wrap, nearest to the one that came last."""
    if not stream:
        return number + 0x10000
    last = next(reversed(stream))
    return last + ((number - last + 0x8000) & 0xFFFF) - 0x8000
