"""Where IVs may come from: word 1 of an IV is pinned to the track that it first opened on, and each source is counted.

An SFU can put a frame into another slot, and AES-GCM under LiveKit's additional data doesn't notice. The pin does.
Word 1 is no RTP SSRC of the packet (SFUs rewrite those): only the sealer chose it.
"""

from collections import OrderedDict
from enum import Enum, auto
from typing import NamedTuple

from hushroom_client.e2ee.iv import UNKNOWN_SOURCE, is_counted
from hushroom_client.e2ee.replay import CountWindow, Freshness, TimeWindow
from hushroom_common.ids import Identity, PublicationId

__all__ = ["MAX_SOURCES_PER_TRACK", "SourcePins", "Track", "Verdict"]

MAX_SOURCES_PER_TRACK = 8
"""Simulcast layers and republished tracks; past that, frames of yet another source are refused."""
MAX_SOURCES = 1024
"""All sources that one registry remembers, those of gone tracks included; the least recently heard is forgotten."""


class Track(NamedTuple):
    """A track of a participant."""

    identity: Identity
    publication: PublicationId


class Verdict(Enum):
    """What the registry says of an IV on a track."""

    FRESH = auto()
    DUPLICATE = auto()
    TOO_OLD = auto()
    WRONG_TRACK = auto()
    TOO_MANY_SOURCES = auto()


_VERDICTS = {
    Freshness.FRESH: Verdict.FRESH,
    Freshness.DUPLICATE: Verdict.DUPLICATE,
    Freshness.TOO_OLD: Verdict.TOO_OLD,
}

SourceId = tuple[Track, bytes]
"""A track and what names a source on it: our sealer's r (8 bytes) or a LiveKit sender's word 1 (4 bytes)."""


class SourcePins:
    """The sources of all tracks whose frames could open under the same keys, with their replay windows.

    One registry a participant where each has keys of his own; one for the whole room under a shared key, so that
    one participant's frames can't be shown as another's. Windows outlive tracks and participations: a server that
    says somebody left and came back can't have old frames played again.
    """

    def __init__(self) -> None:
        self._pins: dict[bytes, Track] = {}
        self._windows: OrderedDict[SourceId, CountWindow | TimeWindow] = OrderedDict()
        self._active: dict[Track, set[bytes]] = {}

    def judge(self, track: Track, iv: bytes, *, now: float) -> Verdict:
        """Whether a frame with this IV may be opened on `track`. Changes nothing."""
        if self._pins.get(iv[:4], track) != track:
            return Verdict.WRONG_TRACK
        name = _source_name(iv)
        window = self._windows.get((track, name))
        if window is not None:
            freshness = window.judge(iv, now)
            if freshness is not Freshness.FRESH:
                return _VERDICTS[freshness]
        active = self._active.get(track, set())
        if name not in active and len(active) >= MAX_SOURCES_PER_TRACK:
            return Verdict.TOO_MANY_SOURCES
        return Verdict.FRESH

    def accept(self, track: Track, iv: bytes, *, clock_rate: int, now: float) -> None:
        """Remembers an IV that was judged fresh, after its frame's tag verified on `track`."""
        name = _source_name(iv)
        source = (track, name)
        window = self._windows.get(source)
        if window is None:
            window = self._windows[source] = CountWindow() if is_counted(iv) else TimeWindow(clock_rate)
            if iv[:4] != UNKNOWN_SOURCE:
                self._pins[iv[:4]] = track
            self._forget_beyond_capacity()
        window.accept(iv, now)
        self._windows.move_to_end(source)
        self._active.setdefault(track, set()).add(name)

    def claim(self, track: Track, source: bytes) -> None:
        """Pins word 1 of our own sealer's IVs, so that our frames don't open when they are sent back as another's."""
        self._pins[source] = track

    def retire(self, identity: Identity, publication: PublicationId | None = None) -> None:
        """A participant (or one publication of his) is gone: his next ones may have as many sources again."""
        for track in [track for track in self._active if track.identity == identity]:
            if publication is None or track.publication == publication:
                del self._active[track]

    def _forget_beyond_capacity(self) -> None:
        while len(self._windows) > MAX_SOURCES:
            (track, name), _ = self._windows.popitem(last=False)
            self._active.get(track, set()).discard(name)
            if not any(other[:4] == name[:4] for _, other in self._windows):
                self._pins.pop(name[:4], None)


def _source_name(iv: bytes) -> bytes:
    return iv[:8] if is_counted(iv) else iv[:4]
