"""What forwarding costs: real DTLS legs, 1200-byte packets, GCM, all bookkeeping on; ratios to a bare loop in one run.

The server runs in a process of its own on the first core, the publisher and the subscribers on the others. Subscribers
shake hands for real and then stop reading: what a receiver costs is not the server's affair. Only ratios count; the
microseconds are printed for the curious.
"""

import asyncio
import itertools
import json
import os
import socket
import statistics
import struct
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

from hushroom_sfu.plane.leg import Leg
from tests.plane.peers import BarePeer
from tests.support.streams import vp8_payload

PACKET_BYTES = 1200
RUNS = 5
BARE_PACKETS = 20_000
FED_PACKETS = 3_000
SECONDS = 2.0
SSRC = 0xADA


@dataclass(frozen=True)
class Load:
    """How many subscribers, how many packets a second come in, and what ratio the project promises.

    `feeds_bare`: the bare loop gets its packets in the same rhythm. At fan-out 1 most of the time goes into waking up,
    for any program: on a virtual machine a bare loop fed 2000 packets a second costs seven times a tight one.
    """

    fan_out: int
    ingress_per_s: int
    promised: float
    feeds_bare: bool = False


LOADS = (Load(50, 800, 1.8), Load(10, 2000, 2.6), Load(1, 2000, 4.0), Load(1, 2000, 4.0, feeds_bare=True))


class Server:
    """The process under test."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def do(self, command: str, **arguments: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": command, **arguments}).encode() + b"\n")
        line = await self._process.stdout.readline()
        assert line, "the server ended"
        return json.loads(line)


@asynccontextmanager
async def server() -> AsyncIterator[Server]:
    command = (sys.executable, "-m", "tests.bench.forwarding_server")
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield Server(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


async def connect(server: Server, role: str) -> tuple[int, BarePeer]:
    """One leg with its handshake done."""
    address = ("127.0.0.1", await server.do("port"))
    peer = BarePeer(cast(Leg, SimpleNamespace()), address)
    answer = await server.do("open", role=role, ufrag=peer.ufrag, fingerprints=peer.fingerprints)
    credentials = SimpleNamespace(ufrag=answer["ufrag"], password=answer["password"])
    fingerprints = tuple(tuple(pair) for pair in answer["fingerprints"])
    remote = SimpleNamespace(credentials=credentials, fingerprints=fingerprints, connect=lambda *_: None)
    peer.leg = cast(Leg, remote)  # the real one lives in the other process
    await peer.connect()
    return answer["leg"], peer


def deafen(peer: BarePeer) -> None:
    """Stops reading: the kernel drops what comes once the smallest buffer is full."""
    transport = cast(asyncio.ReadTransport, peer.sockets[0])
    transport.pause_reading()
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)


async def hang_up(peers: list[BarePeer]) -> None:
    for peer in peers:
        cast(asyncio.ReadTransport, peer.sockets[0]).resume_reading()
        await peer.dtls.stop()
        peer.sockets[0].close()


def stay_alive(peers: list[BarePeer]) -> None:
    for peer in peers:
        peer.send(bytes(peer.request()))


class Camera:
    """Protected packets of one VP8 stream: a keyframe first, ten packets a frame."""

    def __init__(self, peer: BarePeer) -> None:
        self._peer = peer
        self._numbers = itertools.count(1)

    def packets(self, count: int) -> list[bytes]:
        return [self._peer.dtls._tx_srtp.protect(self._packet(next(self._numbers))) for _ in range(count)]

    def _packet(self, number: int) -> bytes:
        frame, index = divmod(number - 1, 10)
        payload = vp8_payload(starts_frame=index == 0, is_keyframe=frame % 300 == 0, picture_id=frame, body=b"")
        payload += bytes(PACKET_BYTES - 12 - len(payload))
        header = struct.pack("!BBHII", 0x80, 96 | (0x80 if index == 9 else 0), number & 0xFFFF, frame * 3000, SSRC)
        return header + payload


def pace(peer: BarePeer, packets: list[bytes], per_s: int) -> None:
    """Sends the packets evenly. Blocks: nothing else has to happen meanwhile. Sleeps, as a spinning neighbour costs."""
    began = time.perf_counter()
    for number, packet in enumerate(packets):
        ahead_s = began + number / per_s - time.perf_counter()
        if ahead_s > 0:
            time.sleep(ahead_s)
        peer.send(packet)


async def settled(server: Server, expected: int) -> dict[str, int]:
    """The server's figures once it has sent what it was given, or stopped sending."""
    usage: dict[str, int] = await server.do("usage")
    for _ in range(20):
        if usage["sent"] >= expected:
            break
        await asyncio.sleep(0.1)
        usage = await server.do("usage")
    return usage


