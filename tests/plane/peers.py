"""Both ends of a leg on loopback: the server's plane without its engine, a bare peer, and a stock aiortc connection."""

import asyncio
import os
import struct
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aioice import stun
from aiortc import RTCCertificate, RTCConfiguration, RTCDtlsTransport, RTCPeerConnection, RTCSessionDescription
from aiortc.rtcdtlstransport import RTCDtlsFingerprint, RTCDtlsParameters
from aiortc.sdp import SessionDescription

from hushroom_common.ids import LegId, LegRole
from hushroom_sfu.plane.demultiplex import Demultiplexer
from hushroom_sfu.plane.drops import Drops
from hushroom_sfu.plane.dtls import Certificate
from hushroom_sfu.plane.leg import CloseReason, Leg, LegLimits, LegState
from hushroom_sfu.plane.udp_port import UdpPort

DEADLINE_S = 10.0


async def eventually(claim: Callable[[], object], *, within_s: float = DEADLINE_S) -> None:
    """Returns as soon as the claim holds; fails the test at the deadline."""
    deadline = time.monotonic() + within_s
    while not claim():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.005)


def rtp_packet(sequence_number: int, *, ssrc: int = 0xADA, payload: bytes = b"frame", payload_type: int = 97) -> bytes:
    return struct.pack("!BBHLL", 0x80, payload_type, sequence_number & 0xFFFF, sequence_number * 3000, ssrc) + payload


def receiver_report(ssrc: int = 0xADA) -> bytes:
    return struct.pack("!BBHL", 0x80, 201, 1, ssrc)


class AdvanceableClock:
    """The monotonic clock, plus what the test adds to it."""

    ahead_s = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead_s


class Seen:
    """What one leg handed up."""

    def __init__(self) -> None:
        self.rtp: list[bytes] = []
        self.rtcp: list[bytes] = []
        self.states: list[LegState] = []
        self.closed_because: CloseReason | None = None

    def on_state(self, state: LegState, reason: CloseReason | None) -> None:
        self.states.append(state)
        self.closed_because = reason


class Server:
    """One UDP port with its legs."""

    def __init__(self, tasks: asyncio.TaskGroup, host: str, clock: Callable[[], float]) -> None:
        self.drops = Drops()
        self.clock = clock
        self.port = UdpPort(host, 0, drops=self.drops, clock=clock)
        self.demultiplexer = Demultiplexer(self.drops)
        self.certificate = Certificate.generate()
        self.port.start(self.demultiplexer.receive)
        self.legs: list[Leg] = []
        self._tasks = tasks

    def leg(
        self, *, limits: LegLimits | None = None, on_rtp: Callable[[bytes, float], None] | None = None
    ) -> tuple[Leg, Seen]:
        seen = Seen()
        leg = Leg(
            LegId(len(self.legs)),
            LegRole.PUBLISHER,
            demultiplexer=self.demultiplexer,
            certificate=self.certificate,
            drops=self.drops,
            on_rtp=on_rtp or (lambda packet, now: seen.rtp.append(packet)),
            on_rtcp=lambda packet, now: seen.rtcp.append(packet),
            on_state=seen.on_state,
            limits=limits,
            clock=self.clock,
        )
        self.legs.append(leg)
        self._tasks.create_task(leg.serve())
        return leg, seen


@asynccontextmanager
async def running_server(
    host: str = "127.0.0.1", *, clock: Callable[[], float] = time.monotonic
) -> AsyncIterator[Server]:
    async with asyncio.TaskGroup() as tasks:
        server = Server(tasks, host, clock)
        try:
            yield server
        finally:
            for leg in server.legs:
                leg.close()
    server.port.close()
    assert server.demultiplexer.is_empty


