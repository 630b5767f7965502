"""The UDP port: what it binds and offers, how it reads under load, and where its replies leave from."""

import asyncio
import itertools
import socket
import time
from pathlib import Path

import aioice.ice
import pytest

from hushroom_sfu.plane import endpoints, udp_port
from hushroom_sfu.plane.addresses import bind_addresses, candidate_addresses
from hushroom_sfu.plane.drops import Drop, Drops
from hushroom_sfu.plane.routes import DatagramPath, Endpoint, Route
from hushroom_sfu.plane.udp_port import UdpPort
from tests.plane.peers import eventually


class Listener:
    """Keeps what came in, and can answer it."""

    def __init__(self) -> None:
        self.datagrams: list[bytes] = []
        self.delays: list[float] = []
        self.path: DatagramPath | None = None

    def receive(self, datagram: bytes, route: Route, endpoint: Endpoint, now: float) -> None:
        self.datagrams.append(datagram)
        if self.path is None:
            self.path = endpoint.path_to(route)
        self.path.send(b"reply to " + datagram)


def client(family: socket.AddressFamily = socket.AF_INET) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.settimeout(5)
    return sock


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.5", "0.0.0.0", "::"])
@pytest.mark.parametrize("hit", ["127.0.0.1", "127.0.0.5"])
async def test_replies_leave_from_the_address_that_was_hit(host: str, hit: str) -> None:
    if host.startswith("127") and host != hit:
        return
    drops, listener = Drops(), Listener()
    port = UdpPort(host, 0, drops=drops)
    port.start(listener.receive)
    with client() as sock:
        sock.connect((hit, port.port))  # a connected socket takes replies from that very address only
        sock.setblocking(False)
        for number in (b"1", b"2"):
            await asyncio.get_running_loop().sock_sendall(sock, number)
            async with asyncio.timeout(5):
                assert await asyncio.get_running_loop().sock_recv(sock, 100) == b"reply to " + number
    port.close()
    assert not drops


@pytest.mark.parametrize("host", ["::1", "::"])
async def test_ipv6_replies_too(host: str) -> None:
    drops, listener = Drops(), Listener()
    port = UdpPort(host, 0, drops=drops)
    port.start(listener.receive)
    with client(socket.AF_INET6) as sock:
        sock.connect(("::1", port.port))
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_sendall(sock, b"1")
        async with asyncio.timeout(5):
            assert await asyncio.get_running_loop().sock_recv(sock, 100) == b"reply to 1"
    port.close()


def test_only_a_path_that_the_kernel_would_route_otherwise_pays_for_its_source_address() -> None:
    endpoint = endpoints.open_endpoint("0.0.0.0", 0, Drops())
    usual = endpoint.path_to((("127.0.0.1", 9), socket.inet_aton("127.0.0.1")))
    unusual = endpoint.path_to((("127.0.0.1", 9), socket.inet_aton("127.0.0.5")))
    assert type(usual) is not type(unusual)
    endpoint.close()


def test_what_cannot_be_sent_is_counted_and_never_raises() -> None:
    drops = Drops()
    endpoint = endpoints.open_endpoint("0.0.0.0", 0, drops)
    for local in ("127.0.0.1", "127.0.0.5"):
        path = endpoint.path_to((("127.0.0.1", 9), socket.inet_aton(local)))
        path.send(bytes(70_000))
    endpoint.close()
    path.send(b"after the end")
    assert drops == {Drop.SEND_FAILED: 3}


def test_a_full_send_buffer_drops_and_counts(tmp_path: Path) -> None:
    drops = Drops()
    address = str(tmp_path / "unread")
    ours, theirs = (socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2))  # these fill up; UDP drops
    with ours, theirs:
        theirs.bind(address)
        ours.setblocking(False)
        path = endpoints.PlainPath(ours, address, drops)  # type: ignore[arg-type]  # a UNIX address
        for _ in range(10_000):
            path.send(bytes(1200))
    assert drops[Drop.SEND_BLOCKED] > 0


async def test_both_families_get_one_free_number_and_give_it_back() -> None:
    port = UdpPort("::", 0, drops=Drops())
    assert {family for family, _ in _bound(port.port)} == {"4", "6"}
    port.close()
    again = UdpPort("::", port.port, drops=Drops())
    assert again.port == port.port
    again.close()


def _bound(port: int) -> set[tuple[str, int]]:
    found = set()
    for family, table in (("4", "/proc/net/udp"), ("6", "/proc/net/udp6")):
        with open(table) as lines:
            for line in list(lines)[1:]:
                number = int(line.split()[1].rpartition(":")[2], 16)
                if number == port:
                    found.add((family, number))
    return found


