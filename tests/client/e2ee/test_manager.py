"""Managers of several people, wired to each other by hand: keys arrive, step, and go."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from hushroom_client.e2ee import (
    Dropped,
    E2EEManager,
    E2EEState,
    KeyProvider,
    NoSendingKey,
    Opened,
    Outcome,
    ParticipantKeyProvider,
    Ratchet,
    Rejected,
    RejectReason,
    SharedKeyProvider,
    UnsupportedCodec,
)
from hushroom_client.e2ee.key_providers import Key, OnJoin
from hushroom_client.e2ee.keys import KeyMaterial, StepKeys
from hushroom_client.e2ee.peers import REMEMBERED_IDENTITIES, Peers
from hushroom_client.e2ee.sources import PIN_FINAL_AFTER_S, Track
from hushroom_common.errors import HushroomError
from hushroom_common.ids import Codec, Identity, PublicationId
from hushroom_common.secret import Secret
from tests.client.e2ee.people import ADA, ADAS_KEY, BO, BOS_KEY, CAMERA, CY, MICROPHONE, OPUS_FRAME, VP8_DELTA

CYS_KEY = bytes(range(64, 96))
KEYS = {ADA: ADAS_KEY, BO: BOS_KEY, CY: CYS_KEY}
MISSING = Rejected(RejectReason.MISSING_KEY)


class Person:
    """A manager with what its hooks told."""

    def __init__(self, identity: Identity, provider: KeyProvider, ratchet: Ratchet | None = None) -> None:
        self.identity = identity
        self.now = 0.0
        self.manager = E2EEManager(key_provider=provider, profile="lk1", ratchet=ratchet, clock=lambda: self.now)
        self.states: list[tuple[Identity, E2EEState]] = []
        self.installed: list[Identity] = []
        self.steps: list[tuple[int, int]] = []
        self.manager.on_state = lambda who, state: self.states.append((who, state))
        self.manager.on_key_installed = self.installed.append
        self.manager.on_key_step = lambda index, step: self.steps.append((index, step))

    async def has_key_of(self, who: Identity, times: int = 1) -> None:
        await until(lambda: self.installed.count(who) >= times)

    def opens(self, sealed: bytes | None, who: Identity, publication: PublicationId = CAMERA) -> Outcome:
        assert sealed is not None
        return self.manager.opener(who, publication, Codec.VP8).open(sealed)

    def seals(self, frame: bytes = VP8_DELTA, publication: PublicationId = CAMERA) -> bytes:
        sealed = self.manager.sealer(publication, Codec.VP8).seal(frame)
        assert sealed is not None
        return sealed


async def until(holds: Callable[[], bool], deadline_s: float = 10.0) -> None:
    async with asyncio.timeout(deadline_s):
        while not holds():  # noqa: ASYNC110 (what it waits for is other people's code, which sets no event)
            await asyncio.sleep(0.005)


@asynccontextmanager
async def in_a_room(*people: Person) -> AsyncIterator[None]:
    try:
        for person in people:
            await person.manager.start(person.identity)
        for person in people:
            for other in people:
                if other is not person:
                    await person.manager.participant_joined(other.identity)
        yield
    finally:
        for person in people:
            await person.manager.close()


async def key_by_hand(identity: Identity) -> Key | None:
    return KEYS[identity]


def test_an_unknown_profile_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="unknown profile 'rot13': this version speaks lk1"):
        E2EEManager(key_provider=SharedKeyProvider("words"), profile="rot13")


async def test_two_people_under_one_passphrase_open_each_other() -> None:
    ada, bo = Person(ADA, SharedKeyProvider("same words")), Person(BO, SharedKeyProvider("same words"))
    async with in_a_room(ada, bo):
        await bo.has_key_of(ADA)
        assert bo.opens(ada.seals(), ADA) == Opened(VP8_DELTA, 0, 0)
        assert bo.manager.state(ADA) is E2EEState.OPENING
        assert bo.states == [(ADA, E2EEState.OPENING)]
        with pytest.raises(UnsupportedCodec):
            ada.manager.sealer(CAMERA, Codec.AV1)
    assert bo.manager.state(ADA) is E2EEState.MISSING_KEY
    with pytest.raises(NoSendingKey):
        ada.seals()


async def test_a_wrong_passphrase_opens_nothing_and_is_told_as_a_different_key() -> None:
    ada, bo = Person(ADA, SharedKeyProvider("same words")), Person(BO, SharedKeyProvider("other words"))
    async with in_a_room(ada, bo):
        await bo.has_key_of(ADA)
        for _ in range(5):
            assert bo.opens(ada.seals(), ADA) == Rejected(RejectReason.AUTHENTICATION)
        assert bo.states[-1] == (ADA, E2EEState.DIFFERENT_KEY)


async def test_three_people_with_three_keys_moved_by_hand() -> None:
    people = [Person(identity, ParticipantKeyProvider(key_by_hand)) for identity in (ADA, BO, CY)]
    async with in_a_room(*people):
        for receiver in people:
            for sender in people:
                if sender is not receiver:
                    await receiver.has_key_of(sender.identity)
                    assert isinstance(receiver.opens(sender.seals(), sender.identity), Opened)
                    (third,) = {ADA, BO, CY} - {sender.identity, receiver.identity}
                    spliced = receiver.opens(sender.seals(), third)
                    assert spliced == Rejected(RejectReason.AUTHENTICATION)


async def test_frames_are_dropped_until_a_key_is_set_and_setting_it_tells_to_ask_for_a_keyframe() -> None:
    provider = ParticipantKeyProvider()
    ada, bo = Person(ADA, ParticipantKeyProvider(key_by_hand)), Person(BO, provider)
    async with in_a_room(ada, bo):
        assert bo.states == [(ADA, E2EEState.MISSING_KEY)]
        assert bo.opens(ada.seals(), ADA) == MISSING
        provider.set_key(ADA, ADAS_KEY)
        await bo.has_key_of(ADA)
        assert isinstance(bo.opens(ada.seals(), ADA), Opened)
        assert bo.manager.state(ADA) is E2EEState.OPENING
        provider.remove_key(ADA)
        assert bo.opens(ada.seals(), ADA) == MISSING
        assert bo.manager.state(ADA) is E2EEState.MISSING_KEY
        with pytest.raises(NoSendingKey):
            bo.seals()
        provider.set_key(BO, Secret(BOS_KEY))
        await bo.has_key_of(BO)
        assert bo.seals()


async def test_who_leaves_is_wiped_and_asked_for_again_but_his_old_frames_stay_refused() -> None:
    asked: list[Identity] = []

    async def on_join(identity: Identity) -> Key | None:
        asked.append(identity)
        return KEYS[identity]

    provider = ParticipantKeyProvider(on_join)
    ada, bo = Person(ADA, ParticipantKeyProvider(key_by_hand)), Person(BO, provider)
    async with in_a_room(ada, bo):
        await bo.has_key_of(ADA)
        captured, never_delivered = ada.seals(), ada.seals(publication=MICROPHONE)
        assert isinstance(bo.opens(captured, ADA), Opened)
        assert isinstance(bo.opens(never_delivered, ADA, MICROPHONE), Opened)
        opener = bo.manager.opener(ADA, CAMERA, Codec.VP8)
        bo.now += PIN_FINAL_AFTER_S + 1.0
        bo.manager.participant_left(ADA)
        assert opener.open(ada.seals()) == MISSING
        assert provider.keys_of(ADA) == {}
        await bo.manager.participant_joined(ADA)
        await bo.has_key_of(ADA, times=2)
        assert asked == [BO, ADA, ADA]
        assert bo.opens(captured, ADA) is Dropped.DUPLICATE
        assert bo.opens(ada.seals(publication=MICROPHONE), ADA, CAMERA) == Rejected(RejectReason.WRONG_TRACK)
        assert isinstance(bo.opens(ada.seals(), ADA), Opened)


async def test_people_whom_the_server_invents_do_not_make_a_client_forget_what_it_heard() -> None:
    async def only_real_people(identity: Identity) -> Key | None:
        return KEYS.get(identity)

    ada, bo = Person(ADA, ParticipantKeyProvider(key_by_hand)), Person(BO, ParticipantKeyProvider(only_real_people))
    async with in_a_room(ada, bo):
        await bo.has_key_of(ADA)
        captured = ada.seals()
        assert isinstance(bo.opens(captured, ADA), Opened)
        bo.manager.participant_left(ADA)
        for number in range(2 * REMEMBERED_IDENTITIES):
            invented = Identity(f"invented {number}")
            await bo.manager.participant_joined(invented)
            assert bo.opens(captured, invented) == MISSING
            bo.manager.participant_left(invented)
        await bo.manager.participant_joined(ADA)
        await bo.has_key_of(ADA, times=2)
        assert bo.opens(captured, ADA) is Dropped.DUPLICATE


async def test_the_windows_of_very_many_who_left_are_kept_up_to_a_bound() -> None:
    peers = Peers(share_keys=False)
    everyone = [Identity(f"guest {number}") for number in range(REMEMBERED_IDENTITIES + 10)]
    for identity in everyone:
        peers.present(identity)
        peers.pins_of(identity).claim(Track(identity, CAMERA), b"word")
    for identity in everyone:
        peers.left(identity, now=0.0)
    assert [peers.pins_of(identity).is_empty for identity in everyone] == [True] * 10 + [False] * REMEMBERED_IDENTITIES


async def test_frames_that_overtake_the_news_of_who_sends_them_cost_their_sender_nothing() -> None:
    """While a WebSocket is lost, a leaver's slot goes to somebody else: nobody's frames stay refused after it."""
    providers = [SharedKeyProvider(ADAS_KEY) for _ in range(3)]
    ada, bo, cy = (Person(identity, provider) for identity, provider in zip((ADA, BO, CY), providers, strict=True))
    async with in_a_room(ada, bo, cy):
        await bo.has_key_of(ADA)
        await bo.has_key_of(CY)
        early = cy.seals()
        assert isinstance(bo.opens(early, ADA), Opened)
        bo.now += 30.0
        bo.manager.participant_left(ADA)
        assert bo.opens(early, CY) is Dropped.DUPLICATE
        assert isinstance(bo.opens(cy.seals(), CY), Opened)


async def test_a_key_that_is_set_while_the_application_thinks_is_newer_than_its_answer() -> None:
    asked, answer = asyncio.Event(), asyncio.get_running_loop().create_future()

    async def on_join(identity: Identity) -> Key | None:
        if identity == BO:
            return None
        asked.set()
        key: bytes = await answer
        return key

    provider = ParticipantKeyProvider(on_join)
    ada, bo = Person(ADA, ParticipantKeyProvider(key_by_hand)), Person(BO, provider)
    async with in_a_room(ada):
        await bo.manager.start(BO)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(bo.manager.participant_joined(ADA))
            await asked.wait()
            provider.set_key(ADA, ADAS_KEY)
            answer.set_result(CYS_KEY)
        await bo.has_key_of(ADA)
        assert isinstance(bo.opens(ada.seals(), ADA), Opened)
        await bo.manager.close()


async def test_a_hook_that_fails_keeps_nobody_else_from_his_key(caplog: pytest.LogCaptureFixture) -> None:
    bo = Person(BO, ParticipantKeyProvider(key_by_hand))

    def fail_for_ada(identity: Identity) -> None:
        bo.installed.append(identity)
        if identity == ADA:
            raise LookupError("the application's own")

    bo.manager.on_key_installed = fail_for_ada
    await bo.manager.start(BO)
    await bo.manager.participant_joined(ADA)
    await bo.has_key_of(ADA)
    await bo.manager.participant_joined(CY)
    await bo.has_key_of(CY)
    assert "hook" in caplog.text
    await bo.manager.close()


class Slow(ParticipantKeyProvider):
    """Derives one step a `go`, and notes whose."""

    def __init__(self) -> None:
        super().__init__(key_by_hand)
        self.derived: list[Identity | None] = []
        self.go = threading.Semaphore(0)

    def derive(self, material: KeyMaterial) -> StepKeys:
        owner = next((who for who, key in KEYS.items() if material.secret == Secret(key)), None)
        self.derived.append(owner)
        assert self.go.acquire(timeout=10)
        return super().derive(material)


async def test_a_first_key_waits_for_nobodys_steps_ahead_and_who_left_for_nothing() -> None:
    provider = Slow()
    provider.go.release()
    bo = Person(BO, provider)
    try:
        await bo.manager.start(BO)
        await until(lambda: len(provider.derived) == 2)
        for identity in (CY, ADA):
            await bo.manager.participant_joined(identity)
        bo.manager.participant_left(CY)
        provider.go.release(2)
        await bo.has_key_of(ADA)
        assert provider.derived[:3] == [BO, None, ADA]
        provider.go.release(8)
        await until(lambda: len(provider.derived) == 10)
        assert CY not in provider.derived
    finally:
        provider.go.release(100)
        await bo.manager.close()


class Fragile(ParticipantKeyProvider):
    """Cannot derive anything of Ada's key."""

    def derive(self, material: KeyMaterial) -> StepKeys:
        if material.secret == Secret(ADAS_KEY):
            raise MemoryError(f"while deriving {ADAS_KEY!r}")
        return super().derive(material)


