"""Finds secrets in whatever a server held: an exact search for any 16 bytes in a row, fast enough for a whole process.

Every 16-byte window of a secret has one of the secret's 8-byte words in it, counted from the secret's start. These
words are looked up at every byte of the haystack, and each hit is compared byte by byte.

What is not looked for: words of fewer than 5 different bytes, such as runs of zeros, which every process is full of. A
window is lost only if all its words are; `coverage` counts them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["WINDOW", "Canaries", "Coverage", "Finding"]

WINDOW = 16
"""So many bytes in a row are no coincidence."""

_WORD = 8
_LEAST_DIFFERENT = 5
_HASH_BITS = 22
_HASH_FACTOR = np.uint64(0x9E37_79B9_7F4A_7C15)
_CHUNK = 4 << 20

Words = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Finding:
    """At least 16 bytes of the secret `name` stand at `offset` of the haystack."""

    name: str
    offset: int


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of the secrets is looked for."""

    secrets: int
    windows: int
    lost_windows: int
    """Windows of nothing but low-entropy words."""
    words: int
    skipped_words: int

    @property
    def fraction(self) -> float:
        """Of all windows, those that are looked for."""
        return 1 - self.lost_windows / self.windows if self.windows else 0.0


class Canaries:
    """Secrets, and whether any 16 bytes of one stand in a haystack."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._secrets: list[bytes] = []
        self._index: _Index | None = None

    def add(self, name: str, secret: bytes) -> None:
        """One more secret. Raises ValueError if it is shorter than a window: it could never be found."""
        if len(secret) < WINDOW:
            raise ValueError(f"{name} has {len(secret)} bytes, a window has {WINDOW}")
        self._names.append(name)
        self._secrets.append(secret)
        self._index = None

    @property
    def coverage(self) -> Coverage:
        """What is looked for, in numbers."""
        return self._built().coverage

    def find_in(self, haystack: bytes, *, limit: int = 10) -> list[Finding]:
        """Where secrets stand, up to `limit` places; none means that there is none."""
        index = self._built()
        findings: list[Finding] = []
        for at, place in index.hits(haystack):
            owner = int(np.searchsorted(index.starts, place, side="right")) - 1
            if _agrees(haystack, at, self._secrets[owner], place - int(index.starts[owner])):
                findings.append(Finding(self._names[owner], at))
                if len(findings) >= limit:
                    break
        return findings

    def _built(self) -> "_Index":
        if self._index is None:
            self._index = _Index(self._secrets)
        return self._index


class _Index:
    """All words of all secrets, sorted, and a table that sorts out most of a haystack's words at once."""

    def __init__(self, secrets: list[bytes]) -> None:
        self.starts = np.cumsum([0, *(len(secret) for secret in secrets)])[:-1]
        words, places = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
        windows = lost = skipped = 0
        for start, secret in zip(self.starts.tolist(), secrets, strict=True):
            found = np.frombuffer(secret, "<u8", len(secret) // _WORD)
            is_kept = _different_bytes(found) >= _LEAST_DIFFERENT
            words.append(found[is_kept])
            places.append(start + np.flatnonzero(is_kept) * _WORD)
            skipped += int((~is_kept).sum())
            windows += len(secret) - WINDOW + 1
            lost += _lost_windows(is_kept, len(secret))
        all_words = np.concatenate(words)
        order = np.argsort(all_words, kind="stable")
        self._words: Words = all_words[order]
        self._places = np.concatenate(places)[order]
        self._table = np.zeros(1 << _HASH_BITS, np.bool_)
        self._table[_hashed(self._words)] = True
        self.coverage = Coverage(len(secrets), windows, lost, len(self._words), skipped)

    def hits(self, haystack: bytes) -> Iterator[tuple[int, int]]:
        """(offset in the haystack, place in the secrets) of each word that stands in both."""
        for start in range(0, len(haystack), _CHUNK):
            for shift in range(_WORD):
                first = start + shift
                # The last word of a chunk reaches into the next one: no alignment is lost between two chunks.
                count = (min(len(haystack), start + _CHUNK + _WORD) - first) // _WORD
                if count > 0:
                    yield from self._hits_among(np.frombuffer(haystack, "<u8", count, first), first)

    def _hits_among(self, words: Words, first: int) -> Iterator[tuple[int, int]]:
        likely = np.flatnonzero(self._table[_hashed(words)])
        left = np.searchsorted(self._words, words[likely], side="left")
        right = np.searchsorted(self._words, words[likely], side="right")
        for number in np.flatnonzero(right > left).tolist():
            at = first + int(likely[number]) * _WORD
            for place in self._places[left[number] : right[number]].tolist():
                yield at, place


def _hashed(words: Words) -> Words:
    hashed: Words = (words * _HASH_FACTOR) >> np.uint64(64 - _HASH_BITS)
    return hashed


def _different_bytes(words: Words) -> NDArray[np.int64]:
    """How many different bytes each word has."""
    octets = np.sort(words.view(np.uint8).reshape(-1, _WORD), axis=1)
    different: NDArray[np.int64] = 1 + (np.diff(octets, axis=1) != 0).sum(axis=1)
    return different


def _lost_windows(is_kept: NDArray[np.bool_], size: int) -> int:
    """How many windows of a secret have no kept word in them: a window at i has the word at ceil(i / 8) whole."""
    starts = np.arange(size - WINDOW + 1)
    whole = -(-starts // _WORD)
    is_found = is_kept[whole]
    # One that starts on a word has the next word as well.
    on_word = starts % _WORD == 0
    is_found[on_word] |= is_kept[whole[on_word] + 1]
    return int((~is_found).sum())


def _agrees(haystack: bytes, at: int, secret: bytes, place: int) -> bool:
    """Whether 16 bytes around the common word agree."""
    left = 0
    while left < WINDOW - _WORD and left < min(at, place) and haystack[at - left - 1] == secret[place - left - 1]:
        left += 1
    right = _WORD
    most = min(len(haystack) - at, len(secret) - place)
    while left + right < WINDOW and right < most and haystack[at + right] == secret[place + right]:
        right += 1
    return left + right >= WINDOW
