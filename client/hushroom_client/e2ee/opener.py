"""Opens frames in LiveKit's format, from our sealers and from LiveKit's.

A frame that doesn't open changes no state: no key steps, no window moves, nothing is derived, nobody is silenced.
"""

from cryptography.exceptions import InvalidTag

from hushroom_client.e2ee.clear_prefix import is_supported, parse_sealed
from hushroom_client.e2ee.key_ring import RING_SIZE, KeyRing
from hushroom_client.e2ee.outcomes import Dropped, Opened, Outcome, Rejected, RejectReason
from hushroom_client.e2ee.sources import SourcePins, Track, Verdict
from hushroom_common.errors import WireError
from hushroom_common.ids import Codec
from hushroom_common.sealed_frame import IV_SIZE, SealedFrame

__all__ = ["FrameOpener"]

_PLAUSIBLE_IV_LENGTHS = range(8, 17)

_REFUSALS: dict[Verdict, Dropped | Rejected] = {
    Verdict.DUPLICATE: Dropped.DUPLICATE,
    Verdict.TOO_OLD: Dropped.TOO_OLD,
    Verdict.WRONG_TRACK: Rejected(RejectReason.WRONG_TRACK),
    Verdict.TOO_MANY_SOURCES: Rejected(RejectReason.TOO_MANY_SOURCES),
}


class FrameOpener:
    """Opens the frames of one publication with its participant's keys."""

    def __init__(self, keys: KeyRing, sources: SourcePins, track: Track, codec: Codec) -> None:
        self._keys = keys
        self._sources = sources
        self._track = track
        self._codec = codec

    def open(self, frame: bytes, *, now: float) -> Outcome:
        """What came of the frame. Takes any bytes and never raises. `now` is monotonic seconds."""
        if not frame:
            return Dropped.EMPTY
        sealed = self._parse(frame)
        if isinstance(sealed, Rejected):
            return sealed
        slot = self._keys.slot(sealed.key_index)
        if slot is None:
            return Rejected(RejectReason.MISSING_KEY)
        verdict = self._sources.judge(self._track, sealed.iv, now=now)
        if verdict is not Verdict.FRESH:
            return _REFUSALS[verdict]
        for step, cipher in slot.trials:
            try:
                plain = cipher.decrypt(sealed.iv, sealed.ciphertext_and_tag, sealed.clear)
            except InvalidTag:
                continue
            self._sources.accept(self._track, sealed.iv, clock_rate=self._codec.clock_rate, now=now)
            slot.commit(step)
            return Opened(sealed.clear + plain, sealed.key_index, step)
        return Rejected(RejectReason.AUTHENTICATION)

    def _parse(self, frame: bytes) -> SealedFrame | Rejected:
        if not is_supported(self._codec):
            return Rejected(RejectReason.UNSUPPORTED_CODEC)
        if refusal := _judge_trailer(frame):
            return Rejected(refusal)
        try:
            return parse_sealed(frame, self._codec)
        except WireError:
            return Rejected(RejectReason.TRUNCATED)


def _judge_trailer(frame: bytes) -> RejectReason | None:
    """The last two bytes are never touched by escaping: an IV length above 3 stands between them and any zeros."""
    if len(frame) < 2:
        return RejectReason.NOT_SEALED
    iv_length, key_index = frame[-2:]
    if iv_length == IV_SIZE:
        return None
    if iv_length in _PLAUSIBLE_IV_LENGTHS and key_index < RING_SIZE:
        return RejectReason.BAD_IV_LENGTH
    return RejectReason.NOT_SEALED
