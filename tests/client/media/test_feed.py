"""What of a source's frames goes out, and in which state."""

import asyncio

import pytest

from hushroom_client.media.feed import Feed
from hushroom_client.media.frames import EncodedFrame
from hushroom_common.ids import Codec
from tests.client.media.fake_source import FakeSource


class Sealer:
    """Seals when it has a key."""

    def __init__(self) -> None:
        self.has_key = True

    def __call__(self, frame: EncodedFrame) -> bytes | None:
        return b"sealed " + frame.data if self.has_key else None


async def sent(feed: Feed) -> bytes | None:
    frame = await asyncio.wait_for(feed.next_frame(), timeout=5)
    return frame.data if frame else None


async def test_frames_go_out_as_the_transform_made_them() -> None:
    camera = FakeSource()
    feed = Feed(camera, Sealer())
    camera.say(keyframe := camera.frame(), delta := camera.frame(is_keyframe=False))
    assert [await sent(feed), await sent(feed)] == [b"sealed " + keyframe.data, b"sealed " + delta.data]


async def test_nothing_goes_out_without_a_key_and_a_keyframe_comes_first_after() -> None:
    camera, sealer = FakeSource(), Sealer()
    feed = Feed(camera, sealer)
    sealer.has_key = False
    camera.say(camera.frame(), camera.frame(is_keyframe=False))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(feed.next_frame(), timeout=0.02)
    sealer.has_key = True
    camera.say(camera.frame(is_keyframe=False), keyframe := camera.frame())
    assert await sent(feed) == b"sealed " + keyframe.data
    assert feed.frames_dropped == 3
    assert camera.keyframe_requests == 1


async def test_sound_needs_no_keyframe_to_go_on() -> None:
    microphone, sealer = FakeSource(Codec.OPUS), Sealer()
    feed = Feed(microphone, sealer)
    sealer.has_key = False
    microphone.say(microphone.frame())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(feed.next_frame(), timeout=0.02)
    sealer.has_key = True
    microphone.say(after := microphone.frame())
    assert await sent(feed) == b"sealed " + after.data


async def test_sound_that_fits_no_datagram_is_dropped() -> None:
    microphone = FakeSource(Codec.OPUS)
    feed = Feed(microphone, Sealer())
    microphone.say(microphone.frame(size=1275), after := microphone.frame())
    assert await sent(feed) == b"sealed " + after.data


async def test_a_paused_feed_seals_nothing_and_resumes_with_a_keyframe() -> None:
    camera = FakeSource()
    feed = Feed(camera, Sealer())
    feed.pause()
    camera.say(camera.frame(), camera.frame(is_keyframe=False))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(feed.next_frame(), timeout=0.02)
    feed.resume()
    assert camera.keyframe_requests == 1
    camera.say(camera.frame(is_keyframe=False), keyframe := camera.frame())
    assert await sent(feed) == b"sealed " + keyframe.data


async def test_many_requests_for_keyframes_become_few_and_none_is_lost() -> None:
    now = 10.0
    camera = FakeSource()
    feed = Feed(camera, Sealer(), clock=lambda: now)
    for _ in range(50):
        feed.request_keyframe()
    assert camera.keyframe_requests == 1
    now += 0.3
    camera.say(camera.frame())
    await sent(feed)
    assert camera.keyframe_requests == 2


async def test_cancelling_the_pull_loses_no_frame() -> None:
    camera = FakeSource()
    feed = Feed(camera, Sealer())
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(feed.next_frame(), timeout=0.01)
    camera.say(first := camera.frame(), second := camera.frame(is_keyframe=False))
    assert [await sent(feed), await sent(feed)] == [b"sealed " + first.data, b"sealed " + second.data]


async def test_the_end_of_the_source_ends_the_feed() -> None:
    camera = FakeSource()
    feed = Feed(camera, Sealer())
    camera.say(None)
    assert await sent(feed) is None
    await feed.wait_ended()
    assert camera.closed


async def test_closing_wakes_whoever_waits_for_a_frame() -> None:
    feed = Feed(FakeSource(), Sealer())
    waiting = asyncio.create_task(feed.next_frame())
    await asyncio.sleep(0)
    feed.close()
    assert await waiting is None


@pytest.mark.parametrize("fails", ["source", "transform"])
async def test_a_failure_ends_the_feed_and_is_told(fails: str) -> None:
    def transform(frame: EncodedFrame) -> bytes:
        raise RuntimeError("the sealer is spent")

    camera = FakeSource()
    feed = Feed(camera, transform if fails == "transform" else Sealer())
    camera.say(camera.frame() if fails == "transform" else RuntimeError("the file is broken"))
    assert await sent(feed) is None
    with pytest.raises(RuntimeError):
        await feed.wait_ended()
    assert camera.closed
