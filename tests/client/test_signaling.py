"""Where a server is, as people write it; and a WebSocket whose other end is no server of ours."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from hushroom_client.errors import JoinFailed
from hushroom_client.signaling import BadServerUrl, ServerAddress, SignalSocket
from hushroom_client.tokens import identity_in
from hushroom_common.ids import ParticipantId
from hushroom_common.signaling import (
    KeyStep,
    KeyStepHint,
    Leave,
    ServerMessage,
    decode_client,
    encode,
)


@pytest.mark.parametrize(
    ("url", "origin", "websocket"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080", "ws://127.0.0.1:8080/signal"),
        ("https://meet.example/", "https://meet.example", "wss://meet.example/signal"),
        ("https://example.org/meet", "https://example.org", "wss://example.org/meet/signal"),
        ("http://[::1]:8080", "http://[::1]:8080", "ws://[::1]:8080/signal"),
        ("wss://meet.example", "wss://meet.example", "wss://meet.example/signal"),
    ],
)
def test_a_servers_address_leads_to_its_websocket(url: str, origin: str, websocket: str) -> None:
    address = ServerAddress.parse(url)
    assert (address.origin, address.websocket) == (origin, websocket)


@pytest.mark.parametrize(
    "url",
    ["", "meet.example", "ftp://meet.example", "http://", "http://a:99999", "http://u:secret@h", "http://h/?t=secret"],
)
def test_what_is_no_address_is_said_without_repeating_it(url: str) -> None:
    with pytest.raises(BadServerUrl, match="must be like") as error:
        ServerAddress.parse(url)
    assert "secret" not in str(error.value)


@given(st.text(max_size=80))
def test_any_text_is_an_address_or_none(url: str) -> None:
    with suppress(BadServerUrl):
        ServerAddress.parse(url)


@given(st.one_of(st.text(max_size=80), st.from_regex(r"[A-Za-z0-9_-]{0,9}\.[A-Za-z0-9_=-]{0,60}\.x", fullmatch=True)))
def test_any_text_is_a_token_with_a_bearer_or_none(token: str) -> None:
    with suppress(JoinFailed):
        assert isinstance(identity_in(token), str)


# --- what the other end may do --------------------------------------------------------------------------------------


@asynccontextmanager
async def other_end(serve: Callable[[web.WebSocketResponse], Awaitable[None]]) -> AsyncIterator[ServerAddress]:
    """An HTTP server whose /signal does as `serve` does."""

    async def signal(request: web.Request) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        await serve(websocket)
        return websocket

    app = web.Application()
    app.router.add_get("/signal", signal)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield ServerAddress.parse(f"http://127.0.0.1:{runner.addresses[0][1]}")
    finally:
        await runner.cleanup()


async def test_what_cannot_be_read_is_left_out_and_the_rest_is_heard() -> None:
    hint = KeyStepHint(ParticipantId("p"), 0, 1)

    async def babble(websocket: web.WebSocketResponse) -> None:
        for text in ("", "{", '{"type":"sing"}', '{"type":"key_step_hint","participant":"p","key_index":-1,"step":0}'):
            await websocket.send_str(text)
        await websocket.send_bytes(b"\x00\xff")
        await websocket.send_str(encode(hint))

    heard: list[ServerMessage] = []
    async with other_end(babble) as address:
        socket = SignalSocket(address)
        assert await socket.run(lambda: None, heard.append) == "the server is gone"
    assert heard == [hint]
    assert socket.messages_unreadable == 4


async def test_a_flood_of_ours_is_paced_below_what_servers_allow() -> None:
    times: list[float] = []

    async def listen(websocket: web.WebSocketResponse) -> None:
        async for message in websocket:
            assert isinstance(decode_client(message.data), KeyStep | Leave)
            times.append(asyncio.get_running_loop().time())

    async with other_end(listen) as address:
        socket = SignalSocket(address)
        for step in range(69):
            socket.send(KeyStep(0, step))
        socket.send(Leave())
        socket.close()
        await socket.run(lambda: None, lambda message: None)
    assert len(times) == 70
    for first in range(len(times)):
        in_a_second = [at for at in times[first:] if at - times[first] <= 1.0]
        assert len(in_a_second) <= 64  # a burst of 30 and 30 in the second after it, and what came late


async def test_an_end_that_never_says_a_word_is_left_within_a_second_or_two() -> None:
    done = asyncio.Event()

    async def sulk(websocket: web.WebSocketResponse) -> None:
        await done.wait()

    async with other_end(sulk) as address:
        socket = SignalSocket(address)
        async with asyncio.timeout(5):
            await socket.run(socket.close, lambda message: None)
        done.set()
