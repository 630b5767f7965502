"""Recordings: in sync, from a keyframe on, playable whatever happened to the tracks, the process or the disk."""

import asyncio
import os
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import av
import numpy as np
import pytest
from av.audio.frame import AudioFrame
from hypothesis import given, settings
from hypothesis import strategies as st

from hushroom_client.media.ebml import size
from hushroom_client.media.encoders import OpusEncoder, Vp8Encoder
from hushroom_client.media.errors import MediaError
from hushroom_client.media.frames import EncodedFrame, FrameSink
from hushroom_client.media.recorder import Recorder
from hushroom_client.media.recording_time import FileTime
from hushroom_common.ids import Codec, Source
from tests.support.judges import judge_pictures, judge_sync, judge_tone
from tests.support.talk_media import Talk, video_frame

TALK = Talk(width=320, height=180, fps=30, duration_s=4.0)
NTP_S = 3_900_000_000.0
"""A sender's clock, as large as NTP makes it."""

CAMERA, MICROPHONE = Source.CAMERA, Source.MICROPHONE


@cache
def pictures(talk: Talk = TALK) -> list[EncodedFrame]:
    """The talk's pictures in VP8, a keyframe each second."""
    encoder, frames = Vp8Encoder(), []
    for number in range(talk.pictures):
        if number % talk.fps == 0:
            encoder.request_keyframe()
        frames.append(encoder.encode(video_frame(talk.picture(number), number, talk.fps), number * 90_000 // talk.fps))
    return frames


@cache
def sounds(talk: Talk = TALK) -> list[EncodedFrame]:
    """The talk's sound in Opus."""
    encoder, frames = OpusEncoder(), []
    samples = (talk.samples() * 32767).astype(np.int16)
    for start in range(0, len(samples), 960):
        piece = AudioFrame.from_ndarray(samples[None, start : start + 960], format="s16", layout="mono")
        piece.sample_rate = 48_000
        frames.append(encoder.encode(piece, start))
    return frames


def time_s(frame: EncodedFrame) -> float:
    return frame.timestamp / frame.codec.clock_rate


@dataclass
class Meeting:
    """Pushes frames of several tracks in the order of their times, on a clock of its own."""

    recorder: Recorder
    now_s: list[float] = field(default_factory=lambda: [50.0])

    @classmethod
    def recorded_in(cls, directory: Path) -> "Meeting":
        now_s = [50.0]
        return cls(Recorder(directory / "ada.webm", now=lambda: now_s[0]), now_s)

    def plays(self, *tracks: tuple[FrameSink, list[EncodedFrame]], ntp_s: float | None = NTP_S) -> None:
        timed = [(time_s(frame), index, frame) for index, (_, frames) in enumerate(tracks) for frame in frames]
        for at_s, index, frame in sorted(timed, key=lambda item: item[:2]):
            self.now_s[0] = 50 + at_s
            tracks[index][0].push(frame, captured_at=None if ntp_s is None else ntp_s + at_s)

    async def file(self) -> Path:
        await self.recorder.close()
        assert self.recorder.failure is None
        return self.recorder.path


def decoded(path: Path, kind: str) -> list[float]:
    """The times of all frames of one kind; every one must decode."""
    with av.open(str(path)) as container:
        frames = container.decode(video=0) if kind == "video" else container.decode(audio=0)
        return [float(frame.time or 0) for frame in frames]


def is_whole(path: Path, talk: Talk = TALK, *, within_ms: float = 5) -> None:
    verdict, sync = judge_pictures(path, talk), judge_sync(path, talk)
    assert verdict.fraction_in_order == 1
    assert verdict.mean_error < 6
    assert judge_tone(path).frequency_hz == pytest.approx(440, abs=2)
    assert len(sync.offsets_ms) == talk.duration_s - 1
    assert abs(sync.worst_ms) <= within_ms


async def test_sound_and_picture_are_whole_and_in_sync(tmp_path: Path) -> None:
    meeting = Meeting.recorded_in(tmp_path)
    camera, microphone = meeting.recorder.track(CAMERA, Codec.VP8), meeting.recorder.track(MICROPHONE, Codec.OPUS)
    meeting.plays((camera, pictures()), (microphone, sounds()))
    is_whole(path := await meeting.file())
    with av.open(str(path)) as container:
        assert container.duration == pytest.approx(4e6, rel=0.02)
        assert [stream.codec_context.name for stream in container.streams] == ["vp8", "opus"]


async def test_players_can_seek_in_a_finished_recording(tmp_path: Path) -> None:
    meeting = Meeting.recorded_in(tmp_path)
    meeting.plays((meeting.recorder.track(CAMERA, Codec.VP8), pictures()))
    with av.open(str(await meeting.file())) as container:
        container.seek(2_100_000)
        assert next(container.decode(video=0)).time == pytest.approx(2.0, abs=0.01)


@pytest.mark.parametrize("first_is_late", [True, False])
async def test_a_track_may_join_later(tmp_path: Path, first_is_late: bool) -> None:
    meeting = Meeting.recorded_in(tmp_path)
    camera, microphone = meeting.recorder.track(CAMERA, Codec.VP8), meeting.recorder.track(MICROPHONE, Codec.OPUS)
    seen, heard = (pictures()[60:], sounds()) if first_is_late else (pictures(), sounds()[100:])
    meeting.plays((camera, seen), (microphone, heard))
    path = await meeting.file()
    sync = judge_sync(path, TALK)
    assert abs(sync.worst_ms) < 5
    assert len(sync.offsets_ms) >= 1
    assert len(decoded(path, "video")) == len(seen)
    assert len(decoded(path, "audio")) == len(heard)


async def test_a_recording_starts_at_a_keyframe(tmp_path: Path) -> None:
    meeting = Meeting.recorded_in(tmp_path)
    meeting.plays((meeting.recorder.track(CAMERA, Codec.VP8), pictures()[17:60]))
    assert judge_pictures(await meeting.file(), TALK).counters == list(range(30, 60))


async def test_a_pause_stays_a_pause(tmp_path: Path) -> None:
    meeting = Meeting.recorded_in(tmp_path)
    camera, microphone = meeting.recorder.track(CAMERA, Codec.VP8), meeting.recorder.track(MICROPHONE, Codec.OPUS)
    meeting.plays((camera, pictures()[:30] + pictures()[90:]), (microphone, sounds()[:50] + sounds()[150:]))
    path = await meeting.file()
    assert judge_pictures(path, TALK).longest_pause_s == pytest.approx(2.0, abs=0.05)
    assert max(np.diff(decoded(path, "audio"))) == pytest.approx(2.0, abs=0.05)
    assert abs(judge_sync(path, TALK).worst_ms) < 5


async def test_a_new_publication_continues_the_track_and_needs_a_keyframe(tmp_path: Path) -> None:
    meeting = Meeting.recorded_in(tmp_path)
    first = meeting.recorder.track(CAMERA, Codec.VP8)
    meeting.plays((first, pictures()[:30]))
    first.close()
    second = meeting.recorder.track(CAMERA, Codec.VP8)
    for frame in pictures()[50:]:
        meeting.now_s[0] = 50 + time_s(frame)
        elsewhere = replace(frame, timestamp=frame.timestamp + 7_000_000)  # another sender, another RTP origin
        second.push(elsewhere, captured_at=NTP_S + time_s(frame))
        first.push(frame, captured_at=NTP_S + time_s(frame))  # a latecomer of a track that ended
    verdict = judge_pictures(path := await meeting.file(), TALK)
    assert verdict.counters == [*range(30), *range(60, 120)]
    assert decoded(path, "video")[-1] == pytest.approx(119 / 30, abs=0.005)
    with av.open(str(path)) as container:
        assert len(container.streams) == 1


async def test_camera_and_screen_are_tracks_of_their_own(tmp_path: Path) -> None:
    meeting = Meeting.recorded_in(tmp_path)
    camera, screen = meeting.recorder.track(CAMERA, Codec.VP8), meeting.recorder.track(Source.SCREEN, Codec.VP8)
    meeting.plays((camera, pictures()), (screen, pictures()[30:]))
    with av.open(str(await meeting.file())) as container:
        assert [stream.metadata["title"] for stream in container.streams] == ["camera", "screen"]
        assert sum(1 for _ in container.decode(video=1)) == 90


async def test_the_picture_may_change_its_size(tmp_path: Path) -> None:
    meeting = Meeting.recorded_in(tmp_path)
    small = [replace(frame, timestamp=frame.timestamp + 180_000) for frame in pictures(Talk(160, 96, 30, 1.0))]
    meeting.plays((meeting.recorder.track(CAMERA, Codec.VP8), pictures()[:60] + small))
    with av.open(str(await meeting.file())) as container:
        sizes = [(frame.width, frame.height) for frame in container.decode(video=0)]
    assert sizes == [(320, 180)] * 60 + [(160, 96)] * 30


async def test_frames_from_before_the_first_sender_report_fall_into_place(tmp_path: Path) -> None:
    meeting = Meeting.recorded_in(tmp_path)
    camera, microphone = meeting.recorder.track(CAMERA, Codec.VP8), meeting.recorder.track(MICROPHONE, Codec.OPUS)
    meeting.plays((camera, pictures()[:20]), (microphone, sounds()[:10]), ntp_s=None)
    meeting.plays((camera, pictures()[20:]), (microphone, sounds()[10:]))
    is_whole(await meeting.file())


async def test_without_any_sender_report_the_time_of_arrival_does(tmp_path: Path) -> None:
    meeting = Meeting.recorded_in(tmp_path)
    camera, microphone = meeting.recorder.track(CAMERA, Codec.VP8), meeting.recorder.track(MICROPHONE, Codec.OPUS)
    meeting.plays((camera, pictures()), (microphone, sounds()), ntp_s=None)
    is_whole(await meeting.file(), within_ms=40)


async def test_reports_that_waver_leave_the_sound_even(tmp_path: Path) -> None:
    meeting = Meeting.recorded_in(tmp_path)
    microphone = meeting.recorder.track(MICROPHONE, Codec.OPUS)
    wavering = np.random.default_rng(1).uniform(-0.004, 0.004, 200)
    for frame, error_s in zip(sounds(), wavering, strict=True):
        meeting.now_s[0] = 50 + time_s(frame)
        microphone.push(frame, captured_at=NTP_S + time_s(frame) + error_s)
    steps_s = np.diff(decoded(await meeting.file(), "audio"))[1:]
    assert steps_s.min() >= 0.0185
    assert steps_s.max() <= 0.0215


@pytest.mark.parametrize("jump_s", [1e9, -1e9, 3600.0, -3600.0])
async def test_a_lying_clock_cannot_stretch_the_recording(tmp_path: Path, jump_s: float) -> None:
    meeting = Meeting.recorded_in(tmp_path)
    camera, microphone = meeting.recorder.track(CAMERA, Codec.VP8), meeting.recorder.track(MICROPHONE, Codec.OPUS)
    meeting.plays((camera, pictures()[:60]), (microphone, sounds()[:100]))
    meeting.plays((camera, pictures()[60:]), (microphone, sounds()[100:]), ntp_s=NTP_S + jump_s)
    is_whole(await meeting.file(), within_ms=40)


KILLED = """
    import asyncio, os, signal, sys
    from pathlib import Path
    from tests.client.media.test_recorder import CAMERA, MICROPHONE, Codec, Meeting, pictures, sounds

    async def main():
        meeting = Meeting.recorded_in(Path(sys.argv[1]))
        camera, microphone = meeting.recorder.track(CAMERA, Codec.VP8), meeting.recorder.track(MICROPHONE, Codec.OPUS)
        meeting.plays((camera, pictures()), (microphone, sounds()))
        three_seconds = sum(len(frame.data) for frame in pictures()[:90] + sounds()[:150])
        while meeting.recorder.path.stat().st_size < three_seconds:
            await asyncio.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)

    asyncio.run(main())
"""


def test_after_a_kill_the_file_plays_up_to_the_last_second(tmp_path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path)]
    ended = subprocess.run(command, cwd=Path(__file__).parents[3], timeout=60, check=False)
    assert ended.returncode == -signal.SIGKILL
    verdict = judge_pictures(tmp_path / "ada.webm", TALK)
    assert verdict.counters == list(range(len(verdict.counters)))
    assert len(verdict.counters) >= TALK.pictures - 31
    sync = judge_sync(tmp_path / "ada.webm", TALK)
    assert len(sync.offsets_ms) == 2
    assert abs(sync.worst_ms) < 5


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """What a full disk looks like to this process: writing beyond fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def ends_with_a_whole_cluster(path: Path) -> bool:
    """Walks over the file's clusters (RFC 9559 §5.1): an id of four bytes, a size, as many bytes."""
    data = path.read_bytes()
    at = data.index(b"\x1f\x43\xb6\x75")
    while data[at : at + 4] == b"\x1f\x43\xb6\x75":
        width = 9 - data[at + 4].bit_length()
        length = int.from_bytes(data[at + 4 : at + 4 + width], "big") - (1 << 7 * width)
        at += 4 + width + length
    return at == len(data)


async def test_a_full_disk_is_told_once_and_the_file_plays_up_to_there(tmp_path: Path) -> None:
    failures: list[MediaError] = []
    recorder = await Recorder.create(tmp_path, "ada", on_failure=failures.append)
    camera = recorder.track(CAMERA, Codec.VP8)
    with files_of_at_most(150_000):
        for frame in pictures():
            camera.push(frame, captured_at=NTP_S + time_s(frame))
            await asyncio.sleep(0)
        await recorder.close()
    assert [str(failure) for failure in failures] == [str(recorder.failure)]
    assert "cannot write" in str(failures[0])
    assert "too large" in str(failures[0])
    assert recorder.path.stat().st_size <= 150_000
    assert ends_with_a_whole_cluster(recorder.path)
    counters = judge_pictures(recorder.path, TALK).counters
    assert counters == list(range(len(counters)))
    assert len(counters) >= 30


async def test_a_folder_that_vanishes_is_noticed(tmp_path: Path) -> None:
    recorder = await Recorder.create(tmp_path / "out", "ada")
    shutil.rmtree(tmp_path / "out")
    camera = recorder.track(CAMERA, Codec.VP8)
    for frame in pictures():
        camera.push(frame, captured_at=NTP_S + time_s(frame))
    await recorder.close()
    assert "the file or its folder was removed" in str(recorder.failure)


async def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(MediaError, match="name a folder that can be written to"):
        await Recorder.create(tmp_path / "file", "ada")


@pytest.mark.parametrize(
    ("participant", "name"),
    [
        ("ada", "ada.webm"),
        ("../../etc/ada", "_.._etc_ada.webm"),
        ("Ada Løve", "Ada_Løve.webm"),
        ("..", "participant.webm"),
        ("\U00010348" * 64, "\U00010348" * 50 + ".webm"),
    ],
)
async def test_names_become_files_inside_the_folder(tmp_path: Path, participant: str, name: str) -> None:
    recorder = await Recorder.create(tmp_path / "out", participant)
    assert recorder.path == tmp_path / "out" / name
    await recorder.close()


async def test_an_earlier_recording_is_never_overwritten(tmp_path: Path) -> None:
    paths = []
    for _ in range(2):
        recorder = await Recorder.create(tmp_path, "ada")
        recorder.track(CAMERA, Codec.VP8).push(pictures()[0], captured_at=NTP_S)
        await recorder.close()
        paths.append(recorder.path.name)
    assert paths == ["ada.webm", "ada-2.webm"]


async def test_who_sends_nothing_leaves_no_file(tmp_path: Path) -> None:
    recorder = await Recorder.create(tmp_path, "ada")
    recorder.track(CAMERA, Codec.VP8)
    await recorder.close()
    await recorder.close()
    assert os.listdir(tmp_path) == []


async def test_other_codecs_are_refused_clearly(tmp_path: Path) -> None:
    recorder = await Recorder.create(tmp_path, "ada")
    with pytest.raises(MediaError, match="cannot record h264: only vp8 and opus"):
        recorder.track(CAMERA, Codec.H264)
    await recorder.close()


@given(st.lists(st.tuples(st.floats(-1e12, 1e12), st.floats(0, 30)), min_size=1, max_size=30))
def test_whatever_the_sender_claims_the_file_keeps_local_time(told: list[tuple[float, float]]) -> None:
    file_time, elapsed_s = FileTime(), 0.0
    for captured_at, passed_s in told:
        elapsed_s += passed_s
        first_passed_s = told[0][1]
        assert abs(file_time.at(captured_at, 50 + elapsed_s) - (elapsed_s - first_passed_s)) <= 5.001


@given(
    st.lists(
        st.tuples(
            st.integers(-(2**40), 2**40),
            st.one_of(st.none(), st.floats(-1e12, 1e12)),
            st.binary(max_size=40),
            st.booleans(),
        ),
        max_size=40,
    )
)
@settings(max_examples=30, deadline=None)
def test_any_frames_make_a_file_of_whole_clusters(
    tmp_path_factory: pytest.TempPathFactory, frames: list[tuple[int, float | None, bytes, bool]]
) -> None:
    async def run(folder: Path) -> Recorder:
        meeting = Meeting.recorded_in(folder)
        sinks = {
            Codec.VP8: meeting.recorder.track(CAMERA, Codec.VP8),
            Codec.OPUS: meeting.recorder.track(MICROPHONE, Codec.OPUS),
        }
        for timestamp, captured_at, data, is_picture in frames:
            codec = Codec.VP8 if is_picture else Codec.OPUS
            sinks[codec].push(EncodedFrame(codec, data, timestamp, is_keyframe=True), captured_at=captured_at)
        await meeting.recorder.close()
        return meeting.recorder

    recorder = asyncio.run(run(tmp_path_factory.mktemp("any")))
    assert recorder.failure is None
    assert recorder.frames_written == 0 or b"\x1c\x53\xbb\x6b" in recorder.path.read_bytes()


@given(st.integers(0, 2**49))
def test_sizes_are_written_in_the_fewest_bytes_and_never_as_unknown(value: int) -> None:
    written = size(value)
    width = len(written)
    assert int.from_bytes(written, "big") == 1 << 7 * width | value
    assert value != (1 << 7 * width) - 1
    assert width == 1 or value >= (1 << 7 * (width - 1)) - 1
