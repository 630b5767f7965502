"""Log lines: time, level, what happened, fields. On stderr, and with nothing in them that must not be known.

Our own records are events with fields and say no names, keys, tokens, SDP or addresses. Those of libraries were written
by others: of them only the logger's name and the place of an error are shown, never the text. The same goes for the
text of exceptions, which likes to quote what a peer sent.
"""

import json
import logging
import sys
import time
import traceback
from hashlib import blake2s
from typing import TextIO

from hushroom_sfu.core.token_bucket import TokenBucket

__all__ = ["LineFormatter", "RoomTags", "log_to_stderr", "shortened"]

_OURS = "hushroom"
_STANDARD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:/+-<>")
_TAG_CHARS = 8
_COMPLAINT_GAP_S = 60.0
_MAX_RECORDS_PER_S = 100
_MAX_BURST = 1000
"""A room of 64 that comes or goes at once is in the log; a client that publishes and unpublishes all day is not."""


class RoomTags:
    """Short names for rooms in the log: which lines belong together, and not which room it is.

    The key is new with each process, so that tags of guessed names cannot be computed.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def __call__(self, room: str) -> str:
        """The tag of a room."""
        return blake2s(room.encode(), key=self._key).hexdigest()[:_TAG_CHARS]


def shortened(participant: str) -> str:
    """A participant's id as the log shows it: enough to follow one through a day, useless as a credential."""
    return participant[:_TAG_CHARS]


class LineFormatter(logging.Formatter):
    """One record, one line, whatever is in it."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        words = [_utc(record.created), record.levelname.lower()]
        fields: dict[str, object] = {}
        if _is_ours(record):
            words.append(_on_one_line(record.getMessage()))
            fields = {name: value for name, value in vars(record).items() if name not in _STANDARD_FIELDS}
        else:
            words.append(f"message of {record.name} withheld")
        if record.exc_info and record.exc_info[1] is not None:
            fields["error"] = _place(record.exc_info[1])
        words += [f"{name}={_value(value)}" for name, value in fields.items() if value is not None]
        return " ".join(words)


class Moderation(logging.Filter):
    """Keeps clients from filling the log: what they do is logged, and they can do it as often as they like.

    Of our records below WARNING so many a second pass; the next that passes says how many were `left_out`. A library's
    pass once a minute of each kind.
    """

    def __init__(self) -> None:
        super().__init__()
        self._passed: dict[tuple[str, object], float] = {}
        self._budget: TokenBucket | None = None
        self._budgeted_at = 0.0
        self._left_out = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is shown."""
        if _is_ours(record):
            return record.levelno >= logging.WARNING or self._has_budget(record)
        kind = record.name, record.exc_info[0] if record.exc_info else record.levelno
        if record.created - self._passed.get(kind, float("-inf")) < _COMPLAINT_GAP_S:
            return False
        self._passed[kind] = record.created
        return True

    def _has_budget(self, record: logging.LogRecord) -> bool:
        if self._budget is None or record.created < self._budgeted_at:  # a wall clock can be set back
            self._budget = TokenBucket(_MAX_BURST, _MAX_RECORDS_PER_S, record.created)
        self._budgeted_at = record.created
        if not self._budget.take(record.created):
            self._left_out += 1
            return False
        if self._left_out:
            record.left_out = self._left_out
            self._left_out = 0
        return True


def log_to_stderr(level: str, stream: TextIO | None = None) -> logging.Handler:
    """Show our records from `level` on and the libraries' from WARNING on; returns the handler, to be removed."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(LineFormatter())
    handler.addFilter(Moderation())
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("hushroom_sfu").setLevel(level.upper())
    return handler


def _is_ours(record: logging.LogRecord) -> bool:
    return record.name.startswith(_OURS)


def _utc(unix: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(unix)) + f".{int(unix % 1 * 1000):03d}Z"


def _on_one_line(text: str) -> str:
    return " ".join(text.split())


def _value(value: object) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if text and _PLAIN.issuperset(text) else json.dumps(text)


def _place(error: BaseException) -> str:
    """Which error, and the calls that led to it: file names and lines, no values."""
    calls = (f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)[-4:])
    return " < ".join([type(error).__name__, *reversed(list(calls))])
