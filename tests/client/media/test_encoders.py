"""VP8 and Opus as we write and read them: keyframes when asked, even sizes, and decoders that survive anything."""

import asyncio
import time
from collections.abc import Callable, Iterator

import av
import numpy as np
import pytest
from av.audio.frame import AudioFrame
from av.video.frame import PictureType
from hypothesis import given, settings
from hypothesis import strategies as st

from hushroom_client.media.decoders import AudioDecoder, VideoDecoder
from hushroom_client.media.encoders import OpusEncoder, Vp8Encoder
from hushroom_client.media.errors import MediaError
from hushroom_client.media.frames import EncodedFrame
from hushroom_client.media.vp8_size import vp8_picture_size
from hushroom_common.ids import Codec
from tests.support.judges import tone_of
from tests.support.talk_media import Talk, video_frame

TALK = Talk(width=320, height=180, fps=30, duration_s=2.0)


def encoded(encoder: Vp8Encoder, numbers: range, talk: Talk = TALK) -> Iterator[EncodedFrame]:
    for number in numbers:
        yield encoder.encode(video_frame(talk.picture(number), number, talk.fps), number * 3000)


def sound(samples: np.ndarray[tuple[int, ...], np.dtype[np.int16]], layout: str = "mono") -> AudioFrame:
    frame = AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout=layout)
    frame.sample_rate = 48_000
    return frame


async def eventually(claim: Callable[[], bool], *, within_s: float = 5.0) -> None:
    deadline = time.monotonic() + within_s
    while not claim():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.005)


def test_the_first_frame_is_a_keyframe_and_the_next_ones_are_not() -> None:
    frames = list(encoded(Vp8Encoder(), range(30)))
    assert [frame.is_keyframe for frame in frames] == [True] + [False] * 29
    assert [frame.timestamp for frame in frames] == [number * 3000 for number in range(30)]
    assert vp8_picture_size(frames[0].data) == (320, 180)
    assert vp8_picture_size(frames[1].data) is None


def test_what_a_decoder_said_of_a_picture_does_not_make_it_a_keyframe() -> None:
    encoder = Vp8Encoder()
    keyframes = 0
    for number in range(10):
        picture = video_frame(TALK.picture(number), number, 30)
        picture.pict_type = PictureType.I
        keyframes += encoder.encode(picture, number * 3000).is_keyframe
    assert keyframes == 1


def test_a_requested_keyframe_comes_next_and_once() -> None:
    encoder = Vp8Encoder()
    list(encoded(encoder, range(5)))
    encoder.request_keyframe()
    encoder.request_keyframe()
    assert [frame.is_keyframe for frame in encoded(encoder, range(5, 10))] == [True, False, False, False, False]


def test_after_a_reset_nothing_before_is_needed() -> None:
    encoder = Vp8Encoder()
    list(encoded(encoder, range(3)))
    encoder.reset()
    after = list(encoded(encoder, range(3, 6)))
    decoder = av.CodecContext.create("libvpx", "r")
    assert after[0].is_keyframe
    assert sum(len(decoder.decode(av.Packet(frame.data))) for frame in after) == 3


def test_another_size_starts_with_a_keyframe_of_that_size() -> None:
    encoder = Vp8Encoder()
    list(encoded(encoder, range(3)))
    (frame,) = encoded(encoder, range(3, 4), Talk(width=160, height=96))
    assert frame.is_keyframe
    assert vp8_picture_size(frame.data) == (160, 96)


def test_a_moving_picture_keeps_within_its_bitrate_and_close_to_the_source() -> None:
    talk = Talk(duration_s=2.0)
    frames = list(encoded(Vp8Encoder(), range(60), talk))
    assert sum(len(frame.data) for frame in frames) * 8 / 2 < 1.3e6
    decoder = av.CodecContext.create("libvpx", "r")
    for number, frame in enumerate(frames):
        (picture,) = decoder.decode(av.Packet(frame.data))
        error = np.abs(picture.to_ndarray()[:360].astype(int) - talk.picture(number)).mean()
        assert error < 6


@pytest.mark.parametrize("channels", [1, 2])
def test_every_opus_packet_has_the_same_size_whatever_is_said(channels: int) -> None:
    encoder = OpusEncoder(channels=channels)
    layout = "mono" if channels == 1 else "stereo"
    noise = np.random.default_rng(1).integers(-20000, 20000, 960 * channels, np.int16)
    tone = (9000 * np.sin(np.arange(960 * channels) / 9)).astype(np.int16)
    silence = np.zeros(960 * channels, np.int16)
    said = [silence] * 30 + [noise] * 10 + [tone] * 10 + [silence] * 30
    frames = [encoder.encode(sound(part, layout), number * 960) for number, part in enumerate(said)]
    assert len({len(frame.data) for frame in frames}) == 1
    assert all(frame.is_keyframe for frame in frames)


