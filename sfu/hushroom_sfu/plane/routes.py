"""Where a datagram came from and which of our addresses it hit: the key by which a peer's packets are told apart."""

from typing import Protocol

__all__ = ["DatagramPath", "Endpoint", "Route", "SocketAddress"]

SocketAddress = tuple[str, int] | tuple[str, int, int, int]
"""A peer's address as the socket gives it: (host, port) for IPv4, with flow and scope for IPv6."""

Route = tuple[SocketAddress, bytes]
"""A peer's address and the packed local address that was hit; b"" where the socket is bound to a single one.

Both belong to the key: behind a symmetric NAT two peers can share an address as long as they talk to different ones
of ours.
"""


class DatagramPath(Protocol):
    """Sends to one peer from the local address that he knows."""

    heard_at: float
    """When this path last brought an authenticated media packet, in monotonic seconds."""

    def send(self, datagram: bytes) -> None:
        """Hands the datagram to the kernel or drops and counts it; never blocks and never raises."""


class Endpoint(Protocol):
    """The socket that a datagram arrived on."""

    def path_to(self, route: Route) -> DatagramPath:
        """A path along which replies leave from the address that was hit."""
