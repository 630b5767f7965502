"""The seats of one subscriber connection: which publication sits on which m-line, and when more m-lines are needed.

A seat is an audio and a video m-line in one msid stream, so that browsers keep lips in sync. A publisher's microphone
and camera share a seat; his screen and its sound share another. Seats are added by renegotiation, in numbers that
double the total, and are never taken away: whoever comes next gets the seat that has been free longest, so that late
packets of its last holder have passed.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum

from hushroom_common.ids import Codec, Kind, ParticipantId, Source
from hushroom_common.signaling.messages import Slot
from hushroom_sfu.core.specs import DownTrackSpec
from hushroom_sfu.rooms.room import PublicationRef

__all__ = ["Freed", "SeatChange", "SeatMids", "Seats", "Started", "Stopped", "Taken", "Unseated", "UnseatedReason"]


class UnseatedReason(StrEnum):
    """Why nothing of a wanted publication is sent."""

    AWAITS_SEAT = "awaits_seat"
    AWAITS_ANSWER = "awaits_answer"
    CODEC_NOT_SUPPORTED = "codec_not_supported"
    NO_FREE_SLOT = "no_free_slot"


@dataclass(frozen=True, slots=True)
class SeatMids:
    """The m-lines of one seat."""

    audio: str
    video: str


@dataclass(frozen=True, slots=True)
class Taken:
    """A publication has a slot from now on; nothing flows before `Started`."""

    mid: str
    ref: PublicationRef


@dataclass(frozen=True, slots=True)
class Freed:
    """A slot has lost its publication."""

    mid: str


@dataclass(frozen=True, slots=True)
class Started:
    """The slot is negotiated: the publication may flow as `spec` says."""

    spec: DownTrackSpec
    ref: PublicationRef


@dataclass(frozen=True, slots=True)
class Stopped:
    """Nothing more may flow on this m-line."""

    mid: str


@dataclass(frozen=True, slots=True)
class Unseated:
    """A wanted publication gets no slot, and no renegotiation that is under way will change that."""

    ref: PublicationRef
    reason: UnseatedReason


SeatChange = Taken | Freed | Started | Stopped | Unseated


class _Share(Enum):
    """What is shown in sync: a person, or a person's screen."""

    PERSON = "person"
    SCREEN = "screen"


_Holder = tuple[ParticipantId, _Share]


class _Wanted:
    """A publication that the subscriber wants, and with what it shares a seat."""

    __slots__ = ("codec", "holder", "kind", "ref")

    def __init__(self, ref: PublicationRef, source: Source, codec: Codec) -> None:
        self.ref = ref
        self.codec = codec
        self.kind = codec.kind
        is_screen = source in (Source.SCREEN, Source.SCREEN_AUDIO)
        self.holder: _Holder = (ref.publisher, _Share.SCREEN if is_screen else _Share.PERSON)


class _Slot:
    """One m-line. Its spec is None until the first answer, and for good once an answer rejected the m-line."""

    __slots__ = ("is_answered", "mid", "occupant", "spec")

    def __init__(self, mid: str) -> None:
        self.mid = mid
        self.occupant: PublicationRef | None = None
        self.is_answered = False
        self.spec: DownTrackSpec | None = None

    def may_carry(self, codec: Codec) -> bool:
        """False once the subscriber's answer has left the codec out."""
        if not self.is_answered:
            return True
        return self.spec is not None and any(one.codec is codec for one in self.spec.codecs)


class _Seat:
    """Two slots with one holder; `freed_at` counts up with each seat that becomes free, 0 was never taken."""

    __slots__ = ("freed_at", "holder", "slots")

    def __init__(self, mids: SeatMids) -> None:
        self.slots = {Kind.AUDIO: _Slot(mids.audio), Kind.VIDEO: _Slot(mids.video)}
        self.holder: _Holder | None = None
        self.freed_at = 0

    def is_open_to(self, wanted: _Wanted) -> bool:
        """Whether the slot for it is free, and nobody else sits on the other."""
        return self.slots[wanted.kind].occupant is None and self.holder in (None, wanted.holder)


