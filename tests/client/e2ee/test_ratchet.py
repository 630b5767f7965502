"""Ratchet in step: the sender's schedule, and receivers who follow by what opens."""

from random import Random

import pytest

from hushroom_client.e2ee.key_ring import MAX_SKIP, KeyRing
from hushroom_client.e2ee.keys import KeyMaterial, derive_step
from hushroom_client.e2ee.opener import FrameOpener
from hushroom_client.e2ee.outcomes import Opened, Rejected, RejectReason
from hushroom_client.e2ee.ratchet import NoSendingKey, Ratchet, SendingKeys
from hushroom_client.e2ee.sealer import FrameSealer
from hushroom_client.e2ee.sources import SourcePins, Track
from hushroom_common.ids import Codec
from tests.client.e2ee.people import (
    ADA,
    ADAS_KEY,
    BOS_KEY,
    CAMERA,
    VP8_DELTA,
    Receiver,
    Sender,
    derive_wanted,
    ring_with,
)


def positions(sender: Sender, count: int, *, fps: float = 30) -> list[tuple[int, int] | None]:
    found = []
    for number in range(count):
        sender.seals(now=number / fps)
        found.append(sender.keys.position)
    return found


def test_a_sender_ratchets_by_frames() -> None:
    assert positions(Sender(ratchet=Ratchet(every_frames=3)), 7) == [(0, 0)] * 3 + [(0, 1)] * 3 + [(0, 2)]


def test_a_sender_ratchets_by_time() -> None:
    assert positions(Sender(ratchet=Ratchet(every_s=2.0)), 5, fps=1) == [(0, 0), (0, 0), (0, 1), (0, 1), (0, 2)]


def test_a_sender_counts_the_frames_of_all_his_publications() -> None:
    sender = Sender(ratchet=Ratchet(every_frames=4))
    second = FrameSealer(sender.keys)
    for _ in range(2):
        sender.seals()
        second.seal(VP8_DELTA, Codec.VP8, now=0.0)
    sender.seals()
    assert sender.keys.position == (0, 1)


def test_a_step_that_is_not_derived_yet_is_taken_as_soon_as_it_is() -> None:
    ring = KeyRing()
    ring.set(0, KeyMaterial.of(ADAS_KEY))
    (first,) = ring.wants_derivation()
    ring.derived(first, derive_step(first.material))
    keys = SendingKeys(ring, Ratchet(every_frames=2))
    assert [keys.take(now=0.0).step for _ in range(5)] == [0] * 5
    derive_wanted(ring)
    assert keys.take(now=0.0).step == 1


def test_one_step_on_request() -> None:
    sender = Sender()
    sender.seals()
    sender.keys.step_once()
    assert positions(sender, 2) == [(0, 1), (0, 1)]


def test_nothing_is_sealed_without_a_key() -> None:
    ring = KeyRing()
    sealer = FrameSealer(SendingKeys(ring))
    with pytest.raises(NoSendingKey, match="set one"):
        sealer.seal(VP8_DELTA, Codec.VP8, now=0.0)
    ring.set(0, KeyMaterial.of(ADAS_KEY))
    derive_wanted(ring)
    assert sealer.seal(VP8_DELTA, Codec.VP8, now=0.0)
    ring.remove(0)
    with pytest.raises(NoSendingKey):
        sealer.seal(VP8_DELTA, Codec.VP8, now=0.0)


def test_a_new_key_at_a_new_index_is_used_once_it_is_derived_and_starts_at_step_0() -> None:
    sender = Sender(ratchet=Ratchet(every_frames=2))
    positions(sender, 3)
    sender.ring.set(1, KeyMaterial.of(BOS_KEY))
    sender.keys.use(1)
    sealed = sender.sealer.seal(VP8_DELTA, Codec.VP8, now=0.0)
    assert sealed is not None
    assert sender.keys.position == (0, 1)
    derive_wanted(sender.ring)
    sender.seals()
    assert sender.keys.position == (1, 0)


@pytest.mark.parametrize("schedule", [{}, {"every_s": 0.0}, {"every_frames": 0}, {"every_s": -1.0, "every_frames": 5}])
def test_schedules_that_can_not_work_are_refused(schedule: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="ratchet"):
        Ratchet(**schedule)  # type: ignore[arg-type]  # on purpose: what a user might pass


