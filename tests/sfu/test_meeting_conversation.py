"""Whole meetings through the control plane: who is told what, what flows, what ends."""

import pytest

from hushroom_common.ids import Codec, Kind, LegId, LegRole, ParticipantId, PublicationId, RoomId, Source
from hushroom_common.signaling.messages import (
    Answer,
    CloseCode,
    Join,
    Joined,
    KeyStep,
    LeaveReason,
    LegLost,
    Offer,
    OfferedTrack,
    ParticipantLeft,
    Refused,
    Slots,
    Subscribe,
    TrackMuted,
)
from hushroom_sfu.conversation.actions import LegEvent, RoomEventKind
from hushroom_sfu.conversation.limits import Limits
from hushroom_sfu.conversation.session import ConnectionId
from hushroom_sfu.conversation.switchboard import Counts
from hushroom_sfu.conversation.transport import Fingerprint, LocalTransport
from hushroom_sfu.rooms.room import PublicationRef
from tests.support.control_plane import Client, Server

NOTHING = Counts(rooms=0, participants=0, publications=0, legs=0, connections=0, unjoined_connections=0)


@pytest.fixture
def server() -> Server:
    return Server()


# --- publishing and subscribing ---------------------------------------------------------------------------------


def test_two_people_see_and_hear_each_other(server: Server) -> None:
    ada = server.joins("ada")
    ada.publishes(Source.MICROPHONE, Source.CAMERA)
    bo = server.joins("bo")
    bo.publishes(Source.CAMERA)
    assert bo.sees(ada, "microphone")
    assert bo.sees(ada, "camera")
    assert ada.sees(bo, "camera")
    assert server.switchboard.counts == Counts(
        rooms=1, participants=2, publications=3, legs=4, connections=2, unjoined_connections=0
    )


def test_a_joiner_is_told_who_is_there_before_anything_else(server: Server) -> None:
    ada = server.joins("ada")
    ada.publishes(Source.CAMERA)
    ada.mutes("camera")
    ada.says(KeyStep(key_index=3, step=7))
    bo = server.joins("bo")
    assert isinstance(bo.heard[0], Joined)
    (info,) = bo.heard[0].participants
    assert (info.identity, [(one.publication, one.muted, one.e2ee) for one in info.tracks]) == (
        "ada",
        [("camera", True, "lk1")],
    )
    assert bo.key_steps == {ada.id: (3, 7)}
    assert [one.identity for one in ada.people.values()] == ["bo"]


def test_nobody_without_a_wish_gets_a_subscriber_leg(server: Server) -> None:
    ada = server.joins("ada")
    ada.publishes(Source.CAMERA)
    server.joins("bo", auto_subscribe=False)
    assert server.open_legs(role=LegRole.SUBSCRIBER) == []


def test_who_chooses_gets_what_he_chose_and_its_layers(server: Server) -> None:
    ada = server.joins("ada")
    ada.publishes(Source.MICROPHONE, Source.CAMERA)
    bo = server.joins("bo", auto_subscribe=False)
    bo.subscribes(ada, "camera", max_temporal_id=1)
    assert bo.sees(ada, "camera")
    assert not bo.sees(ada, "microphone")
    (leg,) = server.open_legs(bo.id)
    assert list(server.legs[leg].limits.values()) == [1]
    bo.subscribes(ada, "camera", max_temporal_id=0)
    assert list(server.legs[leg].limits.values()) == [0]


def test_unsubscribing_gives_the_slot_back(server: Server) -> None:
    ada = server.joins("ada")
    ada.publishes(Source.CAMERA)
    bo = server.joins("bo")
    bo.unsubscribes(ada, "camera")
    assert bo.receives() == {}
    assert set(bo.slots.values()) == {None}
    bo.unsubscribes(ada, "camera")
    bo.subscribes(ada, "camera")
    assert bo.sees(ada, "camera")
    assert len(bo.all(Offer)) == 1


def test_a_slot_is_told_before_media_may_flow(server: Server) -> None:
    ada, bo = server.joins("ada"), server.joins("bo")
    ada.publishes(Source.CAMERA)
    ada.unpublishes("camera")
    server.legs_connect = False
    told_at = len(bo.all(Slots))
    ada.publishes(Source.CAMERA, name="second")
    assert len(bo.all(Slots)) == told_at + 1
    assert bo.sees(ada, "second")


