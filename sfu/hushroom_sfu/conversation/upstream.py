"""The publisher leg of one participant: his offers, the server's answers, and which tracks they carry."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from hushroom_common.ids import LegId, LegRole, ParticipantId, PublicationId
from hushroom_common.signaling.messages import Answer, CloseCode, Offer, OfferedTrack
from hushroom_sfu.conversation.actions import CloseLeg, ConnectLeg, OpenLeg, Outbox, RestartIce
from hushroom_sfu.conversation.publisher_negotiation import PublisherNegotiation
from hushroom_sfu.conversation.sdp_reader import read_sdp
from hushroom_sfu.conversation.session import SignalingSession
from hushroom_sfu.conversation.transport import LocalTransport, RemoteTransport
from hushroom_sfu.core.specs import UpTrackSpec
from hushroom_sfu.rooms.refusal import Refusal

__all__ = ["NegotiatedTrack", "Stated", "Upstream"]


@dataclass(frozen=True, slots=True)
class NegotiatedTrack:
    """A track of the publisher leg: what its publisher calls it and how it comes."""

    offered: OfferedTrack
    spec: UpTrackSpec


class Stated(Enum):
    """What an offer says of the client's end of the transport."""

    AS_BEFORE = "as before"
    ICE_RESTART = "new ICE credentials"
    ANOTHER_CONNECTION = "another certificate"


class Upstream:
    """What one participant sends. Publications are the meeting's; here they are m-lines."""

    def __init__(self, participant: ParticipantId, session: SignalingSession, outbox: Outbox) -> None:
        self.leg: LegId | None = None
        self.tracks: dict[PublicationId, NegotiatedTrack] = {}
        self._participant = participant
        self._session = session
        self._outbox = outbox
        self._negotiation: PublisherNegotiation | None = None
        self._remote: RemoteTransport | None = None
        self._pending: Offer | None = None  # until the leg for it is open
        self._answered: tuple[Offer, Answer] | None = None
        self._number = 0

    @property
    def is_opening(self) -> bool:
        """Whether a leg has been asked for and is not there yet."""
        return self._pending is not None

    @property
    def has_leg(self) -> bool:
        """Whether a leg is open or being opened."""
        return self.is_opening or self.leg is not None

    def take_number(self, offer: Offer) -> bool:
        """Whether the offer is new. One that was answered already is answered the same way: the client was cut off.

        Raises `Refusal` for an offer out of turn.
        """
        if self._answered is not None and offer == self._answered[0]:
            self._outbox.say(self._session, self._answered[1])
            return False
        if offer == self._pending:
            return False
        if self._pending is not None:
            raise Refusal(CloseCode.PROTOCOL_ERROR, "an offer is made after the answer to the last one")
        if offer.number <= self._number:
            raise Refusal(CloseCode.PROTOCOL_ERROR, f"the next offer's number is above {self._number}")
        self._number = offer.number
        return True

    def stated(self, offer: Offer) -> Stated:
        """Whether the client restarts ICE, or offers a fresh connection though its last one is not known to be gone.

        Raises WireError if the offer cannot be read.
        """
        if self._remote is None:
            return Stated.AS_BEFORE
        session = read_sdp(offer.sdp)
        ends = [session.transport_of(section) for section in session.media]
        fingerprints = {one for end in ends for one in end.fingerprints}
        if fingerprints and fingerprints.isdisjoint(self._remote.fingerprints):
            return Stated.ANOTHER_CONNECTION
        ufrags = {end.ice_ufrag for end in ends if end.ice_ufrag is not None}
        if ufrags and self._remote.ice_ufrag not in ufrags:
            return Stated.ICE_RESTART
        return Stated.AS_BEFORE

    def open(self, offer: Offer) -> None:
        """Ask for the leg that the offer needs; `opened` goes on with it."""
        self._pending = offer
        self._outbox.put(OpenLeg(self._participant, LegRole.PUBLISHER))

    def opened(self, leg: LegId, local: LocalTransport) -> Offer:
        """The leg that was asked for is there; returns the offer that waited for it."""
        assert self._pending is not None
        offer, self._pending = self._pending, None
        self.leg, self._negotiation = leg, PublisherNegotiation(local)
        return offer

    def restart(self, offer: Offer) -> None:
        """Ask for the credentials that the answer needs (RFC 8445 §9: new ones); `restarted` goes on with it."""
        assert self.leg is not None
        self._pending = offer
        self._outbox.put(RestartIce(self.leg))

    def restarted(self, leg: LegId) -> Offer | None:
        """The leg has new credentials; returns the offer that waited for them, if it still does."""
        if leg != self.leg or self._pending is None:
            return None
        offer, self._pending = self._pending, None
        return offer

    def agree(
        self, offer: Offer, tracks: Sequence[OfferedTrack], local: LocalTransport | None = None
    ) -> dict[PublicationId, NegotiatedTrack]:
        """Answer an offer as far as it carries `tracks`; returns them as negotiated, for the caller to publish.

        `local` is the server's end where that is new.
        Raises WireError or ProtocolError, and has changed nothing then, for an offer that cannot be answered.
        """
        assert self._negotiation is not None
        assert self.leg is not None
        agreement = self._negotiation.answer(offer.sdp, tracks, local)
        answer = Answer(LegRole.PUBLISHER, offer.number, agreement.answer_sdp)
        self._remote, self._answered = agreement.remote, (offer, answer)
        self._outbox.put(ConnectLeg(self.leg, agreement.remote))
        self._outbox.say(self._session, answer)
        return {track.publication: NegotiatedTrack(track, spec) for track, spec in agreement.tracks}

    def close(self) -> None:
        """End the leg. Its publications have been ended before."""
        self._negotiation = self._remote = self._pending = self._answered = None
        self.tracks.clear()
        if self.leg is not None:
            self._outbox.put(CloseLeg(self.leg))
            self.leg = None
