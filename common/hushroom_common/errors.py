"""Errors that say whose fault it is. Every layer catches only what it can act on."""

__all__ = ["FrameRejected", "HushroomError", "ProtocolError", "WireError"]


class HushroomError(Exception):
    """Root of everything that hushroom raises."""


class WireError(HushroomError):
    """A peer sent bytes that cannot be read: drop them and count them."""


class ProtocolError(HushroomError):
    """A peer spoke out of turn: close what it spoke on with `code`, one of `signaling.CloseCode`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class FrameRejected(HushroomError):
    """A sealed frame failed to open: drop it, count it by `reason`, never render it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
