"""Any bytes are a VP8 payload whose numbers can be rewritten and read again, or a WireError."""

from hushroom_common.codecs import vp8
from hushroom_common.errors import WireError
from tests.support.codec_vectors import media_packets, wireshark_table


def corpus() -> list[bytes]:
    captured = [packet.payload for packet in media_packets("firefox-vp8", 120)]
    return captured[::9] + [bytes.fromhex(row["rtp.payload"]) for row in wireshark_table("vp8-descriptors")]


def fuzz(data: bytes) -> None:
    try:
        marks = vp8.read_marks(data)
    except WireError:
        return
    descriptor = vp8.read_descriptor(data)
    assert 0 < descriptor.size < len(data)
    assert marks.starts_frame >= marks.starts_keyframe
    rewritten = vp8.rewrite_descriptor(data, marks, 0x1234, 0x56)
    assert rewritten[descriptor.size :] == data[descriptor.size :]
    picture_id = {0: -1, 7: 0x34, 15: 0x1234}[marks.picture_id_bits]
    tl0picidx = 0x56 if marks.tl0picidx >= 0 else -1
    assert vp8.read_marks(rewritten) == marks._replace(picture_id=picture_id, tl0picidx=tl0picidx)
    assert vp8.rewrite_descriptor(rewritten, marks, marks.picture_id, marks.tl0picidx) == data
