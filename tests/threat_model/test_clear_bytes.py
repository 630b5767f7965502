"""The bytes of a frame that the server reads are those that docs/threat-model.md lists, no more and no fewer.

VP8 and Opus are taken from the packets of the tapped call; VP9 and H.264, which our clients seal but do not send yet,
straight from the sealer. Sealed and plain frames are compared byte by byte.
"""

import itertools
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Literal

import pytest
from av.video.codeccontext import VideoCodecContext

from hushroom_client.e2ee.key_ring import KeyRing
from hushroom_client.e2ee.keys import KeyMaterial, StepCache
from hushroom_client.e2ee.opener import FrameOpener
from hushroom_client.e2ee.outcomes import Opened
from hushroom_client.e2ee.ratchet import SendingKeys
from hushroom_client.e2ee.sealer import FrameSealer
from hushroom_client.e2ee.sources import SourcePins, Track
from hushroom_common.ids import Codec, Identity, PublicationId
from tests.support.talk_media import video_frame
from tests.support.threat.canaries import WINDOW, Canaries
from tests.support.threat.held_media import opus_frames, streams_in, vp8_frames
from tests.support.threat.talking import PASSPHRASE, TALK, HeldCall
from tests.support.threat.tap import Kind as TapKind

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "threat-model.md"
TRAILER_BYTES = 14
SEAL_BYTES = 30

Pairs = list[tuple[bytes, bytes]]
"""(sealed, plain) frames."""


def documented(codec: str, frames: str) -> str:
    """What the table of the threat model says of these frames' clear bytes."""
    found = re.search(
        rf"^\| {re.escape(codec)} \| {re.escape(frames)} \| ([^|]+) \|", DOCUMENT.read_text(), re.MULTILINE
    )
    assert found is not None, f"{DOCUMENT.name} says nothing of {codec}, {frames}"
    return found[1].strip()


# --- what the server held ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def held(sealed_call: HeldCall) -> dict[str, Pairs]:
    """The call's frames as the server held them, each with what it opens to."""
    material, cache = KeyMaterial.of(PASSPHRASE), StepCache()
    pairs: dict[str, Pairs] = {"VP8 keyframe": [], "VP8 other": [], "Opus": []}
    for stream in streams_in(record for record in sealed_call.records if record.kind is TapKind.RTP_IN):
        track = Track(Identity("ada"), PublicationId(str(stream.ssrc)))
        for codec, frames in ((Codec.VP8, vp8_frames(stream)), (Codec.OPUS, opus_frames(stream))):
            # A ring of its own each, for it forgets the steps that its frames have left behind.
            opener = FrameOpener(ring_of(material, cache, ahead=15), SourcePins(), track, codec)
            for sealed in frames:
                outcome = opener.open(sealed, now=0.0)
                if isinstance(outcome, Opened):
                    is_key = not outcome.frame[0] & 1
                    name = "Opus" if codec is Codec.OPUS else "VP8 keyframe" if is_key else "VP8 other"
                    pairs[name].append((sealed, outcome.frame))
    said = set(sealed_call.pictures + sealed_call.sounds)
    assert all(plain in said for of_kind in pairs.values() for _, plain in of_kind)
    return pairs


def ring_of(material: KeyMaterial, cache: StepCache, *, ahead: int = 0) -> KeyRing:
    ring = KeyRing(ahead=ahead)
    ring.set(0, material)
    while requests := ring.wants_derivation():
        for request in requests:
            ring.derived(request, cache.derive(request.material))
    return ring


@pytest.mark.parametrize(
    ("codec", "frames", "least"), [("VP8", "keyframe", 8), ("VP8", "other", 60), ("Opus", "every", 200)]
)
def test_the_servers_clear_bytes_are_the_documented_ones(
    codec: str, frames: str, least: int, held: dict[str, Pairs]
) -> None:
    pairs = held[codec if frames == "every" else f"{codec} {frames}"]
    assert len(pairs) >= least
    clear = int(documented(codec, frames))
    assert same_at_start(pairs) == clear
    # Past them, sealed and plain bytes agree as often as dice would: once in 256.
    agreeing = [a == b for sealed, plain in pairs for a, b in zip(sealed[clear:], plain[clear:], strict=False)]
    expected = len(agreeing) / 256
    assert expected > 20
    assert abs(sum(agreeing) - expected) < 6 * expected**0.5
    assert worst_position(pairs, clear) < 0.6
    assert {len(sealed) - len(plain) for sealed, plain in pairs} == {SEAL_BYTES}


