"""What a participant publishes: files and test patterns, in real time, in sync, with errors that help."""

import asyncio
import os
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import cast

import pytest
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame
from hypothesis import given, settings
from hypothesis import strategies as st

from hushroom_client.media.audio_file import AudioFileReader
from hushroom_client.media.clock import MediaClock
from hushroom_client.media.encoders import Vp8Encoder
from hushroom_client.media.errors import MediaError
from hushroom_client.media.frames import EncodedFrame, FrameSource
from hushroom_client.media.paced_source import PacedSource
from hushroom_client.media.recorder import Recorder
from hushroom_client.media.sources import Audio, Video
from hushroom_client.media.test_pattern import TestPatternReader
from hushroom_client.media.video_file import VideoFileReader
from hushroom_common.ids import Codec, Kind, Source
from tests.support.judges import beep_onsets, judge_pictures, judge_sync, judge_tone
from tests.support.talk_media import Talk, make_talk

TALK = Talk(duration_s=3.0)
SMALL = Talk(width=160, height=96, fps=15, duration_s=1.0)


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_talk(tmp_path_factory.mktemp("talk") / "talk.mp4", TALK)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_talk(tmp_path_factory.mktemp("small") / "small.webm", SMALL)


async def take(source: FrameSource, count: int) -> list[EncodedFrame]:
    frames: list[EncodedFrame] = []
    async for frame in source.frames():
        frames.append(frame)
        if len(frames) == count:
            source.close()
    return frames


async def record(recorder: Recorder, source: FrameSource, track: Source) -> None:
    sink = recorder.track(track, source.codec)
    async for frame in source.frames():
        sink.push(frame, captured_at=1000 + frame.timestamp / frame.codec.clock_rate)


async def test_a_published_file_is_whole_good_and_in_sync(talk: Path, tmp_path: Path) -> None:
    clock, recorder = MediaClock(), await Recorder.create(tmp_path, "ada")
    camera, microphone = await Video.file(talk).open(clock), await Audio.file(talk).open(clock)
    began_s = time.monotonic()
    await asyncio.gather(record(recorder, camera, Source.CAMERA), record(recorder, microphone, Source.MICROPHONE))
    assert time.monotonic() - began_s == pytest.approx(3.0, abs=0.5)
    await recorder.close()
    pictures, sync = judge_pictures(recorder.path, TALK), judge_sync(recorder.path, TALK)
    assert pictures.fraction_in_order >= 0.97
    assert pictures.mean_error <= 6
    assert judge_tone(recorder.path).frequency_hz == pytest.approx(440, abs=5)
    assert len(sync.offsets_ms) == 2
    assert abs(sync.worst_ms) < 10


async def test_who_starts_later_joins_the_programme_where_it_is(talk: Path, tmp_path: Path) -> None:
    clock, recorder = MediaClock(), await Recorder.create(tmp_path, "ada")
    camera, microphone = await Video.file(talk).open(clock), await Audio.file(talk).open(clock)

    async def later() -> None:
        await asyncio.sleep(0.6)  # the delay is the matter of this test
        await record(recorder, microphone, Source.MICROPHONE)

    await asyncio.gather(record(recorder, camera, Source.CAMERA), later())
    await recorder.close()
    sync = judge_sync(recorder.path, TALK)
    assert len(sync.offsets_ms) == 2
    assert abs(sync.worst_ms) < 10


async def test_once_all_are_done_a_file_starts_anew(small: Path) -> None:
    clock = MediaClock()
    first = await take(await Video.file(small).open(clock), 99)
    second = await take(await Video.file(small).open(clock), 99)
    assert len(first) == len(second) == 15
    assert second[0].timestamp > first[-1].timestamp


