"""VP9 on the wire: the payload descriptor (RFC 9628 §4.2), in flexible and non-flexible mode.

The descriptor says everything that an SFU needs; the frame's own bytes, which senders may seal from the first on, are
not looked at.
"""

from typing import NamedTuple

from hushroom_common.codecs.marks import Marks, rewrite_picture_numbers
from hushroom_common.errors import WireError

__all__ = ["Descriptor", "read_descriptor", "read_marks", "rewrite_descriptor"]

_PICTURE_ID_OFFSET = 1  # after the required byte, wherever there is one
_MAX_REFERENCES = 3

rewrite_descriptor = rewrite_picture_numbers


class Descriptor(NamedTuple):
    """The payload descriptor. Numbers that are not there are -1, as in `Marks`; without layer indices all are 0.

    Which pictures a frame refers to and the scalability structure are stepped over: no layer is chosen by them.
    """

    size: int
    """In bytes: the frame's own bytes follow."""
    starts_frame: bool
    ends_frame: bool
    is_inter_picture_predicted: bool
    is_inter_layer_predicted: bool
    picture_id: int
    picture_id_bits: int
    tl0picidx: int
    tl0picidx_offset: int
    temporal_id: int
    is_switching_up_point: bool
    spatial_id: int


def read_descriptor(payload: bytes) -> Descriptor:
    """Read the descriptor and make sure that a frame's byte follows it.

    Raises WireError when either is cut off, and for flexible mode without a PictureID or with over three references.
    """
    try:
        first = payload[0]
        size = 1
        picture_id = tl0picidx = -1
        picture_id_bits = tl0picidx_offset = layer = 0
        if first & 0x80:  # I
            picture_id = payload[1]
            picture_id_bits = 7
            size = 2
            if picture_id & 0x80:  # M
                picture_id = (picture_id & 0x7F) << 8 | payload[2]
                picture_id_bits = 15
                size = 3
        elif first & 0x10:
            raise WireError("VP9 flexible mode without a PictureID")  # RFC 9628 §4.2: I MUST be 1 when F is
        if first & 0x20:  # L
            layer = payload[size]
            size += 1
            if not first & 0x10:  # F
                tl0picidx = payload[size]
                tl0picidx_offset = size
                size += 1
        if first & 0x50 == 0x50:  # P and F
            size = _skip_references(payload, size)
        if first & 0x02:  # V
            size = _skip_scalability_structure(payload, size)
        payload[size]
    except IndexError:
        raise WireError("VP9 payload is cut off") from None
    return Descriptor(
        size,
        first & 0x08 != 0,
        first & 0x04 != 0,
        first & 0x40 != 0,
        layer & 0x01 != 0,
        picture_id,
        picture_id_bits,
        tl0picidx,
        tl0picidx_offset,
        layer >> 5,
        layer & 0x10 != 0,
        layer >> 1 & 0x07,
    )


def _skip_references(payload: bytes, at: int) -> int:
    for _ in range(_MAX_REFERENCES):
        at += 1
        if not payload[at - 1] & 0x01:  # N: another one follows
            return at
    raise WireError("VP9 frame refers to more than three pictures")


def _skip_scalability_structure(payload: bytes, at: int) -> int:
    """RFC 9628 §4.2.1: sizes of the spatial layers where Y is set, the picture group where G is."""
    flags = payload[at]
    at += 1
    if flags & 0x10:  # Y: width and height, two bytes each
        at += 4 * ((flags >> 5) + 1)
    if flags & 0x08:  # G
        pictures = payload[at]
        at += 1
        for _ in range(pictures):
            at += 1 + (payload[at] >> 2 & 0x03)
    return at


def read_marks(payload: bytes) -> Marks:
    """The marks of one packet. Raises WireError as `read_descriptor` does.

    A keyframe starts where a frame starts (B) that is predicted from no other picture (P = 0) and from no other spatial
    layer (D = 0). The upper layers of a key picture have P = 0 and D = 1: nobody can begin with those.

    U is read as senders and other SFUs use it: who skipped this temporal layer may take it from this frame on. By the
    letter of RFC 9628 it promises this of the layers above.
    """
    (
        _,
        starts_frame,
        ends_frame,
        inter_picture,
        inter_layer,
        picture_id,
        bits,
        tl0picidx,
        tl0_at,
        temporal_id,
        switching_up,
        spatial_id,
    ) = read_descriptor(payload)
    return Marks(
        starts_frame,
        starts_frame and not inter_picture and not inter_layer,
        temporal_id,
        spatial_id,
        switching_up,
        ends_frame,
        picture_id,
        _PICTURE_ID_OFFSET if bits else 0,
        bits,
        tl0picidx,
        tl0_at,
    )
