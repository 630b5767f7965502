"""Text as bytes, and the bytes that text may spell: what is logged or sent as JSON hides a secret in hex or base64."""

import base64
import binascii
import re
from collections.abc import Iterator

__all__ = ["views_of"]

_HEX = re.compile(rb"[0-9a-fA-F]{32,}")
_BASE64 = re.compile(rb"[0-9A-Za-z+/_-]{22,}")
_ESCAPED = re.compile(rb"\\x[0-9a-fA-F]{2}|\\u00[0-9a-fA-F]{2}|\\[\\'\"nrt]")
_SHORT_ESCAPES = {b"\\n": b"\n", b"\\r": b"\r", b"\\t": b"\t"}
_NUMBERS = re.compile(rb"\d{1,3}(?:[,\s]+\d{1,3}){15,}")


def views_of(text: bytes) -> Iterator[bytes]:
    """The text itself, then what its runs of hex, base64, escapes and decimal numbers stand for."""
    yield text
    yield _ESCAPED.sub(_unescaped, text)
    for run in _HEX.findall(text):
        for shift in (0, 1):
            yield binascii.unhexlify(run[shift : shift + (len(run) - shift) // 2 * 2])
    for run in _BASE64.findall(text.replace(b"\\n", b"").replace(b"\\/", b"/")):
        standard = run.translate(bytes.maketrans(b"-_", b"+/"))
        for shift in range(4):
            yield base64.b64decode(standard[shift : shift + (len(standard) - shift) // 4 * 4])
    for run in _NUMBERS.findall(text):
        yield bytes(int(number) & 0xFF for number in re.findall(rb"\d+", run))


def _unescaped(match: re.Match[bytes]) -> bytes:
    escape = match[0]
    if escape[1:2] in (b"x", b"u"):
        return bytes([int(escape[-2:], 16)])
    return _SHORT_ESCAPES.get(escape, escape[1:])
