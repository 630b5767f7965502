"""Seats: who sits on which m-line of a subscriber connection."""

import sys
from collections.abc import Callable
from types import FrameType

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from hushroom_common.ids import Codec, Kind, ParticipantId, PublicationId, Source
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
from hushroom_sfu.core.specs import DownTrackSpec, NegotiatedCodec
from hushroom_sfu.rooms.room import PublicationRef

CODEC_OF = {
    Source.MICROPHONE: Codec.OPUS,
    Source.SCREEN_AUDIO: Codec.OPUS,
    Source.CAMERA: Codec.VP8,
    Source.SCREEN: Codec.VP8,
}


def ref(publisher: str, name: str) -> PublicationRef:
    return PublicationRef(ParticipantId(publisher), PublicationId(name))


def spec(mid: str, *codecs: Codec) -> DownTrackSpec:
    negotiated = tuple(NegotiatedCodec(codec, 96 + number) for number, codec in enumerate(codecs))
    return DownTrackSpec(mid, codecs[0].kind, negotiated, ssrc=int(mid) + 1, rtx_ssrc=None, cname="c")


class Subscriber:
    """A subscriber that negotiates: its offers have the mids 0, 1 | 2, 3 | ... and are answered when told."""

    def __init__(self, max_seats: int = 64, video: tuple[Codec, ...] = (Codec.VP8,)) -> None:
        self.seats = Seats(max_seats)
        self.video = video
        self._mids = 0
        self._mids_answered = 0

    def wants(self, publisher: str, source: Source, *, codec: Codec | None = None, name: str = "") -> list[SeatChange]:
        return self.seats.want(ref(publisher, name or source), source, codec or CODEC_OF[source])

    def drops(self, publisher: str, name: str) -> list[SeatChange]:
        return self.seats.unwant(ref(publisher, name))

    def is_offered_seats(self) -> list[SeatChange]:
        added = []
        for _ in range(self.seats.missing()):
            added.append(SeatMids(str(self._mids), str(self._mids + 1)))
            self._mids += 2
        return self.seats.offered(added)

    def answers(self, rejected: tuple[str, ...] = ()) -> list[SeatChange]:
        specs = {}
        for number in range(self._mids):
            codecs = self.video if number % 2 else (Codec.OPUS,)
            if codecs and str(number) not in rejected:
                specs[str(number)] = spec(str(number), *codecs)
        return self.seats.answered(specs)

    def negotiates(self) -> list[SeatChange]:
        return [*self.is_offered_seats(), *self.answers()]


def started(changes: list[SeatChange]) -> dict[str, PublicationRef]:
    return {change.spec.mid: change.ref for change in changes if isinstance(change, Started)}


def test_microphone_and_camera_share_a_seat() -> None:
    bo = Subscriber()
    assert bo.wants("ada", Source.MICROPHONE) == bo.wants("ada", Source.CAMERA) == []
    assert bo.seats.missing() == 1
    assert bo.is_offered_seats() == [Taken("0", ref("ada", "microphone")), Taken("1", ref("ada", "camera"))]
    assert started(bo.answers()) == {"0": ref("ada", "microphone"), "1": ref("ada", "camera")}
    assert bo.seats.missing() == 0


def test_two_people_never_share_a_seat() -> None:
    bo = Subscriber()
    bo.wants("ada", Source.MICROPHONE)
    bo.wants("cy", Source.CAMERA)
    assert bo.seats.missing() == 2
    assert started(bo.negotiates()) == {"0": ref("ada", "microphone"), "3": ref("cy", "camera")}


def test_a_screen_and_its_sound_share_a_seat_of_their_own() -> None:
    bo = Subscriber()
    for source in (Source.CAMERA, Source.SCREEN, Source.SCREEN_AUDIO, Source.MICROPHONE):
        bo.wants("ada", source)
    assert bo.seats.missing() == 2
    assert started(bo.negotiates()) == {
        "0": ref("ada", "microphone"),
        "1": ref("ada", "camera"),
        "2": ref("ada", "screen_audio"),
        "3": ref("ada", "screen"),
    }


def test_a_second_camera_takes_a_second_seat() -> None:
    bo = Subscriber()
    bo.wants("ada", Source.CAMERA, name="front")
    bo.wants("ada", Source.CAMERA, name="back")
    assert bo.seats.missing() == 2
    assert started(bo.negotiates()) == {"1": ref("ada", "front"), "3": ref("ada", "back")}


