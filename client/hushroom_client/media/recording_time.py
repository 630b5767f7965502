"""When a recorded frame is shown, in seconds of the file. Pure: `now_s` is an argument.

The times that frames come with are the sender's, by way of a server that may lie: they align sound and picture, but
may not stretch the file. Beyond a few seconds' difference the local clock is right.
"""

from hushroom_client.media.frames import EncodedFrame

__all__ = ["FileTime", "TrackTime"]

_TRUST_S = 5.0
_SLEW_SHARE = 1 / 64
_STEP_S = 0.05


class FileTime:
    """Maps the participant's clock to the file's, which starts at 0 with the first frame that is asked about."""

    def __init__(self) -> None:
        self._anchor: tuple[float, float] | None = None

    def at(self, captured_at: float, now_s: float) -> float:
        """The file's time of something captured at `captured_at` that came in at `now_s`; may be negative."""
        if self._anchor is None:
            self._anchor = captured_at, now_s
        captured_zero_s, local_zero_s = self._anchor
        elapsed_s = now_s - local_zero_s
        if abs(captured_at - captured_zero_s - elapsed_s) > _TRUST_S:
            captured_zero_s = captured_at - elapsed_s
            self._anchor = captured_zero_s, local_zero_s
        return captured_at - captured_zero_s

    def captured_by_arrival(self, now_s: float) -> float:
        """What `captured_at` to assume for a frame that arrives at `now_s` and is never told its own."""
        if self._anchor is None:
            return now_s
        captured_zero_s, local_zero_s = self._anchor
        return captured_zero_s + now_s - local_zero_s


class TrackTime:
    """Smooths one track: its timestamps count evenly, while every sender report moves `captured_at` a little."""

    def __init__(self) -> None:
        self._offset_s: float | None = None

    @property
    def is_known(self) -> bool:
        """Whether some frame's `captured_at` was learnt."""
        return self._offset_s is not None

    def learn(self, frame: EncodedFrame, captured_at: float) -> None:
        """Takes a measured time in: small differences slowly, a step at once."""
        measured_s = captured_at - frame.timestamp / frame.codec.clock_rate
        if self._offset_s is None or abs(measured_s - self._offset_s) > _STEP_S:
            self._offset_s = measured_s
        else:
            self._offset_s += (measured_s - self._offset_s) * _SLEW_SHARE

    def captured_at(self, frame: EncodedFrame) -> float:
        """When `frame` was captured; only once `is_known`."""
        if self._offset_s is None:
            raise ValueError("no frame of this track has told its time yet")
        return frame.timestamp / frame.codec.clock_rate + self._offset_s