class Seats:
    """Who sits where on one subscriber connection. All methods that change something return what changed, in order."""

    def __init__(self, max_seats: int) -> None:
        self._max_seats = max_seats
        self._seats: list[_Seat] = []
        self._wanted: dict[PublicationRef, _Wanted] = {}
        self._seated: dict[PublicationRef, tuple[_Seat, _Slot]] = {}
        self._unseated: dict[PublicationRef, UnseatedReason] = {}
        self._frees = 0

    def __len__(self) -> int:
        return len(self._seats)

    @property
    def slots(self) -> tuple[Slot, ...]:
        """All m-lines and what they carry, as the subscriber is told."""
        return tuple(_as_told(slot) for seat in self._seats for slot in seat.slots.values())

    def mid_of(self, ref: PublicationRef) -> str | None:
        """The m-line on which a publication has its slot."""
        seated = self._seated.get(ref)
        return seated[1].mid if seated is not None else None

    def is_flowing(self, ref: PublicationRef) -> bool:
        """Whether the publication has a slot that is negotiated."""
        seated = self._seated.get(ref)
        return seated is not None and seated[1].spec is not None

    def reason(self, ref: PublicationRef) -> UnseatedReason | None:
        """Why a wanted publication does not flow; None if it flows or is not wanted."""
        if ref in self._seated and not self.is_flowing(ref):
            return UnseatedReason.AWAITS_ANSWER
        return self._unseated.get(ref)

    # --- who is wanted --------------------------------------------------------------------------------------------

    def want(self, ref: PublicationRef, source: Source, codec: Codec) -> list[SeatChange]:
        """The subscriber wants a publication that it did not want before."""
        self._wanted[ref] = _Wanted(ref, source, codec)
        return list(self._seat(self._wanted[ref]))

    def unwant(self, ref: PublicationRef) -> list[SeatChange]:
        """The subscriber does not want a publication any more, or it has ended; others may get its seat."""
        if self._wanted.pop(ref, None) is None:
            return []
        self._unseated.pop(ref, None)
        seated = self._seated.get(ref)
        if seated is None:
            return []  # nothing is free now that was not free before
        # Whoever waits found no place elsewhere. In a full room, where hundreds may wait, this keeps a leaver cheap.
        seat, _ = seated
        return [*self._vacate(ref, was_flowing=self.is_flowing(ref)), *self._fill(seat)]

    # --- growing by renegotiation ---------------------------------------------------------------------------------

    def missing(self) -> int:
        """How many seats to add with the next offer; 0 while an offer with new seats is unanswered."""
        if len(self._seats) >= self._max_seats:
            return 0
        waiting: dict[_Holder, Counter[Kind]] = {}
        for ref, reason in self._unseated.items():
            if reason is UnseatedReason.AWAITS_SEAT:
                wanted = self._wanted[ref]
                waiting.setdefault(wanted.holder, Counter())[wanted.kind] += 1
        if not waiting or any(not slot.is_answered for seat in self._seats for slot in seat.slots.values()):
            return 0
        needed = len(self._seats) + sum(max(kinds.values()) for kinds in waiting.values())
        power_of_two = 1 << (needed - 1).bit_length()
        return min(power_of_two, self._max_seats) - len(self._seats)

    def offered(self, added: Sequence[SeatMids]) -> list[SeatChange]:
        """New m-lines are in an offer that goes out now; who waits is seated on them already."""
        self._seats += map(_Seat, added)
        return self._seat_the_unseated()

    def answered(self, specs: Mapping[str, DownTrackSpec]) -> list[SeatChange]:
        """The subscriber's answer, by mid; an m-line without a spec was rejected.

        The first answer to an m-line is final: its stream keeps its numbers for as long as the connection lives, so
        that no SRTP index is used twice. Where a later answer differs, the m-line is given up.
        """
        changes: list[SeatChange] = []
        for slot in [slot for seat in self._seats for slot in seat.slots.values()]:
            before, spec = slot.spec, specs.get(slot.mid)
            if slot.is_answered and spec == before:
                continue
            slot.spec = None if slot.is_answered else spec
            slot.is_answered = True
            if slot.occupant is None:
                continue
            wanted = self._wanted[slot.occupant]
            if slot.spec is not None and slot.may_carry(wanted.codec):
                changes.append(Started(slot.spec, wanted.ref))
            else:
                changes += self._vacate(wanted.ref, was_flowing=before is not None)
        return changes + self._seat_the_unseated()

    def clear(self) -> list[SeatChange]:
        """The connection is gone, with all its m-lines; what is wanted waits for seats on the next one."""
        flowing = [slot.mid for _, slot in self._seated.values() if slot.spec is not None]
        self._seats.clear()
        self._seated.clear()
        self._unseated = dict.fromkeys(self._wanted, UnseatedReason.AWAITS_SEAT)
        return [Stopped(mid) for mid in flowing]

    # --- inside ---------------------------------------------------------------------------------------------------

    def _seat_the_unseated(self) -> list[SeatChange]:
        return [change for wanted in self._waiting() for change in self._seat(wanted)]

    def _fill(self, seat: _Seat) -> list[SeatChange]:
        """Give a seat that has become free, or half of it, to those who wait."""
        may_sit = (wanted for wanted in self._waiting() if seat.is_open_to(wanted))
        return [change for wanted in may_sit for change in self._take(seat, wanted)]

    def _waiting(self) -> list[_Wanted]:
        return [wanted for ref, wanted in self._wanted.items() if ref not in self._seated]

    def _seat(self, wanted: _Wanted) -> Iterator[SeatChange]:
        """Give a publication a slot, or note why it has none."""
        candidates = [seat for seat in self._seats if seat.is_open_to(wanted)]
        if not candidates:
            is_full = len(self._seats) >= self._max_seats
            return self._leave_unseated(
                wanted.ref, UnseatedReason.NO_FREE_SLOT if is_full else UnseatedReason.AWAITS_SEAT
            )
        seat = min(
            candidates,
            key=lambda one: (not one.slots[wanted.kind].may_carry(wanted.codec), one.holder is None, one.freed_at),
        )
        return self._take(seat, wanted)

    def _take(self, seat: _Seat, wanted: _Wanted) -> Iterator[SeatChange]:
        """Give a publication its slot of an open seat, if that slot can carry it."""
        slot = seat.slots[wanted.kind]
        if not slot.may_carry(wanted.codec):
            yield from self._leave_unseated(wanted.ref, UnseatedReason.CODEC_NOT_SUPPORTED)
            return
        seat.holder, slot.occupant = wanted.holder, wanted.ref
        self._seated[wanted.ref] = seat, slot
        self._unseated.pop(wanted.ref, None)
        yield Taken(slot.mid, wanted.ref)
        if slot.spec is not None:
            yield Started(slot.spec, wanted.ref)

    def _leave_unseated(self, ref: PublicationRef, reason: UnseatedReason) -> Iterator[SeatChange]:
        if self._unseated.get(ref) is reason:
            return
        self._unseated[ref] = reason
        if reason is not UnseatedReason.AWAITS_SEAT:
            yield Unseated(ref, reason)

    def _vacate(self, ref: PublicationRef, *, was_flowing: bool) -> Iterator[SeatChange]:
        seated = self._seated.pop(ref, None)
        if seated is None:
            return
        seat, slot = seated
        if was_flowing:
            yield Stopped(slot.mid)
        slot.occupant = None
        yield Freed(slot.mid)
        if all(one.occupant is None for one in seat.slots.values()):
            self._frees += 1
            seat.holder, seat.freed_at = None, self._frees


def _as_told(slot: _Slot) -> Slot:
    if slot.occupant is None:
        return Slot(slot.mid)
    return Slot(slot.mid, slot.occupant.publisher, slot.occupant.publication)
