"""The server put together: media plane, control plane and HTTP side, started and ended in the right order."""

import asyncio
import logging
import os
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Self

from pyee import EventEmitter

from hushroom_sfu.config import Config
from hushroom_sfu.control import Control
from hushroom_sfu.conversation.switchboard import Admit, Switchboard
from hushroom_sfu.observe.exposition import Family
from hushroom_sfu.observe.logs import RoomTags
from hushroom_sfu.observe.metrics import LifecycleTally, Readings, families
from hushroom_sfu.observe.room_log import RoomLog
from hushroom_sfu.plane.leg import LegLimits
from hushroom_sfu.plane.media_plane import MediaPlane
from hushroom_sfu.start_error import cannot_bind
from hushroom_sfu.web.app import Doors, build_app
from hushroom_sfu.web.http_port import HttpPort, IdleConnections
from hushroom_sfu.web.signal_socket import CLOSE_LIMIT_S
from hushroom_sfu.web.tokens import TokenGate, open_gate

__all__ = ["Server"]

log = logging.getLogger(__name__)

_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "127.0.0.1", "::1": "[::1]"}  # noqa: S104 (compared with, not bound to)

_HISTORY_GAP_S = 1.0
"""To add histories up looks at each packet in them: 20 ms where 500 tracks are published."""


class Server:
    """One server process. `async with` it in one task; `drain` before the end is polite, not necessary."""

    def __init__(
        self,
        config: Config,
        *,
        leg_limits: LegLimits | None = None,
        clock: Callable[[], float] = time.monotonic,
        unix_clock: Callable[[], float] = time.time,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """Opens nothing yet."""
        self.config = config
        self.events = EventEmitter()
        """Emits every `RoomEvent` by its kind, and "closed" with the code of each WebSocket closed."""
        self.tally = LifecycleTally(self.events)
        self._leg_limits = leg_limits
        self._clock = clock
        self._unix_clock = unix_clock
        self._entropy = entropy
        self._room_log = RoomLog(self.events, RoomTags(entropy(32)))
        self._history_bytes = 0
        self._history_read_at = float("-inf")
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Opens the ports. Raises `StartError` when one cannot be opened."""
        config = self.config
        async with AsyncExitStack() as stack:
            self.plane = await stack.enter_async_context(self._open_plane())
            switchboard = Switchboard(admit=self._admit(), entropy=self._entropy, limits=config.limits)
            self.control = Control(switchboard, self.plane, self.events, clock=self._clock)
            stack.callback(self.control.stop)
            idle = IdleConnections(config.max_idle_s, self._clock)
            self._doors = Doors(
                self.control.connected,
                self.metrics,
                idle,
                max_message_bytes=config.max_message_bytes,
                heartbeat_s=config.heartbeat_s,
                for_this_machine_only=config.is_open and not config.is_open_to_network,
                clock=self._clock,
            )
            port = HttpPort(build_app(self._doors), config.host, config.port, idle)
            self._http_port = await stack.enter_async_context(port)
            stack.push_async_callback(self.drain)
            self._stack = stack.pop_all()
        log.info("serving", extra={"is_open": config.is_open, "udp_port": self.udp_port, "port": self._http_port.port})
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()
        log.info("ended")

    @property
    def url(self) -> str:
        """Where browsers on this machine find the server."""
        return f"http://{_WILDCARDS.get(self.config.host, self.config.host)}:{self._http_port.port}"

    @property
    def udp_port(self) -> int:
        """The port of all media."""
        return self.plane.udp_port

    async def drain(self) -> None:
        """Let nobody in any more, tell everybody, and wait until they are gone, but not for long."""
        if self._doors.is_draining:
            return
        self._doors.is_draining = True
        log.info("draining", extra={"participants": self.control.counts.participants})
        self.control.shut_down()
        try:
            async with asyncio.timeout(CLOSE_LIMIT_S + 1):
                await self._doors.all_closed()
        except TimeoutError:
            log.warning("some WebSockets did not close in time")

    def metrics(self) -> list[Family]:
        """All metrics as they are now."""
        return families(
            self.tally,
            Readings(
                counts=self.control.counts,
                plane_legs=self.plane.leg_count,
                history_bytes=self._read_history(),
                datagram_drops=self.plane.drops,
                packet_drops=self.plane.forwarder.drops,
                slow_readers=self._doors.slow_readers,
                failures=self.control.failures,
            ),
        )

    def _read_history(self) -> int:
        """Payload bytes of all histories, at most `_HISTORY_GAP_S` old: anyone may ask for the metrics, often."""
        now = self._clock()
        if now - self._history_read_at >= _HISTORY_GAP_S:
            self._history_read_at = now
            self._history_bytes = sum(track.history.octets() for track in self.plane.forwarder.up_tracks())
        return self._history_bytes

    def _open_plane(self) -> MediaPlane:
        config = self.config
        try:
            return MediaPlane(
                config.media_host,
                config.udp_port,
                public_ips=config.public_ips,
                limits=self._leg_limits,
                clock=self._clock,
                entropy=self._entropy,
            )
        except OSError as error:
            raise cannot_bind(error, flag_prefix="udp-", host=config.media_host, port=config.udp_port) from None

    def _admit(self) -> Admit:
        secret = self.config.secret
        return open_gate if secret is None else TokenGate(secret, self._unix_clock)
