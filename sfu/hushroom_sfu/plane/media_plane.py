"""The data plane put together: legs on one UDP port, the forwarder between them, the engine behind it.

Runs the forwarder's clock and carries out its actions. Who is in which room is not known here.
"""

import asyncio
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable

from hushroom_common.ids import LegId, LegRole
from hushroom_sfu.core.actions import Action, FanOut, Transmit, TransmitRtcp
from hushroom_sfu.core.down_track import ALL_TEMPORAL_LAYERS, DownTrackId
from hushroom_sfu.core.forwarder import Forwarder
from hushroom_sfu.core.specs import DownTrackSpec, UpTrackSpec
from hushroom_sfu.core.up_track import UpTrackId
from hushroom_sfu.plane.demultiplex import Demultiplexer
from hushroom_sfu.plane.drops import Drop
from hushroom_sfu.plane.dtls import Certificate
from hushroom_sfu.plane.fan_out import FanOutEngine, PythonFanOut
from hushroom_sfu.plane.leg import CloseReason, Leg, LegLimits, LegState, OnState
from hushroom_sfu.plane.udp_port import UdpPort

__all__ = ["MediaPlane"]

log = logging.getLogger(__name__)

_TICK_S = 0.01
"""While a loss or a keyframe wish is open the forwarder is asked this often; else when it says itself."""


class MediaPlane:
    """Opens the UDP port on construction; `async with` it (or `start`/`close`) inside the event loop."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        public_ips: Iterable[str] = (),
        limits: LegLimits | None = None,
        engine: FanOutEngine | None = None,
        clock: Callable[[], float] = time.monotonic,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """Raises OSError when the port cannot be bound and ValueError when an address cannot be one."""
        self.drops: Counter[Drop] = Counter()
        self.forwarder = Forwarder(unix_at_zero=time.time() - clock(), entropy=entropy)
        self.certificate = Certificate.generate()
        self._port = UdpPort(host, port, public_ips=public_ips, drops=self.drops, clock=clock)
        self._demultiplexer = Demultiplexer(self.drops)
        self._limits = limits
        self._engine = engine or PythonFanOut()
        self._clock = clock
        self._entropy = entropy
        self._legs: dict[LegId, Leg] = {}
        self._tasks = asyncio.TaskGroup()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        self._minted = 0

    async def __aenter__(self) -> "MediaPlane":
        await self._tasks.__aenter__()
        self._port.start(self._demultiplexer.receive)
        return self

    async def __aexit__(self, *exc: object) -> None:
        for leg in tuple(self._legs.values()):
            leg.close()
        await self._tasks.__aexit__(None, None, None)
        if self._timer is not None:
            self._timer.cancel()
        self._port.close()

    @property
    def udp_port(self) -> int:
        """The port number that every leg shares."""
        return self._port.port

    @property
    def candidates(self) -> tuple[tuple[str, int], ...]:
        """The addresses to offer as host candidates, best first."""
        return self._port.candidates

    @property
    def leg_count(self) -> int:
        """Legs that are not closed yet."""
        return len(self._legs)

    # --- legs --------------------------------------------------------------------------------------------------

    def open_leg(self, role: LegRole, on_state: OnState) -> Leg:
        """A new leg; its credentials go into the next SDP. It is forgotten by itself once it is closed."""
        self._minted += 1
        leg_id = LegId(self._minted)

        def changed(state: LegState, reason: CloseReason | None) -> None:
            if state is LegState.CLOSED:
                self._forget(leg_id)
            on_state(state, reason)

        leg = Leg(
            leg_id,
            role,
            demultiplexer=self._demultiplexer,
            certificate=self.certificate,
            drops=self.drops,
            on_rtp=lambda packet, now: self._carry_out(self.forwarder.receive(packet, leg_id, now), now),
            on_rtcp=lambda packet, now: self._carry_out(self.forwarder.receive_rtcp(packet, leg_id, now), now),
            on_state=changed,
            limits=self._limits,
            entropy=self._entropy,
            clock=self._clock,
        )
        now = self._clock()
        self._legs[leg_id] = leg
        self.forwarder.add_leg(leg_id, now)
        self._engine.add_leg(leg_id, leg.send_rtp)
        self._tasks.create_task(self._serve(leg), name=f"leg {leg_id}")
        self._wake_by(now)
        return leg

    async def _serve(self, leg: Leg) -> None:
        try:
            await leg.serve()
        except Exception:
            # One leg's failure must not end the task group, and with it everybody's.
            log.exception("leg failed", extra={"leg": leg.id})
            self.drops[Drop.INTERNAL_ERROR] += 1
            self._forget(leg.id)

    def _forget(self, leg_id: LegId) -> None:
        if self._legs.pop(leg_id, None) is None:
            return
        self._engine.remove_leg(leg_id)
        now = self._clock()
        self._carry_out(self.forwarder.remove_leg(leg_id, now), now)

    # --- tracks ------------------------------------------------------------------------------------------------

    def publish(self, leg: LegId, spec: UpTrackSpec) -> UpTrackId:
        """Accepts a publisher's negotiated track."""
        return self.forwarder.publish(leg, spec)

    def unpublish(self, track: UpTrackId) -> None:
        """Ends a track; its slots are free."""
        now = self._clock()
        self._carry_out(self.forwarder.unpublish(track, now), now)

    def open_slot(self, leg: LegId, spec: DownTrackSpec) -> DownTrackId:
        """Makes a subscriber's negotiated slot ready."""
        return self.forwarder.open_slot(leg, spec, self._clock())

    def assign(self, slot: DownTrackId, track: UpTrackId, max_temporal_id: int | None = None) -> None:
        """Fills a slot from the track's next keyframe on. Raises ValueError when it cannot carry the codec."""
        now = self._clock()
        limit = ALL_TEMPORAL_LAYERS if max_temporal_id is None else max_temporal_id
        self._carry_out(self.forwarder.assign(slot, track, now, limit), now)

    def limit(self, slot: DownTrackId, max_temporal_id: int | None) -> None:
        """Changes how many temporal layers a slot gets; None is all."""
        self.forwarder.limit(slot, ALL_TEMPORAL_LAYERS if max_temporal_id is None else max_temporal_id)

    def release(self, slot: DownTrackId) -> None:
        """Empties a slot."""
        now = self._clock()
        self._carry_out(self.forwarder.release(slot, now), now)

    # --- the forwarder's actions and clock ---------------------------------------------------------------------

    def _carry_out(self, actions: list[Action], now: float) -> None:
        engine = self._engine
        for action in actions:
            match action:
                case FanOut():
                    engine.fan_out(action)
                case Transmit(leg, packet):
                    engine.transmit(leg, packet)
                case TransmitRtcp(leg, packet):
                    sender = self._legs.get(leg)
                    if sender is not None:
                        sender.send_rtcp(packet)
        if self.forwarder.has_open_wishes and self._timer_at > now + _TICK_S:
            self._wake_by(now + _TICK_S)

    def _wake_by(self, deadline: float) -> None:
        if deadline >= self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = deadline
        self._timer = asyncio.get_running_loop().call_later(max(0.0, deadline - self._clock()), self._on_time)

    def _on_time(self) -> None:
        self._timer_at = float("inf")
        now = self._clock()
        try:
            self._carry_out(self.forwarder.handle_timeout(now), now)
        finally:  # a failure is the event loop's to tell; everybody's clock goes on
            deadline = self.forwarder.next_deadline()
            if deadline is not None:
                self._wake_by(max(deadline, now + _TICK_S))
