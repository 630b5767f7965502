"""The layout of a frame sealed with profile `lk1`, byte by byte; it is LiveKit's. No key and no cipher comes near it.

    clear prefix || ciphertext || tag (16) || IV (12) || 0x0C || key index (1)

In H.264 everything after the clear prefix carries emulation prevention on the wire; it is taken out before this layout
is read and put in after it is made (ITU-T H.264 §7.4.1).
"""

from typing import NamedTuple

from hushroom_common.errors import WireError
from hushroom_common.ids import Codec, Kind

__all__ = [
    "IV_SIZE",
    "OVERHEAD",
    "TAG_SIZE",
    "TRAILER_SIZE",
    "SealedFrame",
    "Trailer",
    "assemble",
    "clear_size",
    "parse",
    "parse_trailer",
]

TAG_SIZE = 16
"""Bytes of the AES-GCM tag."""

IV_SIZE = 12
"""Bytes of the IV. Its length is on the wire; no other than 12 is written or accepted."""

TRAILER_SIZE = IV_SIZE + 2
"""IV, the IV's length and the key index."""

OVERHEAD = TAG_SIZE + TRAILER_SIZE
"""How many bytes a sealed frame is longer than the plain one, before emulation prevention."""


class Trailer(NamedTuple):
    """The end of a sealed frame."""

    iv: bytes
    key_index: int
    """Which slot of the sender's key ring, 0-255."""
    body_end: int
    """Where ciphertext and tag end and the trailer begins, in bytes from the frame's start."""


class SealedFrame(NamedTuple):
    """A sealed frame in its parts."""

    clear: bytes
    """Sent as it is, authenticated by the tag."""
    ciphertext_and_tag: bytes
    iv: bytes
    key_index: int


def clear_size(codec: Codec, *, is_keyframe: bool) -> int:
    """How many bytes at a frame's start stay clear.

    Raises ValueError for H.264, where the length depends on the frame's NAL units, and for AV1, which the profile
    cannot seal.
    """
    if codec.kind is Kind.AUDIO:
        return 1
    if codec is Codec.VP8:
        return 10 if is_keyframe else 3
    if codec is Codec.VP9:
        return 0
    raise ValueError(f"lk1 has no fixed clear prefix for {codec}")


def parse_trailer(frame: bytes) -> Trailer:
    """Read the end of a sealed frame. Raises WireError for one that is too short or has no IV of 12 bytes."""
    body_end = len(frame) - TRAILER_SIZE
    if body_end < TAG_SIZE:
        raise WireError("frame is too short to be sealed")
    if frame[-2] != IV_SIZE:
        raise WireError("frame does not end in a trailer")
    return Trailer(frame[body_end:-2], frame[-1], body_end)


def parse(frame: bytes, clear_bytes: int) -> SealedFrame:
    """Take a sealed frame apart, the first `clear_bytes` being clear. Raises WireError as `parse_trailer` does."""
    iv, key_index, body_end = parse_trailer(frame)
    if body_end - clear_bytes < TAG_SIZE:
        raise WireError("sealed frame is too short for its clear prefix")
    return SealedFrame(frame[:clear_bytes], frame[clear_bytes:body_end], iv, key_index)


def assemble(clear: bytes, ciphertext_and_tag: bytes, iv: bytes, key_index: int) -> bytes:
    """The frame of these parts. Raises ValueError for an IV that is not 12 bytes long and a key index beyond a byte."""
    if len(iv) != IV_SIZE:
        raise ValueError(f"an IV has {IV_SIZE} bytes, not {len(iv)}")
    return b"".join((clear, ciphertext_and_tag, iv, bytes((IV_SIZE, key_index))))
