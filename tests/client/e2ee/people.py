"""Senders and receivers for the tests of sealing: rings whose wanted steps are derived at once, and frames."""

from collections.abc import Callable

from hushroom_client.e2ee.key_providers import Key
from hushroom_client.e2ee.key_ring import KeyRing
from hushroom_client.e2ee.keys import KeyMaterial, StepKeys, derive_step
from hushroom_client.e2ee.opener import FrameOpener
from hushroom_client.e2ee.outcomes import Opened, Outcome
from hushroom_client.e2ee.ratchet import Ratchet, SendingKeys
from hushroom_client.e2ee.sealer import FrameSealer
from hushroom_client.e2ee.sources import SourcePins, Track
from hushroom_common.ids import Codec, Identity, PublicationId

ADAS_KEY = bytes(range(32))
BOS_KEY = bytes(range(32, 64))

ADA, BO, CY = Identity("ada"), Identity("bo"), Identity("cy")
CAMERA, SCREEN, MICROPHONE = PublicationId("camera"), PublicationId("screen"), PublicationId("microphone")

VP8_KEYFRAME = bytes.fromhex("1002009d012a08000800") + bytes(range(60))
VP8_DELTA = bytes.fromhex("310200") + bytes(range(40))
OPUS_FRAME = bytes.fromhex("78") + bytes(range(80))
VP9_FRAME = bytes.fromhex("82498342") + bytes(range(50))
H264_SPS_PPS = bytes.fromhex("000000016742c01f0000000168ce3c80")
H264_KEYFRAME = H264_SPS_PPS + bytes.fromhex("0000000165888404") + bytes(range(4, 60))
H264_DELTA = bytes.fromhex("00000001419a0204") + bytes(range(4, 40))

FRAMES = [
    (Codec.VP8, VP8_KEYFRAME),
    (Codec.VP8, VP8_DELTA),
    (Codec.VP9, VP9_FRAME),
    (Codec.OPUS, OPUS_FRAME),
    (Codec.H264, H264_KEYFRAME),
    (Codec.H264, H264_DELTA),
]


def derive_wanted(ring: KeyRing, derive: Callable[[KeyMaterial], StepKeys] = derive_step) -> int:
    """Derives all that a ring wants; returns how many steps that took."""
    count = 0
    while requests := ring.wants_derivation():
        for request in requests:
            ring.derived(request, derive(request.material))
            count += 1
    return count


def ring_with(key: Key, index: int = 0, *, ahead: int = 4) -> KeyRing:
    ring = KeyRing(ahead=ahead)
    ring.set(index, KeyMaterial.of(key))
    derive_wanted(ring)
    return ring


class Sender:
    """Somebody with one key and one publication."""

    def __init__(
        self, key: Key = ADAS_KEY, codec: Codec = Codec.VP8, *, index: int = 0, ratchet: Ratchet | None = None
    ) -> None:
        self.ring = ring_with(key, index)
        self.keys = SendingKeys(self.ring, ratchet)
        self.keys.use(index)
        self.codec = codec
        self.sealer = FrameSealer(self.keys)

    def seals(self, frame: bytes = VP8_DELTA, *, now: float = 0.0) -> bytes:
        sealed = self.sealer.seal(frame, self.codec, now=now)
        assert sealed is not None
        derive_wanted(self.ring)
        return sealed


class Receiver:
    """Somebody who holds a key for one publication of another."""

    def __init__(
        self,
        key: Key | None = ADAS_KEY,
        codec: Codec = Codec.VP8,
        *,
        index: int = 0,
        publication: PublicationId = CAMERA,
        sources: SourcePins | None = None,
        identity: Identity = ADA,
        ring: KeyRing | None = None,
    ) -> None:
        self.ring = ring or (KeyRing() if key is None else ring_with(key, index))
        self.sources = SourcePins() if sources is None else sources
        self.opener = FrameOpener(self.ring, self.sources, Track(identity, publication), codec)

    def opens(self, sealed: bytes, *, now: float = 0.0) -> Outcome:
        return self.opener.open(sealed, now=now)

    def sees(self, sealed: bytes, *, now: float = 0.0) -> bytes:
        outcome = self.opens(sealed, now=now)
        assert isinstance(outcome, Opened), outcome
        return outcome.frame
