"""What came of opening a frame."""

from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["Dropped", "Opened", "Outcome", "RejectReason", "Rejected"]


class Dropped(StrEnum):
    """Ordinary frames that go no further, in silence: browsers deliver some twice, and empty ones, without any loss."""

    DUPLICATE = "duplicate"
    EMPTY = "empty"
    TOO_OLD = "too_old"


class RejectReason(StrEnum):
    """Why a frame was refused."""

    NOT_SEALED = "not_sealed"
    """It has no sealed frame's trailer: plain media, or a sealed frame cut short or garbled at its end."""
    BAD_IV_LENGTH = "bad_iv_length"
    """A trailer that names an IV length other than 12."""
    TRUNCATED = "truncated"
    """A trailer, but too few bytes before it, or none of those that the codec leaves clear."""
    MISSING_KEY = "missing_key"
    """No key is installed at the index that the frame names."""
    AUTHENTICATION = "authentication"
    """No key at that index fits: another key, or bytes changed on the way. The two can't be told apart."""
    WRONG_TRACK = "wrong_track"
    """Its sealer's frames belong to another track."""
    TOO_MANY_SOURCES = "too_many_sources"
    """Yet another sealer on a track that has had eight."""
    WRONG_CODEC = "wrong_codec"
    """It came in another codec than its track is said to have."""
    UNSUPPORTED_CODEC = "unsupported_codec"
    """Profile `lk1` has no form for this codec."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The frame as it was before sealing, and the ratchet step that opened it."""

    frame: bytes = field(repr=False)
    key_index: int
    step: int


@dataclass(frozen=True, slots=True)
class Rejected:
    """Drop it, count it by `reason`, never decode it."""

    reason: RejectReason


Outcome = Opened | Dropped | Rejected
