"""A server that changes, repeats, swaps and invents frames, on real sockets between real clients.

Each meeting first goes on without an attack (the control: everything opens), then under it, then without it again.
What is false is rejected for the right reason and reaches no sink; the good frames after it open.
"""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from hushroom_client.e2ee import Dropped, E2EEState, Opened, Outcome, Rejected, RejectReason, SharedKeyProvider
from hushroom_client.e2ee.keys import KeyMaterial, StepKeys
from hushroom_common.ids import Codec, Identity
from tests.support.threat.attacked_meeting import KEYS, Meeting, attacked_meeting, own_keys, shared_key
from tests.support.threat.attacks import Attack, SlotFrame
from tests.support.threat.talking import eventually

if TYPE_CHECKING:
    from hushroom_client.e2ee import KeyProvider

AUTHENTICATION = Rejected(RejectReason.AUTHENTICATION)
WRONG_TRACK = Rejected(RejectReason.WRONG_TRACK)
NOT_SEALED = Rejected(RejectReason.NOT_SEALED)

Alter = Callable[[bytes], bytes]


def flipped(at: int, bit: int = 1) -> Alter:
    def alter(sealed: bytes) -> bytes:
        place = at % len(sealed)
        return sealed[:place] + bytes([sealed[place] ^ bit]) + sealed[place + 1 :]

    return alter


ALTERATIONS: dict[str, tuple[Alter, Outcome]] = {
    "a bit of the ciphertext": (flipped(-50), AUTHENTICATION),
    "a bit of the tag": (flipped(-20), AUTHENTICATION),
    "a bit of the IV's source": (flipped(-14), AUTHENTICATION),
    "a bit of the IV's random half": (flipped(-9), AUTHENTICATION),
    "a bit of the IV's count": (flipped(-6, 0x20), AUTHENTICATION),
    "a bit of the clear bytes": (flipped(0, 0x10), AUTHENTICATION),
    "a bit of the key index": (flipped(-1), Rejected(RejectReason.MISSING_KEY)),
    "the IV's length": (flipped(-2), Rejected(RejectReason.BAD_IV_LENGTH)),
    "the end cut off": (lambda sealed: sealed[:-2], NOT_SEALED),
    "all but a byte cut off": (lambda sealed: sealed[:1], NOT_SEALED),
    "a byte of the middle cut out": (lambda sealed: sealed[:20] + sealed[21:], AUTHENTICATION),
    "everything before the trailer cut out": (lambda sealed: sealed[-14:], Rejected(RejectReason.TRUNCATED)),
    "a byte appended": (lambda sealed: sealed + b"\0", NOT_SEALED),
    "a byte put in front": (lambda sealed: sealed[:1] + sealed, AUTHENTICATION),
    "garbage with a trailer": (lambda sealed: os.urandom(len(sealed) - 2) + sealed[-2:], AUTHENTICATION),
    "garbage under the true IV": (lambda sealed: os.urandom(len(sealed) - 14) + sealed[-14:], AUTHENTICATION),
    "plain media": (lambda sealed: sealed[:3] + b"not sealed at all" * 5, NOT_SEALED),
    "the same frame": (lambda sealed: sealed, Dropped.DUPLICATE),
}


class Before:
    """Puts a false frame before or after some of the true ones, and remembers which were false."""

    def __init__(self, alter: Alter, *, every: int = 8, comes_first: bool = True) -> None:
        self.false: set[bytes] = set()
        self.true: list[bytes] = []
        self._alter, self._every, self._comes_first = alter, every, comes_first

    def __call__(self, frame: SlotFrame) -> list[SlotFrame]:
        self.true.append(frame.sealed)
        if frame.number % self._every:
            return [frame]
        false = frame.altered(self._alter(frame.sealed))
        self.false.add(false.sealed)
        return [false, frame] if self._comes_first else [frame, false]


async def goes_on_honestly(meeting: Meeting) -> None:
    """The control, and what comes after an attack: everything opens."""
    await meeting.calms_down()
    meeting.forget()
    await meeting.goes_on()
    assert {type(opening.outcome) for opening in meeting.openings} == {Opened}
    meeting.nothing_false_was_heard()


