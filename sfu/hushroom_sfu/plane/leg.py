"""One peer's transport: ICE-lite, DTLS and SRTP put together, from the first check to the last packet.

Media goes socket -> demultiplexer -> `receive_media` -> `on_rtp` on one call stack: no queue or task between.
What the packets mean is for `core`; who the peer is, for `rooms` and `conversation`.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from hushroom_common.errors import WireError
from hushroom_common.ids import LegId, LegRole
from hushroom_sfu.plane.demultiplex import Demultiplexer
from hushroom_sfu.plane.drops import Drop, Drops
from hushroom_sfu.plane.dtls import HANDSHAKE_LIMIT_S, Certificate, DtlsServer, HandshakeFailed
from hushroom_sfu.plane.ice_lite import Check, CheckDropped, IceCredentials, IceLiteAgent, PathSelected, Respond
from hushroom_sfu.plane.liveness import SILENT_S, Liveness
from hushroom_sfu.plane.routes import DatagramPath, Endpoint, Route
from hushroom_sfu.plane.srtp import SrtpTransforms, is_rtcp

__all__ = ["CloseReason", "Leg", "LegLimits", "LegState", "OnPacket", "OnState"]

log = logging.getLogger(__name__)

_MAX_ROUTES = 8
"""Addresses of one peer that stay known; the one longest unheard of is forgotten first."""


class LegState(StrEnum):
    """How far a leg has come; it never goes back."""

    NEW = "new"
    CHECKING = "checking"
    HANDSHAKING = "handshaking"
    CONNECTED = "connected"
    CLOSED = "closed"


class CloseReason(StrEnum):
    """Why a leg is closed."""

    LOCAL = "local"
    NO_PATH = "no_path"
    HANDSHAKE_FAILED = "handshake_failed"
    PEER_CLOSED = "peer_closed"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class LegLimits:
    """How long a peer may take, in seconds: from `connect` to a first valid check, to keys, and between packets."""

    path_s: float = 30.0
    handshake_s: float = HANDSHAKE_LIMIT_S
    silent_s: float = SILENT_S


OnPacket = Callable[[bytes, float], None]
"""Takes a plain packet and now."""

OnState = Callable[[LegState, CloseReason | None], None]
"""Takes the new state and, with CLOSED, the reason."""


class Leg:
    """One peer's transport. The owner keeps `serve()` running in a task; everything else is synchronous."""

    def __init__(
        self,
        leg_id: LegId,
        role: LegRole,
        *,
        demultiplexer: Demultiplexer,
        certificate: Certificate,
        drops: Drops,
        on_rtp: OnPacket,
        on_rtcp: OnPacket,
        on_state: OnState,
        limits: LegLimits | None = None,
        entropy: Callable[[int], bytes] = os.urandom,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Needs a running event loop. `serve` answers checks; media flows after `connect` and the handshake."""
        self.id = leg_id
        self.role = role
        self.state = LegState.NEW
        self.fingerprints = certificate.fingerprints
        self._demultiplexer = demultiplexer
        self._drops = drops
        self._on_rtp, self._on_rtcp, self._on_state = on_rtp, on_rtcp, on_state
        self._limits = limits or LegLimits()
        self._entropy = entropy
        self._clock = clock
        self._agent = IceLiteAgent(IceCredentials.generate(entropy))
        self._liveness = Liveness(clock(), limit_s=self._limits.silent_s)
        self._paths: dict[Route, DatagramPath] = {}
        self._selected: DatagramPath | None = None
        self._out: DatagramPath | None = None  # the selected path while the peer consents to receive
        self._srtp: SrtpTransforms | None = None
        self._dtls = DtlsServer(certificate, send=self.send_protected, drops=drops)
        self._remote_fingerprints: tuple[tuple[str, str], ...] = ()
        self._has_remote = asyncio.Event()
        self._has_path = asyncio.Event()
        self._reason: CloseReason | None = None
        self._end: asyncio.Timeout | None = None

    # --- negotiation ----------------------------------------------------------------------------------------------

    @property
    def credentials(self) -> IceCredentials:
        """Our ICE user name fragment and password for the next SDP."""
        return self._agent.credentials

    def connect(self, remote_ufrag: str, fingerprints: tuple[tuple[str, str], ...]) -> None:
        """Takes what the peer's SDP says: his user name fragment and his certificate's (algorithm, value) fingerprints.

        A later call is an ICE restart or a plain renegotiation; its fingerprints must be the same, for the DTLS
        association lives on. Raises `WireError` when they are not, or when there is none at all.
        """
        if not fingerprints:
            raise WireError("no certificate fingerprint")
        if self._has_remote.is_set() and set(fingerprints) != set(self._remote_fingerprints):
            raise WireError("another certificate on a living transport")
        self._remote_fingerprints = fingerprints
        self._agent.set_remote(remote_ufrag)
        self._has_remote.set()

    def restart_ice(self) -> IceCredentials:
        """New credentials in answer to the peer's ICE restart; the old ones work until he uses the new."""
        before = self._agent.ufrags
        self._agent.restart(IceCredentials.generate(self._entropy))
        self._register_ufrags(before)
        return self._agent.credentials

    # --- life -----------------------------------------------------------------------------------------------------

    async def serve(self) -> None:
        """Runs the leg until it is closed, by us or by the peer. Cancelling it closes the leg as well."""
        self._register_ufrags()
        try:
            async with asyncio.timeout(None if self._reason is None else 0) as self._end:
                reason = await self._live()
                self._reason = self._reason or reason
        except TimeoutError:
            if self._reason is None:
                raise  # not `close`, which rescheduled the end to now
        finally:
            self._reason = self._reason or CloseReason.LOCAL  # from here on `close` has nothing to do
            self._srtp = None
            try:
                await self._dtls.close()
            finally:
                self._forget()
                self._enter(LegState.CLOSED, self._reason)

    def close(self, reason: CloseReason = CloseReason.LOCAL) -> None:
        """Ends the leg: `serve` says close_notify and returns. Closing twice is fine, the first reason counts."""
        if self._reason is None:
            self._reason = reason
            if self._end is not None:
                self._end.reschedule(asyncio.get_running_loop().time())

    async def _live(self) -> CloseReason:
        await self._has_remote.wait()
        self._enter(LegState.CHECKING)
        try:
            async with asyncio.timeout(self._limits.path_s):
                await self._has_path.wait()
        except TimeoutError:
            return CloseReason.NO_PATH
        self._enter(LegState.HANDSHAKING)
        try:
            self._srtp = await self._dtls.handshake(self._remote_fingerprints, limit_s=self._limits.handshake_s)
        except HandshakeFailed as exc:
            log.warning("leg refused", extra={"leg": self.id, "reason": str(exc)})
            return CloseReason.HANDSHAKE_FAILED
        self._liveness.heard_at = self._clock()
        self._enter(LegState.CONNECTED)
        while not self._liveness.is_silent(now := self._clock()):
            try:
                async with asyncio.timeout(self._wake_at(now) - now):
                    await self._dtls.wait_closed()
                    return CloseReason.PEER_CLOSED
            except TimeoutError:
                continue
        return CloseReason.SILENT

    def _wake_at(self, now: float) -> float:
        """When silence or the end of the peer's consent is next to be judged; stops sending when it has ended."""
        expires_at = self._agent.consent_expires_at
        if self._out is None or expires_at is None:
            return self._liveness.deadline
        if now >= expires_at:  # RFC 7675 §5.1
            self._out = None
            return self._liveness.deadline
        return min(self._liveness.deadline, expires_at)

    def _enter(self, state: LegState, reason: CloseReason | None = None) -> None:
        self.state = state
        log.info("leg %s", state, extra={"leg": self.id, "role": self.role, "reason": reason})
        self._on_state(state, reason)

    def _register_ufrags(self, before: tuple[str, ...] = ()) -> None:
        ufrags = self._agent.ufrags
        for ufrag in ufrags:
            self._demultiplexer.register(ufrag, self)
        for ufrag in set(before) - set(ufrags):
            self._demultiplexer.unregister(ufrag)

    def _forget(self) -> None:
        for ufrag in self._agent.ufrags:
            self._demultiplexer.unregister(ufrag)
        for route in self._paths:
            self._demultiplexer.detach(route, self)
        self._paths.clear()
        self._out = self._selected = None

    # --- what comes in --------------------------------------------------------------------------------------------

    def receive_check(self, check: Check, route: Route, endpoint: Endpoint, now: float) -> None:
        """Takes a connectivity check that names this leg."""
        heard_at = float("-inf") if self._selected is None else self._selected.heard_at
        before = self._agent.ufrags
        path = self._paths.get(route)
        for action in self._agent.receive(check, route, now, heard_at=heard_at):
            match action:
                case CheckDropped(reason):
                    self._drops[reason] += 1
                    return
                case Respond(datagram):
                    path = path or endpoint.path_to(route)
                    path.send(datagram)
                case PathSelected():
                    self._selected = path
                    self._has_path.set()
        if path is not None:
            self._keep(route, path)
        self._liveness.heard_at = now
        self._out = self._selected
        if self._agent.ufrags != before:
            self._register_ufrags(before)  # the peer uses the new credentials: an ICE restart is complete

    def receive_dtls(self, datagram: bytes) -> None:
        """Takes a DTLS record from one of this peer's routes."""
        self._dtls.receive(datagram)

    def receive_media(self, datagram: bytes, path: DatagramPath, now: float) -> None:
        """Takes a protected RTP or RTCP packet from one of this peer's routes and hands on what is authentic."""
        srtp = self._srtp
        if srtp is None:
            self._drops[Drop.MEDIA_BEFORE_KEYS] += 1
            return
        if is_rtcp(datagram):
            plain, deliver = srtp.unprotect_rtcp(datagram), self._on_rtcp
        else:
            plain, deliver = srtp.unprotect_rtp(datagram), self._on_rtp
        if plain is not None:
            path.heard_at = self._liveness.heard_at = now
            deliver(plain, now)

    @property
    def last_authenticated_at(self) -> float:
        """When a check with integrity or an authentic packet last came, in monotonic seconds."""
        return self._liveness.heard_at

    def _keep(self, route: Route, path: DatagramPath) -> None:
        """Remembers a route that a valid check came along: late packets of an old address are still this peer's."""
        self._paths.pop(route, None)
        self._paths[route] = path  # the newest is the last
        self._demultiplexer.attach(route, self, path)
        if len(self._paths) > _MAX_ROUTES:
            oldest = next(known for known, kept in self._paths.items() if kept is not self._selected)
            del self._paths[oldest]
            self._demultiplexer.detach(oldest, self)

    # --- what goes out --------------------------------------------------------------------------------------------

    @property
    def srtp(self) -> SrtpTransforms | None:
        """The leg's SRTP, for an engine that protects by itself; None before the keys and after the end."""
        return self._srtp

    @property
    def srtp_profile(self) -> str:
        """The SRTP protection profile that the handshake chose, by OpenSSL's name; empty before."""
        return self._dtls.srtp_profile

    @property
    def route(self) -> Route | None:
        """Where packets go to at present; None before the first check. An address: not for logs."""
        return self._agent.selected

    def send_rtp(self, packet: bytes) -> None:
        """Protects and sends a plain RTP packet; dropped without keys, consent or path."""
        if self._srtp is not None and (protected := self._srtp.protect_rtp(packet)) is not None:
            self.send_protected(protected)

    def send_rtcp(self, packet: bytes) -> None:
        """Protects and sends a plain compound RTCP packet; dropped without keys, consent or path."""
        if self._srtp is not None and (protected := self._srtp.protect_rtcp(packet)) is not None:
            self.send_protected(protected)

    def send_protected(self, packet: bytes) -> None:
        """Sends bytes as they are; dropped and counted without consent or path. Never blocks or raises."""
        if self._out is not None:
            self._out.send(packet)
        else:
            self._drops[Drop.NO_CONSENT] += 1
