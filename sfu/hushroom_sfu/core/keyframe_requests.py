"""When to ask a publisher for a keyframe: at once, but at most once in 500 ms; a wish in between waits for its end.

While somebody still waits for a first picture the request is repeated: the PLI itself (RFC 4585 §6.3.1) may be lost.
"""

__all__ = ["MIN_INTERVAL_S", "KeyframeRequests"]

MIN_INTERVAL_S = 0.5


class KeyframeRequests:
    """The requests for one UpTrack. Times are monotonic seconds."""

    __slots__ = ("_last_sent", "_wanted")

    def __init__(self) -> None:
        self._last_sent = float("-inf")
        self._wanted = False

    def want(self) -> None:
        """Somebody needs a keyframe."""
        self._wanted = True

    def satisfied(self) -> None:
        """A keyframe began: whoever waited is served."""
        self._wanted = False

    @property
    def deadline(self) -> float | None:
        """When `due` should be asked next; in the past when a request may go out at once."""
        return self._last_sent + MIN_INTERVAL_S if self._wanted else None

    def due(self, now: float, *, is_awaited: bool) -> bool:
        """Whether to send one request now. While a subscriber awaits his first keyframe the wish stays alive."""
        if not self._wanted or now < self._last_sent + MIN_INTERVAL_S:
            return False
        self._last_sent = now
        self._wanted = is_awaited
        return True