def test_nothing_flows_before_the_leg_is_connected() -> None:
    server = Server(legs_connect=False)
    ada, bo = server.joins("ada"), server.joins("bo")
    ada.publishes(Source.CAMERA)
    (leg,) = server.open_legs(bo.id)
    assert bo.receives() == {}
    server.reports(leg, LegEvent.CONNECTED)
    assert bo.sees(ada, "camera")


def test_muting_is_told_to_the_others_once(server: Server) -> None:
    ada, bo = server.joins("ada"), server.joins("bo")
    ada.publishes(Source.MICROPHONE)
    ada.mutes("microphone")
    ada.mutes("microphone")
    assert bo.all(TrackMuted) == [TrackMuted(ada.id, PublicationId("microphone"), True)]
    assert ada.all(TrackMuted) == []
    assert bo.sees(ada, "microphone")


def test_unpublishing_frees_the_slot_for_the_next(server: Server) -> None:
    ada, bo, cy = server.joins("ada"), server.joins("bo"), server.joins("cy")
    ada.publishes(Source.CAMERA)
    ada.unpublishes("camera")
    assert bo.receives() == {}
    assert bo.tracks_of(ada) == []
    cy.publishes(Source.CAMERA)
    assert bo.sees(cy, "camera")
    assert len(bo.all(Offer)) == 1


def test_what_an_offer_leaves_out_has_ended(server: Server) -> None:
    ada, bo = server.joins("ada"), server.joins("bo")
    ada.publishes(Source.MICROPHONE, Source.CAMERA)
    ada.drops_m_line("camera")
    ada.offers_again()
    assert bo.tracks_of(ada) == ["microphone"]
    assert bo.sees(ada, "microphone")


def test_a_publication_that_comes_back_in_another_codec_is_a_new_one(server: Server) -> None:
    ada, bo = server.joins("ada"), server.joins("bo")
    ada.publishes(Source.CAMERA, codec=Codec.VP8)
    ada.drops_m_line("camera")
    ada.publishes(Source.CAMERA, codec=Codec.VP9)
    assert [track.codec for track in bo.people[ada.id].tracks] == [Codec.VP9]
    assert [one.codec for _, spec in server.published.values() for one in spec.codecs] == [Codec.VP9]
    assert bo.sees(ada, "camera")


def test_an_offer_that_repeats_everything_changes_nothing(server: Server) -> None:
    ada, bo = server.joins("ada"), server.joins("bo")
    ada.publishes(Source.MICROPHONE, Source.CAMERA)
    heard = len(bo.heard)
    ada.offers_again()
    assert len(ada.all(Answer)) == 2
    assert len(bo.heard) == heard


def test_key_steps_are_relayed_to_the_others(server: Server) -> None:
    ada, bo = server.joins("ada"), server.joins("bo")
    ada.says(KeyStep(key_index=0, step=1))
    ada.says(KeyStep(key_index=0, step=2))
    assert bo.key_steps == {ada.id: (0, 2)}
    assert ada.key_steps == {}


def test_rooms_know_nothing_of_each_other(server: Server) -> None:
    ada = server.joins("ada", RoomId("standup"))
    bo = server.joins("bo", RoomId("retro"))
    ada.publishes(Source.CAMERA)
    ada.says(KeyStep(0, 1))
    assert [type(message) for message in bo.heard] == [Joined]
    bo.subscribes(ada, "camera")
    assert bo.last(Refused).code == CloseCode.NO_SUCH_PUBLICATION


# --- growing ----------------------------------------------------------------------------------------------------


def test_one_offer_is_in_flight_at_a_time(server: Server) -> None:
    ada, bo, cy = server.joins("ada"), server.joins("bo"), server.joins("cy")
    bo.answers_offers = False
    ada.publishes(Source.CAMERA)
    cy.publishes(Source.CAMERA)
    assert len(bo.all(Offer)) == 1
    bo.answers_offers = True
    bo.answers()
    assert [offer.number for offer in bo.all(Offer)] == [1, 2]
    assert bo.sees(ada, "camera")
    assert bo.sees(cy, "camera")


