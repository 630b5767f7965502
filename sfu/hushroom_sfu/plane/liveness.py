"""Whether a peer is still there: any authenticated packet proves it, silence of `SILENT_S` disproves it."""

__all__ = ["SILENT_S", "Liveness"]

SILENT_S = 10.0
"""How long a peer may be silent. He sends RTCP every second or so and ICE checks every 5 s (RFC 7675 §5.1): a dozen
packets in 10 s, so that 20 % loss alone silences him less than once in years."""


class Liveness:
    """The time of the last authenticated packet. `heard_at` is a plain attribute, for it is set once a packet."""

    __slots__ = ("heard_at", "limit_s")

    def __init__(self, now: float, *, limit_s: float = SILENT_S) -> None:
        self.heard_at = now
        self.limit_s = limit_s

    @property
    def deadline(self) -> float:
        """When the peer counts as gone unless something is heard before, in monotonic seconds."""
        return self.heard_at + self.limit_s

    def is_silent(self, now: float) -> bool:
        """Whether nothing authenticated came for `limit_s` seconds."""
        return now >= self.deadline
