"""When to ask for a keyframe: at once, and again on a bound until one is there. A pure state machine."""

__all__ = ["KeyframeRequests"]

_INTERVAL_S = 0.5
_PATIENT_AFTER = 3
_LONGEST_INTERVAL_S = 4.0


class KeyframeRequests:
    """A request at most every 500 ms; after three in vain the interval doubles, up to 4 s: nobody seems to be there."""

    def __init__(self) -> None:
        self._in_vain = 0
        self._last_at: float | None = None
        self._due_at: float | None = None

    def want(self, now: float, *, grace_s: float = 0.0) -> None:
        """A keyframe is needed, and may come by itself within `grace_s`. Changes nothing while one is wanted."""
        if self._due_at is None:
            self._in_vain = 0
            self._due_at = now + grace_s
            if self._last_at is not None:
                self._due_at = max(self._due_at, self._last_at + _INTERVAL_S)

    def satisfy(self) -> None:
        """The keyframe is there, or on its way."""
        self._due_at = None

    def take_due(self, now: float) -> bool:
        """Whether to ask now; then the next time is later."""
        if self._due_at is None or now < self._due_at:
            return False
        self._in_vain += 1
        self._last_at = now
        doublings = max(0, self._in_vain - _PATIENT_AFTER)
        self._due_at = now + min(_INTERVAL_S * 2**doublings, _LONGEST_INTERVAL_S)
        return True

    def next_deadline(self) -> float | None:
        """When the next request is due, if none was needed any more meanwhile."""
        return self._due_at
