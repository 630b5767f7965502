"""What becomes of one track's frames: what reaches sinks, what does not, and what is told of it."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from hushroom_client.e2ee.outcomes import Dropped, Opened, Outcome, Rejected, RejectReason
from hushroom_client.media.frames import EncodedFrame
from hushroom_client.reception import Open, Reception
from hushroom_common.ids import Codec, Kind

CODEC = {Kind.VIDEO: Codec.VP8, Kind.AUDIO: Codec.OPUS}
K, P, S = (Opened(b"plain", 0, step) for step in range(3))
"""A keyframe, a delta frame and a sound, each of which opens."""
AUTHENTICATION = Rejected(RejectReason.AUTHENTICATION)


@dataclass
class Sink:
    """Keeps what it got."""

    got: list[int] = field(default_factory=list)
    is_closed: bool = False

    def push(self, frame: EncodedFrame, *, captured_at: float | None) -> None:
        assert not self.is_closed
        assert frame.data == b"plain"
        self.got.append(frame.timestamp)

    def close(self) -> None:
        self.is_closed = True


class Track:
    """A reception that is fed frames by hand: what becomes of each is given."""

    def __init__(self, kind: Kind = Kind.VIDEO) -> None:
        self.keyframe_requests = 0
        self.told: list[tuple[RejectReason, int]] = []
        self.kind = kind
        self.reception = Reception(
            kind, request_keyframe=self._ask, report=lambda reason, count: self.told.append((reason, count))
        )
        self.usable: list[bool] = []
        self._number = 0

    def _ask(self) -> None:
        self.keyframe_requests += 1

    def gets(self, *frames: Outcome, every_s: float = 1 / 30) -> None:
        for outcome in frames:
            is_keyframe = self.kind is Kind.AUDIO or outcome is K
            encoded = EncodedFrame(CODEC[self.kind], b"sealed", self._number, is_keyframe)
            now = self._number * every_s
            self.usable.append(self.reception.receive(encoded, _yields(outcome), captured_at=None, now=now))
            self._number += 1


def _yields(outcome: Outcome) -> Open:
    return lambda data: outcome


def test_a_sink_begins_with_a_keyframe_that_is_asked_for() -> None:
    track, sink = Track(), Sink()
    track.gets(K, P)
    track.reception.attach(sink)
    assert track.keyframe_requests == 1
    track.gets(P, K, P)
    assert sink.got == [3, 4]


def test_after_a_frame_that_did_not_open_nothing_comes_before_a_keyframe() -> None:
    track, sink = Track(), Sink()
    track.reception.attach(sink)
    track.gets(K, P, AUTHENTICATION, P, P, K, P)
    assert sink.got == [0, 1, 5, 6]
    assert track.usable == [True, True, False, False, False, True, True]


def test_a_frame_that_came_too_late_is_missing_too() -> None:
    track, sink = Track(), Sink()
    track.reception.attach(sink)
    track.gets(K, Dropped.TOO_OLD, P, K)
    assert sink.got == [0, 3]


def test_duplicates_and_empty_frames_go_unnoticed() -> None:
    track, sink = Track(), Sink()
    track.reception.attach(sink)
    track.gets(K, Dropped.DUPLICATE, P, Dropped.EMPTY, P)
    assert sink.got == [0, 2, 4]
    assert all(track.usable)
    assert not track.reception.rejected
    assert track.told == []


def test_a_keyframe_played_again_does_not_stand_for_the_one_that_is_awaited() -> None:
    """Who puts packets together can't tell, and delivers what follows it: deltas that build on what was lost."""
    track, sink = Track(), Sink()
    track.reception.attach(sink)
    track.gets(K)
    again = EncodedFrame(Codec.VP8, b"sealed", 1, is_keyframe=True)
    assert not track.reception.receive(again, _yields(Dropped.DUPLICATE), captured_at=None, now=1.0)
    track.gets(P, K)
    assert sink.got == [0, 2]


def test_sound_goes_on_after_a_loss() -> None:
    track, sink = Track(Kind.AUDIO), Sink()
    track.reception.attach(sink)
    track.gets(S, AUTHENTICATION, S)
    assert sink.got == [0, 2]
    assert track.keyframe_requests == 0


def test_rejections_are_reported_once_a_second_for_each_reason() -> None:
    track = Track(Kind.AUDIO)
    track.gets(*[AUTHENTICATION] * 100, every_s=0.02)
    track.gets(Rejected(RejectReason.NOT_SEALED), every_s=0.02)
    assert track.told == [
        (RejectReason.AUTHENTICATION, 1),
        (RejectReason.AUTHENTICATION, 50),
        (RejectReason.NOT_SEALED, 1),
    ]
    assert track.reception.rejected == {RejectReason.AUTHENTICATION: 100, RejectReason.NOT_SEALED: 1}


def test_closing_closes_the_sinks_and_forgets_them() -> None:
    track, first, second = Track(), Sink(), Sink()
    track.reception.attach(first)
    track.reception.detach(first)
    track.reception.attach(second)
    track.reception.close()
    assert first.is_closed
    assert second.is_closed
    track.gets(K)
    assert first.got == second.got == []


OUTCOMES = st.sampled_from([K, P, AUTHENTICATION, Dropped.TOO_OLD, Dropped.DUPLICATE, Dropped.EMPTY])


@given(st.lists(OUTCOMES, max_size=60))
def test_every_frame_a_sink_gets_builds_on_what_it_got(frames: list[Outcome]) -> None:
    track, sink = Track(), Sink()
    track.reception.attach(sink)
    track.gets(*frames)
    missing: bool = True  # of what a delta frame refers to
    expected = []
    for number, frame in enumerate(frames):
        if frame is K:
            missing = False
        elif frame in (AUTHENTICATION, Dropped.TOO_OLD):
            missing = True
        if frame in (K, P) and not missing:
            expected.append(number)
    assert sink.got == expected