def test_the_trailer_says_which_key_and_in_which_order_and_no_more(held: dict[str, Pairs]) -> None:
    assert documented("all", "trailer") == str(TRAILER_BYTES)
    for name in ("VP8 other", "Opus"):
        trailers = [sealed[-TRAILER_BYTES:] for sealed, _ in held[name]]
        assert {trailer[12:] for trailer in trailers} == {b"\x0c\x00"}
        assert len({trailer[:8] for trailer in trailers}) == 1  # drawn once a sealer
        counts = [int.from_bytes(trailer[8:12], "big") for trailer in trailers]
        assert counts == sorted(set(counts))


def same_at_start(pairs: Pairs) -> int:
    """How many bytes all sealed frames have in common with their plain ones, from the start on."""
    return min(
        sum(1 for _ in itertools.takewhile(lambda two: two[0] == two[1], zip(sealed, plain, strict=False)))
        for sealed, plain in pairs
    )


def worst_position(pairs: Pairs, clear: int) -> float:
    """The share of frames that agree at the position where most do, past the clear bytes; up to 200 of them."""
    shares = []
    for position in range(clear, clear + 200):
        both = [(sealed[position], plain[position]) for sealed, plain in pairs if position < len(plain)]
        if len(both) >= 8:
            shares.append(sum(a == b for a, b in both) / len(both))
    return max(shares)


# --- what is not sent yet ---------------------------------------------------------------------------------------------


def encoded(codec: Literal["libvpx-vp9", "libx264"], options: dict[str, str], count: int = 24) -> Iterator[bytes]:
    context = VideoCodecContext.create(codec, "w")
    context.width, context.height, context.pix_fmt = TALK.width, TALK.height, "yuv420p"
    context.bit_rate = 300_000
    context.options = options
    context.time_base = Fraction(1, TALK.fps)
    for number in range(count):
        for packet in context.encode(video_frame(TALK.picture(number), number, TALK.fps)):
            yield bytes(packet)


def sealed_by_us(frames: Iterator[bytes], codec: Codec) -> Pairs:
    keys = SendingKeys(ring_of(KeyMaterial.of(PASSPHRASE), StepCache()))
    sealer = FrameSealer(keys)
    return [(sealed, plain) for plain in frames if (sealed := sealer.seal(plain, codec, now=0.0)) is not None]


def canaries_of(*secrets: bytes) -> Canaries:
    canaries = Canaries()
    for number, secret in enumerate(secrets):
        if len(secret) >= WINDOW:
            canaries.add(f"part {number}", secret)
    return canaries


def test_vp9_leaves_as_many_bytes_clear_as_documented() -> None:
    options = {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"}
    pairs = sealed_by_us(encoded("libvpx-vp9", options), Codec.VP9)
    assert len(pairs) == 24
    assert same_at_start(pairs) == int(documented("VP9", "every"))
    assert canaries_of(*(plain for _, plain in pairs)).find_in(b"".join(sealed for sealed, _ in pairs)) == []


def test_h264_leaves_clear_what_is_documented() -> None:
    """Everything up to the first slice's first byte, start codes of four bytes, and neither SEI nor delimiters."""
    assert documented("H.264", "every").startswith("SPS and PPS whole; the first slice's NAL header and one byte")
    options = {"preset": "ultrafast", "tune": "zerolatency", "x264-params": "keyint=8:slices=3:aud=1:repeat-headers=1"}
    plain_frames = list(encoded("libx264", options))
    pairs = sealed_by_us(iter(plain_frames), Codec.H264)
    assert len(pairs) == 24
    kinds_seen: set[int] = set()
    next_bytes: list[tuple[int, int]] = []
    for sealed, plain in pairs:
        units = [unit for unit in re.split(rb"\x00{2,}\x01", plain) if unit]
        kinds = [unit[0] & 0x1F for unit in units]
        kinds_seen |= set(kinds)
        first_slice = next(at for at, kind in enumerate(kinds) if kind in (1, 5))
        before = [unit for unit, kind in zip(units[:first_slice], kinds, strict=False) if kind not in (6, 9)]
        clear = b"".join(b"\0\0\0\1" + unit for unit in [*before, units[first_slice][:2]])
        hidden = [units[first_slice][2:], *units[first_slice + 1 :], *(u for u in units if u[0] & 0x1F == 6)]
        assert sealed.startswith(clear)
        next_bytes.append((sealed[len(clear)], units[first_slice][2]))
        assert canaries_of(*hidden).find_in(sealed[len(clear) :]) == []
    assert kinds_seen >= {1, 5, 6, 7, 8, 9}
    assert sum(sealed_byte == plain_byte for sealed_byte, plain_byte in next_bytes) < 4
