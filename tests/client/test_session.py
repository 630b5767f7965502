"""A client's session in virtual time: what it says and does, whatever the server and the WebSocket do."""

from dataclasses import dataclass, field
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushroom_client.errors import close_sentence
from hushroom_client.events import ConnectionLost, Reconnected, Reconnecting
from hushroom_client.publishing import LocalPublication, Settled
from hushroom_client.roster import PersonCame, PersonLeft, SlotFreed, SlotTaken, TrackCame, TrackGone, TrackRef
from hushroom_client.session import Session
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
)
from hushroom_common.ids import Codec, Identity, Kind, LegRole, ParticipantId, PublicationId, RoomId, Source
from hushroom_common.signaling import (
    Answer,
    ClientMessage,
    CloseCode,
    Closed,
    Join,
    Joined,
    KeyStep,
    KeyStepHint,
    Leave,
    LeaveReason,
    LegLost,
    Mute,
    Offer,
    ParticipantInfo,
    ParticipantJoined,
    ParticipantLeft,
    Refused,
    Resume,
    Resumed,
    ServerMessage,
    Slot,
    Slots,
    Subscribe,
    TrackInfo,
    TrackPublished,
    TrackUnpublished,
    Unpublish,
    Unsubscribe,
)

JOIN = Join(RoomId("standup"), Identity("ada"))
BO = ParticipantId("p-bo")
CAMERA = LocalPublication(PublicationId("camera-1"), Source.CAMERA, Codec.VP8, "lk1")
MICROPHONE = LocalPublication(PublicationId("microphone-1"), Source.MICROPHONE, Codec.OPUS, "lk1")
BOS_CAMERA = TrackRef(BO, PublicationId("cam"))

A = TypeVar("A", bound=SessionAction)


def camera_of_bo(e2ee: str = "lk1") -> TrackInfo:
    return TrackInfo(BOS_CAMERA.publication, Kind.VIDEO, Source.CAMERA, Codec.VP8, e2ee)


def bo(*tracks: TrackInfo) -> ParticipantInfo:
    return ParticipantInfo(BO, Identity("bo"), tracks)


