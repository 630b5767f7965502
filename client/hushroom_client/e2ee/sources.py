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
PIN_FINAL_AFTER_S = 60.0
"""How long a new pin is taken back if its track ends: longer than a lost WebSocket may leave labels out of date.

Labels travel by TCP and media by UDP, so the first frames of a slot's next publication can come in under the name of
the last one, and would be refused on their true track ever after. A server gains nothing by it that it did not have
before the first frame: no frame opens twice, and a source heard for longer stays where it is.
"""
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

SourceId = bytes | tuple[Track, bytes]
"""What names a source: our sealer's r (8 bytes), a LiveKit sender's word 1 (4 bytes), or a track for an unknown one."""


class _Pin(NamedTuple):
    track: Track
    since: float


class SourcePins:
    """The sources of all tracks whose frames could open under the same keys, with their replay windows.

    One registry a participant where each has keys of his own; one for the whole room under a shared key, so that
    one participant's frames can't be shown as another's. Windows outlive tracks and participations: a server that
    says somebody left and came back can't have old frames played again.
    """

    def __init__(self) -> None:
        self._pins: dict[bytes, _Pin] = {}
        self._windows: OrderedDict[SourceId, CountWindow | TimeWindow] = OrderedDict()
        self._active: dict[Track, set[SourceId]] = {}

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to remember."""
        return not (self._windows or self._pins)

    def judge(self, track: Track, iv: bytes, *, now: float) -> Verdict:
        """Whether a frame with this IV may be opened on `track`. Changes nothing."""
        pin = self._pins.get(iv[:4])
        if pin is not None and pin.track != track:
            return Verdict.WRONG_TRACK
        source = _source_of(track, iv)
        window = self._windows.get(source)
        if window is not None:
            freshness = window.judge(iv, now)
            if freshness is not Freshness.FRESH:
                return _VERDICTS[freshness]
        active = self._active.get(track, ())
        if source not in active and len(active) >= MAX_SOURCES_PER_TRACK:
            return Verdict.TOO_MANY_SOURCES
        return Verdict.FRESH

    def accept(self, track: Track, iv: bytes, *, clock_rate: int, now: float) -> None:
        """Remembers an IV that was judged fresh, after its frame's tag verified on `track`."""
        source = _source_of(track, iv)
        if iv[:4] not in self._pins and iv[:4] != UNKNOWN_SOURCE:
            self._pins[iv[:4]] = _Pin(track, now)
        window = self._windows.get(source)
        if window is None:
            window = self._windows[source] = CountWindow() if is_counted(iv) else TimeWindow(clock_rate)
            self._forget_beyond_capacity()
        window.accept(iv, now)
        self._windows.move_to_end(source)
        self._active.setdefault(track, set()).add(source)

    def claim(self, track: Track, source: bytes) -> None:
        """Pins word 1 of our own sealer's IVs, so that our frames don't open when they are sent back as another's."""
        self._pins[source] = _Pin(track, float("-inf"))

    def retire(self, identity: Identity, publication: PublicationId | None = None, *, now: float) -> None:
        """A participant (or one publication of his) is gone: his next ones may have as many sources again.

        Of the pins, those that are not final yet are taken back; windows stay.
        """
        for track in [track for track in self._active if track.identity == identity]:
            if publication is None or track.publication == publication:
                del self._active[track]
                self._take_back(track, now)

    def _take_back(self, track: Track, now: float) -> None:
        for word, pin in list(self._pins.items()):
            if pin.track == track and now - pin.since <= PIN_FINAL_AFTER_S:
                del self._pins[word]

    def _forget_beyond_capacity(self) -> None:
        while len(self._windows) > MAX_SOURCES:
            forgotten, _ = self._windows.popitem(last=False)
            for active in self._active.values():
                active.discard(forgotten)
            if isinstance(forgotten, bytes) and not any(
                isinstance(other, bytes) and other[:4] == forgotten[:4] for other in self._windows
            ):
                self._pins.pop(forgotten[:4], None)


def _source_of(track: Track, iv: bytes) -> SourceId:
    name = iv[:8] if is_counted(iv) else iv[:4]
    return (track, name) if name[:4] == UNKNOWN_SOURCE else name
