"""How long a publisher takes to repeat a packet: what the next request for it should wait (RFC 4585 §6.2).

Measured from the first request for a number to its packet. A request or a repeat that was lost makes that longer, never
shorter, so the estimate falls at once and rises slowly.
"""

from collections.abc import Iterable

__all__ = ["RoundTrip"]

_AT_FIRST_S = 0.1
_LONGEST_S = 0.15
"""On longer paths requests overlap: a repeat too many costs less than one that comes too late to be tried again."""
_RISE = 1 / 8
_MARGIN = 1.25
_MOST_ASKED = 1024
"""Numbers may be forgotten elsewhere unsaid, when a publisher leaps; then some samples are lost here."""


class RoundTrip:
    """The round trip to one publisher, as his track's repairs show it. Times are monotonic seconds."""

    __slots__ = ("_asked_at", "_estimate_s")

    def __init__(self) -> None:
        self._estimate_s: float | None = None
        self._asked_at: dict[int, float] = {}

    @property
    def repeat_after_s(self) -> float:
        """How long to wait for a packet that was asked for before asking again."""
        return _AT_FIRST_S if self._estimate_s is None else min(self._estimate_s * _MARGIN, _LONGEST_S)

    def asked(self, numbers: Iterable[int], now: float) -> None:
        """Packets of these numbers were asked for, perhaps again."""
        if len(self._asked_at) > _MOST_ASKED:
            self._asked_at.clear()
        for number in numbers:
            self._asked_at.setdefault(number, now)

    def came(self, number: int, now: float) -> None:
        """A missing packet came."""
        asked_at = self._asked_at.pop(number, None)
        if asked_at is None:
            return
        sample_s, before_s = now - asked_at, self._estimate_s
        if before_s is None or sample_s < before_s:
            self._estimate_s = sample_s
        else:
            self._estimate_s = before_s + (sample_s - before_s) * _RISE

    def given_up(self, numbers: Iterable[int]) -> None:
        """Nobody waits for these any more."""
        for number in numbers:
            self._asked_at.pop(number, None)
