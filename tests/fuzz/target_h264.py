"""Any bytes are an H.264 payload, or a WireError."""

from contextlib import suppress

from hushroom_common.codecs.h264 import read_marks
from hushroom_common.errors import WireError
from tests.support.codec_vectors import media_packets


def corpus() -> list[bytes]:
    return [packet.payload for packet in media_packets("chromium-h264", 108)]


def fuzz(data: bytes) -> None:
    with suppress(WireError):
        marks = read_marks(data)
        assert marks.starts_frame >= marks.starts_keyframe
