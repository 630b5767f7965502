"""What a packet of any codec says about itself in the clear, and the two numbers in it that an SFU may rewrite.

The readers of the single codecs make `Marks`; nothing here knows one of them.
"""

from typing import NamedTuple

__all__ = ["Marks", "rewrite_picture_numbers"]


class Marks(NamedTuple):
    """One packet's marks. The offsets count from the start of the payload.

    `starts_frame`, `starts_keyframe` and `ends_frame` are about the frame of one spatial layer.
    """

    starts_frame: bool
    starts_keyframe: bool
    """A decoder that has seen nothing may begin with this packet. Never true of a packet that starts no frame."""
    temporal_id: int = 0
    spatial_id: int = 0
    is_switch_point: bool = False
    """Who has skipped frames of this temporal layer may take it from this frame on (VP8's Y, VP9's U)."""
    ends_frame: bool | None = None
    """None: this codec does not say it in the payload; the RTP marker decides."""
    picture_id: int = -1
    """-1: there is none."""
    picture_id_offset: int = 0
    picture_id_bits: int = 0
    """0 (none), 7 or 15: how wide the PictureID is."""
    tl0picidx: int = -1
    """The running number of the temporal base layer's frames, modulo 256; -1: there is none."""
    tl0picidx_offset: int = 0


def rewrite_picture_numbers(payload: bytes, marks: Marks, picture_id: int, tl0picidx: int) -> bytes:
    """The payload with other numbers in the places that `marks` (read from this payload) gives.

    The widths stay: a 7-bit PictureID takes `picture_id` modulo 128, a 15-bit one modulo 32768. A number that the
    payload does not have is not added. VP8 and VP9 write both in the same form (RFC 7741 §4.2, RFC 9628 §4.2).
    """
    rewritten = bytearray(payload)
    at = marks.picture_id_offset
    if marks.picture_id_bits == 15:
        rewritten[at] = 0x80 | picture_id >> 8 & 0x7F
        rewritten[at + 1] = picture_id & 0xFF
    elif marks.picture_id_bits == 7:
        rewritten[at] = picture_id & 0x7F
    if marks.tl0picidx_offset:
        rewritten[marks.tl0picidx_offset] = tl0picidx & 0xFF
    return bytes(rewritten)
