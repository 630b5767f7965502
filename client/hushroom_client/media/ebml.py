"""EBML elements as bytes (RFC 8794): what a Matroska file is made of. Writing only."""

import struct

__all__ = ["UNKNOWN_SIZE", "element", "float_element", "text_element", "uint_element", "void"]

UNKNOWN_SIZE = b"\x01" + b"\xff" * 7
"""A size field of eight bytes that says "until the file ends" (RFC 8794 §6.2)."""


def element(element_id: int, *payload: bytes) -> bytes:
    """An element of any type; master elements hold their children's bytes."""
    data = b"".join(payload)
    return element_id.to_bytes(_length(element_id), "big") + size(len(data)) + data


def uint_element(element_id: int, value: int) -> bytes:
    """An unsigned integer."""
    return element(element_id, value.to_bytes(max(1, _length(value)), "big"))


def float_element(element_id: int, value: float) -> bytes:
    """A 64-bit float."""
    return element(element_id, struct.pack(">d", value))


def text_element(element_id: int, text: str) -> bytes:
    """A string, UTF-8."""
    return element(element_id, text.encode())


def void(total_bytes: int) -> bytes:
    """Padding of exactly `total_bytes`, at least 9."""
    return b"\xec" + size(total_bytes - 9, width=8) + bytes(total_bytes - 9)


def size(value: int, *, width: int | None = None) -> bytes:
    """A data size as a variable-length integer, in the fewest bytes or in `width` of them (RFC 8794 §4)."""
    # All ones means "unknown", hence the + 1: 127 needs two bytes.
    width = width or max(1, -(-(value + 1).bit_length() // 7))
    return ((1 << 7 * width) | value).to_bytes(width, "big")


def _length(value: int) -> int:
    return -(-value.bit_length() // 8)
