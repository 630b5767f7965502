"""What both peer connections of a client have in common: one transport, ICE without third parties, and their states."""

import asyncio
import ipaddress
from collections.abc import Callable
from contextlib import nullcontext

from aiortc import RTCBundlePolicy, RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from hushroom_client.media import aiortc_seam
from hushroom_common.errors import ProtocolError
from hushroom_common.signaling.messages import CloseCode

__all__ = ["Peer", "is_loopback"]

_MOST_SECTIONS = 256


def is_loopback(host: str) -> bool:
    """Whether a server of this name or address can be reached on this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Peer:
    """One RTCPeerConnection with everything on one transport, and descriptions as plain SDP.

    No STUN or TURN server is ever asked. With `gather_loopback`, loopback addresses are offered as well.
    """

    def __init__(self, *, gather_loopback: bool, on_state: Callable[[str], None] | None = None) -> None:
        configuration = RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)
        self.connection = RTCPeerConnection(configuration)
        self._gather_loopback = gather_loopback
        self._state_changed = asyncio.Event()
        self._on_state = on_state
        self.connection.on("connectionstatechange", self._note_state)

    @property
    def state(self) -> str:
        """aiortc's: new, connecting, connected, failed or closed. The last two are final."""
        return self.connection.connectionState

    async def wait_connected(self) -> None:
        """Return when media can flow; raises ConnectionError when it never will."""
        while self.state != "connected":
            if self.state in ("failed", "closed"):
                raise ConnectionError(f"the connection is {self.state}")
            self._state_changed.clear()
            await self._state_changed.wait()

    async def describe_locally(self, description: RTCSessionDescription) -> str:
        """Take an own offer or answer; returns its SDP with all ICE candidates."""
        with aiortc_seam.gather_loopback_too() if self._gather_loopback else nullcontext():
            await self.connection.setLocalDescription(description)
        dtls = aiortc_seam.transport_of(self.connection)
        if dtls is not None:
            aiortc_seam.harden(dtls)
        return self.connection.localDescription.sdp

    async def describe_remotely(self, sdp: str, kind: str) -> None:
        """Take the server's offer or answer. Raises ProtocolError for one that cannot be used."""
        sections = [line for line in sdp.splitlines() if line.startswith("m=")]
        if not sections or len(sections) > _MOST_SECTIONS or any(line.startswith("m=application") for line in sections):
            raise ProtocolError(
                CloseCode.PROTOCOL_ERROR, f"the server's {kind} has media sections that nobody asked for"
            )
        try:
            await self.connection.setRemoteDescription(RTCSessionDescription(sdp=sdp, type=kind))
        except Exception as error:  # aiortc's parser raises ValueError, AssertionError, IndexError and others
            raise ProtocolError(CloseCode.PROTOCOL_ERROR, f"the server's {kind} cannot be used") from error

    async def close(self) -> None:
        """End it; may be called twice."""
        await self.connection.close()

    def _note_state(self) -> None:
        self._state_changed.set()
        if self._on_state is not None:
            self._on_state(self.state)
