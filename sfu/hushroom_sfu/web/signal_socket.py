"""One client's WebSocket: a bounded way out, a guarded way in, and an end that comes in time whatever the client does.

What is said is the conversation's affair; here are frames. RFC 6455 is the protocol, aiohttp speaks it.
"""

import asyncio
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from aiohttp import WSMsgType, web

from hushroom_common.signaling import MAX_SERVER_TEXT, CloseCode, Closed, encode
from hushroom_sfu.core.token_bucket import TokenBucket
from hushroom_sfu.web.close_codes import INTERNAL_ERROR, NORMAL_CLOSURE, WEBSOCKET_CODES

__all__ = ["MAX_QUEUED_CHARS", "MAX_QUEUED_MESSAGES", "Listener", "SignalSocket"]

CLOSE_LIMIT_S = 2.0
"""How long a client may take to read the last message and close its end."""

MAX_QUEUED_MESSAGES = 512
MAX_QUEUED_CHARS = 2 * MAX_SERVER_TEXT
"""What may wait for a client that reads slowly. One that falls further behind is cut off and may resume."""

_MAX_PINGS_PER_S = 10
"""Pings and pongs of a client, together."""

_MAX_PASSED_OVER = 1000
"""Frames of a client that are looked at after its WebSocket was closed from here."""


class Listener(Protocol):
    """Who hears what a client says."""

    def heard(self, text: bytes) -> None:
        """A text message, not known to be UTF-8."""

    def misspoke(self, code: CloseCode, message: str) -> None:
        """Something that is no message."""

    def gone(self) -> None:
        """The WebSocket is closed, however that came."""


class SignalSocket:
    """`send` and `close` never block; `serve` runs until the WebSocket is gone."""

    def __init__(
        self, request: web.Request, *, max_message_bytes: int, heartbeat_s: float, clock: Callable[[], float]
    ) -> None:
        self._request = request
        self._max_message_bytes = max_message_bytes
        self._clock = clock
        # aiohttp hangs up on messages of its limit without a word, so that limit lies above the one that we explain.
        self._websocket = web.WebSocketResponse(
            heartbeat=heartbeat_s,
            autoping=False,
            autoclose=False,
            compress=False,  # no bombs to unpack, and nothing to guess from sizes of compressed secrets
            max_msg_size=2 * max_message_bytes,
            decode_text=False,
        )
        self._outgoing: asyncio.Queue[str | None] = asyncio.Queue()
        self._queued_chars = 0
        self._closing: tuple[int, str] | None = None
        self._end: asyncio.Timeout | None = None
        self.was_too_slow = False

    @property
    def is_closing(self) -> bool:
        """Whether nothing that the client says counts any more."""
        return self._closing is not None

    def send(self, text: str) -> None:
        """Send a message after those before it. A client that does not keep up is cut off."""
        if self.is_closing or self.was_too_slow:
            return
        if self._outgoing.qsize() >= MAX_QUEUED_MESSAGES or self._queued_chars + len(text) > MAX_QUEUED_CHARS:
            self.was_too_slow = True
            self._end_in(0)
            return
        self._queued_chars += len(text)
        self._outgoing.put_nowait(text)

    def close(self, closed: Closed | None) -> None:
        """Send `closed`, if there is anything to say, and close."""
        if closed is None:
            self._close(NORMAL_CLOSURE, "")
        else:
            self.send(encode(closed))
            self._close(WEBSOCKET_CODES[closed.code], closed.code)

    def close_after_failure(self) -> None:
        """Close because of a mistake of ours."""
        self._close(INTERNAL_ERROR, "")

    async def serve(self, listener: Callable[["SignalSocket"], Listener]) -> web.WebSocketResponse:
        """Take the WebSocket up and serve it until it is gone. `listener` is made once it is open."""
        await self._websocket.prepare(self._request)
        transport = self._request.transport
        hears = listener(self)
        is_clean = False
        try:
            async with asyncio.timeout(0 if self.was_too_slow else None) as self._end:
                if self.is_closing:
                    self._end_in(CLOSE_LIMIT_S)
                async with asyncio.TaskGroup() as tasks:
                    writer = tasks.create_task(self._write(), name="signal writer")
                    has_ended = await self._read(hears)
                    writer.cancel()
                if not self.is_closing:
                    self._end_in(CLOSE_LIMIT_S)
                    await self._websocket.close(drain=False)  # the client closed first: say so too
            is_clean = has_ended
        except TimeoutError:
            pass
        finally:
            self._end = None
            hears.gone()
            if transport is not None:
                if is_clean:
                    transport.close()
                else:
                    transport.abort()  # or what it never reads stays in memory
        return self._websocket

    # --- inside -----------------------------------------------------------------------------------------------------

    def _close(self, code: int, reason: str) -> None:
        if not self.is_closing and not self.was_too_slow:
            self._closing = (code, reason)
            self._outgoing.put_nowait(None)
            self._end_in(CLOSE_LIMIT_S)

    def _end_in(self, seconds: float) -> None:
        if self._end is not None and not self._end.expired():
            self._end.reschedule(asyncio.get_running_loop().time() + seconds)

    async def _write(self) -> None:
        try:
            while (text := await self._outgoing.get()) is not None:
                self._queued_chars -= len(text)
                await self._websocket.send_str(text)
            assert self._closing is not None
            code, reason = self._closing
            await self._websocket.send_frame(struct.pack("!H", code) + reason.encode(), WSMsgType.CLOSE)
        except ConnectionError:
            pass  # the reader notices as well

    async def _read(self, hears: Listener) -> bool:
        """Until the client closes or is gone: True. False when it goes on and on talking after we closed.

        What it says then is passed over, for its end would stay stuck behind it; but only so much of it, for a flood of
        empty frames would keep the event loop busy.
        """
        control = TokenBucket(_MAX_PINGS_PER_S, _MAX_PINGS_PER_S, self._clock())
        passed_over = 0
        while passed_over < _MAX_PASSED_OVER:
            message = await self._websocket.receive()
            if message.type in _GONE:
                return True
            if self.is_closing:
                if passed_over == 0:
                    await asyncio.sleep(0)  # `receive` does not wait while frames are there: now the last word goes out
                passed_over += 1
            elif message.type is WSMsgType.TEXT:
                self._judge(hears, message.data)
            elif message.type is WSMsgType.BINARY:
                hears.misspoke(CloseCode.PROTOCOL_ERROR, "messages are text, not binary")
            elif not control.take(self._clock()):
                hears.misspoke(CloseCode.RATE_LIMITED, f"at most {_MAX_PINGS_PER_S} pings or pongs a second")
            elif message.type is WSMsgType.PING:
                with suppress(ConnectionError):
                    await self._websocket.pong(message.data)
        return False

    def _judge(self, hears: Listener, text: bytes) -> None:
        if len(text) > self._max_message_bytes:
            hears.misspoke(CloseCode.MESSAGE_TOO_BIG, f"a message has at most {self._max_message_bytes} bytes")
        else:
            hears.heard(text)


_GONE = (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR)
