"""The JSON form of signaling messages: one object each, `{"type": "participant_left", ...}`, fields by their names.

The messages' dataclasses are compiled once, at import, into tables of strict readers; nothing is looked up by
reflection while messages flow. Extra fields are ignored, so that a newer peer can say more; all else that does not fit
(wrong types, unknown message types, missing fields, anything over its bound, a key given twice) raises WireError.
"""

import json
import re
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from types import NoneType, UnionType
from typing import Generic, TypeVar, Union, get_args, get_origin, get_type_hints

from hushroom_common.errors import WireError
from hushroom_common.signaling.field_readers import (
    MAX_LENGTHS,
    MAX_SDP_CHARS,
    Reader,
    list_reader,
    optional_reader,
    scalar_reader,
)
from hushroom_common.signaling.messages import (
    ClientMessage,
    OfferedTrack,
    ParticipantInfo,
    ServerMessage,
    Slot,
    TrackInfo,
)

__all__ = [
    "MAX_CLIENT_TEXT",
    "MAX_SDP_CHARS",
    "MAX_SERVER_TEXT",
    "decode_client",
    "decode_server",
    "encode",
    "message_type",
]

MAX_CLIENT_TEXT = 65_536
"""Characters in one message from a client."""

MAX_SERVER_TEXT = 1_048_576
"""Characters in one message from the server: a full room's list of participants is longer than any request."""

_M = TypeVar("_M")


@dataclass(frozen=True, slots=True)
class _Shape(Generic[_M]):
    """How to read one dataclass: every field's reader, and which fields may not be left out."""

    make: Callable[..., _M]
    readers: tuple[tuple[str, Reader], ...]
    required: frozenset[str]
    where: str

    def read(self, value: object) -> _M:
        """Build the dataclass from a JSON object. Raises WireError."""
        if not isinstance(value, dict):
            raise WireError(f"{self.where} must be an object")
        if not self.required <= value.keys():
            raise WireError(f"{self.where} lacks {', '.join(sorted(self.required - value.keys()))}")
        return self.make(**{name: reader(value[name]) for name, reader in self.readers if name in value})


def _shape(cls: type[_M], where: str) -> _Shape[_M]:
    assert is_dataclass(cls)
    hints = get_type_hints(cls)
    return _Shape(
        make=cls,
        readers=tuple((f.name, _reader(hints[f.name], f.name, f"{where}.{f.name}")) for f in fields(cls)),
        required=frozenset(f.name for f in fields(cls) if f.default is MISSING),
        where=where,
    )


def _reader(hint: object, name: str, where: str) -> Reader:
    if get_origin(hint) in (Union, UnionType):
        (inner,) = (arm for arm in get_args(hint) if arm is not NoneType)
        return optional_reader(_reader(inner, name, where))
    if get_origin(hint) is tuple:
        element = get_args(hint)[0]
        return list_reader(_reader(element, name, where), MAX_LENGTHS[element], where)
    if isinstance(hint, type) and is_dataclass(hint):
        return _shape(hint, where).read
    reader = scalar_reader(hint, name, where)
    if reader is None:
        raise TypeError(f"{where}: no JSON form for {hint}")
    return reader


def _snake_case(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


_TYPES: dict[type, str] = {cls: _snake_case(cls.__name__) for cls in get_args(ClientMessage) + get_args(ServerMessage)}
_CLIENT: dict[str, _Shape[ClientMessage]] = {_TYPES[cls]: _shape(cls, _TYPES[cls]) for cls in get_args(ClientMessage)}
_SERVER: dict[str, _Shape[ServerMessage]] = {_TYPES[cls]: _shape(cls, _TYPES[cls]) for cls in get_args(ServerMessage)}
_FIELDS: dict[type, tuple[str, ...]] = {
    cls: tuple(f.name for f in fields(cls))
    for cls in (*_TYPES, ParticipantInfo, TrackInfo, OfferedTrack, Slot)
    if is_dataclass(cls)
}


def _fields_of(part: object) -> dict[str, object]:
    return {name: getattr(part, name) for name in _FIELDS[type(part)]}


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_fields_of)


def message_type(message: ClientMessage | ServerMessage) -> str:
    """The message's `type` on the wire, as `Refused.regarding` names it."""
    return _TYPES[type(message)]


def encode(message: ClientMessage | ServerMessage) -> str:
    """The message's JSON text. The caller keeps to the bounds that the other side's decoder will check."""
    return _ENCODER.encode({"type": _TYPES[type(message)]} | _fields_of(message))


def decode_client(text: str) -> ClientMessage:
    """Read what a client sent. Raises WireError and nothing else."""
    return _decode(text, _CLIENT, MAX_CLIENT_TEXT)


def decode_server(text: str) -> ServerMessage:
    """Read what the server sent. Raises WireError and nothing else."""
    return _decode(text, _SERVER, MAX_SERVER_TEXT)


def _decode(text: str, shapes: dict[str, _Shape[_M]], max_chars: int) -> _M:
    if len(text) > max_chars:
        raise WireError(f"a message has at most {max_chars} characters")
    try:
        value: object = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        # ValueError also for integers of thousands of digits, RecursionError for nesting deeper than any message.
        # Their texts quote what was sent, so they stay here.
        raise WireError("not a JSON text") from None
    if not isinstance(value, dict):
        raise WireError("a message is a JSON object")
    name = value.get("type")
    shape = shapes.get(name) if isinstance(name, str) else None
    if shape is None:
        raise WireError(f"type must be one of {', '.join(shapes)}")
    return shape.read(value)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    # RFC 8259 §4: which of two equal names counts is up to the reader; two readers could be told two different things.
    value = dict(pairs)
    if len(value) != len(pairs):
        raise WireError("an object names a key twice")
    return value


def _refuse_constant(_name: str) -> float:
    raise WireError("NaN and Infinity are not JSON")  # RFC 8259 §6
