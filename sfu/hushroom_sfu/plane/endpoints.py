"""One bound UDP socket: reading with the route of each datagram, and paths that reply from the address that was hit."""

import socket
import struct
from typing import Protocol

from hushroom_sfu.plane.drops import Drop, Drops
from hushroom_sfu.plane.routes import DatagramPath, Route, SocketAddress

__all__ = ["RECEIVE_BYTES", "PlainPath", "SocketEndpoint", "open_endpoint"]

RECEIVE_BYTES = 2048
"""Read at most so much of a datagram; what fills it is over any size that WebRTC uses."""

SOCKET_BUFFER_BYTES = 4 << 20
"""Asked of the kernel, which may give less: its default holds 90 packets, a fan-out of one keyframe fills it."""

_ANCILLARY_BYTES = 128
_IP_PKTINFO = 8  # <linux/in.h>; the socket module names it from Python 3.14 on
_IN_PKTINFO = struct.Struct("=I4s4s")  # ifindex, the local address, the destination in the header
_IN6_PKTINFO = struct.Struct("=16sI")  # the local address, ifindex


class SocketEndpoint(Protocol):
    """A bound socket as the reader sees it."""

    host: str
    port: int

    def fileno(self) -> int:
        """The descriptor to wait on."""

    def read(self) -> tuple[bytes, Route]:
        """One datagram; raises BlockingIOError when there is none."""

    def path_to(self, route: Route) -> DatagramPath:
        """A path along which replies leave from the address that was hit."""

    def close(self) -> None:
        """Gives the port back."""


def open_endpoint(host: str, port: int, drops: Drops) -> SocketEndpoint:
    """Binds a non-blocking socket. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        _enlarge_buffers(sock)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
        if host == "::":
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            return _WildcardEndpoint(sock, host, drops)
        if host == "0.0.0.0":  # noqa: S104 (the owner asked for it)
            sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
            return _WildcardEndpoint(sock, host, drops)
        return _BoundEndpoint(sock, host, drops)
    except BaseException:
        sock.close()
        raise


def _enlarge_buffers(sock: socket.socket) -> None:
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        sock.setsockopt(socket.SOL_SOCKET, option, SOCKET_BUFFER_BYTES)  # the kernel clips it to rmem_max or wmem_max


class _BoundEndpoint:
    """A socket bound to one address: whatever it sends leaves from there."""

    def __init__(self, sock: socket.socket, host: str, drops: Drops) -> None:
        self._socket = sock
        self._recvfrom = sock.recvfrom
        self._drops = drops
        self.host = host
        self.port: int = sock.getsockname()[1]

    def fileno(self) -> int:
        return self._socket.fileno()

    def read(self) -> tuple[bytes, Route]:
        datagram, source = self._recvfrom(RECEIVE_BYTES)
        return datagram, (source, b"")

    def path_to(self, route: Route) -> DatagramPath:
        return PlainPath(self._socket, route[0], self._drops)

    def close(self) -> None:
        self._socket.close()


class _WildcardEndpoint(_BoundEndpoint):
    """A socket bound to every address of its family."""

    def __init__(self, sock: socket.socket, host: str, drops: Drops) -> None:
        super().__init__(sock, host, drops)
        self._recvmsg = sock.recvmsg

    def read(self) -> tuple[bytes, Route]:
        datagram, ancillary, _, source = self._recvmsg(RECEIVE_BYTES, _ANCILLARY_BYTES)
        return datagram, (source, _local_address(ancillary))

    def path_to(self, route: Route) -> DatagramPath:
        remote, local = route
        if not local or _default_source(self._socket.family, remote) == local:
            return PlainPath(self._socket, remote, self._drops)
        return _PinnedPath(self._socket, remote, self._drops, local)


def _local_address(ancillary: list[tuple[int, int, bytes]]) -> bytes:
    for level, kind, data in ancillary:
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO and len(data) == _IN_PKTINFO.size:
            return data[4:8]
        if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO and len(data) == _IN6_PKTINFO.size:
            return data[:16]
    return b""


def _default_source(family: int, remote: SocketAddress) -> bytes | None:
    """The address from which the kernel would send to `remote` by itself; None when it knows no way."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(remote)  # sends nothing: it only looks up the route
            return socket.inet_pton(family, probe.getsockname()[0].partition("%")[0])
    except OSError:
        return None


class PlainPath:
    """Sends from wherever the kernel's routes say."""

    __slots__ = ("_drops", "_remote", "_socket", "heard_at")

    def __init__(self, sock: socket.socket, remote: SocketAddress, drops: Drops) -> None:
        self._socket = sock
        self._remote = remote
        self._drops = drops
        self.heard_at = float("-inf")

    def send(self, datagram: bytes) -> None:
        """Hands the datagram to the kernel or drops and counts it."""
        try:
            self._socket.sendto(datagram, self._remote)
        except BlockingIOError:
            self._drops[Drop.SEND_BLOCKED] += 1
        except OSError:  # unreachable, too big for the link, closed: the peer's loss, reported by his silence
            self._drops[Drop.SEND_FAILED] += 1


class _PinnedPath(PlainPath):
    """Sends from one given local address (IP_PKTINFO, RFC 3542 §6.2); 0.6 µs dearer than `PlainPath`."""

    __slots__ = ("_ancillary",)

    def __init__(self, sock: socket.socket, remote: SocketAddress, drops: Drops, local: bytes) -> None:
        super().__init__(sock, remote, drops)
        if sock.family == socket.AF_INET6:
            self._ancillary = [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, _IN6_PKTINFO.pack(local, 0))]
        else:
            self._ancillary = [(socket.IPPROTO_IP, _IP_PKTINFO, _IN_PKTINFO.pack(0, local, bytes(4)))]

    def send(self, datagram: bytes) -> None:
        try:
            self._socket.sendmsg((datagram,), self._ancillary, 0, self._remote)
        except BlockingIOError:
            self._drops[Drop.SEND_BLOCKED] += 1
        except OSError:
            self._drops[Drop.SEND_FAILED] += 1