class BarePeer:
    """A client of one leg made of sockets, aioice's STUN messages and aiortc's DTLS; it does nothing by itself."""

    role = "controlling"

    def __init__(self, leg: Leg, address: tuple[str, int]) -> None:
        self.leg = leg
        self.address = address
        self.ufrag = os.urandom(4).hex()
        self.certificate = RTCCertificate.generateCertificate()
        self.dtls = RTCDtlsTransport(self, [self.certificate])  # type: ignore[arg-type]  # duck-typed, as the server does
        self.dtls._set_role("client")
        self.sockets: list[asyncio.DatagramTransport] = []
        self.received: list[tuple[int, bytes]] = []
        self.unasked = 0
        self._responses: dict[bytes, asyncio.Future[stun.Message]] = {}
        self._inbox: asyncio.Queue[bytes] = asyncio.Queue()

    @property
    def fingerprints(self) -> tuple[tuple[str, str], ...]:
        return tuple((f.algorithm, f.value) for f in self.certificate.getFingerprints()[:1])

    async def open_socket(self) -> int:
        """A further address of this peer; its number."""
        number = len(self.sockets)
        host = "::" if ":" in self.address[0] else "0.0.0.0"
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Receiver(self, number), local_addr=(host, 0)
        )
        self.sockets.append(transport)
        return number

    def request(
        self,
        *,
        role: str = "ICE-CONTROLLING",
        nominate: bool = True,
        username: str | None = None,
        password: str | None = None,
    ) -> stun.Message:
        message = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
        message.attributes["USERNAME"] = username or f"{self.leg.credentials.ufrag}:{self.ufrag}"
        message.attributes["PRIORITY"] = 2130706431
        message.attributes[role] = 7
        if nominate:
            message.attributes["USE-CANDIDATE"] = None
        message.add_message_integrity((password or self.leg.credentials.password).encode())
        return message

    async def check(self, socket: int = 0, **kinds: Any) -> stun.Message:
        """Sends a connectivity check and returns the response."""
        message = self.request(**kinds)
        response: asyncio.Future[stun.Message] = asyncio.get_running_loop().create_future()
        self._responses[message.transaction_id] = response
        self.send(bytes(message), socket)
        async with asyncio.timeout(DEADLINE_S):
            await response
        return response.result()

    async def connect(self, *, fingerprints: tuple[tuple[str, str], ...] | None = None) -> None:
        """Checks, then shakes hands."""
        await self.open_socket()
        self.leg.connect(self.ufrag, fingerprints or self.fingerprints)
        await self.check()
        await self.dtls.start(RTCDtlsParameters([RTCDtlsFingerprint(*f) for f in self.leg.fingerprints]))

    def send(self, datagram: bytes, socket: int = 0) -> None:
        self.sockets[socket].sendto(datagram, self.address)

    def send_rtp(self, packet: bytes, socket: int = 0) -> None:
        self.send(self.dtls._tx_srtp.protect(packet), socket)

    def send_rtcp(self, packet: bytes, socket: int = 0) -> None:
        self.send(self.dtls._tx_srtp.protect_rtcp(packet), socket)

    def receive(self, socket: int, datagram: bytes) -> None:
        if datagram[0] <= 3:
            message = stun.parse_message(datagram)
            assert message.check_message_integrity(self.leg.credentials.password.encode())
            assert "FINGERPRINT" in message.attributes
            response = self._responses.pop(message.transaction_id, None)
            if response is None:
                self.unasked += 1
            else:
                response.set_result(message)
        elif datagram[0] <= 63:
            self._inbox.put_nowait(datagram)
        elif 192 <= datagram[1] <= 223:
            self.received.append((socket, self.dtls._rx_srtp.unprotect_rtcp(datagram)))
        else:
            self.received.append((socket, self.dtls._rx_srtp.unprotect(datagram)))

    async def _recv(self) -> bytes:
        return await self._inbox.get()

    async def _send(self, datagram: bytes) -> None:
        self.send(datagram)

    async def close(self, *, politely: bool = True) -> None:
        pump = self.dtls._task
        if politely:
            await self.dtls.stop()
        elif pump is not None:
            pump.cancel()
        if pump is not None:
            await asyncio.wait([pump])
        for transport in self.sockets:
            transport.close()
        await asyncio.sleep(0)


class _Receiver(asyncio.DatagramProtocol):
    def __init__(self, peer: BarePeer, number: int) -> None:
        self.peer = peer
        self.number = number

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.peer.receive(self.number, data)


@asynccontextmanager
async def bare_peer(leg: Leg, address: tuple[str, int]) -> AsyncIterator[BarePeer]:
    peer = BarePeer(leg, address)
    try:
        yield peer
    finally:
        await peer.close()


async def connect_stock_client(server: Server, leg: Leg) -> RTCPeerConnection:
    """A stock aiortc connection (full ICE) that offers one audio and one video line and gets our answer."""
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    connection.addTransceiver("audio", "sendrecv")
    connection.addTransceiver("video", "sendrecv")
    await connection.setLocalDescription(await connection.createOffer())
    offer = SessionDescription.parse(connection.localDescription.sdp)
    ice, dtls = offer.media[0].ice, offer.media[0].dtls
    assert ice is not None
    assert ice.usernameFragment is not None
    assert dtls is not None
    leg.connect(ice.usernameFragment, tuple((f.algorithm, f.value) for f in dtls.fingerprints))
    await connection.setRemoteDescription(RTCSessionDescription(_answer(server, leg, offer), "answer"))
    return connection


def _answer(server: Server, leg: Leg, offer: SessionDescription) -> str:
    host, port = server.port.candidates[0]
    algorithm, value = leg.fingerprints[0]
    mids = " ".join(media.rtp.muxId for media in offer.media)
    lines = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=ice-lite", f"a=group:BUNDLE {mids}"]
    for media in offer.media:
        codec = next(c for c in media.rtp.codecs if c.name in ("opus", "VP8"))
        channels = "/2" if codec.channels == 2 else ""
        lines += [
            f"m={media.kind} {port} UDP/TLS/RTP/SAVPF {codec.payloadType}",
            f"c=IN IP4 {host}",
            "a=sendrecv",
            f"a=mid:{media.rtp.muxId}",
            "a=rtcp-mux",
            f"a=rtpmap:{codec.payloadType} {codec.name}/{codec.clockRate}{channels}",
            f"a=ice-ufrag:{leg.credentials.ufrag}",
            f"a=ice-pwd:{leg.credentials.password}",
            f"a=candidate:1 1 udp 2130706431 {host} {port} typ host",
            "a=end-of-candidates",
            f"a=fingerprint:{algorithm} {value}",
            "a=setup:passive",
        ]
    return "\r\n".join([*lines, ""])
