"""A client's session with the server: joining, resuming after a lost WebSocket, and what is said meanwhile. Pure.

Messages, the WebSocket's fate, the user's wishes and the time go in; actions come out, to be carried out in order.
Nothing here decides what is sealed or opened: see `e2ee`.
"""

from collections.abc import Callable, Collection, Mapping
from typing import assert_never

from hushroom_client.errors import close_sentence
from hushroom_client.events import ConnectionLost, Reconnected, Reconnecting
from hushroom_client.key_steps import KeySteps
from hushroom_client.lifeline import RESUME_WINDOW_S, Due, Lifeline, SessionState
from hushroom_client.publishing import LocalPublication, Publishing
from hushroom_client.roster import Declined, Roster, RosterChange, TrackRef
from hushroom_client.session_actions import (
    AnswerOffer,
    ApplyAnswer,
    Connect,
    Disconnect,
    DropLeg,
    Emit,
    Entered,
    KeyHint,
    MakeOffer,
    NotEntered,
    Over,
    Send,
    SessionAction,
    TokenLasts,
    TurnedDown,
)
from hushroom_common.ids import LegRole, PublicationId
from hushroom_common.signaling import (
    Answer,
    ClientMessage,
    CloseCode,
    Closed,
    Join,
    Joined,
    KeyStepHint,
    Leave,
    LegLost,
    Mute,
    Offer,
    ParticipantJoined,
    ParticipantLeft,
    Refused,
    RenewToken,
    Resume,
    Resumed,
    ServerMessage,
    Slots,
    Subscribe,
    TokenRenewed,
    TrackMuted,
    TrackPublished,
    TrackUnpublished,
    Unpublish,
    Unsubscribe,
)

__all__ = ["Session"]


