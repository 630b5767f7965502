"""Opening: what a hostile server can do to a frame, and that nothing of it opens or does harm."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushroom_client.e2ee import keys
from hushroom_client.e2ee.outcomes import Dropped, Rejected, RejectReason
from hushroom_client.e2ee.sealer import UnsupportedCodec
from hushroom_client.e2ee.sources import SourcePins
from hushroom_client.media.frames import EncodedFrame
from hushroom_common.ids import Codec
from hushroom_common.sealed_frame import OVERHEAD
from tests.client.e2ee.people import (
    ADA,
    BO,
    BOS_KEY,
    FRAMES,
    H264_KEYFRAME,
    OPUS_FRAME,
    SCREEN,
    VP8_DELTA,
    VP8_KEYFRAME,
    Receiver,
    Sender,
)

MISSING = Rejected(RejectReason.MISSING_KEY)
TAMPERED = Rejected(RejectReason.AUTHENTICATION)
NOT_SEALED = Rejected(RejectReason.NOT_SEALED)
TRUNCATED = Rejected(RejectReason.TRUNCATED)
WRONG_TRACK = Rejected(RejectReason.WRONG_TRACK)


@pytest.mark.parametrize(("codec", "frame"), FRAMES)
def test_what_was_sealed_opens_as_it_was(codec: Codec, frame: bytes) -> None:
    sender, receiver = Sender(codec=codec), Receiver(codec=codec)
    sealed = sender.seals(frame)
    assert receiver.sees(sealed) == frame
    assert len(sealed) >= len(frame) + OVERHEAD
    assert frame[-8:] not in sealed


@given(codec=st.sampled_from([Codec.VP8, Codec.VP9, Codec.OPUS]), frame=st.binary(min_size=10, max_size=2000))
def test_any_frame_of_a_plain_codec_comes_back(codec: Codec, frame: bytes) -> None:
    assert Receiver(codec=codec).sees(Sender(codec=codec).seals(frame)) == frame


@given(
    slices=st.lists(st.binary(min_size=2, max_size=300), min_size=1, max_size=4),
    header=st.sampled_from([b"\x41", b"\x65", b"\x01"]),
)
def test_any_h264_picture_comes_back(slices: list[bytes], header: bytes) -> None:
    """Slices as encoders write them: NAL units end in a stop bit and hold no start code."""
    units = [header + b"\x88" + data.replace(b"\0", b"\x07") + b"\x80" for data in slices]
    frame = H264_KEYFRAME[:16] + b"".join(b"\0\0\0\1" + unit for unit in units)
    assert Receiver(codec=Codec.H264).sees(Sender(codec=Codec.H264).seals(frame)) == frame


@pytest.mark.parametrize(("codec", "frame"), FRAMES)
def test_every_flipped_bit_is_rejected_and_the_frame_still_opens_after_all_of_them(codec: Codec, frame: bytes) -> None:
    sender, receiver = Sender(codec=codec), Receiver(codec=codec)
    sealed = sender.seals(frame)
    for at in range(len(sealed)):
        for bit in range(8):
            flipped = bytearray(sealed)
            flipped[at] ^= 1 << bit
            outcome = receiver.opens(bytes(flipped))
            assert isinstance(outcome, Rejected)
            if at < len(sealed) - 2 and codec is not Codec.H264 and at > 0:
                assert outcome == TAMPERED
            if at == len(sealed) - 1:
                assert outcome == MISSING
    assert receiver.sees(sealed) == frame


@pytest.mark.parametrize(("codec", "frame"), FRAMES)
def test_every_truncation_is_rejected(codec: Codec, frame: bytes) -> None:
    sealed, receiver = Sender(codec=codec).seals(frame), Receiver(codec=codec)
    for kept in range(1, len(sealed)):
        for cut in (sealed[:kept], sealed[-kept:]):
            assert isinstance(receiver.opens(cut), Rejected)
    assert receiver.sees(sealed) == frame


def test_reasons_name_what_is_wrong() -> None:
    sealed, receiver = Sender().seals(VP8_KEYFRAME), Receiver()
    trailer = sealed[-14:]
    assert receiver.opens(VP8_KEYFRAME) == NOT_SEALED
    assert receiver.opens(b"x") == NOT_SEALED
    assert receiver.opens(sealed[:5] + trailer) == TRUNCATED
    assert receiver.opens(trailer) == TRUNCATED
    assert receiver.opens(sealed[:-2] + b"\x0c\x03") == MISSING
    assert receiver.opens(sealed[:-2] + b"\x0c\x11") == MISSING
    assert receiver.opens(sealed[:-2] + b"\x10\x00") == Rejected(RejectReason.BAD_IV_LENGTH)
    assert receiver.opens(b"") is Dropped.EMPTY
    assert Receiver(key=None).opens(sealed) == MISSING
    assert Receiver(BOS_KEY).opens(sealed) == TAMPERED
    assert Receiver(codec=Codec.AV1).opens(sealed) == Rejected(RejectReason.UNSUPPORTED_CODEC)
    assert receiver.sees(sealed) == VP8_KEYFRAME


def test_parts_of_two_frames_do_not_make_a_third() -> None:
    sender, receiver = Sender(), Receiver()
    one, two = sender.seals(VP8_DELTA), sender.seals(VP8_DELTA[:3] + VP8_DELTA[:2:-1])
    for at in range(1, len(one)):
        if one[at:] != two[at:] and one[:at] != two[:at]:
            assert receiver.opens(one[:at] + two[at:]) == TAMPERED


def test_a_replayed_frame_is_a_duplicate_and_an_old_one_too_old() -> None:
    sender, receiver = Sender(), Receiver()
    sealed = [sender.seals() for _ in range(1100)]
    assert receiver.sees(sealed[0])
    assert receiver.opens(sealed[0]) is Dropped.DUPLICATE
    assert receiver.sees(sealed[-1])
    assert receiver.opens(sealed[0]) is Dropped.TOO_OLD
    assert receiver.opens(sealed[5]) is Dropped.TOO_OLD
    assert receiver.sees(sealed[-2])


def test_another_participants_frame_does_not_open_under_keys_of_their_own() -> None:
    assert Receiver().opens(Sender(BOS_KEY).seals()) == TAMPERED


def test_a_frame_does_not_open_on_another_track_of_its_sender() -> None:
    sources = SourcePins()
    camera, screen = Receiver(sources=sources), Receiver(sources=sources, publication=SCREEN)
    sender = Sender()
    assert camera.sees(sender.seals())
    assert screen.opens(sender.seals()) == WRONG_TRACK
    assert camera.sees(sender.seals())


def test_under_a_shared_key_one_participants_frames_do_not_open_as_anothers() -> None:
    sources = SourcePins()
    ada, bo = Receiver("words", sources=sources, identity=ADA), Receiver("words", sources=sources, identity=BO)
    sender = Sender("words")
    assert ada.sees(sender.seals())
    assert bo.opens(sender.seals()) == WRONG_TRACK


def test_a_track_may_have_eight_sealers_and_no_ninth() -> None:
    receiver, senders = Receiver(), [Sender() for _ in range(9)]
    for sender in senders[:8]:
        assert receiver.sees(sender.seals())
    assert receiver.opens(senders[8].seals()) == Rejected(RejectReason.TOO_MANY_SOURCES)
    assert receiver.sees(senders[0].seals())


def test_ten_thousand_garbage_frames_cost_no_derivation_change_nothing_and_silence_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dice = Random(11)
    sender, receiver = Sender("words"), Receiver("words")
    good = sender.seals()
    slot = receiver.ring.slot(0)
    assert slot is not None
    derivations = 0

    def count(*_: object, **__: object) -> None:
        nonlocal derivations
        derivations += 1

    monkeypatch.setattr(keys, "PBKDF2HMAC", count)
    for number in range(10_000):
        garbage = dice.randbytes(dice.randrange(1, 200))
        with_trailer = garbage + (dice.randbytes(12) if number % 3 else good[-14:-2]) + b"\x0c\x00"
        assert isinstance(receiver.opens(with_trailer if number % 2 else garbage, now=number / 1000), Rejected)
        assert receiver.ring.wants_derivation() == []
    assert derivations == 0
    assert slot.current == 0
    assert receiver.sees(good, now=20.0) == VP8_DELTA


@given(st.binary(max_size=400), st.sampled_from(list(Codec)))
def test_any_bytes_have_an_outcome_and_none_is_opened(frame: bytes, codec: Codec) -> None:
    outcome = Receiver(codec=codec).opens(frame)
    assert outcome is Dropped.EMPTY if not frame else isinstance(outcome, Rejected)


@pytest.mark.parametrize(("codec", "frame"), [(Codec.VP8, b""), (Codec.VP8, b"\x10\x02"), (Codec.H264, b"\x65\x88")])
def test_what_is_no_frame_is_dropped_by_the_sealer_without_an_exception(codec: Codec, frame: bytes) -> None:
    sender = Sender(codec=codec)
    assert sender.sealer.seal(frame, codec, now=0.0) is None
    assert sender.sealer.unsealable == 1


def test_av1_can_not_be_sealed() -> None:
    with pytest.raises(UnsupportedCodec, match="VP8"):
        Sender().sealer.seal(b"\x12\x00\x0a", Codec.AV1, now=0.0)


def test_one_byte_of_opus_is_a_frame() -> None:
    """In discontinuous transmission Opus sends its TOC byte alone (RFC 6716 §3.2.1 allows frames of no bytes)."""
    assert Receiver(codec=Codec.OPUS).sees(Sender(codec=Codec.OPUS).seals(OPUS_FRAME[:1])) == OPUS_FRAME[:1]


@pytest.mark.parametrize("change", ["append", "drop"])
def test_bytes_added_or_taken_are_noticed(change: str) -> None:
    sealed, receiver = Sender().seals(), Receiver()
    for at in range(len(sealed)):
        changed = sealed[:at] + (b"\0" + sealed[at:] if change == "append" else sealed[at + 1 :])
        assert isinstance(receiver.opens(changed), Rejected)
    assert receiver.sees(sealed) == VP8_DELTA


def test_what_opened_does_not_print_its_frame() -> None:
    opened = Receiver().opens(Sender().seals(VP8_DELTA))
    assert repr(opened) == "Opened(key_index=0, step=0)"
    assert "plain words" not in repr(EncodedFrame(Codec.OPUS, b"plain words", 0, True))
