"""The WebSocket of signaling on a real server: coming in, limits, hostile clients, resuming, the end."""

import asyncio
import os
import time
from contextlib import AsyncExitStack, suppress

import aiohttp
import pytest

from hushroom_common.ids import Identity, RoomId
from hushroom_common.signaling import (
    CloseCode,
    Closed,
    Join,
    Joined,
    KeyStep,
    KeyStepHint,
    Leave,
    LeaveReason,
    ParticipantJoined,
    ParticipantLeft,
    RenewToken,
    Resume,
    TokenRenewed,
    encode,
)
from hushroom_sfu.conversation.actions import RoomEventKind
from hushroom_sfu.conversation.limits import Limits
from hushroom_sfu.conversation.switchboard import Counts
from hushroom_sfu.start_error import StartError
from hushroom_sfu.web.close_codes import WEBSOCKET_CODES
from hushroom_sfu.web.signal_socket import CLOSE_LIMIT_S, MAX_QUEUED_MESSAGES
from hushroom_sfu.web.tokens import mint
from tests.plane.peers import eventually
from tests.support.caller import DEADLINE_S, Caller, calling, joining
from tests.support.server import SECRET, metric, running_server


def token(room: str = "standup", identity: str = "ada", *, expires_in_s: float = 60, may_publish: bool = True) -> str:
    return mint(
        SECRET,
        room=RoomId(room),
        identity=Identity(identity),
        expires_at_unix=time.time() + expires_in_s,
        may_publish=may_publish,
    )


async def expect_end(caller: Caller, code: CloseCode) -> Closed:
    """The server's last word has that code, and so does the WebSocket's close frame."""
    closed = await caller.hear_end()
    assert closed is not None
    assert closed.code is code
    assert (caller.close_code, caller.close_reason) == (WEBSOCKET_CODES[code], code)
    return closed


# --- coming in --------------------------------------------------------------------------------------------------


async def test_two_people_meet_in_an_open_room() -> None:
    async with running_server() as server, joining(server, "ada") as (ada, _), joining(server, "bo") as (bo, joined):
        assert [one.identity for one in joined.participants] == ["ada"]
        assert (await ada.hear(ParticipantJoined)).info.identity == "bo"
        await bo.say(Leave())
        assert (await ada.hear(ParticipantLeft)).reason is LeaveReason.LEFT
        assert await bo.hear_end() is None
        assert bo.close_code == 1000


async def test_a_token_opens_the_door_and_says_when_it_ends() -> None:
    async with running_server(secret=SECRET) as server, calling(server) as ada:
        joined = await ada.join(token=token(may_publish=False))
        assert joined.token_expires_in_s is not None
        assert 50 < joined.token_expires_in_s <= 65
        assert (joined.may_publish, joined.may_subscribe) == (False, True)


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (None, CloseCode.BAD_TOKEN),
        ("gibberish", CloseCode.BAD_TOKEN),
        (token(room="another"), CloseCode.BAD_TOKEN),
        (token(identity="bo"), CloseCode.BAD_TOKEN),
        (token(expires_in_s=-60), CloseCode.TOKEN_EXPIRED),
    ],
)
async def test_a_bad_token_is_refused_with_a_code(bad: str | None, code: CloseCode) -> None:
    async with running_server(secret=SECRET) as server, calling(server) as ada:
        await ada.say(Join(RoomId("standup"), Identity("ada"), bad))
        closed = await expect_end(ada, code)
        assert bad is None or bad not in closed.message


async def test_a_token_in_the_url_is_not_looked_at() -> None:
    async with running_server(secret=SECRET) as server, calling(server, path=f"/signal?token={token()}") as ada:
        await ada.say(Join(RoomId("standup"), Identity("ada")))
        await expect_end(ada, CloseCode.BAD_TOKEN)


