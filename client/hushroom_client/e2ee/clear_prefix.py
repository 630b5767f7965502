"""Which bytes of a frame stay in the clear in profile `lk1`: those that packetizers and forwarders read.

| codec | clear bytes |
|---|---|
| Opus | 1: the TOC byte (RFC 6716 §3.1) |
| VP8 | keyframe 10, other frames 3, by bit 0 of the first byte (RFC 6386 §9.1) |
| VP9 | none |
| H.264, H.265 | through the first slice's NAL header and one byte more; the rest is escaped as NAL payload |

AV1 has no form that other LiveKit clients open.
"""

from typing import NamedTuple

from hushroom_client.e2ee import annex_b
from hushroom_client.e2ee.annex_b import NalRules
from hushroom_common.errors import WireError
from hushroom_common.ids import Codec
from hushroom_common.sealed_frame import SealedFrame, clear_size, parse

__all__ = [
    "MAX_CLEAR_BYTES",
    "SealedParts",
    "is_supported",
    "join_sealed",
    "parse_sealed",
    "split_annex_b",
    "split_frame",
    "split_sealed",
    "split_sealed_annex_b",
]

MAX_CLEAR_BYTES = 255
"""LiveKit's native clients keep this length in one byte."""


class SealedParts(NamedTuple):
    """A frame in two: bytes that travel in the clear (and are authenticated), bytes that are sealed."""

    clear: bytes
    body: bytes


def is_supported(codec: Codec) -> bool:
    """Whether profile `lk1` can carry this codec."""
    return codec is not Codec.AV1


def split_frame(frame: bytes, codec: Codec) -> SealedParts:
    """Splits an encoded frame for sealing; H.264 loses SEI and delimiters and gets 4-byte start codes before the slice.

    Raises WireError when the frame is too short for its codec or no H.264 picture.
    """
    if codec is Codec.H264:
        return split_annex_b(frame, annex_b.H264)
    length = _clear_length(frame, codec)
    return SealedParts(frame[:length], frame[length:])


def split_annex_b(frame: bytes, rules: NalRules) -> SealedParts:
    """`split_frame` for NAL unit codecs. Start codes inside the sealed part stay as they are."""
    clear, body = bytearray(), bytearray()
    in_body = False
    for unit in annex_b.nal_units(frame):
        nal_type = rules.type_of(frame[unit.header])
        if nal_type in rules.dropped:
            continue
        if in_body:
            body += frame[unit.start : unit.end]
            continue
        clear += annex_b.START_CODE
        if nal_type in rules.slices:
            if unit.end - unit.header < 2:
                raise WireError("a slice of one byte")
            in_body = True
            clear += frame[unit.header : unit.header + 2]
            body += frame[unit.header + 2 : unit.end]
        else:
            clear += frame[unit.header : unit.end]
    if not in_body or frame.lstrip(b"\0")[:1] != b"\1":
        raise WireError("no H.264/H.265 byte stream with a slice")
    if len(clear) > MAX_CLEAR_BYTES:
        raise WireError(f"{len(clear)} bytes before the first slice, at most {MAX_CLEAR_BYTES} can stay clear")
    return SealedParts(bytes(clear), bytes(body))


def join_sealed(clear: bytes, body: bytes, codec: Codec) -> bytes:
    """The frame as it travels, from its clear bytes and its sealed body (ciphertext, tag and trailer)."""
    return clear + (annex_b.escape(body) if codec is Codec.H264 else body)


def split_sealed(frame: bytes, codec: Codec) -> SealedParts:
    """The clear bytes of a sealed frame as sent, and its body without emulation prevention bytes.

    Raises WireError when the frame is too short for its codec or holds no slice.
    """
    if codec is Codec.H264:
        return split_sealed_annex_b(frame, annex_b.H264)
    length = _clear_length(frame, codec)
    return SealedParts(frame[:length], frame[length:])


def parse_sealed(frame: bytes, codec: Codec) -> SealedFrame:
    """All parts of a sealed frame as sent. Raises WireError when it is too short, or has no slice or trailer."""
    if codec is Codec.H264:
        clear, body = split_sealed(frame, codec)
        return parse(body, clear_bytes=0)._replace(clear=clear)
    return parse(frame, _clear_length(frame, codec))  # in one go: this is done for every frame that comes in


def split_sealed_annex_b(frame: bytes, rules: NalRules) -> SealedParts:
    """`split_sealed` for NAL unit codecs."""
    for header in annex_b.nal_headers(frame):
        if header < len(frame) and rules.type_of(frame[header]) in rules.slices:
            length = header + 2
            return SealedParts(frame[:length], annex_b.unescape(frame[length:]))
    raise WireError("no slice in this frame")


def _clear_length(frame: bytes, codec: Codec) -> int:
    if codec is Codec.AV1:
        raise WireError("profile lk1 has no form for AV1")
    # VP8's key bit is clear in the frame itself, so that nobody's word about frame types counts (RFC 6386 §9.1).
    length = clear_size(codec, is_keyframe=bool(frame) and not frame[0] & 1)
    if len(frame) < max(length, 1):
        raise WireError(f"a {codec} frame of {len(frame)} bytes is too short")
    return length
