"""Feedback from receivers: lost packets, keyframe requests and bandwidth (RFC 4585 §6, RFC 5104 §4.3, REMB)."""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Self

from hushroom_common.errors import WireError
from hushroom_common.rtcp.header import PacketType, PayloadFeedback, TransportFeedback, frame

__all__ = [
    "FirEntry",
    "FullIntraRequest",
    "GenericNack",
    "PictureLossIndication",
    "ReceiverEstimatedMaximumBitrate",
]

_SSRCS = struct.Struct("!II")
_NACK_ITEM = struct.Struct("!HH")
_FIR_ENTRY = struct.Struct("!IB3x")
_REMB = struct.Struct("!4sBBH")
_REMB_NAME = b"REMB"

_MANTISSA_BITS = 18
_GREATEST_EXPONENT = 63


def _read_ssrcs(body: bytes) -> tuple[int, int]:
    """(sender, media source), which open every feedback packet."""
    if len(body) < _SSRCS.size:
        raise WireError("RTCP feedback is too short")
    sender_ssrc, media_ssrc = _SSRCS.unpack_from(body)
    return sender_ssrc, media_ssrc


@dataclass(frozen=True, slots=True)
class GenericNack:
    """These packets did not arrive, please send them again (RFC 4585 §6.2.1)."""

    sender_ssrc: int
    media_ssrc: int
    lost: tuple[int, ...]
    """16-bit sequence numbers; rising ones pack best: up to 17 in 4 bytes."""

    @classmethod
    def from_body(cls, body: bytes) -> Self:
        """Read what follows the RTCP header; raises WireError."""
        sender_ssrc, media_ssrc = _read_ssrcs(body)
        if len(body) == _SSRCS.size:
            raise WireError("NACK names no packet")  # RFC 4585 §6.2.1: MUST contain at least one
        lost: list[int] = []
        for packet_id, bitmask in _NACK_ITEM.iter_unpack(body[_SSRCS.size :]):
            lost.append(packet_id)
            if bitmask:
                lost += [(packet_id + bit + 1) & 0xFFFF for bit in range(16) if bitmask >> bit & 1]
        return cls(sender_ssrc, media_ssrc, tuple(lost))

    def to_bytes(self) -> bytes:
        """The packet. Raises ValueError when nothing is lost."""
        if not self.lost:
            raise ValueError("a NACK names at least one packet")
        items = b"".join(_NACK_ITEM.pack(*item) for item in _nack_items(self.lost))
        body = _SSRCS.pack(self.sender_ssrc, self.media_ssrc) + items
        return frame(PacketType.TRANSPORT_FEEDBACK, TransportFeedback.GENERIC_NACK, body)


def _nack_items(lost: Iterable[int]) -> list[tuple[int, int]]:
    """(packet id, bitmask of the following 16) pairs that name `lost` and nothing else."""
    items: list[tuple[int, int]] = []
    for sequence_number in lost:
        if items:
            packet_id, bitmask = items[-1]
            ahead = (sequence_number - packet_id) & 0xFFFF
            if ahead <= 16:
                items[-1] = packet_id, bitmask | (1 << ahead) >> 1
                continue
        items.append((sequence_number, 0))
    return items


@dataclass(frozen=True, slots=True)
class PictureLossIndication:
    """The decoder lost the picture: send a keyframe (RFC 4585 §6.3.1)."""

    sender_ssrc: int
    media_ssrc: int

    @classmethod
    def from_body(cls, body: bytes) -> Self:
        """Read what follows the RTCP header; raises WireError."""
        return cls(*_read_ssrcs(body))

    def to_bytes(self) -> bytes:
        """The packet."""
        body = _SSRCS.pack(self.sender_ssrc, self.media_ssrc)
        return frame(PacketType.PAYLOAD_FEEDBACK, PayloadFeedback.PICTURE_LOSS_INDICATION, body)


class FirEntry(NamedTuple):
    """One source that is asked for a keyframe; a repeated request keeps its number (RFC 5104 §4.3.1.1)."""

    ssrc: int
    sequence_number: int
    """8 bits."""


@dataclass(frozen=True, slots=True)
class FullIntraRequest:
    """Send keyframes of these sources (RFC 5104 §4.3.1)."""

    sender_ssrc: int
    entries: tuple[FirEntry, ...]

    @classmethod
    def from_body(cls, body: bytes) -> Self:
        """Read what follows the RTCP header; raises WireError."""
        sender_ssrc, _unused = _read_ssrcs(body)
        entries = body[_SSRCS.size :]
        if not entries or len(entries) % _FIR_ENTRY.size:
            raise WireError("FIR entries are missing or cut off")
        return cls(sender_ssrc, tuple(FirEntry(*entry) for entry in _FIR_ENTRY.iter_unpack(entries)))

    def to_bytes(self) -> bytes:
        """The packet; its media source is 0 (RFC 5104 §4.3.1.2). Raises ValueError without entries."""
        if not self.entries:
            raise ValueError("a FIR names at least one source")
        body = _SSRCS.pack(self.sender_ssrc, 0) + b"".join(_FIR_ENTRY.pack(*entry) for entry in self.entries)
        return frame(PacketType.PAYLOAD_FEEDBACK, PayloadFeedback.FULL_INTRA_REQUEST, body)


@dataclass(frozen=True, slots=True)
class ReceiverEstimatedMaximumBitrate:
    """All these sources together should send no more than this (draft-alvestrand-rmcat-remb-03 §2.2)."""

    sender_ssrc: int
    bitrate_bps: int
    """Carried with 18 significant bits, the rest is cut off."""
    ssrcs: tuple[int, ...]

    @staticmethod
    def is_remb(body: bytes) -> bool:
        """Whether application-layer feedback is REMB rather than somebody's own."""
        return body[8:12] == _REMB_NAME

    @classmethod
    def from_body(cls, body: bytes) -> Self:
        """Read what follows the RTCP header; raises WireError."""
        sender_ssrc, _unused = _read_ssrcs(body)
        if len(body) < 16:
            raise WireError("REMB is too short")
        _name, count, exponent_and_high, low = _REMB.unpack_from(body, 8)
        if len(body) != 16 + 4 * count:
            raise WireError("REMB's size and its number of sources differ")
        mantissa = (exponent_and_high & 3) << 16 | low
        return cls(sender_ssrc, mantissa << (exponent_and_high >> 2), struct.unpack_from(f"!{count}I", body, 16))

    def to_bytes(self) -> bytes:
        """The packet. Raises ValueError for a bitrate below 0 or over 2^81, and for more than 255 sources."""
        exponent = max(0, self.bitrate_bps.bit_length() - _MANTISSA_BITS)
        if self.bitrate_bps < 0 or exponent > _GREATEST_EXPONENT or len(self.ssrcs) > 255:
            raise ValueError("REMB cannot carry this bitrate or so many sources")
        mantissa = self.bitrate_bps >> exponent
        remb = _REMB.pack(_REMB_NAME, len(self.ssrcs), exponent << 2 | mantissa >> 16, mantissa & 0xFFFF)
        body = _SSRCS.pack(self.sender_ssrc, 0) + remb + struct.pack(f"!{len(self.ssrcs)}I", *self.ssrcs)
        return frame(PacketType.PAYLOAD_FEEDBACK, PayloadFeedback.APPLICATION_LAYER, body)
