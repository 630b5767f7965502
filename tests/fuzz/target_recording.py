"""Any opened frames at any times make a file whose elements nest and end where they say (RFC 8794 §6)."""

import struct

from hushroom_client.media.frames import EncodedFrame
from hushroom_client.media.matroska import MatroskaWriter
from hushroom_client.media.recording_time import FileTime, TrackTime
from hushroom_client.media.vp8_size import vp8_picture_size
from hushroom_common.ids import Codec

_HEADER = struct.Struct(">BqdB")
_CONTAINERS = {0x114D9B74, 0x1549A966, 0x1654AE6B, 0xAE, 0xE0, 0xE1, 0x4DBB, 0x1F43B675, 0x1C53BB6B, 0xBB, 0xB7}


def corpus() -> list[bytes]:
    """Per frame: flags (1: picture, 2: keyframe, 4: its time is known), timestamp, captured_at, length, bytes."""
    keyframe = bytes.fromhex("1002009d012a08000800aabbccddeeff")
    frames = [
        (7, 0, 3.9e9, keyframe),
        (6, 480, 3.9e9, b"\xfc" * 20),
        (1, 3000, 0.0, b"\x31" * 9),
        (6, 10**6, -1.0, b""),
    ]
    return [
        b"".join(_HEADER.pack(*frame[:3], len(frame[3])) + frame[3] for frame in frames[:count]) for count in (1, 4)
    ]


def fuzz(data: bytes) -> None:
    writer, file_time = MatroskaWriter(), FileTime()
    times = {Codec.VP8: TrackTime(), Codec.OPUS: TrackTime()}
    tracks: dict[Codec, int] = {}
    last_ms: dict[Codec, int] = {}
    now_s = 0.0
    while len(data) >= _HEADER.size:
        flags, timestamp, captured_at, length = _HEADER.unpack_from(data)
        payload, data = data[_HEADER.size : _HEADER.size + length], data[_HEADER.size + length :]
        codec = Codec.VP8 if flags & 1 else Codec.OPUS
        frame = EncodedFrame(codec, payload, timestamp, is_keyframe=bool(flags & 2))
        if flags & 4 and abs(captured_at) < 1e12:
            times[codec].learn(frame, captured_at)
        if not times[codec].is_known:
            continue
        now_s += 0.02
        time_ms = round(1000 * file_time.at(times[codec].captured_at(frame), now_s))
        last_ms[codec] = max(time_ms, last_ms.get(codec, -1) + 1)
        if codec not in tracks:
            width, height = vp8_picture_size(payload) or (640, 360)
            is_picture = codec is Codec.VP8
            tracks[codec] = (
                writer.add_vp8_track(name="camera", width=width, height=height)
                if is_picture
                else writer.add_opus_track(name="microphone")
            )
        writer.add_block(tracks[codec], last_ms[codec], payload, is_keyframe=frame.is_keyframe)
    writer.finish()
    content = bytearray(writer.size_bytes)
    for write in writer.take_writes():
        content[write.offset : write.offset + len(write.data)] = write.data
    segment = content.index(b"\x18\x53\x80\x67") + 4
    assert _walk(content, segment + 8, len(content)) == len(content)
    assert int.from_bytes(content[segment : segment + 8], "big") == 1 << 56 | len(content) - segment - 8


def _walk(content: bytearray, at: int, end: int) -> int:
    """Reads the elements from `at` to `end`; where the last one ends."""
    while at < end:
        id_width = 9 - content[at].bit_length()
        element_id = int.from_bytes(content[at : at + id_width], "big")
        at += id_width
        width = 9 - content[at].bit_length()
        length = int.from_bytes(content[at : at + width], "big") - (1 << 7 * width)
        at += width
        if element_id in _CONTAINERS:
            assert _walk(content, at, at + length) == at + length
        at += length
    return at
