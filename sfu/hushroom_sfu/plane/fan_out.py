"""The fan-out engine: rewrite, protect, send. Small and mechanical, so that a faster one can take its place.

It decides nothing: `core` says what goes where, the legs hold keys and addresses.
"""

from collections.abc import Callable
from typing import Protocol

from hushroom_common.ids import LegId
from hushroom_sfu.core.actions import FanOut
from hushroom_sfu.core.route import rewritten

__all__ = ["FanOutEngine", "PythonFanOut", "SendRtp"]

SendRtp = Callable[[bytes], None]
"""Protects and sends one plain RTP packet of a leg; never blocks and never raises."""


class FanOutEngine(Protocol):
    """What the media plane asks of an engine; `tests/plane/test_fan_out.py` holds every one to it."""

    def add_leg(self, leg: LegId, send_rtp: SendRtp) -> None:
        """Packets for this leg go out by `send_rtp` from now on."""

    def remove_leg(self, leg: LegId) -> None:
        """Packets for this leg are dropped from now on."""

    def fan_out(self, action: FanOut) -> None:
        """Sends every subscriber in the action his copy."""

    def transmit(self, leg: LegId, packet: bytes) -> None:
        """Sends one finished packet."""


class PythonFanOut:
    """The engine in plain Python."""

    def __init__(self) -> None:
        self._senders: dict[LegId, SendRtp] = {}

    def add_leg(self, leg: LegId, send_rtp: SendRtp) -> None:
        """Packets for this leg go out by `send_rtp` from now on."""
        self._senders[leg] = send_rtp

    def remove_leg(self, leg: LegId) -> None:
        """Packets for this leg are dropped from now on."""
        self._senders.pop(leg, None)

    def fan_out(self, action: FanOut) -> None:
        """Sends every subscriber in the action his copy."""
        routes, number, dropped_frames, packet = action
        senders = self._senders
        for route in routes:
            send_rtp = senders.get(route.leg)
            if send_rtp is not None:
                send_rtp(rewritten(route, number, dropped_frames, packet))

    def transmit(self, leg: LegId, packet: bytes) -> None:
        """Sends one finished packet."""
        send_rtp = self._senders.get(leg)
        if send_rtp is not None:
            send_rtp(packet)
