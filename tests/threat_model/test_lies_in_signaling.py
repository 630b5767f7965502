"""A server that lies about who is who, what is sealed and which key is in use. What it says decides nothing.

The lies are told where the server writes its messages; everything else is the real thing.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

import hushroom_sfu.control
from hushroom_client.e2ee import E2EEState, Opened, Rejected, RejectReason, SharedKeyProvider
from hushroom_client.e2ee.keys import KeyMaterial, StepKeys
from hushroom_common.ids import Identity
from hushroom_common.signaling import (
    Joined,
    KeyStepHint,
    Offer,
    ParticipantInfo,
    ParticipantJoined,
    ServerMessage,
    Slot,
    Slots,
    TrackPublished,
    encode,
)
from tests.support.threat.attacked_meeting import KEYS, attacked_meeting, own_keys, shared_key
from tests.support.threat.attacks import SlotFrame
from tests.support.threat.talking import eventually

AUTHENTICATION = Rejected(RejectReason.AUTHENTICATION)
TWO_VOICES = (("ada", "microphone", 90), ("bo", "microphone", 50))

Lie = Callable[[ServerMessage], ServerMessage]


@pytest.fixture
def lies(monkeypatch: pytest.MonkeyPatch) -> Callable[[Lie], None]:
    """Has the server tell a lie in each message that it sends from now on."""

    def tell(lie: Lie) -> None:
        monkeypatch.setattr(hushroom_sfu.control, "encode", lambda message: encode(lie(message)))

    return tell


# --- who is who -------------------------------------------------------------------------------------------------------


def exchange_of_two() -> Lie:
    """In what is said of slots, the two tracks of the room stand for each other."""
    tracks: list[Slot] = []

    def exchanged(slots: tuple[Slot, ...]) -> Iterator[Slot]:
        for slot in slots:
            others = [
                one for one in tracks if (one.participant, one.publication) != (slot.participant, slot.publication)
            ]
            is_free = slot.publication is None or len(others) != 1
            yield slot if is_free else replace(others[0], mid=slot.mid)

    def lie(message: ServerMessage) -> ServerMessage:
        match message:
            case Joined(participants=participants) if len(participants) == 2:
                tracks[:] = [Slot("", one.participant, one.tracks[0].publication) for one in participants]
            case Slots(slots) | Offer(slots=slots):
                return replace(message, slots=tuple(exchanged(slots)))
        return message

    return lie


async def test_exchanged_labels_show_nothing_where_each_has_a_key_of_his_own(lies: Callable[[Lie], None]) -> None:
    lies(exchange_of_two())
    async with attacked_meeting(own_keys, speakers=TWO_VOICES, listens_late=True, is_heard=False) as meeting:
        await eventually(lambda: {opening.identity for opening in meeting.openings[-40:]} == {"ada", "bo"})
        await eventually(lambda: len(meeting.openings) > 60)
        assert {opening.outcome for opening in meeting.openings} <= {AUTHENTICATION, Rejected(RejectReason.MISSING_KEY)}
        assert all(inbox.frames == [] for inbox in meeting.heard.values())


async def test_a_shared_key_does_not_say_who_speaks(lies: Callable[[Lie], None]) -> None:
    """Not protected, and said so: labels exchanged from the very first frame on are believed under a shared key.

    Also the control of the test before: the lie does exchange what is shown.
    """
    lies(exchange_of_two())
    async with attacked_meeting(shared_key, speakers=TWO_VOICES, listens_late=True, is_heard=False) as meeting:
        await eventually(
            lambda: len(meeting.heard) == 2 and all(len(one.frames) > 20 for one in meeting.heard.values())
        )
        heard_as_ada = meeting.heard["ada", "microphone"].frames
        assert set(heard_as_ada) <= set(meeting.said["bo", "microphone"].plain)


# --- what is sealed ---------------------------------------------------------------------------------------------------


def says_unsealed(message: ServerMessage) -> ServerMessage:
    match message:
        case Joined(participants=participants):
            return replace(message, participants=tuple(map(unsealed, participants)))
        case ParticipantJoined(info):
            return replace(message, info=unsealed(info))
        case TrackPublished(track=track):
            return replace(message, track=replace(track, e2ee="none"))
    return message


def unsealed(info: ParticipantInfo) -> ParticipantInfo:
    return replace(info, tracks=tuple(replace(track, e2ee="none") for track in info.tracks))


def speaks_itself(frame: SlotFrame) -> list[SlotFrame]:
    """Real plain media in place of the sealed: what a server would like to be played."""
    return [frame.altered(b"\x78" + bytes(range(60)))]


async def test_a_server_that_calls_tracks_unsealed_is_not_listened_to(lies: Callable[[Lie], None]) -> None:
    lies(says_unsealed)
    async with attacked_meeting(speakers=(("ada", "microphone", 90),), is_heard=False) as meeting:
        meeting.engine.attack = speaks_itself
        await eventually(lambda: Identity("ada") in meeting.cy.participants)
        ada = meeting.cy.participants[Identity("ada")]
        await eventually(lambda: ada.e2ee_state is E2EEState.NOT_SEALED)
        said = meeting.said["ada", "microphone"].plain
        await eventually(lambda: len(said) > 100)
        assert meeting.heard == {}
        assert not any(isinstance(opening.outcome, Opened) for opening in meeting.openings)


async def test_plain_media_under_a_sealed_label_is_not_played() -> None:
    async with attacked_meeting(speakers=(("ada", "microphone", 90),)) as meeting:
        meeting.engine.attack = speaks_itself
        await eventually(lambda: meeting.track("ada", "microphone").rejected.get(RejectReason.NOT_SEALED, 0) > 30)
        meeting.nothing_false_was_heard()
        assert meeting.cy.participants[Identity("ada")].e2ee_state is E2EEState.NOT_SEALED


# --- which key --------------------------------------------------------------------------------------------------------


async def test_a_lying_key_hint_costs_a_bounded_number_of_derivations(lies: Callable[[Lie], None]) -> None:
    derived: list[KeyMaterial] = []
    told: list[int] = []

    class Counting(SharedKeyProvider):
        def derive(self, material: KeyMaterial) -> StepKeys:
            derived.append(material)
            return super().derive(material)

    def lie(message: ServerMessage) -> ServerMessage:
        if isinstance(message, KeyStepHint):
            told.append(message.step)
            return replace(message, step=4_000_000_000)
        return message

    lies(lie)
    async with attacked_meeting(shared_key, cys_keys=lambda _: Counting(KEYS["ada"])) as meeting:
        await eventually(lambda: told)
        meeting.forget()
        await meeting.goes_on(60)
        assert {type(opening.outcome) for opening in meeting.openings} == {Opened}
        # 64 steps ahead of ada's first, and for cy's own key the few that are kept ready for anybody.
        assert 60 < len(derived) < 80
