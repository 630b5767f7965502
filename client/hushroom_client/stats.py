"""Figures about a room: counts of frames, and bits a second over the last moments. Pure."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from hushroom_client.e2ee.outcomes import RejectReason

__all__ = ["RateMeter", "RoomStats"]

_WINDOW_S = 2.0
_STEP_S = 0.1


@dataclass(frozen=True, slots=True)
class RoomStats:
    """What became of all frames received so far, and the bitrates of the last two seconds."""

    opened: int
    rejected: Mapping[RejectReason, int]
    received_bps: float
    sent_bps: float


class RateMeter:
    """Counts bytes; `rate_bps` is their rate over the last two seconds."""

    def __init__(self) -> None:
        self._steps: deque[tuple[float, int]] = deque()
        self.total_bytes = 0

    def add(self, size_bytes: int, now: float) -> None:
        """So many bytes passed."""
        self.total_bytes += size_bytes
        if self._steps and now - self._steps[-1][0] < _STEP_S:
            started_at, counted = self._steps[-1]
            self._steps[-1] = started_at, counted + size_bytes
        else:
            self._steps.append((now, size_bytes))
            self._forget(now)

    def rate_bps(self, now: float) -> float:
        """Bits a second."""
        self._forget(now)
        return sum(counted for _, counted in self._steps) * 8 / _WINDOW_S

    def _forget(self, now: float) -> None:
        while self._steps and now - self._steps[0][0] > _WINDOW_S:
            self._steps.popleft()
