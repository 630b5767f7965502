"""What stays clear, codec by codec, and that any bytes are split or refused."""

import re
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hushroom_client.e2ee import annex_b
from hushroom_client.e2ee.clear_prefix import MAX_CLEAR_BYTES, split_frame, split_sealed
from hushroom_common.errors import WireError
from hushroom_common.ids import Codec
from tests.client.e2ee.people import H264_DELTA, H264_KEYFRAME, H264_SPS_PPS, OPUS_FRAME, VP8_DELTA, VP8_KEYFRAME

SEI = bytes.fromhex("00000001 0605 04 deadbeef 80")
DELIMITER = bytes.fromhex("00000001 0910")


@pytest.mark.parametrize(
    ("codec", "frame", "clear_bytes"),
    [
        (Codec.OPUS, OPUS_FRAME, 1),
        (Codec.VP8, VP8_KEYFRAME, 10),
        (Codec.VP8, VP8_DELTA, 3),
        (Codec.VP9, VP8_DELTA, 0),
        (Codec.H264, H264_KEYFRAME, len(H264_SPS_PPS) + 4 + 2),
        (Codec.H264, H264_DELTA, 4 + 2),
    ],
)
def test_clear_bytes(codec: Codec, frame: bytes, clear_bytes: int) -> None:
    assert split_frame(frame, codec) == (frame[:clear_bytes], frame[clear_bytes:])


@pytest.mark.parametrize(
    ("codec", "frame"),
    [
        (Codec.OPUS, b""),
        (Codec.VP8, b""),
        (Codec.VP8, VP8_KEYFRAME[:9]),
        (Codec.VP8, VP8_DELTA[:2]),
        (Codec.VP9, b""),
        (Codec.H264, b""),
        (Codec.H264, H264_SPS_PPS),
        (Codec.H264, b"\x65" + H264_KEYFRAME),
        (Codec.H264, SEI + DELIMITER),
        (Codec.H264, H264_SPS_PPS + b"\0\0\0\1\x65" + H264_DELTA),
        (Codec.AV1, b"\x12\x00"),
    ],
)
def test_what_is_no_frame_of_its_codec_is_refused(codec: Codec, frame: bytes) -> None:
    with pytest.raises(WireError):
        split_frame(frame, codec)


def test_sei_and_delimiters_are_stripped_wherever_they_stand() -> None:
    second_slice = bytes.fromhex("000001 65 7e 01 02 03")
    frame = DELIMITER + H264_SPS_PPS + SEI + H264_KEYFRAME[len(H264_SPS_PPS) :] + SEI + second_slice + SEI
    clear, body = split_frame(frame, Codec.H264)
    assert clear + body == H264_KEYFRAME + second_slice


def test_start_codes_before_the_slice_get_four_bytes() -> None:
    short = H264_KEYFRAME.replace(b"\0\0\0\1", b"\0\0\1")
    assert split_frame(short, Codec.H264) == split_frame(H264_KEYFRAME, Codec.H264)


def test_a_clear_part_that_native_livekit_cannot_count_is_refused() -> None:
    def keyframe(sps_bytes: int) -> bytes:
        return b"\0\0\0\1\x67" + b"\x55" * (sps_bytes - 1) + b"\0\0\0\1\x65\x88" + bytes(range(1, 40))

    longest = MAX_CLEAR_BYTES - 4 - 4 - 2
    assert len(split_frame(keyframe(longest), Codec.H264).clear) == 255
    with pytest.raises(WireError):
        split_frame(keyframe(longest + 1), Codec.H264)


@example(b"\0\0\0\0\3\0\0\3\0\0\3\0\0\0")
@example(b"\0\0\0\1\0\0\2\0\0\4")
@given(st.lists(st.sampled_from([b"\0", b"\1", b"\2", b"\3", b"\4", b"\xff"]), max_size=60).map(b"".join))
def test_escaping_hides_every_start_code_and_comes_undone(data: bytes) -> None:
    escaped = annex_b.escape(data)
    assert not re.search(rb"\0\0[\0-\2]", escaped)
    assert annex_b.unescape(escaped) == data


@given(st.binary(max_size=300), st.sampled_from(list(Codec)))
def test_any_bytes_are_split_or_refused(frame: bytes, codec: Codec) -> None:
    with suppress(WireError):
        clear, body = split_frame(frame, codec)
        assert len(clear) <= MAX_CLEAR_BYTES
        if codec is not Codec.H264:
            assert clear + body == frame
    with suppress(WireError):
        assert frame.startswith(split_sealed(frame, codec).clear)
