"""A publisher's clock seen from the server's: one offset for all his tracks keeps sound and picture together."""

from typing import NamedTuple

from hushroom_common.rtcp import SenderReport, unix_from_ntp

__all__ = ["Anchor", "SourceClock"]

_MAX_STEP_S = 0.5


class Anchor(NamedTuple):
    """A moment of the server's clock (Unix seconds) and the track's RTP time then, as its publisher counts it."""

    unix_s: float
    rtp_time: int

    def rtp_time_at(self, unix_s: float, clock_rate: int) -> int:
        """The publisher's RTP time (mod 2^32) at another moment of the server's clock."""
        return (self.rtp_time + round((unix_s - self.unix_s) * clock_rate)) & 0xFFFFFFFF


class SourceClock:
    """Turns the NTP times of one publisher's sender reports (RFC 3550 §6.4.1) into the server's time."""

    __slots__ = ("_offset_s",)

    def __init__(self) -> None:
        self._offset_s: float | None = None

    def anchor(self, report: SenderReport, server_unix_s: float) -> Anchor:
        """The report on the server's clock. The offset is taken once, and anew only if that clock stepped."""
        source_s = unix_from_ntp(report.ntp_time)
        offset_s = server_unix_s - source_s
        if self._offset_s is None or abs(offset_s - self._offset_s) > _MAX_STEP_S:
            self._offset_s = offset_s
        return Anchor(source_s + self._offset_s, report.rtp_time)
