"""The file that a tapped server writes: every plain packet, every signaling message, every log record.

Written without buffers of its own: what is found in the server's memory is then the server's.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

__all__ = ["Kind", "Recorder", "TapRecord", "read_tap"]

_HEAD = struct.Struct("!BQI")


class Kind(IntEnum):
    """Where a record was taken."""

    RTP_IN = 1
    RTP_OUT = 2
    RTCP_IN = 3
    RTCP_OUT = 4
    SIGNALING_IN = 5
    SIGNALING_OUT = 6
    LOG = 7


@dataclass(frozen=True, slots=True)
class TapRecord:
    """One packet, message or log record. `source` tells SRTP sessions, WebSockets and loggers apart."""

    kind: Kind
    source: int
    data: bytes


class Recorder:
    """Writes records; from any thread, each whole."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def write(self, kind: Kind, source: int, data: bytes | memoryview) -> None:
        """Appends one record, without a copy of it."""
        os.writev(self._file, (_HEAD.pack(kind, source, len(data)), data))


def read_tap(path: Path) -> Iterator[TapRecord]:
    """The records so far, in order."""
    content = path.read_bytes()
    at = 0
    while at + _HEAD.size <= len(content):
        kind, source, size = _HEAD.unpack_from(content, at)
        at += _HEAD.size
        if at + size > len(content):
            return  # still being written
        yield TapRecord(Kind(kind), source, content[at : at + size])
        at += size
