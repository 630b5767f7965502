"""Every private name of aiortc and aioice that the client leans on, one test each: fails first when they move."""

import asyncio
import inspect

import aioice.ice
import aiortc
import pytest
from aiortc import RTCBundlePolicy, RTCConfiguration, RTCPeerConnection
from aiortc.rtcdtlstransport import RTCDtlsTransport
from aiortc.rtcrtpreceiver import RTCRtpReceiver
from aiortc.rtcrtpsender import RTCRtpSender
from aiortc.rtp import AnyRtcpPacket, RtcpRrPacket, RtcpSenderInfo, RtcpSrPacket

from hushroom_client.media import aiortc_seam


def test_this_is_the_aiortc_that_the_seam_was_written_for() -> None:
    assert aiortc.__version__.startswith("1.16."), "read tests/client/media/test_aiortc_seam.py before raising the pin"


@pytest.mark.parametrize("name", ["_recv_next", "_handle_rtp_data", "_handle_rtcp_data", "_send_rtp"])
def test_the_transport_has(name: str) -> None:
    assert inspect.iscoroutinefunction(getattr(RTCDtlsTransport, name))


def test_the_transport_looks_its_handlers_up_on_itself_and_names_their_arguments() -> None:
    pump = inspect.getsource(RTCDtlsTransport)
    assert "await self._recv_next()" in pump
    assert "await self._handle_rtcp_data(data)" in pump
    assert "await self._handle_rtp_data(data, arrival_time_ms=arrival_time_ms)" in pump
    assert "except ConnectionError" in pump  # how its end is told from a mishap


@pytest.mark.parametrize("name", ["_send_keyframe", "_send_rtcp"])
def test_the_sender_has_and_calls_on_itself(name: str) -> None:
    assert callable(getattr(RTCRtpSender, name))
    assert f"self.{name}(" in inspect.getsource(RTCRtpSender)


def test_the_receiver_starts_nothing_before_receive() -> None:
    assert inspect.iscoroutinefunction(RTCRtpReceiver.receive)
    assert "decoder_thread.start" not in inspect.getsource(RTCRtpReceiver.__init__)


def test_reports_are_made_of() -> None:
    report = RtcpSrPacket(1, RtcpSenderInfo(ntp_timestamp=2, rtp_timestamp=3, packet_count=4, octet_count=5))
    report.sender_info.ntp_timestamp, report.sender_info.rtp_timestamp = 6, 7
    assert bytes(report)[8:20] == (6).to_bytes(8) + (7).to_bytes(4)


def test_a_max_bundle_connection_has_one_transport_from_its_first_transceiver_on() -> None:
    async def transports() -> set[int]:
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        assert aiortc_seam.transport_of(connection) is None
        for kind in ("audio", "video"):
            connection.addTransceiver(kind, direction="sendonly")
        found = {id(transceiver.receiver.transport) for transceiver in connection.getTransceivers()}
        assert {id(aiortc_seam.transport_of(connection))} == found
        await connection.close()
        return found

    assert len(asyncio.run(transports())) == 1


def test_aioice_looks_host_addresses_up_in_its_module_by_these_arguments() -> None:
    assert "addresses = get_host_addresses(" in inspect.getsource(aioice.ice.Connection.gather_candidates)
    assert "127.0.0.1" not in aioice.ice.get_host_addresses(use_ipv4=True, use_ipv6=True)
    with aiortc_seam.gather_loopback_too():
        assert "127.0.0.1" in aioice.ice.get_host_addresses(use_ipv4=True, use_ipv6=False)
        assert "::1" in aioice.ice.get_host_addresses(use_ipv4=False, use_ipv6=True)
        assert "127.0.0.1" not in aioice.ice.get_host_addresses(use_ipv4=False, use_ipv6=True)
    assert "127.0.0.1" not in aioice.ice.get_host_addresses(use_ipv4=True, use_ipv6=True)


async def test_loopback_is_gathered_by_the_task_that_asked_and_by_no_other() -> None:
    other_may_look = asyncio.Event()

    async def other() -> list[str]:
        await other_may_look.wait()
        return aioice.ice.get_host_addresses(use_ipv4=True, use_ipv6=True)

    looking = asyncio.create_task(other())
    with aiortc_seam.gather_loopback_too():
        other_may_look.set()
        assert "127.0.0.1" not in await looking


async def test_a_mishap_behind_a_datagram_ends_nothing_but_a_lost_connection_does() -> None:
    class Transport:
        mishaps: list[Exception]

        async def _recv_next(self) -> None:
            raise self.mishaps.pop()

    transport = Transport()
    transport.mishaps = [ConnectionError(), IndexError(), ValueError()]
    aiortc_seam.harden(transport)  # type: ignore[arg-type]  # the one method that counts
    aiortc_seam.harden(transport)  # type: ignore[arg-type]  # twice is once
    await transport._recv_next()
    await transport._recv_next()
    with pytest.raises(ConnectionError):
        await transport._recv_next()


async def test_sender_reports_carry_the_clock_they_are_given_and_none_before_the_first_packet() -> None:
    class Sender:
        def __init__(self) -> None:
            self.sent: list[AnyRtcpPacket] = []

        async def _send_rtcp(self, packets: list[AnyRtcpPacket]) -> None:
            self.sent += packets

    sender = Sender()
    aiortc_seam.report_by(sender, lambda rtp_time: (77, rtp_time + 5))  # type: ignore[arg-type]  # as above
    await sender._send_rtcp([RtcpSrPacket(1, RtcpSenderInfo(2, 3, packet_count=0, octet_count=0))])
    await sender._send_rtcp([RtcpSrPacket(1, RtcpSenderInfo(2, 3, packet_count=4, octet_count=5))])
    assert sender.sent == [RtcpRrPacket(1), RtcpSrPacket(1, RtcpSenderInfo(77, 8, 4, 5))]
