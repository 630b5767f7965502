"""Any bytes are a dependency descriptor, or a WireError that leaves the structure before it in force."""

from hushroom_common.codecs.dependency_descriptor import DependencyDescriptorReader
from hushroom_common.errors import WireError
from tests.support.codec_vectors import media_packets

_STREAMS = (("chromium-av1-l1t3-dd", 45), ("chromium-av1-l3t3key", 45), ("chromium-vp9-l3t3key", 98))
_KEYFRAME = bytes.fromhex("800001800214eaa860414d1410208427013f00b3")
_HIGHEST_LAYER = bytes.fromhex("c30002")


def corpus() -> list[bytes]:
    return sorted(
        {packet.dependency_descriptor or b"" for capture in _STREAMS for packet in media_packets(*capture)}, key=len
    )[::-5]


def fuzz(data: bytes) -> None:
    reader = DependencyDescriptorReader()
    reader.read(_KEYFRAME)
    try:
        descriptor = reader.read(data)
    except WireError:
        descriptor = None
    if descriptor is None or not descriptor.starts_keyframe:
        assert reader.read(_HIGHEST_LAYER).temporal_id == 2
    else:
        assert descriptor.starts_frame
        assert DependencyDescriptorReader().read(data) == descriptor
