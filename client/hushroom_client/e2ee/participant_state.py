"""What a person is told about a participant's frames, from the outcomes of opening them. Pure."""

from collections import Counter
from enum import StrEnum

from hushroom_client.e2ee.outcomes import Opened, Outcome, Rejected, RejectReason

__all__ = ["E2EEState", "ParticipantState"]

COMPLAINT_FRAMES = 5
COMPLAINT_S = 1.0


class E2EEState(StrEnum):
    """How it stands with a participant's frames, in the words that people read."""

    OPENING = "opening"
    """His key is here, and nothing says that it doesn't fit."""
    MISSING_KEY = "missing key"
    DIFFERENT_KEY = "different key"
    NOT_SEALED = "not sealed"


_STATE_OF = {
    RejectReason.MISSING_KEY: E2EEState.MISSING_KEY,
    RejectReason.AUTHENTICATION: E2EEState.DIFFERENT_KEY,
    RejectReason.NOT_SEALED: E2EEState.NOT_SEALED,
    RejectReason.BAD_IV_LENGTH: E2EEState.NOT_SEALED,
}


class ParticipantState:
    """One participant's state, over all his tracks.

    A complaint needs five frames, or two a second apart, without one that opened between: stray garbage among good
    frames says nothing. The commonest complaint wins. It is only a word for people: frames are judged one by one.
    """

    def __init__(self) -> None:
        self.value = E2EEState.MISSING_KEY
        self._complaints: Counter[E2EEState] = Counter()
        self._since = 0.0

    def heard(self, outcome: Outcome, *, now: float) -> E2EEState:
        """The state after a frame's outcome."""
        if isinstance(outcome, Opened):
            self._complaints.clear()
            self.value = E2EEState.OPENING
        elif isinstance(outcome, Rejected) and (complaint := _STATE_OF.get(outcome.reason)):
            if not self._complaints:
                self._since = now
            self._complaints[complaint] += 1
            frames = self._complaints.total()
            if frames >= COMPLAINT_FRAMES or (frames > 1 and now - self._since >= COMPLAINT_S):
                self.value = self._complaints.most_common(1)[0][0]
        return self.value

    def key_installed(self) -> E2EEState:
        """The state once a key can be tried: earlier complaints were about the time before it."""
        self._complaints.clear()
        self.value = E2EEState.OPENING
        return self.value

    def keys_gone(self) -> E2EEState:
        """The state once no key is left."""
        self._complaints.clear()
        self.value = E2EEState.MISSING_KEY
        return self.value
