"""The TCP port: bound for every address of a host, and swept of connections that never become anything."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from aiohttp import web

from hushroom_sfu.plane.addresses import bind_addresses
from hushroom_sfu.start_error import cannot_bind

__all__ = ["HttpPort", "IdleConnections"]

_SWEEP_S = 1.0
_SHUTDOWN_S = 1.0


class IdleConnections:
    """Which TCP connections are no WebSockets, and since when."""

    def __init__(self, max_idle_s: float, clock: Callable[[], float]) -> None:
        self._max_idle_s = max_idle_s
        self._clock = clock
        self._since: dict[object, float] = {}
        self._busy: set[object] = set()

    @contextmanager
    def occupied(self, protocol: object) -> Iterator[None]:
        """The connection of that protocol is a WebSocket meanwhile."""
        self._busy.add(protocol)
        try:
            yield
        finally:
            self._busy.discard(protocol)
            self._since[protocol] = self._clock()

    def overdue(self, protocols: Iterable[object]) -> list[object]:
        """Which of all connections there are have been idle for too long."""
        now = self._clock()
        self._since = {one: self._since.get(one, now) for one in protocols if one not in self._busy}
        return [one for one, since in self._since.items() if now - since >= self._max_idle_s]


class HttpPort:
    """`async with` it inside the event loop."""

    def __init__(
        self,
        app: web.Application,
        host: str,
        port: int,
        idle: IdleConnections,
    ) -> None:
        self._host = host
        self._asked_port = port
        self._idle = idle
        # No access log: it would hold addresses and whatever people put into URLs.
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=_SHUTDOWN_S)
        self._sweeper: asyncio.TimerHandle | None = None
        self.port = port
        """The port number; known once the port is open."""

    async def __aenter__(self) -> "HttpPort":
        """Raises `StartError` when the port cannot be bound."""
        await self._runner.setup()
        try:
            await self._bind()
        except BaseException:
            await self._runner.cleanup()
            raise
        self._sweep()
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
        await self._runner.cleanup()

    async def _bind(self) -> None:
        hosts = bind_addresses(self._host)
        for host in hosts:
            try:
                await web.TCPSite(self._runner, host, self.port).start()
            except OSError as error:
                if host == hosts[0]:
                    raise cannot_bind(error, flag_prefix="", host=host, port=self.port) from None
                continue  # the machine lacks the other address family, or there the number is taken
            self.port = self._runner.addresses[0][1]

    def _sweep(self) -> None:
        server = self._runner.server
        connections = server.connections if server is not None else []
        for protocol in self._idle.overdue(connections):
            if isinstance(protocol, web.RequestHandler) and protocol.transport is not None:
                protocol.transport.abort()
        self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep)
