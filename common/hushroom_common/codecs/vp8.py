"""VP8 on the wire: the payload descriptor (RFC 7741 §4.2) and one bit of the frame tag (RFC 6386 §9.1).

Reads only bytes that senders leave in the clear. Nothing here sees a picture or a key.
"""

from typing import NamedTuple

from hushroom_common.codecs.marks import Marks, rewrite_picture_numbers
from hushroom_common.errors import WireError

__all__ = ["Descriptor", "read_descriptor", "read_marks", "rewrite_descriptor", "starts_keyframe"]

_PICTURE_ID_OFFSET = 2  # after the required byte and the extension byte, wherever there is one

rewrite_descriptor = rewrite_picture_numbers


class Descriptor(NamedTuple):
    """The payload descriptor. Numbers that are not there are -1, as in `Marks`."""

    size: int
    """In bytes: the frame's own bytes follow."""
    starts_partition: bool
    partition: int
    picture_id: int
    picture_id_bits: int
    tl0picidx: int
    tl0picidx_offset: int
    temporal_id: int
    is_layer_sync: bool
    """This frame builds on temporal layer 0 alone."""


def read_descriptor(payload: bytes) -> Descriptor:
    """Read the descriptor and make sure that a frame's byte follows it. Raises WireError when either is cut off."""
    try:
        first = payload[0]
        size = 1
        picture_id = tl0picidx = -1
        picture_id_bits = tl0picidx_offset = temporal_id = 0
        is_layer_sync = False
        if first & 0x80:  # X
            flags = payload[1]
            size = 2
            if flags & 0x80:  # I
                picture_id = payload[2]
                picture_id_bits = 7
                size = 3
                if picture_id & 0x80:  # M
                    picture_id = (picture_id & 0x7F) << 8 | payload[3]
                    picture_id_bits = 15
                    size = 4
            if flags & 0x40:  # L
                tl0picidx = payload[size]
                tl0picidx_offset = size
                size += 1
            if flags & 0x30:  # T or K: one byte for both, of which each flag makes its own part count
                if flags & 0x20:
                    layer = payload[size]
                    temporal_id = layer >> 6
                    is_layer_sync = layer & 0x20 != 0
                size += 1
        payload[size]
    except IndexError:
        raise WireError("VP8 payload is cut off") from None
    return Descriptor(
        size,
        first & 0x10 != 0,
        first & 0x07,
        picture_id,
        picture_id_bits,
        tl0picidx,
        tl0picidx_offset,
        temporal_id,
        is_layer_sync,
    )


def read_marks(payload: bytes) -> Marks:
    """The marks of one packet. Raises WireError for a payload that ends before the first byte of VP8.

    A keyframe starts where S = 1, PID = 0 and P, the lowest bit of the frame tag, is 0: profiles leave that byte in the
    clear. The frame tag's other bits, size and start code are not looked at, so sealing changes no verdict.
    """
    size, starts_partition, partition, picture_id, bits, tl0picidx, tl0_at, temporal_id, sync = read_descriptor(payload)
    starts_frame = starts_partition and not partition
    return Marks(
        starts_frame,
        starts_frame and not payload[size] & 0x01,
        temporal_id,
        0,
        sync,
        None,
        picture_id,
        _PICTURE_ID_OFFSET if bits else 0,
        bits,
        tl0picidx,
        tl0_at,
    )


def starts_keyframe(payload: bytes) -> bool:
    """Whether this packet opens a keyframe. Raises WireError as `read_marks` does."""
    return read_marks(payload).starts_keyframe
