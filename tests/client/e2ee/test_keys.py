"""Derivations against known answers of LiveKit's clients and libwebrtc."""

from itertools import pairwise

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hushroom_client.e2ee import keys
from hushroom_client.e2ee.key_providers import SharedKeyProvider
from hushroom_client.e2ee.keys import Kdf, KeyMaterial, StepCache, StepKeys, derive_step
from hushroom_common.ids import Identity
from hushroom_common.secret import Secret


def test_a_passphrase_gives_livekits_key_and_ratcheted_material() -> None:
    step = derive_step(KeyMaterial.of("correct horse"))
    assert step.frame_key == Secret(bytes.fromhex("834e90983b671b2fa23af805580e4b43"))
    assert step.next_material.secret == Secret(
        bytes.fromhex("834e90983b671b2fa23af805580e4b438d4d35ac9e6d8b14005c77f674fbde62")
    )
    assert step.next_material.kdf is Kdf.PBKDF2
    assert derive_step(step.next_material).frame_key == Secret(bytes.fromhex("349832909d8c8c4fc80e2155d92189f6"))


def test_raw_bytes_give_livekits_key_and_ratcheted_material() -> None:
    step = derive_step(KeyMaterial.of(bytes(range(32))))
    assert step.frame_key == Secret(bytes.fromhex("6d0dd7b3d6f4efde47ab9a9e15abde76"))
    assert step.next_material.secret == Secret(
        bytes.fromhex("6d0dd7b3d6f4efde47ab9a9e15abde7635c45a13bddf5da15eed01f40178d328")
    )
    assert step.next_material.kdf is Kdf.HKDF


def test_libwebrtcs_unit_test_of_pbkdf2() -> None:
    material = KeyMaterial(Secret(bytes(range(16))), Kdf.PBKDF2)
    assert derive_step(material, salt=bytes(range(8))).frame_key == Secret(
        bytes.fromhex("a658cd52efbacadfecdfe0a0dc574ec3")
    )


def test_livekits_snapshot_of_ten_ratchet_steps() -> None:
    steps = [derive_step(KeyMaterial.of("password"))]
    while len(steps) < 10:
        steps.append(derive_step(steps[-1].next_material))
    ciphertexts = [AESGCM(step.frame_key.reveal()).encrypt(bytes(12), bytes(range(17)), None).hex() for step in steps]
    assert ciphertexts[0] == "2ae25e3198124f0137befa508f1386dac837576675d982300b423f667390755ce8"
    assert ciphertexts[9] == "3a63109794838a5ee65f265189a24e3df3cfff6d30f8d98785f8384a2971996cca"
    assert len(set(ciphertexts)) == 10


def test_a_ratcheted_key_exposes_the_step_before_it() -> None:
    """Why a joiner gets a new key at a new index: this is LiveKit's derivation, and it can't be repaired inside it."""
    steps = [derive_step(KeyMaterial.of(bytes(32)))]
    steps.append(derive_step(steps[-1].next_material))
    for before, after in pairwise(steps):
        assert before.next_material.secret.reveal()[:16] == before.frame_key.reveal()
        assert after.frame_key != before.frame_key


@pytest.mark.parametrize("key", ["", b"", b"fifteen bytes..", Secret(b"short")])
def test_keys_that_protect_nothing_are_refused(key: str | bytes | Secret) -> None:
    with pytest.raises(ValueError, match=r"passphrase|raw key"):
        KeyMaterial.of(key)


@pytest.mark.parametrize("mistaken", [32, True, None, [1] * 32, 3.5])
def test_what_is_neither_words_nor_bytes_is_no_key(mistaken: object) -> None:
    """`bytes(32)` is 32 zeros: a number in the wrong place must not become a key that everybody knows."""
    with pytest.raises(TypeError, match="a key is a str, bytes or a Secret"):
        KeyMaterial.of(mistaken)  # type: ignore[arg-type]  # the mistake


def test_bytes_of_any_kind_are_one_key() -> None:
    raw = bytes(range(32))
    for same in (bytearray(raw), memoryview(raw), Secret(raw)):
        assert KeyMaterial.of(same).secret == Secret(raw)  # type: ignore[arg-type]  # mypy wants bytes alone


def test_a_passphrase_that_is_no_text_is_refused_without_being_repeated() -> None:
    """Half a surrogate pair: what `errors="surrogateescape"` makes of a file that is no UTF-8."""
    with pytest.raises(ValueError, match="passphrase") as refusal:
        KeyMaterial.of("hunter2 \udcff")
    error: BaseException | None = refusal.value
    assert type(error) is ValueError
    while error is not None:
        assert "hunter2" not in repr(error) + repr(error.__dict__)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def test_material_does_not_print_its_secret() -> None:
    assert "hunter2" not in repr(KeyMaterial.of("hunter2"))
    assert "\\x00" not in repr(derive_step(KeyMaterial.of(bytes(32))))


def test_a_cache_derives_each_step_once_and_stays_bounded() -> None:
    cache = StepCache(capacity=3)
    material = KeyMaterial.of(bytes(32))
    first = cache.derive(material)
    assert cache.derive(material) is first
    second = cache.derive(first.next_material)
    assert cache.derive(first.next_material) is second
    for _ in range(3):
        second = cache.derive(second.next_material)
    assert cache.derive(material) is not first
    assert cache.derive(material).frame_key == first.frame_key


def test_a_cache_that_is_cleared_during_a_derivation_does_not_keep_its_result(monkeypatch: pytest.MonkeyPatch) -> None:
    cache, material = StepCache(), KeyMaterial.of(bytes(32))

    def removed_meanwhile(of: KeyMaterial) -> StepKeys:
        cache.clear()
        return derive_step(of)

    with monkeypatch.context() as patched:
        patched.setattr(keys, "derive_step", removed_meanwhile)
        forgotten = cache.derive(material)
    assert cache.derive(material) is not forgotten


def test_a_shared_key_that_is_replaced_or_removed_is_not_kept() -> None:
    provider = SharedKeyProvider("first words")
    first = provider.keys_of(Identity("ada"))[0]
    steps = provider.derive(first)
    assert provider.derive(first) is steps
    provider.set_key("second words", index=1)
    assert provider.derive(first) is steps
    provider.set_key("third words", index=0)
    assert provider.derive(first) is not steps
    second = provider.keys_of(Identity("ada"))[1]
    steps = provider.derive(second)
    provider.remove_key(1)
    assert provider.derive(second) is not steps
