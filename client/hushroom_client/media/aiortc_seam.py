"""The one file of the client that leans on names aiortc and aioice keep to themselves.

Everything else uses aiortc's documented API. `tests/client/media/test_aiortc_seam.py` names each private name and fails
first when aiortc moves. Nothing here knows codecs, frames or keys.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

import aioice.ice
from aiortc import RTCDtlsTransport, RTCPeerConnection, RTCRtpReceiver, RTCRtpSender
from aiortc.rtcrtpparameters import RTCRtpReceiveParameters
from aiortc.rtp import AnyRtcpPacket, RtcpRrPacket, RtcpSrPacket

__all__ = [
    "ReportClock",
    "gather_loopback_too",
    "harden",
    "on_keyframe_request",
    "on_receive_parameters",
    "receive_nothing",
    "receive_packets",
    "report_by",
    "send_rtcp",
    "transport_of",
]

log = logging.getLogger(__name__)

ReportClock = Callable[[int], tuple[int, int] | None]
"""From the RTP time of the last packet sent to (NTP time, RTP time) of one instant; None while there is none."""


# --- ICE --------------------------------------------------------------------------------------------------------

_gathers_loopback: ContextVar[bool] = ContextVar("gathers_loopback", default=False)


class _HostAddresses(Protocol):
    def __call__(self, use_ipv4: bool, use_ipv6: bool) -> list[str]: ...


def _with_loopback(get_host_addresses: _HostAddresses) -> _HostAddresses:
    def addresses(use_ipv4: bool, use_ipv6: bool) -> list[str]:
        found = get_host_addresses(use_ipv4=use_ipv4, use_ipv6=use_ipv6)
        if _gathers_loopback.get():
            loopback = ["127.0.0.1"] * use_ipv4 + ["::1"] * use_ipv6
            found = found + [address for address in loopback if address not in found]
        return found

    return addresses


# aioice leaves loopback out, so that no client could reach a server that only listens there. The wrapper changes
# nothing for whoever did not enter `gather_loopback_too`.
aioice.ice.get_host_addresses = _with_loopback(aioice.ice.get_host_addresses)


@contextmanager
def gather_loopback_too() -> Iterator[None]:
    """Within it, connections that gather ICE candidates offer 127.0.0.1 and ::1 as well."""
    token = _gathers_loopback.set(True)
    try:
        yield
    finally:
        _gathers_loopback.reset(token)


# --- the transport ----------------------------------------------------------------------------------------------


def transport_of(connection: RTCPeerConnection) -> RTCDtlsTransport | None:
    """The connection's DTLS transport, one under a `max-bundle` policy; None before it has a transceiver."""
    transceivers = connection.getTransceivers()
    return transceivers[0].receiver.transport if transceivers else None


def harden(dtls: RTCDtlsTransport) -> None:
    """Let no datagram end the transport; idempotent.

    aiortc ends a transport at any exception behind a datagram. An empty one, or one over 1500 bytes that looks like
    SRTP, is enough, and whoever can reach the UDP port can send them: neither address nor authentication is looked at.
    """
    if getattr(dtls, "hushroom_is_hardened", False):
        return
    receive_next: Callable[[], Awaitable[None]] = dtls._recv_next

    async def receive_next_safely() -> None:
        try:
            await receive_next()
        except ConnectionError:
            raise  # how aiortc says that the transport is over
        except Exception:
            log.debug("dropped a datagram that aiortc stumbled over", exc_info=True)
            await asyncio.sleep(0)

    dtls._recv_next = receive_next_safely  # type: ignore[method-assign]  # on one instance
    dtls.hushroom_is_hardened = True  # type: ignore[attr-defined]  # a mark of our own


def receive_packets(
    dtls: RTCDtlsTransport, *, on_rtp: Callable[[bytes], None], on_rtcp: Callable[[bytes], None]
) -> None:
    """Hand every unprotected packet of the transport to the callbacks instead of to aiortc's receivers; idempotent.

    Whatever a callback raises costs one packet and is logged.
    """

    async def handle_rtp(data: bytes, arrival_time_ms: int) -> None:
        _guarded(on_rtp, data)

    async def handle_rtcp(data: bytes) -> None:
        _guarded(on_rtcp, data)

    dtls._handle_rtp_data = handle_rtp  # type: ignore[method-assign]  # on one instance
    dtls._handle_rtcp_data = handle_rtcp  # type: ignore[method-assign]  # on one instance


def _guarded(handle: Callable[[bytes], None], data: bytes) -> None:
    try:
        handle(data)
    except Exception:
        log.warning("a packet was dropped by an error of ours", exc_info=True)


async def send_rtcp(dtls: RTCDtlsTransport, data: bytes) -> None:
    """Protect and send one RTCP compound. Raises ConnectionError when the transport is not connected."""
    await dtls._send_rtp(data)


# --- receiving --------------------------------------------------------------------------------------------------


def receive_nothing(receiver: RTCRtpReceiver) -> None:
    """Keep aiortc from ever starting this receiver, with its decoder thread and its reports."""
    _replace_receive(receiver, lambda _parameters: None)


def on_receive_parameters(receiver: RTCRtpReceiver, configure: Callable[[RTCRtpReceiveParameters], None]) -> None:
    """Call `configure` where aiortc would start the receiver, which stays stopped: at first and at renegotiations."""
    _replace_receive(receiver, configure)


def _replace_receive(receiver: RTCRtpReceiver, configure: Callable[[RTCRtpReceiveParameters], None]) -> None:
    async def receive(parameters: RTCRtpReceiveParameters) -> None:
        configure(parameters)

    receiver.receive = receive  # type: ignore[method-assign]  # a public name, replaced on one instance


# --- sending ----------------------------------------------------------------------------------------------------


def on_keyframe_request(sender: RTCRtpSender, request: Callable[[], None]) -> None:
    """Call `request` when the peer sends a PLI or FIR for this sender. It must not raise."""
    sender._send_keyframe = request  # type: ignore[method-assign]  # on one instance


def report_by(sender: RTCRtpSender, clock: ReportClock) -> None:
    """Let the sender's reports (SR) pair NTP and RTP time by `clock`.

    aiortc pairs the moment at which the last packet left with that packet's RTP time, which includes however long its
    encoding took, and reports NTP time 0 before the first packet. Receivers align sound and picture by these.
    """
    send = sender._send_rtcp

    async def send_with_clock(packets: list[AnyRtcpPacket]) -> None:
        await send([_reclocked(packet, clock) for packet in packets])

    sender._send_rtcp = send_with_clock  # type: ignore[method-assign]  # on one instance


def _reclocked(packet: AnyRtcpPacket, clock: ReportClock) -> AnyRtcpPacket:
    if not isinstance(packet, RtcpSrPacket):
        return packet
    pair = clock(packet.sender_info.rtp_timestamp) if packet.sender_info.packet_count else None
    if pair is None:
        return RtcpRrPacket(ssrc=packet.ssrc)  # RFC 3550 §6.4: who has sent nothing issues receiver reports
    packet.sender_info.ntp_timestamp, packet.sender_info.rtp_timestamp = pair
    return packet
