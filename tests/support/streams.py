"""RTP as a publisher would send it, built packet by packet: VP8 with temporal layers, and Opus."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from hushroom_common.rtp import build_rtp

VP8_PAYLOAD_TYPE = 96
RTX_PAYLOAD_TYPE = 97
OPUS_PAYLOAD_TYPE = 111

TEMPORAL_PATTERN = (0, 2, 1, 2)
"""Three temporal layers as libvpx sends them: T0 T2 T1 T2."""


def vp8_payload(
    *,
    starts_frame: bool,
    is_keyframe: bool,
    picture_id: int,
    picture_id_bits: int = 15,
    temporal_id: int | None = None,
    tl0picidx: int = 0,
    is_layer_sync: bool = False,
    body: bytes = b"sealed",
) -> bytes:
    """A payload descriptor (RFC 7741 §4.2) with a PictureID, and the frame tag's lowest bit where a frame starts."""
    extension = 0x80 | (0x60 if temporal_id is not None else 0)
    descriptor = bytes([0x80 | (0x10 if starts_frame else 0), extension])
    descriptor += bytes([picture_id & 0x7F]) if picture_id_bits == 7 else (0x8000 | picture_id & 0x7FFF).to_bytes(2)
    if temporal_id is not None:
        descriptor += bytes([tl0picidx & 0xFF, temporal_id << 6 | (0x20 if is_layer_sync else 0)])
    tag = bytes([0x10 if is_keyframe else 0x11]) if starts_frame else b""
    return descriptor + tag + body


def vp8_packet(
    sequence_number: int,
    *,
    ssrc: int = 0x1000,
    starts_frame: bool = False,
    is_keyframe: bool = False,
    is_layer_sync: bool = False,
    picture_id: int = 1,
    temporal_id: int = 0,
    timestamp: int | None = None,
    body: bytes = b"",
) -> bytes:
    """One packet by hand, for streams that no camera sends. Its RTP time counts pictures, its body names its number."""
    payload = vp8_payload(
        starts_frame=starts_frame,
        is_keyframe=is_keyframe,
        is_layer_sync=is_layer_sync,
        picture_id=picture_id,
        temporal_id=temporal_id,
        body=body or b"packet %d" % sequence_number,
    )
    return build_rtp(
        payload_type=VP8_PAYLOAD_TYPE,
        marker=False,
        sequence_number=sequence_number & 0xFFFF,
        timestamp=picture_id * 3000 if timestamp is None else timestamp,
        ssrc=ssrc,
        payload=payload,
    )


@dataclass
class Vp8Stream:
    """A camera: `frame()` gives the packets of the next frame in order."""

    ssrc: int = 0x1000
    payload_type: int = VP8_PAYLOAD_TYPE
    sequence_number: int = 65_500
    timestamp: int = 4_000_000_000
    picture_id: int = 32_760
    picture_id_bits: int = 15
    temporal_layers: bool = False
    packets_per_frame: int = 2
    frames: int = field(default=0, init=False)
    sent_frames: int = field(default=0, init=False)
    _tl0picidx: int = field(default=250, init=False)

    def frame(self, *, is_keyframe: bool = False) -> list[bytes]:
        temporal_id = TEMPORAL_PATTERN[self.frames % 4] if self.temporal_layers and not is_keyframe else 0
        if is_keyframe:
            self.frames = 0
        if temporal_id == 0:
            self._tl0picidx += 1
        packets = []
        for index in range(self.packets_per_frame):
            payload = vp8_payload(
                starts_frame=index == 0,
                is_keyframe=is_keyframe,
                picture_id=self.picture_id,
                picture_id_bits=self.picture_id_bits,
                temporal_id=temporal_id if self.temporal_layers else None,
                tl0picidx=self._tl0picidx,
                is_layer_sync=temporal_id > 0,
                body=b"%d frame %d part %d" % (self.ssrc, self.sent_frames, index),
            )
            packets.append(
                build_rtp(
                    payload_type=self.payload_type,
                    marker=index == self.packets_per_frame - 1,
                    sequence_number=self.sequence_number & 0xFFFF,
                    timestamp=self.timestamp & 0xFFFFFFFF,
                    ssrc=self.ssrc,
                    payload=payload,
                )
            )
            self.sequence_number += 1
        self.picture_id = (self.picture_id + 1) & 0x7FFF
        self.timestamp += 3000
        self.frames += 1
        self.sent_frames += 1
        return packets

    def sends(self, frames: str) -> Iterator[bytes]:
        """Packets of frames written as in "K P P": a keyframe and two that build on it."""
        for letter in frames.split():
            yield from self.frame(is_keyframe=letter == "K")