@pytest.mark.parametrize("name", ALTERATIONS)
async def test_a_changed_frame_is_rejected(name: str) -> None:
    alter, expected = ALTERATIONS[name]
    is_repeat = expected is Dropped.DUPLICATE
    async with attacked_meeting() as meeting:
        await goes_on_honestly(meeting)
        meeting.forget()
        meeting.engine.attack = attack = Before(alter, comes_first=not is_repeat)
        await eventually(lambda: enough_of(expected, meeting))
        for opening in meeting.openings:
            is_false = opening.frame in attack.false and not is_repeat
            assert opening.outcome == expected if is_false else isinstance(opening.outcome, Opened) or is_repeat
        assert_good_sound_opened(meeting, attack)
        assert meeting.cy.participants[Identity("ada")].e2ee_state is E2EEState.OPENING
        for track in (meeting.track("ada", "camera"), meeting.track("ada", "microphone")):
            kept = track.dropped if isinstance(expected, Dropped) else track.rejected
            assert set(track.rejected) == ({expected.reason} if isinstance(expected, Rejected) else set())
            assert sum(kept.values()) > 0
        if isinstance(expected, Rejected):
            assert {event.reason for event in meeting.rejected} == {expected.reason}
        await goes_on_honestly(meeting)


def enough_of(expected: Outcome, meeting: Meeting) -> bool:
    """Ten times so far, on both tracks."""
    codecs = [opening.codec for opening in meeting.openings if opening.outcome == expected]
    return len(codecs) >= 10 and set(codecs) == {Codec.VP8, Codec.OPUS}


def assert_good_sound_opened(meeting: Meeting, attack: Before) -> None:
    """No good frame is lost to the false ones: of sound every one opens, whatever came just before it."""
    judged = [opening.frame for opening in meeting.openings if opening.codec is Codec.OPUS]
    opened = {opening.frame for opening in meeting.openings if isinstance(opening.outcome, Opened)}
    good = [frame for frame in judged if frame in set(attack.true)]
    assert len(good) > 20
    assert all(frame in opened for frame in good)


async def test_a_frame_of_1200_frames_ago_is_too_old() -> None:
    kept: dict[int, bytes] = {}

    def replays(frame: SlotFrame) -> list[SlotFrame]:
        kept[frame.number] = frame.sealed
        old = kept.get(frame.number - 1200)
        return [frame] if old is None or frame.number % 10 else [frame, frame.altered(old)]

    async with attacked_meeting(speakers=(("ada", "microphone", 60),), fps=350) as meeting:
        meeting.engine.attack = replays
        track = meeting.track("ada", "microphone")
        await eventually(lambda: track.dropped.get(Dropped.TOO_OLD, 0) >= 10)
        assert track.rejected == {}
        assert track.opened > 1200
        assert set(track.dropped) == {Dropped.TOO_OLD}
        meeting.nothing_false_was_heard()
        await goes_on_honestly(meeting)


# --- frames in the wrong place ----------------------------------------------------------------------------------------

SOUND_OF_TWO = (("ada", "microphone", 90), ("bo", "microphone", 50))
ADAS_SIZE, BOS_SIZE = (1 + size + 30 for _, _, size in SOUND_OF_TWO)


class Splice:
    """Puts copies of some frames into the slot of others; `belongs` and `target` tell the slots apart by frames."""

    def __init__(self, taken: Callable[[SlotFrame], bool], target: Callable[[SlotFrame], bool]) -> None:
        self.spliced: set[bytes] = set()
        self._taken, self._target = taken, target
        self._slot: SlotFrame | None = None

    def __call__(self, frame: SlotFrame) -> list[SlotFrame]:
        if self._target(frame):
            self._slot = frame
        if self._slot is None or not self._taken(frame) or frame.number % 5:
            return [frame]
        self.spliced.add(frame.sealed)
        return [frame, self._slot.altered(frame.sealed)]


@pytest.mark.parametrize(("keys", "expected"), [(own_keys, AUTHENTICATION), (shared_key, WRONG_TRACK)])
async def test_a_frame_of_another_sender_is_rejected(keys: "Callable[[str], KeyProvider]", expected: Outcome) -> None:
    async with attacked_meeting(keys, speakers=SOUND_OF_TWO) as meeting:
        await goes_on_honestly(meeting)
        meeting.forget()
        meeting.engine.attack = splice = Splice(
            lambda frame: len(frame.sealed) == BOS_SIZE, lambda frame: len(frame.sealed) == ADAS_SIZE
        )
        await eventually(lambda: sum(opening.outcome == expected for opening in meeting.openings) >= 10)
        for opening in meeting.openings:
            is_false = opening.identity == "ada" and opening.frame in splice.spliced
            assert opening.outcome == expected if is_false else isinstance(opening.outcome, Opened)
        await goes_on_honestly(meeting)