async def test_frames_come_when_they_are_due(small: Path) -> None:
    clock = MediaClock()
    late_s = []
    async for frame in (await Audio.file(small).open(clock)).frames():
        late_s.append(clock.now_s() - frame.timestamp / 48_000)
    assert len(late_s) >= 49
    assert min(late_s) >= -0.001
    assert sorted(late_s)[len(late_s) // 2] < 0.05


async def test_a_busy_machine_costs_no_frames_as_long_as_there_is_time_for_each() -> None:
    is_over = False

    def dawdle() -> None:
        """Every turn of the event loop takes 20 ms, of the 67 between two pictures."""
        time.sleep(0.02)
        if not is_over:
            asyncio.get_running_loop().call_soon(dawdle)

    source = cast(PacedSource[VideoFrame], await Video.test_pattern(64, 64, 15).open(MediaClock()))
    dawdle()
    try:
        await take(source, 40)
    finally:
        is_over = True
    assert source.frames_dropped_late == 0


async def test_who_has_fallen_behind_catches_up_at_once() -> None:
    source = cast(PacedSource[AudioFrame], await Audio.test_tone().open(MediaClock()))
    timestamps = []
    async for frame in source.frames():
        timestamps.append(frame.timestamp)
        if len(timestamps) == 10:
            time.sleep(1.0)  # noqa: ASYNC251 (the whole process stands still, as on a machine that slept)
        if len(timestamps) == 12:
            source.close()
    (missed,) = {after - before for before, after in pairwise(timestamps)} - {960}
    assert 0.7 < missed / 48_000 < 1.1
    assert source.frames_dropped_late == missed // 960 - 1


async def test_a_loop_goes_on_in_sync(small: Path) -> None:
    clock = MediaClock()
    camera, microphone = await Video.file(small, loop=True).open(clock), await Audio.file(small, loop=True).open(clock)
    seen, heard = await asyncio.gather(take(camera, 25), take(microphone, 80))
    steps = {after.timestamp - before.timestamp for before, after in pairwise(seen)}
    assert len(seen) == 25
    assert max(steps) <= 2 * 6000 + 900  # a picture each 1/15 s; a round may end with a part of one
    assert len(heard) == 80
    assert abs(seen[24].timestamp / 90_000 - heard[79].timestamp / 48_000) < 0.2


async def test_a_keyframe_comes_soon_after_it_is_asked_for() -> None:
    source = await Video.test_pattern(160, 96, 30).open(MediaClock())
    frames: list[EncodedFrame] = []
    async for frame in source.frames():
        frames.append(frame)
        if len(frames) == 10:
            source.request_keyframe()
        if len(frames) == 15:
            source.close()
    assert [index for index, frame in enumerate(frames) if frame.is_keyframe] == [0, 10]


async def test_flash_and_beep_of_the_test_pattern_come_together(tmp_path: Path) -> None:
    clock, recorder = MediaClock(), await Recorder.create(tmp_path, "ada")
    camera, microphone = await Video.test_pattern(320, 180, 30).open(clock), await Audio.test_tone().open(clock)
    assert (camera.codec, microphone.codec) == (Codec.VP8, Codec.OPUS)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        tasks.create_task(record(recorder, camera, Source.CAMERA))
        tasks.create_task(record(recorder, microphone, Source.MICROPHONE))
        await asyncio.sleep(2.4)  # the length of the recording
        camera.close()
        microphone.close()
    await recorder.close()

    class Pattern(Talk):
        @property
        def flash_field(self) -> tuple[slice, slice]:
            return slice(80, 100), slice(140, 180)

    sync = judge_sync(recorder.path, Pattern())
    assert sync.flashes == sync.beeps == 2
    assert abs(sync.worst_ms) < 10
    assert judge_tone(recorder.path).frequency_hz == pytest.approx(440, abs=2)


async def test_pictures_that_are_too_late_are_dropped_and_counted() -> None:
    class BusyEncoder(Vp8Encoder):
        def encode(self, raw: VideoFrame, timestamp: int) -> EncodedFrame:
            time.sleep(0.15)  # a machine that is too slow for 30 pictures a second
            return super().encode(raw, timestamp)

    clock = MediaClock()
    source = PacedSource(TestPatternReader(160, 96, 30), BusyEncoder(), clock=clock, programme="busy")
    frames = await take(source, 10)
    assert source.frames_dropped_late > 15
    lags_s = clock.now_s() - frames[-1].timestamp / 90_000
    assert lags_s < 0.7
    assert [frame.is_keyframe for frame in frames] == [True] + [False] * 9


async def test_closing_ends_the_frames_at_once_and_lets_go_of_the_file(small: Path) -> None:
    open_before = set(os.listdir("/proc/self/fd"))
    source = await Video.file(small, loop=True).open(MediaClock())
    frames = source.frames()
    await anext(aiter(frames))
    source.close()
    source.close()
    assert [frame async for frame in frames] == []
    deadline = time.monotonic() + 5
    while set(os.listdir("/proc/self/fd")) - open_before:
        assert time.monotonic() < deadline, "the file stayed open"
        await asyncio.sleep(0.01)


async def test_a_source_closed_before_its_first_frame_gives_none(small: Path) -> None:
    source = await Audio.file(small).open(MediaClock())
    source.close()
    assert await take(source, 5) == []


async def test_cancelling_the_reader_closes_the_source(small: Path) -> None:
    source = await Video.file(small, loop=True).open(MediaClock())
    task = asyncio.create_task(take(source, 1000))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await take(source, 5) == []


async def test_high_pictures_are_scaled_down(tmp_path: Path) -> None:
    tall = make_talk(tmp_path / "tall.mp4", Talk(320, 240, 15, 0.2, with_sound=False))
    source = await Video.file(tall, max_height=120).open(MediaClock())
    (frame,) = await take(source, 1)
    assert (frame.data[6] | frame.data[7] << 8, frame.data[8] | frame.data[9] << 8) == (160, 120)


def error_files(folder: Path) -> Iterator[tuple[Video | Audio, str]]:
    (folder / "notes.mp4").write_text("not a film")
    silent = make_talk(folder / "silent.webm", Talk(160, 96, 15, 0.2, with_sound=False))
    yield Video.file(folder / "talk.mp4"), "no such file; name a video or sound file, such as talk.mp4"
    yield Audio.file(folder / "talk.mp4"), "no such file"
    yield Video.file(folder), "it is a folder"
    yield Video.file(folder / "notes.mp4"), "not a media file; .mp4, .webm"
    yield Audio.file(silent), "it has no sound; its picture can be published with Video.file"
    strange = folder / "strange.webm"
    strange.write_bytes(silent.read_bytes().replace(b"V_VP8", b"V_XP8"))
    yield Video.file(strange), "its video codec is not known here; a converted copy will do: ffmpeg -i strange.webm"
    yield Video.file("http://127.0.0.1:9/talk.mp4"), "no such file"


async def test_what_cannot_be_published_says_what_can(tmp_path: Path) -> None:
    for description, words in error_files(tmp_path):
        with pytest.raises(MediaError) as refusal:
            await description.open(MediaClock())
        assert words in str(refusal.value)
        assert str(refusal.value).startswith("cannot publish ")
        assert "\n" not in str(refusal.value)


def test_a_description_is_cheap_and_says_what_it_is() -> None:
    assert repr(Video.file("no/such.mp4")) == "Video.file('no/such.mp4')"
    assert Video.file("x").kind is Kind.VIDEO
    assert Audio.test_tone().kind is Kind.AUDIO
    with pytest.raises(ValueError, match="even sizes such as 640x360"):
        Video.test_pattern(641, 360, 30)
    with pytest.raises(ValueError, match="1 to 60"):
        Video.test_pattern(640, 360, 0)


async def test_a_file_that_breaks_off_ends_there(talk: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.webm"
    whole = make_talk(tmp_path / "whole.webm", SMALL).read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
    frames = await take(await Video.file(broken).open(MediaClock()), 99)
    assert 1 <= len(frames) < 15


@given(
    data=st.binary(max_size=300), flips=st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 255)), max_size=20)
)
@settings(max_examples=40, deadline=None)
def test_any_file_plays_or_raises_media_error(
    small: Path, tmp_path_factory: pytest.TempPathFactory, data: bytes, flips: list[tuple[int, int]]
) -> None:
    damaged = bytearray(small.read_bytes())
    for at, value in flips:
        damaged[at % len(damaged)] = value
    folder = tmp_path_factory.mktemp("any")
    (folder / "bytes").write_bytes(data)
    (folder / "damaged").write_bytes(damaged)

    for name in ("bytes", "damaged"):
        for reader in (VideoFileReader, AudioFileReader):
            try:
                opened = reader(folder / name)
                times_s = [read[0] for _ in range(100) if (read := opened.read()) is not None]
                opened.close()
            except MediaError:
                continue
            assert times_s == sorted(times_s)


def test_beeps_are_only_heard_where_they_are() -> None:
    assert beep_onsets(Talk(duration_s=3).samples(), 0.0) == pytest.approx([1.0, 2.0], abs=0.002)
