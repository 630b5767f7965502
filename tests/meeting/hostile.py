"""A participant who says and sends what nobody should: by hand over a real WebSocket and a real, protected leg."""

import os
import random
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

import pylibsrtp

from hushroom_client.media import aiortc_seam
from hushroom_client.media.feed import Feed
from hushroom_client.media.publisher import PublisherConnection
from hushroom_common.ids import Codec, LegRole, PublicationId, Source
from hushroom_common.signaling import Answer, Offer, OfferedTrack
from hushroom_sfu.server import Server
from tests.client.media.fake_source import FakeSource
from tests.support.caller import Caller, joining

__all__ = ["Hostile", "hostile_datagrams", "hostile_peer", "hostile_rtcp", "hostile_rtp"]


class Hostile:
    """Joined, with a connected publisher leg that carries one VP8 track of nothing."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.connection = PublisherConnection(gather_loopback=True)
        self.packets_sent = 0
        self.ssrc = 0

    async def connect(self) -> None:
        """Publish properly, so that what comes next is let in as far as anybody's."""
        published = self.connection.add_track(Feed(FakeSource(), lambda frame: frame.data))
        sdp = await self.connection.create_offer()
        track = OfferedTrack(published.mid, PublicationId("nothing"), Source.CAMERA, Codec.VP8, "lk1")
        await self.caller.say(Offer(LegRole.PUBLISHER, 1, sdp, (track,)))
        await self.connection.accept_answer((await self.caller.hear(Answer)).sdp)
        await self.connection.wait_connected()
        self.ssrc = published._transceiver.sender._ssrc

    async def protects_and_sends(self, packet: bytes) -> None:
        """Anything that this end's own libsrtp takes for RTP or RTCP goes out, protected with our keys."""
        dtls = aiortc_seam.transport_of(self.connection._peer.connection)
        assert dtls is not None
        with suppress(pylibsrtp.Error):  # such as a number that went back too far
            await dtls._send_rtp(packet)
            self.packets_sent += 1


@asynccontextmanager
async def hostile_peer(server: Server, identity: str = "mallory") -> AsyncIterator[Hostile]:
    async with joining(server, identity) as (caller, _):
        hostile = Hostile(caller)
        try:
            await hostile.connect()
            yield hostile
        finally:
            await hostile.connection.close()


def hostile_rtp(ssrc: int, count: int, *, seed: int = 1) -> Iterator[bytes]:
    """RTP of a negotiated stream and of others: lying headers, extensions, paddings, descriptors, wild numbers."""
    dice = random.Random(seed)
    for _ in range(count):
        first = 0x80 | dice.choice((0x00, 0x10, 0x20, 0x30, 0x0F))
        number, timestamp = dice.choice((dice.getrandbits(16), 0, 65535)), dice.getrandbits(32)
        who = dice.choice((ssrc, ssrc, ssrc, dice.getrandbits(32), 0))
        header = struct.pack("!BBHII", first, dice.getrandbits(8), number, timestamp, who)
        if first & 0x0F:
            header += dice.randbytes(60)
        if first & 0x10:
            words = dice.randrange(4)
            header += struct.pack("!HH", dice.choice((0xBEDE, 0x1000, 0x1234)), words) + dice.randbytes(4 * words)
        payload = dice.choice((b"", b"\xff", b"\x90\x80", b"\x10\x00", b"\xf0\xff\xff")) + dice.randbytes(
            dice.choice((0, 1, 2, 50, 1150))
        )
        packet = header + payload
        if not 192 <= packet[1] <= 223:  # else it would go out as RTCP
            yield packet[:1300]


def hostile_rtcp(ssrc: int, count: int, *, seed: int = 2) -> Iterator[bytes]:
    """RTCP of every type with bodies that are cut, stretched or random, and feedback about everything at once."""
    dice = random.Random(seed)
    for _ in range(count):
        kind, about = dice.randrange(192, 224), dice.getrandbits(5)
        body = struct.pack("!II", dice.getrandbits(32), dice.choice((ssrc, dice.getrandbits(32))))
        body += dice.choice((b"", b"\0\0\xff\xff" * 250, dice.randbytes(4 * dice.randrange(60)), b"REMB" + b"\xff" * 8))
        length = dice.choice((len(body) // 4, 0, 0xFFFF, dice.getrandbits(16)))
        yield (struct.pack("!BBH", 0x80 | about, kind, length) + body)[:1300]


def hostile_datagrams(count: int, *, seed: int = 3) -> Iterator[bytes]:
    """What strangers send to the port: random bytes that begin like STUN, DTLS, RTP or nothing known."""
    dice = random.Random(seed)
    for _ in range(count):
        first = bytes([dice.choice((0, 1, 20, 22, 63, 128, 144, 191, 255))])
        yield dice.choice((b"", first, first + dice.randbytes(dice.choice((19, 40, 1200))), os.urandom(1400)))


def flood(port: int, datagrams: Iterator[bytes]) -> None:
    """From an address that nobody knows."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for datagram in datagrams:
            stranger.sendto(datagram, ("127.0.0.1", port))