def test_64_participants_are_seated_by_7_offers() -> None:
    server = Server(limits=Limits(seats_per_subscriber=64))
    bo = server.joins("bo")
    others = [server.joins(f"p{number}", auto_subscribe=False) for number in range(63)]
    for other in others:
        other.publishes(Source.MICROPHONE, Source.CAMERA)
    assert all(bo.sees(other, source) for other in others for source in ("microphone", "camera"))
    assert [len(offer.slots) for offer in bo.all(Offer)] == [2, 4, 8, 16, 32, 64, 128]


def test_a_joiner_of_a_full_room_is_seated_by_one_offer() -> None:
    server = Server(limits=Limits(seats_per_subscriber=32))
    for number in range(20):
        server.joins(f"p{number}", auto_subscribe=False).publishes(Source.CAMERA)
    bo = server.joins("bo")
    assert len(bo.all(Offer)) == 1
    assert len(bo.receives()) == 20


def test_an_offer_names_its_slots(server: Server) -> None:
    ada, bo = server.joins("ada"), server.joins("bo")
    bo.answers_offers = False
    ada.publishes(Source.CAMERA)
    offer = bo.last(Offer)
    assert [(slot.mid, slot.participant, slot.publication) for slot in offer.slots] == [
        ("0", None, None),
        ("1", ada.id, "camera"),
    ]


# --- refusals and bad input -------------------------------------------------------------------------------------


def test_a_codec_that_a_subscriber_lacks_is_refused_by_name(server: Server) -> None:
    ada = server.joins("ada")
    bo = Client(server, "bo")
    bo.video_codecs = (Codec.VP8,)
    bo.joins()
    ada.publishes(Source.CAMERA, codec=Codec.VP9)
    refused = bo.last(Refused)
    assert (refused.code, refused.regarding) == (CloseCode.CODEC_NOT_SUPPORTED, "subscribe")
    assert (refused.participant, refused.publication) == (ada.id, "camera")
    assert bo.receives() == {}
    ada.publishes(Source.CAMERA, name="other")
    assert bo.sees(ada, "other")


def test_8_tracks_are_published_and_not_one_more(server: Server) -> None:
    ada, bo = server.joins("ada"), server.joins("bo")
    for number in range(8):
        ada.publishes(Source.CAMERA, name=f"camera{number}")
    ada.publishes(Source.CAMERA, name="one more")
    refused = ada.last(Refused)
    assert (refused.code, refused.regarding, refused.publication) == (CloseCode.TOO_MANY_TRACKS, "offer", "one more")
    assert len(ada.all(Answer)) == 9
    assert len(bo.receives()) == 8
    ada.unpublishes("camera3")
    ada.offers_again()
    assert bo.sees(ada, "one more")


def test_a_subscriber_without_seats_left_is_told_and_served_later() -> None:
    server = Server(limits=Limits(seats_per_subscriber=1))
    ada, bo, cy = server.joins("ada"), server.joins("bo"), server.joins("cy")
    ada.publishes(Source.CAMERA)
    cy.publishes(Source.CAMERA)
    assert bo.last(Refused).code == CloseCode.NO_FREE_SLOT
    ada.unpublishes("camera")
    assert bo.sees(cy, "camera")


@pytest.mark.parametrize("sdp", ["nonsense", "v=0\r\n", "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"])
def test_an_offer_that_cannot_work_is_refused_and_leaves_no_leg(server: Server, sdp: str) -> None:
    ada = server.joins("ada")
    ada.says(Offer(LegRole.PUBLISHER, 1, sdp))
    assert (ada.last(Refused).code, ada.last(Refused).regarding) == (CloseCode.PROTOCOL_ERROR, "offer")
    assert server.open_legs() == []
    ada.offers = 1
    ada.publishes(Source.CAMERA)
    assert len(server.published) == 1


