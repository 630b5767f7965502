"""How often others are told which key and ratchet step we seal with. Pure."""

from hushroom_common.signaling import KeyStep

__all__ = ["KEY_STEP_INTERVAL_S", "KeySteps"]

KEY_STEP_INTERVAL_S = 0.25
"""Only the latest counts: it is a hint, and the server bounds messages a second."""


class KeySteps:
    """The latest key step, and when it may be said."""

    def __init__(self) -> None:
        self._latest: KeyStep | None = None
        self._is_told = True
        self._not_before = float("-inf")

    def set(self, key_index: int, step: int) -> None:
        """We seal with this from now on; said again even if nothing changed, for somebody may have come."""
        self._latest = KeyStep(key_index, step)
        self._is_told = False

    def repeat(self) -> None:
        """Nobody knows whether the last one arrived."""
        self._is_told = self._latest is None

    def take_due(self, now: float) -> KeyStep | None:
        """What is to be said now."""
        if self._is_told or now < self._not_before:
            return None
        self._is_told = True
        self._not_before = now + KEY_STEP_INTERVAL_S
        return self._latest

    def next_deadline(self) -> float | None:
        """When something will be due."""
        return None if self._is_told else self._not_before
