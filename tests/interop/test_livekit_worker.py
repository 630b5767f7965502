"""LiveKit's unmodified worker opens what we seal, and we open what it seals."""

from collections.abc import Iterator
from itertools import count

import pytest

from hushroom_client.e2ee.outcomes import Opened
from hushroom_client.e2ee.ratchet import Ratchet
from hushroom_common.ids import Codec
from hushroom_common.sealed_frame import parse_trailer
from tests.client.e2ee.people import (
    ADAS_KEY,
    BOS_KEY,
    H264_DELTA,
    H264_KEYFRAME,
    OPUS_FRAME,
    VP8_DELTA,
    VP8_KEYFRAME,
    VP9_FRAME,
    Receiver,
    Sender,
    derive_wanted,
)
from tests.interop import worker as interop
from tests.interop.worker import LiveKitWorker

SSRC = 0x1234_5678
PASSPHRASE = "correct horse"

FRAMES = [
    pytest.param(Codec.VP8, VP8_KEYFRAME, "key", id="VP8 key"),
    pytest.param(Codec.VP8, VP8_DELTA, "delta", id="VP8 delta"),
    pytest.param(Codec.VP9, VP9_FRAME, "key", id="VP9"),
    pytest.param(Codec.H264, H264_KEYFRAME, "key", id="H.264 key"),
    pytest.param(Codec.H264, H264_DELTA, "delta", id="H.264 delta"),
    pytest.param(Codec.OPUS, OPUS_FRAME, None, id="Opus"),
]
KEYS = [pytest.param(PASSPHRASE, id="passphrase"), pytest.param(ADAS_KEY, id="raw key")]


@pytest.fixture
def livekit() -> Iterator[LiveKitWorker]:
    if words := interop.problem():
        pytest.fail(words)
    worker = LiveKitWorker()
    yield worker
    worker.close()


def codec_name(codec: Codec) -> str | None:
    return None if codec is Codec.OPUS else codec.value


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(("codec", "frame", "frame_type"), FRAMES)
def test_livekit_opens_ours_and_we_open_livekits(
    livekit: LiveKitWorker, key: str | bytes, codec: Codec, frame: bytes, frame_type: str | None
) -> None:
    livekit.set_key(key)
    livekit.track("track", codec_name(codec))
    sender, receiver = Sender(key, codec), Receiver(key, codec)
    for number in range(20):
        assert livekit.opens("track", sender.seals(frame), frame_type) == frame
        sealed = livekit.seals("track", frame, frame_type, ssrc=SSRC, timestamp=number * 3000)
        assert sealed != frame
        assert receiver.sees(sealed, now=number / 30) == frame


def test_key_indexes_agree(livekit: LiveKitWorker) -> None:
    livekit.set_key(ADAS_KEY, index=0)
    livekit.set_key(BOS_KEY, index=17)
    livekit.track("track", "vp8")
    assert livekit.opens("track", Sender(ADAS_KEY, index=0).seals(), "delta") == VP8_DELTA
    assert livekit.opens("track", Sender(BOS_KEY, index=1).seals(), "delta") == VP8_DELTA
    sealed = livekit.seals("track", VP8_DELTA, "delta", ssrc=SSRC, timestamp=1)
    assert parse_trailer(sealed).key_index == 1
    assert Receiver(BOS_KEY, index=17).opens(sealed) == Opened(VP8_DELTA, key_index=1, step=0)


@pytest.mark.parametrize("key", KEYS)
def test_livekit_follows_our_ratchet_a_step_at_a_time(livekit: LiveKitWorker, key: str | bytes) -> None:
    livekit.set_key(key)
    livekit.track("track", "vp8")
    sender = Sender(key, ratchet=Ratchet(every_frames=3))
    for _ in range(12):
        assert livekit.opens("track", sender.seals(), "delta") == VP8_DELTA
    assert sender.keys.position == (0, 3)


@pytest.mark.parametrize("key", KEYS)
def test_we_follow_livekits_ratchet_over_lost_steps(livekit: LiveKitWorker, key: str | bytes) -> None:
    livekit.set_key(key)
    livekit.track("track", "vp8")
    receiver = Receiver(key)
    timestamps = count(0, 3000)

    def next_frame() -> bytes:
        return livekit.seals("track", VP8_DELTA, "delta", ssrc=SSRC, timestamp=next(timestamps))

    early = [next_frame() for _ in range(3)]
    assert isinstance(receiver.opens(early[0]), Opened)
    livekit.ratchet()
    assert receiver.opens(next_frame()) == Opened(VP8_DELTA, 0, step=1)
    assert receiver.opens(early[1]) == Opened(VP8_DELTA, 0, step=0)
    derive_wanted(receiver.ring)
    for _ in range(4):
        livekit.ratchet()
    assert receiver.opens(next_frame()) == Opened(VP8_DELTA, 0, step=5)


def test_livekit_without_an_ssrc_and_with_equal_timestamps_is_opened(livekit: LiveKitWorker) -> None:
    """The worker writes ffffffff where the browser names no SSRC."""
    livekit.set_key(PASSPHRASE)
    livekit.track("track", "vp8")
    receiver = Receiver(PASSPHRASE)
    for _ in range(5):
        sealed = livekit.seals("track", VP8_DELTA, "delta", ssrc=None, timestamp=90_000)
        assert parse_trailer(sealed).iv[:4] == b"\xff\xff\xff\xff"
        assert receiver.sees(sealed) == VP8_DELTA


def test_livekit_drops_what_we_seal_under_another_key(livekit: LiveKitWorker) -> None:
    livekit.set_key(ADAS_KEY)
    livekit.track("track", "vp8")
    assert livekit.opens("track", Sender(BOS_KEY).seals(), "delta") is None


def test_short_start_codes_are_written_as_livekit_writes_them(livekit: LiveKitWorker) -> None:
    livekit.set_key(ADAS_KEY)
    livekit.track("track", "h264")
    short = H264_KEYFRAME.replace(b"\0\0\0\1", b"\0\0\1")
    assert livekit.opens("track", Sender(codec=Codec.H264).seals(short), "key") == H264_KEYFRAME
    sealed = livekit.seals("track", short, "key", ssrc=SSRC, timestamp=0)
    assert Receiver(codec=Codec.H264).sees(sealed) == H264_KEYFRAME
