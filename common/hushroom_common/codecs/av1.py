"""AV1 on the wire: the aggregation header, the first byte of each payload (AV1 RTP payload format §4.4).

OBU headers are not looked at: sealing may leave none of the real ones. Layers, and exact starts and ends of frames, are
in the dependency descriptor (`dependency_descriptor`).
"""

from hushroom_common.codecs.marks import Marks
from hushroom_common.errors import WireError

__all__ = ["read_marks"]

_CONTINUES = Marks(starts_frame=False, starts_keyframe=False)
_STARTS_FRAME = Marks(starts_frame=True, starts_keyframe=False)
_STARTS_KEYFRAME = Marks(starts_frame=True, starts_keyframe=True)


def read_marks(payload: bytes) -> Marks:
    """The marks of one packet: a keyframe starts where N is set, the first packet of a coded video sequence.

    `starts_frame` is what one byte can tell: the packet does not go on with an OBU of the last one. A frame of several
    OBUs may be cut between two of them, so that a later packet of it also says so.

    Raises WireError for a payload without a byte of an OBU, and for N on a packet that continues an OBU.
    """
    if len(payload) < 2:
        raise WireError("AV1 payload holds no OBU")
    header = payload[0]
    if header & 0x80:  # Z
        if header & 0x08:  # §4.4: where N is set, Z MUST be 0
            raise WireError("AV1 packet continues an OBU and starts a sequence")
        return _CONTINUES
    return _STARTS_KEYFRAME if header & 0x08 else _STARTS_FRAME
