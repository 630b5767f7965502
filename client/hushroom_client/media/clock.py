"""One participant's media time: what keeps the sound and the picture of one file together."""

import time
from collections.abc import Callable, Hashable

__all__ = ["MediaClock"]


class MediaClock:
    """Seconds since the clock was made, and when each programme on it began.

    A *programme* is what belongs together in time: the sound and the picture of one file. Whichever of them is
    drained first begins it; the other one joins where the programme then is. Every source opened against one clock
    stamps its frames with this clock's time, so `timestamp / codec.clock_rate` of two sources can be compared.
    """

    def __init__(self, *, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._made_at = now()
        self._running: dict[Hashable, tuple[float, int]] = {}

    def now_s(self) -> float:
        """Seconds since this clock was made."""
        return self._now() - self._made_at

    def begin(self, programme: Hashable) -> float:
        """When `programme` began, in this clock's seconds: now, unless another of its sources is running already."""
        began_at_s, sources = self._running.get(programme, (self.now_s(), 0))
        self._running[programme] = (began_at_s, sources + 1)
        return began_at_s

    def end(self, programme: Hashable) -> None:
        """One source of `programme` is done; once all are, the next `begin` starts it anew."""
        began_at_s, sources = self._running[programme]
        if sources > 1:
            self._running[programme] = (began_at_s, sources - 1)
        else:
            del self._running[programme]
