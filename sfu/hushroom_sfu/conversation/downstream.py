"""The subscriber leg of one participant: its seats, the server's offers for them, and what flows when.

One offer is in flight at a time; what is wanted meanwhile waits for the answer. When an input is dealt with, `settle`
tells the client the slots that changed, then lets media flow, then asks for more seats.
"""

from dataclasses import replace

from hushroom_common.errors import ProtocolError, WireError
from hushroom_common.ids import LegId, LegRole
from hushroom_common.signaling.messages import Answer, CloseCode, Offer, Refused, Slot, Slots, TrackInfo
from hushroom_sfu.conversation.actions import (
    AssignSlot,
    CloseLeg,
    ConnectLeg,
    LimitSlot,
    OpenLeg,
    Outbox,
    ReleaseSlot,
)
from hushroom_sfu.conversation.limits import Limits
from hushroom_sfu.conversation.seats import (
    Freed,
    SeatChange,
    SeatMids,
    Seats,
    Started,
    Stopped,
    Taken,
    Unseated,
    UnseatedReason,
)
from hushroom_sfu.conversation.session import Entropy, SignalingSession
from hushroom_sfu.conversation.subscriber_negotiation import SubscriberNegotiation
from hushroom_sfu.conversation.transport import LocalTransport
from hushroom_sfu.rooms.room import Participant, PublicationRef

__all__ = ["Downstream"]

_STEADY_S = 30.0
"""A leg that was connected for so long is offered anew at once when it is lost, whatever happened before."""

_REFUSALS = {
    UnseatedReason.CODEC_NOT_SUPPORTED: (
        CloseCode.CODEC_NOT_SUPPORTED,
        "the answer to the subscriber leg's offer left this codec out",
    ),
    UnseatedReason.NO_FREE_SLOT: (
        CloseCode.NO_FREE_SLOT,
        "all slots are taken; unsubscribe from something else first",
    ),
}