def test_sound_of_another_length_is_refused_clearly() -> None:
    with pytest.raises(MediaError, match="Opus encoder refuses 2000 samples"):
        OpusEncoder().encode(sound(np.zeros(2000, np.int16)), 0)


async def test_sound_survives_the_way_through_opus() -> None:
    encoder, decoder = OpusEncoder(), AudioDecoder()
    times = np.arange(48_000)
    samples = (9000 * np.sin(2 * np.pi * 440 * times / 48_000)).astype(np.int16)
    for number in range(50):
        frame = encoder.encode(sound(samples[number * 960 :][:960]), number * 960)
        decoder.push(frame, captured_at=None)
    await eventually(lambda: decoder.frames_decoded == 50)
    decoder.close()
    heard = np.concatenate([decoded.raw.to_ndarray()[0, ::2] async for decoded in decoder.frames()])
    assert tone_of(heard.astype(float)).frequency_hz == pytest.approx(440, abs=2)


async def test_a_decoder_gives_pictures_in_order_with_their_times() -> None:
    decoder = VideoDecoder(request_keyframe=lambda: None)
    for frame in encoded(Vp8Encoder(), range(20)):
        decoder.push(frame, captured_at=100 + frame.timestamp / 90_000)
    await eventually(lambda: decoder.frames_decoded == 20)
    decoder.close()
    pictures = [decoded async for decoded in decoder.frames()]
    assert [picture.timestamp for picture in pictures] == [number * 3000 for number in range(20)]
    assert pictures[10].captured_at == pytest.approx(100 + 1 / 3)


async def test_a_bad_frame_is_counted_asks_for_a_keyframe_and_shows_nothing_until_one_comes() -> None:
    asked: list[bool] = []
    decoder = VideoDecoder(request_keyframe=lambda: asked.append(True))
    first, second, third, *_ = frames = list(encoded(Vp8Encoder(), range(4)))
    decoder.push(first, captured_at=None)
    decoder.push(EncodedFrame(Codec.VP8, b"\x00" * 40, 3000, is_keyframe=True), captured_at=None)
    await eventually(lambda: decoder.frames_failed == 1)
    decoder.push(second, captured_at=None)
    decoder.push(third, captured_at=None)
    assert decoder.frames_dropped == 2
    assert asked
    for frame in frames:
        decoder.push(frame, captured_at=None)
    await eventually(lambda: decoder.frames_decoded == 5)
    decoder.close()


async def test_a_picture_of_absurd_size_is_refused() -> None:
    decoder = VideoDecoder(request_keyframe=lambda: None)
    keyframe = next(encoded(Vp8Encoder(), range(1)))
    huge = keyframe.data[:6] + b"\xff\x3f\xff\x3f" + keyframe.data[10:]
    decoder.push(EncodedFrame(Codec.VP8, huge, 0, is_keyframe=True), captured_at=None)
    await eventually(lambda: decoder.frames_failed == 1)
    decoder.close()


async def test_pictures_that_nobody_reads_do_not_pile_up() -> None:
    decoder = VideoDecoder(request_keyframe=lambda: None)
    small = Talk(width=160, height=96, duration_s=10)
    for count, frame in enumerate(encoded(Vp8Encoder(), range(200), small), start=1):
        decoder.push(frame, captured_at=None)
        await eventually(lambda count=count: decoder.frames_decoded == count)  # type: ignore[misc]  # bound now
    assert decoder.frames_dropped == 140
    decoder.close()
    assert len([picture async for picture in decoder.frames()]) == 60


@given(data=st.binary(max_size=200), codec=st.sampled_from([Codec.VP8, Codec.OPUS, Codec.H264]), key=st.booleans())
@settings(max_examples=60, deadline=None)
def test_any_bytes_decode_or_are_counted(data: bytes, codec: Codec, key: bool) -> None:
    async def run() -> None:
        video, audio = VideoDecoder(request_keyframe=lambda: None), AudioDecoder()
        for decoder in (video, audio):
            decoder.push(EncodedFrame(codec, data, 0, is_keyframe=key), captured_at=None)
            decoder.push(EncodedFrame(codec, data, 1, is_keyframe=key), captured_at=None)
            await eventually(lambda decoder=decoder: not decoder.frames_pending)  # type: ignore[misc]  # bound now
            decoder.close()

    asyncio.run(run())
