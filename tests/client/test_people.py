"""What the server says of tracks and what comes in their slots: where the two disagree nothing reaches a sink."""

from dataclasses import dataclass, field

import pytest

from hushroom_client.e2ee import RejectReason
from hushroom_client.events import Event, FrameRejected
from hushroom_client.legs import SubscriberLeg
from hushroom_client.media.frames import EncodedFrame
from hushroom_client.media.leg_receiver import ReceivedFrame
from hushroom_client.people import People
from hushroom_client.roster import PersonCame, Roster, TrackRef
from hushroom_client.sealing import UNSEALED, Unsealed
from hushroom_common.ids import Codec, Identity, Kind, ParticipantId, PublicationId, Source
from hushroom_common.signaling import ParticipantInfo, Slot, TrackInfo

ADA = Identity("ada")
REF = TrackRef(ParticipantId("p1"), PublicationId("cam"))
CAMERA = TrackInfo(REF.publication, Kind.VIDEO, Source.CAMERA, Codec.VP8, UNSEALED)
MICROPHONE = TrackInfo(REF.publication, Kind.AUDIO, Source.MICROPHONE, Codec.OPUS, UNSEALED)


@dataclass
class Sink:
    """Keeps what it got."""

    got: list[EncodedFrame] = field(default_factory=list)

    def push(self, frame: EncodedFrame, *, captured_at: float | None) -> None:
        self.got.append(frame)

    def close(self) -> None:
        pass


class Client:
    """The people of a room as a server tells them, before there is any connection."""

    def __init__(self, track: TrackInfo) -> None:
        self.events: list[Event] = []
        leg = SubscriberLeg(gather_loopback=False, on_frame=self._receive, spawn=lambda work, name: work.close())
        self.people = People(Unsealed(), leg, emit=self.events.append)
        self.sink = Sink()
        roster = Roster(Identity("bo"), UNSEALED)
        for change in roster.begin([ParticipantInfo(REF.participant, ADA, (track,))]):
            self.people.apply(change)
        for change in roster.seat([Slot("0", REF.participant, REF.publication)]):
            self.people.apply(change)
        for remote in self.people.tracks():
            remote.attach(self.sink)

    def _receive(self, frame: ReceivedFrame) -> None:
        self.people.receive(frame)

    def gets(self, codec: Codec, *, is_keyframe: bool = True) -> None:
        self._receive(ReceivedFrame("0", EncodedFrame(codec, b"frame", 0, is_keyframe), None, 0.0))


@pytest.mark.parametrize("track", [CAMERA, MICROPHONE], ids=["camera", "microphone"])
def test_a_frame_of_the_tracks_codec_reaches_its_sink(track: TrackInfo) -> None:
    client = Client(track)
    client.gets(track.codec)
    assert [frame.codec for frame in client.sink.got] == [track.codec]


@pytest.mark.parametrize(("track", "other"), [(CAMERA, Codec.OPUS), (MICROPHONE, Codec.VP8), (CAMERA, Codec.VP9)])
def test_a_frame_in_a_slot_of_another_codec_goes_nowhere(track: TrackInfo, other: Codec) -> None:
    """A camera's frames in a sound slot would all pass for keyframes, and be recorded as sound."""
    client = Client(track)
    client.gets(other)
    client.gets(track.codec, is_keyframe=track.kind is Kind.AUDIO)
    assert [frame.codec for frame in client.sink.got] == [Codec.OPUS] * (track.kind is Kind.AUDIO)
    (rejected,) = [event for event in client.events if isinstance(event, FrameRejected)]
    assert rejected.reason is RejectReason.WRONG_CODEC


@pytest.mark.parametrize(
    "impossible",
    [
        TrackInfo(REF.publication, Kind.AUDIO, Source.MICROPHONE, Codec.VP8, UNSEALED),
        TrackInfo(REF.publication, Kind.VIDEO, Source.CAMERA, Codec.OPUS, UNSEALED),
        TrackInfo(REF.publication, Kind.VIDEO, Source.SCREEN_AUDIO, Codec.VP8, UNSEALED),
        TrackInfo(REF.publication, Kind.AUDIO, Source.CAMERA, Codec.OPUS, UNSEALED),
    ],
)
def test_a_track_that_contradicts_itself_is_ignored(impossible: TrackInfo) -> None:
    """Its kind decides whether deltas wait for a keyframe, its source into which track it is recorded."""
    changes = Roster(Identity("bo"), UNSEALED).begin([ParticipantInfo(REF.participant, ADA, (impossible,))])
    assert changes == [PersonCame(REF.participant, ADA)]
    client = Client(impossible)
    client.gets(impossible.codec)
    assert client.sink.got == []
