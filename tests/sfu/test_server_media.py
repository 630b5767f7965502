"""Media through a whole server on loopback: stock aiortc connections, signaling by hand, opaque payloads."""

import asyncio
import os
import re
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aioice.ice
import pytest
from aioice import stun
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from hushroom_common.ids import Codec, LegRole, PublicationId, Source
from hushroom_common.rtp import RtpPacket
from hushroom_common.signaling import (
    Answer,
    CloseCode,
    LegLost,
    Offer,
    OfferedTrack,
    Refused,
    TrackPublished,
    TrackUnpublished,
    Unpublish,
)
from hushroom_sfu.conversation.limits import Limits
from hushroom_sfu.plane.leg import LegLimits
from hushroom_sfu.server import Server
from tests.plane.peers import eventually
from tests.support.caller import DEADLINE_S, Caller, calling, joining
from tests.support.client_sdp import publisher_offer
from tests.support.server import metric, running_server

VP8_KEYFRAME_START = bytes([0x10, 0x00])  # RFC 7741 §4.2: S=1, PID=0; RFC 6386 §9.1: P=0


@pytest.fixture(autouse=True)
def loopback_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stock clients gather 127.0.0.1 only."""
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"] if use_ipv4 else [])


class Participant:
    """A caller with its two stock connections. Packets go in and come out as plain RTP."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.publisher = _connection()
        self.subscriber = _connection()
        self.received: list[RtpPacket] = []
        self._offers = 0
        self._number = 0

    async def publishes(self, *codecs: Codec) -> None:
        """Publish one track for each codec, named by it, and wait until media can flow."""
        for codec in codecs:
            self.publisher.addTransceiver(codec.kind, "sendonly")
        await self.publisher.setLocalDescription(await self.publisher.createOffer())
        sources = {Codec.OPUS: Source.MICROPHONE, Codec.VP8: Source.CAMERA}
        tracks = tuple(
            OfferedTrack(transceiver.mid or "", PublicationId(codec), sources[codec], codec, "lk1")
            for transceiver, codec in zip(self.publisher.getTransceivers(), codecs, strict=True)
        )
        self._offers += 1
        await self.caller.say(
            Offer(LegRole.PUBLISHER, self._offers, self.publisher.localDescription.sdp, tracks=tracks)
        )
        answer = await self.caller.hear(Answer)
        await self.publisher.setRemoteDescription(RTCSessionDescription(answer.sdp, "answer"))
        await eventually(lambda: self.publisher.connectionState == "connected")

    async def accepts(self) -> Offer:
        """Answer the server's next offer, and wait until media can flow."""
        offer = await self.caller.hear(Offer)
        await self.caller.say(Answer(LegRole.SUBSCRIBER, offer.number, await self.answers(offer)))
        await eventually(lambda: self.subscriber.connectionState == "connected")
        return offer

    async def answers(self, offer: Offer) -> str:
        """The SDP answer to an offer of the server."""
        await self.subscriber.setRemoteDescription(RTCSessionDescription(offer.sdp, "offer"))
        for transceiver in self.subscriber.getTransceivers():
            # No decoder threads: packets are tapped below.
            transceiver.receiver.receive = _nothing  # type: ignore[method-assign, assignment]  # stock aiortc, tapped
        await self.subscriber.setLocalDescription(await self.subscriber.createAnswer())
        transport = self.subscriber.getTransceivers()[0].receiver.transport
        transport._handle_rtp_data = self._tap  # type: ignore[method-assign]  # stock aiortc, tapped
        return self.subscriber.localDescription.sdp

    async def sends(self, codec: Codec, payload: bytes, *, marker: bool = True) -> None:
        """One packet of a published track."""
        transceiver = next(one for one in self.publisher.getTransceivers() if one.kind == codec.kind)
        payload_type = transceiver._codecs[0].payloadType
        assert payload_type is not None
        self._number += 1
        second_byte = marker << 7 | payload_type
        timestamp, ssrc = self._number * 3000, transceiver.sender._ssrc
        header = struct.pack("!BBHLL", 0x80, second_byte, self._number, timestamp, ssrc)
        await transceiver.sender.transport._send_rtp(header + payload)

    def payloads(self) -> list[bytes]:
        return [bytes(packet.payload) for packet in self.received]

    async def close(self) -> None:
        await self.publisher.close()
        await self.subscriber.close()

    async def _tap(self, data: bytes, arrival_time_ms: int) -> None:
        self.received.append(RtpPacket.parse(data))


