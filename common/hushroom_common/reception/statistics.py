"""The figures of a receiver report about one RTP stream (RFC 3550 §6.4.1, §A.3, §A.8)."""

from hushroom_common.reception.missing import MAX_DROPOUT
from hushroom_common.rtcp.ntp import middle_32
from hushroom_common.rtcp.reports import ReportBlock
from hushroom_common.serial import SequenceUnwrapper, ts_distance

__all__ = ["ReceptionStatistics"]


class ReceptionStatistics:
    """Counts one stream. Feed it the packets that `MissingPackets` calls NEW or LATE; `now` is in monotonic seconds.

    Whether repaired losses count as received is the caller's choice: it feeds retransmissions or keeps them back.
    """

    def __init__(self, clock_rate: int) -> None:
        self._clock_rate = clock_rate
        self._unwrapper = SequenceUnwrapper()
        self._highest = 0
        self._base = 0
        self._received = 0
        self._expected_before = 0
        self._received_before = 0
        self._jitter = 0.0
        self._last_timestamp = 0
        self._last_arrival = 0.0
        self._lsr = 0
        self._sender_report_at = 0.0

    @property
    def packets_received(self) -> int:
        """Since the start or the last jump; while it is 0 there is nothing to report."""
        return self._received

    @property
    def jitter_s(self) -> float:
        """The smoothed difference of spacing between sender and receiver, in seconds."""
        return self._jitter / self._clock_rate

    def receive(self, sequence_number: int, rtp_timestamp: int, now: float) -> None:
        """Counts one packet by the numbers in its header."""
        extended = self._unwrapper.unwrap(sequence_number)
        if not self._received or extended - self._highest > MAX_DROPOUT:
            self._start(extended)
        elif extended > self._highest:
            self._highest = extended
            # §A.8. Only packets in order: the round trip of a retransmission is no jitter of the path.
            spacing = (now - self._last_arrival) * self._clock_rate
            difference = abs(spacing - ts_distance(rtp_timestamp, self._last_timestamp))
            self._jitter += (difference - self._jitter) / 16
        if extended == self._highest:
            self._last_timestamp, self._last_arrival = rtp_timestamp, now
        self._received += 1

    def _start(self, extended: int) -> None:
        # RFC 3550 §A.1, init_seq: after a jump the counts begin anew, or all of the hole would be loss.
        self._base = self._highest = extended
        self._received = self._expected_before = self._received_before = 0

    def sender_report_received(self, ntp_time: int, now: float) -> None:
        """Notes the sender's latest report, which the next blocks answer."""
        self._lsr = middle_32(ntp_time)
        self._sender_report_at = now

    def report_block(self, ssrc: int, now: float) -> ReportBlock:
        """The block about this stream, named `ssrc`; the fraction lost counts from the block before."""
        expected = self._highest - self._base + 1 if self._received else 0
        expected_since = expected - self._expected_before
        lost_since = expected_since - (self._received - self._received_before)
        self._expected_before, self._received_before = expected, self._received
        fraction = min(255, (lost_since << 8) // expected_since) if expected_since > 0 and lost_since > 0 else 0
        return ReportBlock(
            ssrc=ssrc,
            fraction_lost=fraction,
            packets_lost=expected - self._received,
            # Extended numbers begin one cycle up, reports begin with cycle 0 (§A.1).
            highest_sequence=(self._highest - (1 << 16)) & 0xFFFF_FFFF if self._received else 0,
            jitter=min(int(self._jitter), 0xFFFF_FFFF),
            lsr=self._lsr,
            dlsr=min(int((now - self._sender_report_at) * 65536), 0xFFFF_FFFF) if self._lsr else 0,
        )
