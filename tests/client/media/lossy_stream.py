"""Sealed frames in RTP packets, and a bad link for them: seeded, in virtual time."""

import heapq
import random
from dataclasses import dataclass, field

from hushroom_common.ids import Codec
from hushroom_common.rtp import build_rtp

PAYLOAD_TYPES = {Codec.VP8: 97, Codec.OPUS: 96}
RTX_PAYLOAD_TYPE = 98
SSRC = 0x5EA1ED
RTX_SSRC = 0x5EA1EE


@dataclass(frozen=True)
class SentFrame:
    """What went in: `timestamp` counts from 0 in clock units and does not wrap."""

    data: bytes
    timestamp: int
    is_keyframe: bool
    packets: tuple[bytes, ...]


@dataclass
class SealedCamera:
    """VP8 frames of opaque bytes behind a clear first byte, as the sealer leaves them."""

    seed: int = 0
    sequence_number: int = 65_000
    first_timestamp: int = 0xFFFF_0000
    picture_id: int = 32_700
    max_packet: int = 100
    frame_interval: int = 3000
    frames: list[SentFrame] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def frame(self, *, is_keyframe: bool = False, size: int | None = None) -> SentFrame:
        size = size or (self._random.randrange(400, 1200) if is_keyframe else self._random.randrange(20, 350))
        data = bytes([0x10 if is_keyframe else 0x11]) + self._random.randbytes(size - 1)
        timestamp = len(self.frames) * self.frame_interval
        pieces = [data[at : at + self.max_packet] for at in range(0, len(data), self.max_packet)]
        packets = []
        for at, piece in enumerate(pieces):
            # RFC 7741 §4.2: X=1, S on the first, I with a 15-bit PictureID.
            descriptor = bytes([0x90 if at == 0 else 0x80, 0x80]) + (0x8000 | self.picture_id).to_bytes(2)
            packets.append(self._packet(descriptor + piece, timestamp, marker=at == len(pieces) - 1))
        self.picture_id = (self.picture_id + 1) & 0x7FFF
        sent = SentFrame(data, timestamp, is_keyframe, tuple(packets))
        self.frames.append(sent)
        return sent

    def padding(self) -> bytes:
        """A packet that fills a number, as the server sends one for a packet that it will never get."""
        timestamp = (len(self.frames) - 1) * self.frame_interval
        return self._packet(b"", timestamp, marker=False, padding=8)

    def _packet(self, payload: bytes, timestamp: int, *, marker: bool, padding: int = 0) -> bytes:
        packet = build_rtp(
            payload_type=PAYLOAD_TYPES[Codec.VP8],
            marker=marker,
            sequence_number=self.sequence_number & 0xFFFF,
            timestamp=(self.first_timestamp + timestamp) & 0xFFFF_FFFF,
            ssrc=SSRC,
            payload=payload,
            padding=padding,
        )
        self.sequence_number += 1
        return packet


@dataclass
class SealedMicrophone:
    """Opus packets of opaque bytes, 20 ms each."""

    seed: int = 0
    sequence_number: int = 65_000
    first_timestamp: int = 0xFFFF_0000
    frames: list[SentFrame] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def frame(self) -> SentFrame:
        data = self._random.randbytes(self._random.randrange(10, 160))
        timestamp = len(self.frames) * 960
        packet = build_rtp(
            payload_type=PAYLOAD_TYPES[Codec.OPUS],
            marker=not self.frames,
            sequence_number=self.sequence_number & 0xFFFF,
            timestamp=(self.first_timestamp + timestamp) & 0xFFFF_FFFF,
            ssrc=SSRC,
            payload=data,
        )
        self.sequence_number += 1
        sent = SentFrame(data, timestamp, True, (packet,))
        self.frames.append(sent)
        return sent


@dataclass
class LossyLink:
    """Delays each datagram by 20 ms and some jitter (which reorders), loses some and doubles some."""

    random: random.Random
    loss: float = 0.0
    duplicates: float = 0.0
    jitter_s: float = 0.0
    delay_s: float = 0.020
    _in_flight: list[tuple[float, int, bytes]] = field(default_factory=list)
    _count: int = 0

    def send(self, datagram: bytes, now: float) -> None:
        for _ in range(2 if self.random.random() < self.duplicates else 1):
            if self.random.random() >= self.loss:
                self._count += 1
                arrives_at = now + self.delay_s + self.random.random() * self.jitter_s
                heapq.heappush(self._in_flight, (arrives_at, self._count, datagram))

    def arrived(self, now: float) -> list[tuple[float, bytes]]:
        """What has arrived by now, in order of arrival, with its time."""
        datagrams = []
        while self._in_flight and self._in_flight[0][0] <= now:
            at, _, datagram = heapq.heappop(self._in_flight)
            datagrams.append((at, datagram))
        return datagrams
