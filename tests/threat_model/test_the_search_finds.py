"""The search that every claim rests on: exact at any place, and of what it skips it knows how much."""

import base64
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.threat.canaries import WINDOW, Canaries
from tests.support.threat.tap import Kind, Recorder, read_tap
from tests.support.threat.text_views import views_of

SECRET = bytes(np.random.default_rng(7).integers(0, 256, 400, dtype=np.uint8))


def canaries_of(*secrets: bytes) -> Canaries:
    canaries = Canaries()
    for number, secret in enumerate(secrets):
        canaries.add(f"secret {number}", secret)
    return canaries


@given(start=st.integers(0, len(SECRET) - WINDOW), before=st.binary(max_size=40), after=st.binary(max_size=40))
def test_any_sixteen_bytes_are_found_anywhere(start: int, before: bytes, after: bytes) -> None:
    haystack = before + SECRET[start : start + WINDOW] + after
    found = canaries_of(b"another secret, unrelated", SECRET).find_in(haystack)
    assert found
    assert found[0].name == "secret 1"


@given(start=st.integers(0, len(SECRET) - WINDOW), size=st.integers(0, WINDOW - 1))
def test_fifteen_bytes_are_a_coincidence(start: int, size: int) -> None:
    assert canaries_of(SECRET).find_in(b"~" * 20 + SECRET[start : start + size] + b"~" * 20) == []


@given(st.lists(st.binary(min_size=WINDOW, max_size=60), min_size=1, max_size=6), st.binary(max_size=200), st.data())
def test_the_fast_search_says_what_a_slow_one_says(secrets: list[bytes], noise: bytes, data: st.DataObject) -> None:
    planted = data.draw(st.sampled_from([b"", *secrets]))
    haystack = noise + planted[: data.draw(st.integers(0, 60))]
    canaries = canaries_of(*secrets)
    windows = {secret[i : i + WINDOW] for secret in secrets for i in range(len(secret) - WINDOW + 1)}
    expected = any(window in haystack for window in windows)
    if canaries.coverage.lost_windows == 0:
        assert bool(canaries.find_in(haystack)) == expected
    elif not expected:
        assert canaries.find_in(haystack) == []


@pytest.mark.parametrize("at", [0, 1, 7, (4 << 20) - 16, (4 << 20) - 9, (4 << 20) - 1, 4 << 20, (9 << 20) - 16])
def test_nothing_falls_between_the_pieces_of_a_big_haystack(at: int) -> None:
    haystack = bytearray(9 << 20)
    haystack[at : at + WINDOW] = SECRET[37 : 37 + WINDOW]
    assert canaries_of(SECRET).find_in(bytes(haystack))


def test_what_every_process_is_full_of_is_not_looked_for_and_is_counted() -> None:
    canaries = canaries_of(SECRET[:32] + bytes(64) + SECRET[32:64])
    assert canaries.find_in(bytes(1000)) == []
    assert canaries.coverage.skipped_words == 8
    # Lost is a window whose only whole words are zeros: from the one that begins at 25 to the one at 87.
    assert canaries.coverage.lost_windows == 63
    assert canaries_of(SECRET).coverage.fraction == 1.0


def test_a_secret_too_short_to_be_found_is_refused() -> None:
    with pytest.raises(ValueError, match="a window has 16"):
        Canaries().add("short", b"fifteen bytes!!")


@pytest.mark.parametrize(
    "written",
    [
        SECRET.hex().encode(),
        b"0" + SECRET.hex().upper().encode(),
        base64.b64encode(SECRET),
        base64.urlsafe_b64encode(b"xy" + SECRET),
        base64.encodebytes(SECRET).replace(b"\n", b"\\n"),
        repr(SECRET).encode(),
        json.dumps({"frame": SECRET.decode("latin-1")}).encode(),
        json.dumps(list(SECRET)).encode(),
    ],
    ids=["hex", "odd hex", "base64", "base64url", "base64 lines", "repr", "json", "numbers"],
)
def test_text_that_spells_a_secret_gives_it_away(written: bytes) -> None:
    canaries = canaries_of(SECRET)
    assert any(canaries.find_in(view) for view in views_of(b'{"field": "' + written + b'"}'))


def test_a_tap_gives_back_what_was_written(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "tap")
    packets = [os.urandom(size) for size in (0, 12, 1200)]
    for packet in packets:
        recorder.write(Kind.RTP_IN, 7, packet)
    recorder.write(Kind.LOG, 1 << 63, b"text")
    assert [(one.kind, one.data) for one in read_tap(tmp_path / "tap")] == [
        *((Kind.RTP_IN, packet) for packet in packets),
        (Kind.LOG, b"text"),
    ]
