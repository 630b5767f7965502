"""Any bytes are a sealed frame that can be put together again, or a WireError."""

from contextlib import suppress

from hushroom_common.errors import WireError
from hushroom_common.sealed_frame import assemble, parse, parse_trailer


def corpus() -> list[bytes]:
    return [assemble(bytes(size), bytes(16 + size), bytes(range(12)), size) for size in (0, 1, 3, 10)]


def fuzz(data: bytes) -> None:
    with suppress(WireError):
        trailer = parse_trailer(data)
        assert data[: trailer.body_end] + trailer.iv + bytes((12, trailer.key_index)) == data
    for clear_bytes in (0, 1, 3, 10):
        with suppress(WireError):
            assert assemble(*parse(data, clear_bytes)) == data