async def test_a_session_ends_with_its_token_unless_that_is_renewed() -> None:
    async with running_server(secret=SECRET) as server:
        async with joining(server, token=token(expires_in_s=-3)) as (ada, _):  # the leeway leaves it 1 to 2 s
            await expect_end(ada, CloseCode.TOKEN_EXPIRED)
        async with joining(server, token=token(expires_in_s=-3)) as (ada, _):
            await ada.say(RenewToken(token(expires_in_s=60)))
            assert (await ada.hear(TokenRenewed)).token_expires_in_s > 50


async def test_the_newer_join_of_an_identity_replaces_the_older() -> None:
    async with running_server() as server, joining(server) as (old, _), joining(server) as (_, joined):
        await expect_end(old, CloseCode.JOINED_ELSEWHERE)
        assert joined.participants == ()
        assert server.control.counts.participants == 1


async def test_another_version_of_the_protocol_is_refused() -> None:
    async with running_server() as server, calling(server) as ada:
        await ada.say(Join(RoomId("standup"), Identity("ada"), version=2))
        await expect_end(ada, CloseCode.UNSUPPORTED_VERSION)


# --- resuming ---------------------------------------------------------------------------------------------------


async def test_a_lost_websocket_is_resumed_by_its_token_and_nobody_is_told() -> None:
    async with running_server() as server, joining(server, "bo") as (bo, _), AsyncExitStack() as stack:
        ada, joined = await stack.enter_async_context(joining(server, "ada"))
        ada.vanish()
        await eventually(lambda: server.control.counts.connections == 1)
        again = await stack.enter_async_context(calling(server))
        resumed = await again.resume(joined.resume_token)
        assert resumed.resume_token != joined.resume_token
        await again.say(KeyStep(3, 4))
        await bo.hear(KeyStepHint)
        assert [type(message) for message in bo.heard[1:]] == [ParticipantJoined, KeyStepHint]


async def test_a_resume_token_is_good_once_and_for_a_while() -> None:
    limits = Limits(resume_window_s=0.3)
    async with running_server(limits=limits) as server, joining(server, "bo") as (bo, _), AsyncExitStack() as stack:
        ada, joined = await stack.enter_async_context(joining(server, "ada"))
        again = await stack.enter_async_context(calling(server))
        resumed = await again.resume(joined.resume_token)
        await expect_end(ada, CloseCode.JOINED_ELSEWHERE)
        third = await stack.enter_async_context(calling(server))
        await third.say(Resume(joined.resume_token))
        await expect_end(third, CloseCode.NOT_RESUMABLE)
        again.vanish()
        assert (await bo.hear(ParticipantLeft)).reason is LeaveReason.CONNECTION_LOST
        late = await stack.enter_async_context(calling(server))
        await late.say(Resume(resumed.resume_token))
        await expect_end(late, CloseCode.NOT_RESUMABLE)


# --- limits: reached exactly, never passed ------------------------------------------------------------------------


async def test_a_room_is_full_at_its_limit() -> None:
    limits = Limits(participants_per_room=2)
    async with running_server(limits=limits) as server, joining(server, "ada"), joining(server, "bo"):
        async with calling(server) as cy:
            await cy.say(Join(RoomId("standup"), Identity("cy")))
            closed = await expect_end(cy, CloseCode.ROOM_FULL)
            assert "at most 2" in closed.message
        async with joining(server, "ada"):  # who is in may come again
            pass


async def test_a_message_of_the_longest_size_is_heard_and_one_byte_more_is_too_big() -> None:
    def padded(size: int) -> str:
        text = encode(KeyStep(1, 2))
        return text + " " * (size - len(text))

    async with running_server() as server, joining(server, "bo") as (bo, _), joining(server, "ada") as (ada, _):
        await ada.websocket.send_str(padded(65_536))
        assert (await bo.hear(KeyStepHint)).step == 2
        await ada.websocket.send_str(padded(65_537))
        await expect_end(ada, CloseCode.MESSAGE_TOO_BIG)
    async with running_server() as server, joining(server) as (ada, _):
        await ada.websocket.send_str(padded(1_000_000))  # its header alone is reason enough to hang up
        assert await ada.hear_end() is None
        assert ada.close_code == 1009