async def test_a_key_that_cannot_be_derived_keeps_nobody_else_from_his(caplog: pytest.LogCaptureFixture) -> None:
    bo = Person(BO, Fragile(key_by_hand))
    await bo.manager.start(BO)
    await bo.manager.participant_joined(ADA)
    await bo.manager.participant_joined(CY)
    await bo.has_key_of(CY)
    assert bo.manager.state(ADA) is E2EEState.MISSING_KEY
    assert "MemoryError" in [getattr(record, "error", None) for record in caplog.records]
    assert "while deriving" not in caplog.text
    await bo.manager.close()


async def test_a_manager_belongs_to_one_room_at_a_time() -> None:
    ada = Person(ADA, SharedKeyProvider(ADAS_KEY))
    async with in_a_room(ada):
        with pytest.raises(HushroomError, match="one room"):
            await ada.manager.start(ADA)
        assert ada.seals()


async def test_an_answer_that_comes_after_its_participant_left_is_not_kept() -> None:
    asked, answer = asyncio.Event(), asyncio.get_running_loop().create_future()

    async def on_join(identity: Identity) -> Key | None:
        if identity == BO:
            return None
        asked.set()
        key: bytes = await answer
        return key

    provider = ParticipantKeyProvider(on_join)
    bo = Person(BO, provider)
    await bo.manager.start(BO)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(bo.manager.participant_joined(ADA))
        await asked.wait()
        bo.manager.participant_left(ADA)
        answer.set_result(ADAS_KEY)
    assert provider.keys_of(ADA) == {}
    await bo.manager.close()


