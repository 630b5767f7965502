"""The HTTP side: `/signal` for WebSockets, `/health` and `/metrics` for whoever runs the server."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import web

from hushroom_sfu.control import Speaker
from hushroom_sfu.observe.exposition import CONTENT_TYPE, Family, exposition
from hushroom_sfu.web.http_port import IdleConnections
from hushroom_sfu.web.origin import may_connect
from hushroom_sfu.web.signal_socket import SignalSocket

__all__ = ["Doors", "build_app"]

_NO_STORE = {"Cache-Control": "no-store"}


@dataclass(slots=True)
class Doors:
    """What the HTTP side needs of the rest, and what it knows itself."""

    connected: Callable[[SignalSocket], Speaker]
    metrics: Callable[[], list[Family]]
    idle: IdleConnections
    max_message_bytes: int
    heartbeat_s: float
    for_this_machine_only: bool
    clock: Callable[[], float]
    is_draining: bool = False
    slow_readers: int = 0
    _open: set[SignalSocket] = field(default_factory=set)
    _none_open: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Serve one WebSocket until it is gone."""
        socket = SignalSocket(
            request, max_message_bytes=self.max_message_bytes, heartbeat_s=self.heartbeat_s, clock=self.clock
        )
        self._open.add(socket)
        self._none_open.clear()
        try:
            with self.idle.occupied(request.protocol):
                return await socket.serve(self.connected)
        finally:
            self.slow_readers += socket.was_too_slow
            self._open.discard(socket)
            if not self._open:
                self._none_open.set()

    async def all_closed(self) -> None:
        """Returns when no WebSocket is open."""
        if self._open:
            await self._none_open.wait()


def build_app(doors: Doors) -> web.Application:
    """The application. Query strings are not looked at: a token in a URL would end up in logs and histories."""

    async def signal(request: web.Request) -> web.StreamResponse:
        if doors.for_this_machine_only and not may_connect(request.headers.get("Origin"), request.host):
            raise web.HTTPForbidden(text="this server is for pages of this machine only\n")
        if not web.WebSocketResponse().can_prepare(request).ok:
            raise web.HTTPUpgradeRequired(text="this is a WebSocket\n", headers={"Upgrade": "websocket"})
        return await doors.serve(request)

    async def health(_request: web.Request) -> web.Response:
        if doors.is_draining:
            return web.json_response({"status": "draining"}, status=503, headers=_NO_STORE)
        return web.json_response({"status": "ok"}, headers=_NO_STORE)

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(
            body=exposition(doors.metrics()).encode(), headers=_NO_STORE | {"Content-Type": CONTENT_TYPE}
        )

    app = web.Application(client_max_size=1024)
    app.add_routes([web.get("/signal", signal), web.get("/health", health), web.get("/metrics", metrics)])
    return app
