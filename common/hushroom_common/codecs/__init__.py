"""What an SFU reads of each codec in the clear: where frames and keyframes start, layers, and numbers to rewrite.

No reader looks behind the few bytes that sealing leaves clear, so that its verdicts are the same for sealed and plain
frames.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from hushroom_common.codecs import av1, h264, opus, vp8, vp9
from hushroom_common.codecs.marks import Marks
from hushroom_common.ids import Codec

__all__ = ["Marks", "read_marks"]

_READERS: Mapping[Codec, Callable[[bytes], Marks]] = MappingProxyType(
    {
        Codec.VP8: vp8.read_marks,
        Codec.VP9: vp9.read_marks,
        Codec.H264: h264.read_marks,
        Codec.AV1: av1.read_marks,
        Codec.OPUS: opus.read_marks,
    }
)


def read_marks(codec: Codec) -> Callable[[bytes], Marks]:
    """The function that reads the marks of one payload (without padding) of this codec. Look it up once a track.

    It raises WireError for a payload that cannot be of this codec, and nothing else.
    """
    return _READERS[codec]
