"""SRTP and SRTCP of one leg (RFC 3711, RFC 7714). Packets, hop by hop: never frames."""

from typing import Final

import pylibsrtp

from hushroom_sfu.plane.drops import Drop, Drops
from hushroom_sfu.plane.libsrtp import protector, rtcp_protector, rtcp_unprotector, unprotector

__all__ = ["MAX_SSRCS", "SrtpTransforms", "is_rtcp"]

MAX_SSRCS: Final = 256
"""SSRCs accepted from one peer: each costs libsrtp a context with a replay window for the leg's whole life."""

_MIN_RTP_BYTES: Final = 12
_MIN_RTCP_BYTES: Final = 8
_REPLAY_ERRORS: Final = frozenset(("replay check failed (bad index)", "replay check failed (index too old)"))


def is_rtcp(packet: bytes) -> bool:
    """Whether a packet on a multiplexed port is RTCP, by its packet type (RFC 5761 §4)."""
    return len(packet) > 1 and 192 <= packet[1] <= 223


class SrtpTransforms:
    """Protects what goes out and unprotects what comes in. Nothing raises: what fails is counted and gives None.

    Protecting a packet again gives the same bytes as long as the packet is the same and at most 1023 packets behind the
    SSRC's newest. The caller's duty: never two different packets under one SSRC and sequence number, for in GCM that
    exposes the leg's authentication key.
    """

    __slots__ = ("_drops", "_protect", "_protect_rtcp", "_sessions", "_ssrcs", "_unprotect", "_unprotect_rtcp")

    def __init__(self, receiving: pylibsrtp.Session, sending: pylibsrtp.Session, drops: Drops) -> None:
        self._sessions = (receiving, sending)  # the functions below hold their contexts, not them
        self._protect, self._protect_rtcp = protector(sending), rtcp_protector(sending)
        self._unprotect, self._unprotect_rtcp = unprotector(receiving), rtcp_unprotector(receiving)
        self._ssrcs: set[bytes] = set()
        self._drops = drops

    def unprotect_rtp(self, packet: bytes) -> bytes | None:
        """The plain RTP packet, or None when it is not authentic or came before."""
        if len(packet) < _MIN_RTP_BYTES:
            self._drops[Drop.SRTP_TOO_SHORT] += 1
            return None
        ssrc = packet[8:12]
        try:
            if ssrc in self._ssrcs:
                return self._unprotect(packet)
            if self._has_room():
                plain = self._unprotect(packet)
                self._ssrcs.add(ssrc)  # only now: forged ones must not fill the table
                return plain
        except (pylibsrtp.Error, ValueError) as exc:
            self._count(exc)
        return None

    def unprotect_rtcp(self, packet: bytes) -> bytes | None:
        """The plain compound RTCP packet, or None when it is not authentic or came before."""
        if len(packet) < _MIN_RTCP_BYTES:
            self._drops[Drop.SRTP_TOO_SHORT] += 1
            return None
        ssrc = packet[4:8]
        try:
            if ssrc in self._ssrcs or self._has_room():
                plain = self._unprotect_rtcp(packet)
                self._ssrcs.add(ssrc)
                return plain
        except (pylibsrtp.Error, ValueError) as exc:
            self._count(exc)
        return None

    def protect_rtp(self, packet: bytes) -> bytes | None:
        """The protected packet; None when it is over 1500 bytes or too old to be protected again."""
        try:
            return self._protect(packet)
        except ValueError:
            self._drops[Drop.PROTECT_TOO_LONG] += 1
        except pylibsrtp.Error:
            self._drops[Drop.PROTECT_REFUSED] += 1
        return None

    def protect_rtcp(self, packet: bytes) -> bytes | None:
        """The protected compound packet; None when it is too long."""
        try:
            return self._protect_rtcp(packet)
        except ValueError:
            self._drops[Drop.PROTECT_TOO_LONG] += 1
        except pylibsrtp.Error:
            self._drops[Drop.PROTECT_REFUSED] += 1
        return None

    def _has_room(self) -> bool:
        if len(self._ssrcs) < MAX_SSRCS:
            return True
        self._drops[Drop.SRTP_TOO_MANY_SSRCS] += 1
        return False

    def _count(self, exc: Exception) -> None:
        if isinstance(exc, ValueError):
            reason = Drop.SRTP_TOO_LONG
        elif str(exc) == "authentication failure":
            reason = Drop.SRTP_UNAUTHENTIC
        elif str(exc) in _REPLAY_ERRORS:
            reason = Drop.SRTP_REPLAYED
        else:
            reason = Drop.SRTP_REFUSED
        self._drops[reason] += 1
