"""What we publish, and the offers that say so: one in flight at a time, each naming all that is published. Pure.

An offer is *asked* of the shell, which makes its SDP; *sent*; and, once its answer came, *applied* by the shell.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from hushroom_common.ids import Codec, LegRole, PublicationId, Source
from hushroom_common.signaling import CloseCode, Offer, OfferedTrack

__all__ = ["LocalPublication", "Publishing", "Settled"]

_STEADY_S = 30.0
_RETRY_S = (0.0, 5.0, 10.0, 20.0, 30.0)
"""How long after its loss the connection is built anew, by the number of losses in a row; the last repeats."""


@dataclass(frozen=True, slots=True)
class LocalPublication:
    """A track of ours as others will see it."""

    publication: PublicationId
    source: Source
    codec: Codec
    e2ee: str


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a publication: accepted, or refused with a code."""

    publication: PublicationId
    refused: CloseCode | None


class _Step(Enum):
    IDLE = auto()
    ASKED = auto()
    SENT = auto()
    APPLYING = auto()


class Publishing:
    """The publisher connection's negotiation. The caller sends what it returns, and only while that can be sent.

    `generation` counts connections: what the shell reports about an older one is ignored.
    """

    def __init__(self) -> None:
        self.generation = 0
        self.tracks: dict[PublicationId, LocalPublication] = {}
        self._accepted: set[PublicationId] = set()
        self._step = _Step.IDLE
        self._offer: Offer | None = None
        self._number = 0
        self._wants_offer = False
        self._has_lines = False  # offers cannot be without any, and lines stay once they were offered
        self._is_repeated = False
        self._voided: list[int] = []
        self._lost_at: float | None = None
        self._losses = 0
        self._not_before = float("-inf")

    # --- what is published --------------------------------------------------------------------------------------------

    def add(self, track: LocalPublication) -> None:
        """Publish this as well."""
        self.tracks[track.publication] = track
        self._wants_offer = True

    def remove(self, publication: PublicationId) -> bool:
        """Publish this no more; whether it was published, or is about to be."""
        if self.tracks.pop(publication, None) is None:
            return False
        self._accepted.discard(publication)
        if self._step is not _Step.IDLE:
            self._wants_offer = True  # the offer that is under way names it still
        return True

    # --- the offers ---------------------------------------------------------------------------------------------------

    def is_due(self, now: float) -> bool:
        """Whether the shell is to make an offer now; from then on it is asked for one."""
        if not self._waits or now < self._not_before:
            return False
        self._wants_offer = False
        self._step = _Step.ASKED
        return True

    def next_deadline(self) -> float | None:
        """When `is_due` will change by the time alone."""
        return self._not_before if self._waits else None

    def offered(self, generation: int, sdp: str, mids: Mapping[PublicationId, str]) -> Offer | None:
        """The shell made an offer: what to send, if it is still of use."""
        if generation != self.generation or self._step is not _Step.ASKED:
            return None
        named = [(self.tracks[publication], mid) for publication, mid in mids.items() if publication in self.tracks]
        self._number += 1
        self._has_lines, self._is_repeated = True, False
        self._offer = Offer(
            LegRole.PUBLISHER,
            self._number,
            sdp,
            tracks=tuple(OfferedTrack(mid, one.publication, one.source, one.codec, one.e2ee) for one, mid in named),
        )
        self._step = _Step.SENT
        return self._offer

    def answered(self, number: int) -> bool:
        """An answer came: whether the shell is to apply it."""
        if self._step is not _Step.SENT or self._offer is None or number != self._offer.number:
            if number in self._voided:
                self._voided.remove(number)
            return False
        self._step = _Step.APPLYING
        return True

    def applied(self, generation: int, accepted: Collection[PublicationId]) -> list[Settled]:
        """The shell has applied the answer; it knows which m-lines were accepted.

        Of the others the server says why not, one by one.
        """
        if generation != self.generation or self._step is not _Step.APPLYING:
            return []
        self._step, self._offer = _Step.IDLE, None
        news = [one for one in accepted if one in self.tracks and one not in self._accepted]
        self._accepted.update(news)
        return [Settled(publication, None) for publication in news]

    def refused(self, code: CloseCode, publication: PublicationId | None) -> list[Settled]:
        """An offer was refused, or one publication of it."""
        if publication is not None:
            return [Settled(publication, code)] if self.remove(publication) else []
        if self._voided:
            self._voided.pop(0)
            return []
        if self._step is not _Step.SENT or self._offer is None:
            return []
        news = [one.publication for one in self._offer.tracks if one.publication not in self._accepted]
        self._step, self._offer = _Step.IDLE, None
        return [Settled(one, code) for one in news if self.remove(one)]

    # --- interruptions ------------------------------------------------------------------------------------------------

    def leg_lost(self, now: float) -> bool:
        """The connection is of no more use: whether there was one. Another one is built, after a pause that grows."""
        is_unknown = self._step in (_Step.ASKED, _Step.SENT) and not self._accepted and not self._is_repeated
        if not self._has_lines or is_unknown:
            return False  # told of an older one, before the server saw the offer of this one
        if self._step is _Step.SENT and self._offer is not None:
            self._voided.append(self._offer.number)
        was_steady = self._lost_at is not None and now - self._lost_at >= _STEADY_S
        self._losses = 1 if was_steady else self._losses + 1
        self._lost_at = now
        self._not_before = now + _RETRY_S[min(self._losses, len(_RETRY_S)) - 1]
        self.generation += 1
        self._step, self._offer = _Step.IDLE, None
        self._accepted.clear()
        self._has_lines = False
        self._wants_offer = True
        return True

    def resumed(self) -> Offer | None:
        """The WebSocket was replaced: the offer to repeat, for the server may never have read it.

        Without one, another is due: what was unpublished meanwhile is missing in it.
        """
        self._voided.clear()
        if self._step is _Step.SENT:
            self._is_repeated = True
            return self._offer
        self._wants_offer = self._wants_offer or self._has_lines
        return None

    @property
    def _waits(self) -> bool:
        return self._wants_offer and self._step is _Step.IDLE and (self._has_lines or bool(self.tracks))
