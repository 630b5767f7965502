"""What a running process has in its memory: all that it can read and write, by /proc (Linux)."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

__all__ = ["writable_memory"]

_PIECE = 16 << 20


def writable_memory(pid: int) -> Iterator[tuple[int, bytes]]:
    """(address, content) of each stretch of readable and writable memory, while the process is stopped.

    Mappings that touch are one stretch. Raises PermissionError where the kernel keeps even a parent from reading its
    child's memory (kernel.yama.ptrace_scope above 1).
    """
    os.kill(pid, signal.SIGSTOP)
    try:
        memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
        try:
            for start, end in _stretches(Path(f"/proc/{pid}/maps").read_text()):
                content = b"".join(_read(memory, start, end))
                if content.strip(b"\0"):
                    yield start, content
        finally:
            os.close(memory)
    finally:
        os.kill(pid, signal.SIGCONT)


def _stretches(maps: str) -> list[tuple[int, int]]:
    stretches: list[tuple[int, int]] = []
    for line in maps.splitlines():
        addresses, permissions, *_ = line.split()
        if not permissions.startswith("rw"):
            continue
        start, end = (int(address, 16) for address in addresses.split("-"))
        if stretches and stretches[-1][1] == start:
            stretches[-1] = (stretches[-1][0], end)
        else:
            stretches.append((start, end))
    return stretches


def _read(memory: int, start: int, end: int) -> Iterator[bytes]:
    at = start
    while at < end:
        try:
            content = os.pread(memory, min(_PIECE, end - at), at)
        except OSError:  # a page of a device or past the end of a file: nobody can read it, the process neither
            content = b""
        if not content:
            content = bytes(min(os.sysconf("SC_PAGE_SIZE"), end - at))
        yield content
        at += len(content)
