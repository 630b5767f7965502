"""H.264 and H.265 byte streams (ITU-T H.264 Annex B): finding NAL units, start codes, emulation prevention.

Knows NAL unit headers and nothing behind them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest

__all__ = ["H264", "H265", "NalRules", "NalUnit", "escape", "nal_headers", "nal_units", "unescape"]

START_CODE = b"\0\0\0\1"

_SHORT_START_CODE = b"\0\0\1"
_EMULATION = re.compile(rb"\0\0(?=[\0-\3])")


@dataclass(frozen=True, slots=True)
class NalRules:
    """What a codec's NAL unit header says: its type field, which types are slices, and which never need to be sent."""

    type_shift: int
    type_mask: int
    slices: frozenset[int]
    dropped: frozenset[int]

    def type_of(self, first_byte: int) -> int:
        """The NAL unit type in a unit's first byte."""
        return first_byte >> self.type_shift & self.type_mask


H264 = NalRules(0, 0x1F, slices=frozenset({1, 5}), dropped=frozenset({6, 9}))
"""Slices 1 and 5; SEI (6) and access unit delimiters (9) tell about the picture and decoders do without."""

H265 = NalRules(1, 0x3F, slices=frozenset({*range(10), *range(16, 22)}), dropped=frozenset({35, 39, 40}))


@dataclass(frozen=True, slots=True)
class NalUnit:
    """Where a NAL unit lies: its start code at `start`, its bytes from `header` to `end`."""

    start: int
    header: int
    end: int


def nal_headers(stream: bytes) -> Iterator[int]:
    """Where NAL units begin, right after their start codes, found one at a time."""
    at = stream.find(_SHORT_START_CODE)
    while at >= 0:
        yield at + 3
        at = stream.find(_SHORT_START_CODE, at + 3)


def nal_units(stream: bytes) -> Iterator[NalUnit]:
    """The NAL units of a byte stream, in order. Nothing is yielded for bytes before the first start code.

    A unit ends where the next start code begins, trailing zeros excluded (H.264 §B.1.1: trailing_zero_8bits).
    """
    headers = list(nal_headers(stream))
    for header, following in zip_longest(headers, headers[1:]):
        end = len(stream) if following is None else header + len(stream[header : following - 3].rstrip(b"\0"))
        if header < end:
            has_four_bytes = header >= 4 and stream[header - 4] == 0
            yield NalUnit(header - (4 if has_four_bytes else 3), header, end)


def escape(data: bytes) -> bytes:
    """Inserts emulation prevention bytes so that `data` holds no start code (H.264 §7.3.1)."""
    return _EMULATION.sub(b"\0\0\3", data)


def unescape(data: bytes) -> bytes:
    """Takes out emulation prevention bytes: the inverse of `escape`."""
    return data.replace(b"\0\0\3", b"\0\0")
