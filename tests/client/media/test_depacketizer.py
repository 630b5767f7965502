"""VP8 (RFC 7741) and Opus (RFC 7587) payloads become pieces of frames."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushroom_client.media.depacketizer import DEPACKETIZERS, Fragment
from hushroom_common.errors import WireError
from hushroom_common.ids import Codec

vp8 = DEPACKETIZERS[Codec.VP8]
opus = DEPACKETIZERS[Codec.OPUS]


def test_the_first_packet_of_a_vp8_keyframe_starts_it_and_tells_that_it_is_one() -> None:
    fragment = vp8(bytes.fromhex("90 80 8005 10") + b"sealed", False)
    assert fragment == Fragment(
        Codec.VP8,
        b"\x10sealed",
        starts_frame=True,
        ends_frame=False,
        is_keyframe=True,
        picture_id=5,
        picture_id_bits=15,
    )


def test_a_set_lowest_bit_behind_the_descriptor_is_a_delta_frame() -> None:
    assert not vp8(bytes.fromhex("90 80 8005 11"), True).is_keyframe


def test_a_vp8_packet_in_the_middle_is_never_a_keyframe_whatever_its_first_byte() -> None:
    fragment = vp8(bytes.fromhex("80 80 8005 10"), True)
    assert (fragment.starts_frame, fragment.is_keyframe, fragment.ends_frame) == (False, False, True)


def test_another_partition_does_not_start_a_frame() -> None:
    assert not vp8(bytes.fromhex("91 80 8005 10"), False).starts_frame


def test_every_opus_packet_is_a_frame_whether_it_opens_a_talkspurt_or_not() -> None:
    for marker in (False, True):
        fragment = opus(b"sound", marker)
        assert (fragment.starts_frame, fragment.ends_frame, fragment.data) == (True, True, b"sound")


@pytest.mark.parametrize(
    ("previous", "current", "bits", "follows"),
    [
        (5, 6, 15, True),
        (5, 7, 15, False),
        (5, 5, 15, False),
        (32767, 0, 15, True),
        (127, 0, 7, True),
        (126, 0, 7, False),
        (-1, 9, 15, True),
    ],
)
def test_picture_ids_tell_a_missing_frame(previous: int, current: int, bits: int, follows: bool) -> None:
    def frame(picture_id: int) -> Fragment:
        return Fragment(Codec.VP8, b"\x11", True, True, False, picture_id, bits)

    assert frame(current).follows(frame(previous)) is follows


@given(st.binary(max_size=40), st.booleans())
def test_any_payload_is_read_or_raises_wire_error(payload: bytes, marker: bool) -> None:
    for depacketize in DEPACKETIZERS.values():
        with suppress(WireError):
            fragment = depacketize(payload, marker)
            assert fragment.data
            assert payload.endswith(fragment.data)
