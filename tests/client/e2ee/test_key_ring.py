"""The key ring: who asks for derivations, what is tried, what is committed, and what is gone for good."""

import pytest

from hushroom_client.e2ee.key_ring import DEFAULT_AHEAD, MAX_SKIP, KeyRing
from hushroom_client.e2ee.keys import KeyMaterial, derive_step
from tests.client.e2ee.people import ADAS_KEY, BOS_KEY, derive_wanted, ring_with


def tried(ring: KeyRing, index: int = 0) -> list[int]:
    slot = ring.slot(index)
    assert slot is not None
    return [step for step, _ in slot.trials]


def test_a_key_can_be_tried_once_its_first_step_is_derived() -> None:
    ring = KeyRing()
    ring.set(3, KeyMaterial.of(ADAS_KEY))
    assert ring.slot(3) is None
    (request,) = ring.wants_derivation()
    assert ring.wants_derivation() == []
    assert ring.derived(request, derive_step(request.material))
    assert tried(ring, 3) == [0]
    assert derive_wanted(ring) == DEFAULT_AHEAD
    assert tried(ring, 3) == [0, 1, 2, 3, 4]


def test_a_commit_keeps_the_step_before_and_asks_for_more_ahead() -> None:
    ring = ring_with(ADAS_KEY)
    slot = ring.slot(0)
    assert slot is not None
    slot.commit(3)
    assert tried(ring) == [3, 2, 4]
    derive_wanted(ring)
    assert tried(ring) == [3, 2, 4, 5, 6, 7]
    slot.commit(2)
    slot.commit(99)
    assert slot.current == 3


@pytest.mark.parametrize("hinted", [MAX_SKIP + 1, 10**9])
def test_a_hint_extends_what_is_derived_by_at_most_64_steps(hinted: int) -> None:
    ring = ring_with(ADAS_KEY)
    ring.hint(0, hinted)
    derive_wanted(ring)
    assert tried(ring) == list(range(MAX_SKIP + 1))
    slot = ring.slot(0)
    assert slot is not None
    assert slot.current == 0


def test_a_hint_before_the_key_holds_the_key_back_until_the_step_after_the_hinted_one_is_there() -> None:
    """For the sender may have stepped on while the hint was under way."""
    ring = KeyRing()
    ring.hint(0, 20)
    ring.set(0, KeyMaterial.of(ADAS_KEY))
    for step in range(21):
        (request,) = ring.wants_derivation()
        assert request.step == step
        assert not ring.derived(request, derive_step(request.material))
        assert ring.slot(0) is None
    derive_wanted(ring)
    assert tried(ring)[-1] == 20 + DEFAULT_AHEAD


@pytest.mark.parametrize(("index", "step"), [(-1, 3), (16, 3), (0, -5)])
def test_hints_out_of_range_are_ignored(index: int, step: int) -> None:
    ring = ring_with(ADAS_KEY)
    ring.hint(index, step)
    assert ring.wants_derivation() == []


def test_a_new_key_at_an_index_replaces_the_old_one_when_it_is_ready_and_forgets_its_hint() -> None:
    ring = ring_with(ADAS_KEY)
    ring.hint(0, 9)
    derive_wanted(ring)
    old = ring.slot(0)
    ring.set(0, KeyMaterial.of(BOS_KEY))
    assert ring.slot(0) is old
    derive_wanted(ring)
    assert ring.slot(0) is not old
    assert tried(ring) == [0, 1, 2, 3, 4]


def test_an_answer_for_a_key_since_gone_is_dropped() -> None:
    ring = KeyRing()
    ring.set(0, KeyMaterial.of(ADAS_KEY))
    (request,) = ring.wants_derivation()
    ring.set(0, KeyMaterial.of(BOS_KEY))
    assert not ring.derived(request, derive_step(request.material))
    assert ring.slot(0) is None
    (request,) = ring.wants_derivation()
    ring.wipe()
    assert not ring.derived(request, derive_step(request.material))
    assert not ring.has_key


def test_indexes_wrap_when_set_and_name_nothing_beyond_the_ring_when_read() -> None:
    ring = ring_with(ADAS_KEY, index=17)
    assert ring.slot(1) is not None
    assert ring.slot(17) is None


def test_wiping_and_removing_leave_nothing() -> None:
    ring = ring_with(ADAS_KEY)
    ring.set(5, KeyMaterial.of(BOS_KEY))
    derive_wanted(ring)
    ring.remove(0)
    assert ring.slot(0) is None
    assert ring.slot(5) is not None
    ring.wipe()
    assert not ring.has_key
    assert ring.wants_derivation() == []