async def test_a_taken_port_is_an_os_error() -> None:
    port = UdpPort("127.0.0.1", 0, drops=Drops())
    with pytest.raises(OSError, match="Address already in use"):
        UdpPort("127.0.0.1", port.port, drops=Drops())
    port.close()


def test_hosts_that_cannot_be_bound_are_refused_with_ones_that_can() -> None:
    with pytest.raises(ValueError, match=r"0\.0\.0\.0 or ::"):
        bind_addresses("meet.example.org")
    assert bind_addresses("localhost") == ("127.0.0.1", "::1")
    assert bind_addresses("::") == ("0.0.0.0", "::")
    assert bind_addresses("0.0.0.0") == ("0.0.0.0",)
    assert bind_addresses("192.0.2.1") == ("192.0.2.1",)


def test_candidates_are_the_interfaces_then_the_public_addresses_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    interfaces = {"4": ["192.0.2.1", "198.51.100.1"], "6": ["2001:db8::1"]}
    monkeypatch.setattr(
        aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: interfaces["4" if use_ipv4 else "6"]
    )
    assert candidate_addresses(["0.0.0.0", "::"], ["203.0.113.9", "192.0.2.1"]) == (
        "192.0.2.1",
        "198.51.100.1",
        "2001:db8::1",
        "203.0.113.9",
    )
    assert candidate_addresses(["127.0.0.1"], ["203.0.113.9"]) == ("127.0.0.1", "203.0.113.9")
    with pytest.raises(ValueError, match="meet"):
        candidate_addresses(["0.0.0.0"], ["meet.example.org"])


def test_a_machine_without_a_network_offers_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: [])
    assert candidate_addresses(["0.0.0.0", "::"]) == ("127.0.0.1", "::1")


async def test_a_flood_is_taken_in_bounded_drains_and_nothing_is_lost() -> None:
    drops, listener = Drops(), Listener()
    port = UdpPort("127.0.0.1", 0, drops=drops)
    with client() as sock:
        for number in range(500):
            sock.sendto(str(number).encode(), ("127.0.0.1", port.port))
    steps: list[int] = []

    def count() -> None:
        steps.append(len(listener.datagrams))
        if len(listener.datagrams) < 500:
            asyncio.get_running_loop().call_soon(count)

    port.start(listener.receive)
    count()
    await eventually(lambda: len(listener.datagrams) == 500)
    port.close()
    assert listener.datagrams == [str(number).encode() for number in range(500)]
    taken = [after - before for before, after in itertools.pairwise(steps)]
    assert max(taken) <= udp_port.DRAIN_LIMIT, "the event loop had its turn in between"
    assert not drops


async def test_a_busy_socket_is_polled_and_an_idle_one_is_waited_on() -> None:
    drops, listener = Drops(), Listener()
    port = UdpPort("127.0.0.1", 0, drops=drops)
    port.start(listener.receive)
    polled = 0
    with client() as sock:
        for number in range(100):
            sock.sendto(b"busy", ("127.0.0.1", port.port))
            await arrival(listener, number + 1)
            polled += not _is_watched(port)
        await eventually(lambda: _is_watched(port))
        for number in range(3 * udp_port.BUSY_WAKEUPS):
            await asyncio.sleep(udp_port.BUSY_WITHIN_S / udp_port.BUSY_WAKEUPS)  # the spacing is what is tested
            sock.sendto(b"idle", ("127.0.0.1", port.port))
            await arrival(listener, 101 + number)
            assert _is_watched(port)
    port.close()
    assert polled >= 10
    assert not drops


async def test_closing_while_polling_leaves_no_timer_that_reads() -> None:
    drops, listener = Drops(), Listener()
    port = UdpPort("127.0.0.1", 0, drops=drops)
    port.start(listener.receive)
    with client() as sock:
        while _is_watched(port):
            sock.sendto(b"busy", ("127.0.0.1", port.port))
            await arrival(listener, len(listener.datagrams) + 1)
        sock.sendto(b"late", ("127.0.0.1", port.port))
        port.close()
        await asyncio.sleep(2 * udp_port.POLL_S)  # a timer left behind would fire now, and fail on the closed socket
    assert b"late" not in listener.datagrams
    assert not drops


async def arrival(listener: Listener, count: int) -> None:
    """Waits without a pause between looks, so that the next datagram follows at once."""
    deadline = time.monotonic() + 5
    while len(listener.datagrams) < count:
        assert time.monotonic() < deadline
        await asyncio.sleep(0)


def _is_watched(port: UdpPort) -> bool:
    """Whether the event loop itself waits for the port's socket."""
    selector = asyncio.get_running_loop()._selector  # type: ignore[attr-defined]  # a selector loop's own table
    return port._endpoints[0].fileno() in selector.get_map()