def test_five_frames_out_of_order_around_a_ratchet_all_open() -> None:
    sender, receiver = Sender(ratchet=Ratchet(every_frames=10)), Receiver()
    sealed = [sender.seals() for _ in range(20)]
    order = [*range(8), 12, 9, 11, 8, 10, *range(13, 20)]
    outcomes = []
    for number in order:
        outcomes.append(receiver.opens(sealed[number]))
        derive_wanted(receiver.ring)
    assert [type(outcome) for outcome in outcomes] == [Opened] * 20


def test_a_receiver_commits_to_a_step_only_on_a_frame_that_opened() -> None:
    sender, receiver = Sender(ratchet=Ratchet(every_frames=1)), Receiver()
    slot = receiver.ring.slot(0)
    assert slot is not None
    sender.seals()
    ahead = sender.seals()
    receiver.ring.hint(0, 1)
    derive_wanted(receiver.ring)
    assert slot.current == 0
    assert isinstance(receiver.opens(ahead[:-20] + bytes([ahead[-20] ^ 1]) + ahead[-19:]), Rejected)
    assert slot.current == 0
    assert isinstance(receiver.opens(ahead), Opened)
    assert slot.current == 1


def test_a_receiver_without_a_hint_follows_over_four_lost_steps_and_with_one_over_64() -> None:
    sender = Sender(ratchet=Ratchet(every_frames=1))
    sealed = [sender.seals() for _ in range(MAX_SKIP + 2)]
    assert isinstance(Receiver().opens(sealed[4]), Opened)
    assert Receiver().opens(sealed[5]) == Rejected(RejectReason.AUTHENTICATION)
    hinted = Receiver()
    hinted.ring.hint(0, 10**6)
    derive_wanted(hinted.ring)
    assert hinted.opens(sealed[MAX_SKIP + 1]) == Rejected(RejectReason.AUTHENTICATION)
    assert isinstance(hinted.opens(sealed[MAX_SKIP]), Opened)


def test_2000_frames_with_a_ratchet_every_50_and_5_percent_loss_and_a_joiner_at_step_20() -> None:
    """Three clients: Ada sends, Bo is there from the start, Cy comes at step 20 and is told so. Nothing is rejected."""
    dice = Random(5)
    ada = Sender(ratchet=Ratchet(every_frames=50))
    bo = Receiver()
    cys_ring = KeyRing()
    cy = FrameOpener(cys_ring, SourcePins(), Track(ADA, CAMERA), Codec.VP8)
    opened_by_bo = opened_by_cy = lost = 0
    for number in range(2000):
        sealed = ada.seals(now=number / 30)
        assert ada.keys.position == (0, number // 50)
        if number == 20 * 50 + 10:
            assert cy.open(sealed, now=0.0) == Rejected(RejectReason.MISSING_KEY)
            cys_ring.hint(*ada.keys.position)
            cys_ring.set(0, KeyMaterial.of(ADAS_KEY))
            derive_wanted(cys_ring)
        if dice.random() < 0.05:
            lost += 1
            continue
        outcome = bo.opens(sealed, now=number / 30)
        assert isinstance(outcome, Opened), (number, outcome)
        opened_by_bo += 1
        derive_wanted(bo.ring)
        if cys_ring.has_key:
            outcome = cy.open(sealed, now=number / 30)
            assert isinstance(outcome, Opened), (number, outcome)
            opened_by_cy += 1
            derive_wanted(cys_ring)
    assert opened_by_bo == 2000 - lost
    assert opened_by_cy > 900


def test_participants_ratchet_separately_under_one_passphrase() -> None:
    ada, bo = Sender("same words", ratchet=Ratchet(every_frames=1)), Sender("same words")
    from_ada, from_bo = Receiver("same words"), Receiver("same words")
    for _ in range(3):
        from_ada.sees(ada.seals())
        from_bo.sees(bo.seals())
    slots = (from_ada.ring.slot(0), from_bo.ring.slot(0), ring_with("same words").slot(0))
    assert [slot.current for slot in slots if slot] == [2, 0, 0]
