"""DTLS-SRTP of one leg (RFC 5763, RFC 5764): aiortc's `RTCDtlsTransport`, always as the DTLS server.

The only file of the server that knows aiortc's private names; `tests/plane/test_aiortc_contract.py` holds each of them.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Self, cast

from aiortc import RTCCertificate, RTCDtlsTransport
from aiortc.rtcdtlstransport import SRTP_PROFILES, RTCDtlsFingerprint, RTCDtlsParameters
from aiortc.rtcicetransport import RTCIceTransport

from hushroom_common.errors import HushroomError
from hushroom_sfu.plane.drops import Drop, Drops
from hushroom_sfu.plane.srtp import SrtpTransforms

__all__ = ["HANDSHAKE_LIMIT_S", "Certificate", "DtlsServer", "HandshakeFailed"]

log = logging.getLogger(__name__)

HANDSHAKE_LIMIT_S = 10.0
_QUEUE_DATAGRAMS = 32
"""Datagrams that may wait for OpenSSL: a flight is at most six, the rest is a flood."""


class HandshakeFailed(HushroomError):
    """No keys: the peer did not answer in time, has another certificate than signaling said, or broke DTLS."""


class Certificate:
    """The server's identity towards its peers' DTLS: an ephemeral ECDSA P-256 certificate, one a process.

    Peers know it by the fingerprints in SDP only; it lives and dies with the process.
    """

    def __init__(self, certificate: RTCCertificate) -> None:
        self._certificate = certificate
        self.fingerprints: tuple[tuple[str, str], ...] = tuple(
            (fingerprint.algorithm, fingerprint.value) for fingerprint in certificate.getFingerprints()
        )
        """(algorithm, value) as SDP's a=fingerprint has them; sha-256 is the first."""

    @classmethod
    def generate(cls) -> Self:
        """A new key and certificate, with ONE OpenSSL context for all legs where aiortc would build one a leg."""
        certificate = RTCCertificate.generateCertificate()
        context = certificate._create_ssl_context(SRTP_PROFILES)
        certificate._create_ssl_context = lambda srtp_profiles: context  # type: ignore[method-assign]  # on the instance
        return cls(certificate)

    def transport(self, carrier: "_Carrier") -> RTCDtlsTransport:
        """A DTLS server that presents this certificate and talks over `carrier`."""
        transport = RTCDtlsTransport(cast(RTCIceTransport, carrier), [self._certificate])
        transport._set_role("server")
        return transport


class _Carrier:
    """What `RTCDtlsTransport` needs of an ICE transport: a bounded inbox, a way out, a role and a state."""

    role = "controlled"
    state = "completed"

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self.out = send
        self.inbox: asyncio.Queue[bytes] = asyncio.Queue(_QUEUE_DATAGRAMS)

    async def _recv(self) -> bytes:
        return await self.inbox.get()

    async def _send(self, datagram: bytes) -> None:
        self.out(datagram)


class DtlsServer:
    """One leg's DTLS association, from ClientHello to close_notify."""

    def __init__(self, certificate: Certificate, *, send: Callable[[bytes], None], drops: Drops) -> None:
        """`send` takes a datagram for the peer and never raises."""
        self._carrier = _Carrier(send)
        self._transport = certificate.transport(self._carrier)
        self._drops = drops
        self._closed = asyncio.Event()
        self._transport.on("statechange", self._on_state)

    def receive(self, datagram: bytes) -> None:
        """Takes a DTLS record from the peer; drops it when too many wait already."""
        try:
            self._carrier.inbox.put_nowait(datagram)
        except asyncio.QueueFull:
            self._drops[Drop.DTLS_QUEUE_FULL] += 1

    async def handshake(
        self, fingerprints: tuple[tuple[str, str], ...], *, limit_s: float = HANDSHAKE_LIMIT_S
    ) -> SrtpTransforms:
        """Waits for the peer's handshake; he must hold a certificate of these (algorithm, value) fingerprints.

        Every fingerprint of a known algorithm must match, at least one must be known (RFC 8122 §5). Raises
        `HandshakeFailed` when it does not come to keys within `limit_s` seconds. Call it once.
        """
        if not fingerprints:
            raise HandshakeFailed("the peer gave no fingerprint")
        parameters = RTCDtlsParameters([RTCDtlsFingerprint(algorithm, value) for algorithm, value in fingerprints])
        try:
            async with asyncio.timeout(limit_s):
                await self._transport.start(parameters)
        except TimeoutError:
            raise HandshakeFailed("no DTLS handshake in time") from None
        except Exception as exc:  # whatever a hostile flight or certificate provokes in OpenSSL or its wrappers
            raise HandshakeFailed(f"the DTLS handshake broke: {type(exc).__name__}") from exc
        transport = self._transport
        if transport.state != "connected":
            raise HandshakeFailed("the DTLS handshake failed or the certificate has another fingerprint")
        return SrtpTransforms(transport._rx_srtp, transport._tx_srtp, self._drops)

    @property
    def srtp_profile(self) -> str:
        """The negotiated protection profile by its OpenSSL name, GCM where the peer has it; empty before the keys."""
        connection = self._transport._ssl
        return "" if connection is None else connection.get_selected_srtp_profile().decode()

    async def wait_closed(self) -> None:
        """Returns when the peer ended the association (close_notify) or it broke."""
        await self._closed.wait()

    async def close(self) -> None:
        """Says close_notify where there is an association and ends aiortc's task. Closing twice is fine."""
        pump = self._transport._task
        try:
            await self._transport.stop()
        except Exception as exc:  # OpenSSL refuses to shut down what never came up
            log.debug("DTLS shutdown failed", extra={"error": type(exc).__name__})
        self._transport.remove_all_listeners()
        self._carrier.out = _discard  # no cycle through the owner: OpenSSL's memory goes with the leg
        if pump is not None:
            await asyncio.wait([pump])
            if not pump.cancelled() and pump.exception() is not None:
                log.warning("DTLS ended on an error", extra={"error": type(pump.exception()).__name__})

    def _on_state(self) -> None:
        if self._transport.state in ("closed", "failed"):
            self._closed.set()


def _discard(_datagram: bytes) -> None:
    """Where a closed association sends to."""
