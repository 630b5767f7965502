"""One RTP stream carries one feed after another, and its reports tell when frames were due."""

import asyncio
from fractions import Fraction

import pytest

from hushroom_client.media.feed import Feed
from hushroom_client.media.frames import EncodedFrame
from hushroom_client.media.sender_track import SenderTrack
from hushroom_common.ids import Codec
from hushroom_common.rtcp import unix_from_ntp
from tests.client.media.fake_source import FakeSource, eventually

UNIX_OFFSET_S = 1_700_000_000.0


def unsealed(frame: EncodedFrame) -> bytes:
    return frame.data


class Sending:
    """A track whose clock the test moves."""

    def __init__(self, codec: Codec = Codec.VP8) -> None:
        self.now = 50.0
        self.track = SenderTrack(codec, unix_offset_s=UNIX_OFFSET_S, clock=lambda: self.now)

    async def send(self, source: FakeSource, *, is_keyframe: bool = True) -> int:
        source.say(frame := source.frame(is_keyframe=is_keyframe))
        packet = await asyncio.wait_for(self.track.recv(), timeout=5)
        assert bytes(packet) == frame.data
        assert packet.pts is not None
        assert packet.time_base == Fraction(1, source.codec.clock_rate)
        return packet.pts


async def test_timestamps_are_the_sources_own() -> None:
    sending, camera = Sending(), FakeSource()
    sending.track.attach(Feed(camera, unsealed))
    assert [await sending.send(camera) for _ in range(3)] == [0, 3000, 6000]


async def test_the_next_feeds_timestamps_go_on_after_the_time_that_passed() -> None:
    sending, first, second = Sending(), FakeSource(), FakeSource()
    sending.track.attach(Feed(first, unsealed))
    last = [await sending.send(first) for _ in range(3)][-1]
    sending.track.detach()
    sending.now += 2.0
    second._next_timestamp = 777_777_777
    sending.track.attach(Feed(second, unsealed))
    assert await sending.send(second) == last + 2 * 90_000
    assert await sending.send(second) == last + 2 * 90_000 + 3000


async def test_a_feed_that_moves_to_another_stream_begins_it_with_a_keyframe() -> None:
    old, new, camera = Sending(), Sending(), FakeSource()
    feed = Feed(camera, unsealed)
    old.track.attach(feed)
    await old.send(camera)
    old.track.detach()
    new.track.attach(feed)
    assert camera.keyframe_requests == 1
    camera.say(camera.frame(is_keyframe=False))
    assert await new.send(camera) == 2 * 3000  # the delta frame before it was dropped


async def test_without_a_feed_the_track_waits_and_can_be_cancelled() -> None:
    sending = Sending()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(sending.track.recv(), timeout=0.01)


async def test_an_ended_feed_leaves_the_track_to_the_next() -> None:
    sending, first, second = Sending(), FakeSource(), FakeSource()
    sending.track.attach(Feed(first, unsealed))
    waiting = asyncio.create_task(sending.track.recv())
    first.say(None)
    second.say(frame := second.frame())
    await eventually(lambda: sending.track.feed is None)
    sending.track.attach(Feed(second, unsealed))
    assert bytes(await asyncio.wait_for(waiting, timeout=5)) == frame.data


async def test_a_track_takes_no_feed_of_another_codec() -> None:
    with pytest.raises(ValueError, match="opus"):
        Sending(Codec.VP8).track.attach(Feed(FakeSource(Codec.OPUS), unsealed))


async def test_before_the_first_frame_there_is_nothing_to_report() -> None:
    sending = Sending()
    assert sending.track.report_clock(0) is None


async def test_reports_pair_the_clocks_by_when_frames_were_due_not_by_when_they_left() -> None:
    """Frames due each 1/30 s leave up to 200 ms late; the RTP stream starts at 1000 on the wire."""
    sending, camera = Sending(), FakeSource()
    sending.track.attach(Feed(camera, unsealed))
    began_at = sending.now
    pts = 0
    for at, late_s in enumerate([0.1, 0.0, 0.2, 0.15, 0.05, 0.2]):
        sending.now = began_at + at / 30 + late_s
        pts = await sending.send(camera)
    sending.now += 0.4
    pair = sending.track.report_clock(1000 + pts)
    assert pair is not None
    ntp_time, rtp_time = pair
    assert unix_from_ntp(ntp_time) == pytest.approx(UNIX_OFFSET_S + sending.now, abs=1e-3)
    assert (rtp_time - 1000) / 90_000 == pytest.approx(sending.now - began_at, abs=1e-3)
