"""A participant's key ring: sixteen indexes, each with the steps of its ratchet that are derived so far.

Pure: it never derives. It says what it wants derived and takes the results, so that the costly function runs elsewhere
and a bad frame, which only ever tries what is there, can't make anybody work.
"""

from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hushroom_client.e2ee.keys import KeyMaterial, StepKeys

__all__ = ["DEFAULT_AHEAD", "MAX_SKIP", "RING_SIZE", "DerivationRequest", "KeyRing", "KeySlot"]

RING_SIZE = 16
MAX_SKIP = 64
"""The farthest that a step may lie ahead of the current one, whatever a hint says."""
DEFAULT_AHEAD = 4
"""Steps kept derived ahead of the current one: who is so far ahead is followed without a hint."""


@dataclass(frozen=True, slots=True, eq=False)
class DerivationRequest:
    """One step to derive from `material`; hand the result to `KeyRing.derived` with this request."""

    index: int
    slot: "KeySlot"
    step: int
    material: KeyMaterial


class KeySlot:
    """One key and its ratchet. Steps are counted from 0, the material as it was set."""

    def __init__(self, material: KeyMaterial, *, ahead: int = DEFAULT_AHEAD) -> None:
        self.current = 0
        self._ahead = ahead
        self._hinted = 0
        self._ready = False
        self._derived_to = -1
        self._next_material = material
        self._ciphers: dict[int, AESGCM] = {}
        self._trials: tuple[tuple[int, AESGCM], ...] = ()
        self._requested = -1

    @property
    def is_ready(self) -> bool:
        """Whether frames may be tried: the first step is derived, or the one past the hinted if a hint came before."""
        return self._ready

    @property
    def trials(self) -> tuple[tuple[int, AESGCM], ...]:
        """The (step, cipher) pairs to try on a frame, likeliest first: current, previous, then those ahead."""
        return self._trials

    def cipher(self, step: int) -> AESGCM | None:
        """The cipher of a step, or None where it is not derived or no longer kept."""
        return self._ciphers.get(step)

    def commit(self, step: int) -> None:
        """Moves to a derived step; the one just before it is kept for late frames, older ones are forgotten."""
        if step <= self.current or step not in self._ciphers:
            return
        self.current = step
        self._ciphers = {kept: cipher for kept, cipher in self._ciphers.items() if kept >= step - 1}
        self._order_trials()

    def hint(self, step: int) -> None:
        """Extends how far to derive; bounded by `MAX_SKIP` steps ahead of the current one, and never a commitment."""
        self._hinted = max(self._hinted, step)

    def wanted(self) -> tuple[int, KeyMaterial] | None:
        """The next step to derive with its material, once; None while nothing is wanted or it is under way."""
        step = self._derived_to + 1
        if step > self._target() or step <= self._requested:
            return None
        self._requested = step
        return step, self._next_material

    def derived(self, step: int, keys: StepKeys) -> None:
        """Takes a derived step."""
        if step != self._derived_to + 1:
            return
        self._derived_to = step
        self._next_material = keys.next_material
        self._ciphers[step] = AESGCM(keys.frame_key.reveal())
        # A hint is of a moment ago: before the next one is here, the sender may already seal with the step after it.
        newest = self._hinted + 1 if self._hinted else 0
        self._ready = self._ready or step >= min(newest, MAX_SKIP)
        self._order_trials()

    def _target(self) -> int:
        farthest = max(self.current, self._hinted) + self._ahead
        return min(farthest, self.current + MAX_SKIP)

    def _order_trials(self) -> None:
        first = (self.current, self.current - 1)
        steps = [*first, *sorted(step for step in self._ciphers if step not in first)]
        self._trials = tuple((step, self._ciphers[step]) for step in steps if step in self._ciphers)


class KeyRing:
    """The keys of one participant. A key replaces the one at its index only once it can be used."""

    def __init__(self, *, ahead: int = DEFAULT_AHEAD) -> None:
        self._ahead = ahead
        self._slots: dict[int, KeySlot] = {}
        self._incoming: dict[int, KeySlot] = {}
        self._hints: dict[int, int] = {}

    @property
    def has_key(self) -> bool:
        """Whether any index holds a key that frames can be tried with."""
        return bool(self._slots)

    def slot(self, index: int) -> KeySlot | None:
        """The slot that a frame's key index names, if it is ready. Indexes beyond the ring name nothing."""
        return self._slots.get(index)

    def set(self, index: int, material: KeyMaterial) -> None:
        """Puts a key at `index` (modulo the ring's size, as LiveKit does)."""
        index %= RING_SIZE
        slot = KeySlot(material, ahead=self._ahead)
        if index in self._slots or index in self._incoming:
            self._hints.pop(index, None)  # it told of the old key's steps
        slot.hint(self._hints.get(index, 0))
        self._incoming[index] = slot

    def remove(self, index: int) -> None:
        """Forgets the key at `index` (modulo the ring's size)."""
        for slots in (self._slots, self._incoming, self._hints):
            slots.pop(index % RING_SIZE, None)

    def wipe(self) -> None:
        """Forgets all keys and hints. (Python can drop secrets but not overwrite them.)"""
        for slots in (self._slots, self._incoming, self._hints):
            slots.clear()

    def hint(self, index: int, step: int) -> None:
        """Says which step the sender seals with now. Out of range: ignored. It only extends what is derived ahead."""
        if not 0 <= index < RING_SIZE or step < 0:
            return
        self._hints[index] = max(step, self._hints.get(index, 0))
        for slots in (self._slots, self._incoming):
            if index in slots:
                slots[index].hint(step)

    def wants_derivation(self) -> list[DerivationRequest]:
        """The derivations wanted now, at most one a slot; each is asked for once."""
        requests = []
        for slots in (self._slots, self._incoming):
            for index, slot in slots.items():
                if wanted := slot.wanted():
                    requests.append(DerivationRequest(index, slot, *wanted))
        return requests

    def awaits(self, request: DerivationRequest) -> bool:
        """Whether the key of a request is still there."""
        return request.slot in (self._slots.get(request.index), self._incoming.get(request.index))

    def derived(self, request: DerivationRequest, keys: StepKeys) -> bool:
        """Takes the answer to a request; True if it made a key usable. An answer for a key since gone is dropped."""
        index, slot = request.index, request.slot
        if self._slots.get(index) is slot:
            slot.derived(request.step, keys)
            return False
        if self._incoming.get(index) is not slot:
            return False
        slot.derived(request.step, keys)
        if slot.is_ready:
            self._slots[index] = self._incoming.pop(index)
        return slot.is_ready