class Session:
    """One stay in a room. Times are monotonic seconds; `chance` gives numbers from 0 to 1.

    After `Over` nothing does anything any more. `profile` is how we seal, "none" for not at all.
    """

    def __init__(self, join: Join, *, profile: str, chance: Callable[[], float]) -> None:
        self.roster = Roster(join.identity, profile)
        self.publishing = Publishing()
        self._join = join
        self._lifeline = Lifeline(chance)
        self._key_steps = KeySteps()
        self._muted: set[PublicationId] = set()
        self._resume_token = ""
        self._subscriber_generation = 0
        self._offer_in_work: int | None = None
        self._last_answer: Answer | None = None

    @property
    def state(self) -> SessionState:
        """Where the session stands."""
        return self._lifeline.state

    # --- the WebSocket ------------------------------------------------------------------------------------------------

    def start(self, now: float) -> list[SessionAction]:
        """Begins."""
        self._lifeline.start(now)
        return [Connect()]

    def connected(self, now: float) -> list[SessionAction]:
        """A WebSocket is open."""
        if self.state is SessionState.JOINING:
            return [Send(self._join)]
        return [Send(Resume(self._resume_token))] if self.state is SessionState.RESUMING else [Disconnect()]

    def disconnected(self, reason: str, now: float) -> list[SessionAction]:
        """A WebSocket is gone, or did not open; `reason` says how that came."""
        before = self.state
        if before is SessionState.JOINING:
            return self._end(NotEntered(reason))
        if before in (SessionState.JOINED, SessionState.RESUMING):
            self._lifeline.lost(now)
        return [Emit(Reconnecting())] if before is SessionState.JOINED else []

    def tick(self, now: float) -> list[SessionAction]:
        """What is due by the time alone; call it at `next_deadline`."""
        match self._lifeline.due(now):
            case Due.GIVE_UP:
                lost = f"the server could not be reached again within {RESUME_WINDOW_S:g} s"
                return self._end(Emit(ConnectionLost(lost)))
            case Due.ATTEMPT_FAILED:
                return [Disconnect(), *self.disconnected("the server does not answer", now)]
            case Due.ATTEMPT:
                return [Connect()]
        return self._speak(now)

    def next_deadline(self) -> float | None:
        """When to call `tick`; None if only something else can change anything."""
        deadlines = [self._lifeline.next_deadline()]
        if self.state is SessionState.JOINED:
            deadlines += [self.publishing.next_deadline(), self._key_steps.next_deadline()]
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    # --- what the server says -----------------------------------------------------------------------------------------

    def received(self, message: ServerMessage, now: float) -> list[SessionAction]:
        """The server said something. What is out of turn is ignored: it could only harm itself by it."""
        if isinstance(message, Closed):
            return self._closed(message.code, now)
        if isinstance(message, Joined):
            return self._joined(message, now)
        if isinstance(message, Resumed):
            return self._resumed(message, now)
        if self.state is not SessionState.JOINED:
            return []
        return self._hear(message, now) + self._speak(now)

    def _hear(self, message: ServerMessage, now: float) -> list[SessionAction]:
        actions: list[SessionAction] = []
        match message:
            case ParticipantJoined() | ParticipantLeft() | TrackPublished() | TrackUnpublished() | TrackMuted():
                actions = self._changed(self.roster.hear(message))
            case Slots(slots):
                actions = self._changed(self.roster.seat(slots))
            case Offer():
                actions = self._offer(message)
            case Answer(leg, number, sdp):
                if leg is LegRole.PUBLISHER and self.publishing.answered(number):
                    actions = [ApplyAnswer(self.publishing.generation, sdp)]
            case KeyStepHint(participant, key_index, step):
                if (identity := self.roster.identity(participant)) is not None:
                    actions = [KeyHint(identity, key_index, step)]
            case LegLost(leg):
                actions = self._leg_lost(leg, now)
            case Refused(code, _, regarding, publication, _):
                is_offer = regarding == "offer"
                actions = [*self.publishing.refused(code, publication)] if is_offer else [TurnedDown(regarding, code)]
            case TokenRenewed(token_expires_in_s):
                actions = [TokenLasts(token_expires_in_s)]
            case Joined() | Resumed() | Closed():
                pass
            case _:
                assert_never(message)
        return actions

    def _joined(self, message: Joined, now: float) -> list[SessionAction]:
        if self.state is not SessionState.JOINING:
            return []
        if (message.identity, message.room) != (self._join.identity, self._join.room):
            return self._end(NotEntered("the server let us in as somebody else, or into another room"))
        self._lifeline.entered()
        self._resume_token = message.resume_token
        entered: list[SessionAction] = [Entered(message.participant)]
        if message.token_expires_in_s is not None:
            entered.append(TokenLasts(message.token_expires_in_s))
        return [*entered, *self._changed(self.roster.begin(message.participants)), *self._speak(now)]

    def _resumed(self, message: Resumed, now: float) -> list[SessionAction]:
        if self.state is not SessionState.RESUMING:
            return []
        self._lifeline.entered()
        self._resume_token = message.resume_token
        actions: list[SessionAction] = [Emit(Reconnected())]
        actions += self._changed(self.roster.catch_up(message.participants, message.slots))
        # Nobody knows what arrived of the last words on the WebSocket that is gone: all that stands is said again.
        actions += [Send(Subscribe(ref.participant, ref.publication)) for ref in self.roster.wanted]
        actions += [Send(Unsubscribe(ref.participant, ref.publication)) for ref in self.roster.unwanted]
        if (offer := self.publishing.resumed()) is not None:
            actions.append(Send(offer))
        actions += [Send(Mute(publication, True)) for publication in sorted(self._muted)]
        self._key_steps.repeat()
        return actions + self._speak(now)

    def _closed(self, code: CloseCode, now: float) -> list[SessionAction]:
        match self.state:
            case SessionState.JOINING:
                return self._end(NotEntered(close_sentence(code), code))
            case SessionState.RESUMING if code is CloseCode.SERVER_BUSY:
                return [Disconnect(), *self.disconnected(close_sentence(code), now)]
            case SessionState.JOINED | SessionState.RESUMING:
                return self._end(Emit(ConnectionLost(close_sentence(code), code)))
        return []

    def _offer(self, offer: Offer) -> list[SessionAction]:
        if offer.leg is not LegRole.SUBSCRIBER:
            return []
        actions = self._changed(self.roster.seat(offer.slots, is_complete=True))
        if self._offer_in_work == offer.number:
            return actions
        if self._last_answer is not None and self._last_answer.number == offer.number:
            return [*actions, Send(self._last_answer)]
        if self._offer_in_work is not None:
            return self.misled("the server made an offer before the last one was answered")
        self._offer_in_work = offer.number
        return [*actions, AnswerOffer(self._subscriber_generation, offer.number, offer.sdp)]

    def _leg_lost(self, role: LegRole, now: float) -> list[SessionAction]:
        if role is LegRole.PUBLISHER:
            return [DropLeg(role)] if self.publishing.leg_lost(now) else []
        self._subscriber_generation += 1
        self._offer_in_work = self._last_answer = None
        return [*self._changed(self.roster.seat((), is_complete=True)), DropLeg(role)]

    # --- what the shell reports ---------------------------------------------------------------------------------------

    def offered(self, generation: int, sdp: str, mids: Mapping[PublicationId, str], now: float) -> list[SessionAction]:
        """The offer that `MakeOffer` asked for, and which m-line carries which publication."""
        offer = self.publishing.offered(generation, sdp, mids)
        return self._send(offer) if offer is not None else []

    def applied(self, generation: int, accepted: Collection[PublicationId], now: float) -> list[SessionAction]:
        """The answer of `ApplyAnswer` is in force; the server accepted these m-lines."""
        return [*self.publishing.applied(generation, accepted), *self._speak(now)]

    def answered(self, generation: int, number: int, sdp: str) -> list[SessionAction]:
        """The answer that `AnswerOffer` asked for."""
        if generation != self._subscriber_generation:
            return []
        self._offer_in_work = None
        self._last_answer = Answer(LegRole.SUBSCRIBER, number, sdp)
        return self._send(self._last_answer)

    def publisher_failed(self, generation: int, now: float) -> list[SessionAction]:
        """The publisher connection of that generation is over, as this end sees it."""
        if self.state is SessionState.OVER or generation != self.publishing.generation:
            return []
        return self._leg_lost(LegRole.PUBLISHER, now) + self._speak(now)

    def misled(self, reason: str) -> list[SessionAction]:
        """The server sent what cannot be used: there is no way on."""
        return self._end(Emit(ConnectionLost(reason, CloseCode.PROTOCOL_ERROR)))

    # --- what the user wants ------------------------------------------------------------------------------------------

    def publish(self, track: LocalPublication, now: float) -> list[SessionAction]:
        """Publish a track; `Settled` says what became of it."""
        self.publishing.add(track)
        return self._speak(now)

    def unpublish(self, publication: PublicationId, now: float) -> list[SessionAction]:
        """Publish a track no more."""
        self._muted.discard(publication)
        if not self.publishing.remove(publication):
            return []
        return self._send(Unpublish(publication)) + self._speak(now)

    def mute(self, publication: PublicationId, muted: bool) -> list[SessionAction]:
        """Say that a track of ours pauses, or goes on."""
        (self._muted.add if muted else self._muted.discard)(publication)
        return self._send(Mute(publication, muted)) if publication in self.publishing.tracks else []

    def subscribe(self, ref: TrackRef) -> list[SessionAction]:
        """Receive somebody's track."""
        changes: list[SessionAction] = list(self.roster.want(ref))
        return changes + self._send(Subscribe(ref.participant, ref.publication))

    def unsubscribe(self, ref: TrackRef) -> list[SessionAction]:
        """Receive somebody's track no more."""
        changes: list[SessionAction] = list(self.roster.unwant(ref))
        return changes + self._send(Unsubscribe(ref.participant, ref.publication))

    def key_step(self, key_index: int, step: int, now: float) -> list[SessionAction]:
        """We seal with another key or step from now on."""
        self._key_steps.set(key_index, step)
        return self._speak(now)

    def renew_token(self, token: str) -> list[SessionAction]:
        """Put a fresh token in the place of the one that we joined with."""
        return self._send(RenewToken(token))

    def leave(self) -> list[SessionAction]:
        """End it."""
        return [*self._send(Leave()), *self._end()]

    # --- inside -------------------------------------------------------------------------------------------------------

    def _send(self, message: ClientMessage) -> list[SessionAction]:
        """Without a WebSocket it is dropped: `_resumed` says what stands."""
        return [Send(message)] if self.state is SessionState.JOINED else []

    def _speak(self, now: float) -> list[SessionAction]:
        """What is due to be said or negotiated."""
        if self.state is not SessionState.JOINED:
            return []
        actions: list[SessionAction] = []
        if self.publishing.is_due(now):
            actions.append(MakeOffer(self.publishing.generation))
        if (key_step := self._key_steps.take_due(now)) is not None:
            actions.append(Send(key_step))
        return actions

    def _changed(self, changes: list[RosterChange]) -> list[SessionAction]:
        """The roster's changes, with a word to the server about what it need not send."""
        actions: list[SessionAction] = []
        for change in changes:
            if isinstance(change, Declined):
                actions += self._send(Unsubscribe(change.ref.participant, change.ref.publication))
            else:
                actions.append(change)
        return actions

    def _end(self, *last: SessionAction) -> list[SessionAction]:
        if self.state is SessionState.OVER:
            return []
        self._lifeline.end()
        return [*last, Disconnect(), Over()]
