"""The reference talk and its judges: a judge that cannot say no is none."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.judges import judge_pictures, judge_sync, judge_tone, tone_of
from tests.support.talk_media import BLACK, SAMPLE_RATE, WHITE, Talk, draw_counter, make_talk, read_counter

SMALL = Talk(width=320, height=180, fps=15, duration_s=4.0)


@pytest.mark.parametrize("name", ["talk.mp4", "talk.webm"])
def test_the_reference_itself_is_without_fault(tmp_path: Path, name: str) -> None:
    talk = make_talk(tmp_path / name, SMALL)
    pictures, sync = judge_pictures(talk, SMALL), judge_sync(talk, SMALL)
    assert pictures.counters == list(range(60))
    assert pictures.fraction_in_order == 1
    assert pictures.mean_error < 2
    assert judge_tone(talk).frequency_hz == pytest.approx(440, abs=1)
    assert sync.flashes == sync.beeps == len(sync.offsets_ms) == 3  # none is seen to begin at 0
    assert abs(sync.worst_ms) < 5


@pytest.mark.parametrize("late_ms", [80, -120])
def test_shifted_sound_is_found(tmp_path: Path, late_ms: int) -> None:
    talk = make_talk(tmp_path / "talk.mp4", Talk(320, 180, 15, 4.0, sound_late_s=late_ms / 1000))
    sync = judge_sync(talk, SMALL)
    assert sync.median_ms == pytest.approx(late_ms, abs=10)
    assert sync.worst_ms == pytest.approx(late_ms, abs=10)


def test_missing_pictures_are_counted(tmp_path: Path) -> None:
    there = [number for number in range(60) if number % 10 != 3]
    verdict = judge_pictures(make_talk(tmp_path / "talk.webm", SMALL, numbers=there), SMALL)
    assert verdict.in_order == 54
    assert verdict.fraction_in_order == pytest.approx(0.9)


def test_repeated_and_swapped_pictures_count_once(tmp_path: Path) -> None:
    numbers = [0, 1, 1, 1, 4, 3, 2, 5]
    verdict = judge_pictures(make_talk(tmp_path / "talk.webm", SMALL, numbers=numbers), SMALL)
    assert verdict.counters == numbers
    assert verdict.in_order == 4  # 0, 1, 4, 5


def test_a_frozen_picture_is_not_a_talk(tmp_path: Path) -> None:
    assert judge_pictures(make_talk(tmp_path / "talk.webm", SMALL, numbers=[7] * 60), SMALL).fraction_in_order < 0.02


def test_only_the_expected_part_counts(tmp_path: Path) -> None:
    talk = make_talk(tmp_path / "talk.webm", SMALL, numbers=range(30))
    assert judge_pictures(talk, SMALL, expected=range(30)).fraction_in_order == 1
    assert judge_pictures(talk, SMALL, expected=range(20, 60)).fraction_in_order == pytest.approx(10 / 40)


def test_another_background_is_an_error(tmp_path: Path) -> None:
    other = make_talk(tmp_path / "talk.webm", Talk(320, 180, 15, 1.0, seed=2))
    assert judge_pictures(other, SMALL).mean_error > 6


def test_noise_is_neither_picture_nor_tone(tmp_path: Path) -> None:
    noise = np.random.default_rng(3)
    with av.open(str(tmp_path / "noise.webm"), "w") as container:
        stream = container.add_stream("libvpx", rate=15)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 320, 180, "yuv420p", 8_000_000
        for number in range(30):
            frame = av.VideoFrame.from_ndarray(noise.integers(0, 256, (270, 320), np.uint8), format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 15)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    verdict = judge_pictures(tmp_path / "noise.webm", SMALL)
    assert verdict.unreadable == 30
    assert verdict.in_order == 0
    assert tone_of(noise.normal(0, 0.3, 2 * SAMPLE_RATE)).share < 0.05


def test_a_wrong_tone_and_silence_are_told() -> None:
    times_s = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    assert tone_of(np.sin(2 * np.pi * 450 * times_s)).frequency_hz == pytest.approx(450, abs=1)
    assert tone_of(np.zeros(2 * SAMPLE_RATE)).share == 0


def test_a_file_without_sound_has_no_sync(tmp_path: Path) -> None:
    silent = Talk(320, 180, 15, 2.0, with_sound=False)
    sync = judge_sync(make_talk(tmp_path / "talk.webm", silent), silent)
    assert (sync.flashes, sync.beeps, sync.offsets_ms) == (1, 0, [])
    assert judge_tone(tmp_path / "talk.webm").share == 0


@given(number=st.integers(0, 65535), seed=st.integers(0, 1000), strength=st.integers(0, 30))
@settings(max_examples=50, deadline=None)
def test_any_counter_is_read_through_coding_noise(number: int, seed: int, strength: int) -> None:
    luma = draw_counter(np.full((180, 320), 128, np.uint8), number)
    noise = np.random.default_rng(seed).integers(-strength, strength + 1, luma.shape)
    assert read_counter(np.clip(luma + noise, 0, 255).astype(np.uint8)) == number


@given(number=st.integers(0, 65535), block=st.integers(0, 23))
@settings(max_examples=50, deadline=None)
def test_one_wrong_block_is_noticed(number: int, block: int) -> None:
    luma = draw_counter(np.full((180, 320), 128, np.uint8), number)
    row, column = divmod(block, 12)
    field = luma[row * 16 : (row + 1) * 16, (2 + column) * 20 : (3 + column) * 20]
    field[:] = BLACK + WHITE - field
    assert read_counter(luma) is None


@pytest.mark.parametrize("level", [BLACK, WHITE, 128])
def test_an_even_picture_has_no_counter(level: int) -> None:
    assert read_counter(np.full((180, 320), level, np.uint8)) is None
