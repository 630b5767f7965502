"""What publishers and subscribers hold: a sealer or an opener with its clock, and who hears what came of a frame."""

from collections.abc import Callable

from hushroom_client.e2ee.opener import FrameOpener
from hushroom_client.e2ee.outcomes import Outcome
from hushroom_client.e2ee.sealer import FrameSealer
from hushroom_common.ids import Codec

__all__ = ["TrackOpener", "TrackSealer"]


class TrackSealer:
    """Seals one publication's frames. Used on the event loop's thread."""

    def __init__(
        self, sealer: FrameSealer, codec: Codec, *, clock: Callable[[], float], after: Callable[[], None]
    ) -> None:
        self._sealer = sealer
        self._codec = codec
        self._clock = clock
        self._after = after

    def seal(self, frame: bytes) -> bytes | None:
        """The sealed frame, or None where there is nothing to send.

        Raises NoSendingKey while there is no key: drop the frame, and start with a keyframe once there is one.
        """
        sealed = self._sealer.seal(frame, self._codec, now=self._clock())
        self._after()
        return sealed


class TrackOpener:
    """Opens one publication's frames. Used on the event loop's thread."""

    def __init__(
        self, opener: FrameOpener, *, clock: Callable[[], float], after: Callable[[Outcome, float], None]
    ) -> None:
        self._opener = opener
        self._clock = clock
        self._after = after

    def open(self, frame: bytes) -> Outcome:
        """What came of the frame. Takes any bytes and never raises; only what is `Opened` may reach a decoder."""
        now = self._clock()
        outcome = self._opener.open(frame, now=now)
        self._after(outcome, now)
        return outcome
