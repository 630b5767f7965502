"""The one UDP port of the server: a socket per address family, both with the same number, read in bounded drains.

Wildcard sockets learn from IP_PKTINFO which local address a datagram hit, so that replies leave from there: a peer's
NAT and his ICE agent drop what comes from anywhere else. What the bytes mean is for `demultiplex`.
"""

import asyncio
import errno
import logging
import time
from collections.abc import Callable, Iterable

from hushroom_sfu.plane.addresses import bind_addresses, candidate_addresses
from hushroom_sfu.plane.drops import Drop, Drops
from hushroom_sfu.plane.endpoints import RECEIVE_BYTES, SocketEndpoint, open_endpoint
from hushroom_sfu.plane.routes import Endpoint, Route

__all__ = ["Receive", "UdpPort"]

log = logging.getLogger(__name__)

Receive = Callable[[bytes, Route, Endpoint, float], None]
"""Takes one datagram: its bytes, where it came from, the socket that it hit, and now."""

DRAIN_LIMIT = 32
"""Datagrams a wakeup, so that a flood leaves the event loop time for everything else."""

BUSY_WAKEUPS = 8
BUSY_WITHIN_S = 0.006
POLL_S = 0.002
"""Ingress moderation. A wakeup of asyncio costs several times the packet that it brings. After `BUSY_WAKEUPS` wakeups
within `BUSY_WITHIN_S` the socket is polled every `POLL_S` instead, until a poll finds fewer than two datagrams. That
delays a packet by 1 ms in the mean and little over 2 ms at most; bursts and quiet sockets are read at once."""


class UdpPort:
    """Binds, reads and closes the sockets. `port` 0 takes any free number, the same for both families."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        public_ips: Iterable[str] = (),
        drops: Drops,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises OSError when the port cannot be bound and ValueError when an address cannot be one."""
        self._endpoints = _bind(bind_addresses(host), port, drops)
        self._readers: list[_Reader] = []
        self._drops = drops
        self._clock = clock
        self.port: int = self._endpoints[0].port
        addresses = candidate_addresses([endpoint.host for endpoint in self._endpoints], public_ips)
        self.candidates: tuple[tuple[str, int], ...] = tuple((address, self.port) for address in addresses)
        """What to offer as host candidates, best first."""

    def start(self, receive: Receive) -> None:
        """Reads from now on. `receive` is called for every datagram and may raise: that is counted and logged once."""
        self._readers = [_Reader(endpoint, receive, self._drops, self._clock) for endpoint in self._endpoints]

    def close(self) -> None:
        """Stops reading and gives the port back. Paths may still be asked to send; that is counted as a drop."""
        for reader in self._readers:
            reader.stop()
        self._readers = []
        for endpoint in self._endpoints:
            endpoint.close()


class _Reader:
    """Reads one socket: on the event loop's wakeups while they are rare, by polling while they are not."""

    def __init__(self, endpoint: SocketEndpoint, receive: Receive, drops: Drops, clock: Callable[[], float]) -> None:
        self._endpoint = endpoint
        self._receive = receive
        self._drops = drops
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.Handle | None = None
        self._wakeups = 0
        self._counted_from = 0.0
        self._complained_of: set[str] = set()
        self._loop.add_reader(endpoint.fileno(), self._on_readable)

    def stop(self) -> None:
        self._loop.remove_reader(self._endpoint.fileno())
        if self._timer is not None:
            self._timer.cancel()

    def _on_readable(self) -> None:
        if self._drain() == DRAIN_LIMIT:
            return  # the rest wakes us at once
        now = self._clock()
        if self._wakeups == 0:
            self._counted_from = now
        self._wakeups += 1
        if self._wakeups > BUSY_WAKEUPS:
            self._wakeups = 0
            if now - self._counted_from < BUSY_WITHIN_S:
                self._loop.remove_reader(self._endpoint.fileno())
                self._timer = self._loop.call_later(POLL_S, self._poll)

    def _poll(self) -> None:
        taken = self._drain()
        if taken == DRAIN_LIMIT:
            self._timer = self._loop.call_soon(self._poll)
        elif taken >= 2:
            self._timer = self._loop.call_later(POLL_S, self._poll)
        else:
            self._timer = None
            self._loop.add_reader(self._endpoint.fileno(), self._on_readable)

    def _drain(self) -> int:
        """Takes what is there, up to the limit; returns how many datagrams that were."""
        endpoint, receive, clock = self._endpoint, self._receive, self._clock
        for taken in range(DRAIN_LIMIT):
            try:
                datagram, route = endpoint.read()
            except BlockingIOError:
                return taken
            except OSError as exc:
                self._complain(exc)  # e.g. ENOBUFS; the socket itself lives on
                return taken
            if len(datagram) >= RECEIVE_BYTES:
                self._drops[Drop.OVERSIZE] += 1
                continue
            try:
                receive(datagram, route, endpoint, clock())
            except Exception as exc:  # one peer's bytes never stop the others'
                self._complain(exc)
        return DRAIN_LIMIT

    def _complain(self, exc: Exception) -> None:
        """Counts, and logs each kind of failure once. Its text may hold addresses and stays out of the log."""
        self._drops[Drop.INTERNAL_ERROR] += 1
        trace = exc.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        where = "" if trace is None else f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}"
        kind = f"{type(exc).__name__} in {where}"
        if kind not in self._complained_of:
            self._complained_of.add(kind)
            log.error("a datagram could not be handled", extra={"error": kind})


def _bind(hosts: tuple[str, ...], port: int, drops: Drops) -> tuple[SocketEndpoint, ...]:
    """Sockets with one port number for all hosts. Only the first host has to work."""
    for attempt in range(8):
        endpoints = [open_endpoint(hosts[0], port, drops)]
        try:
            for host in hosts[1:]:
                endpoints.append(open_endpoint(host, endpoints[0].port, drops))
        except OSError as exc:
            if exc.errno == errno.EADDRINUSE and port == 0 and attempt < 7:
                endpoints[0].close()  # the number is free in one family only: take another
                continue
            if exc.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                endpoints[0].close()
                raise
        return tuple(endpoints)
    raise OSError(errno.EADDRINUSE, "no UDP port is free in both address families")
