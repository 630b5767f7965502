"""How long a packet that was asked for takes to come: the round trip as a receiver can know it. Pure arithmetic."""

from collections.abc import Iterable

__all__ = ["RepairTime"]

_FIRST_GUESS_S = 0.1
_LONGEST_S = 0.25
_WEIGHT = 1 / 8
_MOST_ASKED = 1024


class RepairTime:
    """Smooths the times from a packet's first request to its retransmission.

    Only what certainly was a retransmission counts: a packet that was merely overtaken comes sooner than any could.
    """

    def __init__(self) -> None:
        self.estimate_s = _FIRST_GUESS_S
        """In seconds."""
        self._asked_at: dict[int, float] = {}

    def asked(self, indices: Iterable[int], now: float) -> None:
        """These were asked for now, once again perhaps."""
        for index in indices:
            self._asked_at.setdefault(index, now)
        if len(self._asked_at) > _MOST_ASKED:
            self._asked_at.clear()

    def arrived(self, index: int, now: float, *, was_sent_again: bool) -> None:
        """This came, asked for or not."""
        asked_at = self._asked_at.pop(index, None)
        if asked_at is not None and was_sent_again:
            self.estimate_s += _WEIGHT * (min(now - asked_at, _LONGEST_S) - self.estimate_s)

    def given_up(self, indices: Iterable[int]) -> None:
        """These will not be waited for."""
        for index in indices:
            self._asked_at.pop(index, None)
