"""A WebSocket that speaks the protocol by hand: what it says and when is the test's, nothing happens by itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

import aiohttp

from hushroom_common.ids import Identity, RoomId
from hushroom_common.signaling import (
    ClientMessage,
    Closed,
    Join,
    Joined,
    Resume,
    Resumed,
    ServerMessage,
    decode_server,
    encode,
)
from hushroom_sfu.server import Server

__all__ = ["DEADLINE_S", "Caller", "calling", "joining"]

DEADLINE_S = 10.0
M = TypeVar("M", bound=ServerMessage)


class Caller:
    """One WebSocket to a server."""

    def __init__(self, websocket: aiohttp.ClientWebSocketResponse) -> None:
        self.websocket = websocket
        self.heard: list[ServerMessage] = []
        self.close_code: int | None = None
        self.close_reason = ""

    async def say(self, message: ClientMessage) -> None:
        await self.websocket.send_str(encode(message))

    async def hear(self, kind: type[M]) -> M:
        """The next message of that kind; those before it are only noted in `heard`."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                message = await self._next()
                assert message is not None, f"closed with {self.close_code} while waiting for {kind.__name__}"
                if isinstance(message, kind):
                    return message

    async def hear_end(self) -> Closed | None:
        """All that comes until the WebSocket is closed; returns the last word."""
        async with asyncio.timeout(DEADLINE_S):
            while await self._next() is not None:
                pass
        last = self.heard[-1] if self.heard else None
        return last if isinstance(last, Closed) else None

    async def join(self, room: str = "standup", identity: str = "ada", *, token: str | None = None) -> Joined:
        await self.say(Join(RoomId(room), Identity(identity), token))
        return await self.hear(Joined)

    async def resume(self, resume_token: str) -> Resumed:
        await self.say(Resume(resume_token))
        return await self.hear(Resumed)

    def vanish(self) -> None:
        """Be gone without a word, as when a cable is pulled and the kernel notices."""
        transport = self.websocket._response.connection
        assert transport is not None
        assert transport.transport is not None
        transport.transport.abort()

    async def _next(self) -> ServerMessage | None:
        frame = await self.websocket.receive()
        if frame.type is not aiohttp.WSMsgType.TEXT:
            if frame.type is aiohttp.WSMsgType.CLOSE:
                self.close_code, self.close_reason = frame.data, frame.extra or ""
            return None
        message = decode_server(frame.data)
        self.heard.append(message)
        return message


@asynccontextmanager
async def calling(server: Server, *, path: str = "/signal") -> AsyncIterator[Caller]:
    """An open WebSocket that has said nothing."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(server.url + path, max_msg_size=0, timeout=aiohttp.ClientWSTimeout(ws_close=1)) as websocket,
    ):
        yield Caller(websocket)


@asynccontextmanager
async def joining(
    server: Server, identity: str = "ada", *, room: str = "standup", token: str | None = None
) -> AsyncIterator[tuple[Caller, Joined]]:
    """A WebSocket that has joined."""
    async with calling(server) as caller:
        yield caller, await caller.join(room, identity, token=token)
