"""Everywhere that a server keeps or says something, and the search of all of it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tests.support.threat.canaries import Canaries, Finding
from tests.support.threat.tap import Kind
from tests.support.threat.tapped_process import TappedServer
from tests.support.threat.text_views import views_of

__all__ = ["CHANNELS", "Search", "search"]

CHANNELS = ("rtp", "rtcp", "signaling", "log records", "log file", "metrics", "memory")

_PACKETS = {"rtp": (Kind.RTP_IN, Kind.RTP_OUT), "rtcp": (Kind.RTCP_IN, Kind.RTCP_OUT)}
_BETWEEN = b"\xff" * 16


@dataclass(frozen=True, slots=True)
class Search:
    """What was found, and in how much, by channel."""

    findings: dict[str, list[Finding]] = field(default_factory=lambda: {channel: [] for channel in CHANNELS})
    searched_bytes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CHANNELS, 0))


def search(server: TappedServer, canaries: Canaries) -> Search:
    """Looks for the canaries in everything that the server holds now and has held or said before."""
    result = Search()
    for channel, haystacks in _haystacks(server):
        for haystack in haystacks:
            result.searched_bytes[channel] += len(haystack)
            result.findings[channel] += canaries.find_in(haystack)
    return result


def _haystacks(server: TappedServer) -> Iterator[tuple[str, Iterable[bytes]]]:
    # Memory first: what the other questions leave in it would be of our own doing.
    yield "memory", server.memory()
    for channel, kinds in _PACKETS.items():
        yield channel, [_BETWEEN.join(record.data for record in server.records(*kinds))]
    for channel, texts in (
        ("signaling", [record.data for record in server.records(Kind.SIGNALING_IN, Kind.SIGNALING_OUT)]),
        ("log records", [record.data for record in server.records(Kind.LOG)]),
        ("log file", [server.log_file()]),
        ("metrics", [server.metrics()]),
    ):
        yield channel, (view for text in texts for view in views_of(text))
