"""Any datagram, from a stranger or on a peer's own route, is handed on or dropped and counted; it never raises."""

import pylibsrtp

from hushroom_sfu.plane.demultiplex import Demultiplexer
from hushroom_sfu.plane.drops import Drops
from hushroom_sfu.plane.ice_lite import Check
from hushroom_sfu.plane.routes import DatagramPath, Endpoint, Route
from hushroom_sfu.plane.srtp import SrtpTransforms, is_rtcp
from tests.fuzz import target_stun
from tests.support.pcap import captures, udp_payloads

_HOME: Route = (("192.0.2.1", 4000), b"")
_STRANGER: Route = (("192.0.2.2", 4000), b"")
_KEY = bytes(range(28))


class _Wire:
    """A socket and a path that lead nowhere."""

    heard_at = float("-inf")

    def path_to(self, route: Route) -> DatagramPath:
        return self

    def send(self, datagram: bytes) -> None:
        raise AssertionError("nothing here has anything to send")


class _Leg:
    """A receiver with the real SRTP behind it."""

    def __init__(self, drops: Drops) -> None:
        profile = pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_128_GCM
        rx = pylibsrtp.Session(pylibsrtp.Policy(_KEY, pylibsrtp.Policy.SSRC_ANY_INBOUND, srtp_profile=profile))
        tx = pylibsrtp.Session(pylibsrtp.Policy(_KEY, pylibsrtp.Policy.SSRC_ANY_OUTBOUND, srtp_profile=profile))
        self.srtp = SrtpTransforms(rx, tx, drops)
        self.taken = 0

    def receive_check(self, check: Check, route: Route, endpoint: Endpoint, now: float) -> None:
        self.taken += 1

    def receive_dtls(self, datagram: bytes) -> None:
        self.taken += 1

    def receive_media(self, datagram: bytes, path: DatagramPath, now: float) -> None:
        plain = self.srtp.unprotect_rtcp(datagram) if is_rtcp(datagram) else self.srtp.unprotect_rtp(datagram)
        self.taken += plain is not None


def corpus() -> list[bytes]:
    sender = _Leg(Drops()).srtp
    plain = [datagram for capture in captures() for _, datagram in udp_payloads(capture)][::41]
    media = [sender.protect_rtcp(packet) if is_rtcp(packet) else sender.protect_rtp(packet) for packet in plain]
    hello = bytes.fromhex("16feff0000000000000000002e010000220000000000000022fefd") + bytes(40)
    return [*(packet for packet in media if packet is not None), *plain[::7], *target_stun.corpus(), hello, b""]


def fuzz(data: bytes) -> None:
    for route in (_HOME, _STRANGER):
        drops = Drops()
        demultiplexer, leg, wire = Demultiplexer(drops), _Leg(drops), _Wire()
        demultiplexer.register("ours", leg)
        demultiplexer.attach(_HOME, leg, wire)
        demultiplexer.receive(data, route, wire, 0.0)
        assert leg.taken + drops.total() == 1, "handed on or dropped, and counted once"
        if route == _STRANGER and data and data[0] > 3:
            assert leg.taken == 0