def test_a_bad_second_offer_costs_nothing_that_flows(server: Server) -> None:
    ada, bo = server.joins("ada"), server.joins("bo")
    ada.publishes(Source.CAMERA)
    good = ada.next_offer()
    for bad in (
        Offer(LegRole.PUBLISHER, good.number, "nonsense", good.tracks),
        Offer(LegRole.PUBLISHER, good.number + 1, good.sdp, (*good.tracks, good.tracks[0])),
        Offer(
            LegRole.PUBLISHER,
            good.number + 2,
            good.sdp,
            (OfferedTrack("9", PublicationId("x"), Source.CAMERA, Codec.VP8, "lk1"),),
        ),
    ):
        ada.says(bad)
        assert ada.last(Refused).code == CloseCode.PROTOCOL_ERROR
    assert bo.sees(ada, "camera")


def test_an_offer_with_an_old_number_is_refused_and_a_repeated_one_answered_again(server: Server) -> None:
    ada = server.joins("ada")
    ada.publishes(Source.MICROPHONE)
    repeated = ada.next_offer()
    ada.says(repeated)
    ada.says(repeated)
    first, second, third = ada.all(Answer)
    assert second == third != first
    ada.says(Offer(LegRole.PUBLISHER, 1, repeated.sdp, repeated.tracks))
    assert ada.last(Refused).code == CloseCode.PROTOCOL_ERROR


def test_an_answer_that_cannot_work_ends_the_session(server: Server) -> None:
    ada, bo = server.joins("ada"), server.joins("bo")
    bo.answers_offers = False
    ada.publishes(Source.CAMERA)
    bo.says(Answer(LegRole.SUBSCRIBER, 1, "nonsense"))
    assert bo.closed is not None
    assert bo.closed.code == CloseCode.PROTOCOL_ERROR
    assert list(ada.people) == []


def test_an_answer_to_no_offer_ends_the_session(server: Server) -> None:
    bo = server.joins("bo")
    bo.says(Answer(LegRole.SUBSCRIBER, 1, "v=0"))
    assert bo.closed is not None
    assert bo.closed.code == CloseCode.PROTOCOL_ERROR


def test_requests_for_what_is_not_there_are_refused_and_name_it(server: Server) -> None:
    ada = server.joins("ada")
    ada.says(Subscribe(ParticipantId("nobody"), PublicationId("camera")))
    refused = ada.last(Refused)
    assert (refused.code, refused.regarding) == (CloseCode.NO_SUCH_PUBLICATION, "subscribe")
    assert (refused.participant, refused.publication) == ("nobody", "camera")
    ada.mutes("camera")
    refused = ada.last(Refused)
    assert (refused.regarding, refused.participant, refused.publication) == ("mute", None, "camera")


def test_refusals_are_counted_by_reason(server: Server) -> None:
    ada = server.joins("ada")
    ada.mutes("camera")
    refused = [event for event in server.events if event.kind is RoomEventKind.REQUEST_REFUSED]
    assert [event.detail for event in refused] == ["mute no_such_publication"]


# --- legs that die ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("event", [LegEvent.SILENT, LegEvent.FAILED, LegEvent.CLOSED])
def test_a_lost_publisher_leg_ends_its_publications(server: Server, event: LegEvent) -> None:
    ada, bo = server.joins("ada"), server.joins("bo")
    ada.publishes(Source.MICROPHONE, Source.CAMERA)
    server.loses(ada, LegRole.PUBLISHER, event)
    assert ada.all(LegLost) == [LegLost(LegRole.PUBLISHER)]
    assert bo.tracks_of(ada) == []
    assert bo.receives() == {}
    ada.builds_a_new_connection()
    ada.offers_again()
    assert bo.sees(ada, "camera")


@pytest.mark.parametrize("event", [LegEvent.SILENT, LegEvent.FAILED, LegEvent.CLOSED])
def test_a_lost_subscriber_leg_is_offered_anew_at_once(server: Server, event: LegEvent) -> None:
    ada, bo = server.joins("ada"), server.joins("bo")
    ada.publishes(Source.MICROPHONE, Source.CAMERA)
    server.loses(bo, LegRole.SUBSCRIBER, event)
    server.passes(0.0)
    assert bo.all(LegLost) == [LegLost(LegRole.SUBSCRIBER)]
    assert [offer.number for offer in bo.all(Offer)] == [1, 2]
    assert bo.sees(ada, "microphone")
    assert bo.sees(ada, "camera")


