"""A hostile participant in a real meeting: the others' call goes on, the server lives and does not grow."""

import gc
import random
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from hushroom_client import RejectReason
from hushroom_client.events import ParticipantJoined, ParticipantLeft
from hushroom_client.media.feed import Feed
from hushroom_client.media.publisher import PublisherConnection
from hushroom_common.ids import Codec, LegRole, PublicationId, Source
from hushroom_common.signaling import CloseCode, Offer, OfferedTrack
from hushroom_sfu.server import Server
from tests.client.media.fake_source import FakeSource
from tests.meeting.guests import Guest, View, attending, picture_of
from tests.meeting.hostile import flood, hostile_datagrams, hostile_peer, hostile_rtcp, hostile_rtp
from tests.plane.peers import eventually
from tests.support.caller import joining
from tests.support.server import metric, running_server

BURST = 50


class Call:
    """Ada shows herself to Bo."""

    def __init__(self, server: Server, bo: Guest, view: View) -> None:
        self.server = server
        self.bo = bo
        self.view = view

    async def goes_on(self) -> None:
        """Pictures keep coming, none was frozen for a second, and the server made no mistake."""
        await self.view.shows(10)
        assert max(self.view.gaps_s()) <= 1.0
        assert set(self.view.track.rejected) <= {RejectReason.MISSING_KEY}
        assert metric(self.server, "hushroom_internal_errors_total") == 0
        assert metric(self.server, "hushroom_dropped_datagrams_total", "internal_error") == 0


async def a_call(stack: AsyncExitStack) -> Call:
    server = await stack.enter_async_context(running_server())
    ada = await stack.enter_async_context(attending(server.url, "ada"))
    bo = await stack.enter_async_context(attending(server.url, "bo"))
    await ada.room.publish(picture_of("ada"))
    return Call(server, bo, await bo.sees("ada"))


def resident_bytes() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


async def test_garbage_in_protected_packets_costs_the_others_nothing() -> None:
    async with AsyncExitStack() as stack:
        call = await a_call(stack)
        mallory = await stack.enter_async_context(hostile_peer(call.server))
        packets = [*hostile_rtp(mallory.ssrc, 3000), *hostile_rtcp(mallory.ssrc, 1500)]
        random.Random(4).shuffle(packets)
        before = 0
        for at in range(0, len(packets), BURST):
            for packet in packets[at : at + BURST]:
                await mallory.protects_and_sends(packet)
            if at == len(packets) // BURST // 4 * BURST:
                before = resident_bytes()
            await call.view.shows(1)
        assert resident_bytes() - before < 10_000_000
        assert mallory.packets_sent > 2000
        assert metric(call.server, "hushroom_dropped_packets_total") > 200, "they did come in, and were counted"
        await call.goes_on()
        assert mallory.connection.state == "connected", "a malformed packet costs a counter, never a transport"


async def test_a_flood_of_strangers_at_the_port_is_dropped_and_counted() -> None:
    async with AsyncExitStack() as stack:
        call = await a_call(stack)
        dropped = metric(call.server, "hushroom_dropped_datagrams_total")
        for seed in range(20):
            flood(call.server.udp_port, hostile_datagrams(100, seed=seed))
            await call.view.shows(1)
        await call.goes_on()
        assert metric(call.server, "hushroom_dropped_datagrams_total") - dropped > 1500
        assert metric(call.server, "hushroom_legs") == 2


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", CloseCode.PROTOCOL_ERROR),
        ("[" * 30_000, CloseCode.PROTOCOL_ERROR),
        ('{"type": "offer", "leg": "publisher", "number": 1e400, "sdp": 5}', CloseCode.PROTOCOL_ERROR),
        ('{"type": "answer", "leg": "subscriber", "number": 7, "sdp": ""}', CloseCode.PROTOCOL_ERROR),
        ("x" * 65_537, CloseCode.MESSAGE_TOO_BIG),
    ],
    ids=["half", "deep", "wild", "out of turn", "big"],
)
async def test_what_is_no_message_ends_its_sender_alone(text: str, code: CloseCode) -> None:
    async with AsyncExitStack() as stack:
        call = await a_call(stack)
        mallory = await stack.enter_async_context(hostile_peer(call.server))
        await call.bo.learns(ParticipantJoined)
        await mallory.caller.websocket.send_str(text)
        closed = await mallory.caller.hear_end()
        assert closed is not None
        assert closed.code is code
        left = await call.bo.learns(ParticipantLeft)
        assert left.participant.identity == "mallory"
        # Ada's connection for what she was shown of mallory stays.
        await eventually(lambda: metric(call.server, "hushroom_legs") == 3)
        await call.goes_on()


async def test_garbage_in_sdp_is_refused() -> None:
    async with AsyncExitStack() as stack:
        call = await a_call(stack)
        mallory, _ = await stack.enter_async_context(joining(call.server, "mallory"))
        good = await _an_offer()
        dice = random.Random(5)
        for number in range(1, 101):
            sdp = bytearray(good.encode())
            for _ in range(dice.randrange(1, 30)):
                at = dice.randrange(len(sdp))
                sdp[at : at + dice.randrange(4)] = bytes(
                    dice.choice(b"\r\n= :/09azAZ") for _ in range(dice.randrange(4))
                )
            await mallory.say(Offer(LegRole.PUBLISHER, number, sdp.decode(), tracks=()))
            if number % 20 == 0:
                await call.view.shows(10)
        await call.goes_on()
        assert metric(call.server, "hushroom_refusals_total", "protocol_error") > 50
        assert metric(call.server, "hushroom_participants") == 3, "who says what cannot be answered is only refused"
        # What one change more or less leaves readable opens a leg, each time instead of the one before.
        await eventually(lambda: metric(call.server, "hushroom_legs") <= 4)


async def test_a_flood_of_messages_ends_its_sender_alone() -> None:
    async with AsyncExitStack() as stack:
        call = await a_call(stack)
        mallory, _ = await stack.enter_async_context(joining(call.server, "mallory"))
        track = OfferedTrack("0", PublicationId("nothing"), Source.CAMERA, Codec.VP8, "lk1")
        for number in range(300):
            await mallory.say(Offer(LegRole.PUBLISHER, number, "v=0", (track,)))
        closed = await mallory.hear_end()
        assert closed is not None
        assert closed.code is CloseCode.RATE_LIMITED
        await call.goes_on()


async def _an_offer() -> str:
    connection = PublisherConnection(gather_loopback=True)
    connection.add_track(Feed(FakeSource(), lambda frame: frame.data))
    try:
        return await connection.create_offer()
    finally:
        await connection.close()
