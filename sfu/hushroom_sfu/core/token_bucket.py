"""A rate limit as arithmetic: so many at once, so many a second after that."""

__all__ = ["TokenBucket"]


class TokenBucket:
    """Allows bursts of `capacity` and `rate_per_s` in the long run. Times are monotonic seconds."""

    __slots__ = ("_capacity", "_rate_per_s", "_tokens", "_updated")

    def __init__(self, capacity: float, rate_per_s: float, now: float) -> None:
        self._capacity = capacity
        self._rate_per_s = rate_per_s
        self._tokens = capacity
        self._updated = now

    def take(self, now: float, count: int = 1) -> bool:
        """Takes so many tokens; False, and none taken, when there are fewer."""
        self._tokens = min(self._capacity, self._tokens + (now - self._updated) * self._rate_per_s)
        self._updated = now
        if self._tokens < count:
            return False
        self._tokens -= count
        return True