def test_a_leg_that_is_lost_again_and_again_is_offered_ever_later() -> None:
    server = Server(legs_connect=False)
    ada, bo = server.joins("ada"), server.joins("bo")
    ada.publishes(Source.CAMERA)
    pauses = []
    for _ in range(7):
        lost_at, offers = server.now, len(bo.all(Offer))
        server.loses(bo, LegRole.SUBSCRIBER, LegEvent.FAILED)
        while len(bo.all(Offer)) == offers and server.now < lost_at + 60:
            server.passes(1.0)
        pauses.append(server.now - lost_at)
    assert pauses == [0.0, 5.0, 10.0, 20.0, 30.0, 30.0, 30.0]


def test_a_leg_that_worked_for_a_while_is_offered_at_once_again(server: Server) -> None:
    ada, bo = server.joins("ada"), server.joins("bo")
    ada.publishes(Source.CAMERA)
    for _ in range(3):
        server.passes(30.0)
        server.loses(bo, LegRole.SUBSCRIBER)
        server.passes(0.0)
        assert bo.sees(ada, "camera")


def test_an_answer_to_the_offer_of_a_lost_leg_is_ignored() -> None:
    server = Server(legs_connect=False)
    ada, bo = server.joins("ada"), server.joins("bo")
    bo.answers_offers = False
    ada.publishes(Source.CAMERA)
    late = bo.last(Offer)
    server.loses(bo, LegRole.SUBSCRIBER, LegEvent.FAILED)
    server.passes(0.0)
    bo.says(Answer(LegRole.SUBSCRIBER, late.number, "v=0"))
    assert bo.closed is None
    bo.answers()
    (leg,) = server.open_legs(bo.id)
    server.reports(leg, LegEvent.CONNECTED)
    assert bo.sees(ada, "camera")


def test_a_fresh_connection_of_the_publisher_replaces_one_that_is_not_yet_known_to_be_lost(server: Server) -> None:
    ada, bo = server.joins("ada"), server.joins("bo")
    ada.publishes(Source.CAMERA)
    (before,) = server.open_legs(ada.id, LegRole.PUBLISHER)
    ada.builds_a_new_connection()
    ada.offers_again()
    (after,) = server.open_legs(ada.id, LegRole.PUBLISHER)
    assert after != before
    assert bo.sees(ada, "camera")
    server.reports(before, LegEvent.SILENT)
    assert ada.all(LegLost) == []
    assert bo.sees(ada, "camera")


def ufrag(message: Answer) -> str:
    return next(line for line in message.sdp.splitlines() if line.startswith("a=ice-ufrag:"))


def test_an_ice_restart_is_answered_with_new_credentials_and_interrupts_nothing(server: Server) -> None:
    """RFC 8445 §9: both sides change theirs."""
    ada, bo = server.joins("ada"), server.joins("bo")
    ada.publishes(Source.CAMERA)
    legs = server.open_legs()
    first = ufrag(ada.last(Answer))
    ada.restarts_ice()
    second = ufrag(ada.last(Answer))
    ada.offers_again()
    assert second != first
    assert ufrag(ada.last(Answer)) == second  # until the next restart
    assert [answer.number for answer in ada.all(Answer)] == [1, 2, 3]
    assert bo.sees(ada, "camera")
    assert server.open_legs() == legs


def test_an_ice_restart_that_cannot_be_answered_leaves_the_old_credentials(server: Server) -> None:
    ada = server.joins("ada")
    ada.publishes(Source.CAMERA)
    first = ufrag(ada.last(Answer))
    ada.m_lines.insert(0, Kind.AUDIO)
    ada.restarts_ice()
    assert ada.last(Refused).regarding == "offer"
    ada.m_lines.pop(0)
    ada.ufrag = "clnt"
    ada.offers_again()
    assert ufrag(ada.last(Answer)) == first


def test_a_leg_that_is_open_too_late_is_closed(server: Server) -> None:
    local = LocalTransport("ufrag", "p" * 24, Fingerprint("sha-256", ":".join(["AB"] * 32)), (("192.0.2.1", 5),))
    actions = server.switchboard.leg_opened(ParticipantId("gone"), LegRole.PUBLISHER, LegId(99), local, 0.0)
    assert [type(action).__name__ for action in actions] == ["CloseLeg"]
    assert server.switchboard.counts == NOTHING


