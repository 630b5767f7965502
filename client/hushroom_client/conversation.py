"""The shell around `Session`: the WebSocket, the clock and the two legs. People and media are for further up."""

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import TypeVar, assert_never

from aiortc.exceptions import InvalidStateError

from hushroom_client.legs import PublisherLeg, SubscriberLeg
from hushroom_client.media.leg_receiver import ReceivedFrame
from hushroom_client.media.peer import is_loopback
from hushroom_client.publishing import Settled
from hushroom_client.roster import RosterChange
from hushroom_client.session import Session
from hushroom_client.session_actions import (
    AnswerOffer,
    ApplyAnswer,
    Connect,
    Disconnect,
    DropLeg,
    Emit,
    Entered,
    KeyHint,
    MakeOffer,
    NotEntered,
    Over,
    Send,
    SessionAction,
    TokenLasts,
    TurnedDown,
)
from hushroom_client.signaling import ServerAddress, SignalSocket
from hushroom_common.errors import ProtocolError
from hushroom_common.ids import LegRole
from hushroom_common.signaling import Join, ServerMessage

__all__ = ["Conversation", "News"]

log = logging.getLogger(__name__)

News = RosterChange | Settled | KeyHint | Entered | TokenLasts | TurnedDown | NotEntered | Emit
JobT = TypeVar("JobT")
_PublisherJob = MakeOffer | ApplyAnswer | DropLeg
_SubscriberJob = AnswerOffer | DropLeg


class Conversation:
    """Everything between a room and the server. `run` it; give it the user's wishes by `do`.

    `on_news` and `on_frame` are called on the event loop and must not block.
    """

    def __init__(
        self,
        server: ServerAddress,
        join: Join,
        *,
        profile: str,
        on_news: Callable[[News], None],
        on_frame: Callable[[ReceivedFrame], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.session = Session(join, profile=profile, chance=random.random)
        self.clock = clock
        self._server = server
        self._on_news = on_news
        gather_loopback = is_loopback(server.host)
        self.publisher = PublisherLeg(gather_loopback=gather_loopback, on_lost=self._publisher_lost)
        self.subscriber = SubscriberLeg(gather_loopback=gather_loopback, on_frame=on_frame, spawn=self.spawn)
        self._publisher_jobs: asyncio.Queue[_PublisherJob] = asyncio.Queue()
        self._subscriber_jobs: asyncio.Queue[_SubscriberJob] = asyncio.Queue()
        self._to_do: deque[SessionAction] = deque()
        self._is_doing = False
        self._changed = asyncio.Event()
        self._over = asyncio.Event()
        self._socket: SignalSocket | None = None
        self._opening: asyncio.Task[None] | None = None
        self._children: set[asyncio.Task[None]] = set()
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """From joining to the end, after which nothing of it is left."""
        try:
            async with asyncio.TaskGroup() as self._tasks:
                self.spawn(self._keep_time(), "session clock")
                self.spawn(self._work(self._publisher_jobs, self._on_publisher), "publisher negotiation")
                self.spawn(self._work(self._subscriber_jobs, self._on_subscriber), "subscriber negotiation")
                self.do(self.session.start(self.clock()))
                await self._over.wait()
                for child in tuple(self._children):
                    child.cancel()
        finally:
            self._tasks = None
            await asyncio.gather(self.publisher.close(), self.subscriber.drop())

    def spawn(self, work: Coroutine[None, None, None], name: str) -> asyncio.Task[None] | None:
        """Does something beside, at most until the end; None where that has come."""
        if self._tasks is None or self._over.is_set():
            work.close()
            return None
        child = self._tasks.create_task(work, name=name)
        self._children.add(child)
        child.add_done_callback(self._children.discard)
        return child

    def do(self, actions: Iterable[SessionAction]) -> None:
        """Carries actions out, after those that are being carried out: handlers may ask for more."""
        self._to_do.extend(actions)
        self._changed.set()
        if self._is_doing:
            return
        self._is_doing = True
        try:
            while self._to_do:
                self._carry_out(self._to_do.popleft())
        finally:
            self._is_doing = False

    def _carry_out(self, action: SessionAction) -> None:
        match action:
            case Connect():
                self._connect()
            case Disconnect():
                self._disconnect()
            case Send(message):
                if self._socket is not None:
                    self._socket.send(message)
            case MakeOffer() | ApplyAnswer() | DropLeg(LegRole.PUBLISHER):
                self._publisher_jobs.put_nowait(action)
            case AnswerOffer() | DropLeg():
                self._subscriber_jobs.put_nowait(action)
            case Over():
                self._over.set()
            case _:
                self._on_news(action)

    # --- the WebSocket ------------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        self._socket = socket = SignalSocket(self._server, clock=self.clock)
        assert self._tasks is not None
        # Not one of the children that are cancelled at the end: it closes by itself, after its last words.
        self._opening = self._tasks.create_task(self._signal(socket), name="signaling")

    def _disconnect(self) -> None:
        socket, self._socket = self._socket, None
        if socket is not None:
            socket.close()
        if self._opening is not None:
            self._opening.cancel()
            self._opening = None

    async def _signal(self, socket: SignalSocket) -> None:
        def opened() -> None:
            self._opening = None
            self.do(self.session.connected(self.clock()))

        def heard(message: ServerMessage) -> None:
            if socket is self._socket:
                self.do(self.session.received(message, self.clock()))

        reason = await socket.run(opened, heard)
        if socket is self._socket:
            self._socket = self._opening = None
            self.do(self.session.disconnected(reason, self.clock()))

    async def _keep_time(self) -> None:
        while True:
            self._changed.clear()
            deadline = self.session.next_deadline()
            try:
                async with asyncio.timeout(None if deadline is None else max(0.0, deadline - self.clock())):
                    await self._changed.wait()
            except TimeoutError:
                self.do(self.session.tick(self.clock()))

    # --- the legs -----------------------------------------------------------------------------------------------------

    async def _work(self, jobs: "asyncio.Queue[JobT]", do: Callable[[JobT], Coroutine[None, None, None]]) -> None:
        while True:
            job = await jobs.get()
            try:
                await do(job)
            except ProtocolError as error:
                self.do(self.session.misled(str(error)))
            except InvalidStateError:
                log.debug("a peer connection ended while it was negotiated")

    async def _on_publisher(self, job: _PublisherJob) -> None:
        match job:
            case MakeOffer(generation):
                sdp, mids = await self.publisher.offer(generation)
                self.do(self.session.offered(generation, sdp, mids, self.clock()))
            case ApplyAnswer(generation, sdp):
                accepted = await self.publisher.apply(generation, sdp)
                self.do(self.session.applied(generation, accepted, self.clock()))
            case DropLeg():
                await self.publisher.drop()
            case _:
                assert_never(job)

    async def _on_subscriber(self, job: _SubscriberJob) -> None:
        match job:
            case AnswerOffer(generation, number, sdp):
                answer = await self.subscriber.answer(generation, sdp)
                self.do(self.session.answered(generation, number, answer))
            case DropLeg():
                await self.subscriber.drop()
            case _:
                assert_never(job)

    def _publisher_lost(self, generation: int) -> None:
        self.do(self.session.publisher_failed(generation, self.clock()))
