"""What the forwarder asks its shell to do: at once, in order. Nothing here outlives the call that it came from."""

from typing import NamedTuple

from hushroom_common.ids import LegId
from hushroom_sfu.core.packet import MediaPacket
from hushroom_sfu.core.route import Route

__all__ = ["Action", "FanOut", "Transmit", "TransmitRtcp"]


class FanOut(NamedTuple):
    """Send one ingress packet along all routes of a class. The list is the forwarder's own: do not keep it."""

    routes: list[Route]
    number: int
    dropped_frames: int
    packet: MediaPacket


class Transmit(NamedTuple):
    """Send one finished RTP packet (a retransmission or a filler); SRTP is still to come."""

    leg: LegId
    packet: bytes


class TransmitRtcp(NamedTuple):
    """Send one compound RTCP packet; SRTCP is still to come."""

    leg: LegId
    packet: bytes


Action = FanOut | Transmit | TransmitRtcp
