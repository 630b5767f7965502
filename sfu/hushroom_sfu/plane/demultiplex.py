"""Which peer a datagram belongs to, and which of the protocols on one port it speaks (RFC 7983 §7).

STUN is told by the user name fragment, everything else by its route. Unknown sources are dropped and counted.
"""

from typing import Protocol

from hushroom_common.errors import WireError
from hushroom_sfu.plane.drops import Drop, Drops
from hushroom_sfu.plane.ice_lite import Check
from hushroom_sfu.plane.routes import DatagramPath, Endpoint, Route

__all__ = ["TAKEN_S", "DatagramReceiver", "Demultiplexer"]

TAKEN_S = 3.0
"""A route on which media came within this time belongs to its peer: no other can take it by a forged source address."""


class DatagramReceiver(Protocol):
    """One peer's transport, as the demultiplexer sees it."""

    def receive_check(self, check: Check, route: Route, endpoint: Endpoint, now: float) -> None:
        """Takes a connectivity check that names this peer; it is not authenticated yet."""

    def receive_dtls(self, datagram: bytes) -> None:
        """Takes a DTLS record from one of this peer's routes."""

    def receive_media(self, datagram: bytes, path: DatagramPath, now: float) -> None:
        """Takes a protected RTP or RTCP packet from one of this peer's routes."""


class Demultiplexer:
    """The tables of one UDP port: user name fragments and routes."""

    def __init__(self, drops: Drops) -> None:
        self._drops = drops
        self._by_ufrag: dict[str, DatagramReceiver] = {}
        self._by_route: dict[Route, tuple[DatagramReceiver, DatagramPath]] = {}

    def register(self, ufrag: str, receiver: DatagramReceiver) -> None:
        """Checks for `ufrag` go to `receiver` from now on. Raises ValueError if the fragment is taken."""
        if self._by_ufrag.setdefault(ufrag, receiver) is not receiver:
            raise ValueError("this ufrag is another leg's")

    def unregister(self, ufrag: str) -> None:
        """Forgets a fragment; unknown ones are fine."""
        self._by_ufrag.pop(ufrag, None)

    def attach(self, route: Route, receiver: DatagramReceiver, path: DatagramPath) -> None:
        """What comes along `route` is for `receiver` from now on; replies go along `path`."""
        self._by_route[route] = (receiver, path)

    def detach(self, route: Route, receiver: DatagramReceiver) -> None:
        """Forgets a route unless another peer took it over."""
        owner = self._by_route.get(route)
        if owner is not None and owner[0] is receiver:
            del self._by_route[route]

    @property
    def is_empty(self) -> bool:
        """Whether no peer is left in any table."""
        return not self._by_ufrag and not self._by_route

    def receive(self, datagram: bytes, route: Route, endpoint: Endpoint, now: float) -> None:
        """Hands one datagram to its peer, at once and on this very call."""
        if not datagram:
            self._drops[Drop.EMPTY] += 1
            return
        first = datagram[0]
        if 128 <= first <= 191:
            owner = self._by_route.get(route)
            if owner is None:
                self._drops[Drop.UNKNOWN_SOURCE] += 1
            else:
                owner[0].receive_media(datagram, owner[1], now)
        elif 20 <= first <= 63:
            owner = self._by_route.get(route)
            if owner is None:
                self._drops[Drop.UNKNOWN_SOURCE] += 1
            else:
                owner[0].receive_dtls(datagram)
        elif first <= 3:
            self._receive_stun(datagram, route, endpoint, now)
        else:
            self._drops[Drop.UNKNOWN_PROTOCOL] += 1

    def _receive_stun(self, datagram: bytes, route: Route, endpoint: Endpoint, now: float) -> None:
        try:
            check = Check.parse(datagram)
        except WireError:
            self._drops[Drop.STUN_UNREADABLE] += 1
            return
        receiver = self._by_ufrag.get(check.our_ufrag)
        if receiver is None:
            self._drops[Drop.STUN_UNKNOWN_USER] += 1
            return
        owner = self._by_route.get(route)
        if owner is not None and owner[0] is not receiver and now - owner[1].heard_at < TAKEN_S:
            self._drops[Drop.STUN_SOURCE_TAKEN] += 1
            return
        receiver.receive_check(check, route, endpoint, now)