def test_the_number_of_seats_doubles() -> None:
    bo = Subscriber()
    sizes = []
    for number in range(20):
        bo.wants(f"p{number}", Source.CAMERA)
        if added := bo.seats.missing():
            sizes.append(added)
            bo.negotiates()
    assert sizes == [1, 1, 2, 4, 8, 16]


def test_a_crowd_is_seated_by_one_offer() -> None:
    bo = Subscriber()
    for number in range(20):
        bo.wants(f"p{number}", Source.CAMERA)
    assert bo.seats.missing() == 32


def test_growth_waits_for_the_answer_under_way() -> None:
    bo = Subscriber()
    bo.wants("ada", Source.CAMERA)
    bo.is_offered_seats()
    assert bo.wants("cy", Source.CAMERA) == []
    assert bo.seats.missing() == 0
    assert bo.seats.reason(ref("ada", "camera")) is UnseatedReason.AWAITS_ANSWER
    assert bo.seats.reason(ref("cy", "camera")) is UnseatedReason.AWAITS_SEAT
    bo.answers()
    assert bo.seats.missing() == 1


def test_a_seat_that_is_free_again_needs_no_negotiation() -> None:
    bo = Subscriber()
    bo.wants("ada", Source.CAMERA)
    bo.negotiates()
    assert bo.drops("ada", "camera") == [Stopped("1"), Freed("1")]
    assert bo.wants("cy", Source.CAMERA) == [
        Taken("1", ref("cy", "camera")),
        Started(spec("1", Codec.VP8), ref("cy", "camera")),
    ]


def test_the_seat_that_rested_longest_is_taken_first() -> None:
    bo = Subscriber()
    for name in ("ada", "cy", "di"):
        bo.wants(name, Source.CAMERA)
    bo.negotiates()  # a fourth seat is added, and stays unused
    for name in ("cy", "ada", "di"):
        bo.drops(name, "camera")
    order = [bo.wants(name, Source.CAMERA)[0] for name in ("w", "x", "y", "z")]
    assert order == [
        Taken("7", ref("w", "camera")),
        Taken("3", ref("x", "camera")),
        Taken("1", ref("y", "camera")),
        Taken("5", ref("z", "camera")),
    ]


def test_a_seat_is_free_only_when_both_its_slots_are() -> None:
    bo = Subscriber()
    bo.wants("ada", Source.CAMERA)
    bo.wants("ada", Source.MICROPHONE)
    bo.negotiates()
    bo.drops("ada", "camera")
    assert bo.wants("cy", Source.CAMERA) == []
    assert bo.seats.missing() == 1
    assert bo.wants("ada", Source.CAMERA)[0] == Taken("1", ref("ada", "camera"))


def test_who_waits_gets_the_seat_that_somebody_leaves() -> None:
    bo = Subscriber(max_seats=1)
    bo.wants("ada", Source.CAMERA)
    bo.negotiates()
    assert bo.wants("cy", Source.CAMERA) == [Unseated(ref("cy", "camera"), UnseatedReason.NO_FREE_SLOT)]
    assert bo.seats.missing() == 0
    assert started(bo.drops("ada", "camera")) == {"1": ref("cy", "camera")}
    assert bo.seats.reason(ref("cy", "camera")) is None


def test_the_last_seat_is_given_and_not_one_more() -> None:
    bo = Subscriber(max_seats=5)
    for number in range(5):
        bo.wants(f"p{number}", Source.CAMERA)
    assert len(started(bo.negotiates())) == 5
    assert bo.wants("one more", Source.CAMERA) == [Unseated(ref("one more", "camera"), UnseatedReason.NO_FREE_SLOT)]


def test_a_codec_that_the_answer_left_out_is_not_sent_and_asks_for_no_more_seats() -> None:
    bo = Subscriber(video=(Codec.VP8, Codec.H264))
    bo.wants("ada", Source.CAMERA, codec=Codec.AV1)
    bo.is_offered_seats()
    unseated = Unseated(ref("ada", "camera"), UnseatedReason.CODEC_NOT_SUPPORTED)
    assert bo.answers() == [Freed("1"), unseated]
    assert bo.seats.missing() == 0
    assert bo.seats.reason(ref("ada", "camera")) is UnseatedReason.CODEC_NOT_SUPPORTED
    assert started(bo.wants("ada", Source.CAMERA, codec=Codec.H264, name="other")) == {"1": ref("ada", "other")}


