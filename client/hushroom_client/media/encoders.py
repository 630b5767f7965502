"""VP8 and Opus encoding, in this thread: callers keep it off the event loop.

Sizes speak too: Opus runs at a constant bitrate without DTX, so that a sealed packet's length says nothing about
what was said (RFC 6562 §3).
"""

import math
from fractions import Fraction
from typing import Protocol, TypeVar

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from hushroom_client.media.errors import MediaError
from hushroom_client.media.frames import EncodedFrame
from hushroom_common.ids import Codec

__all__ = ["OPUS_FRAME_SAMPLES", "Encoder", "OpusEncoder", "Vp8Encoder", "video_bitrate_bps"]

OPUS_FRAME_SAMPLES = 960
"""20 ms at 48 kHz: what every WebRTC client sends by default."""

_KEYFRAME_INTERVAL_S = 10
_BITRATE_PER_CHANNEL_BPS = 48_000

RawT_contra = TypeVar("RawT_contra", contravariant=True)


class Encoder(Protocol[RawT_contra]):
    """Turns raw frames into encoded ones, one to one."""

    @property
    def codec(self) -> Codec:
        """What comes out."""

    def encode(self, raw: RawT_contra, timestamp: int) -> EncodedFrame:
        """Encodes one frame, blocking; raises MediaError when the codec library refuses it twice."""

    def request_keyframe(self) -> None:
        """Makes the next frame a keyframe; any thread may ask."""

    def reset(self) -> None:
        """Forgets all coding state: the next frame needs no earlier one. Not while `encode` runs."""


def video_bitrate_bps(width: int, height: int, frame_rate: float) -> int:
    """How much a moving picture of this size is given: 1.2 Mb/s at 640x360 and 30 frames a second.

    Bigger pictures need less a pixel; the exponent is the usual rule of thumb between 180p and 1080p.
    """
    relative = (width * height * frame_rate) / (640 * 360 * 30)
    return round(min(max(1_200_000 * math.pow(relative, 0.75), 100_000), 5_000_000))


class Vp8Encoder:
    """VP8 by libvpx, tuned for conversation: no lookahead, no dropped frames, keyframes when asked and every 10 s.

    A picture of another size than the one before starts a new coding context, hence with a keyframe.
    """

    codec = Codec.VP8

    def __init__(self, *, frame_rate: float = 30.0, bitrate_bps: int | None = None) -> None:
        self._frame_rate = frame_rate
        self._bitrate_bps = bitrate_bps
        self._context: VideoCodecContext | None = None
        self._wants_keyframe = False

    def request_keyframe(self) -> None:
        """Makes the next frame a keyframe."""
        self._wants_keyframe = True

    def reset(self) -> None:
        """Starts over: the next frame is a keyframe of a new context."""
        self._context = None

    def encode(self, raw: VideoFrame, timestamp: int) -> EncodedFrame:
        """One picture (any pixel format) at `timestamp` in units of 1/90000 s, which must rise."""
        picture = raw if raw.format.name == "yuv420p" else raw.reformat(format="yuv420p")
        keyframe, self._wants_keyframe = self._wants_keyframe, False
        # Frames out of a decoder carry its pict_type, and libvpx obeys it: without this, every one asks for a keyframe.
        picture.pict_type = PictureType.I if keyframe else PictureType.NONE
        picture.pts = timestamp
        picture.time_base = Fraction(1, self.codec.clock_rate)
        try:
            packet = self._encode(picture)
        except av.FFmpegError:
            self.reset()
            packet = self._encode_or_raise(picture)
        return EncodedFrame(self.codec, bytes(packet), timestamp, packet.is_keyframe)

    def _encode_or_raise(self, picture: VideoFrame) -> "av.Packet[VideoStream]":
        try:
            return self._encode(picture)
        except av.FFmpegError as error:
            raise MediaError(
                f"the VP8 encoder refuses a picture of {picture.width}x{picture.height}: {error}"
            ) from error

    def _encode(self, picture: VideoFrame) -> "av.Packet[VideoStream]":
        context = self._context
        if context is None or (context.width, context.height) != (picture.width, picture.height):
            context = self._context = self._open(picture.width, picture.height)
        (packet,) = context.encode(picture)  # no lookahead, no dropping: one in, one out
        return packet

    def _open(self, width: int, height: int) -> VideoCodecContext:
        context = VideoCodecContext.create("libvpx", "w")
        context.width, context.height, context.pix_fmt = width, height, "yuv420p"
        context.time_base = Fraction(1, self.codec.clock_rate)
        context.framerate = Fraction(self._frame_rate).limit_denominator(1001)
        context.gop_size = max(1, round(_KEYFRAME_INTERVAL_S * self._frame_rate))
        context.thread_count = 1  # at conversation sizes one core does it, and others are talking too
        bitrate_bps = self._bitrate_bps or video_bitrate_bps(width, height, self._frame_rate)
        context.bit_rate = bitrate_bps
        context.options = {
            "deadline": "realtime",
            "cpu-used": "-8",  # negative is a fixed speed; positive lets libvpx choose by the load of this machine
            "error-resilient": "1",
            "lag-in-frames": "0",
            "drop-threshold": "0",
            "minrate": str(bitrate_bps),
            "maxrate": str(bitrate_bps),
            "bufsize": str(bitrate_bps),
            "qmin": "2",
            "qmax": "56",
            "undershoot-pct": "100",
            "overshoot-pct": "15",
        }
        return context


class OpusEncoder:
    """Opus by libopus: 48 kHz, 20 ms, constant bitrate, no DTX: every packet of a call has the same size."""

    codec = Codec.OPUS

    def __init__(self, *, channels: int = 1, bitrate_bps: int | None = None) -> None:
        if channels not in (1, 2):
            raise ValueError(f"Opus here is mono or stereo, not {channels} channels")
        self._layout = "mono" if channels == 1 else "stereo"
        self._bitrate_bps = bitrate_bps or _BITRATE_PER_CHANNEL_BPS * channels
        self._context: AudioCodecContext | None = None

    def request_keyframe(self) -> None:
        """Nothing to do: every Opus packet opens by itself."""

    def reset(self) -> None:
        """Starts over with a new context."""
        self._context = None

    def encode(self, raw: AudioFrame, timestamp: int) -> EncodedFrame:
        """One frame of exactly 960 samples, packed s16, 48 kHz, at `timestamp` in units of 1/48000 s."""
        if self._context is None:
            self._context = self._open()
        raw.pts = timestamp
        raw.time_base = Fraction(1, self.codec.clock_rate)
        try:
            (packet,) = self._context.encode(raw)
        except (av.FFmpegError, ValueError) as error:
            raise MediaError(f"the Opus encoder refuses {raw.samples} samples of {raw.format.name}: {error}") from error
        return EncodedFrame(self.codec, bytes(packet), timestamp, is_keyframe=True)

    def _open(self) -> AudioCodecContext:
        context = AudioCodecContext.create("libopus", "w")
        context.sample_rate = self.codec.clock_rate
        context.layout = self._layout
        context.format = "s16"
        context.time_base = Fraction(1, self.codec.clock_rate)
        context.bit_rate = self._bitrate_bps
        context.options = {"vbr": "off", "dtx": "0", "application": "audio", "frame_duration": "20"}
        return context
