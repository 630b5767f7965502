"""The connection on which a participant sends: m-lines for feeds, offers, and nothing that comes back but feedback."""

import time
from collections.abc import Callable

from aiortc import RTCRtpSender, RTCRtpTransceiver, RTCSessionDescription

from hushroom_client.media import aiortc_seam
from hushroom_client.media.feed import Feed
from hushroom_client.media.peer import Peer
from hushroom_client.media.sender_track import SenderTrack
from hushroom_common.header_extensions import ExtensionUri
from hushroom_common.ids import Codec

__all__ = ["PublishedTrack", "PublisherConnection"]

_MIME_TYPES = {Codec.VP8: ("video/vp8", "video/rtx"), Codec.OPUS: ("audio/opus",)}


class PublishedTrack:
    """One feed on one m-line. `add_track` makes it."""

    def __init__(self, feed: Feed, track: SenderTrack, transceiver: RTCRtpTransceiver) -> None:
        self.feed = feed
        self._track = track
        self._transceiver = transceiver

    @property
    def mid(self) -> str:
        """The m-line that carries it, once an offer was made."""
        return self._transceiver.mid or ""

    @property
    def is_accepted(self) -> bool:
        """Whether the last answer takes it."""
        return self._transceiver.currentDirection == "sendonly"


class PublisherConnection:
    """The client's publisher leg: it always offers.

    Frames flow from the answer on, each feed's from a keyframe on. Add and remove tracks at any time, then make an
    offer; one offer at a time. m-lines are set inactive and used again, never removed.
    """

    def __init__(
        self,
        *,
        gather_loopback: bool = False,
        on_state: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._peer = Peer(gather_loopback=gather_loopback, on_state=on_state)
        self._clock = clock
        self._unix_offset_s = time.time() - clock()
        self._tracks: list[PublishedTrack] = []
        self._free: list[tuple[SenderTrack, RTCRtpTransceiver]] = []

    @property
    def state(self) -> str:
        """new, connecting, connected, failed or closed."""
        return self._peer.state

    async def wait_connected(self) -> None:
        """Return when media can flow; raises ConnectionError when it never will."""
        await self._peer.wait_connected()

    def add_track(self, feed: Feed) -> PublishedTrack:
        """Give the feed an m-line; it is drained once the server answered the next offer.

        Raises ValueError for a codec that the client cannot packetize.
        """
        if feed.codec not in _MIME_TYPES:
            raise ValueError(f"{feed.codec} cannot be published")
        track, transceiver = self._take_free(feed.codec) or self._new_line(feed.codec)
        transceiver.direction = "sendonly"
        published = PublishedTrack(feed, track, transceiver)
        self._tracks.append(published)
        return published

    def remove_track(self, published: PublishedTrack) -> None:
        """Stop sending at once; the next offer says so. The feed is the caller's to close."""
        if published in self._tracks:
            self._tracks.remove(published)
            published._track.detach()
            published._transceiver.direction = "inactive"
            self._free.append((published._track, published._transceiver))

    async def create_offer(self) -> str:
        """The offer for the tracks as they are now, with all ICE candidates; then every track has its `mid`."""
        offer = await self._peer.connection.createOffer()
        return await self._peer.describe_locally(RTCSessionDescription(sdp=_without_levels(offer.sdp), type="offer"))

    async def accept_answer(self, sdp: str) -> None:
        """Take the answer to the last offer. Raises ProtocolError for one that cannot be used."""
        await self._peer.describe_remotely(sdp, "answer")
        for published in self._tracks:
            if published.is_accepted and published._track.feed is None:
                published._track.attach(published.feed)

    async def close(self) -> None:
        """End the connection; feeds go on and may be added to another. May be called twice."""
        for published in self._tracks:
            published._track.detach()
        await self._peer.close()

    def _take_free(self, codec: Codec) -> tuple[SenderTrack, RTCRtpTransceiver] | None:
        for line in self._free:
            if line[0].codec is codec:
                self._free.remove(line)
                return line
        return None

    def _new_line(self, codec: Codec) -> tuple[SenderTrack, RTCRtpTransceiver]:
        track = SenderTrack(codec, unix_offset_s=self._unix_offset_s, clock=self._clock)
        transceiver = self._peer.connection.addTransceiver(track, direction="sendonly")
        capabilities = RTCRtpSender.getCapabilities(track.kind).codecs
        transceiver.setCodecPreferences(
            [codec_ for codec_ in capabilities if codec_.mimeType.lower() in _MIME_TYPES[codec]]
        )
        # An answer may claim to send on our line, whatever we offered: nothing of it is ever decoded.
        aiortc_seam.receive_nothing(transceiver.receiver)
        aiortc_seam.on_keyframe_request(transceiver.sender, track.request_keyframe)
        aiortc_seam.report_by(transceiver.sender, track.report_clock)
        return track, transceiver


def _without_levels(sdp: str) -> str:
    """The offer without RFC 6464: how loud somebody speaks tells words apart, and the server could read it."""
    lines = [line for line in sdp.splitlines() if not line.endswith(ExtensionUri.AUDIO_LEVEL)]
    return "\r\n".join(lines) + "\r\n"
