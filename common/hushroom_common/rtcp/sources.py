"""Who a source is and that it left: SDES and BYE (RFC 3550 §6.5, §6.6)."""

import struct
from dataclasses import dataclass
from typing import Self

from hushroom_common.errors import WireError
from hushroom_common.rtcp.header import PacketType, check_count, frame

__all__ = ["SDES_CNAME", "Goodbye", "SdesChunk", "SourceDescription"]

SDES_CNAME = 1
"""The one item that matters here: streams that share it share a clock."""


@dataclass(frozen=True, slots=True)
class SdesChunk:
    """The description of one source: (item type 1-255, value of at most 255 bytes) in order."""

    ssrc: int
    items: tuple[tuple[int, bytes], ...] = ()

    @classmethod
    def with_cname(cls, ssrc: int, cname: str) -> Self:
        """A chunk with the canonical name alone."""
        return cls(ssrc, ((SDES_CNAME, cname.encode()),))

    @property
    def cname(self) -> str | None:
        """The canonical name; what is not UTF-8 in it shows as U+FFFD."""
        for item, value in self.items:
            if item == SDES_CNAME:
                return value.decode(errors="replace")
        return None

    def to_bytes(self) -> bytes:
        """The chunk, ended and padded by zeros to a whole number of words."""
        chunk = bytearray(self.ssrc.to_bytes(4, "big"))
        for item, value in self.items:
            if not 0 < item < 256 or len(value) > 255:
                raise ValueError("an SDES item has a type of 1-255 and at most 255 bytes")
            chunk.append(item)
            chunk.append(len(value))
            chunk += value
        chunk += bytes(4 - len(chunk) % 4)
        return bytes(chunk)


@dataclass(frozen=True, slots=True)
class SourceDescription:
    """SDES: descriptions of any number of sources."""

    chunks: tuple[SdesChunk, ...] = ()

    @classmethod
    def from_body(cls, count: int, body: bytes) -> Self:
        """Read what follows the RTCP header; raises WireError."""
        chunks = []
        at = 0
        for _ in range(count):
            chunk, at = _read_chunk(body, at)
            chunks.append(chunk)
        return cls(tuple(chunks))

    def to_bytes(self) -> bytes:
        """The packet. Raises ValueError for more than 31 chunks, a bad item type or a value over 255 bytes."""
        count = check_count(len(self.chunks), "chunks")
        return frame(PacketType.SOURCE_DESCRIPTION, count, b"".join(chunk.to_bytes() for chunk in self.chunks))


def _read_chunk(body: bytes, at: int) -> tuple[SdesChunk, int]:
    """The chunk at offset `at`, and where the next one starts."""
    if len(body) < at + 4:
        raise WireError("SDES chunk is cut off")
    ssrc = int.from_bytes(body[at : at + 4], "big")
    at += 4
    items: list[tuple[int, bytes]] = []
    while True:
        if at >= len(body):
            raise WireError("SDES chunk has no end")
        item = body[at]
        if not item:  # RFC 3550 §6.5: zeros end the list and fill up to the next word
            return SdesChunk(ssrc, tuple(items)), at + 4 - at % 4
        if at + 1 >= len(body) or at + 2 + body[at + 1] > len(body):
            raise WireError("SDES item is cut off")
        stop = at + 2 + body[at + 1]
        items.append((item, body[at + 2 : stop]))
        at = stop


@dataclass(frozen=True, slots=True)
class Goodbye:
    """BYE: these sources are gone."""

    sources: tuple[int, ...]
    reason: bytes = b""
    """UTF-8 by the RFC, whatever came by the wire; at most 255 bytes."""

    @classmethod
    def from_body(cls, count: int, body: bytes) -> Self:
        """Read what follows the RTCP header; raises WireError."""
        end = count * 4
        if len(body) < end:
            raise WireError("RTCP BYE is shorter than its sources")
        sources = struct.unpack_from(f"!{count}I", body)
        if len(body) == end:
            return cls(sources)
        stop = end + 1 + body[end]
        if stop > len(body):
            raise WireError("RTCP BYE's reason is cut off")
        return cls(sources, body[end + 1 : stop])

    def to_bytes(self) -> bytes:
        """The packet. Raises ValueError for more than 31 sources or a reason over 255 bytes."""
        count = check_count(len(self.sources), "sources")
        body = bytearray(struct.pack(f"!{count}I", *self.sources))
        if self.reason:
            body.append(len(self.reason))
            body += self.reason
            body += bytes(-len(body) % 4)
        return frame(PacketType.GOODBYE, count, bytes(body))