async def test_so_many_messages_a_second_are_heard_and_a_flood_is_not() -> None:
    limits = Limits(messages_per_s=20)
    async with running_server(limits=limits) as server, joining(server, "bo") as (bo, _), calling(server) as ada:
        await ada.join()
        for step in range(19):  # the join was the first
            await ada.say(KeyStep(0, step))
        while (await bo.hear(KeyStepHint)).step < 18:
            pass
        with suppress(ConnectionError):
            for step in range(100):
                await ada.say(KeyStep(0, step))
        await expect_end(ada, CloseCode.RATE_LIMITED)


async def test_so_many_sockets_may_wait_unjoined_and_one_more_is_one_too_many() -> None:
    async with running_server(limits=Limits(unjoined_connections=3)) as server, AsyncExitStack() as stack:
        waiting = [await stack.enter_async_context(calling(server)) for _ in range(3)]
        surplus = await stack.enter_async_context(calling(server))
        await expect_end(surplus, CloseCode.SERVER_BUSY)
        await waiting[0].join()
        await (await stack.enter_async_context(calling(server))).join(identity="bo")


async def test_who_says_nothing_is_closed_at_the_limit() -> None:
    async with running_server(limits=Limits(join_timeout_s=0.2)) as server, calling(server) as ada:
        began = time.monotonic()
        closed = await expect_end(ada, CloseCode.PROTOCOL_ERROR)
        assert time.monotonic() - began >= 0.19
        assert "within 0.2 s" in closed.message


async def test_a_tcp_connection_that_becomes_nothing_is_closed() -> None:
    async with running_server(max_idle_s=0.5) as server, joining(server) as (ada, _):
        _, host_and_port = server.url.split("//")
        host, _, port = host_and_port.partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /signal HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
        with suppress(ConnectionResetError):
            async with asyncio.timeout(5):
                assert await reader.read() == b""
        writer.close()
        await ada.say(Leave())  # who has joined is left alone
        assert await ada.hear_end() is None


# --- hostile clients ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"type":"admin"}', '{"type":"join"}', '{"type":"leave","type":"leave"}', "[" * 60_000],
)
async def test_what_is_no_message_ends_the_conversation(text: str) -> None:
    async with running_server() as server, calling(server) as ada:
        await ada.websocket.send_str(text)
        await expect_end(ada, CloseCode.PROTOCOL_ERROR)


async def test_binary_frames_and_broken_utf8_end_the_conversation() -> None:
    async with running_server() as server:
        async with calling(server) as ada:
            await ada.websocket.send_bytes(encode(Leave()).encode())
            await expect_end(ada, CloseCode.PROTOCOL_ERROR)
        async with calling(server) as ada:
            await ada.websocket.send_frame(b'{"type":"\xff"}', aiohttp.WSMsgType.TEXT)
            assert "UTF-8" in (await expect_end(ada, CloseCode.PROTOCOL_ERROR)).message


async def test_a_flood_of_pings_ends_the_conversation() -> None:
    async with running_server() as server, joining(server) as (ada, _):
        for _ in range(50):
            await ada.websocket.ping()
        await expect_end(ada, CloseCode.RATE_LIMITED)


async def test_a_flood_of_pongs_ends_the_conversation_as_well() -> None:
    async with running_server() as server, joining(server) as (ada, _):
        for _ in range(50):
            await ada.websocket.pong()
        await expect_end(ada, CloseCode.RATE_LIMITED)


