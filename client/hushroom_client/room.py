"""A meeting room: join it, publish into it, receive from it. Start here."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Protocol, TypeVar, cast, overload

from hushroom_client.conversation import Conversation, News
from hushroom_client.e2ee import E2EEManager
from hushroom_client.errors import JoinFailed, close_sentence
from hushroom_client.event_hub import EventHub, EventStream, EventT
from hushroom_client.events import ConnectionLost, Event
from hushroom_client.local import LocalTrack, LocalTracks
from hushroom_client.media.frames import FrameSink, FrameSource
from hushroom_client.media.leg_receiver import ReceivedFrame
from hushroom_client.media.sources import Audio, Video
from hushroom_client.people import People
from hushroom_client.publishing import Settled
from hushroom_client.remote import RemoteParticipant, RemoteTrack, TrackSinks
from hushroom_client.roster import PersonCame, PersonLeft, RosterChange, TrackGone, TrackRef
from hushroom_client.sealing import UNSEALED, Sealed, Sealing, SealingHooks, Unsealed
from hushroom_client.session_actions import Emit, Entered, KeyHint, NotEntered, TokenLasts, TurnedDown
from hushroom_client.signaling import ServerAddress
from hushroom_client.stats import RoomStats
from hushroom_client.tokens import identity_in
from hushroom_common.errors import WireError
from hushroom_common.ids import Identity, RoomId, Source
from hushroom_common.signaling import Join, decode_client, encode

__all__ = ["Room"]

log = logging.getLogger(__name__)

ResultT = TypeVar("ResultT")

_KEY_AT_HAND_S = 1.0
"""So long `join` waits for a key that is being derived: the first frames published would be dropped without it."""
_OUR_FAULT = "an error of this client ended the room; its log says which"


class Room:
    """A room that was joined. `join` makes it; `leave`, or `async with`, ends it and everything in it.

    Who registers a handler late is told of the participants and tracks that are there already.
    """

    def __init__(self, server: ServerAddress, join: Join, sealing: Sealing) -> None:
        """Use `join`."""
        self.name = join.room
        self.identity = join.identity
        self.token_expires_at: float | None = None
        """On the clock of `time.monotonic`; None where no token is needed. See `renew_token`."""
        self.lost: ConnectionLost | None = None
        """Why the room is over, where it was not left."""
        self._sealing = sealing
        self._hub = EventHub(self._present)
        self._conversation = Conversation(
            server, join, profile=sealing.profile, on_news=self._hear, on_frame=self._receive
        )
        self._people = People(sealing, self._conversation.subscriber, emit=self._hub.emit)
        self._local = LocalTracks(self._conversation, sealing, join.identity)
        self._asking: dict[Identity, asyncio.Task[None]] = {}
        self._entered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._key_at_hand = asyncio.Event()
        # The room is its own parent: `leave` and the end of the connection are what ends it.
        self._running = asyncio.create_task(self._run(), name=f"room as {join.identity}")

    @classmethod
    async def join(
        cls,
        server: str,
        *,
        room: str,
        e2ee: E2EEManager | None,
        token: str | None = None,
        identity: str | None = None,
        auto_subscribe: bool = True,
    ) -> "Room":
        """Joins `room` on a server such as `http://127.0.0.1:8080`. Raises JoinFailed and BadServerUrl.

        `e2ee` is what seals and opens; None, said explicitly, makes a room in which the server sees and hears all.
        `identity` is taken from the token where there is one. Without `auto_subscribe` nothing is received before
        `subscribe`.
        """
        if identity is None:
            if token is None:
                raise JoinFailed("who joins? Give identity=..., or a token")
            identity = identity_in(token)
        join = Join(RoomId(room), Identity(identity), token, auto_subscribe)
        try:
            decode_client(encode(join))
        except WireError as error:
            raise JoinFailed(str(error)) from None
        joined = cls(ServerAddress.parse(server), join, Sealed(e2ee) if e2ee is not None else Unsealed())
        try:
            await joined._entered
            with suppress(TimeoutError):
                async with asyncio.timeout(_KEY_AT_HAND_S):
                    await joined._key_at_hand.wait()
        except BaseException:
            await joined.leave()
            raise
        return joined

    async def __aenter__(self) -> "Room":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.leave()

    async def leave(self) -> None:
        """Leaves, and returns when nothing of the room is left; may be called twice."""
        self._conversation.do(self._conversation.session.leave())
        await asyncio.wait({self._running})

    async def wait_closed(self) -> ConnectionLost | None:
        """Returns when the room is over; why, where it was not left."""
        await asyncio.wait({self._running})
        return self.lost

    # --- what happens -------------------------------------------------------------------------------------------------

    @overload
    def on(self, event: str, handler: Callable[[EventT], ResultT]) -> Callable[[EventT], ResultT]: ...
    @overload
    def on(self, event: str) -> "_Decorator": ...
    def on(self, event: str, handler: Callable[[EventT], ResultT] | None = None) -> object:
        """Calls a plain function with each such event, as in `room.on("track_subscribed", show)`; also a decorator."""

        def register(handler: Callable[[EventT], ResultT]) -> Callable[[EventT], ResultT]:
            self._hub.add(event, handler)
            return handler

        return register if handler is None else register(handler)

    def remove_listener(self, event: str, handler: Callable[[EventT], object]) -> None:
        """Calls it no more."""
        self._hub.remove(event, handler)

    def events(self) -> EventStream:
        """All events, to iterate over with `async for`; ends with the room."""
        return self._hub.stream()

    @property
    def participants(self) -> dict[Identity, RemoteParticipant]:
        """Everybody else, by identity."""
        return {one.identity: one for one in self._people.by_id.values()}

    @property
    def is_sealed(self) -> bool:
        """Whether media is sealed end to end."""
        return self._sealing.profile != UNSEALED

    @property
    def profile(self) -> str:
        """How media is sealed, "none" for not at all."""
        return self._sealing.profile

    def stats(self) -> RoomStats:
        """How much of everything."""
        now = self._conversation.clock()
        return self._people.stats(now, sent_bps=self._local.sent.rate_bps(now))

    # --- media --------------------------------------------------------------------------------------------------------

    @property
    def tracks(self) -> tuple[LocalTrack, ...]:
        """What we publish."""
        return tuple(self._local.by_publication.values())

    async def publish(self, media: Video | Audio | FrameSource, *, source: Source | None = None) -> LocalTrack:
        """Publishes a picture or a sound: a camera or a microphone, unless `source` says that it is a screen's.

        Returns when the server has accepted it. Raises RequestRefused where it has not, MediaError for a file that
        cannot be read, UnsupportedCodec, and RoomClosed.
        """
        return await self._local.publish(media, source)

    def unpublish(self, track: LocalTrack) -> None:
        """Publishes it no more."""
        self._local.unpublish(track)

    def subscribe(self, track: RemoteTrack) -> None:
        """Receives a track; `TrackSubscribed` says from when on. One that is not sealed as ours are never comes."""
        self._conversation.do(self._conversation.session.subscribe(_ref(track)))

    def unsubscribe(self, track: RemoteTrack) -> None:
        """Receives a track no more."""
        self._conversation.do(self._conversation.session.unsubscribe(_ref(track)))

    @overload
    def attach(self, target: RemoteTrack, sink: FrameSink) -> None: ...
    @overload
    def attach(self, target: RemoteParticipant, sink: TrackSinks) -> None: ...
    def attach(self, target: RemoteTrack | RemoteParticipant, sink: FrameSink | TrackSinks) -> None:
        """Hands opened frames of a track to a sink, or those of all tracks, present and future, to a recorder."""
        if isinstance(target, RemoteTrack):
            target.attach(cast(FrameSink, sink))  # the overloads say so
        else:
            self._people.attach_all(target, cast(TrackSinks, sink))

    def renew_token(self, token: str) -> None:
        """Goes on with a fresh token for the same room and identity, before the old one ends."""
        self._conversation.do(self._conversation.session.renew_token(token))

    # --- the room's life ----------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            await self._conversation.run()
        except Exception:
            log.exception("the room ended by an error")
            self._over(ConnectionLost(_OUR_FAULT))
        finally:
            if not self._entered.done():
                self._entered.set_exception(JoinFailed("left before the server let us in"))
                self._entered.exception()  # nobody may be waiting any more
            self._local.close()
            self._people.clear()
            self._hub.close()
            await self._sealing.close()

    def _present(self) -> Iterable[Event]:
        return self._people.present()

    def _receive(self, frame: ReceivedFrame) -> None:
        self._people.receive(frame)

    def _hear(self, news: News) -> None:
        match news:
            case Entered():
                self._conversation.spawn(self._begin_sealing(), "e2ee begins")
                self._entered.set_result(None)
            case TokenLasts(seconds):
                self.token_expires_at = self._conversation.clock() + seconds
            case TurnedDown(regarding, code):
                log.warning("the server turned down %s: %s", regarding, close_sentence(code))
            case NotEntered(reason, code):
                self._entered.set_exception(JoinFailed(reason, code))
            case Emit(event):
                if isinstance(event, ConnectionLost):
                    self._over(event)
                else:
                    self._hub.emit(event)
            case KeyHint(identity, key_index, step):
                # After the first step of `came`, which makes somebody known.
                asyncio.get_running_loop().call_soon(self._sealing.hint, identity, key_index, step)
            case Settled():
                self._local.settle(news)
            case _:
                self._follow(news)

    def _follow(self, change: RosterChange) -> None:
        """Keys first: who is told of somebody new may ask for his state."""
        match change:
            case PersonCame(_, identity):
                task = self._conversation.spawn(self._sealing.came(identity), "e2ee asks for a key")
                if task is not None:
                    self._asking[identity] = task
            case PersonLeft(participant):
                identity = self._people.by_id[participant].identity
                if (task := self._asking.pop(identity, None)) is not None:
                    task.cancel()
                self._sealing.left(identity)
            case TrackGone(ref):
                self._sealing.unpublished(self._people.by_id[ref.participant].identity, ref.publication)
        self._people.apply(change)

    async def _begin_sealing(self) -> None:
        await self._sealing.begin(
            self.identity,
            SealingHooks(
                state_changed=self._state_changed,
                key_installed=self._key_installed,
                key_step=lambda index, step: self._conversation.do(
                    self._conversation.session.key_step(index, step, self._conversation.clock())
                ),
            ),
        )
        self._key_at_hand.set()

    def _state_changed(self, identity: Identity) -> None:
        if (participant := self._people.by_identity(identity)) is not None:
            self._people.update_state(participant)

    def _key_installed(self, identity: Identity) -> None:
        if identity == self.identity:
            for track in self.tracks:
                track.request_keyframe()
        else:
            self._people.needs_keyframes(identity)

    def _over(self, event: ConnectionLost) -> None:
        if self.lost is None:
            self.lost = event
            self._hub.emit(event)


class _Decorator(Protocol):
    def __call__(self, handler: Callable[[EventT], ResultT]) -> Callable[[EventT], ResultT]: ...


def _ref(track: RemoteTrack) -> TrackRef:
    return TrackRef(track.participant.id, track.publication)
