"""The sending side's key: which index and ratchet step seal now, and when the next step is due. Pure."""

from dataclasses import dataclass
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hushroom_client.e2ee.key_ring import RING_SIZE, KeyRing, KeySlot
from hushroom_common.errors import HushroomError

__all__ = ["NoSendingKey", "Ratchet", "SendingKey", "SendingKeys"]


class NoSendingKey(HushroomError):
    """There is no key to seal with yet: set one, and send nothing until then."""


@dataclass(frozen=True, slots=True)
class Ratchet:
    """When a sender moves to its key's next step: every so many seconds or sealed frames, whichever comes first.

    Receivers that missed 64 steps in a row can't follow: give joiners a new key at a new index.
    """

    every_s: float | None = None
    every_frames: int | None = None

    def __post_init__(self) -> None:
        if self.every_s is None and self.every_frames is None:
            raise ValueError("a ratchet needs every_s, every_frames or both")
        if (self.every_s is not None and self.every_s <= 0) or (
            self.every_frames is not None and self.every_frames < 1
        ):
            raise ValueError("a ratchet's every_s must be above 0 and its every_frames at least 1")


class SendingKey(NamedTuple):
    """What one frame is sealed with."""

    cipher: AESGCM
    key_index: int
    step: int


class SendingKeys:
    """Picks the key for each frame of a participant, over all his publications.

    A step that is due but not derived yet is taken as soon as it is: the frame path never waits.
    """

    def __init__(self, ring: KeyRing, ratchet: Ratchet | None = None) -> None:
        self._ring = ring
        self._ratchet = ratchet
        self._chosen_index = 0
        self._active: KeySlot | None = None
        self._active_index = 0
        self._stepped_at = 0.0
        self._frames = 0
        self._steps_asked = 0

    @property
    def position(self) -> tuple[int, int] | None:
        """The (index, step) that frames are sealed with, or None before the first."""
        return None if self._active is None else (self._active_index, self._active.current)

    def use(self, index: int) -> None:
        """Seals with the key at `index` from the moment that it is usable; until then with the present one."""
        self._chosen_index = index % RING_SIZE

    def step_once(self) -> None:
        """Asks for one ratchet step at the next frame."""
        self._steps_asked += 1

    def take(self, *, now: float) -> SendingKey:
        """The key of the next frame. Raises NoSendingKey where there is none."""
        slot = self._follow_choice(now)
        if self._is_due(now):
            self._step(slot, now)
        cipher = slot.cipher(slot.current)
        if cipher is None:
            raise NoSendingKey("the key to seal with is not derived yet")
        self._frames += 1
        return SendingKey(cipher, self._active_index, slot.current)

    def _follow_choice(self, now: float) -> KeySlot:
        chosen = self._ring.slot(self._chosen_index)
        if chosen is not None:
            index, slot = self._chosen_index, chosen
        elif (present := self._ring.slot(self._active_index)) is not None:
            index, slot = self._active_index, present
        else:
            self._active = None
            raise NoSendingKey("no key to seal with: set one for this participant")
        if slot is not self._active:
            if self._active is not None:
                self._steps_asked = 0  # those were asked of the key before
            self._active, self._active_index = slot, index
            self._stepped_at, self._frames = now, 0
        return slot

    def _is_due(self, now: float) -> bool:
        if self._steps_asked:
            return True
        if self._ratchet is None:
            return False
        every_s, every_frames = self._ratchet.every_s, self._ratchet.every_frames
        return (every_s is not None and now - self._stepped_at >= every_s) or (
            every_frames is not None and self._frames >= every_frames
        )

    def _step(self, slot: KeySlot, now: float) -> None:
        if slot.cipher(slot.current + 1) is None:
            return
        slot.commit(slot.current + 1)
        self._stepped_at, self._frames = now, 0
        self._steps_asked = max(0, self._steps_asked - 1)
