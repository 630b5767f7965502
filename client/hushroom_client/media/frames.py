"""Encoded frames, and what produces and takes them. Nothing here knows a network, a codec library or a key."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Protocol

from hushroom_common.ids import Codec

__all__ = ["EncodedFrame", "FrameSink", "FrameSource"]


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    """One frame as a codec wrote it, sealed or not: a whole picture, or one packet of sound.

    `timestamp` counts in units of `codec.clock_rate` and never wraps: a source starts where it likes and counts on;
    a received one is the RTP timestamp, extended. `is_keyframe` is always true for audio.
    """

    codec: Codec
    data: bytes = field(repr=False)
    timestamp: int
    is_keyframe: bool


class FrameSource(Protocol):
    """Produces plain encoded frames, in real time.

    The publisher drains `frames()` once, as fast as it yields: pacing is the source's own duty. The iterator ends
    when there is nothing more to send, or after `close()`.
    """

    @property
    def codec(self) -> Codec:
        """The codec of every frame; its `kind` is the track's."""

    def frames(self) -> AsyncIterator[EncodedFrame]:
        """The frames, each when it is due. To be iterated at most once."""

    def request_keyframe(self) -> None:
        """Asks that one of the next frames be a keyframe; a source of sound ignores it. Never blocks."""

    def close(self) -> None:
        """Ends `frames()` and lets go of files and codecs; may be called twice."""


class FrameSink(Protocol):
    """Takes opened frames in decoding order: a decoder, a recorder."""

    def push(self, frame: EncodedFrame, *, captured_at: float | None) -> None:
        """One frame that a decoder may have now: every frame it refers to was pushed before.

        `captured_at` is the frame's time in seconds on the sender's side clock, one clock for all tracks of a
        participant, so that sound and picture can be aligned; None while no sender report has told it yet.
        Timestamps of one track advance evenly, so a later frame's `captured_at` tells the earlier ones' too.
        """

    def close(self) -> None:
        """Nothing more will come; may be called twice."""
