"""Which moment of the sender a frame belongs to, from his sender reports (RFC 3550 §6.4.1). Pure arithmetic."""

from hushroom_common.rtcp import unix_from_ntp
from hushroom_common.serial import ts_distance

__all__ = ["SenderClock"]


class SenderClock:
    """Maps the extended RTP timestamps of one stream to seconds on its sender's clock.

    All tracks of a participant share that clock, which need not agree with ours: it aligns them, nothing else.
    """

    def __init__(self, clock_rate: int) -> None:
        self._clock_rate = clock_rate
        self._report: tuple[float, int] | None = None

    def report(self, ntp_time: int, rtp_time: int, *, near: int) -> None:
        """Take in a report's pair; `rtp_time` is extended to the reading nearest to the extended timestamp `near`."""
        if ntp_time:  # RFC 3550 §6.4.1: 0 is said by who has no notion of the time
            self._report = unix_from_ntp(ntp_time), near + ts_distance(rtp_time, near & 0xFFFF_FFFF)

    def forget(self) -> None:
        """The stream carries something else now, which reports of its own will place."""
        self._report = None

    def captured_at(self, timestamp: int) -> float | None:
        """The moment of `timestamp` in seconds on the sender's clock; None before the first report."""
        if self._report is None:
            return None
        at_s, rtp_time = self._report
        return at_s + (timestamp - rtp_time) / self._clock_rate
