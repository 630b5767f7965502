import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushroom_common import sealed_frame
from hushroom_common.errors import WireError
from hushroom_common.ids import Codec
from tests.support.pcap import RTP_VECTORS

LIVEKIT_FRAMES = json.loads((RTP_VECTORS.parent / "livekit" / "frames.json").read_text())
CODECS = {"opus": Codec.OPUS, "vp8 key": Codec.VP8, "vp8 delta": Codec.VP8, "vp9": Codec.VP9}

ivs = st.binary(min_size=12, max_size=12)
bodies = st.binary(min_size=16, max_size=200)


@pytest.mark.parametrize("name", CODECS)
def test_a_frame_that_livekit_opens_comes_apart_and_together_again(name: str) -> None:
    vector = next(frame for frame in LIVEKIT_FRAMES if frame["name"] == name)
    frame, plain = bytes.fromhex(vector["encrypted"]), bytes.fromhex(vector["plaintext"])
    clear = sealed_frame.clear_size(CODECS[name], is_keyframe=vector["key_frame"])
    parts = sealed_frame.parse(frame, clear)
    assert parts.clear == plain[:clear]
    assert len(parts.ciphertext_and_tag) == len(plain) - clear + sealed_frame.TAG_SIZE
    assert parts.iv.hex() == vector["iv"]
    assert parts.key_index == vector["key_index"]
    assert len(frame) == len(plain) + sealed_frame.OVERHEAD
    assert sealed_frame.assemble(*parts) == frame


@given(st.binary(max_size=10), bodies, ivs, st.integers(0, 255))
def test_what_is_assembled_is_parsed(clear: bytes, body: bytes, iv: bytes, key_index: int) -> None:
    frame = sealed_frame.assemble(clear, body, iv, key_index)
    assert sealed_frame.parse(frame, len(clear)) == (clear, body, iv, key_index)
    assert sealed_frame.parse_trailer(frame) == (iv, key_index, len(clear) + len(body))


@given(st.binary(max_size=10), bodies, st.integers(0, 255).filter(lambda length: length != 12))
def test_an_iv_of_another_length_is_refused(clear: bytes, body: bytes, length: int) -> None:
    frame = bytearray(sealed_frame.assemble(clear, body, bytes(12), 0))
    frame[-2] = length
    with pytest.raises(WireError):
        sealed_frame.parse_trailer(bytes(frame))


def test_a_frame_holds_at_least_clear_prefix_tag_and_trailer() -> None:
    shortest = sealed_frame.assemble(b"clear", bytes(16), bytes(12), 0)
    assert sealed_frame.parse(shortest, 5).clear == b"clear"
    with pytest.raises(WireError):
        sealed_frame.parse(shortest, 6)
    sealed_frame.parse_trailer(shortest[5:])
    with pytest.raises(WireError):
        sealed_frame.parse_trailer(shortest[6:])


@pytest.mark.parametrize("iv", [b"", bytes(11), bytes(16)])
def test_no_frame_is_assembled_with_an_iv_of_another_length(iv: bytes) -> None:
    with pytest.raises(ValueError, match="12 bytes"):
        sealed_frame.assemble(b"", bytes(16), iv, 0)


@pytest.mark.parametrize("codec", [Codec.H264, Codec.AV1])
def test_only_fixed_clear_prefixes_have_a_size(codec: Codec) -> None:
    with pytest.raises(ValueError, match="no fixed clear prefix"):
        sealed_frame.clear_size(codec, is_keyframe=True)


@given(st.binary(max_size=200), st.integers(0, 10))
def test_any_bytes_are_parsed_or_refused(frame: bytes, clear_bytes: int) -> None:
    with suppress(WireError):
        assert sealed_frame.assemble(*sealed_frame.parse(frame, clear_bytes)) == frame