async def test_who_goes_on_talking_after_the_end_is_cut_off_at_once() -> None:
    """What came before the end was read is passed over, but not for as long as somebody likes to send."""
    async with running_server() as server, calling(server) as ada:
        connection = ada.websocket._response.connection
        assert connection is not None
        transport = connection.transport
        assert isinstance(transport, asyncio.Transport)
        empty_texts = bytes([0x81, 0x80, 0, 0, 0, 0]) * 10_000
        began = time.monotonic()
        async with asyncio.timeout(DEADLINE_S):
            while not transport.is_closing():
                transport.write(empty_texts)
                await asyncio.sleep(0)
        assert time.monotonic() - began < CLOSE_LIMIT_S / 2


async def test_a_message_in_fragments_is_one_message_and_endless_ones_are_cut_off() -> None:
    async with running_server() as server, calling(server) as ada:
        text = encode(Join(RoomId("standup"), Identity("ada"))).encode()
        connection = ada.websocket._response.connection
        assert connection is not None
        assert connection.transport is not None
        write = connection.transport.write
        for number, byte in enumerate(text):
            fin, opcode = number == len(text) - 1, 1 if number == 0 else 0  # RFC 6455 §5.4
            write(bytes([0x80 * fin | opcode, 0x81, 0, 0, 0, 0, byte]))
        await ada.hear(Joined)
        write(bytes([0x01, 0x81, 0, 0, 0, 0, 0x20]))
        for _ in range(200):
            write(bytes([0x00, 0xFE, 0x04, 0x00, 0, 0, 0, 0]) + b" " * 1024)
        assert await ada.hear_end() is None
        assert ada.close_code == 1009


async def test_who_does_not_read_is_cut_off_and_may_resume() -> None:
    """A reader that stops reading costs a bounded queue, then its WebSocket; never the others' time."""
    limits = Limits(messages_per_s=1_000_000)
    async with running_server(limits=limits) as server, joining(server, "ada") as (ada, _), AsyncExitStack() as stack:
        bo, joined = await stack.enter_async_context(joining(server, "bo"))
        connection = bo.websocket._response.connection
        assert connection is not None
        assert isinstance(connection.transport, asyncio.Transport)
        connection.transport.pause_reading()
        said = 0
        async with asyncio.timeout(30):
            while server.control.counts.connections == 2:
                for _ in range(MAX_QUEUED_MESSAGES):
                    said += 1
                    await ada.say(KeyStep(0, said))
                await asyncio.sleep(0)
        await eventually(lambda: metric(server, "hushroom_slow_readers_total") == 1)
        again = await stack.enter_async_context(calling(server))
        await again.resume(joined.resume_token)
        assert (await again.hear(KeyStepHint)).participant
        assert server.control.counts.participants == 2


async def test_who_answers_no_ping_is_gone_and_who_does_stays() -> None:
    limits = Limits(resume_window_s=0.5)
    async with (
        running_server(heartbeat_s=0.2, limits=limits) as server,
        joining(server, "bo") as (bo, _),
        aiohttp.ClientSession() as session,
        session.ws_connect(server.url + "/signal", autoping=False) as websocket,
    ):
        await Caller(websocket).join()
        assert (await bo.hear(ParticipantLeft)).reason is LeaveReason.CONNECTION_LOST
        assert server.control.counts.connections == 1


async def test_a_mistake_of_ours_costs_nobody_else_anything() -> None:
    def mistake(event: object) -> None:
        raise RuntimeError("a mistake")

    async with running_server(failures=1) as server, joining(server, "bo") as (bo, _):
        server.events.once(RoomEventKind.PARTICIPANT_JOINED, mistake)
        async with joining(server, "ada") as (ada, _):
            assert metric(server, "hushroom_internal_errors_total") == 1
            await ada.say(KeyStep(1, 2))
            assert (await bo.hear(KeyStepHint)).step == 2


