"""Serial number arithmetic (RFC 1982, RFC 3550 §A.1): numbers that wrap, and their unwrapped form.

An *extended* number is a plain int that goes on where the 16 or 32 bits on the wire wrap around.
"""

from typing import ClassVar

__all__ = ["SequenceUnwrapper", "TimestampUnwrapper", "seq_distance", "seq_newer", "ts_distance"]


def seq_distance(a: int, b: int) -> int:
    """How far 16-bit `a` lies ahead of `b`: -32768..32767, negative when it lies behind."""
    return ((a - b + 0x8000) & 0xFFFF) - 0x8000


def seq_newer(a: int, b: int) -> bool:
    """Whether 16-bit `a` comes after `b`. Of two numbers half a circle apart neither is newer (RFC 1982 §3.2)."""
    return 0 < (a - b) & 0xFFFF < 0x8000


def ts_distance(a: int, b: int) -> int:
    """How far 32-bit RTP time `a` lies ahead of `b`, in clock ticks; negative when it lies behind."""
    return ((a - b + 0x8000_0000) & 0xFFFF_FFFF) - 0x8000_0000


class _Unwrapper:
    """Extends wrapping numbers by the nearest reading to the highest one seen."""

    __slots__ = ("_highest",)

    _SPAN: ClassVar[int]

    def __init__(self) -> None:
        self._highest: int | None = None

    @property
    def highest(self) -> int | None:
        """The highest extended number so far, or None before the first."""
        return self._highest

    def unwrap(self, value: int) -> int:
        """The extended number of `value`.

        The first is `value` plus one whole span, so that no later step back, which is half a span at most, is negative.
        Every value is believed: whoever fears wild jumps judges the result.
        """
        span = self._SPAN
        highest = self._highest
        if highest is None:
            self._highest = first = span + (value & (span - 1))
            return first
        half = span >> 1
        extended = highest + ((value - highest + half) & (span - 1)) - half
        if extended > highest:
            self._highest = extended
        return extended


class SequenceUnwrapper(_Unwrapper):
    """Extends 16-bit RTP sequence numbers; the first becomes `value + 2**16`."""

    __slots__ = ()

    _SPAN = 1 << 16


class TimestampUnwrapper(_Unwrapper):
    """Extends 32-bit RTP times; the first becomes `value + 2**32`."""

    __slots__ = ()

    _SPAN = 1 << 32