async def test_a_key_set_beforehand_and_answered_again_is_one_key() -> None:
    provider = ParticipantKeyProvider(key_by_hand)
    provider.set_key(ADA, ADAS_KEY)
    ada, bo = Person(ADA, ParticipantKeyProvider(key_by_hand), Ratchet(every_frames=1)), Person(BO, provider)
    async with in_a_room(ada, bo):
        await bo.has_key_of(ADA)
        assert bo.opens(ada.seals(), ADA) == Opened(VP8_DELTA, 0, 0)
        bo.manager.hint(ADA, 0, 30)
        provider.adopt(ADA, KeyMaterial.of(ADAS_KEY))
        while ada.steps[-1] != (0, 30):
            sealed = ada.seals()
            await asyncio.sleep(0)
        await until(lambda: bo.opens(sealed, ADA) in (Opened(VP8_DELTA, 0, 30), Dropped.DUPLICATE))
        assert bo.installed.count(ADA) == 1


async def fails(identity: Identity) -> Key | None:
    raise LookupError(f"no key like {ADAS_KEY!r}")


async def gives_an_empty_passphrase(identity: Identity) -> Key | None:
    return ""


@pytest.mark.parametrize("on_join", [fails, gives_an_empty_passphrase])
async def test_a_callback_without_a_usable_key_leaves_the_room_standing(
    on_join: OnJoin, caplog: pytest.LogCaptureFixture
) -> None:

    bo = Person(BO, ParticipantKeyProvider(on_join))
    await bo.manager.start(BO)
    await bo.manager.participant_joined(ADA)
    assert bo.manager.state(ADA) is E2EEState.MISSING_KEY
    assert "on_join gave no usable key" in caplog.text
    assert "no key like" not in caplog.text
    await bo.manager.close()


