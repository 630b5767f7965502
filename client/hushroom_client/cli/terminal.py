"""Standard error as a place to talk: notes as lines, and one status line that is overwritten where a person looks."""

import shutil
from typing import TextIO

__all__ = ["Terminal"]

_PLAIN_INTERVAL_S = 5.0


class Terminal:
    """Writes to `stream`. Into a file or a pipe, the status is a plain line now and then."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_live = stream.isatty()
        self._shows_status = False
        self._last_plain_at = float("-inf")

    def note(self, text: str) -> None:
        """A line that stays."""
        self._clear()
        self._write(f"{text}\n")

    def status(self, text: str, now: float) -> None:
        """How it stands now, in place of what stood before."""
        if self._is_live:
            width = shutil.get_terminal_size().columns
            self._write(f"\r\x1b[K{text[: width - 1]}")
            self._shows_status = True
        elif now - self._last_plain_at >= _PLAIN_INTERVAL_S:
            self._last_plain_at = now
            self._write(f"{text}\n")

    def close(self, text: str) -> None:
        """The last status, as a line that stays."""
        self._clear()
        self._write(f"{text}\n")

    def _clear(self) -> None:
        if self._shows_status:
            self._write("\r\x1b[K")
            self._shows_status = False

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:
            pass  # nobody listens any more; the room goes on
