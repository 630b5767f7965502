"""A bad network on loopback: a UDP relay between clients and server that loses and delays datagrams by seeded dice.

It sits on the wire, needs no rights, and knows no keys: what it can tell apart is what any network can, for SRTP leaves
SSRCs in the clear. It is put in by what the server announces: `server.plane.candidates` become the relay's address,
and clients never hear of the server's own port (`announce`). Every client socket gets a socket of its own towards the
server, which therefore sees as many addresses as there are, all of them with this one machine's loopback address.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

from hushroom_common.rtp import is_rtcp
from hushroom_sfu.server import Server

__all__ = ["Direction", "LossyRelay", "announce", "lossy_relay", "of_ssrcs"]

Address = tuple[str, int]
Chooses = Callable[[bytes], bool]


def of_ssrcs(*ssrcs: int) -> Chooses:
    """Chooses RTP datagrams of these streams, and nothing else."""
    wanted = {ssrc.to_bytes(4, "big") for ssrc in ssrcs}
    return lambda datagram: _is_media(datagram) and not is_rtcp(datagram) and datagram[8:12] in wanted


def _is_media(datagram: bytes) -> bool:
    return len(datagram) >= 12 and 128 <= datagram[0] <= 191  # RFC 7983 §7


class Direction:
    """What befalls the datagrams of one direction; may be changed at any time.

    Those that `chooses` picks (all, by default) are lost with the probability `loss`; the others take `delay_s`, and up
    to `jitter_s` more, which also puts them out of order. The rest is carried at once.
    """

    def __init__(self, chance: random.Random) -> None:
        self.loss = 0.0
        self.delay_s = 0.0
        self.jitter_s = 0.0
        self.chooses: Chooses = lambda _datagram: True
        self.carried = 0
        self.lost = 0
        self._chance = chance

    def carry(self, datagram: bytes, deliver: Callable[[bytes], None]) -> None:
        """Delivers now, later or never."""
        is_chosen = self.chooses(datagram)
        if is_chosen and self.loss and self._chance.random() < self.loss:
            self.lost += 1
            return
        self.carried += 1
        delay_s = self.delay_s + self.jitter_s * self._chance.random() if self.jitter_s else self.delay_s
        if is_chosen and delay_s:
            asyncio.get_running_loop().call_later(delay_s, deliver, datagram)
        else:
            deliver(datagram)


class LossyRelay(asyncio.DatagramProtocol):
    """The relay itself; `lossy_relay` opens one."""

    def __init__(self, server: Address, seed: int) -> None:
        self.to_server = Direction(random.Random(seed))
        self.to_clients = Direction(random.Random(seed + 1))
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None
        self._behind: dict[Address, _TowardsServer] = {}
        self._opening: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """Where clients send to, on 127.0.0.1."""
        assert self._transport is not None
        port: int = self._transport.get_extra_info("sockname")[1]
        return port

    @property
    def loss(self) -> float:
        """The share of all datagrams so far that were lost."""
        lost = self.to_server.lost + self.to_clients.lost
        return lost / max(1, lost + self.to_server.carried + self.to_clients.carried)

    def lose_everywhere(self, loss: float) -> None:
        """The same loss in both directions, of datagrams of every kind."""
        for direction in (self.to_server, self.to_clients):
            direction.loss, direction.chooses = loss, lambda _datagram: True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        behind = self._behind.get(addr)
        if behind is None:
            behind = self._behind[addr] = _TowardsServer(self, addr)
            opening = asyncio.get_running_loop().create_task(behind.open(self._server), name="relay socket")
            self._opening.add(opening)
            opening.add_done_callback(self._opening.discard)
        self.to_server.carry(data, behind.send)

    def to_client(self, datagram: bytes, client: Address) -> None:
        """Hands a datagram of the server to a client."""
        if self._transport is not None:
            self._transport.sendto(datagram, client)

    async def close(self) -> None:
        """Closes all sockets; what is under way is lost."""
        for opening in tuple(self._opening):
            await opening
        for behind in self._behind.values():
            behind.close()
        if self._transport is not None:
            self._transport.close()
            self._transport = None
        await asyncio.sleep(0)  # transports close their sockets in the next turn


class _TowardsServer(asyncio.DatagramProtocol):
    """The socket that stands for one client. What comes before it is open waits."""

    def __init__(self, relay: LossyRelay, client: Address) -> None:
        self._relay = relay
        self._client = client
        self._early: list[bytes] = []
        self._transport: asyncio.DatagramTransport | None = None

    async def open(self, server: Address) -> None:
        self._transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, remote_addr=server)
        for datagram in self._early:
            self._transport.sendto(datagram)

    def send(self, datagram: bytes) -> None:
        if self._transport is None:
            self._early.append(datagram)
        else:
            self._transport.sendto(datagram)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._relay.to_clients.carry(data, lambda datagram: self._relay.to_client(datagram, self._client))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


@asynccontextmanager
async def lossy_relay(udp_port: int, *, seed: int = 7) -> AsyncIterator[LossyRelay]:
    """A relay before the server's UDP port on 127.0.0.1; it loses nothing until it is told to."""
    relay = LossyRelay(("127.0.0.1", udp_port), seed)
    await asyncio.get_running_loop().create_datagram_endpoint(lambda: relay, local_addr=("127.0.0.1", 0))
    try:
        yield relay
    finally:
        await relay.close()


def announce(server: Server, port: int) -> None:
    """Legs that are opened from now on are told that the server's media is at this port."""
    server.plane._port.candidates = (("127.0.0.1", port),)
