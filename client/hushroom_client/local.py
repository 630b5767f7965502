"""What we publish: tracks of ours, and what the application can do with them."""

import asyncio
import secrets
from collections.abc import Callable

from hushroom_client.conversation import Conversation
from hushroom_client.e2ee import UnsupportedCodec
from hushroom_client.errors import RequestRefused, RoomClosed
from hushroom_client.media.clock import MediaClock
from hushroom_client.media.feed import Feed, Transform
from hushroom_client.media.frames import EncodedFrame, FrameSource
from hushroom_client.media.sources import Audio, Video
from hushroom_client.publishing import LocalPublication, Settled
from hushroom_client.sealing import Sealing
from hushroom_client.stats import RateMeter
from hushroom_common.ids import Codec, Identity, Kind, PublicationId, Source

__all__ = ["LocalTrack", "LocalTracks"]

_SENDABLE = (Codec.VP8, Codec.OPUS)
_SOURCES_OF = {
    Kind.VIDEO: (Source.CAMERA, Source.SCREEN),
    Kind.AUDIO: (Source.MICROPHONE, Source.SCREEN_AUDIO),
}


class LocalTrack:
    """One publication of ours, as `Room.publish` gives it back."""

    def __init__(
        self, publication: PublicationId, source: Source, feed: Feed, on_mute: Callable[["LocalTrack"], None]
    ) -> None:
        self.publication = publication
        self.source = source
        self.is_muted = False
        self._feed = feed
        self._on_mute = on_mute

    def __repr__(self) -> str:
        return f"LocalTrack({self.source}, {self.codec})"

    @property
    def codec(self) -> Codec:
        """How it is encoded."""
        return self._feed.codec

    @property
    def frames_sent(self) -> int:
        """How many frames left."""
        return self._feed.frames_sent

    @property
    def frames_dropped(self) -> int:
        """How many frames did not: while muted, or without a key to seal them with."""
        return self._feed.frames_dropped

    def mute(self) -> None:
        """Sends nothing any more, and tells the others. The source runs on."""
        self._set_muted(True)

    def unmute(self) -> None:
        """Sends again, from a keyframe on."""
        self._set_muted(False)

    async def wait_ended(self) -> None:
        """Returns at the end of the file, or when the track is not published any more.

        Raises MediaError where the source failed half-way.
        """
        await self._feed.wait_ended()

    def request_keyframe(self) -> None:
        """Sends a keyframe soon: somebody can open frames only from now on."""
        self._feed.request_keyframe()

    def _set_muted(self, is_muted: bool) -> None:
        if self.is_muted != is_muted:
            self.is_muted = is_muted
            (self._feed.pause if is_muted else self._feed.resume)()
            self._on_mute(self)


class LocalTracks:
    """All of them. `sent` measures what leaves."""

    def __init__(self, conversation: Conversation, sealing: Sealing, identity: Identity) -> None:
        self.by_publication: dict[PublicationId, LocalTrack] = {}
        self.sent = RateMeter()
        self._conversation = conversation
        self._sealing = sealing
        self._identity = identity
        self._clock = MediaClock()
        self._waiting: dict[PublicationId, asyncio.Future[None]] = {}
        self._is_over = False

    async def publish(self, media: Video | Audio | FrameSource, source: Source | None) -> LocalTrack:
        """See `Room.publish`."""
        if self._is_over:
            raise RoomClosed("the room is over: nothing can be published")
        frames = await media.open(self._clock) if isinstance(media, (Video, Audio)) else media
        try:
            usual, other = _SOURCES_OF[frames.codec.kind]
            source = source or usual
            if source not in (usual, other):
                raise ValueError(f"{frames.codec} is no {source}: it can be {usual} or {other}")
            if frames.codec not in _SENDABLE:
                raise UnsupportedCodec(f"{frames.codec} cannot be sent: {', '.join(_SENDABLE)} can")
            publication = PublicationId(f"{source}-{secrets.token_hex(4)}")
            feed = Feed(frames, self._metered(self._sealing.seal_with(publication, frames.codec)))
        except BaseException:
            frames.close()
            raise
        track = LocalTrack(publication, source, feed, self._tell_muted)
        await self._negotiate(track, feed)
        return track

    def unpublish(self, track: LocalTrack) -> None:
        """See `Room.unpublish`."""
        if self.by_publication.pop(track.publication, None) is not None:
            self._end(track.publication)
            conversation = self._conversation
            conversation.do(conversation.session.unpublish(track.publication, conversation.clock()))

    def settle(self, settled: Settled) -> None:
        """The server has answered."""
        waiting = self._waiting.pop(settled.publication, None)
        if waiting is None or waiting.done():
            return
        if settled.refused is None:
            waiting.set_result(None)
        else:
            waiting.set_exception(RequestRefused(settled.refused))

    def close(self) -> None:
        """The room is over: all tracks end."""
        self._is_over = True
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(RoomClosed("the room ended before the track was published"))
        for publication in tuple(self.by_publication):
            self._conversation.publisher.remove(publication)

    async def _negotiate(self, track: LocalTrack, feed: Feed) -> None:
        conversation, publication = self._conversation, track.publication
        self._waiting[publication] = asyncio.get_running_loop().create_future()
        self.by_publication[publication] = track
        conversation.publisher.add(publication, feed)
        offered = LocalPublication(publication, track.source, track.codec, self._sealing.profile)
        conversation.do(conversation.session.publish(offered, conversation.clock()))
        try:
            await self._waiting[publication]
        except BaseException:
            self.unpublish(track)
            raise
        finally:
            self._waiting.pop(publication, None)

    def _end(self, publication: PublicationId) -> None:
        self._conversation.publisher.remove(publication)
        self._sealing.unpublished(self._identity, publication)

    def _tell_muted(self, track: LocalTrack) -> None:
        if track.publication in self.by_publication:
            self._conversation.do(self._conversation.session.mute(track.publication, track.is_muted))

    def _metered(self, transform: Transform) -> Transform:
        def metered(frame: EncodedFrame) -> bytes | None:
            data = transform(frame)
            if data is not None:
                self.sent.add(len(data), self._conversation.clock())
            return data

        return metered
