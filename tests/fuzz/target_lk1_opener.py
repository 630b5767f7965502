"""Any bytes have an outcome, whatever the codec; nothing opens but what was sealed, and nobody is silenced.

In H.264 a frame may come with other emulation prevention bytes than it was sent with: they are taken out before
anything is authenticated, and what opens is the same.
"""

from hushroom_client.e2ee.key_ring import KeyRing
from hushroom_client.e2ee.keys import KeyMaterial, derive_step
from hushroom_client.e2ee.opener import FrameOpener
from hushroom_client.e2ee.outcomes import Dropped, Opened
from hushroom_client.e2ee.ratchet import SendingKeys
from hushroom_client.e2ee.sealer import FrameSealer
from hushroom_client.e2ee.sources import SourcePins, Track
from hushroom_common.ids import Codec, Identity, PublicationId

PLAIN = {
    Codec.VP8: bytes.fromhex("1002009d012a08000800aabbccddeeff"),
    Codec.VP9: bytes.fromhex("8249834200010203"),
    Codec.H264: bytes.fromhex("000000016742c01f0000000168ce3c80000000016588840410203040"),
    Codec.OPUS: bytes.fromhex("7800112233445566778899"),
}
CODECS = list(PLAIN)


def _ring() -> KeyRing:
    ring = KeyRing(ahead=1)
    ring.set(0, KeyMaterial.of(bytes(range(32))))
    while requests := ring.wants_derivation():
        for request in requests:
            ring.derived(request, derive_step(request.material))
    return ring


RING = _ring()
SEALERS = {codec: FrameSealer(SendingKeys(RING)) for codec in CODECS}
OPENERS = {
    codec: FrameOpener(RING, SourcePins(), Track(Identity("ada"), PublicationId(codec)), codec) for codec in CODECS
}


def _sealed(codec: Codec) -> bytes:
    sealed = SEALERS[codec].seal(PLAIN[codec], codec, now=0.0)
    if sealed is None:
        raise AssertionError(f"the sealer refused a {codec} frame")
    return sealed


def corpus() -> list[bytes]:
    """The first byte picks the codec, the rest is the frame."""
    return [bytes([number]) + _sealed(codec) for number, codec in enumerate(CODECS)]


def fuzz(data: bytes) -> None:
    codec = CODECS[data[0] % len(CODECS)] if data else Codec.VP8
    frame = data[1:]
    outcome = OPENERS[codec].open(frame, now=0.0)
    if isinstance(outcome, Opened) and outcome.frame != PLAIN[codec]:
        raise AssertionError("opened a frame that nobody sealed")
    if not frame and outcome is not Dropped.EMPTY:
        raise AssertionError(f"an empty frame was {outcome}")
    if not isinstance(OPENERS[codec].open(_sealed(codec), now=0.0), Opened):
        raise AssertionError("a good frame no longer opens")