# --- coming, going, coming back ---------------------------------------------------------------------------------


def test_leaving_ends_everything_at_once(server: Server) -> None:
    ada, bo = server.joins("ada"), server.joins("bo")
    ada.publishes(Source.CAMERA)
    bo.publishes(Source.CAMERA)
    ada.leaves()
    assert (ada.connection, ada.closed) == (None, None)
    assert bo.last(ParticipantLeft) == ParticipantLeft(ada.id, LeaveReason.LEFT)
    assert server.open_legs(ada.id) == []
    assert bo.receives() == {}
    bo.leaves()
    assert server.switchboard.counts == NOTHING
    assert server.published == {}
    assert server.switchboard.next_deadline() is None


def test_ten_rounds_of_joining_and_leaving_leave_nothing(server: Server) -> None:
    for _ in range(10):
        people = [server.joins(name) for name in ("ada", "bo", "cy")]
        for one in people:
            one.publishes(Source.MICROPHONE, Source.CAMERA)
        for one in people:
            one.leaves()
        assert server.switchboard.counts == NOTHING
    assert server.open_legs() == []


def test_a_join_from_elsewhere_replaces_the_earlier_one(server: Server) -> None:
    ada, bo = server.joins("ada"), server.joins("bo")
    ada.publishes(Source.CAMERA)
    again = server.joins("ada")
    assert ada.closed is not None
    assert ada.closed.code == CloseCode.JOINED_ELSEWHERE
    assert bo.last(ParticipantLeft) == ParticipantLeft(ada.id, LeaveReason.JOINED_ELSEWHERE)
    assert [one.identity for one in bo.people.values()] == ["ada"]
    assert again.id != ada.id
    assert server.open_legs(ada.id) == []


def test_a_join_from_elsewhere_fits_into_a_full_room() -> None:
    server = Server(limits=Limits(participants_per_room=2))
    ada, _ = server.joins("ada"), server.joins("bo")
    cy = Client(server, "cy")
    cy.joins()
    assert cy.closed is not None
    assert cy.closed.code == CloseCode.ROOM_FULL
    server.joins("ada")
    assert ada.closed is not None


def test_the_64th_participant_comes_in_and_the_65th_does_not() -> None:
    server = Server()
    for number in range(64):
        server.joins(f"p{number}", auto_subscribe=False)
    late = Client(server, "late")
    late.joins()
    assert late.closed is not None
    assert late.closed.code == CloseCode.ROOM_FULL
    assert server.switchboard.counts.participants == 64


def test_a_closed_websocket_resumes_without_touching_media(server: Server) -> None:
    ada, bo = server.joins("ada"), server.joins("bo")
    ada.publishes(Source.CAMERA)
    bo.publishes(Source.CAMERA)
    legs = server.open_legs()
    ada.loses_websocket()
    server.passes(29.9)
    assert ada.sees(bo, "camera")
    assert bo.all(ParticipantLeft) == []
    first = ada.resume_token
    ada.resumes()
    assert server.open_legs() == legs
    assert ada.sees(bo, "camera")
    assert bo.sees(ada, "camera")
    assert ada.resume_token != first
    server.passes(60.0)
    assert ada.connection is not None


def test_after_30_s_there_is_nothing_to_resume(server: Server) -> None:
    ada, bo = server.joins("ada"), server.joins("bo")
    ada.publishes(Source.CAMERA)
    ada.loses_websocket()
    server.passes(30.0)
    assert bo.last(ParticipantLeft) == ParticipantLeft(ada.id, LeaveReason.CONNECTION_LOST)
    assert server.open_legs(ada.id) == []
    ada.resumes()
    assert ada.closed is not None
    assert ada.closed.code == CloseCode.NOT_RESUMABLE