def _connection() -> RTCPeerConnection:
    return RTCPeerConnection(RTCConfiguration(iceServers=[]))


async def _nothing(_parameters: object) -> None:
    pass


@asynccontextmanager
async def attending(server: Server, identity: str) -> AsyncIterator[Participant]:
    async with joining(server, identity) as (caller, _):
        participant = Participant(caller)
        try:
            yield participant
        finally:
            await participant.close()


async def keep_sending(publisher: Participant, receiver: Participant, codec: Codec, payload: bytes) -> None:
    """Send a packet again and again until one got through."""
    async with asyncio.timeout(DEADLINE_S):
        while payload not in receiver.payloads():
            await publisher.sends(codec, payload)
            await asyncio.sleep(0.02)


async def test_opaque_payloads_arrive_unchanged() -> None:
    async with running_server() as server, attending(server, "ada") as ada, attending(server, "bo") as bo:
        await ada.publishes(Codec.OPUS, Codec.VP8)
        assert (await bo.caller.hear(TrackPublished)).track.publication == "opus"
        await bo.accepts()
        sealed_sound, sealed_picture = os.urandom(80), VP8_KEYFRAME_START + os.urandom(900)
        await keep_sending(ada, bo, Codec.OPUS, sealed_sound)
        await keep_sending(ada, bo, Codec.VP8, sealed_picture)
        assert set(bo.payloads()) == {sealed_sound, sealed_picture}
        assert metric(server, "hushroom_legs") == 2
        assert metric(server, "hushroom_publications") == 2
        assert metric(server, "hushroom_history_bytes") >= len(sealed_sound) + len(sealed_picture)


async def test_media_flows_on_while_a_websocket_is_lost_and_resumed() -> None:
    async with running_server() as server, attending(server, "bo") as bo, calling(server) as first:
        joined = await first.join()
        ada = Participant(first)
        await ada.publishes(Codec.OPUS)
        await bo.accepts()
        first.vanish()
        await eventually(lambda: metric(server, "hushroom_websockets") == 1)
        await keep_sending(ada, bo, Codec.OPUS, b"said in between")
        async with calling(server) as second:
            await second.resume(joined.resume_token)
            await keep_sending(ada, bo, Codec.OPUS, b"said afterwards")
            ada.caller = second
            await second.say(Unpublish(PublicationId("opus")))
            await bo.caller.hear(TrackUnpublished)
            assert not any(isinstance(message, LegLost) for message in bo.caller.heard + first.heard + second.heard)
            assert metric(server, "hushroom_history_bytes") == 0
        await ada.close()


async def test_a_silent_publisher_leg_is_noticed_and_its_tracks_end() -> None:
    limits = LegLimits(silent_s=1.0)
    async with (
        running_server(leg_limits=limits) as server,
        attending(server, "ada") as ada,
        joining(server, "bo") as (bo, _),
    ):
        await ada.publishes(Codec.OPUS)
        await bo.hear(TrackPublished)
        transport = ada.publisher.getTransceivers()[0].sender.transport.transport
        for protocol in transport._connection._protocols:
            protocol.transport.abort()  # gone without a word
        assert (await ada.caller.hear(LegLost)).leg is LegRole.PUBLISHER
        await bo.hear(TrackUnpublished)
        assert metric(server, "hushroom_legs_lost_total", "silent") == 1
        assert metric(server, "hushroom_publications") == 0


async def test_who_leaves_takes_his_legs_along() -> None:
    async with running_server() as server, attending(server, "bo") as bo:
        async with attending(server, "ada") as ada:
            await ada.publishes(Codec.OPUS, Codec.VP8)
            await bo.accepts()
            await keep_sending(ada, bo, Codec.OPUS, b"hello")
            async with joining(server, "ada"):  # from elsewhere
                await eventually(lambda: ada.publisher.connectionState == "closed")
        await eventually(lambda: metric(server, "hushroom_legs") == 1)
        assert server.plane.forwarder.up_tracks() == ()


