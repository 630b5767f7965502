"""Replay windows: whether an IV of one source is fresh. Asked before a frame is opened, told once its tag verified.

`CountWindow` is for our senders, whose IVs count; `TimeWindow` for LiveKit's, whose IVs carry the RTP time. A
LiveKit sender's 16-bit count is never used: it wraps every 22 minutes of audio.
"""

from enum import Enum, auto

from hushroom_client.e2ee.iv import word

__all__ = ["MAX_LAG_S", "MAX_LEAD_S", "WINDOW", "CountWindow", "Freshness", "TimeWindow"]

WINDOW = 1024
"""Frames remembered a source."""
MAX_LAG_S = 5.0
"""How far in RTP time a LiveKit sender's frame may lie behind the newest."""
MAX_LEAD_S = 3600.0
"""How far it may lie ahead of where the local clock expects it: ample for frames that were held up in bulk."""

_WINDOW_BITS = (1 << WINDOW) - 1


class Freshness(Enum):
    """What a window says of an IV."""

    FRESH = auto()
    DUPLICATE = auto()
    TOO_OLD = auto()


class CountWindow:
    """The last 1024 counts of one `r`. A jump forward of any size is accepted once authenticated."""

    __slots__ = ("_highest", "_seen")

    def __init__(self) -> None:
        self._highest = -1
        self._seen = 0  # bit i: count `_highest - i` was accepted

    def judge(self, iv: bytes, now: float) -> Freshness:
        """Judges an IV and changes nothing."""
        behind = self._highest - word(iv, 3)
        if behind < 0:
            return Freshness.FRESH
        if behind >= WINDOW:
            return Freshness.TOO_OLD
        return Freshness.DUPLICATE if self._seen >> behind & 1 else Freshness.FRESH

    def accept(self, iv: bytes, now: float) -> None:
        """Remembers an IV that was judged fresh and whose frame opened."""
        behind = self._highest - word(iv, 3)
        if behind < 0:
            self._highest -= behind
            self._seen = 1 if -behind >= WINDOW else (self._seen << -behind | 1) & _WINDOW_BITS
        else:
            self._seen |= 1 << behind


class TimeWindow:
    """The last 1024 IVs of a LiveKit sender, and where his RTP time may stand.

    RTP time has 32 bits and turns in 13 hours of video. A frame is read at the first time that is no more than 5 s
    behind the newest, and refused if the local clock says that it can't be that late yet: senders may pause their RTP
    clock but never run ahead. Else frames of seven hours ago would look like the future. What this can't see is a
    frame played again after nearly a whole turn, under a key unchanged for as long.
    """

    __slots__ = ("_accepted", "_clock_rate", "_floor", "_newest", "_newest_at")

    def __init__(self, clock_rate: int) -> None:
        self._clock_rate = clock_rate
        self._accepted: dict[bytes, int] = {}  # IV to its extended RTP time, in order of arrival
        self._floor: int | None = None
        self._newest = 0
        self._newest_at = 0.0

    def judge(self, iv: bytes, now: float) -> Freshness:
        """Judges an IV and changes nothing. Several IVs of one RTP time are fresh, each once."""
        if iv in self._accepted:
            return Freshness.DUPLICATE
        if not self._accepted:
            return Freshness.FRESH
        time = self._extended(iv)
        is_forgotten = self._floor is not None and time <= self._floor
        latest = self._newest + (now - self._newest_at + MAX_LEAD_S) * self._clock_rate
        return Freshness.TOO_OLD if is_forgotten or time > latest else Freshness.FRESH

    def accept(self, iv: bytes, now: float) -> None:
        """Remembers an IV that was judged fresh and whose frame opened."""
        time = self._extended(iv) if self._accepted else word(iv, 2)
        if not self._accepted or time > self._newest:
            self._newest, self._newest_at = time, now
        self._accepted[iv] = time
        if len(self._accepted) > WINDOW:
            # Nothing at or before a forgotten IV's time is accepted any more: it could be that very frame.
            forgotten = self._accepted.pop(next(iter(self._accepted)))
            self._floor = forgotten if self._floor is None else max(self._floor, forgotten)

    def _extended(self, iv: bytes) -> int:
        earliest = self._newest - int(MAX_LAG_S * self._clock_rate)
        return earliest + ((word(iv, 2) - earliest) & 0xFFFF_FFFF)
