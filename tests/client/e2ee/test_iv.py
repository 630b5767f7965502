"""No IV twice, none that native LiveKit would misread, and ours told from LiveKit's."""

import multiprocessing
import re
from multiprocessing.connection import Connection
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushroom_client.e2ee.iv import FIRST_COUNT, LAST_COUNT, UNKNOWN_SOURCE, IvSequence, is_counted, word
from hushroom_client.e2ee.ratchet import Ratchet
from hushroom_client.e2ee.sealer import ForkedSealer, FrameSealer
from hushroom_common.errors import HushroomError
from hushroom_common.ids import Codec
from hushroom_common.sealed_frame import parse_trailer
from tests.client.e2ee.people import OPUS_FRAME, Sender

PASSPHRASE = "one passphrase for all"
MISREAD_IN_H264 = re.compile(rb"\0\0[\0-\3]")


def check(ivs: list[bytes]) -> None:
    assert len(set(ivs)) == len(ivs)
    for iv in ivs:
        assert iv[0] != 0
        assert not MISREAD_IN_H264.search(iv)
        assert is_counted(iv)
        assert iv[:4] != UNKNOWN_SOURCE


def seal_from_a_few_sealers(sender: Sender, sealers: int, frames: int) -> list[bytes]:
    """The IVs of several sealers of one person: each is a track, or the track of one more start."""
    ivs = []
    for _ in range(sealers):
        sealer = FrameSealer(sender.keys)
        for number in range(frames):
            sealed = sealer.seal(OPUS_FRAME, Codec.OPUS, now=number / 50)
            assert sealed is not None
            ivs.append(parse_trailer(sealed).iv)
    return ivs


def seal_in_child(inherited: FrameSealer, results: Connection) -> None:
    try:
        inherited.seal(OPUS_FRAME, Codec.OPUS, now=0.0)
        refused = False
    except ForkedSealer:
        refused = True
    results.send((refused, seal_from_a_few_sealers(Sender(PASSPHRASE), 100, 12)))


def test_a_thousand_sealers_over_tracks_processes_restarts_and_ratchets_never_repeat_an_iv_under_one_passphrase() -> (
    None
):
    ivs: list[bytes] = []
    ratcheting = Sender(PASSPHRASE, ratchet=Ratchet(every_frames=500))
    for sender in (Sender(PASSPHRASE), ratcheting, Sender(PASSPHRASE)):
        ivs += seal_from_a_few_sealers(sender, 230, 12)
    assert ratcheting.ring.slot(0).current > 0  # type: ignore[union-attr]  # a ready slot is there
    processes = multiprocessing.get_context("fork")
    for _ in range(3):
        here, there = processes.Pipe()
        child = processes.Process(target=seal_in_child, args=(ratcheting.sealer, there))
        child.start()
        assert here.poll(60)
        refused, childs_ivs = here.recv()
        child.join(30)
        assert refused, "the inherited sealer worked in a forked child"
        ivs += childs_ivs
    assert len(ivs) == (3 * 230 + 3 * 100) * 12
    check(ivs)
    assert {word(iv, 3) for iv in ivs} == set(range(FIRST_COUNT, FIRST_COUNT + 12))


@given(seed=st.integers(), first_count=st.integers(FIRST_COUNT, LAST_COUNT))
def test_any_stretch_of_counts_is_free_of_misread_ivs(seed: int, first_count: int) -> None:
    sequence = IvSequence(Random(seed).randbytes, first_count=first_count)
    check([sequence.next() for _ in range(20)])


@pytest.mark.parametrize("first_count", [0x01FF_FFFE, 0x02FF_FFFE, 0x7EFF_FFFE])
def test_counts_that_h264_would_escape_are_skipped(first_count: int) -> None:
    sequence = IvSequence(lambda count: b"\x55" * count, first_count=first_count)
    counts = [word(sequence.next(), 3) for _ in range(4)]
    assert counts == [first_count, first_count + 1, first_count + 2 + 4, first_count + 2 + 5]


def test_after_the_last_count_comes_a_new_random_half() -> None:
    draws = iter([b"\x11" * 8, b"\x22" * 8])
    sequence = IvSequence(lambda count: next(draws), first_count=LAST_COUNT)
    before, after = sequence.next(), sequence.next()
    assert before.hex() == "11111111d11111117fffffff"
    assert after.hex() == "22222222e222222201010101"


@pytest.mark.parametrize("unusable", ["0011223344556677", "1100000344556677", "1122334455660000", "ffffffff44556677"])
def test_random_halves_that_would_be_misread_are_drawn_again(unusable: str) -> None:
    draws = iter([bytes.fromhex(unusable), b"\x22" * 8])
    assert IvSequence(lambda count: next(draws)).next().startswith(b"\x22")


def test_a_broken_entropy_source_is_an_error_and_no_endless_loop() -> None:
    with pytest.raises(HushroomError, match="entropy"):
        IvSequence(bytes)


@given(ssrc=st.binary(min_size=4, max_size=4), time=st.integers(0, 2**32 - 1), count=st.integers(0, 2**40))
def test_livekits_ivs_are_never_taken_for_ours(ssrc: bytes, time: int, count: int) -> None:
    third = (time - count % 0xFFFF) & 0xFFFF_FFFF
    assert not is_counted(ssrc + time.to_bytes(4, "big") + third.to_bytes(4, "big"))