# --- pages and paths ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "is_let_in"),
    [
        ({}, True),
        ({"Origin": "http://127.0.0.1:8080"}, True),
        ({"Origin": "http://localhost:3000"}, True),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "http://[broken"}, False),
        ({"Origin": "http://evil.example", "Host": "evil.example"}, False),
        ({"Host": "evil.example"}, False),
    ],
)
async def test_an_open_server_is_for_pages_of_this_machine(headers: dict[str, str], *, is_let_in: bool) -> None:
    async with running_server() as server, aiohttp.ClientSession() as session:
        if is_let_in:
            async with session.ws_connect(server.url + "/signal", headers=headers) as websocket:
                await Caller(websocket).join()
        else:
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await session.ws_connect(server.url + "/signal", headers=headers)
            assert caught.value.status == 403


async def test_where_tokens_decide_pages_from_anywhere_may_come() -> None:
    async with running_server(secret=SECRET) as server, aiohttp.ClientSession() as session:
        headers = {"Origin": "https://meet.example"}
        async with session.ws_connect(server.url + "/signal", headers=headers) as websocket:
            await Caller(websocket).join(token=token())


async def test_plain_http_and_unknown_paths_get_a_status() -> None:
    async with running_server() as server, aiohttp.ClientSession() as session:
        for path, status in (("/signal", 426), ("/nothing", 404), ("/signal/../etc", 404)):
            async with session.get(server.url + path) as response:
                assert response.status == status


# --- the end ------------------------------------------------------------------------------------------------------


async def test_draining_tells_everybody_lets_nobody_in_and_says_so() -> None:
    async with running_server() as server, AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        ada, joined = await stack.enter_async_context(joining(server))
        stubborn = await stack.enter_async_context(calling(server))  # reads nothing, so it stays for a while
        draining = asyncio.create_task(server.drain())
        await expect_end(ada, CloseCode.SERVER_DRAINING)
        async with session.get(server.url + "/health") as response:
            assert (response.status, await response.json()) == (503, {"status": "draining"})
        late = await stack.enter_async_context(calling(server))
        await late.say(Join(RoomId("standup"), Identity("bo")))
        await expect_end(late, CloseCode.SERVER_DRAINING)
        resuming = await stack.enter_async_context(calling(server))
        await resuming.say(Resume(joined.resume_token))
        await expect_end(resuming, CloseCode.NOT_RESUMABLE)
        began = time.monotonic()
        await draining
        assert time.monotonic() - began < 4
        await expect_end(stubborn, CloseCode.SERVER_DRAINING)


async def test_a_hundred_comings_and_goings_leave_nothing_behind() -> None:
    async with running_server() as server:
        left_behind = []
        for _ in range(5):
            async with AsyncExitStack() as stack:
                for number in range(20):
                    caller, _ = await stack.enter_async_context(joining(server, f"guest {number}"))
                    if number % 2:
                        await caller.say(Leave())
            await eventually(lambda: metric(server, "hushroom_websockets") == 0)
            await eventually(lambda: len(asyncio.all_tasks()) <= 3)
            left_behind.append(len(os.listdir("/proc/self/fd")))
        assert left_behind[-1] <= left_behind[0]
        assert metric(server, "hushroom_participants") == 10  # of the last round, who may still resume
        server.control.shut_down()
        assert server.control.counts == Counts(0, 0, 0, 0, 0, 0)


async def test_two_servers_do_not_share_a_port() -> None:
    async with running_server() as server:
        port = int(server.url.rpartition(":")[2])
        with pytest.raises(StartError, match=f"TCP port {port} of 127.0.0.1 is in use"):
            async with running_server(port=port):
                pass
        with pytest.raises(StartError, match=f"UDP port {server.udp_port} of 127.0.0.1 is in use"):
            async with running_server(udp_port=server.udp_port):
                pass


def test_every_close_code_has_a_number_of_its_own() -> None:
    assert set(WEBSOCKET_CODES) == set(CloseCode)
    assert len(set(WEBSOCKET_CODES.values())) == len(CloseCode)
    assert all(4000 <= number <= 4999 for number in WEBSOCKET_CODES.values())