@dataclass
class Client:
    """Ada's session with a clock that the test moves, and all that it did."""

    session: Session = field(default_factory=lambda: Session(JOIN, profile="lk1", chance=lambda: 0.5))
    now: float = 100.0
    done: list[SessionAction] = field(default_factory=list)

    def note(self, actions: list[SessionAction]) -> list[SessionAction]:
        self.done += actions
        return actions

    def hears(self, *messages: ServerMessage) -> list[SessionAction]:
        return self.note([action for message in messages for action in self.session.received(message, self.now)])

    def loses_the_websocket(self) -> list[SessionAction]:
        return self.note(self.session.disconnected("the server is gone", self.now))

    def connects(self) -> list[SessionAction]:
        return self.note(self.session.connected(self.now))

    def passes(self, seconds: float) -> list[SessionAction]:
        """Time goes by, deadline by deadline."""
        end, actions = self.now + seconds, []
        while (deadline := self.session.next_deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            before = deadline
            actions += self.session.tick(self.now)
            assert self.session.next_deadline() != before or actions, "a deadline that passes without anything done"
        self.now = end
        return self.note(actions)

    def makes_the_offer(self) -> Offer:
        """The shell does as it was asked."""
        generation = self.session.publishing.generation
        mids = {publication: str(at) for at, publication in enumerate(self.session.publishing.tracks)}
        (send,) = self.note(self.session.offered(generation, f"sdp of {generation}", mids, self.now))
        assert isinstance(send, Send)
        assert isinstance(send.message, Offer)
        return send.message

    def applies_the_answer(self, *accepted: LocalPublication) -> list[SessionAction]:
        generation = self.session.publishing.generation
        return self.note(self.session.applied(generation, [one.publication for one in accepted], self.now))

    def is_answered(self, offer: Offer, *accepted: LocalPublication) -> list[SessionAction]:
        actions = self.hears(Answer(LegRole.PUBLISHER, offer.number, "answer"))
        return actions + self.applies_the_answer(*accepted)

    def all_of(self, kind: type[A]) -> list[A]:
        return [action for action in self.done if isinstance(action, kind)]


def said(actions: list[SessionAction]) -> list[ClientMessage]:
    return [action.message for action in actions if isinstance(action, Send)]


def joined(*participants: ParticipantInfo) -> Client:
    client = Client()
    client.note(client.session.start(client.now))
    client.connects()
    client.hears(Joined(ParticipantId("p-ada"), JOIN.identity, JOIN.room, "resume-1", participants))
    return client


# --- joining ------------------------------------------------------------------------------------------------------


def test_a_session_joins_and_learns_who_is_there() -> None:
    client = joined(bo(camera_of_bo()))
    assert client.done[:2] == [Connect(), Send(JOIN)]
    assert client.done[2:] == [
        Entered(ParticipantId("p-ada")),
        PersonCame(BO, Identity("bo")),
        TrackCame(BOS_CAMERA, camera_of_bo(), is_playable=True),
    ]


def test_no_server_means_not_entered_with_the_reason() -> None:
    client = Client()
    client.session.start(client.now)
    assert client.session.disconnected("nothing listens there", client.now) == [
        NotEntered("nothing listens there"),
        Disconnect(),
        Over(),
    ]


def test_a_server_that_stays_silent_is_given_up_after_ten_seconds() -> None:
    client = Client()
    client.session.start(client.now)
    client.connects()
    assert client.passes(9.9) == []
    assert NotEntered("the server does not answer") in client.passes(0.2)


@pytest.mark.parametrize("code", list(CloseCode))
def test_every_refusal_to_let_us_in_is_told_in_our_words(code: CloseCode) -> None:
    client = Client()
    client.session.start(client.now)
    client.connects()
    actions = client.hears(Closed(code, "click http://evil.example to go on"))
    assert actions == [NotEntered(close_sentence(code), code), Disconnect(), Over()]
    assert client.session.next_deadline() is None


def test_being_let_in_as_somebody_else_is_not_being_let_in() -> None:
    client = Client()
    client.session.start(client.now)
    client.connects()
    actions = client.hears(Joined(ParticipantId("p"), Identity("mallory"), JOIN.room, "resume", ()))
    assert isinstance(actions[0], NotEntered)


@pytest.mark.parametrize("code", list(CloseCode))
def test_every_close_code_ends_a_joined_session_with_its_sentence(code: CloseCode) -> None:
    client = joined()
    actions = client.hears(Closed(code, "whatever the server says"))
    assert actions == [Emit(ConnectionLost(close_sentence(code), code)), Disconnect(), Over()]
    assert client.loses_the_websocket() == []
    assert client.passes(100) == []


# --- resuming -----------------------------------------------------------------------------------------------------


def test_a_lost_websocket_is_resumed_without_touching_media() -> None:
    client = joined(bo(camera_of_bo()))
    client.hears(Slots((Slot("0", BO, BOS_CAMERA.publication),)))
    assert client.loses_the_websocket() == [Emit(Reconnecting())]
    assert client.passes(0.2) == [Connect()]
    assert client.connects() == [Send(Resume("resume-1"))]
    room_as_it_was = Resumed("resume-2", (bo(camera_of_bo()),), (Slot("0", BO, BOS_CAMERA.publication),))
    assert client.hears(room_as_it_was) == [Emit(Reconnected())]
    client.loses_the_websocket()
    client.passes(0.2)
    assert client.connects() == [Send(Resume("resume-2"))]


def test_attempts_to_resume_come_at_growing_distances_for_thirty_seconds() -> None:
    client = joined()
    client.loses_the_websocket()
    attempts: list[float] = []
    lost_at = client.now
    while client.session.next_deadline() is not None:
        for action in client.passes(0.05):
            if isinstance(action, Connect):
                attempts.append(client.now - lost_at)
                client.loses_the_websocket()
    pauses = [round(later - earlier) for earlier, later in zip([0.0, *attempts], attempts, strict=False)]
    assert 6 <= len(attempts) <= 12
    assert pauses == sorted(pauses)
    assert client.now - lost_at == pytest.approx(30, abs=0.1)
    (last,) = [emitted.event for emitted in client.all_of(Emit) if isinstance(emitted.event, ConnectionLost)]
    assert last.code is None
    assert client.done[-2:] == [Disconnect(), Over()]


def test_an_attempt_that_hangs_is_followed_by_another() -> None:
    client = joined()
    client.loses_the_websocket()
    client.passes(0.2)
    client.connects()
    actions = client.passes(11)
    assert actions == [Disconnect(), Connect()]


def test_a_session_that_the_server_forgot_is_lost() -> None:
    client = joined()
    client.loses_the_websocket()
    client.passes(1)
    client.connects()
    (lost, *_) = client.hears(Closed(CloseCode.NOT_RESUMABLE, ""))
    assert lost == Emit(ConnectionLost(close_sentence(CloseCode.NOT_RESUMABLE), CloseCode.NOT_RESUMABLE))


def test_a_busy_server_is_asked_again_while_there_is_time() -> None:
    client = joined()
    client.loses_the_websocket()
    client.passes(0.2)
    client.connects()
    assert client.hears(Closed(CloseCode.SERVER_BUSY, "")) == [Disconnect()]
    assert Connect() in client.passes(5)


def test_what_was_missed_is_made_up_for() -> None:
    cy = ParticipantInfo(ParticipantId("p-cy"), Identity("cy"))
    client = joined(bo(camera_of_bo()))
    client.hears(Slots((Slot("0", BO, BOS_CAMERA.publication),)))
    client.loses_the_websocket()
    client.passes(0.2)
    client.connects()
    assert client.hears(Resumed("resume-2", (cy,), ())) == [
        Emit(Reconnected()),
        SlotFreed("0", BOS_CAMERA),
        TrackGone(BOS_CAMERA),
        PersonLeft(BO, LeaveReason.LEFT),
        PersonCame(cy.participant, cy.identity),
    ]


def test_what_was_said_in_vain_is_said_again() -> None:
    client = joined(bo(camera_of_bo()))
    client.note(client.session.publish(CAMERA, client.now))
    client.is_answered(client.makes_the_offer(), CAMERA)
    client.loses_the_websocket()
    assert client.session.mute(CAMERA.publication, True) == []
    assert client.session.unsubscribe(BOS_CAMERA) == []
    assert client.session.key_step(3, 7, client.now) == []
    client.passes(0.2)
    client.connects()
    actions = client.hears(Resumed("resume-2", (bo(camera_of_bo()),), ()))
    assert said(actions) == [
        Unsubscribe(BO, BOS_CAMERA.publication),
        Mute(CAMERA.publication, True),
        KeyStep(3, 7),
    ]
    assert MakeOffer(0) in actions  # it says what is published, so also what is not any more


def test_an_offer_without_an_answer_is_repeated_word_for_word() -> None:
    client = joined()
    client.note(client.session.publish(CAMERA, client.now))
    offer = client.makes_the_offer()
    client.loses_the_websocket()
    client.passes(0.2)
    client.connects()
    assert said(client.hears(Resumed("resume-2", ()))) == [offer]
    assert client.is_answered(offer, CAMERA)[-1] == Settled(CAMERA.publication, None)


def test_an_offer_made_while_away_is_sent_on_return() -> None:
    client = joined()
    client.note(client.session.publish(CAMERA, client.now))
    client.loses_the_websocket()
    assert client.session.offered(0, "sdp", {CAMERA.publication: "0"}, client.now) == []
    client.passes(0.2)
    client.connects()
    (offer,) = said(client.hears(Resumed("resume-2", ())))
    assert isinstance(offer, Offer)
    assert offer.tracks[0].publication == CAMERA.publication


def test_a_leg_lost_while_away_is_built_anew_and_the_refused_repetition_harms_nobody() -> None:
    client = joined()
    client.note(client.session.publish(CAMERA, client.now))
    client.makes_the_offer()
    client.loses_the_websocket()
    client.passes(0.2)
    client.connects()
    client.hears(Resumed("resume-2", ()), LegLost(LegRole.PUBLISHER))
    assert DropLeg(LegRole.PUBLISHER) in client.done
    offer = client.makes_the_offer()
    assert offer.number == 2
    assert client.hears(Refused(CloseCode.PROTOCOL_ERROR, "", "offer")) == []  # the repetition's
    assert client.is_answered(offer, CAMERA)[-1] == Settled(CAMERA.publication, None)


# --- publishing ---------------------------------------------------------------------------------------------------


def test_tracks_published_together_share_an_offer() -> None:
    client = joined()
    assert client.note(client.session.publish(CAMERA, client.now)) == [MakeOffer(0)]
    assert client.note(client.session.publish(MICROPHONE, client.now)) == []
    offer = client.makes_the_offer()
    assert [track.publication for track in offer.tracks] == [CAMERA.publication, MICROPHONE.publication]
    assert [track.e2ee for track in offer.tracks] == ["lk1", "lk1"]
    actions = client.is_answered(offer, CAMERA, MICROPHONE)
    assert ApplyAnswer(0, "answer") in actions
    assert [one for one in actions if isinstance(one, Settled)] == [
        Settled(CAMERA.publication, None),
        Settled(MICROPHONE.publication, None),
    ]


def test_one_offer_is_in_flight_at_a_time() -> None:
    client = joined()
    client.note(client.session.publish(CAMERA, client.now))
    offer = client.makes_the_offer()
    assert client.session.publish(MICROPHONE, client.now) == []
    assert MakeOffer(0) in client.is_answered(offer, CAMERA)


def test_a_track_too_many_fails_alone() -> None:
    client = joined()
    client.note(client.session.publish(CAMERA, client.now))
    client.note(client.session.publish(MICROPHONE, client.now))
    client.is_answered(client.makes_the_offer(), CAMERA)
    refused = Refused(CloseCode.TOO_MANY_TRACKS, "", "offer", MICROPHONE.publication)
    assert client.hears(refused)[0] == Settled(MICROPHONE.publication, CloseCode.TOO_MANY_TRACKS)


def test_a_refused_offer_fails_what_was_new_in_it() -> None:
    client = joined()
    client.note(client.session.publish(CAMERA, client.now))
    client.is_answered(client.makes_the_offer(), CAMERA)
    client.note(client.session.publish(MICROPHONE, client.now))
    client.makes_the_offer()
    actions = client.hears(Refused(CloseCode.NOT_ALLOWED, "", "offer"))
    assert actions[0] == Settled(MICROPHONE.publication, CloseCode.NOT_ALLOWED)
    assert list(client.session.publishing.tracks) == [CAMERA.publication]


def test_what_is_unpublished_while_its_offer_is_under_way_does_not_stay_published() -> None:
    client = joined()
    client.note(client.session.publish(CAMERA, client.now))
    offer = client.makes_the_offer()
    assert said(client.session.unpublish(CAMERA.publication, client.now)) == [Unpublish(CAMERA.publication)]
    assert MakeOffer(0) in client.is_answered(offer, CAMERA)
    assert client.makes_the_offer().tracks == ()


def test_a_lost_publisher_leg_is_replaced_at_once_and_then_ever_later() -> None:
    client = joined()
    client.note(client.session.publish(CAMERA, client.now))
    client.is_answered(client.makes_the_offer(), CAMERA)
    assert client.hears(LegLost(LegRole.PUBLISHER)) == [DropLeg(LegRole.PUBLISHER), MakeOffer(1)]
    client.is_answered(client.makes_the_offer(), CAMERA)
    assert client.hears(LegLost(LegRole.PUBLISHER)) == [DropLeg(LegRole.PUBLISHER)]
    assert client.passes(4.9) == []
    assert client.passes(0.2) == [MakeOffer(2)]


def test_news_of_a_leg_that_was_replaced_already_is_old_news() -> None:
    client = joined()
    client.note(client.session.publish(CAMERA, client.now))
    client.is_answered(client.makes_the_offer(), CAMERA)
    client.note(client.session.publisher_failed(0, client.now))
    client.makes_the_offer()
    assert client.hears(LegLost(LegRole.PUBLISHER)) == []
    assert client.session.publisher_failed(0, client.now) == []


# --- receiving ----------------------------------------------------------------------------------------------------


def test_a_slot_is_played_once_it_is_told_what_it_carries() -> None:
    client = joined(bo())
    client.hears(TrackPublished(BO, camera_of_bo()))
    actions = client.hears(Offer(LegRole.SUBSCRIBER, 1, "sdp", slots=(Slot("0", BO, BOS_CAMERA.publication),)))
    assert actions == [SlotTaken("0", BOS_CAMERA), AnswerOffer(0, 1, "sdp")]
    assert said(client.session.answered(0, 1, "answer")) == [Answer(LegRole.SUBSCRIBER, 1, "answer")]
    assert client.hears(Slots((Slot("0"),))) == [SlotFreed("0", BOS_CAMERA)]


def test_an_offer_that_comes_again_is_answered_again_without_negotiating() -> None:
    client = joined(bo(camera_of_bo()))
    offer = Offer(LegRole.SUBSCRIBER, 1, "sdp", slots=(Slot("0", BO, BOS_CAMERA.publication),))
    client.hears(offer)
    assert client.hears(offer) == []
    client.session.answered(0, 1, "answer")
    assert client.hears(offer) == [Send(Answer(LegRole.SUBSCRIBER, 1, "answer"))]


def test_a_lost_subscriber_leg_frees_its_slots_and_its_answers_are_void() -> None:
    client = joined(bo(camera_of_bo()))
    client.hears(Offer(LegRole.SUBSCRIBER, 1, "sdp", slots=(Slot("0", BO, BOS_CAMERA.publication),)))
    assert client.hears(LegLost(LegRole.SUBSCRIBER)) == [SlotFreed("0", BOS_CAMERA), DropLeg(LegRole.SUBSCRIBER)]
    assert client.session.answered(0, 1, "late") == []
    actions = client.hears(Offer(LegRole.SUBSCRIBER, 2, "sdp 2", slots=(Slot("0", BO, BOS_CAMERA.publication),)))
    assert actions == [SlotTaken("0", BOS_CAMERA), AnswerOffer(1, 2, "sdp 2")]


def test_two_offers_at_once_end_the_session() -> None:
    client = joined()
    client.hears(Offer(LegRole.SUBSCRIBER, 1, "sdp"))
    (lost, *_) = client.hears(Offer(LegRole.SUBSCRIBER, 2, "sdp"))
    assert isinstance(lost, Emit)
    assert isinstance(lost.event, ConnectionLost)


@pytest.mark.parametrize("e2ee", ["none", "sframe"])
def test_a_track_that_is_sealed_otherwise_is_declined_and_never_played(e2ee: str) -> None:
    client = joined(bo())
    actions = client.hears(TrackPublished(BO, camera_of_bo(e2ee)))
    assert actions == [
        TrackCame(BOS_CAMERA, camera_of_bo(e2ee), is_playable=False),
        Send(Unsubscribe(BO, BOS_CAMERA.publication)),
    ]
    client.session.subscribe(BOS_CAMERA)
    assert client.hears(Slots((Slot("0", BO, BOS_CAMERA.publication),))) == []


def test_an_unsealed_session_never_plays_a_sealed_track() -> None:
    client = Client(Session(JOIN, profile="none", chance=lambda: 0.5))
    client.note(client.session.start(client.now))
    client.connects()
    client.hears(Joined(ParticipantId("p"), JOIN.identity, JOIN.room, "r", (bo(camera_of_bo("lk1")),)))
    assert client.hears(Slots((Slot("0", BO, BOS_CAMERA.publication),))) == []


def test_what_was_unsubscribed_is_not_played_though_the_server_goes_on() -> None:
    client = joined(bo(camera_of_bo()))
    slots = Slots((Slot("0", BO, BOS_CAMERA.publication),))
    client.hears(slots)
    assert client.session.unsubscribe(BOS_CAMERA) == [
        SlotFreed("0", BOS_CAMERA),
        Send(Unsubscribe(BO, BOS_CAMERA.publication)),
    ]
    assert client.hears(slots) == []
    assert client.session.subscribe(BOS_CAMERA) == [
        SlotTaken("0", BOS_CAMERA),
        Send(Subscribe(BO, BOS_CAMERA.publication)),
    ]


def test_nobody_comes_in_under_our_own_name_or_under_that_of_somebody_present() -> None:
    client = joined(bo())
    mirror = ParticipantInfo(ParticipantId("p-x"), Identity("ada"), (camera_of_bo(),))
    double = ParticipantInfo(ParticipantId("p-y"), Identity("bo"), (camera_of_bo(),))
    assert client.hears(ParticipantJoined(mirror), ParticipantJoined(double)) == []
    assert client.hears(Slots((Slot("0", mirror.participant, BOS_CAMERA.publication),))) == []


def test_who_comes_back_is_somebody_new() -> None:
    client = joined(bo())
    again = ParticipantInfo(ParticipantId("p-bo-2"), Identity("bo"))
    actions = client.hears(ParticipantLeft(BO, LeaveReason.JOINED_ELSEWHERE), ParticipantJoined(again))
    assert actions == [PersonLeft(BO, LeaveReason.JOINED_ELSEWHERE), PersonCame(again.participant, Identity("bo"))]


def test_tracks_go_before_their_slots_are_told_free() -> None:
    client = joined(bo(camera_of_bo()))
    client.hears(Slots((Slot("0", BO, BOS_CAMERA.publication),)))
    assert client.hears(TrackUnpublished(BO, BOS_CAMERA.publication)) == [
        SlotFreed("0", BOS_CAMERA),
        TrackGone(BOS_CAMERA),
    ]


# --- keys, and the end --------------------------------------------------------------------------------------------


def test_key_steps_are_told_at_most_four_times_a_second_and_the_last_one_always() -> None:
    client = joined()
    for step in range(100):
        client.note(client.session.key_step(0, step, client.now))
        client.passes(0.01)
    client.passes(1)
    steps = [message.step for message in said(client.done) if isinstance(message, KeyStep)]
    assert len(steps) <= 6
    assert steps[-1] == 99


def test_a_key_step_is_told_again_after_an_interruption() -> None:
    client = joined()
    assert said(client.session.key_step(0, 5, client.now)) == [KeyStep(0, 5)]
    client.loses_the_websocket()
    client.passes(1)
    client.connects()
    assert said(client.hears(Resumed("resume-2", ()))) == [KeyStep(0, 5)]


def test_hints_name_people_and_strangers_give_none() -> None:
    client = joined(bo())
    assert client.hears(KeyStepHint(BO, 1, 5)) == [KeyHint(Identity("bo"), 1, 5)]
    assert client.hears(KeyStepHint(ParticipantId("p-stranger"), 1, 5)) == []


def test_leaving_says_so_and_is_the_end() -> None:
    client = joined()
    assert client.session.leave() == [Send(Leave()), Disconnect(), Over()]
    assert client.session.leave() == []
    assert client.hears(ParticipantJoined(bo())) == []


SERVER_SAYS = st.sampled_from(
    [
        Joined(ParticipantId("p-ada"), JOIN.identity, JOIN.room, "resume", (bo(camera_of_bo()),)),
        Resumed("resume", (bo(),), (Slot("0", BO, BOS_CAMERA.publication),)),
        ParticipantJoined(bo(camera_of_bo())),
        ParticipantJoined(ParticipantInfo(ParticipantId("p-2"), Identity("ada"))),
        ParticipantLeft(BO, LeaveReason.LEFT),
        TrackPublished(BO, camera_of_bo()),
        TrackPublished(BO, camera_of_bo("none")),
        TrackUnpublished(BO, BOS_CAMERA.publication),
        Slots((Slot("0", BO, BOS_CAMERA.publication), Slot("1", BO, BOS_CAMERA.publication))),
        Slots((Slot("0"),)),
        Offer(LegRole.SUBSCRIBER, 1, "sdp"),
        Offer(LegRole.PUBLISHER, 1, "sdp"),
        Answer(LegRole.PUBLISHER, 1, "sdp"),
        Answer(LegRole.SUBSCRIBER, 1, "sdp"),
        LegLost(LegRole.PUBLISHER),
        LegLost(LegRole.SUBSCRIBER),
        Refused(CloseCode.PROTOCOL_ERROR, "", "offer"),
        Refused(CloseCode.TOO_MANY_TRACKS, "", "offer", CAMERA.publication),
        KeyStepHint(BO, 0, 1),
    ]
)


@given(st.lists(st.one_of(SERVER_SAYS, st.sampled_from(["lose", "connect", "wait", "publish", "offer", "apply"]))))
def test_whatever_the_server_says_slots_and_tracks_stay_paired(steps: list[ServerMessage | str]) -> None:
    client = joined(bo())
    for step in steps:
        match step:
            case "lose":
                client.loses_the_websocket()
            case "connect":
                client.connects()
            case "wait":
                client.passes(3)
            case "publish":
                client.note(client.session.publish(CAMERA, client.now))
            case "offer":
                client.note(client.session.offered(0, "sdp", {CAMERA.publication: "0"}, client.now))
            case "apply":
                client.applies_the_answer(CAMERA)
            case str():
                raise AssertionError(step)
            case _:
                client.hears(step)
    people: set[ParticipantId] = set()
    tracks: set[TrackRef] = set()
    playing: dict[str, TrackRef] = {}
    for action in client.done:
        match action:
            case PersonCame(participant, identity):
                assert participant not in people
                assert identity != JOIN.identity
                people.add(participant)
            case PersonLeft(participant, _):
                people.remove(participant)
                assert not [ref for ref in tracks if ref.participant == participant]
            case TrackCame(ref, _, _):
                assert ref.participant in people
                assert ref not in tracks
                tracks.add(ref)
            case TrackGone(ref):
                tracks.remove(ref)
                assert ref not in playing.values()
            case SlotTaken(mid, ref):
                assert ref in tracks
                assert mid not in playing
                assert ref not in playing.values()
                playing[mid] = ref
            case SlotFreed(mid, ref):
                assert playing.pop(mid) == ref
    assert len(client.all_of(Over)) <= 1
