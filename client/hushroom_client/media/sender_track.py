"""What aiortc pulls packets from: one m-line's track, fed by one publication after another.

aiortc's sender starts once and for good, so its track never ends: without a feed it waits.
"""

import asyncio
import time
from collections.abc import Callable
from fractions import Fraction

import av
from aiortc import MediaStreamTrack

from hushroom_client.media.feed import Feed
from hushroom_client.media.frames import EncodedFrame
from hushroom_common.ids import Codec
from hushroom_common.rtcp import ntp_from_unix

__all__ = ["SenderTrack"]

_DRIFT = 0.001


class SenderTrack(MediaStreamTrack):
    """Hands already encoded frames to aiortc, which splits them into packets and stamps them.

    `unix_offset_s` is what turns `clock`'s seconds into seconds since 1970, the same for all tracks of a connection:
    reports then align them although the system's clock may be set meanwhile.
    """

    def __init__(self, codec: Codec, *, unix_offset_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self.kind = codec.kind.value
        self._codec = codec
        self._unix_offset_s = unix_offset_s
        self._clock = clock
        self._feed: Feed | None = None
        self._changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._time_base = Fraction(1, codec.clock_rate)
        self._shift: int | None = None
        self._last_pts: int | None = None
        self._last_sent_at = 0.0
        self._started_at: float | None = None

    @property
    def codec(self) -> Codec:
        """The codec that the m-line was made for."""
        return self._codec

    @property
    def feed(self) -> Feed | None:
        """What is being sent; None while the track is free."""
        return self._feed

    def attach(self, feed: Feed) -> None:
        """Send this from now on. Its timestamps go on where the last feed's ended, as the RTP stream is the same."""
        if feed.codec is not self._codec:
            raise ValueError(f"a track of {self._codec} cannot carry {feed.codec}")
        feed.restart()
        self._shift = None
        self._started_at = None
        self._change_to(feed)

    def detach(self) -> None:
        """Send nothing more; the feed itself goes on."""
        self._change_to(None)

    def request_keyframe(self) -> None:
        """The receiver needs a keyframe (PLI, FIR)."""
        if self._feed is not None:
            self._feed.request_keyframe()

    async def recv(self) -> "av.Packet[av.stream.Stream]":
        """The next frame, when it is due; waits as long as there is no feed. aiortc calls it from one task."""
        while True:
            feed = self._feed
            if feed is None:
                await asyncio.wait({self._changed})
                continue
            pull = asyncio.ensure_future(feed.next_frame())
            try:
                either: set[asyncio.Future[EncodedFrame | None] | asyncio.Future[None]] = {pull, self._changed}
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                if feed is not self._feed:
                    continue  # replaced meanwhile: its last frame belongs to nobody
                frame = pull.result()
            finally:
                pull.cancel()
            if frame is None:
                self.detach()
                continue
            packet = av.Packet(frame.data)
            packet.pts = self._stamp(frame.timestamp)
            packet.time_base = self._time_base
            return packet

    def report_clock(self, rtp_time: int) -> tuple[int, int] | None:
        """(NTP time, RTP time) of this instant, given the RTP time of the last packet; None before the first.

        The frame's own time counts and not that of its sending: the least delay seen stands for all, corrected by
        1 ms/s in case the source's clock runs differently from ours.
        """
        if self._last_pts is None or self._started_at is None:
            return None
        now = self._clock()
        elapsed = round((now - self._started_at) * self._codec.clock_rate) - self._last_pts
        return ntp_from_unix(now + self._unix_offset_s), (rtp_time + elapsed) & 0xFFFF_FFFF

    def _change_to(self, feed: Feed | None) -> None:
        self._feed = feed
        self._changed.set_result(None)
        self._changed = asyncio.get_running_loop().create_future()

    def _stamp(self, timestamp: int) -> int:
        now = self._clock()
        if self._shift is None:
            self._shift = self._shift_of_first(timestamp, now)
        pts = timestamp + self._shift
        # When timestamp 0 would have left with no more delay than this frame had.
        started_at = now - pts / self._codec.clock_rate
        if self._started_at is not None:
            started_at = min(started_at, self._started_at + _DRIFT * (now - self._last_sent_at))
        self._started_at = started_at
        self._last_pts = pts
        self._last_sent_at = now
        return pts

    def _shift_of_first(self, timestamp: int, now: float) -> int:
        if self._last_pts is None:
            return 0
        passed = max(1, round((now - self._last_sent_at) * self._codec.clock_rate))
        return self._last_pts + passed - timestamp
