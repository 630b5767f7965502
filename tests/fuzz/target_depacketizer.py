"""Any payload becomes a piece of a frame or raises WireError."""

from hushroom_client.media.depacketizer import DEPACKETIZERS
from hushroom_common.errors import WireError


def corpus() -> list[bytes]:
    return [
        bytes.fromhex("90 80 8005 10 9d012a"),
        bytes.fromhex("80 80 8005 ff"),
        bytes.fromhex("90 f0 85 07 e0 11 00"),
        bytes.fromhex("10 11 00"),
        bytes.fromhex("78 01 02"),
        b"",
    ]


def fuzz(data: bytes) -> None:
    for depacketize in DEPACKETIZERS.values():
        for marker in (False, True):
            try:
                fragment = depacketize(data, marker)
            except WireError:
                continue
            assert fragment.data
            assert data.endswith(fragment.data)
            assert fragment.starts_frame or not fragment.is_keyframe
