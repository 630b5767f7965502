"""The size of a VP8 picture, from its keyframe's header (RFC 6386 §9.1). Only for frames that opened."""

__all__ = ["vp8_picture_size"]


def vp8_picture_size(frame: bytes) -> tuple[int, int] | None:
    """Width and height in pixels of a keyframe; None for other frames and for bytes that are no VP8."""
    if len(frame) < 10 or frame[0] & 1 or frame[3:6] != b"\x9d\x01\x2a":
        return None
    width, height = int.from_bytes(frame[6:8], "little"), int.from_bytes(frame[8:10], "little")
    return width & 0x3FFF, height & 0x3FFF  # the top two bits ask for scaling, which nobody does
