"""The WebSocket to the server: typed messages in and out, paced, and its end told in words."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp

from hushroom_common.errors import HushroomError, WireError
from hushroom_common.signaling import MAX_SERVER_TEXT, ClientMessage, ServerMessage, decode_server, encode

__all__ = ["BadServerUrl", "ServerAddress", "SignalSocket"]

log = logging.getLogger(__name__)

_OPEN_LIMIT_S = 8.0
_HEARTBEAT_S = 10.0
_CLOSE_LIMIT_S = 1.0
_BURST, _PER_S = 30, 30.0
"""Messages at once, and messages a second after that: below the 50 a second at which servers hang up."""
_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


class BadServerUrl(HushroomError):
    """That is no address of a server."""


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Where a server is: what to show of it, and its WebSocket's address."""

    origin: str
    host: str
    websocket: str

    @classmethod
    def parse(cls, url: str) -> "ServerAddress":
        """From an address like `http://127.0.0.1:8080`, with a path where a proxy wants one. Raises BadServerUrl."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
            # A secret in an address would end up in logs and histories.
            if host is None or parts.scheme not in _SCHEMES or parts.username or parts.query or parts.fragment:
                raise ValueError
        except ValueError:
            raise BadServerUrl(
                "the server's address must be like http://127.0.0.1:8080 or https://meet.example"
            ) from None
        name = f"[{host}]" if ":" in host else host
        authority = name if port is None else f"{name}:{port}"
        path = parts.path.rstrip("/")
        return cls(f"{parts.scheme}://{authority}", host, f"{_SCHEMES[parts.scheme]}://{authority}{path}/signal")


class SignalSocket:
    """One WebSocket, from its opening to its end. `send` and `close` never block."""

    def __init__(self, server: ServerAddress, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._server = server
        self._clock = clock
        self._outgoing: deque[ClientMessage | None] = deque()
        self._changed = asyncio.Event()
        self.messages_unreadable = 0

    def send(self, message: ClientMessage) -> None:
        """Sends a message after those before it."""
        self._outgoing.append(message)
        self._changed.set()

    def close(self) -> None:
        """Closes once everything is sent; at most a second later."""
        self._outgoing.append(None)
        self._changed.set()

    async def run(self, on_open: Callable[[], None], on_message: Callable[[ServerMessage], None]) -> str:
        """Opens it and hands over what comes; returns, in words, why it ended."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_OPEN_LIMIT_S)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            try:
                async with asyncio.timeout(_OPEN_LIMIT_S):
                    websocket = await http.ws_connect(
                        self._server.websocket,
                        heartbeat=_HEARTBEAT_S,
                        compress=0,
                        max_msg_size=4 * MAX_SERVER_TEXT,  # bytes, of which a character has up to four
                        timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_LIMIT_S),
                    )
            except TimeoutError:
                return f"no answer from {self._server.origin} within {_OPEN_LIMIT_S:g} s"
            except aiohttp.WSServerHandshakeError as error:
                return f"{self._server.origin} answers, but not as a hushroom server (HTTP {error.status})"
            except (aiohttp.ClientError, OSError) as error:
                return f"no server at {self._server.origin}: {_in_words(error)}"
            on_open()
            return await self._serve(websocket, on_message)

    async def _serve(
        self, websocket: aiohttp.ClientWebSocketResponse, on_message: Callable[[ServerMessage], None]
    ) -> str:
        try:
            async with asyncio.TaskGroup() as tasks:
                writer = tasks.create_task(self._write(websocket), name="signal writer")
                async for message in websocket:
                    if message.type is aiohttp.WSMsgType.TEXT:
                        self._read(message.data, on_message)
                writer.cancel()
        finally:
            await websocket.close()
        return "the server is gone"

    def _read(self, text: str, on_message: Callable[[ServerMessage], None]) -> None:
        try:
            message = decode_server(text)
        except WireError as error:
            self.messages_unreadable += 1  # a newer server may say more than we know
            log.debug("a message of the server was not understood", extra={"error": str(error)})
        else:
            on_message(message)

    async def _write(self, websocket: aiohttp.ClientWebSocketResponse) -> None:
        allowance, at = float(_BURST), self._clock()
        try:
            while True:
                while not self._outgoing:
                    self._changed.clear()
                    await self._changed.wait()
                message = self._outgoing.popleft()
                if message is None:
                    break
                now = self._clock()
                allowance, at = min(_BURST, allowance + (now - at) * _PER_S), now
                if allowance < 1:
                    await asyncio.sleep((1 - allowance) / _PER_S)
                allowance -= 1
                await websocket.send_str(encode(message))
        except ConnectionError:
            pass  # the reader notices as well
        await websocket.close()


def _in_words(error: Exception) -> str:
    cause = getattr(error, "os_error", error)
    if isinstance(cause, ConnectionRefusedError):
        return "nothing listens there; is hushroom-sfu running?"
    return getattr(cause, "strerror", None) or type(cause).__name__
