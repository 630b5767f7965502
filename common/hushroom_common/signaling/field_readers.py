"""Strict readers of single JSON values, and the bounds of every field.

A reader takes what `json` made of a value and returns it as a message holds it, or raises WireError. Error texts name
the field and what would fit, never the value: they may reach logs.
"""

import re
from collections.abc import Callable
from enum import StrEnum
from typing import NewType

from hushroom_common.errors import WireError
from hushroom_common.signaling.messages import OfferedTrack, ParticipantInfo, Slot, TrackInfo

__all__ = ["MAX_LENGTHS", "MAX_SDP_CHARS", "Reader", "list_reader", "optional_reader", "scalar_reader"]

Reader = Callable[[object], object]

MAX_SDP_CHARS = 250_000
"""Characters in one session description: the server's offer of 64 seats has 120 000. Clients' messages are shorter."""

MAX_LENGTHS: dict[object, int] = {ParticipantInfo: 64, TrackInfo: 16, OfferedTrack: 16, Slot: 256}
"""Entries in a list, by what it lists."""

# What a person can be called may hold any letter, but nothing that breaks a line, a terminal or the reading direction:
# C0 and C1 controls, line and paragraph separators, bidirectional overrides, and halves of surrogate pairs.
_UNPRINTABLE = "\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff"
_IDENTIFIER = (re.compile(f"[^{_UNPRINTABLE}]{{1,64}}"), "1 to 64 characters without control characters")
_STRINGS: dict[str, tuple[re.Pattern[str], str]] = {
    # RFC 8866 §9, "token", which RFC 5888 §4 wants of a mid.
    "mid": (re.compile(r"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]{1,16}"), "1 to 16 token characters"),
    "sdp": (
        re.compile(f"[^\x00-\x09\x0b\x0c\x0e-\x1f\ud800-\udfff]{{1,{MAX_SDP_CHARS}}}"),
        f"1 to {MAX_SDP_CHARS} characters of SDP",
    ),
    "token": (re.compile(r"[A-Za-z0-9._~+/=-]{1,4096}"), "a token of at most 4096 characters"),
    "resume_token": (re.compile(r"[A-Za-z0-9._~+/=-]{1,256}"), "a token of at most 256 characters"),
    "e2ee": (re.compile(r"[a-z0-9_-]{1,16}"), "the name of a profile"),
    "message": (re.compile(f"[^{_UNPRINTABLE}]{{0,500}}"), "at most 500 characters without control characters"),
    "regarding": (re.compile(r"[a-z0-9_]{1,64}"), "the name of a message type"),
}
_MAX_INTEGERS = {
    "number": 2**31 - 1,
    "version": 65_535,
    "max_temporal_id": 7,
    "key_index": 255,
    "step": 2**32 - 1,
}
_MAX_SECONDS = 1e9


def scalar_reader(hint: object, name: str, where: str) -> Reader | None:
    """The reader of a field that is neither list nor object; None if `hint` is no scalar type of ours.

    A name without a bound is a mistake of ours: KeyError, at import.
    """
    reader: Reader | None = None
    if isinstance(hint, NewType):
        reader = _text_reader(*_IDENTIFIER, where)
    elif hint is str:
        reader = _text_reader(*_STRINGS[name], where)
    elif hint is bool:
        reader = _boolean_reader(where)
    elif hint is int:
        reader = _integer_reader(_MAX_INTEGERS[name], where)
    elif hint is float:
        reader = _seconds_reader(where)
    elif isinstance(hint, type) and issubclass(hint, StrEnum):
        reader = _enum_reader(hint, where)
    return reader


def optional_reader(inner: Reader) -> Reader:
    """Null, or what `inner` reads."""

    def read(value: object) -> object:
        return None if value is None else inner(value)

    return read


def list_reader(inner: Reader, maximum: int, where: str) -> Reader:
    """A list of at most `maximum` values, as a tuple."""

    def read(value: object) -> tuple[object, ...]:
        if not isinstance(value, list) or len(value) > maximum:
            raise WireError(f"{where} must be a list of at most {maximum}")
        return tuple(map(inner, value))

    return read


def _text_reader(pattern: re.Pattern[str], expected: str, where: str) -> Reader:
    def read(value: object) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise WireError(f"{where} must be {expected}")
        return value

    return read


def _boolean_reader(where: str) -> Reader:
    def read(value: object) -> bool:
        if not isinstance(value, bool):
            raise WireError(f"{where} must be true or false")
        return value

    return read


def _integer_reader(maximum: int, where: str) -> Reader:
    def read(value: object) -> int:
        # In Python True is an int; on the wire it is not.
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= maximum:
            raise WireError(f"{where} must be a whole number from 0 to {maximum}")
        return value

    return read


def _seconds_reader(where: str) -> Reader:
    def read(value: object) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= _MAX_SECONDS:
            raise WireError(f"{where} must be a number of seconds")
        return float(value)

    return read


def _enum_reader(enum: type[StrEnum], where: str) -> Reader:
    members = {member.value: member for member in enum}
    expected = ", ".join(members)

    def read(value: object) -> StrEnum:
        if not isinstance(value, str) or value not in members:
            raise WireError(f"{where} must be one of {expected}")
        return members[value]

    return read