async def test_a_frame_of_the_same_senders_other_track_is_rejected() -> None:
    async with attacked_meeting() as meeting:
        await goes_on_honestly(meeting)
        meeting.forget()
        meeting.engine.attack = Splice(lambda frame: not frame.is_video, lambda frame: frame.is_video)
        await eventually(lambda: meeting.track("ada", "camera").rejected.get(RejectReason.WRONG_TRACK, 0) >= 5)
        meeting.engine.attack = Splice(lambda frame: frame.is_video, lambda frame: not frame.is_video)
        await eventually(lambda: meeting.track("ada", "microphone").rejected.get(RejectReason.WRONG_TRACK, 0) >= 5)
        assert {type(one.outcome) for one in meeting.openings if one.outcome != WRONG_TRACK} == {Opened}
        await goes_on_honestly(meeting)


def swapped(first: Callable[[SlotFrame], bool]) -> Attack:
    """From now on what two slots carry is swapped, as if the server had exchanged their labels."""
    slots: dict[bool, SlotFrame] = {}

    def attack(frame: SlotFrame) -> list[SlotFrame]:
        slots[first(frame)] = frame
        other = slots.get(not first(frame))
        return [] if other is None else [other.altered(frame.sealed)]

    return attack


@pytest.mark.parametrize(("keys", "expected"), [(own_keys, AUTHENTICATION), (shared_key, WRONG_TRACK)])
async def test_slots_under_exchanged_labels_show_nothing(
    keys: "Callable[[str], KeyProvider]", expected: Outcome
) -> None:
    async with attacked_meeting(keys, speakers=SOUND_OF_TWO) as meeting:
        await goes_on_honestly(meeting)
        meeting.engine.attack = swapped(lambda frame: len(frame.sealed) == ADAS_SIZE)
        await eventually(lambda: meeting.openings[-1].outcome == expected)
        meeting.forget()
        await eventually(lambda: len(meeting.openings) >= 60)
        assert {opening.outcome for opening in meeting.openings} == {expected}
        assert {opening.identity for opening in meeting.openings} == {"ada", "bo"}
        await goes_on_honestly(meeting)


# --- keys -------------------------------------------------------------------------------------------------------------


async def test_a_wrong_key_opens_nothing_and_is_called_that() -> None:
    async with attacked_meeting(cys_keys=lambda _: SharedKeyProvider(KEYS["dee"]), is_heard=False) as meeting:
        await eventually(lambda: len(meeting.openings) >= 60)
        ada = meeting.cy.participants[Identity("ada")]
        assert {opening.outcome for opening in meeting.openings} == {AUTHENTICATION}
        assert ada.e2ee_state is E2EEState.DIFFERENT_KEY
        assert ada.e2ee_state.value == "different key"
        assert all(inbox.frames == [] for inbox in meeting.heard.values())


async def test_forged_frames_make_nobody_derive_keys() -> None:
    """Twenty a good one: no derivation is triggered, no key moves on, and every good one opens."""
    derived: list[KeyMaterial] = []

    class Counting(SharedKeyProvider):
        def derive(self, material: KeyMaterial) -> StepKeys:
            derived.append(material)
            return super().derive(material)

    def floods(frame: SlotFrame) -> list[SlotFrame]:
        forged = [frame.altered(os.urandom(len(frame.sealed) - 14) + frame.sealed[-14:]) for _ in range(20)]
        return [*forged, frame]

    async with attacked_meeting(
        lambda _: Counting("four random words here"), speakers=(("ada", "microphone", 60),), fps=50
    ) as meeting:
        await goes_on_honestly(meeting)
        before = len(derived)
        assert before > 0
        meeting.forget()
        meeting.engine.attack = floods
        await eventually(lambda: sum(opening.outcome == AUTHENTICATION for opening in meeting.openings) >= 600)
        opened = meeting.frames_opened()
        assert opened >= 29
        assert len(derived) == before
        await goes_on_honestly(meeting)
        assert len(derived) == before
        assert meeting.cy.participants[Identity("ada")].e2ee_state is E2EEState.OPENING