def test_a_subscriber_that_rejects_video_still_hears() -> None:
    bo = Subscriber(video=())
    bo.wants("ada", Source.CAMERA)
    bo.wants("ada", Source.MICROPHONE)
    assert started(bo.negotiates()) == {"0": ref("ada", "microphone")}
    assert bo.seats.reason(ref("ada", "camera")) is UnseatedReason.CODEC_NOT_SUPPORTED


def test_a_rejected_m_line_is_avoided() -> None:
    bo = Subscriber()
    bo.wants("ada", Source.CAMERA)
    bo.wants("cy", Source.MICROPHONE)
    bo.is_offered_seats()
    changes = bo.answers(rejected=("1",))
    assert [change for change in changes if isinstance(change, Freed | Unseated)] == [
        Freed("1"),
        Unseated(ref("ada", "camera"), UnseatedReason.CODEC_NOT_SUPPORTED),
    ]
    assert Taken("3", ref("di", "camera")) not in bo.wants("di", Source.CAMERA)  # cy holds that seat
    assert started(bo.drops("cy", "microphone")) == {"3": ref("ada", "camera")}


def test_an_answer_that_changes_its_mind_loses_the_slot_for_good() -> None:
    bo = Subscriber(video=(Codec.VP8, Codec.H264))
    bo.wants("ada", Source.CAMERA)
    bo.negotiates()
    assert bo.answers() == []
    bo.video = (Codec.VP8,)
    unseated = Unseated(ref("ada", "camera"), UnseatedReason.CODEC_NOT_SUPPORTED)
    assert bo.answers() == [Stopped("1"), Freed("1"), unseated]
    bo.video = (Codec.VP8, Codec.H264)
    assert bo.answers() == []


def test_all_wait_again_when_the_connection_is_gone() -> None:
    bo = Subscriber()
    bo.wants("ada", Source.CAMERA)
    bo.wants("ada", Source.MICROPHONE)
    bo.negotiates()
    assert bo.seats.clear() == [Stopped("1"), Stopped("0")]
    assert bo.seats.slots == ()
    assert bo.seats.missing() == 1
    bo._mids = 0
    assert started(bo.negotiates()) == {"0": ref("ada", "microphone"), "1": ref("ada", "camera")}


def test_an_ended_publication_is_not_seated_by_a_late_answer() -> None:
    bo = Subscriber()
    bo.wants("ada", Source.CAMERA)
    bo.is_offered_seats()
    assert bo.drops("ada", "camera") == [Freed("1")]
    assert bo.answers() == []


def test_dropping_what_was_never_wanted_is_harmless() -> None:
    assert Subscriber().drops("ada", "camera") == []