class Downstream:
    """What one participant receives."""

    def __init__(
        self,
        member: Participant,
        session: SignalingSession,
        outbox: Outbox,
        limits: Limits,
        entropy: Entropy,
    ) -> None:
        self.seats = Seats(limits.seats_per_subscriber)
        self.leg: LegId | None = None
        self.is_opening = False
        self._member = member
        self._session = session
        self._outbox = outbox
        self._retry_s = limits.subscriber_retry_s
        self._entropy = entropy
        self._negotiation: SubscriberNegotiation | None = None
        self._offer: Offer | None = None  # in flight
        self._number = 0  # rises over all legs of the session, so that a late answer is known as such
        self._numbers_before = 0  # by how much it is ahead of the leg's own
        self._connected_at: float | None = None
        self._losses = 0
        self._not_before = float("-inf")
        self._to_tell: dict[str, Slot] = {}
        self._to_start: dict[str, Started] = {}

    @property
    def has_leg(self) -> bool:
        """Whether a leg is open or being opened."""
        return self.is_opening or self.leg is not None

    # --- what is wanted -------------------------------------------------------------------------------------------

    def want(self, ref: PublicationRef, track: TrackInfo) -> None:
        """A new subscription."""
        self._note(self.seats.want(ref, track.source, track.codec))

    def unwant(self, ref: PublicationRef) -> None:
        """A subscription or its publication is over."""
        self._note(self.seats.unwant(ref))

    def limit(self, ref: PublicationRef, max_temporal_id: int | None) -> None:
        """Other layers of a subscription are wanted than before."""
        mid = self.seats.mid_of(ref)
        if self.leg is not None and mid is not None and mid not in self._to_start and self.seats.is_flowing(ref):
            self._outbox.put(LimitSlot(self.leg, mid, max_temporal_id))

    # --- the leg --------------------------------------------------------------------------------------------------

    def opened(self, leg: LegId, local: LocalTransport) -> None:
        """The leg that was asked for is there."""
        self.is_opening = False
        self.leg = leg
        self._numbers_before = self._number
        self._negotiation = SubscriberNegotiation(local, entropy=self._entropy)

    def connected(self, now: float) -> None:
        """The leg can carry media."""
        self._connected_at = now

    def answered(self, answer: Answer) -> None:
        """The client's answer. Late ones, to offers of a lost leg, are ignored."""
        if answer.number > self._number:
            raise ProtocolError(CloseCode.PROTOCOL_ERROR, f"there was no offer {answer.number}")
        if self._offer is None or answer.number < self._number:
            return
        assert self._negotiation is not None
        assert self.leg is not None
        try:
            agreement = self._negotiation.accept(answer.number - self._numbers_before, answer.sdp)
        except WireError as error:
            raise ProtocolError(CloseCode.PROTOCOL_ERROR, str(error)) from error
        self._offer = None
        self._outbox.put(ConnectLeg(self.leg, agreement.remote))
        self._note(self.seats.answered({spec.mid: spec for spec in agreement.slots}))

    def lost(self, now: float) -> None:
        """The leg is of no more use. A fresh one is offered to a client that is there, after a pause that grows."""
        was_steady = self._connected_at is not None and now - self._connected_at >= _STEADY_S
        self._losses = 1 if was_steady else self._losses + 1
        self._not_before = now + self._retry_s[min(self._losses, len(self._retry_s)) - 1]
        self.close()

    def close(self) -> None:
        """End the leg and empty all its slots; what is wanted stays wanted."""
        self._note(self.seats.clear())
        self._to_tell.clear()
        self._offer = self._negotiation = self._connected_at = None
        if self.leg is not None:
            self._outbox.put(CloseLeg(self.leg))
            self.leg = None

    def resumed(self) -> None:
        """The client is back: repeat the offer that it may not have read, with the slots of now."""
        if self._offer is not None:
            self._outbox.say(self._session, replace(self._offer, slots=self.seats.slots))

    # --- after each input -----------------------------------------------------------------------------------------

    def settle(self, now: float) -> None:
        """Tell the client what changed, start what may flow, offer more seats if some are missing."""
        if self._to_tell:
            self._outbox.say(self._session, Slots(tuple(self._to_tell.values())))
            self._to_tell.clear()
        if self._connected_at is not None and self.leg is not None:
            for started in self._to_start.values():
                layers = self._member.subscriptions[started.ref]
                self._outbox.put(AssignSlot(self.leg, started.spec, started.ref, layers))
            self._to_start.clear()
        self._grow(now)

    def next_deadline(self) -> float | None:
        """When `settle` will offer a fresh leg for a lost one."""
        waits = not self.has_leg and self._session.connection is not None and self.seats.missing() > 0
        return self._not_before if waits else None

    def _grow(self, now: float) -> None:
        if self._offer is not None or self.is_opening or self._session.connection is None:
            return
        missing = self.seats.missing()
        if missing == 0:
            return
        if self.leg is None or self._negotiation is None:
            if now >= self._not_before:
                self.is_opening = True
                self._outbox.put(OpenLeg(self._member.id, LegRole.SUBSCRIBER))
            return
        self._note(self.seats.offered([SeatMids(*self._negotiation.add_seat()) for _ in range(missing)]))
        self._to_tell.clear()  # the offer says it all
        number, sdp = self._negotiation.offer()
        self._number = self._numbers_before + number
        self._offer = Offer(LegRole.SUBSCRIBER, self._number, sdp, slots=self.seats.slots)
        self._outbox.say(self._session, self._offer)

    def _note(self, changes: list[SeatChange]) -> None:
        for change in changes:
            match change:
                case Taken(mid, ref):
                    self._to_tell[mid] = Slot(mid, ref.publisher, ref.publication)
                case Freed(mid):
                    self._to_tell[mid] = Slot(mid)
                case Started(spec, _):
                    self._to_start[spec.mid] = change
                case Stopped(mid):
                    if self._to_start.pop(mid, None) is None and self.leg is not None:
                        self._outbox.put(ReleaseSlot(self.leg, mid))
                case Unseated(ref, reason):
                    code, message = _REFUSALS[reason]
                    self._outbox.say(self._session, Refused(code, message, "subscribe", ref.publication, ref.publisher))