async def test_a_ratcheting_sender_is_followed_and_a_joiner_is_hinted_to_his_step() -> None:
    ada = Person(ADA, SharedKeyProvider("same words"), Ratchet(every_frames=2))
    bo, cy = Person(BO, SharedKeyProvider("same words")), Person(CY, SharedKeyProvider("same words"))
    async with in_a_room(ada, bo):
        await bo.has_key_of(ADA)
        while len(ada.steps) < 9:
            before = len(ada.steps)
            assert isinstance(bo.opens(ada.seals(), ADA), Opened)
            if len(ada.steps) > before:
                await until(lambda: can_follow(ada) and can_follow(bo, ADA))
        assert ada.steps == [(0, step) for step in range(9)]
        async with in_a_room(cy):
            await ada.manager.participant_joined(CY)
            assert ada.steps[-2:] == [(0, 8), (0, 8)]
            joining = asyncio.create_task(cy.manager.participant_joined(ADA))
            await asyncio.sleep(0)
            cy.manager.hint(ADA, *ada.steps[-1])
            await joining
            await cy.has_key_of(ADA)
            assert cy.opens(ada.seals(), ADA) == Opened(VP8_DELTA, 0, 8)


def can_follow(person: Person, of: Identity | None = None) -> bool:
    """Whether the step after the current one is derived."""
    peer = None if of is None else person.manager._peers.get(of)
    ring = person.manager._own_ring if peer is None else peer.ring
    slot = ring.slot(0)
    return slot is not None and slot.cipher(slot.current + 1) is not None