@pytest.mark.parametrize("order", [(LegRole.PUBLISHER, LegRole.SUBSCRIBER), (LegRole.SUBSCRIBER, LegRole.PUBLISHER)])
def test_a_killed_client_is_gone_when_its_last_leg_is(server: Server, order: tuple[LegRole, LegRole]) -> None:
    ada, bo = server.joins("ada"), server.joins("bo")
    ada.publishes(Source.CAMERA)
    bo.publishes(Source.CAMERA)
    ada.loses_websocket()
    server.loses(ada, order[0])
    assert bo.all(ParticipantLeft) == []
    server.loses(ada, order[1])
    assert bo.last(ParticipantLeft) == ParticipantLeft(ada.id, LeaveReason.CONNECTION_LOST)


def test_a_client_without_media_is_resumable_all_the_same(server: Server) -> None:
    ada = server.joins("ada")
    ada.loses_websocket()
    server.passes(29.0)
    ada.resumes()
    assert ada.closed is None


def test_who_resumes_is_told_what_he_missed(server: Server) -> None:
    ada, bo, cy = server.joins("ada"), server.joins("bo"), server.joins("cy")
    ada.publishes(Source.CAMERA)
    bo.publishes(Source.CAMERA)
    ada.loses_websocket()
    bo.unpublishes("camera")
    cy.publishes(Source.MICROPHONE, Source.CAMERA)
    cy.says(KeyStep(1, 2))
    server.loses(ada, LegRole.PUBLISHER)
    bo.leaves()
    di = server.joins("di")
    ada.resumes()
    assert {one.identity for one in ada.people.values()} == {"cy", "di"}
    assert ada.key_steps == {cy.id: (1, 2)}
    assert ada.all(LegLost) == [LegLost(LegRole.PUBLISHER)]
    assert ada.sees(cy, "camera")
    assert di.tracks_of(ada) == []
    ada.loses_websocket()
    ada.resumes()
    assert len(ada.all(LegLost)) == 1


def test_an_offer_that_the_client_did_not_read_is_repeated_when_it_resumes(server: Server) -> None:
    ada, bo = server.joins("ada"), server.joins("bo")
    bo.answers_offers = False
    ada.publishes(Source.CAMERA)
    bo.loses_websocket()
    bo.answers_offers = True
    bo.resumes()
    assert [offer.number for offer in bo.all(Offer)] == [1, 1]
    assert bo.sees(ada, "camera")


def test_a_repeated_offer_names_the_slots_of_now(server: Server) -> None:
    ada, bo = server.joins("ada"), server.joins("bo")
    bo.answers_offers = False
    ada.publishes(Source.CAMERA)
    bo.loses_websocket()
    ada.unpublishes("camera")
    bo.resumes()
    assert [slot.publication for slot in bo.last(Offer).slots] == [None, None]


def test_an_answer_that_the_client_did_not_read_is_repeated_when_it_asks(server: Server) -> None:
    ada = server.joins("ada")
    ada.publishes(Source.CAMERA)
    unanswered = Offer(LegRole.PUBLISHER, ada.offers, ada.next_offer().sdp, ada.next_offer().tracks)
    ada.loses_websocket()
    ada.resumes()
    ada.says(unanswered)
    first, second = ada.all(Answer)
    assert first == second


def test_no_leg_is_offered_while_nobody_is_there_to_answer(server: Server) -> None:
    ada, bo = server.joins("ada"), server.joins("bo")
    bo.publishes(Source.CAMERA)
    ada.publishes(Source.CAMERA)
    bo.loses_websocket()
    server.loses(bo, LegRole.SUBSCRIBER)
    server.passes(20.0)
    assert server.open_legs(bo.id, LegRole.SUBSCRIBER) == []
    bo.resumes()
    assert bo.sees(ada, "camera")


def test_a_resume_may_come_before_the_old_websocket_is_known_to_be_dead(server: Server) -> None:
    ada = server.joins("ada")
    old = ada.connection
    assert old is not None
    ada.resumes()
    assert old not in server.clients
    ada.publishes(Source.CAMERA)
    server.carry_out(server.switchboard.disconnected(old, server.now))
    assert len(server.published) == 1
    assert ada.connection is not None


def test_a_resume_token_of_somebody_else_or_used_up_opens_nothing(server: Server) -> None:
    ada, bo = server.joins("ada"), server.joins("bo")
    used = ada.resume_token
    ada.loses_websocket()
    ada.resumes()
    for token in (used, f"{ada.id}.{'0' * 48}", ada.id, f"{ada.id}.{bo.resume_token.partition('.')[2]}"):
        thief = Client(server, "thief")
        thief.resumes(token)
        assert thief.closed is not None
        assert thief.closed.code == CloseCode.NOT_RESUMABLE
    assert ada.connection is not None


