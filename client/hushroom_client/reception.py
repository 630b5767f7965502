"""One received track: its frames are opened, judged and handed to sinks. What did not open goes nowhere.

Pure but for what its callbacks do.
"""

from collections import Counter
from collections.abc import Callable

from hushroom_client.e2ee.outcomes import Dropped, Opened, Outcome, Rejected, RejectReason
from hushroom_client.media.frames import EncodedFrame, FrameSink
from hushroom_client.stats import RateMeter
from hushroom_common.ids import Kind

__all__ = ["Open", "Reception"]

Open = Callable[[bytes], Outcome]
"""Opens one frame; for an unsealed room, takes it as it is."""

_REPORT_INTERVAL_S = 1.0


class _Outlet:
    """A sink, which gets nothing before a keyframe."""

    def __init__(self, sink: FrameSink) -> None:
        self.sink = sink
        self.awaits_keyframe = True


class Reception:
    """Everything that became of one track's frames.

    `report` is told of rejections, at most once a second for each reason, with how many there were since.
    """

    def __init__(
        self,
        kind: Kind,
        *,
        request_keyframe: Callable[[], None],
        report: Callable[[RejectReason, int], None],
    ) -> None:
        self.opened = 0
        self.rejected: Counter[RejectReason] = Counter()
        self.dropped: Counter[Dropped] = Counter()
        self.rate = RateMeter()
        self._kind = kind
        self._request_keyframe = request_keyframe
        self._report = report
        self._reported: dict[RejectReason, tuple[float, int]] = {}
        self._outlets: list[_Outlet] = []
        self._is_broken = False

    def attach(self, sink: FrameSink) -> None:
        """Hands opened frames to `sink` from the next keyframe on."""
        self._outlets.append(_Outlet(sink))
        if self._kind is Kind.VIDEO:
            self._request_keyframe()

    def detach(self, sink: FrameSink) -> None:
        """Hands no more to `sink`, and closes it."""
        self._outlets = [outlet for outlet in self._outlets if outlet.sink is not sink]
        sink.close()

    def close(self) -> None:
        """Nothing more will come: closes all sinks."""
        for outlet in self._outlets:
            outlet.sink.close()
        self._outlets.clear()

    def restart(self) -> None:
        """The stream begins anew: nothing more before a keyframe."""
        self._is_broken = self._kind is Kind.VIDEO

    def receive(self, frame: EncodedFrame, open_frame: Open, *, captured_at: float | None, now: float) -> bool:
        """One whole frame, as it came. Returns False where the frames after it are of no use before a keyframe."""
        self.rate.add(len(frame.data), now)
        match open_frame(frame.data):
            case Opened(data, _, _):
                self.opened += 1
                return self._hand_on(frame, data, captured_at)
            case Rejected(reason):
                self.rejected[reason] += 1
                self._report_at_times(reason, now)
            case Dropped.TOO_OLD:
                self.dropped[Dropped.TOO_OLD] += 1
            case Dropped() as why:
                self.dropped[why] += 1
                if not frame.is_keyframe or self._kind is Kind.AUDIO:
                    return True  # one too many, or nothing at all: none is missing
                # Who put packets together took it for the keyframe that he waited for since a loss.
        if self._kind is Kind.VIDEO:
            self._is_broken = True
            return False
        return True

    def _hand_on(self, frame: EncodedFrame, data: bytes, captured_at: float | None) -> bool:
        if frame.is_keyframe:
            self._is_broken = False
        if self._is_broken:
            return False
        opened = EncodedFrame(frame.codec, data, frame.timestamp, frame.is_keyframe)
        for outlet in tuple(self._outlets):
            if frame.is_keyframe:
                outlet.awaits_keyframe = False
            if not outlet.awaits_keyframe:
                outlet.sink.push(opened, captured_at=captured_at)
        return True

    def _report_at_times(self, reason: RejectReason, now: float) -> None:
        last_at, reported = self._reported.get(reason, (float("-inf"), 0))
        if now - last_at >= _REPORT_INTERVAL_S:
            self._reported[reason] = now, self.rejected[reason]
            self._report(reason, self.rejected[reason] - reported)
