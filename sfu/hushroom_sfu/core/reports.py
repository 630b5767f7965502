"""The forwarder's regular RTCP: receiver reports to publishers, sender reports to subscribers, packed by leg."""

from collections.abc import Iterable, Iterator

from hushroom_common.rtcp import ReceiverReport, SdesChunk, SenderReport, SourceDescription, compound
from hushroom_sfu.core.down_track import DownTrack
from hushroom_sfu.core.up_track import UpTrack

__all__ = ["MAX_REPORTS", "SERVER_SSRC", "receiver_reports", "sender_reports"]

SERVER_SSRC = 1
"""The SSRC under which the server speaks where it sends no media of its own, as libwebrtc's receivers do."""

MAX_REPORTS = 16
"""Reports in one compound packet, so that it stays below 1200 bytes with its SDES items."""

_CNAME = "hushroom"


def receiver_reports(up_tracks: Iterable[UpTrack], now: float) -> Iterator[bytes]:
    """One compound RR + SDES for every `MAX_REPORTS` tracks of a publisher; one without blocks when there are none."""
    blocks = [
        track.statistics.report_block(track.ssrc, now)
        for track in up_tracks
        if track.ssrc is not None and track.statistics.packets_received
    ]
    for first in range(0, max(1, len(blocks)), MAX_REPORTS):
        report = ReceiverReport(ssrc=SERVER_SSRC, reports=tuple(blocks[first : first + MAX_REPORTS]))
        yield compound(report, SourceDescription(chunks=(SdesChunk.with_cname(SERVER_SSRC, _CNAME),)))


def sender_reports(down_tracks: Iterable[DownTrack], unix_s: float) -> Iterator[bytes]:
    """Compounds of SRs and their SDES for the slots that have something to report."""
    ready: list[tuple[DownTrack, SenderReport]] = []
    for down_track in down_tracks:
        report = down_track.sender_report(unix_s)
        if report is not None:
            ready.append((down_track, report))
    for first in range(0, len(ready), MAX_REPORTS):
        batch = ready[first : first + MAX_REPORTS]
        chunks = tuple(SdesChunk.with_cname(track.spec.ssrc, track.spec.cname) for track, _ in batch)
        yield compound(*(report for _, report in batch), SourceDescription(chunks=chunks))
