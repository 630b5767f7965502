"""What is not protected, shown: should one of these tests fail, the threat model can promise more."""

from hushroom_client.e2ee import Opened, SharedKeyProvider
from hushroom_client.e2ee.keys import KeyMaterial, derive_step
from tests.client.e2ee.people import ADA, ADAS_KEY, BO, CAMERA, CY, VP8_DELTA
from tests.client.e2ee.test_manager import Person, in_a_room


async def test_any_member_can_speak_as_another_under_a_shared_key() -> None:
    """bo seals under the key that all share; the server hands it to cy in ada's slot."""
    ada, bo, cy = (Person(who, SharedKeyProvider(ADAS_KEY)) for who in (ADA, BO, CY))
    async with in_a_room(ada, bo, cy):
        await cy.has_key_of(ADA)
        assert isinstance(cy.opens(ada.seals(), ADA), Opened)
        assert isinstance(cy.opens(bo.seals(), ADA), Opened)


async def test_yesterdays_frames_open_for_a_newcomer_under_an_unchanged_key() -> None:
    ada = Person(ADA, SharedKeyProvider(ADAS_KEY))
    async with in_a_room(ada):
        recorded = [ada.seals() for _ in range(3)]
    bo, ada_of_today = Person(BO, SharedKeyProvider(ADAS_KEY)), Person(ADA, SharedKeyProvider(ADAS_KEY))
    async with in_a_room(bo, ada_of_today):
        await bo.has_key_of(ADA)
        assert isinstance(bo.opens(ada_of_today.seals(), ADA), Opened)
        assert all(isinstance(bo.opens(sealed, ADA), Opened) for sealed in recorded)
        assert not any(isinstance(bo.opens(sealed, ADA), Opened) for sealed in recorded)  # but only once


def test_the_material_of_a_step_holds_the_frame_key_of_the_one_before() -> None:
    for key in ("a passphrase", ADAS_KEY):
        step = derive_step(KeyMaterial.of(key))
        assert step.next_material.secret.reveal().startswith(step.frame_key.reveal())


async def test_one_passphrase_is_one_key_in_every_room() -> None:
    """Two rooms that have nothing in common but the words: a table of guesses serves for both."""
    ada, bo = Person(ADA, SharedKeyProvider("same words")), Person(BO, SharedKeyProvider("same words"))
    async with in_a_room(ada):
        sealed = ada.seals()
    async with in_a_room(bo):
        await bo.manager.participant_joined(ADA)
        await bo.has_key_of(ADA)
        assert bo.opens(sealed, ADA, CAMERA) == Opened(VP8_DELTA, 0, 0)
