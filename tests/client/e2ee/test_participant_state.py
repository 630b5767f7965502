"""The words that people are told."""

import pytest

from hushroom_client.e2ee.outcomes import Dropped, Opened, Outcome, Rejected, RejectReason
from hushroom_client.e2ee.participant_state import E2EEState, ParticipantState

GOOD = Opened(b"frame", key_index=0, step=0)
WRONG_KEY = Rejected(RejectReason.AUTHENTICATION)
PLAIN = Rejected(RejectReason.NOT_SEALED)
NO_KEY = Rejected(RejectReason.MISSING_KEY)


def hears(state: ParticipantState, *outcomes: Outcome, every_s: float = 0.01) -> E2EEState:
    for number, outcome in enumerate(outcomes):
        state.heard(outcome, now=number * every_s)
    return state.value


@pytest.fixture
def keyed() -> ParticipantState:
    state = ParticipantState()
    assert state.value is E2EEState.MISSING_KEY
    assert state.key_installed() is E2EEState.OPENING
    return state


def test_states_are_the_words_people_read() -> None:
    assert [str(state) for state in E2EEState] == ["opening", "missing key", "different key", "not sealed"]


@pytest.mark.parametrize(
    ("outcome", "word"),
    [
        (WRONG_KEY, E2EEState.DIFFERENT_KEY),
        (PLAIN, E2EEState.NOT_SEALED),
        (NO_KEY, E2EEState.MISSING_KEY),
        (Rejected(RejectReason.WRONG_TRACK), E2EEState.OPENING),
        (Dropped.DUPLICATE, E2EEState.OPENING),
        (Dropped.EMPTY, E2EEState.OPENING),
        (Dropped.TOO_OLD, E2EEState.OPENING),
    ],
)
def test_five_frames_in_a_row_tell(keyed: ParticipantState, outcome: Outcome, word: E2EEState) -> None:
    assert hears(keyed, *[outcome] * 4) is E2EEState.OPENING
    assert hears(keyed, outcome) is word


def test_two_frames_a_second_apart_tell(keyed: ParticipantState) -> None:
    assert hears(keyed, WRONG_KEY, WRONG_KEY, every_s=0.9) is E2EEState.OPENING
    keyed.key_installed()
    assert hears(keyed, WRONG_KEY, WRONG_KEY, every_s=1.0) is E2EEState.DIFFERENT_KEY


def test_garbage_among_good_frames_says_nothing(keyed: ParticipantState) -> None:
    among_good: list[Outcome] = [GOOD, WRONG_KEY, PLAIN, WRONG_KEY]
    assert hears(keyed, *among_good * 50) is E2EEState.OPENING


def test_one_good_frame_is_enough(keyed: ParticipantState) -> None:
    assert hears(keyed, *[WRONG_KEY] * 50) is E2EEState.DIFFERENT_KEY
    assert hears(keyed, GOOD) is E2EEState.OPENING


def test_the_commonest_complaint_wins(keyed: ParticipantState) -> None:
    assert hears(keyed, PLAIN, PLAIN, PLAIN, PLAIN, WRONG_KEY, WRONG_KEY) is E2EEState.NOT_SEALED
    assert hears(keyed, *[WRONG_KEY] * 3) is E2EEState.DIFFERENT_KEY


def test_a_new_key_is_given_a_chance_and_its_removal_is_told(keyed: ParticipantState) -> None:
    hears(keyed, *[WRONG_KEY] * 9)
    assert keyed.key_installed() is E2EEState.OPENING
    assert hears(keyed, *[WRONG_KEY] * 4) is E2EEState.OPENING
    assert keyed.keys_gone() is E2EEState.MISSING_KEY
