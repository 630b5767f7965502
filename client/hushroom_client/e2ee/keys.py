"""Keys of profile `lk1`: from a passphrase or raw bytes to the AES key of each ratchet step, as LiveKit derives them.

One derivation gives a step both of its outputs. LiveKit takes the frame key and the next step's material from the same
function with the same salt and only asks for another length, so the key is a prefix of the material. That is why a
ratcheted key never admits a joiner: whoever holds the material of step n+1 holds the frame key of step n.
"""

from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from threading import Lock

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from hushroom_common.secret import Secret

__all__ = ["FRAME_KEY_BYTES", "Kdf", "KeyMaterial", "StepCache", "StepKeys", "derive_step"]

FRAME_KEY_BYTES = 16
"""AES-128, the only size that LiveKit's native clients speak."""

RATCHET_SALT = b"LKFrameEncryptionKey"
PBKDF2_ITERATIONS = 100_000
MATERIAL_BYTES = 32
MIN_RAW_BYTES = 16
HKDF_INFO = bytes(128)


class Kdf(StrEnum):
    """How material becomes keys. A ratchet never changes the family."""

    PBKDF2 = "pbkdf2"
    HKDF = "hkdf"


@dataclass(frozen=True, slots=True, eq=False)
class KeyMaterial:
    """What a step's frame key is derived from. Two materials are the same only if they are one object."""

    secret: Secret
    kdf: Kdf

    @classmethod
    def of(cls, key: "str | bytes | Secret | KeyMaterial") -> "KeyMaterial":
        """A `str` is a passphrase (PBKDF2), `bytes` or a `Secret` are raw key bytes (HKDF), as in LiveKit's JavaScript.

        Raises ValueError for an empty passphrase and for raw keys under 16 bytes, TypeError for anything else.
        """
        if isinstance(key, KeyMaterial):
            return key
        if isinstance(key, str):
            return cls(_words(key), Kdf.PBKDF2)
        if not isinstance(key, Secret | bytes | bytearray | memoryview):  # bytes(32) would be 32 zeros
            raise TypeError(f"a key is a str, bytes or a Secret, not {type(key).__name__}")
        raw = key if isinstance(key, Secret) else Secret(bytes(key))
        if len(raw) < MIN_RAW_BYTES:
            raise ValueError(
                f"a raw key needs at least {MIN_RAW_BYTES} random bytes, not {len(raw)}; 32 is a good size"
            )
        return cls(raw, Kdf.HKDF)


def _words(passphrase: str) -> Secret:
    if not passphrase:
        raise ValueError("an empty passphrase protects nothing: give a few random words")
    with suppress(UnicodeEncodeError):  # not to be raised or chained: it holds the passphrase
        return Secret(passphrase.encode())
    raise ValueError("a passphrase is text that UTF-8 can write: this one holds half a character")


@dataclass(frozen=True, slots=True, eq=False)
class StepKeys:
    """One ratchet step: the AES key of its frames and the material of the step after it."""

    frame_key: Secret
    next_material: KeyMaterial


def derive_step(material: KeyMaterial, *, salt: bytes = RATCHET_SALT) -> StepKeys:
    """Derives a step from its material: 30-70 ms of CPU under PBKDF2, 10 µs under HKDF. Never call it per frame."""
    secret = material.secret.reveal()
    if material.kdf is Kdf.PBKDF2:
        pbkdf2 = PBKDF2HMAC(algorithm=SHA256(), length=MATERIAL_BYTES, salt=salt, iterations=PBKDF2_ITERATIONS)
        derived = pbkdf2.derive(secret)
    else:
        derived = HKDF(algorithm=SHA256(), length=MATERIAL_BYTES, salt=salt, info=HKDF_INFO).derive(secret)
    return StepKeys(
        frame_key=Secret(derived[:FRAME_KEY_BYTES]), next_material=KeyMaterial(Secret(derived), material.kdf)
    )


class StepCache:
    """Derives each material once, so that a room under one passphrase doesn't pay PBKDF2 for every participant.

    It answers a known material with the very same `StepKeys`, whose `next_material` is thereby known too. Bounded: the
    step used least recently is forgotten. It keeps no secret that the passphrase beside it would not give again.
    """

    def __init__(self, capacity: int = 256) -> None:
        self._capacity = capacity
        self._steps: OrderedDict[KeyMaterial, StepKeys] = OrderedDict()
        self._generation = 0
        self._lock = Lock()  # rooms that share a provider derive in threads of their own

    def derive(self, material: KeyMaterial) -> StepKeys:
        """As `derive_step`, from memory where it can."""
        with self._lock:
            known, generation = self._steps.get(material), self._generation
        steps = known or derive_step(material)
        with self._lock:
            if generation != self._generation:
                return steps  # of a key that was removed meanwhile, perhaps
            steps = self._steps.setdefault(material, steps)
            self._steps.move_to_end(material)
            while len(self._steps) > self._capacity:
                self._steps.popitem(last=False)
        return steps

    def clear(self) -> None:
        """Forgets every step, also those that are being derived."""
        with self._lock:
            self._steps.clear()
            self._generation += 1
