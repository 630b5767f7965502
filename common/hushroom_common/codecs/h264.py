"""H.264 on the wire: single NAL units, STAP-A and FU-A (RFC 6184 §5), which is all of packetization modes 0 and 1.

Reads NAL unit headers and the byte after a slice's header: profiles leave those of a frame's first slice, and all NAL
units before it, in the clear.
"""

from hushroom_common.codecs.marks import Marks
from hushroom_common.errors import WireError

__all__ = ["read_marks"]

_SLICE, _IDR_SLICE = 1, 5
_SPS = 7
_STAP_A, _FU_A = 24, 28

# ITU-T H.264 §7.4.1.2.3: SEI, SPS, PPS, access unit delimiter and types 14-18 come only before a picture's first slice.
_BEFORE_FIRST_SLICE = frozenset((6, _SPS, 8, 9, 14, 15, 16, 17, 18))

_CONTINUES = Marks(starts_frame=False, starts_keyframe=False)
_STARTS_FRAME = Marks(starts_frame=True, starts_keyframe=False)
_STARTS_KEYFRAME = Marks(starts_frame=True, starts_keyframe=True)


def read_marks(payload: bytes) -> Marks:
    """The marks of one packet.

    A keyframe starts with its sequence parameter set. WebRTC senders put it in-band before each IDR picture (RFC 7742
    §6.2), and a decoder that got the IDR slices without it shows nothing, so an IDR slice is no place to begin. A
    packet starts a frame when it holds what precedes a first slice, or a slice that begins at macroblock 0; parameter
    sets mostly travel ahead, so that several packets of one frame may: the RTP timestamp tells frames apart. There are
    no layers and no numbers.

    Raises WireError for a payload that is cut off and for the types of the interleaved mode, which nobody negotiates.
    """
    if not payload:
        raise WireError("H.264 payload is empty")
    nal_type = payload[0] & 0x1F
    if nal_type == _FU_A:
        return _of_fragment(payload)
    if nal_type == _STAP_A:
        return _of_aggregate(payload)
    if 0 < nal_type < _STAP_A:
        return _of_nal_unit(payload, 0, len(payload))
    raise WireError(f"H.264 payload of type {nal_type}")


def _of_nal_unit(payload: bytes, at: int, end: int) -> Marks:
    return _of_start(payload[at] & 0x1F, payload[at + 1] if at + 1 < end else 0)


def _of_start(nal_type: int, second: int) -> Marks:
    """`second` is the byte after the header; in a slice its top bit is all of first_mb_in_slice = 0, an ue(v)."""
    if nal_type in (_SLICE, _IDR_SLICE):
        return _STARTS_FRAME if second & 0x80 else _CONTINUES
    if nal_type == _SPS:
        return _STARTS_KEYFRAME
    return _STARTS_FRAME if nal_type in _BEFORE_FIRST_SLICE else _CONTINUES


def _of_fragment(payload: bytes) -> Marks:
    if len(payload) < 2:
        raise WireError("H.264 fragment has no header")
    header = payload[1]
    if header & 0xC0 == 0xC0:  # RFC 6184 §5.8: start and end bit MUST NOT both be set
        raise WireError("H.264 fragment is both first and last")
    if not 0 < header & 0x1F < _STAP_A:
        raise WireError("H.264 fragment of something else than a NAL unit")
    if not header & 0x80:
        return _CONTINUES
    return _of_start(header & 0x1F, payload[2] if len(payload) > 2 else 0)


def _of_aggregate(payload: bytes) -> Marks:
    """RFC 6184 §5.7.1: each NAL unit after its 16-bit size."""
    at, end = 1, len(payload)
    marks = _CONTINUES
    while at < end:
        size = int.from_bytes(payload[at : at + 2])
        at += 2
        if not size or at + size > end:
            raise WireError("H.264 aggregate is cut off")
        if not 0 < payload[at] & 0x1F < _STAP_A:
            raise WireError("H.264 aggregate of something else than NAL units")
        # The marks that say more compare as greater.
        marks = max(marks, _of_nal_unit(payload, at, at + size))
        at += size
    return marks
