"""A growing Matroska (WebM) file as a pure state machine: blocks go in, byte ranges to write come out.

Playable at any moment: clusters are written whole, and the head, of fixed size, is written over in place when a track
joins or the duration grows. So a killed process loses the last second, and no track must be known beforehand.
No I/O and no clock here. Element ids: RFC 9559.
"""

import struct
from dataclasses import dataclass

from hushroom_client.media.ebml import (
    UNKNOWN_SIZE,
    element,
    float_element,
    size,
    text_element,
    uint_element,
    void,
)

__all__ = ["MatroskaWriter", "Write"]

_EBML, _SEGMENT, _CLUSTER, _SIMPLE_BLOCK = 0x1A45DFA3, 0x18538067, 0x1F43B675, 0xA3
_SEEK_HEAD, _INFO, _TRACKS, _CUES = 0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1C53BB6B

_HEAD_BYTES = 2048
_CLUSTER_SPAN_MS = 1000
_CLUSTER_BYTES = 1 << 20
_CUE_EVERY_MS = 5000
_OPUS_PRE_SKIP = 312  # libopus at 48 kHz: RFC 7845 §4.2, and every WebRTC sender's
_OPUS_HEAD = struct.pack("<8sBBHIhB", b"OpusHead", 1, 2, _OPUS_PRE_SKIP, 48_000, 0, 0)  # RFC 7845 §5.1


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes that belong at `offset` of the file."""

    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class _Block:
    time_ms: int
    track: int
    is_keyframe: bool
    data: bytes

    def to_bytes(self, cluster_ms: int) -> bytes:
        flags = 0x80 if self.is_keyframe else 0
        return element(
            _SIMPLE_BLOCK, struct.pack(">BhB", 0x80 | self.track, self.time_ms - cluster_ms, flags), self.data
        )


class MatroskaWriter:
    """Tracks and blocks in; `take_writes()` says what to write where, in order."""

    def __init__(self, *, application: str = "hushroom") -> None:
        self._application = application
        self._tracks: list[bytes] = []
        self._video_tracks: set[int] = set()
        self._blocks: list[_Block] = []
        self._blocks_bytes = 0
        self._duration_ms = 0
        self._cues: list[bytes] = []
        self._last_cue_ms = -_CUE_EVERY_MS
        self._cues_offset: int | None = None
        self._writes: list[Write] = []
        start = element(_EBML, *_EBML_HEADER) + _SEGMENT.to_bytes(4, "big")
        self._segment_size_offset = len(start)
        self._segment_offset = len(start) + len(UNKNOWN_SIZE)
        self._end = self._segment_offset + _HEAD_BYTES
        self._writes.append(Write(0, start + UNKNOWN_SIZE))
        self._write_head()

    @property
    def size_bytes(self) -> int:
        """The file's size once all writes taken so far are done."""
        return self._end

    def add_vp8_track(self, *, name: str, width: int, height: int) -> int:
        """A new picture track; its number. `width` and `height` are a hint: every VP8 keyframe carries its own."""
        picture = element(0xE0, uint_element(0xB0, width), uint_element(0xBA, height))
        number = self._add_track(name, track_type=1, codec_id="V_VP8", details=picture)
        self._video_tracks.add(number)
        return number

    def add_opus_track(self, *, name: str) -> int:
        """A new sound track; its number. Says stereo: Opus decoders make that of mono packets too."""
        delay_ns = _OPUS_PRE_SKIP * 1_000_000_000 // 48_000
        sound = element(0xE1, float_element(0xB5, 48_000.0), uint_element(0x9F, 2))
        details = element(0x63A2, _OPUS_HEAD) + uint_element(0x56AA, delay_ns) + uint_element(0x56BB, 80_000_000)
        return self._add_track(name, track_type=2, codec_id="A_OPUS", details=details + sound)

    def add_block(self, track: int, time_ms: int, data: bytes, *, is_keyframe: bool) -> None:
        """One frame. Times of one track must rise; tracks may run a little apart."""
        times = [block.time_ms for block in self._blocks[:1]]
        if (
            any(abs(time_ms - first_ms) >= _CLUSTER_SPAN_MS for first_ms in times)
            or self._blocks_bytes > _CLUSTER_BYTES
        ):
            self.flush()
        self._blocks.append(_Block(time_ms, track, is_keyframe, data))
        self._blocks_bytes += len(data)

    def flush(self) -> None:
        """Ends the cluster: what was added so far will be in the file once written."""
        if not self._blocks:
            return
        blocks = sorted(self._blocks, key=lambda block: block.time_ms)
        self._blocks, self._blocks_bytes = [], 0
        cluster_ms = blocks[0].time_ms
        self._cue(blocks)
        cluster = element(_CLUSTER, uint_element(0xE7, cluster_ms), *(block.to_bytes(cluster_ms) for block in blocks))
        self._append(cluster)
        self._duration_ms = max(self._duration_ms, blocks[-1].time_ms)
        self._write_head()

    def finish(self) -> None:
        """Completes the file: last cluster, index and sizes."""
        self.flush()
        if self._cues:
            self._cues_offset = self._end - self._segment_offset
            self._append(element(_CUES, *self._cues))
        self._write_head()
        self._writes.append(Write(self._segment_size_offset, size(self._end - self._segment_offset, width=8)))

    def take_writes(self) -> list[Write]:
        """What is to be written since the last call, in this order."""
        writes, self._writes = self._writes, []
        return writes

    def _append(self, data: bytes) -> None:
        self._writes.append(Write(self._end, data))
        self._end += len(data)

    def _add_track(self, name: str, *, track_type: int, codec_id: str, details: bytes) -> int:
        number = len(self._tracks) + 1
        entry = element(
            0xAE,
            uint_element(0xD7, number),
            uint_element(0x73C5, number),
            uint_element(0x83, track_type),
            uint_element(0x9C, 0),
            text_element(0x536E, name),
            text_element(0x86, codec_id),
            details,
        )
        self._tracks.append(entry)
        self._write_head()
        return number

    def _cue(self, blocks: list[_Block]) -> None:
        """Indexes the cluster about to be written if a player could start in it."""
        entry = next((block for block in blocks if block.track in self._video_tracks and block.is_keyframe), None)
        if entry is None and not self._video_tracks and blocks[0].time_ms - self._last_cue_ms >= _CUE_EVERY_MS:
            entry = blocks[0]
        if entry is not None:
            self._last_cue_ms = entry.time_ms
            where = element(0xB7, uint_element(0xF7, entry.track), uint_element(0xF1, self._end - self._segment_offset))
            self._cues.append(element(0xBB, uint_element(0xB3, entry.time_ms), where))

    def _write_head(self) -> None:
        info = element(
            _INFO,
            uint_element(0x2AD7B1, 1_000_000),  # times in milliseconds
            float_element(0x4489, float(self._duration_ms)),
            text_element(0x4D80, self._application),
            text_element(0x5741, self._application),
        )
        seek = b""
        if self._cues_offset is not None:
            where = uint_element(0x53AC, self._cues_offset)
            seek = element(_SEEK_HEAD, element(0x4DBB, element(0x53AB, _CUES.to_bytes(4, "big")), where))
        tracks = element(_TRACKS, *self._tracks) if self._tracks else b""
        head = seek + info + tracks
        self._writes.append(Write(self._segment_offset, head + void(_HEAD_BYTES - len(head))))


_EBML_HEADER = (
    uint_element(0x4286, 1),
    uint_element(0x42F7, 1),
    uint_element(0x42F2, 4),
    uint_element(0x42F3, 8),
    text_element(0x4282, "webm"),
    uint_element(0x4287, 4),
    uint_element(0x4285, 2),
)
