"""From RTP payloads to pieces of frames, one way for each codec that the client receives.

Reads only what senders leave in the clear; what comes out may be sealed and goes to an opener.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from hushroom_common.codecs import vp8
from hushroom_common.errors import WireError
from hushroom_common.ids import Codec

__all__ = ["DEPACKETIZERS", "Depacketizer", "Fragment"]


@dataclass(frozen=True, slots=True)
class Fragment:
    """One packet's piece of a frame. `is_keyframe` is told by the piece that starts the frame, and only by it."""

    codec: Codec
    data: bytes
    starts_frame: bool
    ends_frame: bool
    is_keyframe: bool
    picture_id: int = -1
    """A number that rises by one with each frame, modulo 2**`picture_id_bits`; -1 where the sender gives none."""
    picture_id_bits: int = 0

    def follows(self, previous: "Fragment") -> bool:
        """Whether no frame is known to be missing between the one that started with `previous` and this one."""
        if self.picture_id < 0 or previous.picture_id < 0 or self.picture_id_bits != previous.picture_id_bits:
            return True
        return (self.picture_id - previous.picture_id) % (1 << self.picture_id_bits) == 1


Depacketizer = Callable[[bytes, bool], Fragment]
"""From a payload and its packet's marker bit to the fragment. Raises WireError when the payload cannot be read."""


def _vp8(payload: bytes, marker: bool) -> Fragment:
    """RFC 7741 §4.1: the marker bit MUST be set on the last packet of a frame."""
    descriptor = vp8.read_descriptor(payload)
    data = payload[descriptor.size :]
    starts_frame = descriptor.starts_partition and descriptor.partition == 0
    return Fragment(
        codec=Codec.VP8,
        data=data,
        starts_frame=starts_frame,
        ends_frame=marker,
        is_keyframe=starts_frame and not data[0] & 0x01,
        picture_id=descriptor.picture_id,
        picture_id_bits=descriptor.picture_id_bits,
    )


def _opus(payload: bytes, marker: bool) -> Fragment:
    """RFC 7587 §4.2: one packet is one frame. The marker bit opens a talkspurt (RFC 3551 §4.1) and ends nothing."""
    if not payload:
        raise WireError("Opus payload is empty")
    return Fragment(codec=Codec.OPUS, data=payload, starts_frame=True, ends_frame=True, is_keyframe=True)


DEPACKETIZERS: Mapping[Codec, Depacketizer] = MappingProxyType({Codec.VP8: _vp8, Codec.OPUS: _opus})
"""The codecs that the client can receive."""