# --- the server's own rules -------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [0, 2])
def test_another_version_of_the_protocol_is_refused(server: Server, version: int) -> None:
    ada = Client(server, "ada").connects()
    ada.says(Join(RoomId("standup"), ada.identity, version=version))
    assert ada.closed is not None
    assert ada.closed.code == CloseCode.UNSUPPORTED_VERSION


def test_200_connections_may_wait_to_join_and_not_one_more(server: Server) -> None:
    waiting = [Client(server, f"p{number}").connects() for number in range(200)]
    one_more = Client(server, "late").connects()
    assert one_more.closed is not None
    assert one_more.closed.code == CloseCode.SERVER_BUSY
    waiting[0].says(Join(RoomId("standup"), waiting[0].identity))
    assert Client(server, "late").connects().connection is not None


def test_who_does_not_join_is_closed_after_10_s(server: Server) -> None:
    silent = Client(server, "silent").connects()
    server.passes(9.9)
    assert silent.closed is None
    server.passes(0.1)
    assert silent.closed is not None
    assert server.switchboard.counts == NOTHING


def test_a_flood_of_messages_ends_the_session_and_nothing_else(server: Server) -> None:
    ada, bo = server.joins("ada"), server.joins("bo")
    for _ in range(60):
        if ada.connection is not None:
            ada.says(KeyStep(0, 1))
    assert ada.closed is not None
    assert ada.closed.code == CloseCode.RATE_LIMITED
    assert bo.closed is None
    assert list(bo.people) == []


def test_what_is_no_message_ends_the_session(server: Server) -> None:
    ada = server.joins("ada")
    assert ada.connection is not None
    actions = server.switchboard.misspoke(ada.connection, CloseCode.MESSAGE_TOO_BIG, "at most 64 KiB", server.now)
    server.carry_out(actions)
    assert ada.closed is not None
    assert ada.closed.code == CloseCode.MESSAGE_TOO_BIG
    assert server.switchboard.counts == NOTHING


def test_what_is_said_after_the_end_is_not_heard(server: Server) -> None:
    assert server.switchboard.received(ConnectionId(7), KeyStep(0, 1), 0.0) == []
    assert server.switchboard.disconnected(ConnectionId(7), 0.0) == []
    assert server.switchboard.leg_event(LegId(7), LegEvent.SILENT, 0.0) == []


def test_a_draining_server_lets_nobody_in_and_ends_with_a_word(server: Server) -> None:
    ada = server.joins("ada")
    ada.publishes(Source.CAMERA)
    server.switchboard.drain()
    late = Client(server, "late")
    late.joins()
    assert late.closed is not None
    assert late.closed.code == CloseCode.SERVER_DRAINING
    ada.loses_websocket()
    ada.resumes()
    ada.publishes(Source.MICROPHONE)
    waiting = Client(server, "waiting").connects()
    server.carry_out(server.switchboard.shut_down(server.now))
    for one in (ada, waiting):
        assert one.closed is not None
        assert one.closed.code == CloseCode.SERVER_DRAINING
    assert server.switchboard.counts == NOTHING
    assert server.open_legs() == []


def test_rooms_open_and_close_in_the_log(server: Server) -> None:
    server.joins("ada").leaves()
    assert [event.kind for event in server.events] == [
        RoomEventKind.ROOM_OPENED,
        RoomEventKind.PARTICIPANT_JOINED,
        RoomEventKind.PARTICIPANT_LEFT,
        RoomEventKind.ROOM_CLOSED,
    ]


def test_a_publication_belongs_to_its_publisher(server: Server) -> None:
    ada, bo, cy = server.joins("ada"), server.joins("bo"), server.joins("cy")
    ada.publishes(Source.CAMERA)
    bo.publishes(Source.CAMERA)
    ada.mutes("camera")
    ada.unpublishes("camera")
    assert cy.sees(bo, "camera")
    assert PublicationRef(bo.id, PublicationId("camera")) in server.published
