"""What the forwarder knows of one leg: the tracks that come up on it, the slots that go down on it, its clock."""

from hushroom_common.errors import WireError
from hushroom_common.header_extensions import ExtensionUri, read_extensions
from hushroom_common.ids import LegId
from hushroom_common.rtp import RtpPacket
from hushroom_sfu.core.down_track import DownTrack
from hushroom_sfu.core.source_clock import SourceClock
from hushroom_sfu.core.up_track import UpTrack

__all__ = ["REPORT_INTERVAL_S", "LegTracks"]

REPORT_INTERVAL_S = 1.0


class LegTracks:
    """One peer's tracks by the numbers that packets name them with."""

    __slots__ = ("by_ssrc", "clock", "down_tracks", "leg", "report_at", "slots_by_ssrc", "up_tracks")

    def __init__(self, leg: LegId, now: float) -> None:
        self.leg = leg
        self.by_ssrc: dict[int, UpTrack] = {}
        self.up_tracks: list[UpTrack] = []
        self.down_tracks: list[DownTrack] = []
        self.slots_by_ssrc: dict[int, DownTrack] = {}
        self.clock = SourceClock()
        self.report_at = now + REPORT_INTERVAL_S

    def add_up_track(self, track: UpTrack) -> None:
        """Routes the SSRCs that the offer named; others are learned from the MID."""
        self.up_tracks.append(track)
        for ssrc in (track.ssrc, track.rtx_ssrc):
            if ssrc is not None:
                self.by_ssrc[ssrc] = track

    def remove_up_track(self, track: UpTrack) -> None:
        """Forgets a track and every SSRC that led to it."""
        self.up_tracks.remove(track)
        self.by_ssrc = {ssrc: other for ssrc, other in self.by_ssrc.items() if other is not track}

    def learn(self, packet: RtpPacket) -> UpTrack | None:
        """Binds an unknown SSRC by its MID header extension (RFC 8843 §9.2): two at most a track."""
        if not packet.extension_profile:
            return None
        try:
            elements = read_extensions(packet)
        except WireError:
            return None
        for track in self.up_tracks:
            identifier = dict(track.spec.extensions).get(ExtensionUri.MID)
            if identifier is None or elements.get(identifier, b"").decode("ascii", "replace") != track.spec.mid:
                continue
            if not track.learn(packet):
                return None
            self.by_ssrc[packet.ssrc] = track
            return track
        return None
