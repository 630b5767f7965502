"""Opus on the wire (RFC 7587 §4.2): each packet is a frame of its own and no byte of it needs reading."""

from hushroom_common.codecs.marks import Marks

__all__ = ["read_marks"]

_MARKS = Marks(starts_frame=True, starts_keyframe=True, ends_frame=True)


def read_marks(payload: bytes) -> Marks:
    """Always the same: a decoder may begin with any packet. Never raises: what is in it is for its receivers."""
    return _MARKS