def calls_of(work: Callable[[], object]) -> int:
    """How many Python functions `work` calls: its cost, on any machine and under any load."""
    calls = 0

    def count(_frame: FrameType, event: str, _arg: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls


def test_who_leaves_a_full_room_costs_little_however_many_wait() -> None:
    """63 others with 8 cameras each: 64 are seen, 440 wait for a seat."""
    bo = Subscriber(max_seats=64)
    for publisher in range(63):
        for camera in range(8):
            bo.wants(str(publisher), Source.CAMERA, name=str(camera))
    bo.negotiates()
    assert calls_of(lambda: bo.drops("40", "0")) < 10  # nobody saw that one
    assert calls_of(lambda: bo.drops("0", "0")) < 1000
    assert calls_of(bo.seats.missing) < 10


class SeatsMachine(RuleBasedStateMachine):
    """Any order of wishes, offers and answers, held against a ledger kept from the changes alone."""

    def __init__(self) -> None:
        super().__init__()
        self.bo = Subscriber(max_seats=6)
        self.wanted: dict[PublicationRef, Codec] = {}
        self.told: dict[str, PublicationRef] = {}
        self.flowing: dict[str, PublicationRef] = {}

    def note(self, changes: list[SeatChange]) -> None:
        for change in changes:
            match change:
                case Taken(mid, taken_by):
                    assert mid not in self.told, "a slot was taken twice"
                    self.told[mid] = taken_by
                case Freed(mid):
                    assert mid not in self.flowing, "a slot was freed while it flows"
                    del self.told[mid]
                case Started(started_spec, started_ref):
                    assert started_spec.mid not in self.flowing, "a slot was started twice"
                    assert self.told[started_spec.mid] == started_ref
                    assert any(one.codec is self.wanted[started_ref] for one in started_spec.codecs)
                    self.flowing[started_spec.mid] = started_ref
                case Stopped(mid):
                    del self.flowing[mid]
                case Unseated(unseated_ref, reason):
                    assert unseated_ref not in self.told.values()
                    assert self.bo.seats.reason(unseated_ref) is not None, reason

    @rule(
        publisher=st.sampled_from("abcdefgh"), source=st.sampled_from(Source), codec=st.sampled_from(Codec),
        copy=st.integers(0, 1),
    )  # fmt: skip
    def want(self, publisher: str, source: Source, codec: Codec, copy: int) -> None:
        wanted = ref(publisher, f"{source}{copy}")
        if wanted in self.wanted or codec.kind is not CODEC_OF[source].kind:
            return
        self.wanted[wanted] = codec
        self.note(self.bo.seats.want(wanted, source, codec))

    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        if self.wanted:
            dropped = data.draw(st.sampled_from(sorted(self.wanted, key=str)))
            self.note(self.bo.seats.unwant(dropped))
            del self.wanted[dropped]

    @rule()
    def offer(self) -> None:
        if self.bo.seats.missing():
            self.note(self.bo.is_offered_seats())

    @rule(codecs=st.sets(st.sampled_from([Codec.VP8, Codec.H264, Codec.AV1])), rejected=st.sets(st.integers(0, 11)))
    def answer(self, codecs: set[Codec], rejected: set[int]) -> None:
        self.bo.video = tuple(sorted(codecs))
        self.note(self.bo.answers(rejected=tuple(map(str, rejected))))

    @rule()
    def lose_the_connection(self) -> None:
        self.note(self.bo.seats.clear())
        self.bo._mids = 0
        self.told.clear()

    @invariant()
    def no_slot_carries_two_publications(self) -> None:
        assert len(set(self.told.values())) == len(self.told)
        assert self.flowing.items() <= self.told.items()
        seated = {slot.mid: slot for slot in self.bo.seats.slots if slot.publication is not None}
        assert set(seated) == set(self.told)

    @invariant()
    def each_wish_is_met_or_has_a_reason(self) -> None:
        for wanted in self.wanted:
            is_flowing = wanted in self.flowing.values()
            assert self.bo.seats.is_flowing(wanted) == is_flowing
            assert (self.bo.seats.reason(wanted) is None) == is_flowing

    @invariant()
    def a_seat_has_one_holder(self) -> None:
        slots = self.bo.seats.slots
        assert len(slots) == 2 * len(self.bo.seats) <= 12
        for audio, video in zip(slots[::2], slots[1::2], strict=True):
            assert audio.participant in (None, video.participant) or video.participant is None

    @invariant()
    def who_waits_for_a_seat_has_one_coming(self) -> None:
        waits = any(self.bo.seats.reason(one) is UnseatedReason.AWAITS_SEAT for one in self.wanted)
        is_unanswered = any(self.bo.seats.reason(one) is UnseatedReason.AWAITS_ANSWER for one in self.wanted)
        if waits and not is_unanswered and self.bo.seats.missing() == 0:
            assert self.bo._mids > 0  # an offer whose new seats have lost their holders is under way

    @invariant()
    def nobody_waits_beside_a_free_slot(self) -> None:
        slots = self.bo.seats.slots
        for wanted, codec in self.wanted.items():
            if self.bo.seats.reason(wanted) not in (UnseatedReason.AWAITS_SEAT, UnseatedReason.NO_FREE_SLOT):
                continue
            for seat in zip(slots[::2], slots[1::2], strict=True):
                half, other = seat if codec.kind is Kind.AUDIO else reversed(seat)
                assert half.publication is not None or other.publication is not None
                if half.publication is None and other.publication is not None:
                    assert (other.participant, is_screen(other.publication)) != (
                        wanted.publisher,
                        is_screen(wanted.publication),
                    )


def is_screen(publication: str) -> bool:
    return publication.startswith("screen")


SeatsMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestSeatsMachine = pytest.mark.timeout(60)(SeatsMachine.TestCase)
