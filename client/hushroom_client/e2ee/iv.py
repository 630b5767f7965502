"""The 12-byte IVs of profile `lk1`: how ours are made, and how the two kinds are told apart.

Ours: `r(8) || n(4)`. r is drawn anew for each sealer, n counts. Under a passphrase every sender, track and session
shares one AES key, so nothing is derived from the key or persisted: 62 random bits keep any two sealers apart, the
counter keeps one sealer's frames apart.
LiveKit's: `ssrc || rtp_time || rtp_time - (count mod 65535)`.
"""

import re
import struct
from collections.abc import Callable
from threading import Lock

from hushroom_common.errors import HushroomError

__all__ = ["FIRST_COUNT", "LAST_COUNT", "UNKNOWN_SOURCE", "IvSequence", "is_counted", "word"]

FIRST_COUNT = 0x0101_0101
LAST_COUNT = 0x7FFF_FFFF
UNKNOWN_SOURCE = b"\xff\xff\xff\xff"
"""Word 1 of a LiveKit sender that doesn't know its SSRC: it says nothing about the track."""

_LIVEKIT_COUNT_SPAN = 0xFFFF
_ESCAPED_IN_H264 = re.compile(rb"\0\0[\0-\3]")
_MAX_DRAWS = 64
_WORDS_2_AND_3 = struct.Struct("!II")


class IvSequence:
    """Gives each IV once. Values that H.264 would escape are left out: native LiveKit reads the IV before unescaping.

    Those are IVs that begin with 0 or hold `00 00 0x` with x at most 3.
    """

    def __init__(self, entropy: Callable[[int], bytes], *, first_count: int = FIRST_COUNT) -> None:
        self._entropy = entropy
        self._prefix = self._draw_prefix()
        self._count = first_count
        self._lock = Lock()  # encoders may run in threads, and two frames under one IV would undo the key

    @property
    def source(self) -> bytes:
        """Word 1 of the IVs that come next."""
        return self._prefix[:4]

    def next(self) -> bytes:
        """An IV that this sequence has not given before."""
        with self._lock:
            if self._count > LAST_COUNT:
                self._prefix = self._draw_prefix()
                self._count = FIRST_COUNT
            count = _unescaped(self._count)
            self._count = count + 1
            return self._prefix + count.to_bytes(4, "big")

    def _draw_prefix(self) -> bytes:
        for _ in range(_MAX_DRAWS):
            drawn = bytearray(self._entropy(8))
            drawn[4] |= 0xC0  # word 2 minus word 3 can then never look like LiveKit's 16-bit count
            prefix = bytes(drawn)
            # A prefix that ends in two zeros would make `00 00 01` with the counter's first byte.
            survives_h264 = prefix[0] and not prefix.endswith(b"\0\0") and not _ESCAPED_IN_H264.search(prefix)
            if survives_h264 and prefix[:4] != UNKNOWN_SOURCE:
                return prefix
        raise HushroomError("the entropy source keeps giving unusable bytes: it is broken")


def _unescaped(count: int) -> int:
    """The count itself or the next whose four bytes hold no `00 00 0x`; the first byte is never 0."""
    return count & ~3 | 4 if count & 0x00FF_FFFC == 0 else count


def word(iv: bytes, number: int) -> int:
    """Word 1, 2 or 3 of an IV."""
    return int.from_bytes(iv[number * 4 - 4 : number * 4], "big")


def is_counted(iv: bytes) -> bool:
    """Whether an IV is one of ours, `r || n`: in LiveKit's, word 3 lies less than 65535 behind word 2."""
    second, third = _WORDS_2_AND_3.unpack_from(iv, 4)
    behind: int = (second - third) & 0xFFFF_FFFF
    return behind >= _LIVEKIT_COUNT_SPAN
