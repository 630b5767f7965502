"""Meetings in any order of events, held against the ledger of the media plane and against what clients were told."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hushroom_common.ids import Codec, LegRole, Source
from hushroom_common.signaling.messages import KeyStep
from hushroom_sfu.conversation.actions import LegEvent
from hushroom_sfu.conversation.limits import Limits
from hushroom_sfu.conversation.meeting import Meeting
from hushroom_sfu.conversation.seats import UnseatedReason
from hushroom_sfu.conversation.session import SessionState
from hushroom_sfu.conversation.switchboard import Counts
from hushroom_sfu.rooms.room import PublicationRef
from tests.support.control_plane import CODECS, STANDUP, Client, Server

NAMES = st.sampled_from(["ada", "bo", "cy", "di"])
LOSSES = st.sampled_from([LegEvent.SILENT, LegEvent.FAILED, LegEvent.CLOSED])


class AnyMeeting(RuleBasedStateMachine):
    """Four identities, three places, three tracks each, three seats: every limit is met soon."""

    def __init__(self) -> None:
        super().__init__()
        limits = Limits(participants_per_room=3, tracks_per_participant=3, seats_per_subscriber=3)
        self.server = Server(limits=limits, legs_connect=False)
        self.clients: dict[str, Client] = {}  # the last client of each name, whatever became of it

    @property
    def meeting(self) -> Meeting | None:
        return self.server.switchboard._rooms.get(STANDUP)

    def speaker(self, data: st.DataObject) -> Client:
        """Somebody whose WebSocket is open."""
        return data.draw(st.sampled_from([one for one in self.clients.values() if one.connection is not None]))

    def somebody_speaks(self) -> bool:
        return any(one.connection is not None for one in self.clients.values())

    def publication(self, data: st.DataObject) -> tuple[Client, str] | None:
        """Any publication of anybody who is there."""
        published = [
            (one, track.offered.publication)
            for one in self.clients.values()
            if self.meeting is not None and one.id in self.meeting.room
            for track in self.meeting[one.id].up.tracks.values()
        ]
        return data.draw(st.sampled_from(published)) if published else None

    # --- what happens ---------------------------------------------------------------------------------------------

    @initialize(legs_connect=st.booleans(), is_prompt=st.booleans())
    def two_people_talk(self, legs_connect: bool, is_prompt: bool) -> None:
        self.server.legs_connect = legs_connect
        for name in ("ada", "bo"):
            self.join(name, is_prompt, True, {Codec.VP8})
            self.clients[name].publishes(Source.CAMERA, name="camera0")

    @rule(
        name=NAMES,
        is_prompt=st.booleans(),
        auto_subscribe=st.booleans(),
        video=st.sets(st.sampled_from([Codec.VP8, Codec.VP9])),
    )
    def join(self, name: str, is_prompt: bool, auto_subscribe: bool, video: set[Codec]) -> None:
        client = Client(self.server, name)
        client.answers_offers = is_prompt
        client.video_codecs = tuple(sorted(video))
        client.joins(auto_subscribe=auto_subscribe)
        if client.connection is not None:
            self.clients[name] = client

    @precondition(somebody_speaks)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        self.speaker(data).leaves()

    @precondition(somebody_speaks)
    @rule(data=st.data(), source=st.sampled_from(Source), copy=st.integers(0, 1), is_vp9=st.booleans())
    def publish(self, data: st.DataObject, source: Source, copy: int, is_vp9: bool) -> None:
        one, name = self.speaker(data), f"{source}{copy}"
        codec = Codec.VP9 if is_vp9 and CODECS[source] is Codec.VP8 else CODECS[source]
        one.drops_m_line(name)
        one.publishes(source, codec=codec, name=name)

    @precondition(somebody_speaks)
    @rule(data=st.data(), restarts_ice=st.booleans())
    def offer_again(self, data: st.DataObject, restarts_ice: bool) -> None:
        one = self.speaker(data)
        if one.m_lines and restarts_ice:
            one.restarts_ice()
        elif one.m_lines:
            one.offers_again()

    @precondition(somebody_speaks)
    @rule(data=st.data())
    def build_a_new_publisher_connection(self, data: st.DataObject) -> None:
        one = self.speaker(data)
        one.builds_a_new_connection()
        if one.m_lines:
            one.offers_again()

    @precondition(somebody_speaks)
    @rule(data=st.data())
    def unpublish(self, data: st.DataObject) -> None:
        found = self.publication(data)
        if found is not None and found[0].connection is not None:
            found[0].unpublishes(found[1])

    @precondition(somebody_speaks)
    @rule(data=st.data(), muted=st.booleans())
    def mute(self, data: st.DataObject, muted: bool) -> None:
        one, found = self.speaker(data), self.publication(data)
        if found is not None:
            one.mutes(found[1], muted)  # his own, or one that he has not

    @precondition(somebody_speaks)
    @rule(data=st.data(), max_temporal_id=st.none() | st.integers(0, 7))
    def subscribe(self, data: st.DataObject, max_temporal_id: int | None) -> None:
        one, found = self.speaker(data), self.publication(data)
        if found is not None:
            one.subscribes(*found, max_temporal_id)

    @precondition(somebody_speaks)
    @rule(data=st.data())
    def unsubscribe(self, data: st.DataObject) -> None:
        one, found = self.speaker(data), self.publication(data)
        if found is not None:
            one.unsubscribes(*found)

    @precondition(somebody_speaks)
    @rule(data=st.data(), step=st.integers(0, 9))
    def step_a_key(self, data: st.DataObject, step: int) -> None:
        self.speaker(data).says(KeyStep(0, step))

    @precondition(somebody_speaks)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        one = self.speaker(data)
        if one.unanswered is not None:
            one.answers()

    @precondition(somebody_speaks)
    @rule(data=st.data())
    def lose_a_websocket(self, data: st.DataObject) -> None:
        self.speaker(data).loses_websocket()

    @rule(name=NAMES)
    def resume(self, name: str) -> None:
        one = self.clients.get(name)
        if one is not None and one.resume_token:
            one.resumes()

    @rule(data=st.data())
    def a_leg_connects(self, data: st.DataObject) -> None:
        ready = [
            leg
            for leg in self.server.open_legs()
            if self.server.legs[leg].has_remote and not self.server.legs[leg].is_connected
        ]
        if ready:
            self.server.reports(data.draw(st.sampled_from(ready)), LegEvent.CONNECTED)

    @rule(data=st.data(), event=LOSSES)
    def a_leg_is_lost(self, data: st.DataObject, event: LegEvent) -> None:
        if legs := self.server.open_legs():
            self.server.reports(data.draw(st.sampled_from(legs)), event)

    @rule(seconds=st.sampled_from([0.1, 1.0, 8.0, 31.0]))
    def time_passes(self, seconds: float) -> None:
        self.server.passes(seconds)

    # --- what holds -----------------------------------------------------------------------------------------------

    @invariant()
    def counts_are_those_of_the_ledger(self) -> None:
        in_room = len(self.meeting) if self.meeting is not None else 0
        assert self.server.switchboard.counts == Counts(
            rooms=int(in_room > 0),
            participants=in_room,
            publications=len(self.server.published),
            legs=len(self.server.open_legs()),
            connections=len(self.server.clients),
            unjoined_connections=0,
        )

    @invariant()
    def who_has_left_owns_nothing(self) -> None:
        present = {one.member.id for one in self.meeting} if self.meeting is not None else set()
        assert {self.server.legs[leg].participant for leg in self.server.open_legs()} <= present
        assert {ref.publisher for ref in self.server.published} <= present
        assert set(self.server.published) == (set(self.meeting.room.publications()) if self.meeting else set())
        assert all(not leg.slots for leg in self.server.legs.values() if leg.is_closed)

    @invariant()
    def each_subscription_flows_or_has_a_reason(self) -> None:
        for one in self.meeting or ():
            legs = self.server.open_legs(one.member.id, LegRole.SUBSCRIBER)
            assert len(legs) <= 1
            flowing = {ref for leg in legs for ref in self.server.legs[leg].slots.values()}
            is_connected = any(self.server.legs[leg].is_connected for leg in legs)
            for ref in one.member.subscriptions:
                reason = one.down.seats.reason(ref)
                assert (ref in flowing) == (reason is None and is_connected)
            assert flowing <= one.member.subscriptions.keys()

    @invariant()
    def who_waits_for_a_seat_has_one_coming(self) -> None:
        for one in self.meeting or ():
            waits = UnseatedReason.AWAITS_SEAT in map(one.down.seats.reason, one.member.subscriptions)
            client = self.clients[one.member.identity]
            if waits and one.session.state is SessionState.JOINED and client.unanswered is None:
                assert one.down.next_deadline() is not None

    @invariant()
    def clients_believe_what_is_true(self) -> None:
        for one in self.meeting or ():
            client = self.clients[one.member.identity]
            assert client.id == one.member.id
            if client.connection is None:
                continue
            assert self.meeting is not None
            assert client.people == {other.id: other.info() for other in self.meeting.room.others(client.id)}
            assert client.key_steps == {
                other.id: (other.key_step.key_index, other.key_step.step)
                for other in self.meeting.room.others(client.id)
                if other.key_step is not None
            }
            told = {
                slot.mid: None
                if slot.participant is None or slot.publication is None
                else PublicationRef(slot.participant, slot.publication)
                for slot in one.down.seats.slots
            }
            assert client.slots == told

    @invariant()
    def layers_are_those_asked_for(self) -> None:
        for one in self.meeting or ():
            for number in self.server.open_legs(one.member.id, LegRole.SUBSCRIBER):
                leg = self.server.legs[number]
                for mid, ref in leg.slots.items():
                    assert leg.limits[mid] == one.member.subscriptions[ref]

    def teardown(self) -> None:
        for client in self.clients.values():
            if client.connection is not None:
                client.loses_websocket()
        self.server.passes(31.0)
        assert self.server.switchboard.counts == Counts(0, 0, 0, 0, 0, 0)
        assert self.server.switchboard.next_deadline() is None


AnyMeeting.TestCase.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)
TestAnyMeeting = AnyMeeting.TestCase
