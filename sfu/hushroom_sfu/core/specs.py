"""What negotiation settles about a track, as the forwarder needs it. Written by `conversation`, read by `core`."""

from dataclasses import dataclass

from hushroom_common.ids import Codec, Kind

__all__ = ["DownTrackSpec", "NegotiatedCodec", "UpTrackSpec"]


@dataclass(frozen=True, slots=True)
class NegotiatedCodec:
    """A codec with the payload types that one m-line gives it; `rtx_payload_type` is None without RFC 4588."""

    codec: Codec
    payload_type: int
    rtx_payload_type: int | None = None


@dataclass(frozen=True, slots=True)
class UpTrackSpec:
    """One published track as negotiated with its publisher.

    `ssrc` is None when the offer names none: it is then learned from the MID header extension (RFC 8843 §9.2).
    `extensions` maps negotiated header extensions, as (URI, id) pairs (RFC 8285).
    """

    mid: str
    kind: Kind
    codecs: tuple[NegotiatedCodec, ...]
    ssrc: int | None
    rtx_ssrc: int | None
    extensions: tuple[tuple[str, int], ...] = ()
    wants_nack: bool = False
    wants_pli: bool = False


@dataclass(frozen=True, slots=True)
class DownTrackSpec:
    """One slot of a subscriber connection as negotiated: what may be sent on it, under which numbers."""

    mid: str
    kind: Kind
    codecs: tuple[NegotiatedCodec, ...]
    ssrc: int
    rtx_ssrc: int | None
    cname: str
    extensions: tuple[tuple[str, int], ...] = ()
