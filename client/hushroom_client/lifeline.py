"""The WebSocket under a session, as times and states: joined once, resumed when lost, given up in the end. Pure."""

from collections.abc import Callable
from enum import Enum, auto

__all__ = ["ATTEMPT_LIMIT_S", "RESUME_WINDOW_S", "Due", "Lifeline", "SessionState"]

RESUME_WINDOW_S = 30.0
"""How long the server keeps a session whose WebSocket was lost."""
ATTEMPT_LIMIT_S = 10.0
"""How long a WebSocket may take to open and to bring the first message."""
_BACK_OFF_S = (0.1, 0.5, 1.0, 2.0, 4.0)
"""Between attempts to resume; the last repeats. Up to half as much again is added by chance."""


class SessionState(Enum):
    """Where a session stands."""

    NEW = auto()
    JOINING = auto()
    JOINED = auto()
    WAITING = auto()
    """The WebSocket is lost, and the next attempt is not due yet."""
    RESUMING = auto()
    OVER = auto()


class Due(Enum):
    """What has become due by the time alone."""

    GIVE_UP = auto()
    ATTEMPT_FAILED = auto()
    ATTEMPT = auto()


class Lifeline:
    """States and deadlines; times are monotonic seconds, `chance` gives numbers from 0 to 1."""

    def __init__(self, chance: Callable[[], float]) -> None:
        self.state = SessionState.NEW
        self._chance = chance
        self._attempts = 0
        self._attempt_ends: float | None = None
        self._retry_at: float | None = None
        self._give_up_at: float | None = None

    def start(self, now: float) -> None:
        """The first attempt begins."""
        self.state = SessionState.JOINING
        self._attempt_ends = now + ATTEMPT_LIMIT_S

    def entered(self) -> None:
        """The server has let us in, or in again."""
        self.state = SessionState.JOINED
        self._attempts = 0
        self._attempt_ends = self._give_up_at = None

    def lost(self, now: float) -> None:
        """The WebSocket of a joined session is gone, or an attempt to resume it failed."""
        if self.state is SessionState.JOINED:
            self._give_up_at = now + RESUME_WINDOW_S
        self.state = SessionState.WAITING
        pause_s = _BACK_OFF_S[min(self._attempts, len(_BACK_OFF_S) - 1)]
        self._attempts += 1
        self._attempt_ends = None
        self._retry_at = now + pause_s * (1 + self._chance() / 2)

    def end(self) -> None:
        """The session is over."""
        self.state = SessionState.OVER
        self._retry_at = self._attempt_ends = self._give_up_at = None

    def due(self, now: float) -> Due | None:
        """What is due, once: for `ATTEMPT`, the attempt begins by it."""
        if self._give_up_at is not None and now >= self._give_up_at:
            return Due.GIVE_UP
        if self._attempt_ends is not None and now >= self._attempt_ends:
            self._attempt_ends = None
            return Due.ATTEMPT_FAILED
        if self._retry_at is not None and now >= self._retry_at:
            self._retry_at = None
            self.state = SessionState.RESUMING
            self._attempt_ends = now + ATTEMPT_LIMIT_S
            return Due.ATTEMPT
        return None

    def next_deadline(self) -> float | None:
        """When `due` will next have something to say."""
        deadlines = (self._give_up_at, self._attempt_ends, self._retry_at)
        return min((deadline for deadline in deadlines if deadline is not None), default=None)