async def test_so_many_tracks_may_be_published_and_one_more_is_refused() -> None:
    async with running_server(limits=Limits(tracks_per_participant=2)) as server, attending(server, "ada") as ada:
        sources = (Source.MICROPHONE, Source.CAMERA, Source.SCREEN)
        for source in sources:
            ada.publisher.addTransceiver("audio" if source is Source.MICROPHONE else "video", "sendonly")
        await ada.publisher.setLocalDescription(await ada.publisher.createOffer())
        tracks = tuple(
            OfferedTrack(str(mid), PublicationId(source), source, Codec.VP8 if mid else Codec.OPUS, "lk1")
            for mid, source in enumerate(sources)
        )
        await ada.caller.say(Offer(LegRole.PUBLISHER, 1, ada.publisher.localDescription.sdp, tracks=tracks))
        refused = await ada.caller.hear(Refused)
        assert (refused.code, refused.publication) == (CloseCode.TOO_MANY_TRACKS, "screen")
        assert metric(server, "hushroom_publications") == 2


async def test_draining_ends_the_legs_too() -> None:
    async with running_server() as server, attending(server, "ada") as ada:
        await ada.publishes(Codec.OPUS)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.drain())
            tasks.create_task(ada.caller.hear_end())
        await eventually(lambda: ada.publisher.connectionState == "closed")


@pytest.mark.parametrize("sdp", ["v=0", "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n", "x" * 50_000])
async def test_an_offer_that_cannot_be_answered_is_refused_and_nothing_stays_open(sdp: str) -> None:
    async with running_server() as server, joining(server) as (ada, _):
        await ada.say(Offer(LegRole.PUBLISHER, 1, sdp))
        refused = await ada.hear(Refused)
        assert refused.regarding == "offer"
        await eventually(lambda: metric(server, "hushroom_legs") == 0)
        assert metric(server, "hushroom_refusals_total", "protocol_error") == 1


async def test_another_certificate_on_a_living_leg_ends_that_session_alone() -> None:
    async with running_server() as server, attending(server, "bo") as bo, attending(server, "ada") as ada:
        await ada.publishes(Codec.OPUS)
        await bo.accepts()
        async with attending(server, "cy") as cy:
            await cy.publishes(Codec.OPUS)
            offer = await bo.caller.hear(Offer)
            sdp = re.sub(r"(a=fingerprint:sha-\d+) \S+", r"\1 " + ":".join(["AD"] * 32), await bo.answers(offer))
            await bo.caller.say(Answer(LegRole.SUBSCRIBER, offer.number, sdp))
            closed = await bo.caller.hear_end()
            assert closed is not None
            assert closed.code is CloseCode.PROTOCOL_ERROR
            assert metric(server, "hushroom_participants") == 2


async def is_answered(server: Server, answer: Answer, their_ufrag: str) -> bool:
    """Whether a connectivity check with the credentials of that answer is."""
    ufrag, password = (re.findall(rf"a=ice-{name}:(\w+)", answer.sdp)[0] for name in ("ufrag", "pwd"))
    check = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    check.attributes["USERNAME"] = f"{ufrag}:{their_ufrag}"
    check.attributes["ICE-CONTROLLING"] = 1
    check.add_message_integrity(password.encode())
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.setblocking(False)
        udp.connect(("127.0.0.1", server.udp_port))
        refused = sum(server.plane.drops.values())
        await loop.sock_sendall(udp, bytes(check))
        reading = loop.create_task(loop.sock_recv(udp, 2048))
        try:
            await eventually(lambda: reading.done() or sum(server.plane.drops.values()) > refused)
            return reading.done()
        finally:
            reading.cancel()


async def test_an_ice_restart_ends_the_old_credentials_when_the_new_are_used() -> None:
    """RFC 8445 §9: both sides take new ones. Stock aiortc cannot restart, so this client has offers and checks only."""
    track = OfferedTrack("0", PublicationId("mic"), Source.MICROPHONE, Codec.OPUS, "lk1")
    async with running_server() as server, joining(server) as (ada, _):
        answers = []
        for number, ufrag in enumerate(("first", "second"), start=1):
            sdp = publisher_offer([track], ":".join(["AB"] * 32), ufrag)
            await ada.say(Offer(LegRole.PUBLISHER, number, sdp, (track,)))
            answers.append(await ada.hear(Answer))
        first, second = answers
        assert await is_answered(server, first, "first")
        assert await is_answered(server, second, "second")
        assert not await is_answered(server, first, "first")
        assert metric(server, "hushroom_legs") == 1
