"""Which packets of one RTP stream are missing, when to ask for them again, and when to stop.

All numbers are extended ones, as one `SequenceUnwrapper` a stream makes them; mask them with 0xFFFF for a NACK.
Nothing here knows what a packet holds, and memory is bounded whatever a sender does.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto

__all__ = ["MAX_DROPOUT", "Arrival", "MissingPackets", "NackRound"]

MAX_DROPOUT = 3000
"""A longer jump ahead is not believed of one packet alone (RFC 3550 §A.1)."""

_SHORTEST_REPEAT_S = 0.02


class Arrival(Enum):
    """What one packet is to its stream. Only NEW and LATE packets are to be used."""

    NEW = auto()
    """The highest so far."""
    LATE = auto()
    """Fills a gap: reordered, or sent again."""
    DUPLICATE = auto()
    """Was there before."""
    TOO_OLD = auto()
    """Given up, from before the stream's first packet, or from a hole too wide to track."""
    STRAY = auto()
    """Far ahead of the stream, and not believed until the next packet follows on it (RFC 3550 §A.1: bad_seq)."""


@dataclass(frozen=True, slots=True)
class NackRound:
    """What to do now: extended numbers, rising."""

    nack: list[int]
    """Ask for these."""
    given_up: list[int]
    """Never wait for these again; each is said once, and if it comes after all it is TOO_OLD."""


@dataclass(slots=True)
class _Gap:
    expires_at: float
    ask_at: float
    tries: int = 0


class MissingPackets:
    """Follows one stream's numbers. Call `receive` for each packet and `due` whenever `next_deadline()` has passed.

    A number is asked for `reorder_delay_s` after its absence showed, then every round trip, `max_tries` times at most
    (0: never, it is only waited for). It is given up `max_age_s` after its absence showed, one round trip after the
    last request, or when `max_entries` younger numbers are missing too.

    The stream only moves forward. A lower restart under the same SSRC, which RFC 3550 §A.1 would follow, is never NEW:
    what depends on these numbers (SRTP indices, replay windows) must not run backwards.
    """

    def __init__(
        self, *, max_entries: int = 512, max_age_s: float, max_tries: int, reorder_delay_s: float = 0.01
    ) -> None:
        self._max_entries = max_entries
        self._max_age_s = max_age_s
        self._max_tries = max_tries
        self._reorder_delay_s = reorder_delay_s
        self._highest: int | None = None
        self._floor = 0  # everything below is settled
        self._stray: int | None = None
        self._gaps: dict[int, _Gap] = {}  # in rising order
        self._abandoned: deque[int] = deque(maxlen=max_entries)
        # Bounded for callers that stay away from `due`; others never come near this.
        self._unsaid: deque[int] = deque(maxlen=4 * max_entries)
        self._wake_at: float | None = None

    @property
    def missing(self) -> int:
        """How many numbers are waited for, or were given up in a jump and not yet said so by `due`."""
        return len(self._gaps) + len(self._unsaid)

    def receive(self, extended: int, now: float) -> Arrival:
        """Takes the number of a packet that just arrived."""
        highest = self._highest
        if highest is None:
            self._highest = self._floor = extended
            return Arrival.NEW
        if extended == highest + 1:
            self._highest = extended
            self._stray = None
            return Arrival.NEW
        if extended > highest:
            return self._jump(highest, extended, now)
        if self._gaps.pop(extended, None) is not None:
            return Arrival.LATE
        if extended < self._floor or extended in self._abandoned:
            return Arrival.TOO_OLD
        return Arrival.DUPLICATE

    def _jump(self, highest: int, extended: int, now: float) -> Arrival:
        if extended - highest > MAX_DROPOUT:
            follows, self._stray = self._stray == extended - 1, extended
            if not follows:
                return Arrival.STRAY
        self._stray = None
        self._highest = extended
        width = extended - highest - 1
        if width > self._max_entries:
            self._abandon(tuple(self._gaps), now)
            self._floor = extended
            return Arrival.NEW
        surplus = len(self._gaps) + width - self._max_entries
        if surplus > 0:
            self._abandon(tuple(self._gaps)[:surplus], now)
        ask_at = now + self._reorder_delay_s if self._max_tries else now + self._max_age_s
        for number in range(highest + 1, extended):
            self._gaps[number] = _Gap(now + self._max_age_s, ask_at)
        self._wake(min(ask_at, now + self._max_age_s))
        return Arrival.NEW

    def due(self, now: float, rtt_s: float) -> NackRound:
        """What `now` asks for. `rtt_s` is the round trip to the sender, by which requests are repeated."""
        nack: list[int] = []
        expired: list[int] = []
        self._wake_at = None
        repeat_at = now + max(rtt_s, _SHORTEST_REPEAT_S)
        for number, gap in self._gaps.items():
            if now >= gap.expires_at or (now >= gap.ask_at and gap.tries >= self._max_tries):
                expired.append(number)
                continue
            if now >= gap.ask_at:
                nack.append(number)
                gap.tries += 1
                gap.ask_at = repeat_at
            self._wake(min(gap.ask_at, gap.expires_at))
        given_up = [*self._unsaid, *expired]
        self._unsaid.clear()
        for number in expired:
            del self._gaps[number]
        self._abandoned.extend(expired)
        return NackRound(nack, sorted(given_up))

    def next_deadline(self) -> float | None:
        """When to call `due` next, None when nothing is waited for. May be early: late packets do not move it."""
        return self._wake_at if self.missing else None

    def _wake(self, at: float) -> None:
        if self._wake_at is None or at < self._wake_at:
            self._wake_at = at

    def _abandon(self, numbers: Iterable[int], now: float) -> None:
        """Gives up before the time; the next `due` says so."""
        for number in numbers:
            del self._gaps[number]
            self._unsaid.append(number)
            self._abandoned.append(number)
            self._wake(now)
