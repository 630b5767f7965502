"""Any bytes are split or refused; what is split for sealing is found again in the sealed frame at the same place."""

from contextlib import suppress

from hushroom_client.e2ee import annex_b
from hushroom_client.e2ee.clear_prefix import MAX_CLEAR_BYTES, join_sealed, split_frame, split_sealed
from hushroom_common.errors import WireError
from hushroom_common.ids import Codec

CODECS = list(Codec)
SEALED_BODY = bytes.fromhex("000000 000001 000002 000003 00000000 0c00")


def corpus() -> list[bytes]:
    """The first byte picks the codec, the rest is the frame."""
    frames = [
        (Codec.VP8, "1002009d012a08000800aabbccddeeff"),
        (Codec.VP8, "3102000102030405"),
        (Codec.VP9, "8249834200010203"),
        (Codec.OPUS, "7800112233445566778899"),
        (Codec.H264, "00000109100000016742c01f00000168ce3c800000010605010203800000016588840410203040000001657e01"),
        (Codec.H264, "00000001419a0204"),
    ]
    return [bytes([CODECS.index(codec)]) + bytes.fromhex(frame) for codec, frame in frames]


def fuzz(data: bytes) -> None:
    codec = CODECS[data[0] % len(CODECS)] if data else Codec.H264
    frame = data[1:]
    with suppress(WireError):
        split_sealed(frame, codec)
    if annex_b.unescape(annex_b.escape(frame)) != frame:
        raise AssertionError("escaping lost bytes")
    try:
        clear, _ = split_frame(frame, codec)
    except WireError:
        return
    if len(clear) > MAX_CLEAR_BYTES:
        raise AssertionError(f"{len(clear)} clear bytes")
    if split_sealed(join_sealed(clear, SEALED_BODY, codec), codec) != (clear, SEALED_BODY):
        raise AssertionError("the sealed part is not where it was put")