async def test_a_new_shared_key_at_a_new_index_is_used_by_all_and_the_old_one_can_be_removed() -> None:
    providers = [SharedKeyProvider(ADAS_KEY), SharedKeyProvider(ADAS_KEY)]
    ada, bo = Person(ADA, providers[0]), Person(BO, providers[1])
    async with in_a_room(ada, bo):
        await bo.has_key_of(ADA)
        late = ada.seals()
        for provider in providers:
            provider.set_key(BOS_KEY, index=1)
        await ada.has_key_of(ADA, times=2)
        await bo.has_key_of(ADA, times=2)
        assert bo.opens(ada.seals(), ADA) == Opened(VP8_DELTA, key_index=1, step=0)
        assert bo.opens(late, ADA) == Opened(VP8_DELTA, key_index=0, step=0)
        assert ada.manager.key_position == (1, 0)
        providers[1].remove_key(0)
        providers[1].ratchet()
        assert bo.seals()
        assert bo.manager.key_position == (1, 1)
        assert bo.opens(late, ADA) == MISSING


async def test_one_derivation_serves_all_participants_of_a_shared_key(monkeypatch: pytest.MonkeyPatch) -> None:
    derived = 0
    original = SharedKeyProvider("same words")
    cache = original._cache
    derive_once = cache.derive

    def counting(material: object) -> object:
        nonlocal derived
        before = len(cache._steps)
        result = derive_once(material)  # type: ignore[arg-type]  # handed through
        derived += len(cache._steps) - before
        return result

    monkeypatch.setattr(cache, "derive", counting)
    ada = Person(ADA, original)
    others = [Identity(f"guest {number}") for number in range(20)]
    async with in_a_room(ada):
        for other in others:
            await ada.manager.participant_joined(other)
        for other in others:
            await ada.has_key_of(other)
    assert derived <= 5


async def test_our_own_frames_sent_back_as_anothers_do_not_open_even_under_a_shared_key() -> None:
    ada, bo = Person(ADA, SharedKeyProvider(ADAS_KEY)), Person(BO, SharedKeyProvider(ADAS_KEY))
    async with in_a_room(ada, bo):
        await ada.has_key_of(BO)
        assert ada.opens(ada.seals(), BO) == Rejected(RejectReason.WRONG_TRACK)
        await ada.manager.participant_joined(ADA)
        assert ada.manager.state(ADA) is E2EEState.MISSING_KEY
        assert ada.opens(bo.seals(), BO) == Opened(VP8_DELTA, 0, 0)


def test_a_manager_seals_nothing_before_it_knows_who_it_seals_for() -> None:
    with pytest.raises(HushroomError, match="start"):
        E2EEManager(key_provider=SharedKeyProvider("words"), profile="lk1").sealer(CAMERA, Codec.VP8)


async def test_one_sealer_serves_a_publication_over_new_transports() -> None:
    ada = Person(ADA, SharedKeyProvider(ADAS_KEY))
    async with in_a_room(ada):
        first, again = ada.seals(), ada.seals()
        assert first[-14:-6] == again[-14:-6]
        assert ada.seals(publication=MICROPHONE)[-14:-6] != first[-14:-6]
        ada.manager.unpublished(ADA, CAMERA)
        assert ada.seals()[-14:-6] != first[-14:-6]
        assert ada.manager.sealer(MICROPHONE, Codec.OPUS).seal(OPUS_FRAME)


@pytest.mark.parametrize("bad", ["", b"short"])
def test_keys_that_protect_nothing_are_refused_where_they_are_set(bad: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"passphrase|raw key"):
        SharedKeyProvider(bad)
    with pytest.raises(ValueError, match=r"passphrase|raw key"):
        ParticipantKeyProvider().set_key(ADA, bad)
    with pytest.raises(ValueError, match="index"):
        ParticipantKeyProvider().set_key(ADA, ADAS_KEY, index=-1)
