"""The one error of the client's media ends."""

from hushroom_common.errors import HushroomError

__all__ = ["MediaError"]


class MediaError(HushroomError):
    """A file, codec or disk here does not do what was asked of it; the message says what would work."""
