"""The other people of a room and their tracks, as the application sees them."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Protocol

from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame

from hushroom_client.e2ee.outcomes import Dropped, RejectReason
from hushroom_client.e2ee.participant_state import E2EEState
from hushroom_client.media.decoders import AudioDecoder, Decoded, VideoDecoder
from hushroom_client.media.frames import EncodedFrame, FrameSink
from hushroom_client.reception import Reception
from hushroom_common.ids import Codec, Identity, Kind, ParticipantId, PublicationId, Source
from hushroom_common.signaling import TrackInfo

__all__ = ["RemoteParticipant", "RemoteTrack", "TrackSinks"]

_QUEUE_LIMIT = 256


class TrackSinks(Protocol):
    """Takes all tracks of a participant, as a `Recorder` does."""

    def track(self, source: Source, codec: Codec) -> FrameSink:
        """A sink for one track. Raises MediaError for one that it cannot take."""


class RemoteTrack:
    """Somebody else's publication. Only frames that opened come out of it, each stretch from a keyframe on.

    Sinks and iterators may be attached before the track is subscribed, and end when it is not any more.
    """

    def __init__(
        self,
        participant: "RemoteParticipant",
        info: TrackInfo,
        *,
        request_keyframe: Callable[["RemoteTrack"], None],
        report: Callable[["RemoteTrack", RejectReason, int], None],
    ) -> None:
        self.participant = participant
        self.publication: PublicationId = info.publication
        self.kind: Kind = info.kind
        self.source: Source = info.source
        self.codec: Codec = info.codec
        self.e2ee = info.e2ee
        """The profile that its publisher announces, "none" without sealing."""
        self.is_muted = info.muted
        self.is_subscribed = False
        self.reception = Reception(
            info.kind,
            request_keyframe=self.request_keyframe,
            report=lambda reason, count: report(self, reason, count),
        )
        self._request_keyframe = request_keyframe

    def __repr__(self) -> str:
        return f"RemoteTrack({self.participant.identity!r}, {self.source}, {self.codec})"

    @property
    def opened(self) -> int:
        """How many frames opened."""
        return self.reception.opened

    @property
    def rejected(self) -> Mapping[RejectReason, int]:
        """How many frames were refused, by reason."""
        return self.reception.rejected

    @property
    def dropped(self) -> Mapping[Dropped, int]:
        """How many frames were dropped in silence: duplicates and empty ones."""
        return self.reception.dropped

    def request_keyframe(self) -> None:
        """Asks the sender for a keyframe, within bounds."""
        self._request_keyframe(self)

    def attach(self, sink: FrameSink) -> None:
        """Hands every opened frame to `sink`, from a keyframe on, until the track is not subscribed any more."""
        self.reception.attach(sink)

    def detach(self, sink: FrameSink) -> None:
        """Hands no more to `sink`, and closes it."""
        self.reception.detach(sink)

    async def frames(self) -> AsyncIterator[EncodedFrame]:
        """Opened frames as they were encoded. Who reads too slowly misses some and goes on at a keyframe."""
        queue = _FrameQueue(self.request_keyframe)
        self.attach(queue)
        try:
            async for frame in queue.frames():
                yield frame
        finally:
            self.detach(queue)

    async def pictures(self) -> AsyncIterator[Decoded[VideoFrame]]:
        """Decoded pictures; a slow reader gets the newest. Raises TypeError for a track of sound."""
        if self.kind is not Kind.VIDEO:
            raise TypeError(f"{self!r} has no pictures: use sound()")
        decoder = VideoDecoder(request_keyframe=self.request_keyframe)
        self.attach(decoder)
        try:
            async for picture in decoder.frames():
                yield picture
        finally:
            self.detach(decoder)

    async def sound(self) -> AsyncIterator[Decoded[AudioFrame]]:
        """Decoded sound, 48 kHz stereo. Raises TypeError for a track of pictures."""
        if self.kind is not Kind.AUDIO:
            raise TypeError(f"{self!r} has no sound: use pictures()")
        decoder = AudioDecoder()
        self.attach(decoder)
        try:
            async for frame in decoder.frames():
                yield frame
        finally:
            self.detach(decoder)


class RemoteParticipant:
    """Somebody else in the room. Who comes back after having left is another one of the same identity."""

    def __init__(self, participant: ParticipantId, identity: Identity, state: E2EEState) -> None:
        self.id = participant
        self.identity = identity
        self.tracks: dict[PublicationId, RemoteTrack] = {}
        self.e2ee_state = state
        """How it stands with his frames."""
        self.sinks: list[TrackSinks] = []
        """What `Room.attach` was given for all his tracks."""

    def __repr__(self) -> str:
        return f"RemoteParticipant({self.identity!r}, {self.e2ee_state})"


class _FrameQueue:
    """A FrameSink to iterate over."""

    def __init__(self, request_keyframe: Callable[[], None]) -> None:
        self._request_keyframe = request_keyframe
        self._waiting: deque[EncodedFrame] = deque()
        self._changed = asyncio.Event()
        self._awaits_keyframe = False
        self._is_closed = False

    def push(self, frame: EncodedFrame, *, captured_at: float | None) -> None:
        if len(self._waiting) >= _QUEUE_LIMIT:
            self._awaits_keyframe = frame.codec.kind is Kind.VIDEO
            if self._awaits_keyframe:
                self._request_keyframe()
            return
        if frame.is_keyframe:
            self._awaits_keyframe = False
        if not self._awaits_keyframe:
            self._waiting.append(frame)
            self._changed.set()

    def close(self) -> None:
        self._is_closed = True
        self._changed.set()

    async def frames(self) -> AsyncIterator[EncodedFrame]:
        while True:
            while self._waiting:
                yield self._waiting.popleft()
            if self._is_closed:
                return
            self._changed.clear()
            await self._changed.wait()