async def measure(load: Load) -> tuple[float, float, float]:
    """Medians of interleaved runs: ns a packet of ours, ns a packet of the bare loop, and their ratio."""
    async with server() as under_test:
        publisher_leg, publisher = await connect(under_test, "publisher")
        subscribers = [await connect(under_test, "subscriber") for _ in range(load.fan_out)]
        peers = [publisher, *(peer for _, peer in subscribers)]
        track = await under_test.do("publish", leg=publisher_leg, ssrc=SSRC)
        for leg, peer in subscribers:
            deafen(peer)
            await under_test.do("subscribe", leg=leg, track=track)
        camera = Camera(publisher)
        pace(publisher, camera.packets(load.ingress_per_s), load.ingress_per_s)
        ours, bare = [], []
        for _ in range(RUNS):
            stay_alive(peers)
            packets = camera.packets(int(load.ingress_per_s * SECONDS))
            before = await under_test.do("usage")
            pace(publisher, packets, load.ingress_per_s)
            after = await settled(under_test, before["sent"] + len(packets) * load.fan_out)
            sent = after["sent"] - before["sent"]
            assert sent >= 0.98 * len(packets) * load.fan_out, f"only {sent} packets went out: {after}"
            ours.append((after["cpu_ns"] - before["cpu_ns"]) / sent)
            stay_alive(peers)
            gap_s = 1 / load.ingress_per_s if load.feeds_bare else 0
            bare.append(await under_test.do("bare", packets=FED_PACKETS if gap_s else BARE_PACKETS, gap_s=gap_s))
        await hang_up(peers)
        ratio = statistics.median(a / b for a, b in zip(ours, bare, strict=True))
        return statistics.median(ours), statistics.median(bare), ratio


async def memory_per_leg(legs: int = 100) -> float:
    """Resident bytes that one more connected leg without tracks costs."""
    async with server() as under_test:
        peers = [peer for _ in range(20) for _, peer in (await connect(under_test, "subscriber"),)]
        before: int = await under_test.do("memory")
        peers += [peer for _ in range(legs) for _, peer in (await connect(under_test, "subscriber"),)]
        after: int = await under_test.do("memory")
        await hang_up(peers)
        return float(after - before) / legs


async def run() -> bool:
    """Prints the figures; True when every promise is kept."""
    if len(os.sched_getaffinity(0)) > 1:
        os.sched_setaffinity(0, os.sched_getaffinity(0) - {min(os.sched_getaffinity(0))})
    kept = True
    for load in LOADS:
        ours, bare, ratio = await measure(load)
        is_promise = load.fan_out > 1 or load.feeds_bare
        kept &= ratio <= load.promised or not is_promise
        print(
            f"forward 1:{load.fan_out:<3} {load.ingress_per_s} in/s  {ours / 1000:6.2f} us a packet out,"
            f" {'fed' if load.feeds_bare else 'tight'} bare loop {bare / 1000:5.2f} us, ratio {ratio:.2f}"
            f" ({f'promised {load.promised}' if is_promise else 'for comparison'})",
            flush=True,
        )
    per_leg = await memory_per_leg()
    kept &= per_leg <= 300_000
    print(f"memory of a leg without tracks {per_leg / 1000:.0f} kB (promised 300)", flush=True)
    return kept
